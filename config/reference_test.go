package config

import (
	"flag"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/recloser-mcp/recloser/auth"
)

// paths lists the keys of a struct, those of nested structs with their path.
func paths(t reflect.Type, at string) []string {
	var out []string
	seen := map[string]bool{}
	// Outer fields come last and hide the embedded ones.
	for i := t.NumField() - 1; i >= 0; i-- {
		f := t.Field(i)
		key, inline, ok := keyOf(f)
		switch {
		case !ok:
		case inline:
			for _, p := range paths(f.Type, at) {
				if !seen[p] {
					out = append(out, p)
				}
			}
		case f.Type.Kind() == reflect.Struct && f.Type != valueType && !reflect.PointerTo(f.Type).Implements(reflect.TypeFor[nodeDecoder]()):
			out = append(out, paths(f.Type, join(at, key))...)
		default:
			seen[join(at, key)] = true
			out = append(out, join(at, key))
		}
	}
	return out
}

// The page describes what the structs accept: nothing is missing, nothing is
// invented.
func TestReferenceIsComplete(t *testing.T) {
	want := slices.Concat(
		paths(reflect.TypeFor[file](), ""),
		paths(reflect.TypeFor[entry](), "mcpServers.NAME"),
		paths(reflect.TypeFor[auth.HeaderOptions](), "header"),
		paths(reflect.TypeFor[auth.BearerOptions](), "bearer"),
		paths(reflect.TypeFor[auth.ClientCredentialsOptions](), "client_credentials"),
		[]string{"auth.type", "auth.use", "auth.scopes", "auth.resource"},
	)
	want = slices.DeleteFunc(want, func(p string) bool { return p == "mcpServers" || p == "credentials" })
	var got []string
	for _, k := range Reference() {
		got = append(got, k.Path)
		if k.Type == "" || !strings.HasSuffix(k.Meaning, ".") || strings.Contains(k.Meaning, "|") {
			t.Errorf("%s is not described well: %+v", k.Path, k)
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("keys of the reference (-structs +reference):\n%s", diff)
	}
}

func TestConfigurationPage(t *testing.T) {
	const path = "../docs/configuration.md"
	page := ReferencePage()
	if flag.Lookup("update").Value.String() == "true" {
		if err := os.WriteFile(path, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(page, string(got)); diff != "" {
		t.Errorf("docs/configuration.md is stale, run make generate (-want +got):\n%s", diff)
	}
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]Size{
		"0": 0, "512": 512, "64KiB": 64 << 10, "8MiB": 8 << 20, "1.5 GiB": 3 << 29, "2KB": 2000, "3MB": 3e6, "1GB": 1e9, "7B": 7,
	} {
		if got, err := ParseSize(text); err != nil || got != want {
			t.Errorf("%q is %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "MiB", "-1", "1e3", "8 Mib", "0x10", "inf", "NaN", "99999999999GiB", "1.2.3"} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("%q is %d, want an error", text, got)
		}
	}
	for s, want := range map[Size]string{0: "0B", 1000: "1000B", 1024: "1KiB", 8 << 20: "8MiB", 3 << 29: "1536MiB", 1 << 30: "1GiB"} {
		if got := s.String(); got != want {
			t.Errorf("%d is written %s, want %s", int64(s), got, want)
		}
	}
}

func TestSuggestions(t *testing.T) {
	allowed := []string{"listen", "credentials", "mcpServers", "log"}
	for word, want := range map[string]string{
		"lisen": `did you mean "listen"?`, "lsiten": `did you mean "listen"?`, "mcp_servers": `did you mean "mcpServers"?`,
		"Credential": `did you mean "credentials"?`, "lag": `did you mean "log"?`, "xyz": "use listen, credentials, mcpServers or log",
	} {
		if got := suggestion(word, allowed); got != want {
			t.Errorf("%s: %s, want %s", word, got, want)
		}
	}
	if got := suggestion("a", nil); got != "remove it" {
		t.Errorf("of nothing: %s", got)
	}
	if got := distance(strings.Repeat("a", 1<<20), "b"); got != 64 {
		t.Errorf("a huge word is %d away", got)
	}
}

func TestPaths(t *testing.T) {
	for path, want := range map[string]string{
		"a.b": "a", "a": "", `a["b.c"]`: "a", `a["b[0]"].d`: `a["b[0]"]`, "a.b[3]": "a.b", `a["x\"y"]`: "a",
	} {
		if got := parent(path); got != want {
			t.Errorf("parent of %s is %s, want %s", path, got, want)
		}
	}
}
