// Package guard keeps calls alive when their credential is refused.
//
// A guard owns the recovery of one backend for one identity: the episodes in
// which a refused credential is renewed and tried again, and the breaker that
// stops trying. It is generic in the credential, knows no MCP and imports
// nothing of this module. The rules are written down in docs/guard.md; each
// function of machine.go and episode.go is one line of the table there.
//
// While nothing is wrong a call costs three atomic loads: no lock, no
// allocation.
package guard

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

const (
	episodeLimit = 15 * time.Second // an episode, and a lease, end after it
	slowCanary   = 2 * time.Second  // a canary without a verdict no longer holds the others back
	memory       = 10 * time.Second // how long an abandoned episode can be resumed
	forbidEvery  = time.Minute      // forced renewals for a 403 that is a matter of permission
)

// Guard recovers the calls of one backend under one identity. It is safe for
// concurrent use. Two guards share nothing but, where their owner wants it so,
// a Source.
type Guard[C Credential] struct {
	src Source[C]
	o   Options

	word     atomic.Uint64    // zero: closed, nothing counted, no episode, none remembered
	stamp    atomic.Uint64    // epoch in the upper half, exhausted episodes in the lower
	accepted [2]atomic.Uint64 // newest generation accepted, for List and Call

	life context.Context // ends with Close; the parent of every wait the guard makes itself
	end  context.CancelFunc

	mu sync.Mutex // everything below
	breaker[C]
	ep     *episode[C]
	left   remembered
	gen    uint64 // newest generation seen at the source
	turned uint64 // newest rotation seen there
	seen   uint64 // newest generation that a send saw refused
	late   straggling
	since  time.Time
	forbid time.Time // last forced renewal for a 403
	refs   [2]bool   // classes that were refused since clean
	closed bool
	asking bool // a renewal for a guard that never retries is under way

	notes     []Transition
	notifying bool
}

// straggling tells sends that left before the last exhaustion, while nothing
// was accepted, renewed or rotated since.
type straggling struct {
	before uint32
	gen    uint64
}

// New returns a guard over src. Invalid options are the caller's fault: check
// them with Validate.
func New[C Credential](src Source[C], o Options) *Guard[C] {
	g := &Guard[C]{src: src, o: o.withDefaults()}
	g.life, g.end = context.WithCancel(context.Background())
	if c, ok := src.Current(); ok {
		g.gen, g.turned = c.Generation(), c.Rotation()
	}
	return g
}

// servedAtOnce is the result of nearly every call. Sharing it keeps the success
// path free of allocations and of copies.
var servedAtOnce = &Result{Attempts: 1}

// Do runs one call: it asks s to send as often as the rules allow, and returns
// when the last answer is the call's answer (Err nil) or the call ends with a
// *Refusal. It blocks while the call waits for a recovery, at most until ctx
// ends. The result is shared: read it only.
func (g *Guard[C]) Do(ctx context.Context, class Class, s Sender[C]) *Result {
	if g.word.Load() == 0 && class <= Call {
		stamp := g.stamp.Load()
		if cred, ok := g.src.Current(); ok {
			v := s.Send(ctx, Attempt[C]{Credential: cred, Number: 1})
			if v == Accepted && g.word.Load() == 0 && g.accepted[class].Load() == cred.Generation() {
				return servedAtOnce
			}
			return g.afterFirst(ctx, class, s, v, cred, stamp)
		}
	}
	return g.slow(ctx, class, s)
}

func (g *Guard[C]) afterFirst(ctx context.Context, class Class, s Sender[C], v Verdict, cred C, stamp uint64) *Result {
	c := newCall[C](class)
	c.sends, c.tries, c.gen, c.stamp = 1, 1, cred.Generation(), stamp
	return g.run(ctx, c, s, v, true)
}

func (g *Guard[C]) slow(ctx context.Context, class Class, s Sender[C]) *Result {
	if class > Call {
		return g.aside(ctx, class, s)
	}
	return g.run(ctx, newCall[C](class), s, Neutral, false)
}

// run is the life of one call. sent says that the first send was made and
// answered with v.
func (g *Guard[C]) run(ctx context.Context, c *call[C], s Sender[C], v Verdict, sent bool) *Result {
	defer g.leave(c) // also when the sender panics
	var next order
	if sent {
		next = g.judge(c, v)
	} else {
		next = g.admit(c)
	}
	for {
		switch next.kind {
		case finish:
			return g.result(c, next.refusal)
		case await:
			next = g.await(ctx, c)
		case private:
			next = g.private(ctx, c, next)
		case transmit:
			cred, refusal := g.credential(ctx, c)
			if refusal != nil {
				return g.result(c, refusal)
			}
			c.tries++
			a := Attempt[C]{Credential: cred, Number: c.tries, Delay: c.delay, Cause: next.cause}
			c.delay = 0
			next = g.judge(c, s.Send(ctx, a))
		}
	}
}

// credential returns what to send now. A renewal comes first where there is
// none, or where it has expired; that is no send.
func (g *Guard[C]) credential(ctx context.Context, c *call[C]) (C, *Refusal) {
	cred, ok := g.src.Current()
	for range 2 {
		if ok {
			c.gen = cred.Generation()
			return cred, nil
		}
		began := time.Now()
		out, err := g.renew(ctx, 0, g.holdsLease(c))
		c.pause(time.Since(began))
		if err != nil {
			return cred, g.refusal(Canceled, err)
		}
		if out != Newer {
			return cred, g.absent(out)
		}
		if r := g.begin(c); r != nil {
			return cred, r
		}
		cred, ok = g.src.Current()
	}
	return cred, g.absent(Passing)
}

// renew asks the source, until ctx or the guard ends.
func (g *Guard[C]) renew(ctx context.Context, refused uint64, retry bool) (Outcome, error) {
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(g.life, cancel)()
	out := g.src.Renew(inner, refused, retry)
	if out == Newer || inner.Err() == nil {
		return out, nil
	}
	return out, g.ended(ctx)
}

// ended says why a wait was cut short.
func (g *Guard[C]) ended(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return ErrClosed
}

// await waits for what the episode decides about c.
func (g *Guard[C]) await(ctx context.Context, c *call[C]) order {
	began := time.Now()
	defer func() { c.pause(time.Since(began)) }()
	select {
	case o := <-c.wake:
		return o
	case <-ctx.Done():
		return order{kind: finish, refusal: g.refusal(Canceled, ctx.Err())}
	}
}

// private is the wait of a call whose credential is good but whose request was
// denied: nothing of it is shared.
func (g *Guard[C]) private(ctx context.Context, c *call[C], o order) order {
	began := time.Now()
	defer func() { c.pause(time.Since(began)) }()
	if o.renew {
		out, err := g.renew(ctx, c.gen, false)
		if err != nil {
			return order{kind: finish, refusal: g.refusal(Canceled, err)}
		}
		if out == Newer {
			g.inherit(c)
		}
	}
	t := time.NewTimer(o.wait - time.Since(began))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
		return order{kind: finish, refusal: g.refusal(Canceled, ctx.Err())}
	case <-g.life.Done():
		return order{kind: finish, refusal: g.refusal(Shutdown, ErrClosed)}
	}
	return g.retryDenied(c)
}

// aside runs a health probe or a request for a standing stream: sent once, and
// once more if a renewal brings a new credential. It never counts, never leads
// an episode and never takes the lease; only an accepted probe is evidence.
func (g *Guard[C]) aside(ctx context.Context, class Class, s Sender[C]) *Result {
	if g.word.Load() == 0 {
		stamp := g.stamp.Load()
		if cred, ok := g.src.Current(); ok {
			v, gen := s.Send(ctx, Attempt[C]{Credential: cred, Number: 1}), cred.Generation()
			if v == Accepted && (class == Stream || g.word.Load() == 0 && g.accepted[List].Load() == gen) {
				return servedAtOnce
			}
			c := newCall[C](class)
			c.sends, c.tries, c.gen, c.stamp = 1, 1, gen, stamp
			return g.runAside(ctx, c, s, g.judgeAside(c, v))
		}
	}
	c := newCall[C](class)
	return g.runAside(ctx, c, s, g.admitAside(c))
}

func (g *Guard[C]) runAside(ctx context.Context, c *call[C], s Sender[C], next order) *Result {
	defer g.leave(c)
	for renewed := false; ; {
		switch {
		case next.kind == transmit:
			cred, refusal := g.credential(ctx, c)
			if refusal != nil {
				return g.result(c, refusal)
			}
			c.tries++
			a := Attempt[C]{Credential: cred, Number: c.tries, Delay: c.delay, Cause: next.cause}
			c.delay = 0
			next = g.judgeAside(c, s.Send(ctx, a))
		case next.kind == private && !renewed && *g.o.MaxRetries > 0:
			renewed = true
			began := time.Now()
			out, err := g.renew(ctx, c.gen, false)
			c.pause(time.Since(began))
			if err != nil {
				return g.result(c, g.refusal(Canceled, err))
			}
			if out == Newer {
				next = g.capture(c, Released)
				continue
			}
			next.refusal.Renewed, next.refusal.Renewal = true, out
		default:
			return g.result(c, next.refusal)
		}
	}
}

// Rotated tells the guard that the source's credential was replaced from
// outside: the breaker closes and everyone who waits sends again at once.
func (g *Guard[C]) Rotated() {
	g.lock()
	g.unlock()
}

// Reset forgets the trouble at hand, as an accepted call would: the breaker closes
// and everyone who waits sends again at once. It is for people who know that the
// backend was mended.
func (g *Guard[C]) Reset() {
	g.lock()
	defer g.unlock()
	if !g.closed {
		g.clean()
	}
}

// State returns a copy of what the guard knows now. Asking for it is no use of
// the credential.
func (g *Guard[C]) State() State {
	g.look()
	defer g.unlock()
	s := State{Phase: g.phase, Count: g.streak, Since: g.since, Recovering: g.ep != nil,
		CallsOnly: g.refs[Call] && !g.refs[List]}
	if g.phase != Closed {
		s.OpenedAt = g.openedAt
	}
	if g.phase == Open {
		s.NextProbe = g.nextProbe()
	}
	return s
}

// Close ends every wait with ErrClosed. Sends that are out end by themselves.
// Nothing of the guard remains: no goroutine and no timer.
func (g *Guard[C]) Close() {
	g.lock()
	defer g.unlock()
	if g.closed {
		return
	}
	g.closed = true
	if g.ep != nil {
		g.failAll(g.refusalLocked(Shutdown, ErrClosed))
		g.endEpisode()
	}
	g.dropLease()
	g.end()
}
