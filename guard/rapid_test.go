package guard_test

import (
	"flag"
	"os"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

// TestMain raises rapid's number of schedules above its default, unless the
// command line or RAPID_CHECKS says how many there are to be.
func TestMain(m *testing.M) {
	if _, given := os.LookupEnv("RAPID_CHECKS"); !given {
		n := "1500"
		if raced {
			n = "300"
		}
		if err := flag.Set("rapid.checks", n); err != nil {
			panic(err)
		}
	}
	goleak.VerifyTestMain(m)
}

// TestInvariants plays random schedules against the real guard: the plan is drawn
// outside, played in a bubble of virtual time, and judged by its history.
func TestInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPlan(t, false)
		rapid.SyncTest(t, func(t *rapid.T) {
			for _, wrong := range p.run().check() {
				t.Error(wrong)
			}
		})
	})
}

// TestI12NothingRefusedNothingChanges: where no answer is AUTH, whatever else
// happens, there is no transition and nothing to report.
func TestI12NothingRefusedNothingChanges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPlan(t, true)
		rapid.SyncTest(t, func(t *rapid.T) {
			h := p.run()
			for _, wrong := range h.check() {
				t.Error(wrong)
			}
			if len(h.turns) > 0 {
				t.Errorf("transitions %v", h.phases())
			}
		})
	})
}
