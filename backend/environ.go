package backend

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/recloser-mcp/recloser/auth"
)

// environ is the environment of a process: a few variables of ours, without which
// programs do not run, and those that it is given. Ours may hold credentials of
// other backends.
func environ(own map[string]string) []string {
	all := map[string]string{}
	for _, kv := range os.Environ() {
		name, value, _ := strings.Cut(kv, "=")
		// A value of this form is a function of the shell.
		if inherits(name) && !strings.HasPrefix(value, "()") {
			all[name] = value
		}
	}
	maps.Copy(all, own)
	out := make([]string, 0, len(all))
	for name, value := range all {
		out = append(out, name+"="+value)
	}
	slices.Sort(out)
	return out
}

func inherits(name string) bool {
	return slices.ContainsFunc(inherited, func(pattern string) bool {
		prefix, open := strings.CutSuffix(pattern, "*")
		return name == pattern || open && strings.HasPrefix(name, prefix) || runtime.GOOS == "windows" && strings.EqualFold(name, pattern)
	})
}

// Locate finds the program of a backend that is a process, where starting it
// would. Its error says in words why there is none to start.
func Locate(o Options) (string, error) {
	found, err := locate(o.Command, o.Cwd, o.Env)
	if err != nil {
		return "", errors.New(startFault(err))
	}
	return found, nil
}

// locate finds a program in the PATH that its process gets.
func locate(name, dir string, own map[string]string) (string, error) {
	if strings.ContainsRune(name, filepath.Separator) || strings.Contains(name, "/") {
		if !filepath.IsAbs(name) {
			name = filepath.Join(dir, name)
		}
		if full, err := filepath.Abs(name); err == nil { // its folder may be another one
			name = full
		}
		return exec.LookPath(name)
	}
	path, given := own["PATH"]
	if !given {
		return exec.LookPath(name)
	}
	for _, folder := range filepath.SplitList(path) {
		if folder == "" {
			continue // the current folder, for shells
		}
		if found, err := exec.LookPath(filepath.Join(folder, name)); err == nil {
			return found, nil
		}
	}
	return "", exec.ErrNotFound
}

// startFault puts into words why a process could not be started.
func startFault(err error) string {
	switch {
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		return "there is no such program in its PATH, or no such folder"
	case errors.Is(err, fs.ErrPermission):
		return "the program may not be executed"
	}
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	return err.Error()
}

// secretsOf are the values of an environment that must not be shown. Paths and
// short words are no secrets: a line about a file would be lost with them.
func secretsOf(env map[string]string) (secrets []string) {
	for name, value := range env {
		if !auth.SecretName(name) && filepath.IsAbs(value) {
			continue
		}
		secrets = append(secrets, value)
		secrets = append(secrets, strings.Fields(value)...)
	}
	return secrets
}
