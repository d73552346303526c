package journal

import (
	"math/bits"
	"slices"
	"sync"
	"time"

	"github.com/recloser-mcp/recloser/status"
)

const (
	minutes       = 60
	keptRequests  = 64
	plainRequests = time.Second // the least time between two that nothing was wrong with
)

// Record is what is remembered of one backend.
type Record struct {
	journal *Journal

	// The journal's lock guards these.
	events  ring[status.Event]
	refused time.Time    // the last refusal that was told
	held    status.Event // the last one that was not, with the number of all of them

	mu       sync.Mutex
	requests ring[status.Request]
	plain    time.Time // of the last request that nothing was wrong with
	failed   uint64
	recent   recent
	hour     [minutes]minute
	at       int64 // the minute that hour ends with, since the epoch of Unix
	state    status.BackendStatus
	latency  histogram // of the running minute
}

// minute is one minute of the hour.
type minute struct {
	status              status.BackendStatus
	calls, failed, save uint64
	p95                 time.Duration
}

// tell reports whether a refusal is to be told now, or holds it back for a moment. The
// journal's lock is held.
func (r *Record) tell(e status.Event) bool {
	wait := calm - e.At.Sub(r.refused)
	if wait <= 0 && r.held.Count == 0 {
		r.refused = e.At
		return true
	}
	e.Count = r.held.Count + 1
	if r.held = e; e.Count == 1 {
		time.AfterFunc(wait, r.release)
	}
	return false
}

// release tells the refusals that were held back.
func (r *Record) release() {
	j := r.journal
	j.mu.Lock()
	defer j.mu.Unlock()
	e := r.held
	e.At = time.Now()
	r.held, r.refused = status.Event{}, e.At
	if e.Count == 1 {
		e.Count = 0
	}
	j.add(&r.events, e)
}

// Call is the end of one call to a backend.
type Call struct {
	At      time.Time // of its end
	Took    time.Duration
	Outcome status.Outcome
}

// Call counts a call. It reports whether the call is worth to be noted as a
// request: always when something was wrong with it, else once in a while.
func (r *Record) Call(c Call) (note bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.roll(c.At)
	m.calls++
	failed := c.Outcome == status.OutcomeFailed
	switch c.Outcome {
	case status.OutcomeFailed:
		m.failed++
		r.failed++
		note = true
	case status.OutcomeRecovered:
		m.save++
		note = true
	default:
		if note = c.At.Sub(r.plain) >= plainRequests; note {
			r.plain = c.At
		}
	}
	if !failed {
		r.latency.add(c.Took)
	}
	if !r.journal.stale.Load() { // a plain Store would bounce the cache line between cores
		r.journal.stale.Store(true)
	}
	return note
}

// Request notes a request.
func (r *Record) Request(q status.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests.add(q, keptRequests)
}

// Answered notes whether the backend answered a request: a call, or another one, as
// a probe or a list is.
func (r *Record) Answered(at time.Time, call, well bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.recent.add(at, call, well)
}

// Recent returns how many of the last minute's requests there were, how many
// failed, and how many were answered since the last that failed. After a call that
// failed these are calls alone: what lists well may fail every call.
func (r *Record) Recent(now time.Time) (requests, failed, since int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.recent.count(now)
}

// Failed returns how many calls have failed so far.
func (r *Record) Failed() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed
}

// State notes the status that the backend has from now on.
func (r *Record) State(now time.Time, s status.BackendStatus) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.roll(now)
	r.state = s
	if s.Worse(m.status) {
		m.status = s
	}
}

// Requests returns the requests that were noted, the latest first.
func (r *Record) Requests() []status.Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := slices.AppendSeq([]status.Request{}, r.requests.all())
	slices.Reverse(all)
	return all
}

// Saved returns how many calls renewals have saved in the last hour.
func (r *Record) Saved(now time.Time) (n uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.roll(now)
	for i := range r.hour {
		n += r.hour[i].save
	}
	return n
}

// History returns the last hour.
func (r *Record) History(now time.Time) status.History {
	r.mu.Lock()
	defer r.mu.Unlock()
	last := r.roll(now)
	last.p95 = r.latency.p95()
	h := status.History{Minutes: make([]status.Minute, 0, minutes)}
	for i := range minutes {
		m := &r.hour[(r.at+1+int64(i))%minutes]
		h.Minutes = append(h.Minutes, status.Minute{Status: m.status, Calls: m.calls, Failed: m.failed, Saved: m.save, P95: status.Duration(m.p95)})
	}
	return h
}

// roll makes the minute of now the last of the hour and returns it. Minutes in
// between have the status that held on.
func (r *Record) roll(now time.Time) *minute {
	at := now.Unix() / 60
	switch {
	case r.at == 0:
		r.at = at
	case at > r.at:
		r.hour[r.at%minutes].p95 = r.latency.p95()
		r.latency = histogram{}
		for n := max(r.at+1, at-minutes+1); n <= at; n++ {
			r.hour[n%minutes] = minute{status: r.state}
		}
		r.at = at
	}
	return &r.hour[r.at%minutes]
}

// histogram counts durations by their magnitude, eight steps to a doubling.
type histogram struct {
	n      uint32
	counts [steps * doublings]uint16
}

const (
	steps     = 8
	doublings = 32 // of a microsecond: beyond an hour
)

func (h *histogram) add(d time.Duration) {
	v := uint64(max(d.Microseconds(), 1)) << 3 //nolint:gosec // positive
	exp := bits.Len64(v) - 4
	i := min(exp*steps+int(v>>exp)&(steps-1), len(h.counts)-1)
	if h.counts[i] < 1<<16-1 {
		h.counts[i]++
		h.n++
	}
}

func (h *histogram) p95() time.Duration {
	if h.n == 0 {
		return 0
	}
	over := h.n / 20 // this many may be slower
	for i := len(h.counts) - 1; i >= 0; i-- {
		if n := uint32(h.counts[i]); n <= over {
			over -= n
			continue
		}
		exp, step := i/steps, i%steps
		return time.Duration((steps+step)<<exp>>3) * time.Microsecond
	}
	return 0
}
