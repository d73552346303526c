package guard_test

import (
	"context"
	"runtime"
	"strings"
	"sync/atomic"
	"testing/synctest"
	"time"

	"github.com/recloser-mcp/recloser/guard"
	"pgregory.net/rapid"
)

// A plan is one random schedule, drawn before its virtual time begins. Every
// moment has microseconds of its own, so that two things happen at one instant
// only where one causes the other.
type plan struct {
	Options guard.Options
	Calls   []callPlan
	Issuer  []reply
	Moods   []mood
	Events  []event
}

type callPlan struct {
	At    time.Duration
	Class guard.Class
	Limit time.Duration // of its context, 0 for none
	Lines []line        // one a send, the last for ever
}

type line struct {
	After time.Duration
	Kind  kind
}

// kind is how one send ends.
type kind uint8

const (
	byMood kind = iota // as the backend feels
	neutral
	scope
	denied
	invalid
	again // at most twice a call
	panics
	exits
	deaf // by mood, but late, and no context ends it
	kinds
)

// A mood is what the backend thinks of calls and lists from a moment on.
type mood struct {
	At           time.Duration
	Calls, Lists feeling
}

type feeling uint8

const (
	accepting feeling = iota
	refusing
	revoking // refuses what was issued before
	denying
	feelings
)

type event struct {
	At   time.Duration
	Kind eventKind
}

type eventKind uint8

const (
	rotate eventKind = iota
	renewAhead
	expire
	shutDown
)

func millis(t *rapid.T, low, high int, name string) time.Duration {
	return time.Duration(rapid.IntRange(low, high).Draw(t, name)) * ms
}

func drawOptions(t *rapid.T) guard.Options {
	retries := rapid.SampledFrom([]int{3, 3, 3, 2, 1, 0}).Draw(t, "maxRetries")
	retry403 := rapid.SampledFrom([]bool{true, true, false}).Draw(t, "retryOn403")
	return guard.Options{
		MaxRetries:  &retries,
		RetryOn403:  &retry403,
		OpenAfter:   rapid.IntRange(1, 3).Draw(t, "openAfter"),
		WhenOpen:    rapid.SampledFrom([]guard.WhenOpen{guard.Pass, guard.Reject}).Draw(t, "whenOpen"),
		CoolDown:    millis(t, 500, 3000, "coolDown"),
		MaxCoolDown: 5 * time.Second,
	}
}

func drawIssuer(t *rapid.T) (script []reply) {
	for range rapid.IntRange(1, 5).Draw(t, "issuer lines") {
		script = append(script, reply{
			rapid.SampledFrom([]guard.Outcome{guard.Same, guard.Newer, guard.Same, guard.Newer, guard.Passing, guard.Permanent}).Draw(t, "outcome"),
			rapid.SampledFrom([]time.Duration{0, 7 * ms, 40 * ms, 300 * ms, 3 * time.Second, 10 * time.Second}).Draw(t, "renewal takes") + 311,
		})
	}
	return script
}

// drawPlan draws calls over some seconds. A peaceful one meets nothing that is
// AUTH; kinds that end a sender early are left out where calm is set.
func drawPlan(t *rapid.T, peaceful bool) plan {
	p := plan{Options: drawOptions(t), Issuer: drawIssuer(t)}
	span := rapid.SampledFrom([]int{300, 2000, 8000, 30000}).Draw(t, "span")
	feels := rapid.SampledFrom([]feeling{accepting, refusing, refusing, revoking, revoking, denying})
	for i := range rapid.IntRange(1, 4).Draw(t, "moods") {
		m := mood{millis(t, 0, span, "mood at") + time.Duration(i)*17, feels.Draw(t, "calls"), feels.Draw(t, "lists")}
		if i == 0 {
			m.At = 0
		}
		if peaceful {
			m.Calls, m.Lists = accepting, accepting
		}
		p.Moods = append(p.Moods, m)
	}
	for i := range rapid.IntRange(1, 14).Draw(t, "calls") {
		own := time.Duration(i+1) * time.Microsecond
		c := callPlan{
			At:    millis(t, 0, span, "at") + own,
			Class: rapid.SampledFrom([]guard.Class{guard.Call, guard.Call, guard.Call, guard.List, guard.List, guard.Probe, guard.Stream}).Draw(t, "class"),
		}
		if rapid.IntRange(0, 2).Draw(t, "limited") == 2 {
			c.Limit = millis(t, 1, 1500, "limit") + 37*own
		}
		for k := range rapid.IntRange(1, 4).Draw(t, "lines") {
			l := line{rapid.SampledFrom([]time.Duration{0, ms, 10 * ms, 60 * ms, 400 * ms, 2500 * ms}).Draw(t, "takes") + own*time.Duration(41+k*100), byMood}
			if rapid.IntRange(0, 5).Draw(t, "special") == 5 {
				l.Kind = kind(rapid.IntRange(0, int(kinds)-1).Draw(t, "kind"))
			}
			if l.Kind == deaf {
				l.After += 18 * time.Second
			}
			if peaceful && (l.Kind == denied || l.Kind == invalid) {
				l.Kind = neutral
			}
			c.Lines = append(c.Lines, l)
		}
		p.Calls = append(p.Calls, c)
	}
	for i := range rapid.IntRange(0, 4).Draw(t, "events") {
		k := rapid.SampledFrom([]eventKind{rotate, rotate, renewAhead, renewAhead, expire, expire, shutDown}).Draw(t, "event")
		p.Events = append(p.Events, event{millis(t, 0, span+2000, "event at") + time.Duration(i)*29 + 499*time.Nanosecond, k})
	}
	return p
}

// run plays the plan and returns what happened. It must be called in a bubble.
func (p plan) run() *history { return p.runBeside(func(*bench) {}) }

// runBeside is run with something else that uses the source meanwhile.
func (p plan) runBeside(start func(*bench)) *history {
	h := &history{plan: p}
	b := newBench(p.Options, func(n int, _ uint64) reply { return p.Issuer[min(n, len(p.Issuer)-1)] })
	h.bench = b
	start(b)
	var present atomic.Pointer[presence]
	for _, m := range p.Moods {
		turn := func() { present.Store(&presence{m, b.src.newest()}) }
		if m.At == 0 {
			turn()
			continue
		}
		b.wg.Go(func() { time.Sleep(m.At); turn() })
	}
	for i, c := range p.Calls {
		o := &outcome{call: i, class: c.Class}
		b.calls = append(b.calls, o)
		b.wg.Go(func() {
			time.Sleep(c.At)
			ctx, cancel := context.WithCancel(context.Background())
			if c.Limit > 0 {
				ctx, cancel = context.WithTimeout(context.Background(), c.Limit)
			}
			defer cancel()
			o.begin = b.now()
			b.run(ctx, o, c.answer(present.Load))
		})
	}
	for _, e := range p.Events {
		b.wg.Go(func() { time.Sleep(e.At); h.happen(e) })
	}
	b.wg.Wait()
	b.src.idle()
	h.idle = guardGoroutines()
	h.heal()
	return h
}

// presence is the mood in force, with the newest generation when it began.
type presence struct {
	mood
	issued uint64
}

func (c callPlan) answer(present func() *presence) answer {
	asked := 0
	return func(ctx context.Context, s *sending) guard.Verdict {
		l := c.Lines[min(s.attempt.Number, len(c.Lines))-1]
		if l.Kind == deaf {
			time.Sleep(l.After)
		} else {
			select {
			case <-time.After(l.After):
			case <-ctx.Done():
				return guard.Neutral
			}
		}
		switch l.Kind {
		case neutral:
			return guard.Neutral
		case scope:
			return guard.Scope
		case denied:
			return guard.Denied
		case invalid:
			return guard.Invalid
		case panics:
			panic("sender")
		case exits:
			runtime.Goexit()
		case again:
			if asked++; asked <= 2 {
				return guard.Again
			}
		}
		now := present()
		f := now.Lists
		if c.Class == guard.Call {
			f = now.Calls
		}
		switch {
		case f == refusing, f == revoking && s.attempt.Credential.gen <= now.issued:
			return guard.Refused
		case f == denying:
			return guard.Denied
		}
		return guard.Accepted
	}
}

func (h *history) happen(e event) {
	switch e.Kind {
	case rotate:
		h.src.rotate()
		h.mu.Lock()
		if !h.closed {
			h.afterRotation = append(h.afterRotation, h.g.State())
		}
		h.mu.Unlock()
	case renewAhead:
		h.src.renewAhead()
	case expire:
		h.src.expire()
	case shutDown:
		h.mu.Lock()
		h.closed = true
		h.mu.Unlock()
		h.g.Close()
	}
}

// heal lets the trouble pass and makes one call: whatever happened before, it is
// answered and leaves the guard clean. Then the guard is closed.
func (h *history) heal() {
	if !h.closed {
		if _, ok := h.src.Current(); !ok {
			h.src.renewAhead()
		}
		time.Sleep(max(0, time.Until(h.g.State().NextProbe)))
		h.last = h.do(context.Background(), guard.Call, says(guard.Accepted))
		h.healed = h.g.State()
	}
	h.g.Close()
	h.turnsAtClose = len(h.transitions())
	synctest.Wait()
	h.end = guardGoroutines()
	time.Sleep(time.Hour)
}

// guardGoroutines counts the goroutines that run code of the guard.
func guardGoroutines() (n int) {
	buf := make([]byte, 1<<18)
	for stack := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if strings.Contains(stack, "recloser/guard.") {
			n++
		}
	}
	return n
}
