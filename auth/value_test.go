package auth_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/recloser-mcp/recloser/auth"
)

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestValueResolves(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{"a": "alpha\n", "b": "beta\r\n", "c": "two\n\n", "d": "plain", "e": "", "f": "${file:/x}"} {
		write(t, filepath.Join(dir, name), content)
	}
	for text, want := range map[string]string{
		"":                              "",
		"plain":                         "plain",
		"$$":                            "$$",
		"a$b":                           "a$b",
		"$${file:/p}":                   "${file:/p}",
		"x$${y":                         "x${y",
		"${file:DIR/a}":                 "alpha",
		"${file:DIR/b}":                 "beta",
		"${file:DIR/c}":                 "two\n",
		"${file:DIR/d}":                 "plain",
		"${file:DIR/e}":                 "",
		"${file:DIR/f}":                 "${file:/x}", // content is not a reference
		"k=${file:DIR/a}:${file:DIR/b}": "k=alpha:beta",
	} {
		v := parse(t, strings.ReplaceAll(text, "DIR", dir))
		s, err := v.Resolve()
		if err != nil || s.Reveal() != want {
			t.Errorf("%s: %q, %v, want %q", text, s.Reveal(), err, want)
		}
		if v.IsZero() != (text == "") {
			t.Errorf("%s: IsZero is %v", text, v.IsZero())
		}
	}
	v := parse(t, "${file:/a}x${file:/b}${file:/a}")
	if diff := cmp.Diff([]string{"/a", "/b"}, v.Files()); diff != "" {
		t.Error(diff)
	}
}

func TestValueRefusesWhatItDoesNotKnow(t *testing.T) {
	for _, text := range []string{"sesame${VAR}", "sesame${", "sesame${file:/a", "sesame${file:}", "sesame${env:X}"} {
		var v auth.Value
		if err := v.UnmarshalText([]byte(text)); err == nil || strings.Contains(err.Error(), "sesame") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestValueFileErrors(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "big"), strings.Repeat("x", 1<<20+1))
	for _, name := range []string{"missing", "big", "."} {
		s, err := auth.NewFileValue(filepath.Join(dir, name)).Resolve()
		if err == nil || !s.IsZero() || !strings.Contains(err.Error(), filepath.Join(dir, name)) {
			t.Errorf("%s: %v", name, err)
		}
		if name == "missing" && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestValueInYAML(t *testing.T) {
	var doc struct{ A, B, C auth.Value }
	if err := yaml.Unmarshal([]byte("a: 12345\nb: '${file:/x}'\nc: plain"), &doc); err != nil {
		t.Fatal(err)
	}
	if s, _ := doc.A.Resolve(); s.Reveal() != "12345" {
		t.Error("a number as written")
	}
	if diff := cmp.Diff([]string{"/x"}, doc.B.Files()); diff != "" {
		t.Error(diff)
	}
	if err := yaml.Unmarshal([]byte("a: '${X}'"), &doc); err == nil {
		t.Error("an unknown reference passed")
	}
}

func TestValuesCompareAsWritten(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{{"", "", true}, {"x", "x", true}, {"x", "y", false}, {"${file:/a}", "${file:/a}", true}, {"${file:/a}", "/a", false}} {
		if got := parse(t, c.a).Equal(parse(t, c.b)); got != c.want {
			t.Errorf("%q, %q: %v", c.a, c.b, got)
		}
	}
	type options struct{ Token auth.Value }
	if !cmp.Equal(options{parse(t, "x")}, options{parse(t, "x")}) {
		t.Error("go-cmp does not find Equal")
	}
	if s := auth.NewSecret("x"); !s.Equal(auth.NewSecret("x")) || s.Equal(auth.Secret{}) || !auth.NewSecret("").IsZero() {
		t.Error("secrets")
	}
}

func parse(t *testing.T, text string) auth.Value {
	t.Helper()
	var v auth.Value
	if err := v.UnmarshalText([]byte(text)); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}
