package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// tree is the working tree as the go command sees it with one patch, or with none.
// No file of it changes: patched files lie in a folder of their own, and the go
// command is told to read them instead (go help build, -overlay). So what a patch
// leaves as it is comes from Go's cache, whoever compiled it.
type tree struct {
	root    string // absolute
	dir     string // for patched files and test binaries
	overlay string // the file that maps the ones to the others; empty: no patch
}

// newTree returns the tree without a patch. close removes what it wrote.
func newTree(root string) (*tree, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "mutant")
	if err != nil {
		return nil, err
	}
	return &tree{root: root, dir: dir}, nil
}

func (t *tree) close() error { return os.RemoveAll(t.dir) }

// apply patches the tree. output is git's complaint when the patch does not apply.
func (t *tree) apply(ctx context.Context, patch string) (output string, err error) {
	files := filepath.Join(t.dir, "files")
	names, output, err := t.git(ctx, t.root, "--numstat", "-z", patch)
	if err != nil {
		return output, err
	}
	replace := make(map[string]string)
	for line := range strings.SplitSeq(strings.TrimSuffix(names, "\x00"), "\x00") {
		name := line[strings.LastIndexByte(line, '\t')+1:] // added, deleted, name
		from, to := filepath.Join(t.root, name), filepath.Join(files, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return "", err
		}
		text, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(to, text, 0o644)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // the patch makes it
			return "", err
		}
		replace[from] = to
	}
	if _, output, err := t.git(ctx, files, patch); err != nil {
		return output, err
	}
	for from, to := range replace {
		if _, err := os.Stat(to); errors.Is(err, fs.ErrNotExist) {
			replace[from] = "" // the patch deletes it
		}
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	t.overlay = filepath.Join(t.dir, "overlay.json")
	return "", os.WriteFile(t.overlay, text, 0o644)
}

// git runs git apply in a folder that it does not take for a part of a repository.
func (t *tree) git(ctx context.Context, dir string, args ...string) (stdout, all string, err error) {
	cmd := exec.CommandContext(ctx, "git", append([]string{"apply", "--recount"}, args...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CEILING_DIRECTORIES="+filepath.Dir(dir))
	var out, complaint strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &complaint
	err = cmd.Run()
	return out.String(), out.String() + complaint.String(), err
}

// env is for the go command, and for tests that run it themselves.
func (t *tree) env() []string {
	env := os.Environ()
	if t.overlay != "" {
		env = append(env, "GOFLAGS="+strings.TrimSpace(os.Getenv("GOFLAGS")+" -overlay="+t.overlay))
	}
	return env
}

// compile makes the test binary of a package.
func (t *tree) compile(ctx context.Context, b binary) (path, output string, err error) {
	path = filepath.Join(t.dir, strings.ReplaceAll(filepath.ToSlash(b.module+"/"+b.pkg), "/", "_")+".test")
	// It runs for a moment and nobody debugs it: what compiles and links quickest.
	cmd := exec.CommandContext(ctx, "go", "test", "-c", "-vet=off", "-gcflags=-N -l -dwarf=false", "-ldflags=-w", "-o", path, b.pkg)
	cmd.Dir = filepath.Join(t.root, b.module)
	cmd.Env = t.env()
	out, err := cmd.CombinedOutput()
	return path, string(out), err
}

// run runs the tests of a line, which a compile has made, as go test would. It does
// not begin another test after one has failed.
func (t *tree) run(ctx context.Context, path string, l testLine, limit time.Duration) (output string, err error) {
	args := []string{"-test.failfast", "-test.timeout=" + limit.String()}
	// Property tests would keep what made them fail in the working tree.
	const keepNothing = "rapid.nofailfile"
	code, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	if bytes.Contains(code, []byte(keepNothing)) {
		args = append(args, "-"+keepNothing)
	}
	for _, flag := range l.flags {
		if name, ok := strings.CutPrefix(flag, "-"); ok {
			flag = "-test." + name
		}
		args = append(args, flag)
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir = filepath.Join(t.root, l.module, l.pkg)
	cmd.Env = t.env()
	cmd.WaitDelay = 5 * time.Second // for what a killed test leaves behind
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// baseline runs test lines of one package without a patch: each has to pass, and to
// run a test.
func (t *tree) baseline(ctx context.Context, lines []testLine, limit time.Duration) error {
	path, out, err := t.compile(ctx, lines[0].binary)
	if err != nil {
		return fmt.Errorf("go test %s does not compile without any patch:\n%s", lines[0].pkg, tail(out, 60))
	}
	for _, l := range lines {
		out, err := t.run(ctx, path, l, limit)
		if err != nil {
			return fmt.Errorf("go test %s fails without any patch: %w\n%s", l, err, tail(out, 60))
		}
		if strings.Contains(out, "testing: warning: no tests to run\n") {
			return fmt.Errorf("go test %s runs no test", l)
		}
	}
	return nil
}

// test runs a test line on the patched tree.
func (t *tree) test(ctx context.Context, l testLine, limit time.Duration) (verdict, string) {
	path, out, err := t.compile(ctx, l.binary)
	was := broken
	if err == nil {
		out, err = t.run(ctx, path, l, limit)
		was = caught
	}
	var exit *exec.ExitError
	switch {
	case err == nil:
		return survived, out
	case ctx.Err() != nil, !errors.As(err, &exit):
		return failed, out + "\n" + err.Error()
	default:
		return was, out
	}
}
