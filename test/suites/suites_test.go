package main

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// fakeMake stands in for make: a suite is a script in the folder that the test runs in.
const fakeMake = `#!/bin/sh
[ "$1" = --no-print-directory ] || exit 9
cd "$(dirname "$0")" && . "./$2.sh"
`

// screen is a file, so that a suite can wait for what the runner prints.
type screen struct{ *os.File }

func (s screen) String() string {
	text, err := os.ReadFile(s.Name())
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// rig is a runner whose suites are the given scripts.
func rig(t *testing.T, suites map[string]string) (*runner, screen) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("suites are scripts for a POSIX shell")
	}
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	write("make", fakeMake, 0o755)
	for name, text := range suites {
		write(name+".sh", text, 0o644)
	}
	out, err := os.Create(filepath.Join(dir, "screen"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = out.Close() })
	return &runner{make: filepath.Join(dir, "make"), logs: filepath.Join(dir, "logs"), out: out}, screen{out}
}

// run runs the steps.
func run(t *testing.T, r *runner, args ...string) error {
	t.Helper()
	steps, err := parse(args)
	if err != nil {
		t.Fatal(err)
	}
	return r.run(t.Context(), steps)
}

func TestSuitesRunInTheirOrder(t *testing.T) {
	t.Parallel()
	r, out := rig(t, map[string]string{
		"first":  "echo of the first; echo and its complaint >&2; echo 1 >made",
		"second": "cat made; echo 'ok  \texample.com/second\t0.1s'",
		"third":  "echo of the third",
	})
	if err := run(t, r, "first", "second", "third"); err != nil {
		t.Fatalf("%v, printed:\n%s", err, out)
	}
	want := `(?s)^\n=== first\nof the first\nand its complaint\n=== first passed in \d+ s\n` +
		`\n=== second\n1\nok  \texample.com/second\t0.1s\n=== second passed in \d+ s\n` +
		`\n=== third\nof the third\n=== third passed in \d+ s\n` +
		`\n=== all suites passed in \d+ s\n` +
		`first +\d+ s +\d+ s of CPU\nsecond +\d+ s +\d+ s of CPU\nthird +\d+ s +\d+ s of CPU\n` +
		`\nok  \texample.com/second\t0.1s\n$`
	if !regexp.MustCompile(want).MatchString(out.String()) {
		t.Errorf("printed:\n%s\nwant a match of:\n%s", out, want)
	}
	if text, err := os.ReadFile(filepath.Join(r.logs, "first.log")); err != nil || string(text) != "of the first\nand its complaint\n" {
		t.Errorf("the log of the first holds %q, %v", text, err)
	}
}

// Each of the two waits for the other.
func TestLanesRunBesideEachOther(t *testing.T) {
	t.Parallel()
	r, out := rig(t, map[string]string{
		"left":  "mkfifo a b 2>/dev/null; echo left 1; echo >a; read -r x <b; echo left 2",
		"right": "mkfifo a b 2>/dev/null; echo right 1; read -r x <a; echo >b; echo right 2",
		"after": "echo after",
	})
	if err := run(t, r, "left | right", "after"); err != nil {
		t.Fatalf("%v, printed:\n%s", err, out)
	}
	for _, want := range []string{
		"\n=== left begins\n", "\n=== left\nleft 1\nleft 2\n=== left passed in ",
		"\n=== right begins\n", "\n=== right\nright 1\nright 2\n=== right passed in ",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
	after := strings.Index(out.String(), "\n=== after\n")
	if after < strings.Index(out.String(), "=== left passed") || after < strings.Index(out.String(), "=== right passed") {
		t.Errorf("the step after the lanes did not wait for both:\n%s", out)
	}
}

func TestNothingBeginsAfterAFailure(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		args          []string
		failed        string
		ended, absent []string
	}{
		"alone":            {[]string{"good", "bad", "other"}, "bad", []string{"good"}, []string{"other"}},
		"in a lane":        {[]string{"fails other | waits never", "good"}, "fails", []string{"waits"}, []string{"other", "never", "good"}},
		"in both lanes":    {[]string{"fails | worse", "good"}, "fails, worse", nil, []string{"good"}},
		"that is no suite": {[]string{"unknown", "good"}, "unknown", nil, []string{"good"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, out := rig(t, map[string]string{
				"good": "echo of the good", "other": "echo", "never": "echo",
				"bad": "echo why it fails; exit 3",
				// The others of a lane begin before it fails, and end after that.
				"fails": "until [ -e begun ]; do sleep 0.01; done; exit 3",
				"worse": "echo >begun; until grep -q 'fails failed' screen; do sleep 0.01; done; exit 4",
				"waits": "echo >begun; until grep -q 'fails failed' screen; do sleep 0.01; done",
			})
			err := run(t, r, test.args...)
			if err == nil {
				t.Fatalf("no error, printed:\n%s", out)
			}
			failed := strings.Split(strings.TrimPrefix(err.Error(), "failed: "), ", ")
			slices.Sort(failed)
			if have := strings.Join(failed, ", "); have != test.failed {
				t.Errorf("failed: %q, want %q", have, test.failed)
			}
			for _, suite := range strings.Split(test.failed, ", ") {
				if !strings.Contains(out.String(), "=== "+suite+" failed after ") {
					t.Errorf("%s is not reported:\n%s", suite, out)
				}
			}
			for _, suite := range test.ended {
				if !strings.Contains(out.String(), "=== "+suite+" passed in ") {
					t.Errorf("%s did not run to its end:\n%s", suite, out)
				}
			}
			for _, suite := range test.absent {
				if strings.Contains(out.String(), "=== "+suite) {
					t.Errorf("%s began:\n%s", suite, out)
				}
			}
			if strings.Contains(out.String(), "all suites passed") {
				t.Errorf("reported as passed:\n%s", out)
			}
		})
	}
}

func TestAnInterruptEndsTheRun(t *testing.T) {
	t.Parallel()
	r, out := rig(t, map[string]string{"one": "echo"})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.run(ctx, []step{{{"one"}}}); err == nil || strings.Contains(out.String(), "=== one") {
		t.Errorf("error %v, printed:\n%s", err, out)
	}
}

func TestArgumentsThatMeanNothing(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"":            "name the suites",
		"a;b | ":      "lane without a suite",
		"a;b | c a":   "a is named twice",
		"a b | c;|":   "lane without a suite",
		"a b;c;c | d": "c is named twice",
	} {
		var split []string
		if args != "" {
			split = strings.Split(args, ";")
		}
		if _, err := parse(split); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one with %q", args, err, want)
		}
	}
}
