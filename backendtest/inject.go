package backendtest

import (
	"context"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
)

// Injection is a fault at work in a server.
type Injection struct {
	fault  Fault
	healed chan struct{}
	once   sync.Once

	mu      sync.Mutex
	left    int
	skip    int
	hits    int
	rng     *rand.Rand
	changed chan struct{} // closed and replaced at each hit
}

func newInjection(f Fault) *Injection {
	return &Injection{
		fault:   f,
		healed:  make(chan struct{}),
		left:    f.times,
		skip:    f.skip,
		rng:     rand.New(rand.NewPCG(f.seed, f.seed)), //nolint:gosec // repeatable, not secret
		changed: make(chan struct{}),
	}
}

// Heal ends the fault; requests that it holds go on. Further calls do nothing.
func (i *Injection) Heal() { i.once.Do(func() { close(i.healed) }) }

// Hits is how many requests the fault has hit so far.
func (i *Injection) Hits() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.hits
}

// Wait blocks until the fault has hit n requests or ctx ends.
func (i *Injection) Wait(ctx context.Context, n int) error {
	for {
		i.mu.Lock()
		hits, changed := i.hits, i.changed
		i.mu.Unlock()
		if hits >= n {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// take reports whether the fault hits this request, and uses up its count.
func (i *Injection) take(r *http.Request, m *Message) bool {
	if i.over() || !i.fault.matches(r, m) {
		return false
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.left == 0 {
		return false
	}
	if i.skip > 0 {
		i.skip--
		return false
	}
	if i.fault.chance > 0 && i.rng.Float64() >= i.fault.chance {
		return false
	}
	if i.left > 0 {
		i.left--
	}
	i.hits++
	close(i.changed)
	i.changed = make(chan struct{})
	return true
}

func (i *Injection) over() bool {
	select {
	case <-i.healed:
		return true
	default:
		return false
	}
}

// faults is what is injected into a server.
type faults struct {
	mu   sync.Mutex
	list []*Injection
}

func (fs *faults) inject(f Fault) *Injection {
	i := newInjection(f)
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.list = slices.DeleteFunc(fs.list, (*Injection).over)
	fs.list = append(fs.list, i)
	return i
}

func (fs *faults) heal() {
	fs.mu.Lock()
	list := fs.list
	fs.list = nil
	fs.mu.Unlock()
	for _, i := range list {
		i.Heal()
	}
}

// plan is what the faults have in store for one request.
type plan struct {
	early  []*Injection // delays, then at most one that ends it
	late   []*Injection
	shapes []*Injection // candidates, taken when an answer is there
}

// plan lets every fault have its turn, up to the first that ends the request.
func (fs *faults) plan(r *http.Request, m *Message) plan {
	fs.mu.Lock()
	list := slices.Clone(fs.list)
	fs.mu.Unlock()
	var p plan
	for _, i := range list {
		if i.fault.shapes() {
			p.shapes = append(p.shapes, i)
			continue
		}
		if !i.take(r, m) {
			continue
		}
		if i.fault.late {
			p.late = append(p.late, i)
		} else {
			p.early = append(p.early, i)
		}
		if i.fault.ends() {
			break
		}
	}
	return p
}

// shapes reports whether the fault works on an accepted answer while it is
// written. Such a fault is used up by an answer, not by a request.
func (f Fault) shapes() bool {
	return f.kind == faultSlowClose || f.kind == faultLimitData || f.kind == faultTruncate
}

// ends reports whether nothing is left to do for faults after this one.
func (f Fault) ends() bool {
	switch f.kind {
	case faultStatus, faultTimeout, faultReset, faultDropSession:
		return true
	default:
		return false
	}
}
