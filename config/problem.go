package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// Problem is one thing that is wrong in a configuration document: where it is,
// what it is and what to do. Neither Message nor Fix ever holds the value of a
// variable or of a secret field.
type Problem struct {
	// File is the name the document was loaded under.
	File string
	// Line and Column count from 1, columns in characters. Both are 0 when the
	// problem has no place in the text, such as a file that does not exist.
	Line, Column int
	// Path is the key from the top of the document, such as
	// mcpServers.github.auth.token. Empty when the text does not parse.
	Path string
	// Message says what is wrong, Fix what the reader can do.
	Message, Fix string
	// Outside is true when the document itself is right: a variable that it names
	// is not set, or a file cannot be read.
	Outside bool
}

// String renders the problem on one line: file:line:column: path: message; fix.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
	}
	b.WriteString(": ")
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	b.WriteString(p.Message)
	if p.Fix != "" {
		b.WriteString("; " + p.Fix)
	}
	return b.String()
}

// Problems are all problems of one document in the order of the text. It is the
// error type of Load, Parse and of the Decode function of a Spec.
type Problems []Problem

// Error has one line for each problem.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Warning is something in a document that has no effect and does no harm, such
// as a key that only a client understands.
type Warning Problem

// String renders the warning on one line, as a Problem does.
func (w Warning) String() string { return Problem(w).String() }

// collector gathers problems. The same fault at the same key is kept once, so
// that decoding a section twice does not report it twice. It is safe for
// concurrent use because the Decode function of a Spec outlives Parse.
type collector struct {
	file string

	mu    sync.Mutex
	found Problems
	paths map[string]bool // paths with a problem at or below them
}

func newCollector(file string) *collector {
	return &collector{file: file, paths: map[string]bool{}}
}

// add records a problem at a place in the text.
func (c *collector) add(at mark, path, message, fix string) { c.put(at, path, message, fix, false) }

func (c *collector) put(at mark, path, message, fix string, outside bool) {
	p := Problem{
		File: c.file, Line: at.line, Column: at.col, Path: path,
		Message: oneLine(message), Fix: oneLine(fix), Outside: outside,
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if slices.Contains(c.found, p) {
		return
	}
	c.found = append(c.found, p)
	for path != "" {
		c.paths[path] = true
		path = parent(path)
	}
}

// bad reports whether something at or below path is wrong already. Checks ask it
// so that one mistake does not show up as two.
func (c *collector) bad(path string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.paths[path]
}

// problems returns what was found, in the order of the text.
func (c *collector) problems() Problems {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := slices.Clone(c.found)
	slices.SortFunc(out, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column),
			cmp.Compare(a.Path, b.Path), cmp.Compare(a.Message, b.Message))
	})
	return out
}

// err returns the problems as an error, nil when there are none.
func (c *collector) err() error {
	if ps := c.problems(); len(ps) > 0 {
		return ps
	}
	return nil
}

// oneLine keeps a message that holds a piece of the document on its one line.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}
