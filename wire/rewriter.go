package wire

import (
	"errors"
	"io"
)

// AnswerRewriter passes one response through while it arrives, rewritten as
// [RewriteOptions] say and checked to be complete JSON. What is not rewritten
// goes on byte for byte and, mostly, without being copied; memory is bounded
// whatever the size of the document. One goroutine may use it.
type AnswerRewriter struct {
	r    io.Reader
	f    filter
	room []byte // holds chunks that were changed
	rest []byte // the part of room that was not handed out yet
	err  error
}

// NewAnswerRewriter returns a reader of the rewritten response that r delivers.
//
// Its errors: ErrTruncated when r ends before the document does, ErrInvalid for
// what is not JSON or not a response (a fault is found where it stands, what
// came before has been passed on), io.EOF after a complete document, else r's
// own. An error of r behind the complete document is taken for its end.
func NewAnswerRewriter(r io.Reader, o RewriteOptions) *AnswerRewriter {
	return &AnswerRewriter{r: r, f: newFilter(o)}
}

// IsError reports whether the response, as far as it was read, carries an
// error.
func (a *AnswerRewriter) IsError() bool { return a.f.isError }

// Complete reports whether the whole document has been read.
func (a *AnswerRewriter) Complete() bool { return a.f.state == atEnd && a.f.err == nil }

// Read implements io.Reader.
func (a *AnswerRewriter) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(a.rest) == 0 {
		if a.err != nil {
			a.release()
			return 0, a.err
		}
		out, changed := a.next(p)
		if !changed && (len(out) > 0 || a.err == nil) {
			return len(out), nil
		}
		if changed {
			a.rest = out
		}
	}
	n := copy(p, a.rest)
	a.rest = a.rest[n:]
	return n, nil
}

// WriteTo implements io.WriterTo: one Write for each read of the source, so
// that a writer that flushes keeps the source's pace.
func (a *AnswerRewriter) WriteTo(w io.Writer) (written int64, err error) {
	buf := grab(chunkSize)
	defer giveBack(buf)
	defer a.release()
	out := a.rest
	a.rest = nil
	for {
		if len(out) > 0 {
			n, err := w.Write(out)
			written += int64(n)
			if err != nil {
				return written, err
			}
		}
		if a.err != nil {
			if errors.Is(a.err, io.EOF) {
				return written, nil
			}
			return written, a.err
		}
		out, _ = a.next(buf[:chunkSize-spare])
	}
}

// spare is what a chunk is left to grow by.
const spare = 1 << 10

// release gives the buffer for changed chunks back.
func (a *AnswerRewriter) release() {
	giveBack(a.room)
	a.room = nil
}

// next reads once into buf and returns what may go on: a part of buf, or of
// a.room when it was changed.
func (a *AnswerRewriter) next(buf []byte) (out []byte, changed bool) {
	if a.room == nil {
		a.room = grab(chunkSize)
	}
	n, err := a.r.Read(buf)
	out, changed, bad := a.f.feed(buf[:n], a.room[:0])
	if changed {
		a.room = out
	}
	switch {
	case bad != nil:
		a.err = bad
	case err != nil:
		a.err = endOf(err, a.Complete())
	}
	return out, changed
}

// endOf turns the error that ended a source into that of its reader.
func endOf(err error, complete bool) error {
	switch {
	case complete:
		return io.EOF
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return ErrTruncated
	}
	return err
}
