package auth_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/recloser-mcp/recloser/auth"
)

// Whatever callers, issuer and outside world do: one fetch at a time, generations
// one by one, New only when there is something newer, and every caller returns.
func TestSourceInvariants(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		seed := rapid.SliceOfN(rapid.IntRange(0, 9), 40, 40).Draw(rt, "answers")
		steps := rapid.SliceOfN(rapid.IntRange(0, 9), 1, 30).Draw(rt, "steps")
		life := rapid.SampledFrom([]time.Duration{0, time.Second, 10 * time.Second, time.Hour}).Draw(rt, "life")
		synctest.Test(t, func(t *testing.T) {
			f := &fetcher{}
			f.do = func(ctx context.Context, n int) (auth.Material, error) {
				select {
				case <-time.After(time.Duration(seed[n%len(seed)]) * 1300 * time.Millisecond):
				case <-ctx.Done():
					return auth.Material{}, ctx.Err()
				}
				switch seed[(n+1)%len(seed)] {
				case 0, 1:
					return auth.Material{}, errDown
				case 2:
					return auth.Material{}, errDenied
				case 3:
					return token(1, life), nil
				case 4:
					panic("out of order")
				}
				return token(n, life), nil
			}
			s := bubble(t, f)
			var last uint64
			s.Watch(func(e auth.Event) {
				grown := e.Kind == auth.Renewed || e.Kind == auth.Rotated
				if grown && e.Generation != last+1 || !grown && e.Generation != last {
					rt.Errorf("%v: generation %d after %d", e.Kind, e.Generation, last)
				}
				last = e.Generation
			})
			var wg sync.WaitGroup
			call := func(retry bool) {
				c, ok := s.Current()
				var g uint64
				if ok {
					g = c.Generation()
				}
				wg.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					defer cancel()
					start := time.Now()
					o, err := s.Renew(ctx, g, retry)
					if time.Since(start) > 45*time.Second {
						rt.Errorf("waited %v", time.Since(start))
					}
					if o == auth.New && s.Facts().Generation <= g {
						rt.Errorf("New, but %d is current after %d", s.Facts().Generation, g)
					}
					if (o == auth.Passing || o == auth.Permanent) != (err != nil) {
						rt.Errorf("%v %v", o, err)
					}
				})
			}
			for _, step := range steps {
				switch step {
				case 0, 1, 2, 3:
					call(false)
				case 4:
					call(true)
				case 5:
					wg.Go(func() { _, _ = s.Rotate(t.Context()) })
				case 6:
					time.Sleep(100 * time.Millisecond)
				case 7:
					time.Sleep(3 * time.Second)
				case 8:
					time.Sleep(40 * time.Second)
				case 9:
					time.Sleep(10 * time.Minute)
				}
			}
			wg.Wait()
			if f.together() > 1 {
				rt.Errorf("%d fetches at once", f.together())
			}
			time.Sleep(time.Hour)
			if auth.Armed(s) {
				rt.Errorf("a timer runs without use")
			}
			before := f.count()
			time.Sleep(time.Hour)
			f.want(t, before)
		})
	})
}
