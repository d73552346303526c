package wire

import (
	"bytes"
	"slices"
)

// canonicalDepth bounds how deep Canonical puts members into order, so that a
// hostile document costs no more than a copy for each level.
const canonicalDepth = 64

// Canonical appends the JSON value raw to dst in a form that does not depend on
// how its writer laid it out: without white space, the members of each object
// in the order of their names' bytes. Names, strings and numbers stay as they
// are written, and of equal names all stay, in their order: nothing that a
// reader could see is lost. What nests deeper than 64 levels, and what is no
// JSON value, is appended as it is.
func Canonical(dst, raw []byte) []byte {
	start := len(dst)
	c := canonical{cursor: cursorOf(raw)}
	c.peek()
	dst = c.value(dst)
	if c.end(); c.bad != nil {
		return append(dst[:start], raw...)
	}
	return dst
}

// canonical is one walk through a value.
type canonical struct {
	cursor
	members []canonicalMember // of the open objects, the innermost last
	scratch []byte
}

type canonicalMember struct {
	name []byte
	at   Span // of the whole member in what is written
}

func (c *canonical) value(dst []byte) []byte {
	if c.bad != nil {
		return dst
	}
	ch := c.peek()
	switch {
	case ch != '{' && ch != '[' || c.depth == canonicalDepth:
		return append(dst, c.cursor.value().Of(c.b)...)
	case ch == '{':
		return c.object(dst)
	}
	dst = append(dst, '[')
	for ok, first := c.open(']'), true; ok; ok, first = c.more(']'), false {
		if !first {
			dst = append(dst, ',')
		}
		dst = c.value(dst)
	}
	return append(dst, ']')
}

// object appends the members as they come, and puts them into order afterwards
// where they are not.
func (c *canonical) object(dst []byte) []byte {
	base, sorted := len(c.members), true
	dst = append(dst, '{')
	begin := len(dst)
	for ok := c.open('}'); ok; ok = c.more('}') {
		start := c.i
		if c.name(); c.bad != nil {
			return dst
		}
		end, _, _ := stringEnd(c.b, start+1)
		m := canonicalMember{name: c.b[start+1 : end-1]}
		if n := len(c.members); n > base {
			dst = append(dst, ',')
			sorted = sorted && bytes.Compare(c.members[n-1].name, m.name) <= 0
		}
		m.at.Start = len(dst)
		dst = append(append(dst, c.b[start:end]...), ':')
		dst = c.value(dst)
		m.at.End = len(dst)
		c.members = append(c.members, m)
	}
	if !sorted {
		dst = c.sort(dst, begin, c.members[base:])
	}
	c.members = c.members[:base]
	return append(dst, '}')
}

// sort puts members into the order of their names. What is written from begin on
// are these members.
func (c *canonical) sort(dst []byte, begin int, members []canonicalMember) []byte {
	slices.SortStableFunc(members, func(a, b canonicalMember) int { return bytes.Compare(a.name, b.name) })
	c.scratch = append(c.scratch[:0], dst[begin:]...)
	dst = dst[:begin]
	for i, m := range members {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, c.scratch[m.at.Start-begin:m.at.End-begin]...)
	}
	return dst
}
