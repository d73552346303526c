package catalog

import (
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/recloser-mcp/recloser/wire"
)

// Page is one page of a list result: its members without the brackets, as in
//
//	"tools":[…],"nextCursor":"…"
//
// so that an answer of any revision can be put around it.
type Page []byte

const (
	// defaultPage is how many bytes of definitions make a page full. A single
	// larger definition is a page of its own.
	defaultPage = 1 << 20
	// maxCursor bounds cursors that are looked at.
	maxCursor = 16 << 10
)

// ErrCursor is the error of List for a cursor that List did not make.
var ErrCursor = errors.New("the cursor is not one of this list")

// List returns a page of the entries of a kind. An empty cursor asks for the
// first page. A cursor stays good when the catalogue changes: it says behind
// which name to go on. So what is listed all the time a client reads comes
// exactly once.
func (v *View) List(k Kind, cursor string) (Page, error) {
	s := &v.sections[k]
	if cursor == "" {
		return s.first, nil
	}
	last, ok := s.pager.read(k, cursor)
	if !ok {
		return nil, ErrCursor
	}
	from, found := slices.BinarySearchFunc(s.sorted, last, func(e *Entry, name string) int {
		return strings.Compare(e.Public, name)
	})
	if found {
		from++
	}
	return s.page(k, from), nil
}

// page joins the definitions from an index on.
func (s *section) page(k Kind, from int) Page {
	end, size := from, 0
	for end < len(s.sorted) && (end == from || size+len(s.sorted[end].Definition) <= s.pager.size) {
		size += len(s.sorted[end].Definition) + 1
		end++
	}
	p := make([]byte, 0, size+len(k.field())+5)
	p = append(append(append(p, '"'), k.field()...), `":[`...)
	for i := from; i < end; i++ {
		if i > from {
			p = append(p, ',')
		}
		p = append(p, s.sorted[i].Definition...)
	}
	p = append(p, ']')
	if end < len(s.sorted) {
		p = wire.Quote(append(p, `,"nextCursor":`...), s.pager.cursor(k, s.sorted[end-1].Public))
	}
	return p
}

// pager cuts the lists of one endpoint into pages.
type pager struct {
	scope string // slug of the endpoint's only backend, "" where all are served
	size  int    // bytes of definitions that fill a page
}

// cursor makes a cursor out of the last name of a page. It names the list and
// the endpoint too, as a cursor of one means nothing to another.
func (p pager) cursor(k Kind, last string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(k.field() + ":" + p.scope + ":" + last))
}

func (p pager) read(k Kind, cursor string) (last string, ok bool) {
	if len(cursor) > maxCursor {
		return "", false
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil || !utf8.Valid(raw) {
		return "", false
	}
	last, ok = strings.CutPrefix(string(raw), k.field()+":"+p.scope+":")
	return last, ok && last != ""
}
