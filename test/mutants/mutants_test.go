package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// files of a small module with one function and one test.
var module = map[string]string{
	"go.mod":           "module example.com/m\n\ngo 1.26\n",
	"m/m.go":           "package m\n\n// Twice doubles.\nfunc Twice(n int) int { return n + n }\n",
	"m/m_test.go":      "package m\n\nimport \"testing\"\n\nfunc TestTwice(t *testing.T) {\n\tif Twice(3) != 6 {\n\t\tt.Fatal(\"not twice\")\n\t}\n}\n\nfunc TestNothing(t *testing.T) {}\n",
	"m/testdata/input": "kept\n",
}

func change(from, to string) string {
	return "diff --git a/m/m.go b/m/m.go\n--- a/m/m.go\n+++ b/m/m.go\n@@ -3,2 +3,2 @@\n // Twice doubles.\n-" + from + "\n+" + to + "\n"
}

const (
	line = "func Twice(n int) int { return n + n }"
	why  = "# why: a test\n"
)

// setup writes the module and the patches into a new repository.
func setup(t *testing.T, patches map[string]string) (dir string) {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil && os.Getenv("CI") != "true" {
		t.Skip("git is not installed, and patches are applied with it")
	}
	dir = t.TempDir()
	write := func(name, text string) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range module {
		write(name, text)
	}
	for name, text := range patches {
		write(filepath.Join("testdata/mutants", name+".patch"), text)
	}
	cmd := exec.Command("git", "init", "-q")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return dir
}

func TestRunnerTellsMutantsApart(t *testing.T) {
	t.Parallel()
	dir := setup(t, map[string]string{
		"1-caught":   why + "# test: ./m/ -run TestTwice\n" + change(line, "func Twice(n int) int { return n * n }"),
		"2-second":   why + "# test: ./m/ -run TestNothing\n# test: ./m/\n" + change(line, "func Twice(n int) int { return n * n }"),
		"3-survives": why + "# test: ./m/ -run TestNothing\n" + change(line, "func Twice(n int) int { return n * n }"),
		"4-stale":    why + "# test: ./m/ -run TestTwice\n" + change("func Thrice() {}", "func Twice(n int) int { return n }"),
		"5-broken":   why + "# test: ./m/ -run TestTwice\n" + change(line, "func Twice(n int) int { return \"\" }"),
		"6-hangs":    why + "# test: ./m/ -run TestTwice\n" + change(line, "func Twice(n int) int { select {} }"),
	})
	var out bytes.Buffer
	r := runner{root: dir, limit: 5 * time.Second, out: &out}
	ok, err := r.run(t.Context(), 2, nil)
	if err != nil {
		t.Fatal(err)
	}
	if ok {
		t.Error("reported as all caught")
	}
	for _, want := range []string{
		`1-caught +caught `,
		`2-second +caught .*go test \./m/\n`,
		`3-survives +SURVIVED `,
		`4-stale +DOES NOT APPLY `,
		`5-broken +DOES NOT COMPILE `,
		`6-hangs +caught `,
		`6 mutants, 3 caught, 3 not`,
	} {
		if !regexp.MustCompile(want).MatchString(out.String()) {
			t.Errorf("no %q in:\n%s", want, out.String())
		}
	}
	// The tree itself is as it was.
	for name, text := range module {
		have, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || string(have) != text {
			t.Errorf("%s was changed: %v", name, err)
		}
	}
}

func TestRunnerAcceptsACaughtMutant(t *testing.T) {
	t.Parallel()
	dir := setup(t, map[string]string{
		"caught":  why + "# test: ./m/ -run TestTwice\n" + change(line, "func Twice(n int) int { return n * n }"),
		"ignored": why + "# test: ./m/ -run TestNothing\n" + change(line, "func Twice(n int) int { return n * n }"),
	})
	var out bytes.Buffer
	r := runner{root: dir, limit: time.Minute, out: &out}
	if ok, err := r.run(t.Context(), 2, []string{"aught"}); err != nil || !ok {
		t.Errorf("ok %v, error %v, printed:\n%s", ok, err, out.String())
	}
}

func TestRunnerRefusesTestsThatProveNothing(t *testing.T) {
	t.Parallel()
	good := change(line, "func Twice(n int) int { return n * n }")
	for name, test := range map[string]struct {
		patch, want string
	}{
		"no reason":      {"# test: ./m/\n" + good, "# why:"},
		"no test line":   {why + good, "# test:"},
		"runs no test":   {why + "# test: ./m/ -run TestGone\n" + good, "runs no test"},
		"red without it": {why + "# test: ./gone/\n" + good, "fails without any patch"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := setup(t, map[string]string{"it": test.patch})
			r := runner{root: dir, limit: time.Minute, out: &bytes.Buffer{}}
			_, err := r.run(t.Context(), 1, nil)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}

func TestRunnerWantsAPatch(t *testing.T) {
	dir := setup(t, nil)
	r := runner{root: dir, out: &bytes.Buffer{}}
	if _, err := r.run(t.Context(), 1, nil); err == nil {
		t.Error("no error although there is no patch")
	}
}
