package guard_test

import (
	"context"
	"errors"
	"sync"
	"testing/synctest"
	"time"

	"github.com/recloser-mcp/recloser/guard"
)

// token is a credential of the tests.
type token struct{ gen, rot uint64 }

func (c *token) Generation() uint64 { return c.gen }
func (c *token) Rotation() uint64   { return c.rot }

// journal orders what happens in one test, also at one and the same instant of
// virtual time.
type journal struct {
	mu    sync.Mutex
	begun time.Time
	seq   int
}

// moment is a point of the journal.
type moment struct {
	seq int
	at  time.Duration // since the test began
}

func newJournal() *journal { return &journal{begun: time.Now()} }

func (j *journal) now() moment {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.seq++
	return moment{j.seq, time.Since(j.begun)}
}

// A renewal is one exchange with the issuer.
type renewal struct {
	refused    uint64
	begin, end moment
	outcome    guard.Outcome
	absent     bool // there was nothing to send
	overtaken  bool // by a rotation: the result was thrown away
}

// issued is one generation becoming current.
type issued struct {
	token *token
	when  moment
}

// reply is what the issuer will do.
type reply struct {
	outcome guard.Outcome
	after   time.Duration
}

// flight is the one renewal under way.
type flight struct {
	over    chan struct{}
	outcome guard.Outcome
	void    bool // a rotation overtook it
}

// source is a guard.Source that records. Its issuer answers by script, the last
// line for ever.
type source struct {
	j      *journal
	script func(n int, refused uint64) reply
	told   func() // after a rotation

	mu       sync.Mutex
	cur      *token
	expired  bool
	last     uint64
	sticky   uint64 // generation+1 of a permanent answer
	flight   *flight
	renewals []renewal
	history  []issued
}

func newSource(j *journal, script func(n int, refused uint64) reply) *source {
	s := &source{j: j, script: script, cur: &token{1, 1}, last: 1}
	s.history = []issued{{s.cur, j.now()}}
	return s
}

// always is an issuer that answers one thing at once.
func always(o guard.Outcome) func(int, uint64) reply {
	return func(int, uint64) reply { return reply{outcome: o} }
}

func (s *source) Current() (*token, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cur, s.cur != nil && !s.expired
}

func (s *source) Peek() (*token, bool) { return s.Current() }

func (s *source) publish(rotation bool) {
	s.last++
	rot := uint64(1)
	if n := len(s.history); n > 0 {
		rot = s.history[n-1].token.rot
	}
	if rotation {
		rot++
	}
	s.cur, s.expired = &token{s.last, rot}, false
	s.history = append(s.history, issued{s.cur, s.j.now()})
}

func (s *source) Renew(ctx context.Context, refused uint64, retry bool) guard.Outcome {
	s.mu.Lock()
	for {
		if s.cur != nil && !s.expired && s.cur.gen > refused {
			s.mu.Unlock()
			return guard.Newer
		}
		if s.sticky == refused+1 && !retry {
			s.mu.Unlock()
			return guard.Permanent
		}
		mine := s.flight
		if mine == nil {
			mine = s.begin(refused)
		}
		s.mu.Unlock()
		select {
		case <-mine.over:
		case <-ctx.Done():
			return guard.Passing
		}
		if !mine.void {
			return mine.outcome
		}
		s.mu.Lock()
	}
}

// idle waits until no renewal runs, those included that others lead to.
func (s *source) idle() {
	for {
		synctest.Wait()
		s.mu.Lock()
		fl := s.flight
		s.mu.Unlock()
		if fl == nil {
			return
		}
		<-fl.over
	}
}

// begin starts the one renewal; s.mu is held.
func (s *source) begin(refused uint64) *flight {
	k, fl := len(s.renewals), &flight{over: make(chan struct{})}
	r := s.script(k, refused)
	s.flight = fl
	s.renewals = append(s.renewals, renewal{refused: refused, begin: s.j.now(), outcome: r.outcome, absent: s.expired})
	rotations := s.rotations()
	go func() {
		time.Sleep(r.after)
		s.mu.Lock()
		defer s.mu.Unlock()
		this := &s.renewals[k]
		this.end, this.overtaken = s.j.now(), s.rotations() != rotations
		if !this.overtaken {
			switch r.outcome {
			case guard.Newer:
				s.publish(false)
			case guard.Permanent:
				s.sticky = refused + 1
			}
		}
		fl.outcome, fl.void, s.flight = r.outcome, this.overtaken, nil
		close(fl.over)
	}()
	return fl
}

func (s *source) rotations() uint64 { return s.history[len(s.history)-1].token.rot }

// rotate is a new credential from outside.
func (s *source) rotate() {
	s.mu.Lock()
	s.publish(true)
	s.mu.Unlock()
	s.told()
}

// renewAhead publishes a generation that nobody asked for.
func (s *source) renewAhead() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flight == nil {
		s.publish(false)
	}
}

func (s *source) expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expired = true
}

func (s *source) generation() uint64 {
	c, _ := s.Current()
	return c.gen
}

// newest is the last generation issued, usable or not.
func (s *source) newest() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

func (s *source) renewed() []renewal {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]renewal(nil), s.renewals...)
}

// sending is one physical send as the backend saw it.
type sending struct {
	call       int
	class      guard.Class
	attempt    guard.Attempt[*token]
	current    uint64 // the source's generation when it left
	begin, end moment
	verdict    guard.Verdict
	finished   bool
}

// outcome is one call as its caller saw it.
type outcome struct {
	call       int
	class      guard.Class
	begin, end moment
	result     guard.Result
	panicked   bool
	ended      bool      // the deadline of its context had passed when it returned
	endedAt    time.Time // the deadline
}

func (o outcome) reason(want guard.Reason) bool {
	var r *guard.Refusal
	return errors.As(o.result.Err, &r) && r.Reason == want
}

// bench is one guard with everything around it, recorded.
type bench struct {
	*journal
	src *source
	g   *guard.Guard[*token]

	mu    sync.Mutex
	sends []*sending
	calls []*outcome
	turns []guard.Transition
	wg    sync.WaitGroup
}

func newBench(o guard.Options, issuer func(int, uint64) reply) *bench {
	b := &bench{journal: newJournal()}
	b.src = newSource(b.journal, issuer)
	o.OnTransition = func(t guard.Transition) {
		b.g.State() // a listener that is called under the lock stops here
		b.mu.Lock()
		defer b.mu.Unlock()
		b.turns = append(b.turns, t)
	}
	b.g = guard.New[*token](b.src, o)
	b.src.told = b.g.Rotated
	return b
}

// answer is how the backend answers one send; it may look at the clock, wait,
// panic, or mind the context.
type answer func(ctx context.Context, s *sending) guard.Verdict

// sender is the guard.Sender of one call.
type sender struct {
	b    *bench
	call *outcome
	f    answer
}

func (s sender) Send(ctx context.Context, a guard.Attempt[*token]) guard.Verdict {
	x := &sending{call: s.call.call, class: s.call.class, attempt: a, current: s.b.src.generation(), begin: s.b.now()}
	s.b.mu.Lock()
	s.b.sends = append(s.b.sends, x)
	s.b.mu.Unlock()
	defer func() {
		s.b.mu.Lock()
		defer s.b.mu.Unlock()
		x.end, x.finished = s.b.now(), true
	}()
	v := s.f(ctx, x)
	s.b.mu.Lock()
	x.verdict = v
	s.b.mu.Unlock()
	return v
}

// do makes one call and waits for it.
func (b *bench) do(ctx context.Context, class guard.Class, f answer) *outcome {
	b.mu.Lock()
	o := &outcome{call: len(b.calls), class: class, begin: b.now()}
	b.calls = append(b.calls, o)
	b.mu.Unlock()
	b.run(ctx, o, f)
	return o
}

func (b *bench) run(ctx context.Context, o *outcome, f answer) {
	defer func() {
		o.end = b.now()
		if limit, ok := ctx.Deadline(); ok && ctx.Err() != nil {
			o.ended, o.endedAt = true, limit
		}
		if recover() != nil {
			o.panicked = true
		}
	}()
	o.result = *b.g.Do(ctx, o.class, sender{b, o, f})
}

// start makes one call in the background.
func (b *bench) start(ctx context.Context, class guard.Class, f answer) *outcome {
	b.mu.Lock()
	o := &outcome{call: len(b.calls), class: class, begin: b.now()}
	b.calls = append(b.calls, o)
	b.mu.Unlock()
	b.wg.Go(func() { b.run(ctx, o, f) })
	return o
}

// sent counts the sends so far, and those that carried a generation.
func (b *bench) sent() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.sends)
}

// says answers at once, says with after later.
func says(v guard.Verdict) answer {
	return func(context.Context, *sending) guard.Verdict { return v }
}

func after(d time.Duration, f answer) answer {
	return func(ctx context.Context, s *sending) guard.Verdict {
		select {
		case <-time.After(d):
			return f(ctx, s)
		case <-ctx.Done():
			return guard.Neutral
		}
	}
}

// accepts refuses the generations below g.
func accepts(g uint64) answer {
	return func(_ context.Context, s *sending) guard.Verdict {
		if s.attempt.Credential.gen < g {
			return guard.Refused
		}
		return guard.Accepted
	}
}

// lines answers the sends of one call by script, the last line for ever.
func lines(f ...answer) answer {
	return func(ctx context.Context, s *sending) guard.Verdict {
		return f[min(s.attempt.Number, len(f))-1](ctx, s)
	}
}
