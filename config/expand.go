package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// The forms of a reference, for messages.
const referenceForms = "use ${VAR}, ${VAR:-default}, ${env:VAR} or ${file:PATH}; $${ stands for a literal ${"

// maxSecretFile bounds what ${file:PATH} reads.
const maxSecretFile = 1 << 20

// expander replaces references in texts. What it read it remembers, so that a
// document means the same however often and however late a part of it is
// decoded. Safe for concurrent use.
type expander struct {
	env func(string) (string, bool)
	dir string // relative paths start here

	mu    sync.Mutex
	vars  map[string]variable
	files map[string]fileText
}

type variable struct {
	text string
	set  bool
}

type fileText struct {
	text string
	err  error
}

func newExpander(env func(string) (string, bool), dir string) *expander {
	return &expander{env: env, dir: dir, vars: map[string]variable{}, files: map[string]fileText{}}
}

// problemText is an error in two halves, as a Problem has them.
type problemText struct {
	message, fix string
	outside      bool // the text is right, and what it refers to is not there
}

func (p *problemText) Error() string { return p.message + "; " + p.fix }

// part is a piece of a text: a literal, the value of a variable or a file.
type part struct {
	literal string
	file    string // absolute path
}

// split reads a text with references. The values of variables come back as
// literals: they are never read for references again.
func (x *expander) split(text string) ([]part, error) {
	var parts []part
	var lit strings.Builder
	for {
		i := strings.Index(text, "${")
		if i < 0 {
			lit.WriteString(text)
			break
		}
		if i > 0 && text[i-1] == '$' {
			lit.WriteString(text[:i-1] + "${")
			text = text[i+2:]
			continue
		}
		lit.WriteString(text[:i])
		end := strings.IndexByte(text[i:], '}')
		if end < 0 {
			return nil, &problemText{message: "has ${ without a }", fix: referenceForms}
		}
		ref := text[i+2 : i+end]
		text = text[i+end+1:]
		if path, ok := strings.CutPrefix(ref, "file:"); ok {
			if path == "" || strings.Contains(path, "${") {
				return nil, &problemText{message: "has a bad reference", fix: referenceForms}
			}
			parts = append(parts, part{literal: lit.String()}, part{file: x.abs(path)})
			lit.Reset()
			continue
		}
		value, err := x.variable(ref)
		if err != nil {
			return nil, err
		}
		lit.WriteString(value)
	}
	parts = append(parts, part{literal: lit.String()})
	return slices.DeleteFunc(parts, func(p part) bool { return p == part{} }), nil
}

// variable returns the value that VAR, env:VAR, VAR:-default stand for.
func (x *expander) variable(ref string) (string, error) {
	name, fallback, hasFallback := strings.Cut(strings.TrimPrefix(ref, "env:"), ":-")
	if !isVariableName(name) || strings.Contains(fallback, "${") {
		return "", &problemText{message: "has a bad reference", fix: referenceForms}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	v, known := x.vars[name]
	if !known {
		v.text, v.set = x.env(name)
		x.vars[name] = v
	}
	switch {
	case hasFallback && v.text == "":
		return fallback, nil
	case !v.set:
		return "", &problemText{
			fmt.Sprintf("variable %s is not set", name),
			fmt.Sprintf("export it or give a default: ${%s:-...}", name), true,
		}
	}
	return v.text, nil
}

// plain expands a text for a field that is not secret; files are read here and
// now. tainted says that the result holds more than what the document itself
// says, and therefore may not be shown.
func (x *expander) plain(text string) (out string, tainted bool, err error) {
	if !strings.Contains(text, "${") {
		return text, false, nil
	}
	parts, err := x.split(text)
	if err != nil {
		return "", true, err
	}
	var b strings.Builder
	for _, p := range parts {
		b.WriteString(p.literal)
		if p.file != "" {
			s, err := x.read(p.file)
			if err != nil {
				return "", true, err
			}
			b.WriteString(s)
		}
	}
	return b.String(), true, nil
}

// secret expands a text for an auth.Value: variables are put in and escaped,
// files stay references so that their owner watches them. Every file is read
// once here, so that an unreadable one is found at its place in the text.
func (x *expander) secret(text string) (string, error) {
	parts, err := x.split(text)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for i, p := range parts {
		if p.file == "" {
			if i+1 < len(parts) && strings.HasSuffix(p.literal, "$") {
				return "", &problemText{message: "has a $ right before ${file:...}, which would make it a literal", fix: "put the $ into the file"}
			}
			b.WriteString(strings.ReplaceAll(p.literal, "${", "$${"))
			continue
		}
		if _, err := x.read(p.file); err != nil {
			return "", err
		}
		b.WriteString("${file:" + p.file + "}")
	}
	return b.String(), nil
}

// refers reports whether a text takes anything from outside the document.
func refers(text string) bool {
	return strings.Contains(strings.ReplaceAll(text, "$${", ""), "${")
}

// abs resolves a path against the folder of the document.
func (x *expander) abs(path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(x.dir, path)
}

// read returns the content of a file without its last line end.
func (x *expander) read(path string) (string, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	f, known := x.files[path]
	if !known {
		f.text, f.err = readRegular(path)
		x.files[path] = f
	}
	if f.err != nil {
		return "", &problemText{fmt.Sprintf("file %s cannot be read: %s", path, cause(f.err)), "make it readable or correct the path", true}
	}
	return f.text, nil
}

// readRegular reads a bounded regular file: a pipe or a device would block or
// never end, and could not be read again when it changes.
func readRegular(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", errors.New("it is not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSecretFile+1))
	if err != nil {
		return "", err
	}
	if len(data) > maxSecretFile {
		return "", fmt.Errorf("it is larger than %s", Size(maxSecretFile))
	}
	text := strings.TrimSuffix(string(data), "\n")
	return strings.TrimSuffix(text, "\r"), nil
}

// cause drops the operation and the path of a file error: the message has them.
func cause(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// echoed reports whether a text shows what a variable or a file holds, or a part
// of it: a message may have cut it off or put escapes into it. Values of less than
// four letters and digits cannot be told from words; see quotes for those.
func (x *expander) echoed(text string) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	squeezed := squeeze(text)
	shown := func(value string) bool {
		whole := squeeze(value)
		if len(whole) >= 4 && strings.Contains(squeezed, whole[:min(8, len(whole))]) {
			return true
		}
		return slices.ContainsFunc(strings.FieldsFunc(value, func(r rune) bool { return squeeze(string(r)) == "" }), func(word string) bool {
			return len(word) >= 6 && strings.Contains(squeezed, squeeze(word))
		})
	}
	for _, v := range x.vars {
		if shown(v.text) {
			return true
		}
	}
	for _, f := range x.files {
		if shown(f.text) {
			return true
		}
	}
	return false
}

// squeeze leaves the letters and digits of ASCII, in lower case.
func squeeze(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		}
		return -1
	}, s)
}

func isVariableName(s string) bool {
	for i, r := range s {
		if r != '_' && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return s != ""
}
