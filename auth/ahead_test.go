package auth_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/recloser-mcp/recloser/auth"
)

// use calls Current every step for d, and counts how often there was nothing.
func use(s *auth.Source, d, step time.Duration) (missing int) {
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(step) {
		if _, ok := s.Current(); !ok {
			missing++
		}
	}
	return missing
}

func TestRenewalComesAheadOfTime(t *testing.T) {
	for _, life := range []time.Duration{10 * time.Second, 45 * time.Second, 10 * time.Minute, 12 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			f := mint(life)
			s := bubble(t, f)
			renew(t, s, 0, auth.New)
			if n := use(s, 20*life, min(life/100, time.Second)); n != 0 {
				t.Errorf("%v: %d times without a credential", life, n)
			}
			for _, gap := range f.gaps(1) {
				if gap < 7*life/10 || gap > 8*life/10 {
					t.Errorf("%v: renewed after %v", life, gap)
				}
			}
			if n := f.count(); n < 25 || n > 30 {
				t.Errorf("%v: %d fetches", life, n)
			}
		})
	}
}

func TestAheadOfTimeMomentsDiffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := map[time.Duration]bool{}
		for range 20 {
			f := mint(time.Hour)
			s := bubble(t, f)
			renew(t, s, 0, auth.New)
			use(s, time.Hour, time.Second)
			seen[f.gaps(1)[0]] = true
		}
		if len(seen) < 15 {
			t.Errorf("%d different moments of 20: all replicas would renew at once", len(seen))
		}
	})
}

func TestFailedEarlyRenewalKeepsTheCredential(t *testing.T) {
	for _, c := range []struct{ life, every, margin time.Duration }{
		{time.Hour, 30 * time.Second, 10 * time.Second},
		{100 * time.Second, 10 * time.Second, 10 * time.Second},
		{10 * time.Second, time.Second, time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := &fetcher{do: func(_ context.Context, n int) (auth.Material, error) {
				if n == 1 {
					return token(1, c.life), nil
				}
				return auth.Material{}, errDown
			}}
			s := bubble(t, f)
			renew(t, s, 0, auth.New)
			start := time.Now()
			stop := c.life - c.margin
			if n := use(s, stop-10*time.Millisecond, 5*time.Millisecond); n != 0 {
				t.Fatalf("%v: gone before its time, %d", c.life, n)
			}
			generation(t, s, 1)
			early := f.gaps(2) // from the first early try on
			if len(early) == 0 && c.life > 10*time.Second {
				t.Errorf("%v: no second try", c.life)
			}
			for _, gap := range early {
				if gap < c.every {
					t.Errorf("%v: tries %v apart, want at least %v", c.life, gap, c.every)
				}
			}
			time.Sleep(time.Until(start.Add(stop)))
			synctest.Wait()
			generation(t, s, 0) // the hard stop, and a try at once
			before := f.count()
			use(s, 15*time.Second, 100*time.Millisecond)
			gaps := f.gaps(before)
			for i, most := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second} {
				if i < len(gaps) && (gaps[i] > most || gaps[i] < most*8/10) {
					t.Errorf("%v: after the hard stop %v", c.life, gaps)
				}
			}
			if len(gaps) < 3 {
				t.Errorf("%v: tries after the hard stop: %v", c.life, gaps)
			}
		})
	}
}

func TestHardStopWithoutFailureWaitsForACaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := mint(10 * time.Minute)
		s := bubble(t, f)
		renew(t, s, 0, auth.New)
		f.set(fails(errDenied))
		use(s, 10*time.Minute-10*time.Second, time.Second)
		synctest.Wait()
		generation(t, s, 0)
		f.want(t, 2) // the early try, answered for good
		use(s, time.Hour, time.Second)
		f.want(t, 2)
		f.set(mint(10 * time.Minute).do)
		renew(t, s, 0, auth.New) // long past the 30 s for which that answer held
		f.want(t, 3)
	})
}

func TestEarlyPermanentSticksToItsGeneration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fetcher{do: func(_ context.Context, n int) (auth.Material, error) {
			if n > 1 {
				return auth.Material{}, errDenied
			}
			return token(n, time.Hour), nil
		}}
		s := bubble(t, f)
		renew(t, s, 0, auth.New)
		use(s, 50*time.Minute, time.Second)
		f.want(t, 2)
		generation(t, s, 1)
		renew(t, s, 1, auth.Permanent)
		f.want(t, 2)
	})
}

func TestBackgroundTriesAfterARefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := mint(0)
		s := bubble(t, f)
		renew(t, s, 0, auth.New)
		f.set(fails(errDown))
		renew(t, s, 1, auth.Passing)
		if n := use(s, 3*time.Minute, 500*time.Millisecond); n != 0 {
			t.Errorf("the credential at hand was taken away %d times", n)
		}
		gaps := f.gaps(2)
		for i, gap := range gaps {
			most := min(time.Second<<i, 20*time.Second)
			if gap > most || gap < most*8/10 {
				t.Errorf("gap %d is %v, want %v less up to a fifth", i, gap, most)
			}
		}
		if len(gaps) < 11 {
			t.Errorf("tries stopped: %v", gaps)
		}
		f.set(mint(0).do)
		use(s, 20*time.Second, time.Second)
		n := f.count()
		generation(t, s, 2) // found without a caller's help
		use(s, 10*time.Minute, time.Second)
		f.want(t, n) // and then there is rest
		if auth.Armed(s) {
			t.Error("a timer runs")
		}
	})
}

func TestSlowFailuresStartNoMoreThanTwentySecondsApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := slow(&fetcher{do: fails(errDown)}, 9*time.Second)
		s := bubble(t, f)
		renew(t, s, 0, auth.Passing)
		use(s, 10*time.Minute, time.Second)
		for i, gap := range f.gaps(1) {
			if gap < 9*time.Second || gap > 20*time.Second {
				t.Errorf("gap %d: %v", i, gap)
			}
		}
		if f.together() != 1 {
			t.Errorf("%d at once", f.together())
		}
	})
}

func TestCallersNeitherDelayNorSlowTheBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fetcher{do: func(_ context.Context, n int) (auth.Material, error) {
			if n == 1 {
				return token(1, 0), nil
			}
			return auth.Material{}, errDown
		}}
		s := bubble(t, f)
		renew(t, s, 0, auth.New)
		renew(t, s, 1, auth.Passing)
		time.Sleep(100 * time.Millisecond)
		renew(t, s, 1, auth.Passing)
		time.Sleep(200 * time.Millisecond)
		renew(t, s, 1, auth.Passing)
		f.want(t, 4)
		time.Sleep(700 * time.Millisecond)
		f.want(t, 5)
		time.Sleep(2 * time.Second)
		f.want(t, 6)
	})
}

// Without use a source holds nothing, whatever it was doing.
func TestUnusedSourceIsParked(t *testing.T) {
	down := func(n int) func(context.Context, int) (auth.Material, error) {
		return func(_ context.Context, i int) (auth.Material, error) {
			if i >= n {
				return auth.Material{}, errDown
			}
			return token(i, time.Hour), nil
		}
	}
	for name, c := range map[string]struct {
		f       *fetcher
		refused []uint64
	}{
		"valid":   {mint(time.Hour), []uint64{0}},
		"static":  {mint(0), []uint64{0}},
		"short":   {mint(10 * time.Second), []uint64{0}},
		"absent":  {&fetcher{do: down(1)}, []uint64{0}},
		"refused": {&fetcher{do: down(2)}, []uint64{0, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				before := goleak.IgnoreCurrent()
				s := bubble(t, c.f)
				for _, g := range c.refused {
					_, _ = s.Renew(t.Context(), g, false)
				}
				time.Sleep(2 * time.Minute)
				n := c.f.count()
				if name != "short" && name != "valid" && name != "static" && n < 4 {
					t.Errorf("%d fetches: the background did not try", n)
				}
				time.Sleep(24 * time.Hour)
				c.f.want(t, n)
				if auth.Armed(s) {
					t.Error("a timer runs")
				}
				if err := goleak.Find(before); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestParkedSourceWakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := mint(time.Hour)
		s := bubble(t, f)
		renew(t, s, 0, auth.New)
		time.Sleep(30 * time.Minute) // parked, and still good
		generation(t, s, 1)
		f.want(t, 1)
		time.Sleep(25 * time.Minute) // past the early renewal, before the hard stop
		generation(t, s, 1)          // no call waits
		synctest.Wait()
		f.want(t, 2)
		generation(t, s, 2)
		time.Sleep(2 * time.Hour) // expired in its sleep
		generation(t, s, 0)
		f.want(t, 2)
		renew(t, s, 0, auth.New)
		generation(t, s, 3)
		if n := use(s, 3*time.Hour, time.Minute); n != 0 {
			t.Errorf("%d times without a credential", n)
		}
	})
}

func TestParkedFailureIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fetcher{do: fails(errDown)}
		s := bubble(t, f)
		renew(t, s, 0, auth.Passing)
		time.Sleep(time.Hour)
		f.set(mint(0).do)
		renew(t, s, 0, auth.New)
	})
}

// An issuer that hands out the same token until it ends must not be asked faster
// and faster, nor leave the callers without a credential.
func TestCachingIssuer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const life = time.Hour
		start := time.Now()
		f := &fetcher{do: func(context.Context, int) (auth.Material, error) {
			age := time.Since(start)
			return token(int(age/life), life-age%life), nil
		}}
		s := bubble(t, f)
		renew(t, s, 0, auth.New)
		missing := 0
		for end := start.Add(10 * life); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
			if _, ok := s.Current(); !ok {
				if o, _ := s.Renew(t.Context(), 0, false); o != auth.New {
					missing++
				}
			}
		}
		if missing != 0 {
			t.Errorf("%d times without a credential", missing)
		}
		if n := f.count(); n > 10*25 {
			t.Errorf("%d fetches in 10 lifetimes", n)
		}
	})
}

func TestExpiryIgnoresTheWallClock(t *testing.T) {
	s := auth.NewSource("test", mint(time.Hour), auth.SourceOptions{})
	defer s.Close()
	renew(t, s, 0, auth.New)
	c := generation(t, s, 1)
	if e := c.Expires(); e == e.Round(0) || c.Issued() == c.Issued().Round(0) { // Round strips the monotonic reading
		t.Error("no monotonic reading: a jump of the wall clock would expire the credential")
	}
}
