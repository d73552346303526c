package guard_test

import (
	"testing"
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
