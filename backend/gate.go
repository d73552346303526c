package backend

import (
	"context"
	"sync"
)

// gate lets one call do what several need, while the others wait for it: finding
// the revision, opening a session. A wait is bounded by that one piece of work;
// whoever waited in vain works by itself.
type gate struct {
	mu  sync.Mutex
	now chan struct{} // closed when the work under way has ended; nil: there is none
}

// pass returns the leave function of whoever is to do the work. It returns nil
// after a wait for another's: look whether that was of use. A call that must not
// wait (alone) never does.
func (g *gate) pass(ctx context.Context, alone bool) (leave func()) {
	g.mu.Lock()
	now := g.now
	if now == nil {
		mine := make(chan struct{})
		g.now = mine
		g.mu.Unlock()
		return func() {
			g.mu.Lock()
			g.now = nil
			g.mu.Unlock()
			close(mine)
		}
	}
	g.mu.Unlock()
	if alone {
		return func() {}
	}
	select {
	case <-now:
		return nil
	case <-ctx.Done():
		return func() {} // its own request fails at once
	}
}
