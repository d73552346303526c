package guard

import (
	"context"
	"math/rand/v2"
	"time"
)

// stage of an episode.
type stage uint8

const (
	renewing  stage = iota // the source is asked for a newer credential
	backoff                // the wait before a canary
	trying                 // the canary is out
	releasing              // all were sent with the new credential
)

// episode is one recovery, shared by all calls that were refused meanwhile.
type episode[C Credential] struct {
	stage    stage
	step     int
	once     bool   // its RELEASE is used
	refused  uint64 // generation to renew
	retry    bool   // ask the source once more, also after a permanent answer
	renewed  bool
	outcome  Outcome
	waiters  []*call[C]
	canary   *call[C]
	out      int // released sends without a verdict
	over     time.Time
	timer    *time.Timer
	timers   int // of those started, for callbacks that come too late
	deadline *time.Timer
	cancel   context.CancelFunc // of the wait for the source
}

// remembered is an episode that nobody waited for any longer.
type remembered struct {
	id    uint64
	step  int // zero: none
	once  bool
	again bool // it was abandoned before its renewal returned
	over  time.Time
	gone  time.Time
}

func (r *remembered) waited() bool { return !r.again && !time.Now().Before(r.over) }

func (g *Guard[C]) forget() { g.left = remembered{id: g.left.id} }

func (g *Guard[C]) start(c *call[C], step int) {
	ep := &episode[C]{step: step, refused: c.gen, retry: g.lease == c}
	ep.deadline = time.AfterFunc(episodeLimit, func() { g.during(ep, -1, func() { g.exhaust(true) }) })
	g.ep = ep
	g.forget()
	g.enlist(c, waiter)
}

// during runs f as an event of episode ep, unless the episode is over or its
// timer n was replaced. A negative n is no timer of a stage.
func (g *Guard[C]) during(ep *episode[C], n int, f func()) {
	g.lock()
	defer g.unlock()
	if g.ep == ep && (n < 0 || ep.timers == n) {
		f()
	}
}

// after replaces the episode's timer.
func (g *Guard[C]) after(d time.Duration, f func()) {
	ep := g.ep
	g.stopTimer(ep)
	n := ep.timers
	ep.timer = time.AfterFunc(d, func() { g.during(ep, n, f) })
}

func (g *Guard[C]) stopTimer(ep *episode[C]) {
	ep.timers++
	if ep.timer != nil {
		ep.timer.Stop()
		ep.timer = nil
	}
}

// enlist gives c a role in the running episode.
func (g *Guard[C]) enlist(c *call[C], r role) {
	c.ep, c.role = g.ep, r
	switch r {
	case waiter:
		g.ep.refused = max(g.ep.refused, c.gen)
		g.ep.waiters = append(g.ep.waiters, c)
	case released:
		g.ep.out++
	}
}

// demote turns the canary into a waiter, the first in line.
func (g *Guard[C]) demote(c *call[C]) {
	g.ep.canary = nil
	g.ep.refused = max(g.ep.refused, c.gen)
	c.role = waiter
	g.ep.waiters = append([]*call[C]{c}, g.ep.waiters...)
}

// drop takes a call's roles away, the lease included.
func (g *Guard[C]) drop(c *call[C]) {
	if g.lease == c {
		g.dropLease()
	}
	g.dropRole(c)
}

// dropRole takes away what a call is in the episode.
func (g *Guard[C]) dropRole(c *call[C]) {
	ep := c.ep
	c.ep = nil
	if ep == nil || ep != g.ep {
		return
	}
	ep.refused = max(ep.refused, c.gen)
	switch c.role {
	case waiter:
		for i, w := range ep.waiters {
			if w == c {
				ep.waiters = append(ep.waiters[:i], ep.waiters[i+1:]...)
				break
			}
		}
	case canary:
		ep.canary = nil
	case released:
		ep.out--
	}
	c.role = bystander
}

// nextStep begins the step after a refused try.
func (g *Guard[C]) nextStep(current, invalid bool) {
	g.ep.canary = nil
	g.ep.step++
	if g.ep.step > *g.o.MaxRetries || invalid {
		g.exhaust(false)
		return
	}
	g.enterStep(current)
}

// enterStep renews. current says that the refused generation is the newest.
func (g *Guard[C]) enterStep(current bool) {
	ep := g.ep
	ep.stage = renewing
	g.stopTimer(ep)
	switch {
	case len(ep.waiters) == 0: // settle abandons it
	case !current:
		g.renewed(Newer)
	default:
		ctx, cancel := context.WithCancel(g.life)
		ep.cancel = cancel
		refused, retry := ep.refused, ep.retry
		ep.retry = false
		go func() {
			defer cancel()
			out := g.src.Renew(ctx, refused, retry)
			g.lock()
			defer g.unlock()
			if ctx.Err() == nil && g.ep == ep && ep.stage == renewing {
				g.renewed(out)
			}
		}()
	}
}

// renewed goes on when the source has answered.
func (g *Guard[C]) renewed(out Outcome) {
	ep := g.ep
	ep.renewed, ep.outcome = true, out
	switch {
	case out == Permanent:
		g.exhaust(false)
	case out == Newer && !ep.once:
		g.release()
	default:
		g.pauseStep(g.o.InitialWait << (ep.step - 1))
	}
}

// pauseStep waits before the canary.
func (g *Guard[C]) pauseStep(d time.Duration) {
	ep := g.ep
	ep.stage, ep.over = backoff, time.Now().Add(d)
	g.after(d, func() {
		if len(ep.waiters) > 0 {
			g.send(ep.waiters[0])
		}
	})
}

// send makes a waiter the canary.
func (g *Guard[C]) send(c *call[C]) {
	ep := g.ep
	for i, w := range ep.waiters {
		if w == c {
			ep.waiters = append(ep.waiters[:i], ep.waiters[i+1:]...)
			break
		}
	}
	ep.stage, ep.canary, c.role = trying, c, canary
	g.stopTimer(ep)
	if !ep.once {
		g.after(slowCanary, g.release)
	}
	g.dispatch(c, Canary)
}

// release sends all waiters at once with the credential that is current now. A
// slow canary goes on as one of them.
func (g *Guard[C]) release() {
	ep := g.ep
	ep.once, ep.stage = true, releasing
	g.stopTimer(ep)
	waiters := ep.waiters
	ep.waiters = nil
	for _, c := range waiters {
		g.enlist(c, released)
		g.dispatch(c, Released)
	}
	if c := ep.canary; c != nil {
		ep.canary = nil
		g.enlist(c, released)
	}
}

// dispatch wakes a waiting call to send.
func (g *Guard[C]) dispatch(c *call[C], cause Cause) {
	g.depart(c)
	c.wake <- order{kind: transmit, cause: cause}
}

// failAll ends every waiter with the same refusal.
func (g *Guard[C]) failAll(r *Refusal) {
	for _, c := range g.ep.waiters {
		c.ep, c.role = nil, bystander
		c.wake <- order{kind: finish, refusal: r}
	}
	g.ep.waiters = nil
}

// exhaust ends the episode without success: one count, however many waited.
func (g *Guard[C]) exhaust(deadline bool) {
	r := g.refusalLocked(Exhausted, nil)
	if r.Renewed && r.Renewal == Permanent {
		r.Reason = GrantExpired
	}
	g.failAll(r)
	g.endEpisode()
	g.forget()
	g.stamp.Add(1)
	g.late = straggling{before: exhaustions(g.stamp.Load()), gen: g.gen}
	g.count++
	g.streak++
	if g.phase == HalfOpen || g.count >= g.o.OpenAfter {
		g.open(deadline)
	}
	if g.phase == Open {
		r.RetryAt = g.nextProbe()
	}
}

func (g *Guard[C]) endEpisode() {
	ep := g.ep
	g.ep = nil
	g.stopTimer(ep)
	ep.deadline.Stop()
	if ep.cancel != nil {
		ep.cancel()
	}
}

// abandon remembers an episode that nobody waits for.
func (g *Guard[C]) abandon(over time.Time, again bool) {
	ep := g.ep
	g.endEpisode()
	g.left = remembered{id: g.left.id + 1, step: ep.step, once: ep.once, again: again,
		over: over, gone: time.Now().Add(memory)}
}

// resume goes on with a remembered episode, where it was left.
func (g *Guard[C]) resume(c *call[C], current, invalid bool) {
	left := g.left
	waited := left.waited()
	g.start(c, left.step)
	g.ep.once = left.once
	switch {
	case invalid:
		g.exhaust(false)
	case waited && c.post == left.id:
		g.nextStep(current, false) // this refusal is that canary's
	case left.again:
		g.enterStep(current)
	default:
		g.pauseStep(max(0, time.Until(left.over)))
	}
}

// settle gives a role without an owner to the next call, and ends what nobody
// waits for.
func (g *Guard[C]) settle() {
	if ep := g.ep; ep != nil {
		switch {
		case ep.stage == trying && ep.canary == nil && len(ep.waiters) > 0:
			g.send(ep.waiters[0])
		case ep.stage == trying && ep.canary == nil, ep.stage == releasing && ep.out == 0:
			g.abandon(time.Now(), false)
		case ep.stage == renewing && len(ep.waiters) == 0:
			g.abandon(time.Time{}, true)
		case ep.stage == backoff && len(ep.waiters) == 0:
			g.abandon(ep.over, false)
		}
	}
	if g.phase == HalfOpen && g.lease == nil {
		g.returnLease()
	}
}

// jitter adds 0 to 20 per cent.
func jitter(d time.Duration) time.Duration {
	return d + time.Duration(rand.Int64N(int64(d)/5+1))
}
