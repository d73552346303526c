// Package journal remembers what happened lately: events, requests worth a look,
// and an hour of minutes, for each backend. All of it is bounded, and lost when the
// gateway ends. It is written on the path of calls, so a call that nothing is wrong
// with costs a lock and no allocation.
package journal

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/recloser-mcp/recloser/status"
)

const (
	// keptEvents is how many events are kept of one backend, and of the gateway.
	// A backend that has much to tell never pushes out what others told.
	keptEvents = 128
	// calm is the least time between two refusals of one backend that are told
	// apart.
	calm = time.Second
)

// Journal holds the events and the records. All methods are safe for concurrent
// use.
type Journal struct {
	version atomic.Uint64 // of what is remembered beside events
	stale   atomic.Bool   // it changed since it was asked for

	mu      sync.Mutex
	last    uint64
	gateway ring[status.Event]
	records map[string]*Record
	news    chan struct{} // closed with the next event
}

// New returns an empty journal.
func New() *Journal {
	return &Journal{records: make(map[string]*Record), news: make(chan struct{})}
}

// Record returns the record of a backend, which is made when it is first asked for.
func (j *Journal) Record(name string) *Record {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.record(name)
}

func (j *Journal) record(name string) *Record {
	r := j.records[name]
	if r == nil {
		r = &Record{journal: j}
		j.records[name] = r
	}
	return r
}

// Keep forgets the backends that keep does not want.
func (j *Journal) Keep(keep func(name string) bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	maps.DeleteFunc(j.records, func(name string, _ *Record) bool { return !keep(name) })
}

// Add notes an event and gives it an id and, where it has none, the time. Refusals
// that follow another one of the same backend within a second are told as one at the
// end of that second, with their number.
func (j *Journal) Add(e status.Event) {
	if e.At.IsZero() {
		e.At = time.Now()
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if e.Backend == "" {
		j.add(&j.gateway, e)
		return
	}
	r := j.record(e.Backend)
	if e.Kind != status.EventRefusal || r.tell(e) {
		j.add(&r.events, e)
	}
}

func (j *Journal) add(into *ring[status.Event], e status.Event) {
	j.last++
	e.ID = j.last
	into.add(e, keptEvents)
	close(j.news)
	j.news = make(chan struct{})
}

// Events returns the events after an id, the oldest first; with a name only those
// of that backend.
func (j *Journal) Events(after uint64, backend string) []status.Event {
	j.mu.Lock()
	defer j.mu.Unlock()
	all := []status.Event{}
	add := func(r *ring[status.Event]) {
		for e := range r.all() {
			if e.ID > after {
				all = append(all, e)
			}
		}
	}
	if backend != "" {
		if r := j.records[backend]; r != nil {
			add(&r.events)
		}
		return all
	}
	add(&j.gateway)
	for _, r := range j.records {
		add(&r.events)
	}
	slices.SortFunc(all, func(a, b status.Event) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// News returns a channel that is closed with the next event.
func (j *Journal) News() <-chan struct{} {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.news
}

// Version returns a number that is another one after calls were counted.
func (j *Journal) Version() uint64 {
	if j.stale.Swap(false) {
		j.version.Add(1)
	}
	return j.version.Load()
}

// Last returns the id of the last event, 0 before the first.
func (j *Journal) Last() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.last
}

// ring keeps the last elements that were added, in order. It grows as it is used.
type ring[T any] struct {
	items []T
	next  int
}

func (r *ring[T]) add(v T, most int) {
	if len(r.items) < most {
		r.items = append(r.items, v)
		return
	}
	r.items[r.next] = v
	r.next = (r.next + 1) % most
}

// all returns the elements, the oldest first.
func (r *ring[T]) all() func(yield func(T) bool) {
	return func(yield func(T) bool) {
		for i := range r.items {
			if !yield(r.items[(r.next+i)%len(r.items)]) {
				return
			}
		}
	}
}
