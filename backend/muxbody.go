package backend

import (
	"bytes"
	"context"

	"github.com/recloser-mcp/recloser/wire"
)

const (
	// inboxLetters and inboxBytes bound what waits for a reader that is slow.
	// The response that ends a stream comes on top.
	inboxLetters = 1024
	inboxBytes   = 4 << 20
)

// letter is one message for a reader.
type letter struct {
	data  []byte
	id    []byte // of a request of the server
	final bool   // the response
	code  int    // of a response that is an error
}

// inbox holds what came for one reader. Its fields are guarded by the lock of
// the mux.
type inbox struct {
	m    *mux
	ctx  context.Context // of the request whose answer is read here
	wake chan struct{}

	queue []letter
	size  int
	err   error // what the reader gets after the rest of the queue
}

func newInbox(ctx context.Context, m *mux) inbox {
	return inbox{m: m, ctx: ctx, wake: make(chan struct{}, 1)}
}

// hold takes over messages that waited.
func (b *inbox) hold(all []letter) {
	for _, l := range all {
		b.push(l)
	}
}

// push adds a message. When there are too many the oldest is dropped.
func (b *inbox) push(l letter) {
	if b.err != nil {
		b.m.decline(l)
		return
	}
	b.queue = append(b.queue, l)
	b.size += len(l.data)
	for !l.final && len(b.queue) > 1 && (len(b.queue) > inboxLetters || b.size > inboxBytes) {
		b.m.decline(b.queue[0])
		b.size -= len(b.queue[0].data)
		b.queue = b.queue[1:]
	}
	b.ring()
}

func (b *inbox) ring() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// end says that nothing more will come.
func (b *inbox) end(err error) {
	if b.err == nil {
		b.err = err
		b.ring()
	}
}

// shut ends the reading and returns what was not read.
func (b *inbox) shut(err error) (unread []letter) {
	unread, b.queue, b.size = b.queue, nil, 0
	b.err = err
	b.ring()
	return unread
}

// next waits for a message. One goroutine may call it.
func (b *inbox) next() (letter, error) {
	for {
		b.m.mu.Lock()
		if len(b.queue) > 0 {
			l := b.queue[0]
			b.queue[0] = letter{}
			b.queue = b.queue[1:]
			b.size -= len(l.data)
			b.m.mu.Unlock()
			return l, nil
		}
		err := b.err
		b.m.mu.Unlock()
		if err != nil {
			return letter{}, err
		}
		select {
		case <-b.wake:
		case <-b.ctx.Done():
			return letter{}, b.ctx.Err()
		}
	}
}

// eventBody is the body of an answer of events: each message as one.
type eventBody struct {
	in    *inbox
	leave func()
	rest  [3][]byte // what is left of an event
}

// frame makes an event of a message without copying it.
func (b *eventBody) frame(msg []byte) {
	if bytes.IndexByte(msg, '\r') >= 0 || bytes.IndexByte(msg, '\n') >= 0 { // white space in JSON, the end of a line here
		b.rest = [3][]byte{wire.AppendEvent(nil, wire.Event{Data: msg})}
		return
	}
	b.rest = [3][]byte{[]byte("data: "), msg, []byte("\n\n")}
}

// Read implements io.Reader. A message that came is read before the error that
// came after it.
func (b *eventBody) Read(p []byte) (n int, err error) {
	for {
		for i := range b.rest {
			k := copy(p[n:], b.rest[i])
			b.rest[i] = b.rest[i][k:]
			n += k
		}
		if n > 0 || len(p) == 0 {
			return n, nil
		}
		l, err := b.in.next()
		if err != nil {
			return 0, err
		}
		b.frame(l.data)
	}
}

// Close implements io.Closer. It may be called beside Read.
func (b *eventBody) Close() error {
	b.leave()
	return nil
}

// oneLine makes a document that is known to be JSON fit into one line, in place:
// outside of strings a line end is white space, and within there is none.
func oneLine(doc []byte) []byte {
	for i, c := range doc {
		if c == '\n' || c == '\r' {
			doc[i] = ' '
		}
	}
	return doc
}
