package wire

import (
	"bytes"
	"fmt"
	"slices"
)

// pieceSize is the size from which a rewritten event goes out in pieces of the
// buffer it stands in, instead of as a copy.
const pieceSize = chunkSize - spare

// frame decides about the complete frame. When it does not go on unchanged,
// what goes on instead is in the queue: nothing, if it is dropped.
func (s *StreamRewriter) frame() (changed bool, err error) {
	fr := &s.f.fr
	if fr.lines == 0 {
		return s.strips(), nil
	}
	data := s.f.data()
	text := bytes.TrimSpace(data)
	if len(text) == 0 {
		return s.strips(), nil // primes a client for resuming, says nothing
	}
	if text[0] != '{' && text[0] != '[' && !s.isMessage() {
		return s.keep(), nil
	}
	a := answerScan{cursor: cursor{b: data}, members: s.o.Rewrite.Members}
	a.run()
	switch {
	case a.bad != nil:
		if a.bad.Code == ParseError && !s.isMessage() {
			return s.keep(), nil
		}
		return false, fmt.Errorf("%w: %w", ErrInvalid, a.bad)
	case a.response():
		return s.response(&a), nil
	case a.method:
		return s.call(data), nil
	}
	return true, nil
}

// isMessage reports whether the event is of the type that carries messages.
// Others may hold anything, but what is JSON is a message whatever its type, as
// some clients do not look at that.
func (s *StreamRewriter) isMessage() bool {
	typ := s.f.raw()[s.f.fr.typ.Start:s.f.fr.typ.End]
	return len(typ) == 0 || string(typ) == "message"
}

// strips reports whether the frame has a field that DropIDs takes out.
func (s *StreamRewriter) strips() bool {
	return s.o.DropIDs && (s.f.fr.hasID || s.f.fr.retry.Present())
}

// keep lets the frame go on with the data it has.
func (s *StreamRewriter) keep() (changed bool) {
	if !s.strips() {
		return false
	}
	s.reframe(nil)
	return true
}

// call handles a request or a notification of the server.
func (s *StreamRewriter) call(data []byte) (changed bool) {
	e, err := Scan(data)
	if err != nil {
		return true // no client can take it
	}
	s.env = e
	if changed, final := s.ask(data); final {
		return changed
	}
	return s.keep()
}

// ask lets Each decide; final is false when the frame is to pass.
func (s *StreamRewriter) ask(data []byte) (changed, final bool) {
	if s.o.Each == nil {
		return false, false
	}
	action, other := s.o.Each(&s.env, data)
	switch action {
	case Pass:
		return false, false
	case Replace:
		s.reframe(other)
	case Hold:
		s.held = true
	}
	return true, true
}

// response handles a response, scanned as a.
func (s *StreamRewriter) response(a *answerScan) (changed bool) {
	if s.done || s.o.Standing {
		return true
	}
	s.done, s.failed = true, a.a.Error.Present()
	s.env = Envelope{Kind: Response, ID: a.a.ID, Result: a.a.Result, Error: a.a.Error}
	if changed, final := s.ask(a.b); final {
		return changed
	}
	edits := a.edits(s.edits[:0], s.o.Rewrite)
	switch {
	case len(edits) == 0:
		return s.keep()
	case s.f.fr.lines > 1 || s.strips():
		s.reframe(Splice(nil, a.b, edits...))
	default:
		s.splice(edits)
	}
	return true
}

// splice applies edits of the data to the frame, which has one line of them.
func (s *StreamRewriter) splice(edits []Edit) {
	raw := s.f.raw()
	for i := range edits {
		edits[i].Start += s.f.fr.data.Start
		edits[i].End += s.f.fr.data.Start
	}
	if len(raw) < pieceSize {
		s.room = Splice(grab(chunkSize)[:0], raw, edits...)
		s.queue = append(s.pieces[:0], s.room)
		return
	}
	s.queue = s.pieces[:0]
	slices.SortStableFunc(edits, compareEdits)
	done := 0
	for _, e := range edits {
		s.queue = append(s.queue, raw[done:e.Start], e.New)
		done = e.End
	}
	s.queue = append(s.queue, raw[done:])
}

// reframe queues the frame with other data, or with its own when data is nil,
// and without the fields that DropIDs takes out. Other lines keep their bytes.
func (s *StreamRewriter) reframe(data []byte) {
	out, raw := grab(chunkSize)[:0], s.f.raw()
	placed := false
	for len(raw) > 0 {
		line, next := cutLine(raw)
		name, _ := fieldOf(bytes.TrimPrefix(line, []byte("\xEF\xBB\xBF")))
		switch string(name) {
		case "data":
			if data == nil {
				out = append(out, raw[:next]...)
			} else if !placed {
				placed = true
				out = appendData(out, data)
			}
		case "id", "retry":
			if !s.o.DropIDs {
				out = append(out, raw[:next]...)
			}
		default:
			out = append(out, raw[:next]...)
		}
		raw = raw[next:]
	}
	s.room = out
	s.queue = append(s.pieces[:0], out)
}

// cutLine returns the first line of b, which has one, and where the next one
// begins.
func cutLine(b []byte) (line []byte, next int) {
	n := bytes.IndexAny(b, "\r\n")
	if n < 0 {
		return b, len(b)
	}
	next = n + 1
	if b[n] == '\r' && next < len(b) && b[next] == '\n' {
		next++
	}
	return b[:n], next
}
