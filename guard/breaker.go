package guard

import "time"

// breaker is the part of a guard that decides whether calls are retried.
type breaker[C Credential] struct {
	phase    Phase
	count    int // exhausted episodes toward the next opening
	streak   int // consecutive exhausted episodes, for those who look on
	level    int // openings since the breaker was last closed
	openedAt time.Time
	until    time.Time // end of the cool-down
	cooled   bool      // the cool-down ended early
	lease    *call[C]  // the one call that probes while half-open
	expiry   *time.Timer
}

func epochOf(stamp uint64) uint32     { return uint32(stamp >> 32) }
func exhaustions(stamp uint64) uint32 { return uint32(stamp) } //nolint:gosec // the lower half is meant

func (g *Guard[C]) newEpoch() { g.stamp.Add(1 << 32) }

// outside tells a call that may not retry.
func (g *Guard[C]) outside(c *call[C]) bool {
	return g.phase == Open || g.phase == HalfOpen && g.lease != c
}

func (g *Guard[C]) holdsLease(c *call[C]) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.lease == c
}

func (g *Guard[C]) nextProbe() time.Time {
	if g.cooled {
		return time.Now()
	}
	return g.until
}

func (g *Guard[C]) enterPhase(p Phase) {
	n := Transition{From: g.phase, To: p, Count: g.streak, At: time.Now()}
	g.phase = p
	if p == Open {
		n.Until = g.nextProbe()
	}
	g.notes = append(g.notes, n)
}

// takeLease makes c the one call that probes. A probe that hangs loses the
// lease; the epoch stays, so that its late success still closes.
func (g *Guard[C]) takeLease(c *call[C]) {
	g.lease = c
	g.enterPhase(HalfOpen)
	g.expiry = time.AfterFunc(episodeLimit, func() {
		g.lock()
		defer g.unlock()
		if g.lease == c && g.ep == nil {
			g.open(true)
		}
	})
}

func (g *Guard[C]) dropLease() {
	g.lease = nil
	if g.expiry != nil {
		g.expiry.Stop()
		g.expiry = nil
	}
}

// returnLease is the end of a probe without a verdict: the next call probes.
func (g *Guard[C]) returnLease() {
	g.cooled = true
	g.enterPhase(Open)
}

// open starts a cool-down, or ends it at once where the current credential was
// never seen refused.
func (g *Guard[C]) open(deadline bool) {
	now := time.Now()
	g.openedAt = now
	g.until = now.Add(jitter(g.coolDown()))
	g.level++
	g.cooled = g.seen < g.gen
	g.enterPhase(Open)
	g.count = 0
	g.dropLease()
	if !deadline {
		g.newEpoch()
	}
}

// coolDown doubles with each opening. It stops before the maximum is passed, not
// after: a cool-down of days would grow beyond what a Duration holds.
func (g *Guard[C]) coolDown() time.Duration {
	d := g.o.CoolDown
	for range g.level {
		if d > g.o.MaxCoolDown/2 {
			return g.o.MaxCoolDown
		}
		d *= 2
	}
	return d
}

// clean closes the breaker and lets everyone who waits send again.
func (g *Guard[C]) clean() {
	if g.phase != Closed {
		g.enterPhase(Closed)
	}
	g.count, g.streak, g.level, g.cooled = 0, 0, 0, false
	g.openedAt, g.until, g.since = time.Time{}, time.Time{}, time.Time{}
	g.refs, g.late = [2]bool{}, straggling{}
	g.dropLease()
	g.newEpoch()
	g.forget()
	if g.ep == nil {
		return
	}
	waiters := g.ep.waiters
	g.endEpisode()
	for _, c := range waiters {
		c.ep, c.role = nil, bystander
		g.dispatch(c, Released)
	}
}
