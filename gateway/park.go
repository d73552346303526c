package gateway

import (
	"sync"
	"time"
)

const (
	// parkTime is how long a call waits for a client to come back with answers.
	parkTime = 5 * time.Minute
	// maxParked bounds the calls that wait so.
	maxParked = 256
)

// lot is where calls are parked. Its zero value is ready.
type lot struct {
	mu     sync.Mutex
	calls  map[[nonceSize]byte]*place
	spent  map[[nonceSize]byte]time.Time // states of visits that were used once, until they expire
	closed bool
}

type place struct {
	call  *interviewed
	timer *time.Timer
}

func (l *lot) put(nonce [nonceSize]byte, p *interviewed) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || len(l.calls) >= maxParked {
		return false
	}
	if l.calls == nil {
		l.calls = map[[nonceSize]byte]*place{}
	}
	l.calls[nonce] = &place{call: p, timer: time.AfterFunc(parkTime, func() {
		if p := l.take(nonce); p != nil {
			p.end()
		}
	})}
	return true
}

// take returns the call and its place is free.
func (l *lot) take(nonce [nonceSize]byte) *interviewed {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.calls[nonce]
	if at == nil {
		return nil
	}
	delete(l.calls, nonce)
	at.timer.Stop()
	return at.call
}

// once reports whether a state is used for the first time.
func (l *lot) once(st state) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, used := l.spent[st.nonce]; used || l.closed {
		return false
	}
	if l.spent == nil {
		l.spent = map[[nonceSize]byte]time.Time{}
	}
	now := time.Now()
	for n, t := range l.spent {
		if now.After(t) || len(l.spent) >= 4*maxParked {
			delete(l.spent, n)
		}
	}
	l.spent[st.nonce] = st.expires
	return true
}

// close ends what is parked.
func (l *lot) close() {
	l.mu.Lock()
	l.closed = true
	all := l.calls
	l.calls = nil
	l.mu.Unlock()
	for _, at := range all {
		at.timer.Stop()
		at.call.end()
	}
}
