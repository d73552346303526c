package guard_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/recloser-mcp/recloser/guard"
)

const ms = time.Millisecond

// bubble runs f in virtual time.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

// want compares, and names what it compared.
func want[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func (b *bench) wantReason(t *testing.T, o *outcome, r guard.Reason) {
	t.Helper()
	if !o.reason(r) {
		t.Errorf("call %d ended with %v, want %s", o.call, o.result.Err, r)
	}
}

func wantAnswer(t *testing.T, calls ...*outcome) {
	t.Helper()
	for _, o := range calls {
		if o.result.Err != nil {
			t.Errorf("call %d ended with %v, want its answer", o.call, o.result.Err)
		}
	}
}

// took is how long a call lasted.
func (o *outcome) took() time.Duration { return o.end.at - o.begin.at }

// starts are the times of the sends of one call since it began.
func (b *bench) starts(o *outcome) (at []time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.sends {
		if s.call == o.call {
			at = append(at, s.begin.at-o.begin.at)
		}
	}
	return at
}

func (b *bench) causes(o *outcome) (why []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.sends {
		if s.call == o.call {
			why = append(why, s.attempt.Cause.String())
		}
	}
	return why
}

func (b *bench) transitions() []guard.Transition {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]guard.Transition(nil), b.turns...)
}

func (b *bench) phases() (path []string) {
	for _, t := range b.transitions() {
		path = append(path, t.To.String())
	}
	return path
}

// trip opens the breaker with n refused calls.
func (b *bench) trip(t *testing.T, n int) {
	t.Helper()
	for range n {
		b.wantReason(t, b.do(t.Context(), guard.Call, says(guard.Refused)), guard.Exhausted)
	}
	want(t, "phase after the exhausted calls", b.g.State().Phase, guard.Open)
}

// cool waits until the next call probes.
func (b *bench) cool() { time.Sleep(time.Until(b.g.State().NextProbe)) }

func TestF1RevokedUnderLoad(t *testing.T) {
	for name, latency := range map[string]func(i int) time.Duration{
		"at once":    func(int) time.Duration { return 50 * ms },
		"one by one": func(i int) time.Duration { return time.Duration(10+i) * ms },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBench(guard.Options{}, func(int, uint64) reply { return reply{guard.Newer, 20 * ms} })
				for i := range 100 {
					b.start(t.Context(), guard.Call, after(latency(i), accepts(2)))
				}
				b.wg.Wait()
				wantAnswer(t, b.calls...)
				want(t, "sends", b.sent(), 200)
				want(t, "renewals", len(b.src.renewed()), 1)
				for i, o := range b.calls {
					renewed := max(latency(i), 10*ms+20*ms)
					if name == "at once" {
						renewed = 70 * ms
					}
					want(t, "duration", o.took(), renewed+latency(i))
				}
				want(t, "state", b.g.State(), guard.State{})
			})
		})
	}
}

func TestF2LateRefusals(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(guard.Options{}, always(guard.Newer))
		for range 20 {
			b.start(t.Context(), guard.Call, after(50*ms, accepts(2)))
		}
		time.Sleep(10 * ms)
		b.src.renewAhead()
		b.wg.Wait()
		wantAnswer(t, b.calls...)
		want(t, "renewals", len(b.src.renewed()), 0)
		for _, o := range b.calls {
			want(t, "causes", b.causes(o), []string{"first", "late"})
			want(t, "duration", o.took(), 100*ms)
		}
		want(t, "state", b.g.State(), guard.State{})
	})
}

func TestF3RefusedForAWhile(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(guard.Options{}, always(guard.Same))
		begin := time.Now()
		o := b.do(t.Context(), guard.Call, func(context.Context, *sending) guard.Verdict {
			if time.Since(begin) < 250*ms {
				return guard.Refused
			}
			return guard.Accepted
		})
		wantAnswer(t, o)
		want(t, "sends", b.starts(o), []time.Duration{0, 100 * ms, 300 * ms})
		want(t, "causes", b.causes(o), []string{"first", "canary", "canary"})
		want(t, "renewals", len(b.src.renewed()), 2)
		want(t, "attempts", o.result.Attempts, 3)
		want(t, "waited", o.result.Waited, 300*ms)
		want(t, "state", b.g.State(), guard.State{})
	})
}

// TestF4RefusedForGood also holds F8: an issuer out of order is told in the error.
func TestF4RefusedForGood(t *testing.T) {
	for _, issuer := range []guard.Outcome{guard.Same, guard.Passing} {
		for _, class := range []guard.Class{guard.List, guard.Call} {
			bubble(t, func(t *testing.T) {
				b := newBench(guard.Options{}, always(issuer))
				o := b.do(t.Context(), class, says(guard.Refused))
				b.wantReason(t, o, guard.Exhausted)
				var r *guard.Refusal
				if !errors.As(o.result.Err, &r) || !r.Renewed || r.Renewal != issuer {
					t.Errorf("refusal %+v does not tell the renewal's outcome %d", r, issuer)
				}
				want(t, "sends", b.starts(o), []time.Duration{0, 100 * ms, 300 * ms, 700 * ms})
				want(t, "duration", o.took(), 700*ms)
				want(t, "renewals", len(b.src.renewed()), 3)
				want(t, "count", b.g.State().Count, 1)
				want(t, "transitions", len(b.phases()), 0)
			})
		}
	}
}

func TestF5OpensAtFive(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(guard.Options{}, always(guard.Same))
		for n := range 5 {
			want(t, "count", b.g.State().Count, n)
			b.wantReason(t, b.do(t.Context(), guard.Call, says(guard.Refused)), guard.Exhausted)
		}
		want(t, "path", b.phases(), []string{"open"})
		turn := b.transitions()[0]
		if d := turn.Until.Sub(turn.At); d < 30*time.Second || d > 36*time.Second {
			t.Errorf("cool-down of %s, want 30 s and up to a fifth more", d)
		}
		renewals := len(b.src.renewed())
		o := b.do(t.Context(), guard.Call, says(guard.Refused))
		b.wantReason(t, o, guard.Unretried)
		want(t, "sends", b.starts(o), []time.Duration{0})
		want(t, "duration", o.took(), 0)
		want(t, "renewals while open", len(b.src.renewed()), renewals)
		want(t, "path", b.phases(), []string{"open"})
	})
}

func TestF6RotationCloses(t *testing.T) {
	for _, mode := range []guard.WhenOpen{guard.Pass, guard.Reject} {
		bubble(t, func(t *testing.T) {
			b := newBench(guard.Options{WhenOpen: mode}, always(guard.Same))
			b.trip(t, 5)
			b.src.rotate()
			want(t, "state", b.g.State(), guard.State{})
			o := b.do(t.Context(), guard.Call, accepts(2))
			wantAnswer(t, o)
			want(t, "sends", b.starts(o), []time.Duration{0})
			want(t, "path", b.phases(), []string{"open", "closed"})
		})
	}
}

func TestF7BackendHeals(t *testing.T) {
	t.Run("pass", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			b := newBench(guard.Options{}, always(guard.Same))
			b.trip(t, 5)
			o := b.do(t.Context(), guard.Call, says(guard.Accepted))
			wantAnswer(t, o)
			want(t, "sends", b.starts(o), []time.Duration{0})
			want(t, "state", b.g.State(), guard.State{})
		})
	})
	t.Run("reject", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			b := newBench(guard.Options{WhenOpen: guard.Reject}, always(guard.Same))
			b.trip(t, 5)
			sends := b.sent()
			for range 3 {
				o := b.do(t.Context(), guard.Call, says(guard.Accepted))
				b.wantReason(t, o, guard.Rejected)
				want(t, "attempts", o.result.Attempts, 0)
			}
			want(t, "sends while it cools", b.sent(), sends)
			b.cool()
			wantAnswer(t, b.do(t.Context(), guard.Call, says(guard.Accepted)))
			want(t, "sends", b.sent(), sends+1)
			want(t, "path", b.phases(), []string{"open", "half_open", "closed"})
		})
	})
}

func TestF9InvalidGrant(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(guard.Options{}, always(guard.Permanent))
		for n := range 5 {
			o := b.do(t.Context(), guard.Call, says(guard.Refused))
			b.wantReason(t, o, guard.GrantExpired)
			want(t, "sends", b.starts(o), []time.Duration{0})
			want(t, "renewals", len(b.src.renewed()), 1)
			if n < 4 {
				want(t, "count", b.g.State().Count, n+1)
			}
		}
		for n := range 3 {
			b.cool()
			o := b.do(t.Context(), guard.Call, says(guard.Refused))
			b.wantReason(t, o, guard.GrantExpired)
			want(t, "sends of the probe", b.starts(o), []time.Duration{0})
			want(t, "renewals, one more for each probe", len(b.src.renewed()), 2+n)
		}
	})
}

func TestF11EveryTokenRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const n = 10
		b := newBench(guard.Options{}, always(guard.Newer))
		for round := range 5 {
			before := b.sent()
			for range n {
				b.start(t.Context(), guard.Call, after(10*ms, says(guard.Refused)))
			}
			b.wg.Wait()
			if sends := b.sent() - before; sends > 2*n+2 {
				t.Errorf("%d sends of %d calls, want %d at most", sends, n, 2*n+2)
			}
			if round < 4 {
				want(t, "count", b.g.State().Count, round+1)
			}
		}
		for _, o := range b.calls {
			b.wantReason(t, o, guard.Exhausted)
		}
		want(t, "path", b.phases(), []string{"open"})
		b.src.renewAhead()
		want(t, "phase after a renewal", b.g.State().Phase, guard.Open)
	})
}

func TestF12FirstCallerCancels(t *testing.T) {
	for name, leave := range map[string]time.Duration{"while it waits": 50 * ms, "while its canary is out": 105 * ms} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBench(guard.Options{}, always(guard.Same))
				begin := time.Now()
				heals := func(context.Context, *sending) guard.Verdict {
					if time.Since(begin) < 250*ms {
						return guard.Refused
					}
					return guard.Accepted
				}
				ctx, cancel := context.WithTimeout(t.Context(), leave)
				defer cancel()
				// Its canary hangs, should it be the one.
				first := b.start(ctx, guard.Call, lines(heals, after(time.Hour, heals)))
				synctest.Wait()
				for range 4 {
					b.start(t.Context(), guard.Call, heals)
				}
				b.wg.Wait()
				want(t, "duration of the first", first.took(), leave)
				for _, o := range b.calls[1:] {
					wantAnswer(t, o)
					if o.took() < 250*ms || o.took() > 310*ms {
						t.Errorf("call %d took %s", o.call, o.took())
					}
				}
				if leave < 100*ms {
					b.wantReason(t, first, guard.Canceled)
					if !errors.Is(first.result.Err, context.DeadlineExceeded) {
						t.Errorf("%v is not the context's error", first.result.Err)
					}
					want(t, "sends: five, two canaries, three released", b.sent(), 10)
				}
				want(t, "state", b.g.State(), guard.State{})
			})
		})
	}
}

func TestF13AllCancelWhileHalfOpen(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(guard.Options{}, always(guard.Same))
		b.trip(t, 5)
		b.cool()
		ctx, cancel := context.WithCancel(t.Context())
		lease := b.start(ctx, guard.Call, says(guard.Refused))
		synctest.Wait()
		want(t, "phase", b.g.State().Phase, guard.HalfOpen)
		cancel()
		b.wg.Wait()
		b.wantReason(t, lease, guard.Canceled)
		st := b.g.State()
		want(t, "phase", st.Phase, guard.Open)
		if st.NextProbe.After(time.Now()) {
			t.Errorf("the next probe is at %s, want now", st.NextProbe)
		}
		wantAnswer(t, b.do(t.Context(), guard.Call, says(guard.Accepted)))
		want(t, "path", b.phases(), []string{"open", "half_open", "open", "half_open", "closed"})
	})
}

func TestF14ProbeHangs(t *testing.T) {
	for _, mode := range []guard.WhenOpen{guard.Pass, guard.Reject} {
		bubble(t, func(t *testing.T) {
			b := newBench(guard.Options{WhenOpen: mode}, always(guard.Same))
			b.trip(t, 5)
			b.cool()
			probed := time.Now()
			hung := b.start(t.Context(), guard.Call, func(context.Context, *sending) guard.Verdict {
				time.Sleep(20 * time.Second)
				return guard.Accepted
			})
			synctest.Wait()
			for range 16 {
				o := b.do(t.Context(), guard.Call, after(10*ms, says(guard.Refused)))
				if mode == guard.Reject {
					b.wantReason(t, o, guard.Rejected)
				} else {
					b.wantReason(t, o, guard.Unretried)
					want(t, "duration", o.took(), 10*ms)
				}
				time.Sleep(time.Second - o.took())
			}
			turns := b.transitions()
			want(t, "path", b.phases(), []string{"open", "half_open", "open"})
			want(t, "end of the lease", turns[2].At.Sub(probed), 15*time.Second)
			if d := turns[2].Until.Sub(turns[2].At); d < time.Minute || d > 72*time.Second {
				t.Errorf("second cool-down of %s, want a minute and up to a fifth more", d)
			}
			b.wg.Wait()
			wantAnswer(t, hung)
			want(t, "phase after its late answer", b.g.State().Phase, guard.Closed)
		})
	}
}
