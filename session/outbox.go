package session

import "sync"

// What waits for a stream of one session is bounded in number and in bytes. One
// message may always wait, however large.
const (
	maxWaiting      = 256
	maxWaitingBytes = 4 << 20
)

// outbox is what waits to be told to the client. The specification wants each
// message on one stream only (basic/transports, "Multiple Connections"), so
// there is one queue per session and every stream takes from it; what is said
// between two streams waits for the next one.
type outbox struct {
	mu    sync.Mutex
	items []Message
	bytes int
	wake  chan struct{}
}

// Message is one JSON-RPC message for the client. A key that is not empty says
// what the message is about: while one waits, a later one about the same is
// dropped, as it would say the same.
type Message struct {
	Key  string
	Data []byte
}

// Push queues a message for the client. It returns false when too much waits
// already; the message is dropped then, and those that wait are kept.
func (s *Session) Push(m Message) bool {
	o := &s.out
	o.mu.Lock()
	defer o.mu.Unlock()
	if m.Key != "" {
		for i := range o.items {
			if o.items[i].Key == m.Key {
				return true
			}
		}
	}
	if len(o.items) == maxWaiting || len(o.items) > 0 && o.bytes+len(m.Data) > maxWaitingBytes {
		return false
	}
	o.items = append(o.items, m)
	o.bytes += len(m.Data)
	o.signal()
	return true
}

// Pop takes the message that has waited longest.
func (s *Session) Pop() (m Message, ok bool) {
	o := &s.out
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.items) == 0 {
		return Message{}, false
	}
	m = o.items[0]
	o.bytes -= len(m.Data)
	if o.items = o.items[1:]; len(o.items) == 0 {
		o.items = nil // frees what the slice has grown to
	} else {
		o.signal() // another stream may be waiting as well
	}
	return m, true
}

// Wake receives when there may be something to Pop.
func (s *Session) Wake() <-chan struct{} { return s.out.wake }

func (o *outbox) signal() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}
