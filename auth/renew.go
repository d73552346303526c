package auth

import (
	"context"
	"fmt"
	"time"
)

const (
	renewLimit = 10 * time.Second       // of one Fetch
	hangGrace  = 250 * time.Millisecond // for the strategy to notice that its context ended
	stickyMin  = 30 * time.Second       // a permanent answer without a credential holds so long,
	stickyMax  = 5 * time.Minute        // doubling up to this
)

// trouble is what the last failures forbid. A success or a rotation clears it.
type trouble struct {
	refusal error         // the last permanent answer, nil when there is none
	sticky  time.Duration // how long refusal holds when there is no credential
	until   time.Time     // refusal holds until then when there is no credential

	failure   error     // the last passing failure, nil when the last fetch succeeded
	urgent    bool      // it left callers without a credential that works
	notBefore time.Time // the issuer asked not to be asked before
}

// flight is one Fetch. Its fields are guarded by the source's mu; done is closed
// when its waiters may go on.
type flight struct {
	epoch uint64
	start time.Time
	hang  *time.Timer

	settled bool // its result is applied; only its listeners may still run
	hung    bool // past its limit: waiters were let go, the Fetch still runs
	void    bool // a rotation came meanwhile: the result was discarded
	next    *flight
	outcome Outcome
	err     error

	ended bool
	done  chan struct{}
}

func newFlight() *flight { return &flight{done: make(chan struct{})} }

// Renew returns New at once when a usable credential newer than the generation
// refused exists. Else it renews that one (refused 0: there was none to send),
// with one fetch in flight for all callers, which goes on when they leave. The
// error tells the cause of Passing and Permanent and is nil otherwise.
//
// Same means that the issuer gave the same bytes again, or that the limit on
// renewals is reached (one a second, bursts of three) and the last one did not
// fail; else that failure is repeated. A permanent answer is given
// again without asking: for its generation while that is usable, else for 30 s,
// doubling up to 5 minutes; retry asks the issuer all the same. A passing failure
// is shared by all who have no credential until the next try in the background.
// When ctx ends first the outcome is Passing and the error wraps ctx.Err(); after
// Close it is [ErrClosed].
func (s *Source) Renew(ctx context.Context, refused uint64, retry bool) (Outcome, error) {
	s.used.Store(true)
	for {
		f, o, err := s.ask(ctx, refused, retry)
		if f == nil {
			return o, err
		}
		if o, err, ended := s.await(ctx, f); ended {
			return o, err
		}
		if o, err, ok := s.verdict(f, refused); ok {
			return o, err
		}
	}
}

// ask answers from what is known, or returns the flight to wait for.
func (s *Source) ask(ctx context.Context, refused uint64, retry bool) (*flight, Outcome, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, Passing, ErrClosed
	}
	now := time.Now()
	s.touch(now)
	have := s.restore(now)
	if have && s.generation > refused {
		return nil, New, nil
	}
	if have {
		s.refused = s.generation
	}
	if f := s.flight; f != nil {
		if f.hung {
			return nil, Passing, errHung
		}
		return f, 0, nil
	}
	if o, err, known := s.known(now, have, retry); known {
		return nil, o, err
	}
	if err := ctx.Err(); err != nil {
		return nil, Passing, waitErr(err)
	}
	limit := &s.absent
	if have {
		limit = &s.forced
	}
	if !limit.allow(now) {
		if s.failure != nil { // what the last try met is still what there is to say
			return nil, Passing, s.failure
		}
		return nil, Same, nil
	}
	return s.begin(now), 0, nil
}

// known repeats an answer that still holds.
func (s *Source) known(now time.Time, have, retry bool) (Outcome, error, bool) {
	switch {
	case s.refusal != nil && !retry && (have || now.Before(s.until)):
		return Permanent, s.refusal, true
	case s.failure != nil && now.Before(s.notBefore):
		return Passing, s.failure, true
	case s.failure != nil && s.urgent && !have && now.Before(s.retryAt):
		return Passing, s.failure, true
	}
	return 0, nil, false
}

// await blocks until the flight's waiters may go on. It reports ended when the
// caller or the source ended first.
func (s *Source) await(ctx context.Context, f *flight) (Outcome, error, bool) {
	select {
	case <-f.done:
		return 0, nil, false
	case <-s.ctx.Done():
		return Passing, ErrClosed, true
	case <-ctx.Done():
	}
	select { // what came at the same moment counts
	case <-f.done:
		return 0, nil, false
	default:
		return Passing, waitErr(ctx.Err()), true
	}
}

func waitErr(err error) error { return fmt.Errorf("waiting for a credential: %w", err) }

// verdict is what a finished flight means to one who waited for it. It is not ok
// when it says nothing: a rotation voided it, or it had been settled for an
// earlier generation before this caller came.
func (s *Source) verdict(f *flight, refused uint64) (Outcome, error, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	have := s.usable(time.Now())
	switch {
	case s.closed:
		return Passing, ErrClosed, true
	case have && s.generation > refused:
		return New, nil, true
	case f.void:
		return 0, nil, false
	case f.outcome == New: // and yet nothing newer than what was refused, or expired already
		return Same, nil, refused != s.generation
	}
	return f.outcome, f.err, true
}

// begin starts a fetch. The caller holds mu and knows that none is in flight.
func (s *Source) begin(now time.Time) *flight {
	f := s.queued
	if s.queued = nil; f == nil {
		f = newFlight()
	}
	if s.closed {
		return f // nobody waits for it longer than for Close
	}
	f.epoch, f.start = s.epoch, now
	s.flight = f
	s.ahead = time.Time{}
	if !now.Before(s.retryAt) {
		s.retryAt = time.Time{} // this is that try
	}
	s.watch()
	parent := s.ctx
	if d, ok := s.strategy.(Durable); ok && d.Durable() {
		parent = context.Background()
	}
	f.hang = time.AfterFunc(renewLimit+hangGrace, func() { s.abandon(f) })
	go s.run(parent, f)
	return f
}

// run makes the fetch. It finishes the flight also when the strategy panics; the
// panic's value may hold a secret and is dropped.
func (s *Source) run(parent context.Context, f *flight) {
	ctx, cancel := context.WithTimeout(parent, renewLimit)
	var m Material
	err := errPanicked
	defer func() {
		_ = recover()
		cancel()
		s.finish(f, m, err)
	}()
	m, err = s.strategy.Fetch(ctx)
}

// abandon lets the waiters of a fetch go that does not heed its context. No other
// fetch starts before it returns.
func (s *Source) abandon(f *flight) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.settled {
		return
	}
	f.hung, f.outcome, f.err = true, Passing, errHung
	s.last = LastRenewal{At: time.Now(), Outcome: Passing}
	s.release(f)
}

// release lets the waiters go, once. The caller holds mu.
func (s *Source) release(f *flight) {
	if !f.ended {
		f.ended = true
		close(f.done)
	}
}

// finish applies the result, tells the listeners, then lets the waiters go.
func (s *Source) finish(f *flight, m Material, err error) {
	now := time.Now()
	s.mu.Lock()
	f.hang.Stop()
	event, tell := s.settle(f, now, m, err)
	s.mu.Unlock()
	if tell {
		s.emit(event)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flight = nil
	if s.queued != nil {
		f.next = s.queued
		s.begin(time.Now())
	}
	s.arm(time.Now())
	s.release(f)
}

// settle makes the result of a fetch the state of the source.
func (s *Source) settle(f *flight, now time.Time, m Material, err error) (Event, bool) {
	f.settled = true
	switch {
	case s.closed:
		f.outcome, f.err = Passing, ErrClosed
		return Event{}, false
	case f.epoch != s.epoch:
		f.void = true
		return Event{}, false
	}
	e := Event{At: now, Took: now.Sub(f.start)}
	var c *Credential
	if err == nil {
		c, err = newCredential(m, now)
	}
	if err == nil {
		e.Kind = s.publish(f, c, m.Lifetime)
		f.outcome, f.err = Same, nil
		if e.Kind != Unchanged {
			f.outcome = New
		}
	} else {
		e.Kind = Failed
		f.outcome, f.err = outcomeOf(err), err
		if f.outcome == Permanent {
			s.denied(now, err)
		} else {
			s.failed(f, now, err)
		}
	}
	e.Generation, e.Outcome, e.Err = s.generation, f.outcome, f.err
	s.last = LastRenewal{At: now, Outcome: f.outcome, Code: codeOf(err)}
	return e, true
}

// publish makes c current. Equal bytes keep their generation, but their new
// lifetime counts.
func (s *Source) publish(f *flight, c *Credential, life time.Duration) EventKind {
	kind := Unchanged
	if prev := s.cred; prev == nil || !prev.same(c) {
		kind = Renewed
		if s.rotating || prev != nil && !c.renewable {
			kind = Rotated
			s.rotation++
		}
		s.generation++
		s.life, s.refused = life, 0
		if prev != nil {
			c.before = prev.fields
		}
	} else {
		c.before = prev.before
	}
	c.generation, c.rotation = s.generation, s.rotation
	s.cred = c
	s.rotating = false
	s.trouble = trouble{}
	s.backoff = 0
	s.plan(c, f.start, life)
	s.cur.Store(c)
	return kind
}

// denied notes a permanent answer. Nothing is asked again in the background.
func (s *Source) denied(now time.Time, err error) {
	sticky := min(max(2*s.sticky, stickyMin), stickyMax)
	s.trouble = trouble{refusal: err, sticky: sticky, until: now.Add(sticky)}
	s.ahead, s.retryAt, s.backoff = time.Time{}, time.Time{}, 0
}

func codeOf(err error) string {
	if e, ok := asRenewError(err); ok {
		return e.Code
	}
	return ""
}

// limiter is a bucket of three that gains one a second.
type limiter struct {
	spent float64
	last  time.Time
}

func (l *limiter) allow(now time.Time) bool {
	const burst, rate = 3, 1.0
	if !l.last.IsZero() {
		l.spent = max(0, l.spent-now.Sub(l.last).Seconds()*rate)
	}
	l.last = now
	if l.spent > burst-1 {
		return false
	}
	l.spent++
	return true
}
