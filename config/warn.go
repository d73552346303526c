package config

import (
	"cmp"
	"slices"
	"strings"
	"sync"
)

// warnings collects what has no effect, one warning for each key however many
// backends have it: a file of twenty pasted servers must not print sixty lines.
type warnings struct {
	mu    sync.Mutex
	found []*notice
}

type notice struct {
	Warning
	key    string
	others []string // further backends with the key
}

// warn records that a key has no effect. who is the backend that has it, empty
// for a key at the top.
func (d *decoder) warn(m *member, path, who, message string) {
	w := d.warnings
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range w.found {
		if who != "" && n.key == m.key {
			n.others = append(n.others, who)
			return
		}
	}
	n := &notice{Warning: Warning{File: d.file, Line: m.line, Column: m.col, Path: path, Message: "has no effect: " + message}}
	if who != "" {
		n.key = m.key
	}
	w.found = append(w.found, n)
}

// note records anything else that the reader should know.
func (d *decoder) note(at mark, path, message, fix string) {
	d.warnings.mu.Lock()
	defer d.warnings.mu.Unlock()
	d.warnings.found = append(d.warnings.found, &notice{Warning: Warning{
		File: d.file, Line: at.line, Column: at.col, Path: path, Message: message, Fix: fix,
	}})
}

// list returns the warnings in the order of the text.
func (w *warnings) list() []Warning {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []Warning
	for _, n := range w.found {
		if len(n.others) > 0 {
			n.Message += " (also in " + strings.Join(n.others, ", ") + ")"
			n.others = nil
		}
		out = append(out, n.Warning)
	}
	slices.SortStableFunc(out, func(a, b Warning) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return out
}
