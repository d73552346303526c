package guard_test

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/recloser-mcp/recloser/guard"
)

func TestNothingRefusedNothingDone(t *testing.T) {
	for _, tt := range []struct {
		verdict guard.Verdict
		known   bool
		reason  guard.Reason
		err     bool
	}{
		{guard.Accepted, false, 0, false},
		{guard.Neutral, false, 0, false},
		{guard.Scope, false, guard.ScopeMissing, true},
	} {
		bubble(t, func(t *testing.T) {
			b := newBench(guard.Options{}, always(guard.Newer))
			for _, class := range []guard.Class{guard.List, guard.Call, guard.Probe, guard.Stream} {
				o := b.do(t.Context(), class, says(tt.verdict))
				if tt.err {
					b.wantReason(t, o, tt.reason)
				} else {
					wantAnswer(t, o)
				}
				want(t, "sends", b.starts(o), []time.Duration{0})
			}
			want(t, "renewals", len(b.src.renewed()), 0)
			want(t, "state", b.g.State(), guard.State{})
		})
	}
}

func TestInvalidIsExhaustedAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(guard.Options{}, always(guard.Newer))
		for n := range 5 {
			o := b.do(t.Context(), guard.Call, says(guard.Invalid))
			b.wantReason(t, o, guard.Exhausted)
			want(t, "sends", b.starts(o), []time.Duration{0})
			want(t, "count", b.g.State().Count, n+1)
		}
		want(t, "path", b.phases(), []string{"open"})
	})
}

func TestSenderAsksForOneMore(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(guard.Options{}, always(guard.Same))
		o := b.do(t.Context(), guard.Call, lines(says(guard.Again), says(guard.Accepted)))
		wantAnswer(t, o)
		want(t, "causes", b.causes(o), []string{"first", "resend"})
		want(t, "duration", o.took(), 0)
		want(t, "state", b.g.State(), guard.State{})
	})
}

// TestI9StaleSuccess: an answer to a request sent before the trouble proves nothing.
func TestI9StaleSuccess(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(guard.Options{}, always(guard.Same))
		for n := range 6 { // one arrives after each of the sequences
			b.start(t.Context(), guard.Call, after(time.Duration(n+1)*time.Second-100*ms, says(guard.Accepted)))
		}
		synctest.Wait()
		for n := 1; n <= 5; n++ {
			b.do(t.Context(), guard.Call, says(guard.Refused))
			time.Sleep(300 * ms)
			if n < 5 {
				want(t, "count", b.g.State().Count, n)
			}
		}
		b.wg.Wait()
		want(t, "phase", b.g.State().Phase, guard.Open)
		want(t, "path", b.phases(), []string{"open"})
	})
}

func TestSlowCanaryHoldsNobodyBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(guard.Options{}, always(guard.Same))
		slow := lines(says(guard.Refused), after(5*time.Second, says(guard.Accepted)))
		for range 3 {
			b.start(t.Context(), guard.Call, slow)
		}
		b.wg.Wait()
		wantAnswer(t, b.calls...)
		var early int
		for _, o := range b.calls {
			if at := b.starts(o)[1]; at == 100*ms {
				early++
			} else {
				want(t, "send of a released call", at, 2100*ms)
			}
		}
		want(t, "canaries", early, 1)
		want(t, "state", b.g.State(), guard.State{})
	})
}

// TestEpisodeEndsAfter15Seconds: the release was used up before its canary hung.
func TestEpisodeEndsAfter15Seconds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(guard.Options{}, always(guard.Newer))
		hang := func(context.Context, *sending) guard.Verdict {
			time.Sleep(40 * time.Second)
			return guard.Refused
		}
		for range 3 {
			b.start(t.Context(), guard.Call, lines(after(ms, says(guard.Refused)), says(guard.Refused), hang))
		}
		time.Sleep(15 * time.Second)
		want(t, "count", b.g.State().Count, 0)
		time.Sleep(2 * ms)
		want(t, "count", b.g.State().Count, 1)
		b.wg.Wait()
		late := 0
		for _, o := range b.calls {
			if o.result.Err == nil {
				t.Errorf("call %d was answered", o.call)
			}
			if o.took() > 15*time.Second+ms {
				late++
			}
		}
		want(t, "calls that hung", late, 1)
		want(t, "count, the straggler's refusal not added", b.g.State().Count, 1)
	})
}

func TestAbandonedEpisodeIsRememberedTenSeconds(t *testing.T) {
	for _, tt := range []struct {
		pause time.Duration
		sends []time.Duration
	}{
		{0, []time.Duration{0, 50 * ms, 250 * ms, 650 * ms}}, // the rest of its wait
		{50*ms + 9900*ms, []time.Duration{0, 200 * ms, 600 * ms}},
		{50*ms + 10100*ms, []time.Duration{0, 100 * ms, 300 * ms, 700 * ms}},
	} {
		bubble(t, func(t *testing.T) {
			b := newBench(guard.Options{}, always(guard.Same))
			ctx, cancel := context.WithTimeout(t.Context(), 50*ms)
			defer cancel()
			b.wantReason(t, b.do(ctx, guard.Call, says(guard.Refused)), guard.Canceled)
			time.Sleep(tt.pause)
			o := b.do(t.Context(), guard.Call, says(guard.Refused))
			b.wantReason(t, o, guard.Exhausted)
			want(t, "sends", b.starts(o), tt.sends)
			want(t, "count", b.g.State().Count, 1)
		})
	}
}

func TestCoolDownDoublesToItsMaximum(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(guard.Options{}, always(guard.Same))
		b.trip(t, 5)
		for range 5 {
			b.cool()
			b.wantReason(t, b.do(t.Context(), guard.Call, says(guard.Refused)), guard.Exhausted)
		}
		b.src.rotate()
		b.trip(t, 5)
		var opened []guard.Transition
		for _, turn := range b.transitions() {
			if turn.To == guard.Open {
				opened = append(opened, turn)
			}
		}
		want(t, "openings", len(opened), 7)
		for i, base := range []time.Duration{
			30 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute, 5 * time.Minute, 5 * time.Minute, 30 * time.Second,
		} {
			if d := opened[i].Until.Sub(opened[i].At); d < base || d > base*12/10 {
				t.Errorf("cool-down %d is %s, want %s and up to a fifth more", i, d, base)
			}
		}
	})
}

// TestOpenWithAnUntriedCredentialProbesAtOnce: the last step's renewal brought a
// credential that nobody has seen refused.
func TestOpenWithAnUntriedCredentialProbesAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		one := 1
		b := newBench(guard.Options{WhenOpen: guard.Reject, OpenAfter: 1, MaxRetries: &one}, always(guard.Same))
		b.start(t.Context(), guard.Call, after(10*ms, says(guard.Refused)))
		time.Sleep(115 * ms) // the canary left at 110 ms and is refused at 120
		b.src.renewAhead()
		b.wg.Wait()
		want(t, "path", b.phases(), []string{"open"})
		wantAnswer(t, b.do(t.Context(), guard.Call, accepts(2)))
		want(t, "path", b.phases(), []string{"open", "half_open", "closed"})
	})
}

func TestCredentialAbsent(t *testing.T) {
	for _, tt := range []struct {
		issuer guard.Outcome
		reason guard.Reason
		sends  []time.Duration
	}{
		{guard.Newer, 0, []time.Duration{30 * ms}},
		{guard.Same, guard.RenewalUnavailable, nil},
		{guard.Passing, guard.RenewalUnavailable, nil},
		{guard.Permanent, guard.GrantExpired, nil},
	} {
		bubble(t, func(t *testing.T) {
			b := newBench(guard.Options{}, func(int, uint64) reply { return reply{tt.issuer, 30 * ms} })
			b.src.expire()
			for range 8 {
				b.start(t.Context(), guard.Call, says(guard.Accepted))
			}
			b.wg.Wait()
			for _, o := range b.calls {
				if tt.sends == nil {
					b.wantReason(t, o, tt.reason)
				} else {
					wantAnswer(t, o)
				}
				want(t, "sends", b.starts(o), tt.sends)
				want(t, "duration", o.took(), 30*ms)
			}
			want(t, "renewals", len(b.src.renewed()), 1)
			want(t, "state", b.g.State(), guard.State{})
		})
	}
}

func TestLeaseIsReturned(t *testing.T) {
	for name, f := range map[string]answer{
		"neutral":   says(guard.Neutral),
		"scope":     says(guard.Scope),
		"forbidden": says(guard.Denied),
		"panics":    func(context.Context, *sending) guard.Verdict { panic("sender") },
		"exits":     func(context.Context, *sending) guard.Verdict { runtime.Goexit(); return guard.Neutral },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBench(guard.Options{WhenOpen: guard.Reject}, always(guard.Same))
				wantAnswer(t, b.do(t.Context(), guard.Call, says(guard.Accepted)))
				b.trip(t, 5)
				b.cool()
				o := b.start(t.Context(), guard.Call, f)
				b.wg.Wait()
				want(t, "panic reached the caller", o.panicked, name == "panics")
				want(t, "sends", b.starts(o), []time.Duration{0})
				want(t, "duration", o.took(), 0)
				want(t, "phase", b.g.State().Phase, guard.Open)
				wantAnswer(t, b.do(t.Context(), guard.Call, says(guard.Accepted)))
				want(t, "path", b.phases(), []string{"open", "half_open", "open", "half_open", "closed"})
			})
		})
	}
}

// TestLeaseReturnedBeforeItsSend: the probe's caller leaves while it waits for a
// credential.
func TestLeaseReturnedBeforeItsSend(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(guard.Options{WhenOpen: guard.Reject}, func(n int, _ uint64) reply {
			if n < 15 {
				return reply{outcome: guard.Same}
			}
			return reply{guard.Newer, 5 * time.Second}
		})
		b.trip(t, 5)
		b.cool()
		b.src.expire()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		o := b.do(ctx, guard.Call, says(guard.Accepted))
		if o.result.Attempts != 0 || !errors.Is(o.result.Err, context.DeadlineExceeded) {
			t.Errorf("the probe ended with %+v", o.result)
		}
		want(t, "phase", b.g.State().Phase, guard.Open)
		wantAnswer(t, b.do(t.Context(), guard.Call, says(guard.Accepted)))
		want(t, "path", b.phases(), []string{"open", "half_open", "open", "half_open", "closed"})
	})
}

// TestCanaryLost: a canary whose sender panics is followed by the next waiter.
func TestCanaryLost(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(guard.Options{}, always(guard.Same))
		lost := false
		for range 3 {
			b.start(t.Context(), guard.Call, lines(says(guard.Refused), func(context.Context, *sending) guard.Verdict {
				if !lost {
					lost = true
					panic("sender")
				}
				return guard.Accepted
			}))
		}
		b.wg.Wait()
		for _, o := range b.calls {
			want(t, "duration", o.took(), 100*ms)
			wantAnswer(t, o)
		}
		want(t, "state", b.g.State(), guard.State{})
	})
}

// TestI16ProbesAndStreamsNeverCount: they may start a renewal, no more.
func TestI16ProbesAndStreamsNeverCount(t *testing.T) {
	for _, class := range []guard.Class{guard.Probe, guard.Stream} {
		for _, issuer := range []guard.Outcome{guard.Same, guard.Newer, guard.Permanent} {
			bubble(t, func(t *testing.T) {
				b := newBench(guard.Options{OpenAfter: 1}, always(issuer))
				for range 10 {
					o := b.do(t.Context(), class, says(guard.Refused))
					if o.result.Err == nil || o.took() > 0 {
						t.Errorf("class %d ended with %v after %s", class, o.result.Err, o.took())
					}
				}
				if len(b.src.renewed()) == 0 {
					t.Error("no renewal was started")
				}
				want(t, "count", b.g.State().Count, 0)
				want(t, "transitions", len(b.phases()), 0)
			})
		}
	}
}

func TestI15GuardsAreIndependent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(guard.Options{}, always(guard.Same))
		other := newBench(guard.Options{}, nil)
		other.g = guard.New[*token](b.src, guard.Options{})
		b.trip(t, 5)
		wantAnswer(t, other.do(t.Context(), guard.Call, says(guard.Accepted)))
		want(t, "state", other.g.State(), guard.State{})
		want(t, "phase", b.g.State().Phase, guard.Open)
	})
}

func TestClose(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(guard.Options{}, func(int, uint64) reply { return reply{guard.Same, 20 * ms} })
		waits := b.start(t.Context(), guard.Call, says(guard.Refused))
		b.start(t.Context(), guard.Call, after(10*ms, says(guard.Refused)))
		out := b.start(t.Context(), guard.Call, after(80*ms, says(guard.Accepted)))
		time.Sleep(50 * ms)
		b.g.Close()
		b.wg.Wait()
		b.src.idle()
		for _, o := range b.calls[:2] {
			b.wantReason(t, o, guard.Shutdown)
			want(t, "errors.Is", errors.Is(o.result.Err, guard.ErrClosed), true)
			want(t, "end", o.end.at, 50*ms)
		}
		want(t, "sends of the one that waited", b.starts(waits), []time.Duration{0})
		wantAnswer(t, out)
		synctest.Wait()
		want(t, "goroutines", guardGoroutines(), 0)
		b.g.Close()
	})
}

// TestI17SuccessAllocatesNothing needs real time: the bubble's own bookkeeping
// would be counted with it.
func TestI17SuccessAllocatesNothing(t *testing.T) {
	src := &fixed{token{1, 1}}
	g := guard.New[*token](src, guard.Options{})
	defer g.Close()
	ctx := context.Background()
	var s guard.Sender[*token] = calm{}
	for _, class := range []guard.Class{guard.List, guard.Call, guard.Probe, guard.Stream} {
		if n := testing.AllocsPerRun(1000, func() {
			if r := g.Do(ctx, class, s); r.Err != nil {
				t.Fatal(r.Err)
			}
		}); n != 0 {
			t.Errorf("class %d: %v allocations", class, n)
		}
	}
}

// fixed is a source that nothing happens to; calm a sender that is accepted.
type fixed struct{ t token }

func (f *fixed) Current() (*token, bool)                           { return &f.t, true }
func (f *fixed) Peek() (*token, bool)                              { return &f.t, true }
func (f *fixed) Renew(context.Context, uint64, bool) guard.Outcome { return guard.Same }

type calm struct{}

func (calm) Send(context.Context, guard.Attempt[*token]) guard.Verdict { return guard.Accepted }
