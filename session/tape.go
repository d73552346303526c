package session

import (
	"bytes"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// tapeBytes bounds what is kept of one stream, tapes how many streams of a
	// session are kept, and allTapes what all sessions keep together.
	tapeBytes = 256 << 10
	tapes     = 8
	allTapes  = 64 << 20
	// ResumeTime is how long a stream whose client is gone waits for it to come
	// back.
	ResumeTime = time.Minute
)

// Tape keeps the last events of one stream, so that a client whose connection broke
// can ask for those behind the last one that it got (basic/transports,
// "Resumability and Redelivery", 2025-11-25). All methods are safe for concurrent
// use, but Write, which is its writer's.
type Tape struct {
	s      *Session
	name   string
	mu     sync.Mutex
	events [][]byte // the last ones, each with its id
	first  int      // number of events[0]
	next   int      // number of the event that passes or comes next
	bytes  int
	lost   bool // the event that passes is too large to be kept
	part   []byte
	inside bool // an event is half through
	blank  blankLine

	over    bool
	closed  bool // it is forgotten
	readers int
	reader  int           // counts takeovers
	changed chan struct{} // nil while nobody waits
	idle    *time.Timer
	expire  func()
}

// Record starts the tape of a stream. expire is called when the stream has had
// nobody who reads it for ResumeTime; a standing stream has none.
func (s *Session) Record(expire func()) *Tape {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.recorded++
	t := &Tape{s: s, name: strconv.FormatInt(s.recorded, 36), readers: 1, expire: expire}
	if len(s.tapes) == tapes {
		old := s.tapes[0]
		for i, one := range s.tapes { // one that has ended, if there is one
			if one.ended() {
				old = one
				s.tapes = append(s.tapes[:i:i], s.tapes[i+1:]...)
				break
			}
		}
		if len(s.tapes) == tapes {
			s.tapes = s.tapes[1:]
		}
		old.forget()
	}
	s.tapes = append(s.tapes, t)
	return t
}

// Resume finds the stream that an event id belongs to, and the events that follow
// it: they begin with the number after.
func (s *Session) Resume(lastEventID string) (t *Tape, after int, ok bool) {
	name, number, _ := strings.Cut(lastEventID, "-")
	after, err := strconv.Atoi(number)
	if err != nil || after < 0 {
		return nil, 0, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.tapes {
		if t.name == name {
			return t, after + 1, true
		}
	}
	return nil, 0, false
}

// Prime returns an event without data, whose id a client can resume from before
// anything else came.
func (t *Tape) Prime() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	event := append(t.id(), "retry: 1000\ndata: \n\n"...)
	t.keep(event)
	return event
}

// Frame returns a whole event with the id that it will have when it is kept next.
func (t *Tape) Frame(event []byte) []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append(t.id(), event...)
}

// Keep keeps what Frame returned, once it has been written.
func (t *Tape) Keep(framed []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.keep(framed)
}

// Write takes what passes, whole events or pieces of them, and returns it with an id
// at the start of each event.
func (t *Tape) Write(p []byte) []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.next <= 1 && !t.inside {
		p = bytes.TrimPrefix(p, []byte("\xEF\xBB\xBF")) // it does not stand at the start any more
	}
	out := make([]byte, 0, len(p)+32)
	for len(p) > 0 {
		if !t.inside {
			t.inside, t.part = true, t.id()
			out = append(out, t.part...)
		}
		n, ends := t.blank.end(p)
		out = append(out, p[:n]...)
		if t.lost = t.lost || len(t.part)+n > tapeBytes; !t.lost {
			t.part = append(t.part, p[:n]...)
		}
		p = p[n:]
		if !ends {
			continue
		}
		t.inside = false
		if t.lost {
			t.drop(len(t.events)) // what stands before it is of no use alone
			t.next++
			t.first, t.lost = t.next, false
			t.tell()
		} else {
			t.keep(t.part)
		}
		t.part = nil
	}
	return out
}

func (t *Tape) id() []byte {
	return append(strconv.AppendInt([]byte("id: "+t.name+"-"), int64(t.next), 10), '\n')
}

func (t *Tape) keep(event []byte) {
	t.next++
	defer t.tell()
	if t.closed || !t.s.store.spare(len(event)) {
		t.drop(len(t.events))
		t.first = t.next
		return
	}
	t.events = append(t.events, bytes.Clone(event))
	for t.bytes += len(event); t.bytes > tapeBytes; {
		t.drop(1)
	}
}

func (t *Tape) drop(n int) {
	size := 0
	for _, e := range t.events[:n] {
		size += len(e)
	}
	t.events, t.first, t.bytes = t.events[n:], t.first+n, t.bytes-size
	t.s.store.spare(-size)
}

// tell wakes those who wait for more.
func (t *Tape) tell() {
	if t.changed != nil {
		close(t.changed)
		t.changed = nil
	}
}

// Standing reports whether the stream is that of a GET, which has no end of its own.
func (t *Tape) Standing() bool { return t.expire == nil }

// Reopen takes back End.
func (t *Tape) Reopen() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = false
	if t.idle != nil {
		t.idle.Stop()
	}
}

// End says that nothing more comes.
func (t *Tape) End() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = true
	t.tell()
	if t.idle != nil {
		t.idle.Stop()
	}
	if !t.closed {
		t.idle = time.AfterFunc(ResumeTime, func() { t.s.erase(t) })
	}
}

func (t *Tape) ended() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.over
}

// Take makes the caller the one who reads the stream, in place of whoever did.
// It returns a number that is Current as long as nobody else takes it.
func (t *Tape) Take() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.reader++
	t.readers = 1
	if t.idle != nil && !t.over {
		t.idle.Stop()
	}
	t.tell()
	return t.reader
}

// Current reports whether the reader with the number still reads the stream.
func (t *Tape) Current(reader int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.reader == reader
}

// Leave says that the reader's connection is gone.
func (t *Tape) Leave(reader int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.reader != reader || t.readers == 0 {
		return
	}
	t.readers = 0
	if !t.over && t.expire != nil {
		t.idle = time.AfterFunc(ResumeTime, t.expire)
	}
}

// Abandon ends the work for every stream of the session that nobody reads.
func (s *Session) Abandon() {
	s.mu.Lock()
	all := s.tapes[:len(s.tapes):len(s.tapes)]
	s.mu.Unlock()
	for _, t := range all {
		if expire := t.alone(); expire != nil {
			expire()
		}
	}
}

// alone returns what ends the stream if nobody reads it.
func (t *Tape) alone() (expire func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.readers > 0 || t.over {
		return nil
	}
	return t.expire
}

// After returns the events from a number on, the number that follows them, and a
// channel that is closed when there is more. ok is false when some are lost, over
// is true when nothing follows any more.
func (t *Tape) After(number int) (events [][]byte, next int, changed <-chan struct{}, over, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if number < t.first || number > t.next {
		return nil, 0, nil, true, false
	}
	if t.changed == nil {
		t.changed = make(chan struct{})
	}
	return append([][]byte(nil), t.events[number-t.first:]...), t.next, t.changed, t.over, true
}

// forget gives back what the tape holds.
func (t *Tape) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	t.drop(len(t.events))
	if t.idle != nil && t.over {
		t.idle.Stop()
	}
	t.tell()
}

// erase forgets a tape before its session ends.
func (s *Session) erase(t *Tape) {
	s.mu.Lock()
	for i, one := range s.tapes {
		if one == t {
			s.tapes = append(s.tapes[:i:i], s.tapes[i+1:]...)
			break
		}
	}
	s.mu.Unlock()
	t.forget()
}

// spare takes room for n bytes of all tapes, or gives it back; false when there is
// no more.
func (s *Store) spare(n int) bool {
	if s.taped.Add(int64(n)) > allTapes && n > 0 {
		s.taped.Add(-int64(n))
		return false
	}
	return true
}

// blankLine finds the ends of events in bytes that come in pieces: an event ends
// with a line that has nothing on it.
type blankLine struct {
	content bool // the line that passes has something on it
	cr      bool // the last byte was a carriage return
	pending bool // a blank line ended with a carriage return, whose line feed may follow
}

// end returns how many bytes of p belong to the event that passes, and whether it
// ends with them.
func (b *blankLine) end(p []byte) (n int, ends bool) {
	for i, c := range p {
		cr := b.cr
		b.cr = c == '\r'
		switch {
		case c == '\n' && cr: // the second half of a line's end
			if b.pending {
				b.pending = false
				return i + 1, true
			}
		case b.pending:
			b.pending = false
			b.cr = false
			return i, true // the blank line had a carriage return alone
		case c == '\n':
			if !b.content {
				return i + 1, true
			}
			b.content = false
		case c == '\r':
			b.pending = !b.content
			b.content = false
		default:
			b.content = true
		}
	}
	return len(p), false
}
