package backend

import (
	"math/bits"
	"sync/atomic"
	"time"

	"github.com/recloser-mcp/recloser/auth"
	"github.com/recloser-mcp/recloser/guard"
	"github.com/recloser-mcp/recloser/wire"
)

// Facts are what a client knows of its backend. They are a copy, and hold no
// credential.
type Facts struct {
	Name       string
	Revision   wire.Revision // "" while unknown
	Session    bool          // the client's own session is open; never for stateless revisions
	Guard      guard.State
	Credential auth.Facts
	Challenge  *auth.Challenge // of the last refusal
	LastAnswer time.Time       // the backend's last HTTP answer, of any status
	Accepted   time.Time       // its last 2xx
	Answered   time.Time       // the end of the last call that it answered with MCP; streams are none
	LastError  *Error
	ErrorAt    time.Time // when LastError was
	Counters   Counters
	InFlight   int
	Latency    Latency
	Process    *ProcessFacts // nil unless the backend is one
}

// ProcessFacts are what is known of the processes of a backend.
type ProcessFacts struct {
	Command  string     // the program, without its arguments
	PID      int        // of the one that runs for the longest time, 0 when none does
	Running  int        // how many run
	Restarts uint64     // started in place of one that ended by itself
	LastExit *ExitError // of one that ended by itself; nil when none did
	Skipped  uint64     // lines on stdout that were no messages
}

// Counters count since the client was made.
type Counters struct {
	Calls          uint64 // calls made: class Call
	SavedByRenewal uint64 // calls of any class that were refused and answered after all
	Exhausted      uint64 // calls of any class that ended with an authentication failure
	Refused        uint64 // sends that were answered 401 or 403
	Sends          uint64 // physical requests
}

// Latency of calls that were answered within the last 5 minutes; zero when there
// was none. Values are exact to an eighth.
type Latency struct{ P50, P95 time.Duration }

// facts are the counters behind Facts. Every field is safe for concurrent use.
type facts struct {
	start      time.Time
	calls      atomic.Uint64
	saved      atomic.Uint64
	exhausted  atomic.Uint64
	refused    atomic.Uint64
	sends      atomic.Uint64
	inFlight   atomic.Int64
	lastAnswer atomic.Int64 // nanoseconds since start, plus 1
	accepted   atomic.Int64
	answered   atomic.Int64
	challenge  atomic.Pointer[auth.Challenge]
	failure    atomic.Pointer[failure]
	latency    histogram
}

type failure struct {
	err *Error
	at  time.Time
}

func newFacts() *facts { return &facts{start: time.Now()} }

// sent counts one physical request.
func (f *facts) sent(x exchange, began time.Time) {
	f.sends.Add(1)
	if x.status == 0 {
		return
	}
	now := int64(time.Since(f.start)) + 1
	f.lastAnswer.Store(now)
	switch {
	case x.verdict == guard.Accepted:
		f.accepted.Store(now)
	case x.status == 401 || x.verdict != guard.Neutral:
		f.refused.Add(1)
	}
}

// called counts one call at its end. Standing streams count nowhere.
func (f *facts) called(class guard.Class, refusals int, began time.Time, err *Error) {
	if class == guard.Stream {
		return
	}
	now := time.Since(f.start)
	if err == nil {
		f.answered.Store(int64(now) + 1)
	}
	if class == guard.Call {
		f.calls.Add(1)
		if err == nil {
			f.latency.add(now, now-began.Sub(f.start))
		}
	}
	switch {
	case err == nil && refusals > 0 && class <= guard.Call:
		f.saved.Add(1)
	case err != nil && err.Kind.auth() && class <= guard.Call:
		f.exhausted.Add(1)
	}
	if err != nil && err.Kind < KindNoCapacity {
		f.failure.Store(&failure{err, time.Now()})
	}
}

func (f *facts) at(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return f.start.Add(time.Duration(n - 1))
}

// read fills in what the counters know.
func (f *facts) read(into *Facts) {
	into.InFlight = int(f.inFlight.Load()) // first: what is not in flight has been noted below
	into.Challenge = f.challenge.Load()
	into.LastAnswer, into.Accepted, into.Answered = f.at(f.lastAnswer.Load()), f.at(f.accepted.Load()), f.at(f.answered.Load())
	if last := f.failure.Load(); last != nil {
		into.LastError, into.ErrorAt = last.err, last.at
	}
	into.Counters = Counters{Calls: f.calls.Load(), SavedByRenewal: f.saved.Load(),
		Exhausted: f.exhausted.Load(), Refused: f.refused.Load(), Sends: f.sends.Load()}
	into.Latency = f.latency.read(time.Since(f.start))
}

const (
	slots      = 10               // of the ring: 5 minutes
	slotLength = 30 * time.Second // of one slot
	buckets    = 40 * 8           // powers of two of a microsecond, each in eighths
)

// histogram keeps the durations of the last 5 minutes in logarithmic buckets. It
// takes no lock: a slot that comes round is cleared by whoever gets there first,
// and an addition that races with that may be lost.
type histogram struct {
	ring [slots]struct {
		epoch atomic.Int64
		n     [buckets]atomic.Uint32
	}
}

func (h *histogram) add(now, d time.Duration) {
	epoch := int64(now/slotLength) + 1
	s := &h.ring[epoch%slots]
	if old := s.epoch.Load(); old != epoch && s.epoch.CompareAndSwap(old, epoch) {
		for i := range s.n {
			s.n[i].Store(0)
		}
	}
	s.n[bucketOf(d)].Add(1)
}

func bucketOf(d time.Duration) int {
	us := uint64(max(d/time.Microsecond, 8))
	top := bits.Len64(us) - 1 // at least 3
	return min((top-3)*8+int(us>>(top-3)&7), buckets-1)
}

// upper returns the end of a bucket.
func upper(bucket int) time.Duration {
	return time.Duration(uint64(bucket%8+9)<<(bucket/8)) * time.Microsecond
}

func (h *histogram) read(now time.Duration) Latency {
	var sum [buckets]uint64
	var all uint64
	epoch := int64(now/slotLength) + 1
	for i := range h.ring {
		s := &h.ring[i]
		if e := s.epoch.Load(); e == 0 || epoch-e >= slots {
			continue
		}
		for b := range s.n {
			n := uint64(s.n[b].Load())
			sum[b] += n
			all += n
		}
	}
	at := func(percent uint64) time.Duration {
		var seen uint64
		for b, n := range sum {
			if seen += n; n > 0 && seen*100 >= all*percent {
				return upper(b)
			}
		}
		return 0
	}
	return Latency{P50: at(50), P95: at(95)}
}
