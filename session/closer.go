package session

import (
	"context"
	"sync"
	"time"
)

const (
	closeWorkers = 8               // sessions at backends that are closed at a time
	closeLimit   = 5 * time.Second // for one of them
	closeWaiting = 16_384          // those beyond are left to expire at the backend
)

// closer closes sessions at backends in the background. Its goroutines exist
// while there is something to close. A backend that does not answer costs a
// worker its time limit and nobody else anything.
type closer struct {
	mu      sync.Mutex
	waiting []Upstream
	workers int
	idle    chan struct{}        // closed when the last worker ends; nil without a worker
	cancels []context.CancelFunc // one per worker
}

func (c *closer) add(u Upstream) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.waiting) == closeWaiting {
		return
	}
	c.waiting = append(c.waiting, u)
	if c.workers == closeWorkers {
		return
	}
	if c.workers++; c.workers == 1 {
		c.idle = make(chan struct{})
	}
	ctx, cancel := context.WithCancel(context.Background())
	c.cancels = append(c.cancels, cancel)
	go c.work(ctx)
}

func (c *closer) work(ctx context.Context) {
	for {
		u, ok := c.next()
		if !ok {
			return
		}
		limited, cancel := context.WithTimeout(ctx, closeLimit)
		_ = u.Close(limited) // best effort: the backend forgets the session in time
		cancel()
	}
}

func (c *closer) next() (Upstream, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.waiting); n > 0 {
		u := c.waiting[n-1]
		c.waiting[n-1] = nil
		c.waiting = c.waiting[:n-1]
		return u, true
	}
	if c.workers--; c.workers == 0 {
		c.endAll()
		close(c.idle)
		c.waiting = nil
	}
	return nil, false
}

// wait returns when nothing is left to close, or gives up with ctx's error.
func (c *closer) wait(ctx context.Context) error {
	c.mu.Lock()
	idle, busy := c.idle, c.workers > 0
	c.mu.Unlock()
	if !busy {
		return nil
	}
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
	}
	c.mu.Lock()
	c.waiting = nil
	c.endAll()
	c.mu.Unlock()
	<-idle
	return ctx.Err()
}

func (c *closer) endAll() {
	for _, cancel := range c.cancels {
		cancel()
	}
	c.cancels = nil
}
