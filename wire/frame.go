package wire

import (
	"bytes"
	"io"
)

// DefaultMaxEvent bounds an event of a stream when the caller sets no bound:
// 16 MiB.
const DefaultMaxEvent = 16 << 20

// maxKeptLines is for how many data lines room is kept from event to event.
const maxKeptLines = 256

// frame is one event as it stands in the framer's buffer, or a comment or blank
// line that belongs to none. Spans are relative to the frame's first byte.
type frame struct {
	size  int    // with the blank line that ends it
	data  Span   // the value of the first data line
	more  []Span // of the others
	lines int    // how many data lines there are
	typ   Span
	id    Span
	retry Span
	hasID bool // there is an id line, perhaps an empty one
	field bool // there is a line that is no comment
}

// framer cuts a stream of server-sent events into frames, as the HTML standard
// tells lines and fields apart, and keeps the bytes of each together so that
// they can go on unchanged. A line of a comment that stands outside of an event
// is a frame of its own: it is a sign of life and must not wait for the next
// event.
type framer struct {
	r          io.Reader
	buf        []byte
	start, end int // the bytes read and not consumed
	got        int // with the last read
	max        int

	// The frame being read, relative to start.
	fr      frame
	pos     int  // where its next line starts
	lf, cr  int  // no line feed before lf, no carriage return before cr
	haveLF  bool // there is a line feed at lf
	afterCR bool // a line feed at pos belongs to the line before
	begun   bool // the first line, where a byte order mark may be, is over
	join    []byte
}

func newFramer(r io.Reader, maxEvent int) framer {
	if maxEvent <= 0 {
		maxEvent = DefaultMaxEvent
	}
	return framer{r: r, max: maxEvent}
}

// parse completes a frame from what is buffered; without one more is needed.
func (f *framer) parse() (complete bool, err error) {
	b := f.buf[f.start:f.end]
	for {
		if f.afterCR {
			if f.pos == len(b) {
				return false, nil
			}
			if f.afterCR = false; b[f.pos] == '\n' {
				f.pos++
			}
		}
		eol, ok := f.lineEnd(b)
		if !ok {
			if len(b) > f.max {
				return false, ErrTooLarge
			}
			return false, nil
		}
		line := Span{f.pos, eol}
		if f.pos = eol + 1; b[eol] == '\r' {
			if f.pos < len(b) && b[f.pos] == '\n' {
				f.pos++
			}
			f.afterCR = f.pos == len(b) && b[f.pos-1] == '\r'
		}
		if f.line(b, line) {
			if f.fr.size = f.pos; f.fr.size > f.max {
				return false, ErrTooLarge
			}
			return true, nil
		}
	}
}

// lineEnd finds the end of the line at pos. Each byte is looked at once for
// each of the two terminators, however often it is called.
func (f *framer) lineEnd(b []byte) (eol int, ok bool) {
	if f.lf < f.pos {
		f.lf, f.haveLF = f.pos, false
	}
	if !f.haveLF {
		n := bytes.IndexByte(b[f.lf:], '\n')
		if f.haveLF = n >= 0; f.haveLF {
			f.lf += n
		} else {
			f.lf = len(b)
		}
	}
	f.cr = max(f.cr, f.pos)
	if n := bytes.IndexByte(b[f.cr:f.lf], '\r'); n >= 0 {
		f.cr += n
		return f.cr, true
	}
	f.cr = f.lf
	return f.lf, f.haveLF
}

// line takes one line and reports whether the frame ends with it.
func (f *framer) line(b []byte, line Span) (last bool) {
	if !f.begun {
		f.begun = true
		if bytes.HasPrefix(b[line.Start:line.End], []byte("\xEF\xBB\xBF")) {
			line.Start += 3
		}
	}
	text := b[line.Start:line.End]
	if len(text) == 0 || text[0] == ':' {
		return len(text) == 0 || !f.fr.field
	}
	f.fr.field = true
	name, n := fieldOf(text)
	value := Span{line.Start + n, line.End}
	switch string(name) {
	case "data":
		if f.fr.lines++; f.fr.lines == 1 {
			f.fr.data = value
		} else {
			f.fr.more = append(f.fr.more, value)
		}
	case "event":
		f.fr.typ = value
	case "id":
		if bytes.IndexByte(b[value.Start:value.End], 0) < 0 {
			f.fr.id, f.fr.hasID = value, true
		}
	case "retry":
		if v := b[value.Start:value.End]; len(v) > 0 && digitsEnd(v, 0) == len(v) {
			f.fr.retry = value
		}
	}
	return false
}

// fieldOf returns the name of the field in a line and where its value begins.
func fieldOf(line []byte) (name []byte, value int) {
	n := bytes.IndexByte(line, ':')
	if n < 0 {
		return line, len(line)
	}
	value = n + 1
	if value < len(line) && line[value] == ' ' {
		value++
	}
	return line[:n], value
}

// raw returns the bytes of the complete frame.
func (f *framer) raw() []byte { return f.buf[f.start : f.start+f.fr.size] }

// data returns the payload of the complete frame, its lines joined.
func (f *framer) data() []byte {
	raw := f.raw()
	if f.fr.lines <= 1 {
		return raw[f.fr.data.Start:f.fr.data.End]
	}
	f.join = append(f.join[:0], raw[f.fr.data.Start:f.fr.data.End]...)
	for _, v := range f.fr.more {
		f.join = append(append(f.join, '\n'), raw[v.Start:v.End]...)
	}
	return f.join
}

// consume leaves the complete frame for the next. Its bytes stay where they are
// until the next read.
func (f *framer) consume() {
	n := f.fr.size
	f.start += n
	f.pos, f.lf, f.cr = 0, f.lf-n, max(f.cr-n, 0)
	if f.lf < 0 {
		f.lf, f.haveLF = 0, false
	}
	f.fr = frame{more: f.fr.more[:0]}
	if cap(f.join) > chunkSize {
		f.join = nil
	}
	if cap(f.fr.more) > maxKeptLines {
		f.fr.more = nil
	}
}

// partial reports whether an event has begun and not ended.
func (f *framer) partial() bool { return f.fr.field || f.pos < f.end-f.start }

// read reads once, behind what is buffered. Before it waits it gives back what
// it does not need: an idle stream holds the smallest buffer.
func (f *framer) read() error {
	if f.start > 0 {
		f.end = copy(f.buf, f.buf[f.start:f.end])
		f.start = 0
	}
	want := smallSize
	if f.got >= smallSize {
		want = chunkSize
	}
	switch {
	case f.buf == nil:
		f.buf = grab(want)
	case f.end == len(f.buf):
		f.resize(len(f.buf) * growth)
	case want > len(f.buf), want < len(f.buf) && f.end <= want/2:
		f.resize(want)
	}
	n, err := f.r.Read(f.buf[f.end:])
	f.end += n
	f.got = n
	return err
}

// resize moves what is buffered to a buffer of another size.
func (f *framer) resize(size int) {
	old := f.buf
	f.buf = grab(size)
	copy(f.buf, old[:f.end])
	giveBack(old)
}

// release gives the buffer back; the framer is of no use then.
func (f *framer) release() {
	giveBack(f.buf)
	f.buf, f.start, f.end, f.pos, f.fr = nil, 0, 0, 0, frame{}
}
