package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// patch is one mutant: a diff and the tests that have to notice it.
type patch struct {
	path  string // absolute
	name  string // file name without .patch
	why   string
	tests []string // arguments of go test, one run each
}

// readPatches reads the headers of the patches in dir whose names contain one of
// the words; no words means all. All defects are reported at once.
func readPatches(dir string, words []string) ([]patch, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.patch"))
	if err != nil {
		return nil, err
	}
	var patches []patch
	var errs []error
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".patch")
		if len(words) > 0 && !slices.ContainsFunc(words, func(w string) bool { return strings.Contains(name, w) }) {
			continue
		}
		p, err := readPatch(path, name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		patches = append(patches, p)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if len(patches) == 0 {
		return nil, fmt.Errorf("%s holds no patch to try", dir)
	}
	return patches, nil
}

func readPatch(path, name string) (patch, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return patch{}, err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return patch{}, err
	}
	p := patch{path: abs, name: name}
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "#") {
			break
		}
		if rest, ok := strings.CutPrefix(line, "# why:"); ok {
			p.why = strings.TrimSpace(rest)
		}
		if rest, ok := strings.CutPrefix(line, "# test:"); ok {
			p.tests = append(p.tests, strings.TrimSpace(rest))
		}
	}
	if p.why == "" {
		return patch{}, fmt.Errorf("%s: the header needs a line %q", path, "# why: what is wrong with this change")
	}
	if len(p.tests) == 0 {
		return patch{}, fmt.Errorf("%s: the header needs a line %q", path, "# test: ./guard/ -run TestName")
	}
	return p, nil
}
