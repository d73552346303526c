package auth_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/recloser-mcp/recloser/auth"
)

func slow(f *fetcher, d time.Duration) *fetcher {
	do := f.do
	f.do = func(ctx context.Context, n int) (auth.Material, error) {
		select {
		case <-time.After(d):
			return do(ctx, n)
		case <-ctx.Done():
			return auth.Material{}, ctx.Err()
		}
	}
	return f
}

func TestNothingHappensBeforeUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := mint(time.Hour)
		s := bubble(t, f)
		time.Sleep(time.Hour)
		generation(t, s, 0)
		f.want(t, 0)
		if auth.Armed(s) {
			t.Error("a timer runs")
		}
	})
}

func TestConcurrentRenewalsFetchOnce(t *testing.T) {
	for _, refused := range []uint64{0, 1} {
		synctest.Test(t, func(t *testing.T) {
			f := slow(mint(0), 200*time.Millisecond)
			s := bubble(t, f)
			if refused == 1 {
				renew(t, s, 0, auth.New)
			}
			before := f.count()
			start := time.Now()
			var wg sync.WaitGroup
			for range 100 {
				wg.Go(func() { renew(t, s, refused, auth.New) })
			}
			wg.Wait()
			f.want(t, before+1)
			generation(t, s, refused+1)
			if took := time.Since(start); took != 200*time.Millisecond {
				t.Errorf("took %v", took)
			}
		})
	}
}

func TestLateRefusalFetchesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := mint(time.Hour)
		s := bubble(t, f)
		renew(t, s, 0, auth.New)
		renew(t, s, 1, auth.New)
		f.want(t, 2)
		for range 50 {
			renew(t, s, 1, auth.New)
			renew(t, s, 0, auth.New)
		}
		f.want(t, 2)
	})
}

func TestForcedRenewalsAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := mint(time.Hour)
		s := bubble(t, f)
		renew(t, s, 0, auth.New)
		for g := uint64(1); g <= 3; g++ {
			renew(t, s, g, auth.New)
		}
		for range 100 {
			renew(t, s, 4, auth.Same)
		}
		f.want(t, 4)
		for range 5 {
			time.Sleep(time.Second)
			c, _ := s.Current()
			renew(t, s, c.Generation(), auth.New)
			renew(t, s, c.Generation()+1, auth.Same)
		}
		f.want(t, 9)
		time.Sleep(time.Minute) // fills the bucket again, no further than to three
		for g := uint64(9); g <= 11; g++ {
			renew(t, s, g, auth.New)
		}
		renew(t, s, 12, auth.Same)
		f.want(t, 12)
	})
}

func TestFetchIsLimitedToTenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fetcher{do: func(ctx context.Context, _ int) (auth.Material, error) {
			<-ctx.Done()
			return auth.Material{}, ctx.Err()
		}}
		s := bubble(t, f)
		start := time.Now()
		err := renew(t, s, 0, auth.Passing)
		if took := time.Since(start); took != 10*time.Second || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("after %v: %v", took, err)
		}
	})
}

func TestHungStrategyHoldsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		f := &fetcher{do: func(_ context.Context, n int) (auth.Material, error) {
			<-release
			return token(n, 0), nil
		}}
		s := bubble(t, f)
		start := time.Now()
		renew(t, s, 0, auth.Passing)
		if took := time.Since(start); took > 11*time.Second {
			t.Errorf("waited %v", took)
		}
		start = time.Now()
		renew(t, s, 0, auth.Passing)
		if o, err := s.Rotate(t.Context()); o != auth.Passing || err == nil {
			t.Errorf("Rotate: %v %v", o, err)
		}
		if time.Since(start) != 0 || f.together() != 1 {
			t.Errorf("waited %v, %d fetches at once", time.Since(start), f.together())
		}
		close(release) // the hung fetch was voided by Rotate; the one after it counts
		synctest.Wait()
		generation(t, s, 1)
		f.want(t, 2)
	})
}

func TestLateAnswerOfHungStrategyIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fetcher{do: func(_ context.Context, n int) (auth.Material, error) {
			time.Sleep(time.Minute)
			return token(n, 0), nil
		}}
		s := bubble(t, f)
		renew(t, s, 0, auth.Passing)
		time.Sleep(time.Minute)
		generation(t, s, 1)
		f.want(t, 1)
	})
}

func TestWaitersLeaveTheRenewalStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := slow(mint(0), 5*time.Second)
		s := bubble(t, f)
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var wg sync.WaitGroup
		wg.Go(func() { renew(t, s, 0, auth.New) })
		synctest.Wait()
		o, err := s.Renew(ctx, 0, false)
		if o != auth.Passing || !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("left with %v, %v after %v", o, err, time.Since(start))
		}
		wg.Wait()
		generation(t, s, 1)
		f.want(t, 1)
	})
}

func TestRenewalOutlivesAllCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := slow(mint(0), 5*time.Second)
		s := bubble(t, f)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, _ = s.Renew(ctx, 0, false)
		time.Sleep(5 * time.Second)
		generation(t, s, 1)
		f.want(t, 1)
	})
}

func TestEndedContextStartsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := mint(0)
		s := bubble(t, f)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if o, err := s.Renew(ctx, 0, false); o != auth.Passing || !errors.Is(err, context.Canceled) {
			t.Errorf("%v %v", o, err)
		}
		f.want(t, 0)
		renew(t, s, 0, auth.New)
		if o, err := s.Renew(ctx, 0, false); o != auth.New || err != nil { // what is there may be had
			t.Errorf("%v %v", o, err)
		}
	})
}

func TestEqualBytesAreNoNewGeneration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fetcher{do: func(context.Context, int) (auth.Material, error) { return token(1, time.Hour), nil }}
		s := bubble(t, f)
		renew(t, s, 0, auth.New)
		first := generation(t, s, 1)
		time.Sleep(time.Second)
		renew(t, s, 1, auth.Same)
		f.want(t, 2)
		// the issuer has confirmed it: the new lifetime counts
		if second := generation(t, s, 1); second.Expires().Sub(first.Expires()) != time.Second {
			t.Errorf("expires %v, was %v", second.Expires(), first.Expires())
		}
	})
}

func TestPermanentIsStickyForItsGeneration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := mint(0)
		s := bubble(t, f)
		renew(t, s, 0, auth.New)
		f.set(fails(errDenied))
		for range 20 {
			err := renew(t, s, 1, auth.Permanent)
			if !errors.Is(err, errDenied) {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Minute)
		}
		f.want(t, 2)
		generation(t, s, 1) // some backend may still take it
		for range 2 {
			if o, _ := s.Renew(t.Context(), 1, true); o != auth.Permanent { // asked once more
				t.Fatal(o)
			}
			renew(t, s, 1, auth.Permanent)
		}
		f.want(t, 4)
		if got := s.Facts().LastRenewal; got.Outcome != auth.Permanent || got.Code != "invalid_grant" {
			t.Errorf("%+v", got)
		}
		f.set(mint(0).do)
		time.Sleep(time.Second)
		if o, _ := s.Renew(t.Context(), 1, true); o != auth.New {
			t.Fatal(o)
		}
		f.want(t, 5)
		renew(t, s, 2, auth.New) // nothing sticks to the new generation
	})
}

func TestPermanentWithoutCredentialIsAskedAgainLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fetcher{do: fails(errDenied)}
		s := bubble(t, f)
		start := time.Now()
		for time.Since(start) < 20*time.Minute {
			renew(t, s, 0, auth.Permanent)
			time.Sleep(time.Second)
		}
		want := []time.Duration{30 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute, 5 * time.Minute, 5 * time.Minute}
		if diff := cmp.Diff(want, f.gaps(1)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestPassingFailureAfterPermanentAsksAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fetcher{do: func(_ context.Context, n int) (auth.Material, error) {
			return auth.Material{}, []error{errDenied, errDown}[min(n-1, 1)]
		}}
		s := bubble(t, f)
		renew(t, s, 0, auth.Permanent)
		if o, _ := s.Renew(t.Context(), 0, true); o != auth.Passing {
			t.Fatal(o)
		}
		time.Sleep(10 * time.Second)
		if f.count() < 4 {
			t.Errorf("%d fetches: the background gave up", f.count())
		}
	})
}

func TestPassingFailureIsSharedByThoseWithoutCredential(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fetcher{do: fails(errDown)}
		s := bubble(t, f)
		start := time.Now()
		renew(t, s, 0, auth.Passing)
		for time.Since(start) < 5*time.Minute {
			if err := renew(t, s, 0, auth.Passing); !errors.Is(err, errDown) {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Millisecond)
		}
		// 1, 2, 4, 8, 16 s and then every 16 to 20 s: the callers, 100 a second, added nothing
		if n := f.count(); n < 5+270/20 || n > 6+270/16 {
			t.Errorf("%d fetches", n)
		}
	})
}

func TestRefusedGenerationIsRetriedByCallersDuringAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := mint(0)
		s := bubble(t, f)
		renew(t, s, 0, auth.New)
		f.set(fails(errDown))
		renew(t, s, 1, auth.Passing)
		time.Sleep(100 * time.Millisecond)
		f.set(mint(0).do)
		renew(t, s, 1, auth.New) // a short outage costs the call one step, not a second
		f.want(t, 3)
	})
}

// Beyond the limit the answer is what the last try met, not that there is nothing
// newer: an issuer that is down stays the cause that callers are told.
func TestLimitRepeatsTheFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := mint(0)
		s := bubble(t, f)
		renew(t, s, 0, auth.New)
		f.set(fails(errDown))
		for range 3 {
			renew(t, s, 1, auth.Passing)
		}
		for range 10 {
			if err := renew(t, s, 1, auth.Passing); !errors.Is(err, errDown) {
				t.Errorf("told %v", err)
			}
		}
		f.want(t, 4)
	})
}

func TestRetryAfterIsHonoured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fetcher{do: func(_ context.Context, n int) (auth.Material, error) {
			if n == 1 {
				return token(1, 0), nil
			}
			return auth.Material{}, &auth.RenewError{Status: 429, RetryAfter: map[bool]time.Duration{true: 7 * time.Second, false: time.Hour}[n == 2]}
		}}
		s := bubble(t, f)
		renew(t, s, 0, auth.New)
		for range 26 * 4 {
			renew(t, s, 1, auth.Passing)
			time.Sleep(250 * time.Millisecond)
		}
		// an hour is not believed: an issuer that is back must be noticed
		if diff := cmp.Diff([]time.Duration{7 * time.Second}, f.gaps(2)); diff != "" {
			t.Error(diff)
		}
		time.Sleep(2 * time.Second)
		if diff := cmp.Diff([]time.Duration{7 * time.Second, 20 * time.Second}, f.gaps(2)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestPanicIsAPassingFailure(t *testing.T) {
	for name, end := range map[string]func(){
		"panic":  func() { panic("secret-in-a-panic") },
		"goexit": runtime.Goexit,
	} {
		synctest.Test(t, func(t *testing.T) {
			f := &fetcher{do: func(_ context.Context, n int) (auth.Material, error) {
				if n == 1 {
					end()
				}
				return token(n, 0), nil
			}}
			s := bubble(t, f)
			if err := renew(t, s, 0, auth.Passing); err.Error() != "the strategy panicked" {
				t.Errorf("%s: %v", name, err)
			}
			time.Sleep(time.Second)
			generation(t, s, 1)
		})
	}
}

func TestUnusableMaterialIsAPassingFailure(t *testing.T) {
	h := func(name, value string) auth.Header { return auth.Header{Name: name, Value: auth.NewSecret(value)} }
	for name, m := range map[string]auth.Material{
		"expired":    {Headers: []auth.Header{h("Authorization", "Bearer x")}, Lifetime: -time.Second},
		"line break": {Headers: []auth.Header{h("Authorization", "Bearer x\r\nHost: evil")}},
		"host":       {Headers: []auth.Header{h("host", "x")}},
		"twice":      {Headers: []auth.Header{h("X-Key", "x"), h("x-key", "y")}},
		"empty":      {Headers: []auth.Header{h("X-Key", "")}},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := bubble(t, &fetcher{do: func(context.Context, int) (auth.Material, error) { return m, nil }})
			o, err := s.Renew(t.Context(), 0, false)
			if o != auth.Passing || err == nil {
				t.Errorf("%s: %v %v", name, o, err)
			}
			generation(t, s, 0)
		})
	}
}

func TestRereadFindsAChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fetcher{do: func(_ context.Context, n int) (auth.Material, error) { return fixed(n / 3), nil }}
		s := bubble(t, f)
		var events []auth.EventKind
		s.Watch(func(e auth.Event) { events = append(events, e.Kind) })
		renew(t, s, 0, auth.New)
		if c := generation(t, s, 1); c.Rotation() != 0 {
			t.Errorf("rotation %d", c.Rotation())
		}
		renew(t, s, 1, auth.Same)
		renew(t, s, 1, auth.New)
		if c := generation(t, s, 2); c.Rotation() != 1 {
			t.Errorf("rotation %d", c.Rotation())
		}
		f.want(t, 3)
		if diff := cmp.Diff([]auth.EventKind{auth.Renewed, auth.Unchanged, auth.Rotated}, events); diff != "" {
			t.Error(diff)
		}
	})
}
