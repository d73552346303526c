package guard

import (
	"errors"
	"time"
)

// lock takes the lock and brings the guard up to date with the source.
func (g *Guard[C]) lock() {
	g.mu.Lock()
	if !g.closed {
		g.update(g.src.Current())
	}
}

// look is lock for those who only look on: that is no use of the credential.
func (g *Guard[C]) look() {
	g.mu.Lock()
	if !g.closed {
		g.update(g.src.Peek())
	}
}

func (g *Guard[C]) update(cur C, ok bool) {
	if ok {
		if r := cur.Rotation(); r > g.turned {
			g.turned, g.gen = r, cur.Generation()
			g.clean()
		}
		if n := cur.Generation(); n > g.gen {
			g.gen = n
			g.cooled = g.cooled || g.phase == Open
		}
		// What the source has published is known to the episode at once, not only
		// when the goroutine that asked for it comes round: else a call could try
		// the new credential, be refused, and be released with it once more.
		if ep := g.ep; ep != nil && ep.stage == renewing && g.gen > ep.refused {
			ep.cancel()
			g.renewed(Newer)
		}
	}
	if g.left.step != 0 && !time.Now().Before(g.left.gone) {
		g.forget()
		if g.phase == Closed && g.count == 0 {
			g.refs = [2]bool{}
		}
	}
}

// unlock settles what the event left behind, publishes the word and tells the
// listener, in order and outside the lock.
func (g *Guard[C]) unlock() {
	if !g.closed {
		g.settle()
	}
	word := g.summary()
	if word == 0 {
		g.since = time.Time{}
	}
	g.word.Store(word)
	if g.o.OnTransition == nil {
		g.notes = nil
	}
	if g.notifying || len(g.notes) == 0 {
		g.mu.Unlock()
		return
	}
	g.notifying = true
	for len(g.notes) > 0 {
		notes := g.notes
		g.notes = nil
		g.mu.Unlock()
		for _, n := range notes {
			g.o.OnTransition(n)
		}
		g.mu.Lock()
	}
	g.notifying = false
	g.mu.Unlock()
}

func (g *Guard[C]) summary() uint64 {
	if g.phase == Closed && g.count == 0 && g.ep == nil && g.left.step == 0 && g.refs == [2]bool{} && !g.closed {
		return 0
	}
	return 1
}

// admit lets a call in, or fails it at once.
func (g *Guard[C]) admit(c *call[C]) order {
	g.lock()
	defer g.unlock()
	return g.admitLocked(c, First)
}

func (g *Guard[C]) admitLocked(c *call[C], cause Cause) order {
	switch {
	case g.closed:
		return g.fail(c, Shutdown, ErrClosed)
	case g.phase == Open && (g.cooled || !time.Now().Before(g.until)):
		g.takeLease(c)
	case g.phase != Closed && g.o.WhenOpen == Reject:
		return g.fail(c, Rejected, nil)
	}
	g.depart(c)
	return order{kind: transmit, cause: cause}
}

// depart marks the moment in which a send leaves.
func (g *Guard[C]) depart(c *call[C]) {
	c.sends++
	c.stamp = g.stamp.Load()
	c.post = 0
	if g.left.step != 0 && g.left.waited() {
		c.post = g.left.id
	}
}

// capture orders one more send.
func (g *Guard[C]) capture(c *call[C], cause Cause) order {
	g.lock()
	defer g.unlock()
	g.depart(c)
	return order{kind: transmit, cause: cause}
}

// begin marks the send again after a wait for a usable credential. It refuses
// where this would be a retry and the breaker opened meanwhile.
func (g *Guard[C]) begin(c *call[C]) *Refusal {
	g.lock()
	defer g.unlock()
	if c.class <= Call && c.sends > 1 && g.outside(c) {
		return g.refusalLocked(Unretried, nil)
	}
	c.sends--
	g.depart(c)
	return nil
}

// retryDenied sends a denied call again while the breaker is closed.
func (g *Guard[C]) retryDenied(c *call[C]) order {
	g.lock()
	defer g.unlock()
	if g.phase != Closed {
		return g.fail(c, Forbade, nil)
	}
	g.depart(c)
	return order{kind: transmit, cause: Forbidden}
}

// judge applies the verdict on a call's send.
func (g *Guard[C]) judge(c *call[C], v Verdict) order {
	g.lock()
	defer g.unlock()
	if v == Denied {
		v = g.denied(c)
	}
	switch v {
	case Accepted:
		g.accept(c)
	case Refused, Invalid:
		if g.closed {
			return g.fail(c, Shutdown, ErrClosed)
		}
		return g.refuse(c, v == Invalid)
	case Denied:
		return g.forbidden(c)
	case Scope:
		return g.fail(c, ScopeMissing, nil)
	case Again:
		g.drop(c)
		g.settle() // the roles pass on before the call comes back
		c.sends--
		return g.admitLocked(c, Resend)
	}
	return order{kind: finish}
}

// denied tells a 403 of a credential that was never good from one that was.
func (g *Guard[C]) denied(c *call[C]) Verdict {
	if *g.o.RetryOn403 && g.accepted[c.kind()].Load() != c.gen {
		return Refused
	}
	return Denied
}

// accept applies a 2xx.
func (g *Guard[C]) accept(c *call[C]) {
	if a := &g.accepted[c.kind()]; a.Load() < c.gen {
		a.Store(c.gen)
	}
	suffices := !g.refs[Call] || c.class == Call || g.refs[List]
	fresh := epochOf(c.stamp) == epochOf(g.stamp.Load())
	g.drop(c)
	if fresh && suffices && g.summary() != 0 && !g.closed {
		g.clean()
	}
}

// refuse applies a refusal. The order of the cases is the order of the table.
//
// Late is a send whose credential was already replaced. So is, in an episode
// whose canary was merely slow, a send from before that episode: its refusal is
// of an older epoch and may not move the episode on.
func (g *Guard[C]) refuse(c *call[C], invalid bool) order {
	current := g.note(c)
	fresh := epochOf(c.stamp) == epochOf(g.stamp.Load())
	limit := *g.o.MaxRetries + 1
	switch {
	case g.is(c, canary):
		return g.refuseCanary(c, current, invalid, limit)
	case g.outside(c):
		g.refs[c.kind()] = true
		return g.fail(c, Unretried, nil)
	case g.straggler(c):
		return g.fail(c, Unretried, nil)
	case limit == 1 && g.ep == nil && current && fresh:
		return g.countSingle(c)
	case c.sends >= limit:
		return g.refuseSpent(c, current, invalid)
	case g.isLate(current, fresh) && !g.is(c, released):
		if g.ep != nil {
			g.enlist(c, released)
		}
		g.depart(c)
		return order{kind: transmit, cause: Late}
	}
	g.refs[c.kind()] = true
	g.dropRole(c)
	return g.enter(c, current, invalid, fresh)
}

// is tells a call's role in the running episode.
func (g *Guard[C]) is(c *call[C], r role) bool { return c.ep != nil && c.ep == g.ep && c.role == r }

func (g *Guard[C]) isLate(current, fresh bool) bool {
	return !current || !fresh && g.ep != nil && g.ep.stage == releasing
}

// refuseCanary moves the episode on. A canary that has no send left leaves.
func (g *Guard[C]) refuseCanary(c *call[C], current, invalid bool, limit int) order {
	g.refs[c.kind()] = true
	g.demote(c)
	o := order{kind: await}
	if c.sends >= limit {
		o = g.fail(c, Exhausted, nil)
	}
	g.nextStep(current, invalid)
	return o
}

// refuseSpent ends a call that has no send left. If it was released with the
// credential that is current, its refusal still moves the episode on.
func (g *Guard[C]) refuseSpent(c *call[C], current, invalid bool) order {
	moves := g.is(c, released) && g.ep.stage == releasing
	if moves {
		g.refs[c.kind()] = true
	}
	o := g.fail(c, Exhausted, nil)
	if moves && current {
		g.nextStep(current, invalid)
	}
	return o
}

// enter puts a refused call into an episode: the running one, the remembered
// one, or a new one.
func (g *Guard[C]) enter(c *call[C], current, invalid, fresh bool) order {
	switch {
	case g.ep == nil && g.left.step != 0:
		g.resume(c, current, invalid && fresh)
	case g.ep == nil:
		g.newEpoch()
		g.start(c, 1)
		if invalid && fresh {
			g.exhaust(false)
		} else {
			g.enterStep(current)
		}
	case g.ep.stage == releasing:
		g.enlist(c, waiter)
		g.nextStep(current, invalid)
	case invalid:
		return g.fail(c, Exhausted, nil)
	default:
		c.joined = true
		g.enlist(c, waiter)
	}
	return order{kind: await}
}

// countSingle is the sequence of a guard that never retries: one refused send.
// The renewal goes on without the call, for those that come later; there is one
// at a time.
func (g *Guard[C]) countSingle(c *call[C]) order {
	g.refs[c.kind()] = true
	g.dropRole(c)
	g.newEpoch()
	g.start(c, 1)
	if !g.asking {
		g.asking = true
		gen, retry := c.gen, g.ep.retry
		go func() {
			g.src.Renew(g.life, gen, retry)
			g.mu.Lock()
			g.asking = false
			g.mu.Unlock()
		}()
	}
	g.exhaust(false)
	return order{kind: await}
}

// note records which generation was refused, and says whether it is current.
func (g *Guard[C]) note(c *call[C]) (current bool) {
	if g.since.IsZero() && c.class != Stream {
		g.since = time.Now()
	}
	cur, ok := g.src.Current()
	if ok && cur.Generation() > c.gen {
		return false
	}
	g.seen = max(g.seen, c.gen)
	return true
}

// straggler tells a send that left before the last exhaustion.
func (g *Guard[C]) straggler(c *call[C]) bool {
	return exhaustions(c.stamp) < g.late.before && g.late.gen == g.gen
}

// forbidden starts a private retry of a denied call, if it may have one.
func (g *Guard[C]) forbidden(c *call[C]) order {
	retries := *g.o.MaxRetries
	if !*g.o.RetryOn403 || c.sends > retries || g.phase != Closed || g.closed {
		return g.fail(c, Forbade, nil)
	}
	g.drop(c)
	o := order{kind: private, wait: g.o.InitialWait << (c.sends - 1)}
	if now := time.Now(); g.forbid.IsZero() || now.Sub(g.forbid) >= forbidEvery {
		g.forbid, o.renew = now, true
	}
	return o
}

// inherit has the generation that a denied call's own renewal has published take
// over what is known of the one before: it is as good as that, and a further 403
// is a matter of permission again.
func (g *Guard[C]) inherit(c *call[C]) {
	if cur, ok := g.src.Current(); ok {
		g.accepted[c.kind()].CompareAndSwap(c.gen, cur.Generation())
	}
}

// leave takes a call out, wherever it is. It is idempotent.
func (g *Guard[C]) leave(c *call[C]) {
	if c.done {
		return
	}
	g.lock()
	defer g.unlock()
	g.drop(c)
	c.done = true
}

// fail ends a call with a refusal.
func (g *Guard[C]) fail(c *call[C], r Reason, err error) order {
	refusal := g.refusalLocked(r, err)
	g.drop(c)
	return order{kind: finish, refusal: refusal}
}

func (g *Guard[C]) refusal(r Reason, err error) *Refusal {
	g.lock()
	defer g.unlock()
	if errors.Is(err, ErrClosed) {
		r = Shutdown
	}
	return g.refusalLocked(r, err)
}

func (g *Guard[C]) refusalLocked(r Reason, err error) *Refusal {
	out := &Refusal{Reason: r, Since: g.since, Err: err}
	if g.ep != nil {
		out.Renewed, out.Renewal = g.ep.renewed, g.ep.outcome
	}
	if g.phase == Open {
		out.RetryAt = g.nextProbe()
	}
	return out
}

// absent is the error where no credential can be sent.
func (g *Guard[C]) absent(out Outcome) *Refusal {
	r := g.refusal(RenewalUnavailable, nil)
	if out == Permanent {
		r.Reason = GrantExpired
	}
	r.Renewed, r.Renewal = true, out
	return r
}

func (g *Guard[C]) result(c *call[C], r *Refusal) *Result {
	g.leave(c)
	out := &Result{Attempts: c.tries, Waited: c.waited, Coalesced: c.joined, Generation: c.gen}
	g.mu.Lock()
	out.Phase = g.phase
	g.mu.Unlock()
	if r != nil {
		out.Err = r
	}
	return out
}
