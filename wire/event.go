package wire

import (
	"errors"
	"io"
	"strconv"
	"strings"
	"time"
)

// Event is one server-sent event.
type Event struct {
	Type  string        // "" is the default, "message"
	ID    string        // of the last event that had one, this one included
	Data  []byte        // without the line feed at its end; valid until the next call
	Retry time.Duration // wait before a reconnection, if this event says so; else 0
}

// EventReader reads the events of a stream (HTML standard, "Server-sent
// events"): lines end with CR, LF or CRLF, a byte order mark is skipped,
// comments and unknown fields are ignored, data lines are joined. Blocks
// without data are no events, but their id and retry count. Ids longer than
// 4096 bytes are ignored. One goroutine may use it.
type EventReader struct {
	f      framer
	id     string
	retry  time.Duration
	ending error // of the source
	err    error
}

// NewEventReader returns a reader of the events in r, none larger than maxEvent
// bytes, framing included; 0 is [DefaultMaxEvent].
func NewEventReader(r io.Reader, maxEvent int) *EventReader {
	return &EventReader{f: newFramer(r, maxEvent)}
}

// Next returns the next event. Its errors, which are final: io.EOF at the end
// of a stream that ends between two events, ErrTruncated when it ends within
// one, ErrTooLarge, else that of the source.
func (e *EventReader) Next() (Event, error) {
	for e.err == nil {
		complete, err := e.f.parse()
		switch {
		case err != nil:
			e.err = err
		case complete:
			if ev, ok := e.event(); ok {
				return ev, nil
			}
		case e.ending != nil:
			e.err = endOf(e.ending, errors.Is(e.ending, io.EOF) && !e.f.partial())
		default:
			e.ending = e.f.read() // what came with it is parsed first
		}
	}
	e.f.release()
	return Event{}, e.err
}

// LastID returns the last event id, for Last-Event-ID on a reconnection. It is
// the server's text and may hold what no header may: see [ValidSessionID].
func (e *EventReader) LastID() string { return e.id }

// Retry returns the last wait before a reconnection that the stream asked for,
// 0 when it asked for none.
func (e *EventReader) Retry() time.Duration { return e.retry }

// maxEventID bounds what is kept of a stream between its events; longer ids are
// ignored.
const maxEventID = 4096

// event turns the complete frame into an event, if it is one.
func (e *EventReader) event() (ev Event, ok bool) {
	fr, raw := e.f.fr, e.f.raw()
	if fr.hasID && fr.id.End-fr.id.Start <= maxEventID && e.id != string(raw[fr.id.Start:fr.id.End]) {
		e.id = string(raw[fr.id.Start:fr.id.End])
	}
	if fr.retry.Present() {
		ev.Retry = retryOf(raw[fr.retry.Start:fr.retry.End])
		e.retry = ev.Retry
	}
	if fr.lines > 0 {
		ev.Data = e.f.data()
		ev.ID = e.id
		if typ := raw[fr.typ.Start:fr.typ.End]; string(typ) == "message" {
			ev.Type = "message"
		} else {
			ev.Type = string(typ)
		}
	}
	e.f.consume()
	return ev, fr.lines > 0
}

// maxRetry bounds what a stream may ask for.
const maxRetry = 24 * time.Hour

// retryOf reads a field of digits, milliseconds.
func retryOf(digits []byte) time.Duration {
	ms, err := strconv.ParseUint(string(digits), 10, 32)
	if err != nil || ms > uint64(maxRetry/time.Millisecond) {
		return maxRetry
	}
	return time.Duration(ms) * time.Millisecond
}

// AppendEvent appends the event as it goes over the wire, with its blank line.
// Line ends in Data become data lines of their own. What could break the
// framing is left out: Type and ID end at their first line end, ID at a NUL, too.
func AppendEvent(dst []byte, e Event) []byte {
	if t := upTo(e.Type, "\r\n"); t != "" {
		dst = append(append(append(dst, "event: "...), t...), '\n')
	}
	if id := upTo(e.ID, "\r\n\x00"); id != "" {
		dst = append(append(append(dst, "id: "...), id...), '\n')
	}
	if e.Retry > 0 {
		dst = append(dst, "retry: "...)
		dst = append(strconv.AppendInt(dst, e.Retry.Milliseconds(), 10), '\n')
	}
	return append(appendData(dst, e.Data), '\n')
}

// appendData appends data as data lines, at least one.
func appendData(dst, data []byte) []byte {
	for {
		dst = append(dst, "data: "...)
		n := 0
		for n < len(data) && data[n] != '\n' && data[n] != '\r' {
			n++
		}
		dst = append(append(dst, data[:n]...), '\n')
		if n == len(data) {
			return dst
		}
		if data[n] == '\r' && n+1 < len(data) && data[n+1] == '\n' {
			n++
		}
		data = data[n+1:]
	}
}

func upTo(s, chars string) string {
	if n := strings.IndexAny(s, chars); n >= 0 {
		return s[:n]
	}
	return s
}
