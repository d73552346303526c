package wire

import (
	"errors"
	"io"
)

// Action is what becomes of a message of a stream.
type Action uint8

// The actions.
const (
	Pass    Action = iota // it goes on
	Drop                  // it does not
	Replace               // another message goes on in its place
	Hold                  // it does not go on, and the reader stops behind it with ErrHeld
)

// ErrHeld is the error of a read that met a message for which StreamOptions.Each
// said Hold. Everything before it has been handed out. Reading may go on.
var ErrHeld = errors.New("wire: a message of the stream is held back")

// StreamOptions say how a [StreamRewriter] treats a stream.
type StreamOptions struct {
	// Rewrite is applied to the response. Give the client's id here, also
	// when the backend was sent the same: then whatever id comes back, no
	// response can reach a request of the client other than its own.
	Rewrite RewriteOptions
	// MaxEvent bounds an event, in bytes; 0 is DefaultMaxEvent.
	MaxEvent int
	// Each, when set, sees every message before it goes on and decides about
	// it. e and raw are valid during the call only. For Replace it returns
	// the other message, one JSON document. A response is shown as it came
	// and rewritten when it passes; one that replaces it is not rewritten.
	Each func(e *Envelope, raw []byte) (Action, []byte)
	// Standing is a stream that answers no request, like that of a GET: its
	// end is no truncation, and responses on it are dropped.
	Standing bool
	// DropIDs takes id and retry out of the events, and leaves out events
	// that have nothing else: a client must not try to resume with us a
	// stream that only the backend can resume.
	DropIDs bool
}

// StreamRewriter passes a stream of server-sent events through, event by event.
// The first response (a message with a result or an error) is rewritten;
// notifications, requests, comments and blank lines keep their bytes, framing
// included. A second response is dropped, and so is JSON that is no message at
// all. Each event leaves as soon as it is complete. One goroutine may use it.
type StreamRewriter struct {
	f framer
	o StreamOptions

	queue  [][]byte // of a changed event, to go out before anything else
	room   []byte   // holds rewritten bytes that queue refers to
	pieces [8][]byte
	edits  [3]Edit
	env    Envelope // what Each gets
	done   bool     // the response was seen
	failed bool     // and is an error
	held   bool     // Each held a message back
	ending error    // of the source
	err    error
	rest   []byte // what Read has not handed out yet
}

// NewStreamRewriter returns a reader of the rewritten stream that r delivers.
//
// Its errors, which are final but for ErrHeld: io.EOF when the stream ends after its response,
// ErrTruncated when it ends before or within an event, ErrTooLarge for an event
// beyond MaxEvent, ErrInvalid for a message that is not JSON or a batch, else
// that of r. What goes wrong behind the response is taken for the end.
//
// Nothing has to be closed at its end; a reader that is left before is closed
// or forgotten.
func NewStreamRewriter(r io.Reader, o StreamOptions) *StreamRewriter {
	return &StreamRewriter{f: newFramer(r, o.MaxEvent), o: o}
}

// Done reports whether the response has passed.
func (s *StreamRewriter) Done() bool { return s.done }

// IsError reports whether the response has passed and carries an error.
func (s *StreamRewriter) IsError() bool { return s.failed }

// Close ends the use of a reader that was not read to its end; it does not
// close the source. It must not run beside Read or WriteTo. Should it do so all
// the same, no other stream gets to see the bytes: buffers go to the collector
// here, and back to the pool only at an end that the reader saw itself.
func (s *StreamRewriter) Close() {
	if s.err == nil {
		s.err = io.ErrClosedPipe
		s.f.buf, s.f.start, s.f.end = nil, 0, 0
		s.rest, s.queue, s.room = nil, nil, nil
	}
}

// Read implements io.Reader.
func (s *StreamRewriter) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(s.rest) == 0 {
		var err error
		if s.rest, err = s.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// WriteTo implements io.WriterTo. It writes whole events, as many at a time as
// have arrived, a large one perhaps in pieces; a writer that flushes after each
// Write delays none.
func (s *StreamRewriter) WriteTo(w io.Writer) (written int64, err error) {
	out := s.rest
	s.rest = nil
	for {
		if len(out) > 0 {
			n, err := w.Write(out)
			written += int64(n)
			if err != nil {
				return written, err
			}
		}
		if out, err = s.next(); err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return written, err
		}
	}
}

// next returns what may go on next: events that stand unchanged side by side in
// the buffer, or a piece of a changed one. It is valid until the next call.
func (s *StreamRewriter) next() (out []byte, err error) {
	for {
		if len(s.queue) > 0 {
			out, s.queue = s.queue[0], s.queue[1:]
			return out, nil
		}
		giveBack(s.room)
		s.room = nil
		if s.held {
			s.held = false
			return nil, ErrHeld
		}
		if s.err != nil {
			s.f.release()
			return nil, s.err
		}
		out, s.err = s.gather()
		if s.err != nil && s.done {
			s.err = io.EOF
		}
		if len(out) > 0 {
			return out, nil
		}
	}
}

// gather takes the events that are buffered, up to the first that does not go
// on unchanged; that one is in the queue then. It reads only when nothing is
// left to go on.
func (s *StreamRewriter) gather() (out []byte, err error) {
	from := s.f.start
	for {
		complete, err := s.f.parse()
		changed := false
		if complete && err == nil {
			changed, err = s.frame()
		}
		out := s.f.buf[from:s.f.start]
		switch {
		case err != nil:
			return out, err
		case complete:
			s.f.consume()
			if changed {
				return out, nil
			}
		case len(out) > 0:
			return out, nil
		case s.ending != nil:
			return s.finish()
		default:
			s.ending = s.f.read() // what came with it is parsed first
			from = s.f.start
		}
	}
}

// finish decides how the stream ended. A line feed that may be left over at a
// clean end goes on.
func (s *StreamRewriter) finish() (tail []byte, err error) {
	clean := errors.Is(s.ending, io.EOF) && !s.f.partial()
	if clean {
		tail = s.f.buf[s.f.start:s.f.end]
	}
	return tail, endOf(s.ending, s.done || clean && s.o.Standing)
}
