package guard_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/recloser-mcp/recloser/guard"
	"pgregory.net/rapid"
)

// An outage refuses every credential. All first sends leave at once, before the
// first verdict.
type outage struct {
	retries int
	takes   [][]time.Duration // the sends of each call, the last for ever
	issuer  []reply
}

func drawOutage(t *rapid.T, longest time.Duration, outcomes ...guard.Outcome) outage {
	o := outage{retries: rapid.IntRange(1, 3).Draw(t, "maxRetries")}
	for i := range rapid.IntRange(1, 12).Draw(t, "callers") {
		var takes []time.Duration
		for k := range 4 {
			takes = append(takes, millis(t, 1, int(longest/ms), "takes")+time.Duration(i*4+k)*time.Microsecond)
		}
		o.takes = append(o.takes, takes)
	}
	for range 4 {
		o.issuer = append(o.issuer, reply{rapid.SampledFrom(outcomes).Draw(t, "outcome"), millis(t, 0, 90, "renewal takes") + 311})
	}
	return o
}

func (o outage) bench(openAfter int) *bench {
	return newBench(guard.Options{MaxRetries: &o.retries, OpenAfter: openAfter},
		func(n int, _ uint64) reply { return o.issuer[min(n, len(o.issuer)-1)] })
}

// play lets every caller make one call; limits ends some of them early.
func (o outage) play(b *bench, verdict answer, limits map[int]time.Duration) []*outcome {
	before := len(b.calls)
	for i, takes := range o.takes {
		ctx := context.Background()
		if limit, ok := limits[i]; ok {
			c, cancel := context.WithTimeout(ctx, limit)
			defer cancel()
			ctx = c
		}
		b.start(ctx, guard.Call, func(ctx context.Context, s *sending) guard.Verdict {
			return after(takes[min(s.attempt.Number, len(takes))-1], verdict)(ctx, s)
		})
	}
	b.wg.Wait()
	return b.calls[before:]
}

// TestI13SendsOfAnOutage also holds I14 and, as one outage is one exhausted
// sequence however many wait for it, I5.
func TestI13SendsOfAnOutage(t *testing.T) {
	for name, kind := range map[string]struct {
		longest  time.Duration
		outcomes []guard.Outcome
		renewed  bool
	}{
		"nothing new":    {time.Second, []guard.Outcome{guard.Same, guard.Passing}, false},
		"renewals":       {time.Second, []guard.Outcome{guard.Same, guard.Newer, guard.Newer, guard.Passing}, true},
		"slow verdicts":  {2500 * ms, []guard.Outcome{guard.Same, guard.Passing}, true},
		"slow, renewals": {2500 * ms, []guard.Outcome{guard.Same, guard.Newer, guard.Passing}, true},
	} {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				o := drawOutage(t, kind.longest, kind.outcomes...)
				rapid.SyncTest(t, func(t *rapid.T) {
					b := o.bench(5)
					defer b.g.Close()
					for _, c := range o.play(b, says(guard.Refused), nil) {
						if !c.reason(guard.Exhausted) && !c.reason(guard.Unretried) {
							t.Errorf("call %d ended with %v", c.call, c.result.Err)
						}
					}
					n := len(o.takes)
					most := n + o.retries
					if kind.renewed {
						most = 2*n + o.retries - 1
					}
					if b.sent() > most {
						t.Errorf("I13: %d sends of %d calls, want %d at most", b.sent(), n, most)
					}
					if st := b.g.State(); st.Count != 1 || len(b.turns) > 0 {
						t.Errorf("I5: count %d after one outage of %d callers", st.Count, n)
					}
					if kind.longest <= time.Second {
						o.checkWaits(t, b)
					}
				})
			})
		})
	}
}

// checkWaits holds I14. Nobody leaves and every verdict is quick, so the canaries
// are one a step, in order, and a release happens when a renewal ends.
func (o outage) checkWaits(t *rapid.T, b *bench) {
	step := b.sends[0].end
	for _, s := range b.sends {
		if s.end.seq < step.seq {
			step = s.end
		}
	}
	wait := 100 * ms
	for _, s := range b.sends {
		switch s.attempt.Cause {
		case guard.Canary:
			if s.begin.at-step.at < wait {
				t.Errorf("I14: a canary %s after the step began, want %s", s.begin.at-step.at, wait)
			}
			step, wait = s.end, 2*wait
		case guard.Released:
			if !slices.ContainsFunc(b.src.renewals, func(r renewal) bool { return r.end.at == s.begin.at }) {
				t.Errorf("I14: released at %s, when no renewal ended", s.begin.at)
			}
		}
	}
}

// TestI5OneOutageCountsOne opens the breaker with coalesced outages, exactly at
// the threshold.
func TestI5OneOutageCountsOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := drawOutage(t, 300*ms, guard.Same, guard.Passing)
		openAfter := rapid.IntRange(1, 5).Draw(t, "openAfter")
		rapid.SyncTest(t, func(t *rapid.T) {
			b := o.bench(openAfter)
			defer b.g.Close()
			for n := 1; n <= openAfter; n++ {
				o.play(b, says(guard.Refused), nil)
				if n < openAfter && (b.g.State().Count != n || len(b.turns) > 0) {
					t.Fatalf("count %d, %v after %d outages", b.g.State().Count, b.phases(), n)
				}
			}
			if !slices.Equal(b.phases(), []string{"open"}) {
				t.Errorf("path %v after %d outages", b.phases(), openAfter)
			}
		})
	})
}

// TestI10CancelledCallersChangeNothing plays the same schedule with and without
// some of the callers leaving. While one of those who stay waits from first to
// last the others get the same and the count is the same. Else a sequence may be
// abandoned and resumed, and its renewal asked once more: nobody gets less than
// without, and nothing is added to the count.
func TestI10CancelledCallersChangeNothing(t *testing.T) {
	verdicts := []answer{says(guard.Refused), accepts(2), accepts(3)}
	for name, kind := range map[string]struct {
		longest  time.Duration
		earliest int // cancellation, in milliseconds
		outcomes []guard.Outcome
		same     bool
	}{
		"somebody waits": {50 * ms, 60, []guard.Outcome{guard.Same, guard.Passing}, true},
		"anybody leaves": {500 * ms, 1, []guard.Outcome{guard.Same, guard.Newer, guard.Newer, guard.Permanent}, false},
	} {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				o := drawOutage(t, kind.longest, kind.outcomes...)
				verdict := verdicts[rapid.SampledFrom([]int{0, 0, 1, 2}).Draw(t, "verdict")]
				limits := map[int]time.Duration{}
				for i := range len(o.takes) - 1 {
					if rapid.Bool().Draw(t, "leaves") {
						limits[i] = millis(t, kind.earliest, 1500, "limit") + time.Duration(i+1)*71
					}
				}
				rapid.SyncTest(t, func(t *rapid.T) {
					whole, some := o.bench(5), o.bench(5)
					defer whole.g.Close()
					defer some.g.Close()
					all, left := o.play(whole, verdict, nil), o.play(some, verdict, limits)
					for i := range all {
						_, leaves := limits[i]
						was, is := all[i].result.Err == nil, left[i].result.Err == nil
						if !leaves && (was && !is || kind.same && was != is) {
							t.Errorf("call %d: %v when all stay, %v when %v leave", i, all[i].result.Err, left[i].result.Err, limits)
						}
					}
					if a, b := whole.g.State().Count, some.g.State().Count; b > a || kind.same && b != a {
						t.Errorf("count %d when all stay, %d when %v leave", a, b, limits)
					}
				})
			})
		})
	}
}
