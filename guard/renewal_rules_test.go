package guard_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/recloser-mcp/recloser/guard"
)

// TestStepRenewsTheGenerationThatWasRefused: the call that ends a release came
// later than the episode, with the credential that the episode had brought. That
// one is renewed now, and not the one that the episode began with.
func TestStepRenewsTheGenerationThatWasRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(guard.Options{}, always(guard.Newer))
		b.start(t.Context(), guard.Call, lines(says(guard.Refused), after(time.Second, says(guard.Accepted))))
		time.Sleep(50 * ms)
		later := b.do(t.Context(), guard.Call, accepts(3))
		wantAnswer(t, later)
		want(t, "sends", b.starts(later), []time.Duration{0, 200 * ms})
		var refused []uint64
		for _, r := range b.src.renewed() {
			refused = append(refused, r.refused)
		}
		want(t, "generations renewed", refused, []uint64{1, 2})
		b.wg.Wait()
		want(t, "state", b.g.State(), guard.State{})
	})
}

// TestProbeOfAGuardThatNeverRetriesAsksAgain: a permanent answer is sticky for
// its generation, with maxRetries 0 as well, and there too the half-open probe
// asks once more.
func TestProbeOfAGuardThatNeverRetriesAsksAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		none := 0
		b := newBench(guard.Options{MaxRetries: &none, OpenAfter: 1}, func(n int, _ uint64) reply {
			return reply{outcome: map[bool]guard.Outcome{true: guard.Permanent, false: guard.Newer}[n == 0]}
		})
		do := func() *outcome {
			o := b.do(t.Context(), guard.Call, accepts(2))
			synctest.Wait()
			return o
		}
		do()
		want(t, "phase", b.g.State().Phase, guard.Open)
		do()
		want(t, "renewals before the probe", len(b.src.renewed()), 1)
		b.cool()
		do()
		want(t, "renewals, one more for the probe", len(b.src.renewed()), 2)
		wantAnswer(t, do())
		want(t, "state", b.g.State(), guard.State{})
	})
}

// TestLongCoolDownIsNeverNothing: a cool-down of days is doubled again and again,
// while renewals end it early, and stays what it is.
func TestLongCoolDownIsNeverNothing(t *testing.T) {
	for _, long := range []time.Duration{48 * time.Hour, 1 << 62} {
		bubble(t, func(t *testing.T) {
			none := 0
			b := newBench(guard.Options{MaxRetries: &none, OpenAfter: 1, CoolDown: long}, always(guard.Same))
			opened := 0
			for range 70 {
				o := b.do(t.Context(), guard.Call, says(guard.Refused))
				synctest.Wait() // or the call's own renewal may still count as one under way
				want(t, "panicked", o.panicked, false)
				b.src.renewAhead() // ends the cool-down
			}
			for _, turn := range b.transitions() {
				if turn.To != guard.Open {
					continue
				}
				opened++
				if d := turn.Until.Sub(turn.At); d < long {
					t.Fatalf("cool-down %d of %s, want %s at least", opened, d, long)
				}
			}
			want(t, "openings", opened, 70)
			b.g.Close()
		})
	}
}

// TestLookingIsNoUse: an identity is used by calls and not by those who look at
// its state.
func TestLookingIsNoUse(t *testing.T) {
	src := &counted{}
	g := guard.New[*token](src, guard.Options{})
	defer g.Close()
	before := src.asked
	for range 10 {
		g.State()
	}
	want(t, "questions for the credential", src.asked-before, 0)
}

type counted struct {
	fixed
	asked int
}

func (c *counted) Current() (*token, bool) { c.asked++; return c.fixed.Current() }
