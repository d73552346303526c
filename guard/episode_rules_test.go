package guard_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/recloser-mcp/recloser/guard"
)

// seconds of virtual time since the bench was made.
func (b *bench) at(t time.Time) time.Duration { return t.Sub(b.begun) }

func TestStateAndRefusalTell(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(guard.Options{OpenAfter: 2}, always(guard.Same))
		time.Sleep(time.Second)
		first := b.start(t.Context(), guard.Call, says(guard.Refused))
		synctest.Wait()
		second := b.start(t.Context(), guard.Call, says(guard.Refused))
		synctest.Wait()
		want(t, "while the episode runs", b.g.State(), guard.State{Since: b.begun.Add(time.Second), Recovering: true, CallsOnly: true})
		b.wg.Wait()
		want(t, "the first led", first.result.Coalesced, false)
		want(t, "the second followed", second.result.Coalesced, true)
		want(t, "after it", b.g.State(), guard.State{Count: 1, Since: b.begun.Add(time.Second), CallsOnly: true})
		time.Sleep(time.Second)

		third := b.do(t.Context(), guard.Call, says(guard.Refused))
		st := b.g.State()
		want(t, "phase told to the third", third.result.Phase, guard.Open)
		want(t, "since", b.at(st.Since), time.Second)
		want(t, "opened at", b.at(st.OpenedAt), 3400*ms)
		want(t, "next probe", st.NextProbe, b.transitions()[0].Until)
		want(t, "streak told to the listener", b.transitions()[0].Count, 2)

		var r *guard.Refusal
		o := b.do(t.Context(), guard.Call, says(guard.Refused))
		if !errors.As(o.result.Err, &r) || !r.Since.Equal(st.Since) || !r.RetryAt.Equal(st.NextProbe) {
			t.Errorf("refusal %+v, want since %s and retry at %s", r, st.Since, st.NextProbe)
		}
		b.cool()
		probe := b.start(t.Context(), guard.Call, after(time.Second, says(guard.Accepted)))
		synctest.Wait()
		half := b.g.State()
		want(t, "phase", half.Phase, guard.HalfOpen)
		want(t, "opened at", half.OpenedAt, st.OpenedAt)
		want(t, "next probe", half.NextProbe, time.Time{})
		b.wg.Wait()
		want(t, "phase told to the probe", probe.result.Phase, guard.Closed)
	})
}

func TestRenewalWhileOpenEndsTheCoolDown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(guard.Options{}, always(guard.Same))
		b.trip(t, 5)
		st := b.g.State()
		b.src.renewAhead()
		o := b.do(t.Context(), guard.Call, says(guard.Refused))
		b.wantReason(t, o, guard.Exhausted)
		want(t, "sends of the probe", o.result.Attempts, 4)
		want(t, "path", b.phases(), []string{"open", "half_open", "open"})
		want(t, "count goes on", b.g.State().Count > st.Count, true)
	})
}

// TestI9SentDuringTheEpisode: the opening is a new epoch, so an answer to what
// left before it closes nothing.
func TestI9SentDuringTheEpisode(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(guard.Options{OpenAfter: 1}, always(guard.Same))
		b.start(t.Context(), guard.Call, says(guard.Refused))
		time.Sleep(50 * ms)
		slow := b.start(t.Context(), guard.Call, after(2*time.Second, says(guard.Accepted)))
		b.wg.Wait()
		wantAnswer(t, slow)
		want(t, "path", b.phases(), []string{"open"})
	})
}

// TestProbeSlowerThanItsLease: the 15 seconds end the episode of the half-open
// probe, and its answer, when it comes at last, is evidence all the same.
func TestProbeSlowerThanItsLease(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(guard.Options{WhenOpen: guard.Reject}, always(guard.Same))
		b.trip(t, 5)
		b.cool()
		began := time.Now()
		o := b.do(t.Context(), guard.Call, lines(says(guard.Refused), func(context.Context, *sending) guard.Verdict {
			time.Sleep(20 * time.Second)
			return guard.Accepted
		}))
		wantAnswer(t, o)
		turns := b.transitions()
		want(t, "path", b.phases(), []string{"open", "half_open", "open", "closed"})
		want(t, "the lease ends", turns[2].At.Sub(began), 15*time.Second)
		want(t, "the answer closes", turns[3].At.Sub(began), 20*time.Second+100*ms)
	})
}

// TestStragglerCountsNothing: it was sent before the exhaustion. Once something
// new is there, it is only late.
func TestStragglerCountsNothing(t *testing.T) {
	for name, tt := range map[string]struct {
		event  func(b *bench)
		causes []string
	}{
		"nothing since": {func(*bench) {}, []string{"first"}},
		"a renewal":     {func(b *bench) { b.src.renewAhead() }, []string{"first", "late"}},
		"a rotation":    {func(b *bench) { b.src.rotate() }, []string{"first", "late"}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBench(guard.Options{}, always(guard.Same))
				b.start(t.Context(), guard.Call, says(guard.Refused))
				late := b.start(t.Context(), guard.Call, after(time.Second, accepts(2)))
				time.Sleep(800 * ms)
				want(t, "count", b.g.State().Count, 1)
				tt.event(b)
				b.wg.Wait()
				want(t, "causes", b.causes(late), tt.causes)
				want(t, "answered", late.result.Err == nil, len(tt.causes) == 2)
				if len(tt.causes) == 1 {
					want(t, "count", b.g.State().Count, 1)
				} else {
					want(t, "state", b.g.State(), guard.State{})
				}
				want(t, "renewals", len(b.src.renewed()), 3)
			})
		})
	}
}

// TestLateOncePerEpisode: the second refusal of a call that was released joins.
func TestLateOncePerEpisode(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(guard.Options{}, always(guard.Newer))
		late := b.start(t.Context(), guard.Call, lines(after(100*ms, says(guard.Refused)), after(100*ms, says(guard.Refused)), says(guard.Accepted)))
		synctest.Wait() // it has left with the first credential
		// The leader is released at once and then slow enough to hold the stage.
		b.start(t.Context(), guard.Call, lines(says(guard.Refused), after(time.Second, says(guard.Accepted))))
		b.wg.Wait()
		wantAnswer(t, b.calls...)
		want(t, "causes", b.causes(late), []string{"first", "late", "canary"})
		want(t, "sends", b.starts(late), []time.Duration{0, 100 * ms, 400 * ms}) // step 2 waits 200 ms
		want(t, "state", b.g.State(), guard.State{})
	})
}

// TestLateIsNoRefusalOfItsClass: a list that was only late does not make an
// accepted list proof for the calls.
func TestLateIsNoRefusalOfItsClass(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(guard.Options{OpenAfter: 1}, always(guard.Newer))
		list := b.start(t.Context(), guard.List, after(50*ms, accepts(2)))
		synctest.Wait() // it has left with the first credential
		b.start(t.Context(), guard.Call, says(guard.Refused))
		b.wg.Wait()
		want(t, "causes", b.causes(list), []string{"first", "late"})
		st := b.g.State()
		want(t, "phase", st.Phase, guard.Open)
		want(t, "only calls are refused", st.CallsOnly, true)
		wantAnswer(t, b.do(t.Context(), guard.Probe, says(guard.Accepted)))
		want(t, "phase after an accepted probe", b.g.State().Phase, guard.Open)
	})
}

// TestLateWhileOpen: a retry is not sent while the breaker is open, not even with
// a credential that nobody has tried.
func TestLateWhileOpen(t *testing.T) {
	for _, lease := range []bool{false, true} {
		bubble(t, func(t *testing.T) {
			b := newBench(guard.Options{}, always(guard.Same))
			b.trip(t, 5)
			if lease {
				b.cool()
			}
			o := b.start(t.Context(), guard.Call, after(10*ms, accepts(2)))
			synctest.Wait()
			b.src.renewAhead()
			b.wg.Wait()
			if lease {
				wantAnswer(t, o)
				want(t, "causes", b.causes(o), []string{"first", "late"})
			} else {
				b.wantReason(t, o, guard.Unretried)
				want(t, "causes", b.causes(o), []string{"first"})
			}
		})
	}
}

// TestAbandonedWhereItWas: the next refusal goes on where the last caller left.
func TestAbandonedWhereItWas(t *testing.T) {
	for _, tt := range []struct {
		name   string
		issuer func(int, uint64) reply
		first  answer
		limit  time.Duration
		gap    time.Duration
		sends  []time.Duration // of the next call, refused for good
		count  int
	}{
		{"before Renew returned", func(n int, _ uint64) reply {
			return reply{guard.Same, map[bool]time.Duration{true: time.Second}[n == 0]}
		}, says(guard.Refused), 300 * ms, 200 * ms, []time.Duration{0, 600 * ms, 800 * ms, 1200 * ms}, 1},
		{"in the wait of step 2", always(guard.Same), says(guard.Refused), 200 * ms, 0, []time.Duration{0, 100 * ms, 500 * ms}, 1},
		{"while its canary was out", always(guard.Same), lines(says(guard.Refused), after(time.Hour, says(guard.Refused))),
			150 * ms, 50 * ms, []time.Duration{0, 200 * ms, 600 * ms}, 1},
		{"after the release", func(n int, _ uint64) reply {
			return reply{outcome: map[bool]guard.Outcome{true: guard.Newer}[n == 0]}
		}, lines(says(guard.Refused), after(time.Hour, says(guard.Refused))), 150 * ms, 50 * ms, []time.Duration{0, 200 * ms, 600 * ms}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBench(guard.Options{}, tt.issuer)
				ctx, cancel := context.WithTimeout(t.Context(), tt.limit)
				defer cancel()
				b.do(ctx, guard.Call, tt.first)
				want(t, "count", b.g.State().Count, 0)
				time.Sleep(tt.gap)
				o := b.do(t.Context(), guard.Call, says(guard.Refused))
				b.wantReason(t, o, guard.Exhausted)
				want(t, "sends", b.starts(o), tt.sends)
				want(t, "count", b.g.State().Count, tt.count)
			})
		})
	}
}

// TestForgotten: what closes the case also closes the remembered episode.
func TestForgotten(t *testing.T) {
	for name, event := range map[string]func(t *testing.T, b *bench){
		"accepted": func(t *testing.T, b *bench) { b.do(t.Context(), guard.Call, says(guard.Accepted)) },
		"rotated":  func(_ *testing.T, b *bench) { b.src.rotate() },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBench(guard.Options{}, always(guard.Same))
				ctx, cancel := context.WithTimeout(t.Context(), 350*ms)
				defer cancel()
				b.do(ctx, guard.Call, says(guard.Refused))
				event(t, b)
				want(t, "state", b.g.State(), guard.State{})
				o := b.do(t.Context(), guard.Call, says(guard.Refused))
				want(t, "sends", b.starts(o), []time.Duration{0, 100 * ms, 300 * ms, 700 * ms})
			})
		})
	}
}

// TestForgottenByTime: ten seconds after the last caller left there is no trouble
// left, and no call was needed to see to that.
func TestForgottenByTime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(guard.Options{}, always(guard.Same))
		ctx, cancel := context.WithTimeout(t.Context(), 50*ms)
		defer cancel()
		b.do(ctx, guard.Call, says(guard.Refused))
		time.Sleep(10*time.Second + ms)
		st := b.g.State()
		want(t, "recovering", st.Recovering, false)
		want(t, "only calls are refused", st.CallsOnly, false)
		want(t, "count", st.Count, 0)
		wantAnswer(t, b.do(t.Context(), guard.List, says(guard.Accepted))) // suffices: nothing is remembered
		want(t, "state", b.g.State(), guard.State{})
	})
}

// TestDeadlineAnewOnResume: a resumed episode has its own 15 seconds.
func TestDeadlineAnewOnResume(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(guard.Options{}, always(guard.Same))
		hangs := lines(says(guard.Refused), after(time.Hour, says(guard.Refused)))
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		b.do(ctx, guard.Call, hangs)
		next, stop := context.WithCancel(t.Context())
		b.start(next, guard.Call, hangs)
		time.Sleep(15*time.Second - ms)
		want(t, "count", b.g.State().Count, 0)
		time.Sleep(2 * ms)
		want(t, "count", b.g.State().Count, 1)
		stop()
		b.wg.Wait()
	})
}

// TestCanaryAsksForOneMore: its session has to be re-opened, and nobody waits for
// that.
func TestCanaryAsksForOneMore(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(guard.Options{}, always(guard.Same))
		asked := false
		f := lines(says(guard.Refused), func(ctx context.Context, _ *sending) guard.Verdict {
			if !asked {
				asked = true
				return guard.Again
			}
			return guard.Accepted
		})
		for range 3 {
			b.start(t.Context(), guard.Call, f)
		}
		b.wg.Wait()
		wantAnswer(t, b.calls...)
		for _, o := range b.calls {
			want(t, "duration", o.took(), 100*ms)
		}
		want(t, "sends", b.sent(), 7)
		want(t, "state", b.g.State(), guard.State{})
	})
}

// TestRotationReleasesEveryone: those who wait in an episode, privately or for a
// first credential.
func TestRotationReleasesEveryone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(guard.Options{}, func(int, uint64) reply { return reply{guard.Permanent, 3 * time.Second} })
		for range 3 {
			b.start(t.Context(), guard.Call, accepts(2))
		}
		time.Sleep(time.Second)
		b.src.rotate()
		want(t, "state", b.g.State(), guard.State{})
		b.wg.Wait()
		wantAnswer(t, b.calls...)
		for _, o := range b.calls {
			want(t, "duration", o.took(), time.Second)
			want(t, "sends", b.starts(o), []time.Duration{0, time.Second})
		}
		b.src.idle()
		want(t, "state after the overtaken renewal", b.g.State(), guard.State{})
		wantAnswer(t, b.do(t.Context(), guard.Call, accepts(2)))
	})
}
