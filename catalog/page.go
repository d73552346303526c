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
	// pageSize is how many bytes of definitions make a page full. A single
	// larger definition is a page of its own.
	pageSize = 1 << 20
	// maxCursor bounds cursors that are looked at.
	maxCursor = 16 << 10
)

// ErrCursor is the error of List for a cursor that List did not make.
var ErrCursor = errors.New("the cursor is not one of this list")

// List returns a page of the entries of a kind. An empty cursor asks for the
// first page. A cursor stays good when the catalogue changes: it says behind
// which name to go on.
func (v *View) List(k Kind, cursor string) (Page, error) {
	s := &v.sections[k]
	if cursor == "" {
		return s.first, nil
	}
	last, ok := readCursor(k, cursor)
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
	for end < len(s.sorted) && (end == from || size+len(s.sorted[end].Definition) <= pageSize) {
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
		p = wire.Quote(append(p, `,"nextCursor":`...), newCursor(k, s.sorted[end-1].Public))
	}
	return p
}

// newCursor makes a cursor out of the last name of a page. It names the list too,
// as a cursor of one list means nothing to another.
func newCursor(k Kind, last string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(k.field() + ":" + last))
}

func readCursor(k Kind, cursor string) (last string, ok bool) {
	if len(cursor) > maxCursor {
		return "", false
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil || !utf8.Valid(raw) {
		return "", false
	}
	list, last, ok := strings.Cut(string(raw), ":")
	return last, ok && list == k.field() && last != ""
}
