package guard_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/recloser-mcp/recloser/guard"
)

func TestF17NeutralOnTheResend(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(guard.Options{}, always(guard.Same))
		// The first call's canary meets a 502; the next one is it at once.
		first := b.start(t.Context(), guard.Call, lines(says(guard.Refused), after(20*ms, says(guard.Neutral))))
		synctest.Wait()
		for range 2 {
			b.start(t.Context(), guard.Call, lines(says(guard.Refused), says(guard.Accepted)))
		}
		b.wg.Wait()
		wantAnswer(t, b.calls...)
		want(t, "sends", b.sent(), 6)
		want(t, "renewals", len(b.src.renewed()), 1)
		neutral := 0
		for _, o := range b.calls {
			want(t, "attempts", o.result.Attempts, 2)
			if o.took() > 120*ms {
				t.Errorf("call %d took %s: somebody waited for more than the canary", o.call, o.took())
			}
			if o.took() == 120*ms {
				neutral++
			}
		}
		if first.took() == 120*ms {
			want(t, "calls that waited for the 502", neutral, 3)
		}
		want(t, "state", b.g.State(), guard.State{})
	})
}

func TestF24AlternatingBackend(t *testing.T) {
	for name, issuer := range map[string]func(int, uint64) reply{
		"the issuer gives":   always(guard.Newer),
		"the issuer refuses": always(guard.Same), // as a source does that is asked too often
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBench(guard.Options{}, issuer)
				n := 0
				for range 100 {
					o := b.do(t.Context(), guard.Call, func(context.Context, *sending) guard.Verdict {
						if n++; n%2 == 1 {
							return guard.Refused
						}
						return guard.Accepted
					})
					wantAnswer(t, o)
				}
				want(t, "sends", b.sent(), 200)
				want(t, "renewals", len(b.src.renewed()), 100)
				want(t, "state", b.g.State(), guard.State{})
			})
		})
	}
}

func TestF25TokenServerReturns(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(guard.Options{WhenOpen: guard.Reject, CoolDown: time.Hour, MaxCoolDown: time.Hour}, always(guard.Passing))
		b.trip(t, 5)
		time.Sleep(time.Minute)
		b.wantReason(t, b.do(t.Context(), guard.Call, accepts(2)), guard.Rejected)
		b.src.renewAhead()
		wantAnswer(t, b.do(t.Context(), guard.Call, accepts(2)))
		want(t, "path", b.phases(), []string{"open", "half_open", "closed"})
	})
}

func TestF26ListsStayOpen(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(guard.Options{}, always(guard.Same))
		list := func() *outcome { return b.do(t.Context(), guard.List, says(guard.Accepted)) }
		for range 5 {
			wantAnswer(t, list())
			b.wantReason(t, b.do(t.Context(), guard.Call, says(guard.Refused)), guard.Exhausted)
		}
		wantAnswer(t, list(), b.do(t.Context(), guard.Probe, says(guard.Accepted)))
		st := b.g.State()
		want(t, "phase", st.Phase, guard.Open)
		want(t, "only calls are refused", st.CallsOnly, true)
		b.cool()
		wantAnswer(t, list()) // takes the lease, and proves nothing
		want(t, "phase", b.g.State().Phase, guard.Open)
		wantAnswer(t, b.do(t.Context(), guard.Call, says(guard.Accepted)))
		want(t, "path", b.phases(), []string{"open", "half_open", "open", "half_open", "closed"})
	})
}

func TestClassesAListClosesWhereListsWereRefused(t *testing.T) {
	for _, class := range []guard.Class{guard.List, guard.Probe} {
		bubble(t, func(t *testing.T) {
			b := newBench(guard.Options{}, always(guard.Same))
			b.trip(t, 5)
			b.do(t.Context(), class, says(guard.Refused))
			want(t, "only calls are refused", b.g.State().CallsOnly, false)
			wantAnswer(t, b.do(t.Context(), class, says(guard.Accepted)))
			want(t, "state", b.g.State(), guard.State{})
		})
	}
}

func TestF27OneToolForbidden(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(guard.Options{}, always(guard.Same))
		wantAnswer(t, b.do(t.Context(), guard.Call, says(guard.Accepted)))
		for n := range 7 {
			o := b.start(t.Context(), guard.Call, says(guard.Denied))
			for range 8 {
				other := b.do(t.Context(), guard.Call, says(guard.Accepted))
				wantAnswer(t, other)
				want(t, "duration of the others", other.took(), 0)
				time.Sleep(100 * ms)
			}
			b.wg.Wait()
			b.wantReason(t, o, guard.Forbade)
			want(t, "sends", b.starts(o), []time.Duration{0, 100 * ms, 300 * ms, 700 * ms})
			want(t, "causes", b.causes(o), []string{"first", "forbidden", "forbidden", "forbidden"})
			if r := len(b.src.renewed()); r > 1 {
				t.Errorf("%d renewals within %s for a permission", r, time.Duration(n+1)*800*ms)
			}
			want(t, "state", b.g.State(), guard.State{})
		}
	})
}

func TestForbiddenIsKnownPerClassAndGeneration(t *testing.T) {
	for _, tt := range []struct {
		name    string
		prepare func(t *testing.T, b *bench)
		count   int
	}{
		{"nothing accepted yet", func(*testing.T, *bench) {}, 1},
		{"a list accepted", func(t *testing.T, b *bench) { b.do(t.Context(), guard.List, says(guard.Accepted)) }, 1},
		{"a call accepted", func(t *testing.T, b *bench) { b.do(t.Context(), guard.Call, says(guard.Accepted)) }, 0},
		{"a call accepted, then a rotation", func(t *testing.T, b *bench) {
			b.do(t.Context(), guard.Call, says(guard.Accepted))
			b.src.rotate()
		}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBench(guard.Options{}, always(guard.Same))
				tt.prepare(t, b)
				o := b.do(t.Context(), guard.Call, says(guard.Denied))
				want(t, "sends", b.starts(o), []time.Duration{0, 100 * ms, 300 * ms, 700 * ms})
				want(t, "count", b.g.State().Count, tt.count)
				if tt.count == 0 {
					b.wantReason(t, o, guard.Forbade)
				} else {
					b.wantReason(t, o, guard.Exhausted)
				}
			})
		})
	}
}

func TestRetryOn403False(t *testing.T) {
	no := false
	for _, known := range []bool{false, true} {
		bubble(t, func(t *testing.T) {
			b := newBench(guard.Options{RetryOn403: &no}, always(guard.Newer))
			if known {
				b.do(t.Context(), guard.Call, says(guard.Accepted))
			}
			for range 6 {
				o := b.do(t.Context(), guard.Call, says(guard.Denied))
				b.wantReason(t, o, guard.Forbade)
				want(t, "sends", b.starts(o), []time.Duration{0})
			}
			want(t, "renewals", len(b.src.renewed()), 0)
			want(t, "state", b.g.State(), guard.State{})
		})
	}
}

// TestF28ImpatientCallers: no call lives to see its sequence exhausted, and yet
// the breaker opens, at three calls a sequence.
func TestF28ImpatientCallers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(guard.Options{}, always(guard.Same))
		for n := 1; n <= 15; n++ {
			want(t, "phase", b.g.State().Phase, guard.Closed)
			ctx, cancel := context.WithTimeout(t.Context(), 290*ms)
			o := b.do(ctx, guard.Call, says(guard.Refused))
			cancel()
			if n%3 == 0 {
				b.wantReason(t, o, guard.Exhausted)
			} else {
				b.wantReason(t, o, guard.Canceled)
				want(t, "duration", o.took(), 290*ms)
			}
			if n < 15 {
				want(t, "count", b.g.State().Count, n/3)
			}
		}
		want(t, "path", b.phases(), []string{"open"})
	})
}

func TestF30OneProbesNobodyWaits(t *testing.T) {
	for _, mode := range []guard.WhenOpen{guard.Pass, guard.Reject} {
		bubble(t, func(t *testing.T) {
			b := newBench(guard.Options{WhenOpen: mode}, always(guard.Same))
			b.trip(t, 5)
			b.cool()
			probe := b.start(t.Context(), guard.Call, after(300*ms, says(guard.Refused)))
			synctest.Wait()
			before := b.sent()
			for range 1000 {
				b.start(t.Context(), guard.Call, after(5*ms, says(guard.Refused)))
				time.Sleep(ms)
			}
			b.wg.Wait()
			b.wantReason(t, probe, guard.Exhausted)
			want(t, "sends of the probe", probe.result.Attempts, 4)
			for _, o := range b.calls[len(b.calls)-1000:] {
				if mode == guard.Reject {
					b.wantReason(t, o, guard.Rejected)
					want(t, "duration", o.took(), 0)
				} else {
					b.wantReason(t, o, guard.Unretried)
					want(t, "duration", o.took(), 5*ms)
				}
			}
			sends := b.sent() - before - 3
			want(t, "sends of the others", sends, map[guard.WhenOpen]int{guard.Pass: 1000, guard.Reject: 0}[mode])
			want(t, "path", b.phases(), []string{"open", "half_open", "open"})
		})
	}
}

func TestRejectWith64Callers(t *testing.T) {
	for name, v := range map[string]guard.Verdict{"accepted": guard.Accepted, "refused": guard.Refused, "neutral": guard.Neutral} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBench(guard.Options{WhenOpen: guard.Reject}, always(guard.Same))
				b.trip(t, 5)
				storm := func() (sent, rejected int) {
					before := len(b.calls)
					for range 64 {
						b.start(t.Context(), guard.Call, after(50*ms, says(v)))
					}
					b.wg.Wait()
					for _, o := range b.calls[before:] {
						if o.reason(guard.Rejected) {
							rejected++
							want(t, "duration of a rejected call", o.took(), 0)
						}
						if o.result.Attempts > 0 {
							sent++
						}
					}
					return sent, rejected
				}
				sent, rejected := storm()
				want(t, "sent while it cools", sent, 0)
				want(t, "rejected while it cools", rejected, 64)
				b.cool()
				sent, rejected = storm()
				want(t, "sent", sent, 1)
				want(t, "rejected", rejected, 63)
			})
		})
	}
}

func TestMaxRetriesAndInitialWait(t *testing.T) {
	for _, tt := range []struct {
		retries int
		wait    time.Duration
		starts  []time.Duration
	}{
		{0, 0, []time.Duration{0}},
		{1, 0, []time.Duration{0, 100 * ms}},
		{2, 0, []time.Duration{0, 100 * ms, 300 * ms}},
		{3, 0, []time.Duration{0, 100 * ms, 300 * ms, 700 * ms}},
		{3, 10 * ms, []time.Duration{0, 10 * ms, 30 * ms, 70 * ms}},
		{2, 3 * time.Second, []time.Duration{0, 3 * time.Second, 9 * time.Second}},
	} {
		for _, v := range []guard.Verdict{guard.Refused, guard.Denied} {
			bubble(t, func(t *testing.T) {
				b := newBench(guard.Options{MaxRetries: &tt.retries, InitialWait: tt.wait}, always(guard.Same))
				if v == guard.Denied {
					b.do(t.Context(), guard.Call, says(guard.Accepted))
				}
				o := b.do(t.Context(), guard.Call, says(v))
				want(t, "sends", b.starts(o), tt.starts)
				want(t, "duration", o.took(), tt.starts[len(tt.starts)-1])
				want(t, "attempts", o.result.Attempts, tt.retries+1)
				if o.result.Err == nil {
					t.Error("no error")
				}
				if v == guard.Denied {
					want(t, "state", b.g.State(), guard.State{})
				}
			})
		}
	}
}
