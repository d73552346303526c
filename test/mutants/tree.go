package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// tree is a copy of the working tree in which a mutant is tried.
type tree struct {
	dir   string
	files map[string][]byte // by relative name, as they were when the run began
}

// copyTree makes dir a copy of what git knows or would add; ignored files stay
// behind. A copy from an earlier run is brought up to date.
func copyTree(ctx context.Context, from, dir string) (*tree, error) {
	list := exec.CommandContext(ctx, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", ":!.tools")
	list.Dir = from
	out, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("list the files of %s: %w", from, err)
	}
	t := &tree{dir: dir, files: make(map[string][]byte)}
	for name := range strings.SplitSeq(string(out), "\x00") {
		if name == "" {
			continue
		}
		text, err := os.ReadFile(filepath.Join(from, name))
		if errors.Is(err, os.ErrNotExist) { // deleted, and not yet committed
			continue
		}
		if err != nil {
			return nil, err
		}
		t.files[name] = text
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	return t, t.restore()
}

// apply changes the tree by the patch, wholly or not at all.
func (t *tree) apply(ctx context.Context, path string) (output string, err error) {
	cmd := exec.CommandContext(ctx, "git", "apply", "--recount", path)
	cmd.Dir = t.dir
	// A repository around the temporary folder must not be taken for ours.
	cmd.Env = append(os.Environ(), "GIT_CEILING_DIRECTORIES="+filepath.Dir(t.dir))
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// restore undoes whatever a patch and its tests did to the files of the tree, or
// an earlier run left there. Files that are as they should be are not touched.
func (t *tree) restore() error {
	for name, want := range t.files {
		path := filepath.Join(t.dir, name)
		if have, err := os.ReadFile(path); err == nil && bytes.Equal(have, want) {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, want, 0o644); err != nil {
			return err
		}
	}
	return filepath.WalkDir(t.dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(t.dir, path)
		if err != nil {
			return err
		}
		if _, keep := t.files[filepath.ToSlash(name)]; keep {
			return nil
		}
		return os.Remove(path)
	})
}

// goTest runs go test with the arguments of one test line. One that begins with -C and a
// folder is about the module there.
func (t *tree) goTest(ctx context.Context, line string, limit time.Duration, more ...string) (string, error) {
	args := append([]string{"test", "-vet=off", "-timeout", limit.String()}, more...)
	own, dir := strings.Fields(line), t.dir
	if len(own) > 1 && own[0] == "-C" {
		own, dir = own[2:], filepath.Join(dir, own[1])
	}
	cmd := exec.CommandContext(ctx, "go", append(args, own...)...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// baseline runs a test line without a patch: it has to pass, and to run a test.
func (t *tree) baseline(ctx context.Context, line string, limit time.Duration) error {
	out, err := t.goTest(ctx, line, limit)
	if err != nil {
		return fmt.Errorf("go test %s fails without any patch:\n%s", line, tail(out, 60))
	}
	if !ranSomething(out) {
		return fmt.Errorf("go test %s runs no test:\n%s", line, tail(out, 20))
	}
	return nil
}

// ranSomething is true when at least one of the packages of a run had a test to
// run.
func ranSomething(output string) bool {
	for line := range strings.Lines(output) {
		if strings.HasPrefix(line, "ok ") && !strings.Contains(line, "[no tests to run]") {
			return true
		}
	}
	return false
}

// test runs a test line on the patched tree.
func (t *tree) test(ctx context.Context, line string, limit time.Duration) (verdict, string) {
	out, err := t.goTest(ctx, line, limit, "-count=1")
	var exit *exec.ExitError
	switch {
	case err == nil:
		return survived, out
	case ctx.Err() != nil, !errors.As(err, &exit):
		return failed, out + "\n" + err.Error()
	case strings.Contains(out, "[build failed]"), strings.Contains(out, "[setup failed]"):
		return broken, out
	default:
		return caught, out
	}
}
