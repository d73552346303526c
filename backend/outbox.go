package backend

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
)

// maxPosted bounds what waits to be written and nobody waits for.
const maxPosted = 64

// outbox writes messages to a pipe, one a line, on a goroutine of its own: a
// caller that leaves cuts no message in half, and one that leaves early enough
// takes its message along.
type outbox struct {
	w    io.Writer
	fail func() // called once, when a write did not work

	mu     sync.Mutex
	queue  []*parcel
	posted int // parcels in the queue that nobody waits for
	err    error
	wake   chan struct{}
}

type parcel struct {
	line []byte
	done chan error // nil: nobody waits
}

var errNotWritten = errors.New("the message could not be written")

func newOutbox(w io.Writer, fail func()) *outbox {
	return &outbox{w: w, fail: fail, wake: make(chan struct{}, 1)}
}

// send writes a message. Its error is an *unsentError when the message was not
// written as a whole, so that nobody can have acted on it, else errNotWritten or
// the context's.
func (o *outbox) send(ctx context.Context, msg []byte) error {
	p := &parcel{line: append(msg, '\n'), done: make(chan error, 1)}
	if err := o.add(p); err != nil {
		return &unsentError{err}
	}
	select {
	case err := <-p.done:
		return err
	case <-ctx.Done():
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if i := slices.Index(o.queue, p); i >= 0 {
		o.queue = slices.Delete(o.queue, i, i+1)
		return &unsentError{ctx.Err()}
	}
	return ctx.Err()
}

// post writes a message of our own. A server that makes more work than it takes
// gets no more of them.
func (o *outbox) post(msg []byte) { _ = o.add(&parcel{line: append(msg, '\n')}) }

func (o *outbox) add(p *parcel) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.err != nil:
		return o.err
	case p.done != nil:
	case o.posted == maxPosted:
		return nil
	default:
		o.posted++
	}
	o.queue = append(o.queue, p)
	select {
	case o.wake <- struct{}{}:
	default:
	}
	return nil
}

// close ends the writing. What has not been begun fails with err.
func (o *outbox) close(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		return
	}
	o.err = err
	for _, p := range o.queue {
		if p.done != nil {
			p.done <- &unsentError{err}
		}
	}
	o.queue = nil
	close(o.wake)
}

// run writes until close, or until a write does not work: what waits then waits
// for close.
func (o *outbox) run() {
	for range o.wake {
		for p := o.next(); p != nil; p = o.next() {
			n, err := o.w.Write(p.line)
			if err != nil {
				o.fail()
				if err = errNotWritten; n < len(p.line)-1 { // more is missing than the line's end
					err = &unsentError{err}
				}
			}
			if p.done != nil {
				p.done <- err
			}
			if err != nil {
				return
			}
		}
	}
}

func (o *outbox) next() (p *parcel) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.queue) == 0 {
		return nil
	}
	p = o.queue[0]
	o.queue = o.queue[1:]
	if p.done == nil {
		o.posted--
	}
	return p
}
