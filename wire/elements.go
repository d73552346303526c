package wire

import (
	"fmt"
	"iter"
)

// Element is one entry of a list: a tool, a prompt, a resource or a template.
type Element struct {
	Raw    []byte // as the server wrote it; shares memory with the result
	Name   string
	URI    string // of a resource: uri; of a template: uriTemplate
	NameAt Span   // the name's value in Raw, quotes included, for Splice
}

// Elements splits the result of a list: field is "tools", "prompts",
// "resources" or "resourceTemplates". cursor is nextCursor, "" on the last
// page. A list that is null is empty; the error wraps ErrInvalid when it is
// absent or no array, or when result is no object.
//
// Entries are not judged: one without a name has none, and one that is no
// object has nothing but Raw.
func Elements(result []byte, field string) (list []Element, cursor string, err error) {
	found := false
	o := object{cursor: cursorOf(result)}
	for o.next() {
		switch string(o.name) {
		case field:
			raw := o.raw()
			found = o.bad == nil && (len(raw) == 0 || raw[0] == '[')
			list = list[:0]
			for v := range elements(raw) {
				list = append(list, element(v))
			}
		case "nextCursor":
			cursor = o.text()
		}
	}
	if err := o.err(); err != nil {
		return nil, "", fmt.Errorf("list of %s: %w", field, err)
	}
	if !found {
		return nil, "", fmt.Errorf("list of %s: %w: no such array", field, ErrInvalid)
	}
	return list, cursor, nil
}

func cursorOf(b []byte) cursor { return cursor{b: b} }

// element reads one sound entry.
func element(raw []byte) Element {
	e := Element{Raw: raw}
	o := object{cursor: cursorOf(raw)}
	for o.next() {
		switch string(o.name) {
		case "name":
			start := o.i
			if text, ok := Unquote(o.raw()); ok {
				e.Name, e.NameAt = text, Span{start, o.i}
			}
		case "uri", "uriTemplate":
			if text := o.text(); text != "" {
				e.URI = text
			}
		}
	}
	return e
}

// elements visits the values of a sound array; of anything else there are none.
func elements(raw []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		c := cursorOf(raw)
		if c.peek() != '[' {
			return
		}
		for ok := c.open(']'); ok; ok = c.more(']') {
			v := c.value()
			if c.bad != nil || !yield(v.Of(raw)) {
				return
			}
		}
	}
}
