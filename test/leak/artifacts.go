package leak

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// Variable names the environment variable with the folder for artifacts, an
// absolute path: tests run in the folder of their package.
const Variable = "RECLOSER_ARTIFACTS"

// Artifacts keeps what a run showed for the search over all outputs (test/leaks):
// the outputs in FOLDER/RUN, and apart from them the tokens to search for, one a
// line, in FOLDER/tokens/RUN, which only their owner may read. They are good at
// servers of that run alone. A nil Artifacts keeps nothing. Its methods are safe
// for concurrent use.
type Artifacts struct {
	dir, tokens string
	mu          sync.Mutex
	parts       map[string]int // how often each was kept
}

// Open returns the artifacts of a run, empty of what an earlier one left; nil when
// the environment does not ask for them.
func Open(run string) (*Artifacts, error) {
	folder := os.Getenv(Variable)
	if folder == "" {
		return nil, nil
	}
	if !filepath.IsAbs(folder) {
		return nil, errors.New("leak: " + Variable + " is not an absolute path")
	}
	a := &Artifacts{dir: filepath.Join(folder, run), tokens: filepath.Join(folder, "tokens", run), parts: map[string]int{}}
	return a, errors.Join(os.RemoveAll(a.dir), os.RemoveAll(a.tokens),
		os.MkdirAll(a.dir, 0o700), os.MkdirAll(filepath.Dir(a.tokens), 0o700))
}

// Keep adds the outputs of one part of the run, by name, and the tokens that were
// in use. A part that is there already is kept beside it.
func (a *Artifacts) Keep(part string, shown map[string]string, tokens ...string) error {
	if a == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	dir := filepath.Join(a.dir, filepath.FromSlash(part))
	if a.parts[part]++; a.parts[part] > 1 {
		dir += fmt.Sprintf("-%d", a.parts[part])
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for name, text := range shown {
		if text == "" {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	f, err := os.OpenFile(a.tokens, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(strings.Join(append(tokens, ""), "\n"))
	return errors.Join(err, f.Close())
}
