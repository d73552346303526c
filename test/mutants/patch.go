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
	tests []testLine // each runs on its own
}

// binary is what go test compiles of one package.
type binary struct {
	module string // folder of the module, from the root; "." is that of the root itself
	pkg    string // as go test takes it, such as ./guard/
}

// testLine says which tests to run.
type testLine struct {
	binary
	flags []string // of go test, such as -run and its value
}

// String is the line as the header of a patch has it.
func (l testLine) String() string {
	words := append([]string{l.pkg}, l.flags...)
	if l.module != "." {
		words = append([]string{"-C", l.module}, words...)
	}
	return strings.Join(words, " ")
}

// parseTestLine reads what follows "# test:".
func parseTestLine(text string) (testLine, error) {
	l, words := testLine{binary: binary{module: "."}}, strings.Fields(text)
	if len(words) > 1 && words[0] == "-C" {
		l.module, words = words[1], words[2:]
	}
	if len(words) == 0 || !strings.HasPrefix(words[0], "./") {
		return testLine{}, fmt.Errorf("test line %q does not begin with one package, such as ./guard/", text)
	}
	l.pkg, l.flags = words[0], words[1:]
	if strings.Contains(l.pkg, "...") || len(l.flags) > 0 && !strings.HasPrefix(l.flags[0], "-") {
		return testLine{}, fmt.Errorf("test line %q names more than one package: write a line for each", text)
	}
	return l, nil
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
			test, err := parseTestLine(strings.TrimSpace(rest))
			if err != nil {
				return patch{}, fmt.Errorf("%s: %w", path, err)
			}
			p.tests = append(p.tests, test)
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
