package auth

import (
	"math/rand/v2"
	"time"
)

const (
	idleAfter    = time.Minute // without use, a source is parked
	aheadEvery   = 30 * time.Second
	aheadFloor   = 100 * time.Millisecond // for lifetimes of less than a second
	marginMax    = 10 * time.Second
	backoffFirst = time.Second
	backoffMax   = 20 * time.Second // from start to start
)

// schedule is what a source does without being asked: at most one timer, armed
// for the earliest of the times below, and never when there is none.
type schedule struct {
	ahead   time.Time     // the renewal ahead of time
	retryAt time.Time     // the next try after a passing failure
	backoff time.Duration // before that try, without jitter
	seen    time.Time     // last known use
	timer   *time.Timer
}

// plan sets the times of a credential that was fetched now, by a fetch that began
// at start. A credential whose bytes come again with less and less lifetime left
// (issuers that cache do so) is asked for at intervals of its first lifetime.
func (s *Source) plan(c *Credential, start time.Time, life time.Duration) {
	s.ahead, s.retryAt, s.stop = time.Time{}, time.Time{}, time.Time{}
	if life <= 0 {
		return
	}
	s.stop = c.expires.Add(-min(marginMax, life/10))
	s.ahead = c.issued.Add(time.Duration((0.7 + 0.1*rand.Float64()) * float64(life)))
	if soonest := start.Add(s.interval()); s.ahead.Before(soonest) {
		s.ahead = soonest
	}
}

// interval is the least time between the starts of two renewals ahead of time.
func (s *Source) interval() time.Duration {
	return max(min(aheadEvery, s.life/10), aheadFloor)
}

// failed notes a passing failure and plans the next try. As long as the
// credential at hand works there is no hurry.
func (s *Source) failed(f *flight, now time.Time, err error) {
	works := s.usable(now) && s.refused < s.generation
	planned := s.urgent && s.retryAt.After(now)
	s.trouble = trouble{failure: err, urgent: !works}
	switch {
	case works:
		s.backoff = 0
		s.retryAt = f.start.Add(s.interval())
	case planned:
		// A caller's own try neither puts the planned one off nor slows it down.
	default:
		s.backoff = min(max(2*s.backoff, backoffFirst), backoffMax)
		jitter := 0.8 + 0.2*rand.Float64()
		s.retryAt = f.start.Add(time.Duration(jitter * float64(s.backoff)))
	}
	if e, ok := asRenewError(err); ok && e.RetryAfter > 0 {
		s.notBefore = earlier(now.Add(e.RetryAfter), f.start.Add(backoffMax))
		if s.retryAt.Before(s.notBefore) {
			s.retryAt = s.notBefore
		}
	}
}

// usable reports whether there is a credential that has not expired.
func (s *Source) usable(now time.Time) bool {
	return s.cred != nil && (s.stop.IsZero() || now.Before(s.stop))
}

// restore makes cur tell the truth again, after a park or at an expiry, and
// reports whether there is a usable credential.
func (s *Source) restore(now time.Time) bool {
	if s.closed {
		return false
	}
	if s.usable(now) {
		if s.cur.Load() == nil {
			s.cur.Store(s.cred)
			s.arm(now)
		}
		return true
	}
	s.cur.Store(nil)
	if s.failure != nil && !s.urgent {
		// The early renewal failed at leisure; from here on callers lack one.
		s.urgent = true
		s.retryAt = now
		s.arm(now)
	}
	return false
}

// wake is the slow path of Current.
func (s *Source) wake() (*Credential, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.touch(now)
	if !s.restore(now) {
		return nil, false
	}
	return s.cred, true
}

func (s *Source) touch(now time.Time) { s.seen = now }

// arm sets the timer for the next thing to do, or stops it when there is none. A
// source that is armed also looks after its use, to be parked in time.
func (s *Source) arm(now time.Time) {
	next := time.Time{}
	if s.flight == nil { // else finish arms again
		next = earlier(s.ahead, s.retryAt)
	}
	if s.cur.Load() != nil {
		next = earlier(next, s.stop)
	}
	if next.IsZero() || s.closed {
		s.disarm()
		return
	}
	next = earlier(next, s.seen.Add(idleAfter))
	if s.timer == nil {
		s.timer = time.AfterFunc(next.Sub(now), s.tick)
	} else {
		s.timer.Reset(next.Sub(now))
	}
}

func (s *Source) disarm() {
	if s.timer != nil {
		s.timer.Stop()
	}
}

// tick does what is due.
func (s *Source) tick() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	now := time.Now()
	if s.used.Swap(false) {
		s.touch(now)
	}
	if now.Sub(s.seen) >= idleAfter {
		s.park()
		return
	}
	if s.cur.Load() != nil {
		s.restore(now)
	}
	due := earlier(s.ahead, s.retryAt)
	if s.flight == nil && !due.IsZero() && !now.Before(due) {
		s.begin(now)
	}
	s.arm(now)
}

// park forgets what was planned. Current finds nothing, looks at the clock and
// wakes the source; a credential that never expires needs no looking after.
func (s *Source) park() {
	s.disarm()
	s.retryAt, s.backoff = time.Time{}, 0
	s.failure = nil
	if !s.stop.IsZero() {
		s.cur.Store(nil)
	}
}

// earlier is the earlier of two times, where zero means never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
