package guard_test

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/recloser-mcp/recloser/guard"
)

// history is everything that one plan led to.
type history struct {
	*bench
	plan plan

	idle, end     int // goroutines in the guard when no call runs, and after Close
	afterRotation []guard.State
	closed        bool
	last          *outcome // the call that healed
	healed        guard.State
	turnsAtClose  int

	wrong []string
}

func (h *history) fault(format string, args ...any) {
	h.wrong = append(h.wrong, fmt.Sprintf(format, args...))
}

// check states the invariants. What needs a schedule of its own is elsewhere:
// I10 and I13 to I17 in properties_test.go and rules_test.go. I3 is the source's.
func (h *history) check() []string {
	for i, o := range h.calls {
		h.checkCall(o, h.sendsOf(i))
	}
	h.checkSources()
	h.checkPath()
	h.checkOpenings()
	h.checkClosings()
	h.checkWhileOpen()
	h.checkEnd()
	return h.wrong
}

func (h *history) sendsOf(call int) (out []*sending) {
	for _, s := range h.sends {
		if s.call == call {
			out = append(out, s)
		}
	}
	return out
}

func (h *history) retries() int {
	if h.plan.Options.MaxRetries == nil {
		return 3
	}
	return *h.plan.Options.MaxRetries
}

// checkCall holds I1, I7, I12, I16 and what the types promise.
func (h *history) checkCall(o *outcome, sends []*sending) {
	free := 0
	var last *sending
	for k, s := range sends {
		a := s.attempt
		switch {
		case a.Number != k+1 || (a.Cause == guard.First) != (k == 0):
			h.fault("call %d: send %d has number %d, cause %s", o.call, k, a.Number, a.Cause)
		case last != nil && (!last.finished || last.end.seq > s.begin.seq):
			h.fault("I1: call %d has two sends out", o.call)
		case last != nil && (last.verdict == guard.Neutral || last.verdict == guard.Accepted || last.verdict == guard.Scope):
			h.fault("I12: call %d is sent again after %v", o.call, last.verdict)
		case last != nil && a.Delay != s.begin.at-last.end.at:
			h.fault("call %d: delay %s between %s and %s", o.call, a.Delay, last.end.at, s.begin.at)
		case a.Cause == guard.Late && a.Credential.gen <= last.attempt.Credential.gen && !h.missedRelease(last):
			h.fault("call %d: late with the same credential", o.call)
		case a.Cause == guard.Canary && (o.class == guard.Probe || o.class == guard.Stream):
			h.fault("I16: call %d of class %d is a canary", o.call, o.class)
		case (a.Cause == guard.Resend) != (last != nil && last.verdict == guard.Again):
			h.fault("call %d: cause %s after %v", o.call, a.Cause, last.verdict)
		}
		if s.finished && s.verdict == guard.Again {
			free++
		}
		last = s
	}
	if n := len(sends) - free; n > h.retries()+1 {
		h.fault("I1: call %d has %d sends", o.call, n)
	}
	left := o.end.at
	if last != nil {
		left = last.end.at
	}
	if at := o.endedAt.Sub(h.begun); o.ended && o.end.at != max(at, left) {
		h.fault("I7: call %d: context ended %s, last send %s, returned %s", o.call, at, left, o.end.at)
	}
	if !o.panicked && o.result.Phase <= guard.HalfOpen && o.end.seq > 0 && !exited(h.plan, o, last) {
		h.checkResult(o, sends, last)
	}
}

// missedRelease: the send left before a canary became so slow that all others
// were released.
func (h *history) missedRelease(s *sending) bool {
	return slices.ContainsFunc(h.sends, func(c *sending) bool {
		slow := c.begin.at + 2*time.Second
		return c.attempt.Cause == guard.Canary && slow <= s.end.at && s.begin.at <= slow
	})
}

// exited: the call's goroutine ended inside the sender, so nobody has a result.
func exited(p plan, o *outcome, last *sending) bool {
	if last == nil || o.call >= len(p.Calls) {
		return false
	}
	c := p.Calls[o.call]
	return c.Lines[min(last.attempt.Number, len(c.Lines))-1].Kind == exits && last.end.at == o.end.at
}

func (h *history) checkResult(o *outcome, sends []*sending, last *sending) {
	r := o.result
	if r.Attempts != len(sends) || r.Waited > o.took() {
		h.fault("call %d: %d sends in %s, told %d and %s", o.call, len(sends), o.took(), r.Attempts, r.Waited)
	}
	if last != nil && r.Generation != last.attempt.Credential.gen && (r.Generation != 0 || len(sends) > 1 || r.Err != nil) {
		h.fault("call %d: generation %d sent, %d told", o.call, last.attempt.Credential.gen, r.Generation)
	}
	var ref *guard.Refusal
	if r.Err != nil && !errors.As(r.Err, &ref) {
		h.fault("call %d: error %v of type %T", o.call, r.Err, r.Err)
		return
	}
	switch {
	case r.Err == nil:
		if last == nil || last.verdict != guard.Accepted && last.verdict != guard.Neutral && last.verdict != guard.Again {
			h.fault("call %d of %d sends has no error", o.call, len(sends))
		}
		return
	case last != nil && (last.verdict == guard.Accepted || last.verdict == guard.Neutral):
		h.fault("I12: call %d: %v after an answer that is to be returned", o.call, r.Err)
	case last != nil && (last.verdict == guard.Scope) != (ref.Reason == guard.ScopeMissing):
		h.fault("call %d: %v after %v", o.call, r.Err, last.verdict)
	case ref.Reason == guard.Rejected && (last != nil && last.verdict != guard.Again || h.plan.Options.WhenOpen != guard.Reject):
		h.fault("call %d: rejected after %d sends", o.call, len(sends))
	case ref.Reason == guard.Canceled && !o.ended:
		h.fault("call %d: canceled, and its context is alive", o.call)
	case (ref.Reason == guard.Shutdown) != errors.Is(r.Err, guard.ErrClosed), ref.Reason == guard.Shutdown && !h.closed:
		h.fault("call %d: %v", o.call, r.Err)
	case (ref.Reason == guard.Forbade) && (last == nil || last.verdict != guard.Denied):
		h.fault("call %d: forbidden without a 403", o.call)
	}
}

func refusal(v guard.Verdict) bool {
	return v == guard.Refused || v == guard.Invalid || v == guard.Denied
}

// checkSources holds I2, I4 and I11.
func (h *history) checkSources() {
	for _, s := range h.sends {
		if s.attempt.Credential.gen != s.current && !slices.ContainsFunc(h.src.history, func(i issued) bool { return i.when.at == s.begin.at }) {
			h.fault("I4: call %d carries %d while %d is current", s.call, s.attempt.Credential.gen, s.current)
		}
	}
	for k, r := range h.src.renewals {
		seen := r.absent || slices.ContainsFunc(h.sends, func(s *sending) bool {
			return s.finished && s.attempt.Credential.gen == r.refused && refusal(s.verdict) && s.end.seq < r.begin.seq
		})
		if !seen && !slices.ContainsFunc(h.src.renewals[:k], func(e renewal) bool { return e.refused == r.refused && e.outcome == guard.Passing }) {
			h.fault("I2: generation %d is renewed at %s, and nobody saw it refused", r.refused, r.begin.at)
		}
	}
	for _, st := range h.afterRotation {
		if st.Phase != guard.Closed || st.Count != 0 {
			h.fault("I11: %s, count %d after a rotation", st.Phase, st.Count)
		}
	}
}

// checkPath holds I19.
func (h *history) checkPath() {
	phase := guard.Closed
	var at time.Time
	for _, turn := range h.turns {
		legal := turn.From == phase && turn.To != phase && (turn.From != guard.Closed || turn.To == guard.Open) && !turn.At.Before(at)
		if !legal || turn.To == guard.Open && turn.Until.Before(turn.At) {
			h.fault("I19: %s after %s in %v", turn.To, phase, h.phases())
		}
		phase, at = turn.To, turn.At
	}
}

// rotatedAt says whether a rotation happened at one instant.
func (h *history) rotatedAt(at time.Duration) bool {
	return slices.ContainsFunc(h.src.history[1:], func(i issued) bool {
		return i.when.at == at && i.token.rot != h.src.history[i.token.gen-2].token.rot
	})
}

// checkOpenings holds I5: each exhausted sequence ends some call, at its own
// instant, unless the 15 seconds ended it.
func (h *history) checkOpenings() {
	var since time.Duration
	for _, turn := range h.turns {
		at := turn.At.Sub(h.begun)
		if turn.To == guard.Closed {
			since = at
		}
		if turn.From != guard.Closed || h.plan.slow() {
			continue
		}
		ends := map[time.Duration]bool{}
		for _, o := range h.calls {
			if o.end.at >= since && o.end.at <= at && o.result.Err != nil {
				ends[o.end.at] = true
			}
		}
		if len(ends) < h.plan.Options.OpenAfter || turn.Count < h.plan.Options.OpenAfter-1 {
			h.fault("I5: open at %s after %d exhausted sequences, told %d", at, len(ends), turn.Count)
		}
	}
}

// slow plans may run into the 15 seconds of an episode.
func (p plan) slow() bool {
	for _, c := range p.Calls {
		for _, l := range c.Lines {
			if l.After > 2*time.Second {
				return true
			}
		}
	}
	return slices.ContainsFunc(p.Issuer, func(r reply) bool { return r.after > time.Second })
}

// checkClosings holds I9 and the classes: the breaker closes by a rotation, or by
// an answer to a request that left while it was open.
func (h *history) checkClosings() {
	var opened time.Duration
	for _, turn := range h.turns {
		at := turn.At.Sub(h.begun)
		if turn.To == guard.Open && turn.From == guard.Closed {
			opened = at
		}
		if turn.To != guard.Closed || h.rotatedAt(at) {
			continue
		}
		byLimit := !slices.ContainsFunc(h.calls, func(o *outcome) bool { return o.end.at == opened })
		proof := slices.ContainsFunc(h.sends, func(s *sending) bool {
			suffices := s.class == guard.Call || s.class != guard.Stream && h.listRefused(at)
			return s.verdict == guard.Accepted && s.finished && s.end.at == at && suffices && (s.begin.at >= opened || byLimit || h.plan.slow())
		})
		if !proof {
			h.fault("I9: closed at %s without an answer that proves anything", at)
		}
	}
}

func (h *history) listRefused(before time.Duration) bool {
	return slices.ContainsFunc(h.sends, func(s *sending) bool {
		return (s.class == guard.List || s.class == guard.Probe) && refusal(s.verdict) && s.end.at <= before
	})
}

// checkWhileOpen holds the promise that an open breaker sends each call once, and
// I6: only the call that took the lease is sent again, and with reject no other
// call is sent at all.
func (h *history) checkWhileOpen() {
	for i, turn := range h.turns {
		if turn.To == guard.Closed {
			continue
		}
		from, to := turn.At.Sub(h.begun), time.Duration(1<<62)
		if i+1 < len(h.turns) {
			to = h.turns[i+1].At.Sub(h.begun)
		}
		leases := map[int]bool{}
		for _, s := range h.sends {
			counted := s.class == guard.List || s.class == guard.Call
			if !counted || s.begin.at <= from || s.begin.at >= to || s.attempt.Cause == guard.Resend {
				continue
			}
			o := h.calls[s.call]
			lease := turn.To == guard.HalfOpen && h.tookLease(o, from)
			if s.attempt.Number > 1 && !lease {
				h.fault("call %d is sent again while %s", s.call, turn.To)
			}
			if turn.To == guard.HalfOpen && h.plan.Options.WhenOpen == guard.Reject && !lease && o.begin.at > from {
				h.fault("I6: call %d is sent beside the lease's", s.call)
			}
			if lease {
				leases[s.call] = true
			}
		}
		if len(leases) > 1 {
			h.fault("I6: %d leases", len(leases))
		}
	}
}

// tookLease: the call was admitted at this very instant, for the first time or
// because its sender asked for one more.
func (h *history) tookLease(o *outcome, at time.Duration) bool {
	return o.begin.at == at || slices.ContainsFunc(h.sendsOf(o.call), func(s *sending) bool {
		return s.verdict == guard.Again && s.end.at == at
	})
}

// checkEnd holds I6, I7 and I8 once more: nothing is wedged, and nothing is left.
func (h *history) checkEnd() {
	if h.idle > 0 {
		h.fault("I8: %d goroutines when no call runs", h.idle)
	}
	if h.end > 0 || len(h.turns) != h.turnsAtClose {
		h.fault("I8: %d goroutines and %d transitions after Close", h.end, len(h.turns)-h.turnsAtClose)
	}
	if h.last != nil && (h.last.result.Err != nil || h.last.result.Attempts != 1 || h.healed != (guard.State{})) {
		h.fault("I6: the healing call ended with %+v in %+v", h.last.result, h.healed)
	}
}
