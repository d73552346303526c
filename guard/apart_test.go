package guard_test

import (
	"context"
	"testing"
	"time"

	"github.com/recloser-mcp/recloser/guard"
	"pgregory.net/rapid"
)

// TestI15WhatHappensBesideIsNotSeen: whatever befalls one guard, another one over
// the same source, whose backend accepts, answers every call with one send and
// has nothing to report. Only the credential is shared.
func TestI15WhatHappensBesideIsNotSeen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPlan(t, false)
		var events []event
		for _, e := range p.Events { // without a credential nobody can be answered
			if e.Kind != expire {
				events = append(events, e)
			}
		}
		p.Events = events
		rapid.SyncTest(t, func(t *rapid.T) {
			beside := func(b *bench) {
				other := &bench{journal: newJournal(), src: b.src}
				other.g = guard.New[*token](b.src, guard.Options{OpenAfter: 1})
				b.wg.Go(func() {
					defer other.g.Close()
					for n := range 40 {
						class := []guard.Class{guard.Call, guard.List, guard.Probe}[n%3]
						o := other.do(context.Background(), class, after(3*ms, says(guard.Accepted)))
						switch {
						case o.result.Err != nil || o.result.Attempts != 1 || o.took() != 3*ms:
							t.Errorf("I15: call %d beside: %+v after %s", n, o.result, o.took())
						case other.g.State() != (guard.State{}):
							t.Errorf("I15: %+v beside", other.g.State())
						}
						time.Sleep(137 * ms)
					}
				})
			}
			h := p.runBeside(beside)
			for _, wrong := range h.check() {
				t.Error(wrong)
			}
		})
	})
}

// TestI16OnlyCallsAndListsCount: probes and streams alone, whatever they meet,
// never turn the breaker, never count and never wait for one another's recovery.
func TestI16OnlyCallsAndListsCount(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPlan(t, false)
		for i := range p.Calls {
			p.Calls[i].Class = rapid.SampledFrom([]guard.Class{guard.Probe, guard.Stream}).Draw(t, "aside")
		}
		p.Options.OpenAfter = 1
		rapid.SyncTest(t, func(t *rapid.T) {
			h := p.run()
			for _, wrong := range h.check() {
				t.Error(wrong)
			}
			if len(h.turns) > 0 {
				t.Errorf("I16: %v", h.phases())
			}
			for _, o := range h.calls {
				free := 0
				for _, s := range h.sendsOf(o.call) {
					if s.verdict == guard.Again {
						free++
					}
				}
				if n := o.result.Attempts - free; n > 2 || o.result.Coalesced {
					t.Errorf("I16: call %d of class %d: %+v", o.call, o.class, o.result)
				}
			}
		})
	})
}

// TestI17SuccessTakesNoLock runs on the real clock: a call that waits for a mutex
// would stop virtual time.
func TestI17SuccessTakesNoLock(t *testing.T) {
	g := guard.New[*token](&fixed{token{1, 1}}, guard.Options{})
	defer g.Close()
	classes := []guard.Class{guard.List, guard.Call, guard.Probe, guard.Stream}
	for _, class := range classes { // the first of its generation is noted under the lock
		g.Do(t.Context(), class, calm{})
	}
	done := make(chan error, 1)
	g.WhileLocked(func() {
		go func() {
			for _, class := range classes {
				if r := g.Do(context.Background(), class, calm{}); r.Err != nil {
					done <- r.Err
				}
			}
			done <- nil
		}()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(10 * time.Second):
			t.Error("I17: a call that was accepted waits for the lock")
		}
	})
}
