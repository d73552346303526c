package guard_test

import (
	"fmt"
	"os"
	"slices"
	"testing"
)

// inspect states what holds in every world.
func (p *play) inspect() {
	var leases, canaries, released int
	for _, a := range p.who {
		if a.has(isLeased) {
			leases++
		}
		if a.has(isCanary) {
			canaries++
			if !a.out() {
				p.blame("I7: the canary has no request out")
			}
		}
		if a.has(isFreed) && a.out() {
			released++
		}
		if a.has(isProbing) && (a.at(seated) || a.has(isCanary) || a.has(isLeased)) {
			p.blame("I16: a probe has a part in the recovery")
		}
		if p.phase == half && a.at(seated) && !a.has(isLeased) {
			p.blame("F30: a call waits for another one's half-open probe")
		}
		if a.at(atSource) && !p.is(renewing) {
			p.blame("I7: a call waits for a renewal that nobody runs")
		}
	}
	seats := p.seats()
	for _, rule := range []struct {
		broken bool
		name   string
	}{
		{leases > 1 || (leases == 1) != (p.phase == half), "I6: half-open without exactly one lease"},
		{p.stage == quiet && seats > 0, "I7: somebody waits and no episode runs"},
		{(p.stage == trying) != (canaries == 1), "I7: the canary's stage without one canary"},
		{p.stage == asking && !p.is(renewing), "I7: the episode waits for a renewal that nobody runs"},
		{p.stage == freed && (released == 0 || seats > 0), "I7: a release that nothing ends"},
		{(p.stage == asking || p.stage == pausing) && seats == 0, "I8: an episode without a caller"},
		{p.stage != quiet && (p.phase == cooling || p.phase == cooled), "an episode runs while open"},
		{p.stage != quiet && p.keep != 0, "two episodes"},
		{p.phase == shut && p.count != p.run, "I5: the count is not the number of exhausted sequences"},
		{p.phase == cooling && !p.is(seenBad), "F25: cools although nobody saw the current credential refused"},
	} {
		if rule.broken {
			p.blame(rule.name)
		}
	}
}

// compare states what a move may change.
func (p *play) compare(before *world, i int) {
	was := before.who[i]
	counts := p.count != before.count || p.run != before.run
	returned := before.phase == half && p.phase == cooled // a lease given back is no verdict
	turns := p.phase != before.phase && !returned
	switch p.cause {
	case cancels, isNeutral, isForbidden:
		if counts || turns {
			p.blame(fmt.Sprintf("I10, I12: %s changed the breaker", moves[p.cause].name))
		}
		for k, a := range p.who {
			heir := before.who[k].at(seated) && a.has(isCanary)
			if k != i && a&placeMask != before.who[k]&placeMask && !heir {
				p.blame(fmt.Sprintf("I10, I12: %s touched another call", moves[p.cause].name))
			}
		}
	case isRefused, isAccepted:
		// A refusal may be the word that moves a running episode past its last
		// step, or that hears a sticky permanent answer: then the episode counts,
		// not the send.
		moved := p.cause == isRefused && (before.stage == freed || p.is(permanent))
		if !was.has(isEpoch) && (counts || turns) && !moved {
			p.blame("I9: a send of an older epoch changed the breaker")
		}
		if was.has(isProbing) && p.cause == isRefused && (counts || turns) {
			p.blame("I16: a refused probe changed the breaker")
		}
	case gotNew, gotSame:
		if counts || turns && !(before.phase == cooling && p.phase == cooled) {
			p.blame("a renewal changed the breaker")
		}
	case rotates:
		if p.phase != shut || p.count != 0 || p.seats() != 0 || p.any(func(a agent) bool { return a.at(atSource) }) {
			p.blame("I11: a rotation left something of the trouble")
		}
	}
}

// exhaustive is what make test asks for with RECLOSER_EXHAUSTIVE=1: three callers
// of two classes, 8 million worlds, in less than a minute on two cores, beside
// the small spaces that go test visits. The checker is one goroutine a space, so
// the race detector has nothing to find and makes it fifty times slower: with it
// only the smallest spaces are visited, and make test runs the rest without it.
func exhaustive() bool { return os.Getenv("RECLOSER_EXHAUSTIVE") != "" && !raced }

func both(l law) []law {
	r := l
	r.name, r.reject = l.name+", reject", true
	return []law{l, r}
}

// TestModel visits every interleaving of a few callers. What two callers cannot
// show in short is shown by the scripts and, with RECLOSER_EXHAUSTIVE=1, by three.
func TestModel(t *testing.T) {
	laws := slices.Concat(
		both(law{name: "2 callers, no retry", agents: 2, lists: true}),
		both(law{name: "2 callers, 1 retry", agents: 2, retries: 1}))
	if !raced {
		laws = slices.Concat(laws,
			both(law{name: "2 callers", agents: 2, retries: 3}),
			both(law{name: "2 callers, two classes", agents: 2, retries: 1, lists: true}),
			[]law{
				{name: "2 callers, FORBIDDEN", agents: 2, retries: 3, forbidding: true},
				{name: "2 callers, expiry", agents: 2, retries: 2, expiring: true},
				{name: "2 callers, nested requests", agents: 2, retries: 2, nested: true},
				{name: "2 callers, probes", agents: 2, retries: 1, lists: true, probes: true},
				{name: "3 callers, 1 retry", agents: 3, retries: 1},
			})
	}
	if exhaustive() {
		laws = slices.Concat([]law{
			{name: "3 callers, two classes", agents: 3, retries: 3, lists: true},
			{name: "3 callers, two classes, 2 retries, reject", agents: 3, retries: 2, lists: true, reject: true},
			{name: "3 callers, reject", agents: 3, retries: 3, reject: true},
			{name: "2 callers, two classes, probes", agents: 2, retries: 3, lists: true, probes: true},
			{name: "2 callers, nested, FORBIDDEN, expiry", agents: 2, retries: 3, nested: true, forbidding: true, expiring: true},
		}, laws)
	}
	for _, l := range laws {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			s := explore(l)
			if s.broken != "" {
				t.Errorf("%d worlds, then %s", len(s.worlds), s.broken)
			}
			t.Logf("%d worlds", len(s.worlds))
		})
	}
}

// TestModelEnds: from every world somebody who waits gets away and half-open
// ends, whatever the backend keeps doing; and an outage that is over is over.
func TestModelEnds(t *testing.T) {
	laws := both(law{name: "2 callers, 1 retry", agents: 2, retries: 1})
	if exhaustive() {
		laws = slices.Concat(laws, both(law{name: "2 callers, two classes", agents: 2, retries: 2, lists: true}),
			both(law{name: "3 callers", agents: 3, retries: 2}))
	}
	waits := func(w *world) bool {
		return w.any(func(a agent) bool { return a.at(seated) || a.at(atSource) })
	}
	probing := func(w *world) bool { return w.phase == half }
	healthy := func(w *world) bool { return w.phase == shut && w.count == 0 && !waits(w) }
	anywhere := func(*world) bool { return true }
	not := func(f func(*world) bool) func(*world) bool { return func(w *world) bool { return !f(w) } }
	for _, l := range laws {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			s := explore(l)
			for _, q := range []struct {
				name     string
				from, to func(*world) bool
				by       []moveKind
			}{
				{"I7: waiters leave a backend that refuses", waits, not(waits), []moveKind{isRefused, gotSame, pauseOver}},
				{"I7: waiters leave a backend out of order", waits, not(waits), []moveKind{isNeutral, gotSame, pauseOver}},
				{"I7: waiters leave a backend that accepts", waits, not(waits), []moveKind{isAccepted, gotSame, pauseOver}},
				{"I7: waiters leave a backend that hangs", waits, not(waits), []moveKind{gotSame, pauseOver, grewSlow, limitOver}},
				{"I6: half-open ends by refusals", probing, not(probing), []moveKind{isRefused, gotSame, pauseOver}},
				{"I6: half-open ends without a verdict", probing, not(probing), []moveKind{isNeutral, gotSame, pauseOver}},
				{"I6: half-open ends by an answer", probing, not(probing), []moveKind{isAccepted, gotSame, pauseOver}},
				{"F14: half-open ends when the probe hangs", probing, not(probing), []moveKind{limitOver}},
				{"F13: half-open ends when all cancel", probing, func(w *world) bool { return w.phase == cooled }, []moveKind{cancels, isNeutral}},
				{"the backend heals", anywhere, healthy, []moveKind{isAccepted, gotSame, pauseOver, coolsDown, callBegins}},
				{"a rotation heals", anywhere, healthy, []moveKind{rotates}},
			} {
				if from, stuck, where := s.stuck(q.from, q.to, q.by...); stuck > 0 || from == 0 {
					t.Errorf("%s: stuck in %d of %d worlds, one by: %s", q.name, stuck, from, where)
				}
			}
		})
	}
}
