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

// moreTest wants to run in the folder of its package, and leaves a file there when it
// fails, as property tests do that are not told otherwise.
const moreTest = `package m

import (
	"flag"
	"os"
	"testing"
)

var keepNothing = flag.Bool("rapid.nofailfile", false, "")

func TestReady(t *testing.T) {
	if _, err := os.Stat("testdata/input"); err != nil {
		t.Fatal(err)
	}
	if ready {
		return
	}
	if !*keepNothing {
		_ = os.WriteFile("testdata/left", nil, 0o644)
	}
	t.Fatal("not ready")
}
`

// nestedTest is in a module of its own, and one of its tests runs the go command.
const nestedTest = `package n

import (
	"os/exec"
	"testing"

	"example.com/m/m"
)

func TestTwice(t *testing.T) {
	if m.Twice(3) != 6 {
		t.Fatal("not twice")
	}
}

func TestWhatItBuilds(t *testing.T) {
	cmd := exec.Command("go", "test", "-count=1", "-run", "TestTwice", "./m/")
	cmd.Dir = ".."
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s", out)
	}
}
`

// files of a small module with one function and one test.
var module = map[string]string{
	"go.mod":           "module example.com/m\n\ngo 1.26\n",
	"m/m.go":           "package m\n\n// Twice doubles.\nfunc Twice(n int) int { return n + n }\n",
	"m/m_test.go":      "package m\n\nimport \"testing\"\n\nfunc TestTwice(t *testing.T) {\n\tif Twice(3) != 6 {\n\t\tt.Fatal(\"not twice\")\n\t}\n}\n\nfunc TestNothing(t *testing.T) {}\n",
	"m/more.go":        "package m\n\nfunc init() { ready = true }\n",
	"m/ready.go":       "package m\n\nvar ready bool\n",
	"m/more_test.go":   moreTest,
	"m/testdata/input": "kept\n",
	"n/go.mod":         "module example.com/n\n\ngo 1.26\n\nrequire example.com/m v0.0.0\n\nreplace example.com/m => ../\n",
	"n/n_test.go":      nestedTest,
}

func change(from, to string) string {
	return "diff --git a/m/m.go b/m/m.go\n--- a/m/m.go\n+++ b/m/m.go\n@@ -3,2 +3,2 @@\n // Twice doubles.\n-" + from + "\n+" + to + "\n"
}

const (
	line = "func Twice(n int) int { return n + n }"
	why  = "# why: a test\n"
)

const (
	deletion = "diff --git a/m/more.go b/m/more.go\ndeleted file mode 100644\n--- a/m/more.go\n+++ /dev/null\n@@ -1,3 +0,0 @@\n-package m\n-\n-func init() { ready = true }\n"
	addition = "diff --git a/m/zero.go b/m/zero.go\nnew file mode 100644\n--- /dev/null\n+++ b/m/zero.go\n@@ -0,0 +1,3 @@\n+package m\n+\n+func init() { ready = false }\n"
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
		"6-hangs":    why + "# test: ./m/ -run TestTwice -timeout 2s\n" + change(line, "func Twice(n int) int { select {} }"),
		"7-deletes":  why + "# test: ./m/ -run TestReady\n" + deletion,
		"8-adds":     why + "# test: ./m/ -run TestReady\n" + addition,
		"9-nested":   why + "# test: -C n ./ -run TestTwice\n" + change(line, "func Twice(n int) int { return n * n }"),
		"9-rebuilt":  why + "# test: -C n ./ -run TestWhatItBuilds\n" + change(line, "func Twice(n int) int { return n * n }"),
	})
	var out bytes.Buffer
	r := runner{root: dir, limit: time.Minute, out: &out}
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
		`7-deletes +caught `,
		`8-adds +caught `,
		`9-nested +caught .*go test -C n \./ -run TestTwice\n`,
		`9-rebuilt +caught `,
		`10 mutants, 7 caught, 3 not`,
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
	if _, err := os.Stat(filepath.Join(dir, "m/testdata/left")); err == nil {
		t.Error("a test that failed left a file in the tree")
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
		"no reason":       {"# test: ./m/\n" + good, "# why:"},
		"no test line":    {why + good, "# test:"},
		"runs no test":    {why + "# test: ./m/ -run TestGone\n" + good, "runs no test"},
		"red without it":  {why + "# test: ./m/ -run TestReady -count=0x\n" + good, "fails without any patch"},
		"no such package": {why + "# test: ./gone/\n" + good, "does not compile without any patch"},
		"no package":      {why + "# test: -run TestTwice\n" + good, "does not begin with one package"},
		"many packages":   {why + "# test: ./...\n" + good, "more than one package"},
		"two packages":    {why + "# test: ./m/ ./n/\n" + good, "more than one package"},
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

func TestRunnerThatTrustsTheTests(t *testing.T) {
	t.Parallel()
	dir := setup(t, map[string]string{"it": why + "# test: ./m/ -run TestGone\n" + change(line, "func Twice(n int) int { return n * n }")})
	var out bytes.Buffer
	r := runner{root: dir, limit: time.Minute, trusts: true, out: &out}
	if ok, err := r.run(t.Context(), 1, nil); err != nil || ok || !strings.Contains(out.String(), "SURVIVED") {
		t.Errorf("ok %v, error %v, printed:\n%s", ok, err, out.String())
	}
}

func TestRunnerWantsAPatch(t *testing.T) {
	dir := setup(t, nil)
	r := runner{root: dir, out: &bytes.Buffer{}}
	if _, err := r.run(t.Context(), 1, nil); err == nil {
		t.Error("no error although there is no patch")
	}
}
