package health

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Probes of many backends are spread over the interval, and yet made a few at a time.
func TestProbesAreMadeTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var backends []Backend
		at := map[time.Duration]int{}
		last := map[string]time.Time{}
		began := time.Now()
		for i := range 500 {
			name := fmt.Sprint(i)
			backends = append(backends, Backend{Name: name, Probe: func(ctx context.Context) error {
				if ctx.Err() != nil {
					return ctx.Err() // of the end of the test
				}
				mu.Lock()
				defer mu.Unlock()
				now := time.Now()
				at[now.Sub(began)]++
				if before, again := last[name]; again {
					if d := now.Sub(before); d < 26*time.Second || d > 33*time.Second {
						t.Errorf("%s was probed again after %s", name, d)
					}
				}
				last[name] = now
				return nil
			}})
		}
		m := New(Options{}, backends, nil)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		m.Run(ctx)
		mu.Lock()
		defer mu.Unlock()
		most := 0
		for d, n := range at {
			if d%slots != 0 {
				t.Errorf("%d probes %s after the start, between two common times", n, d)
			}
			if d > 2*time.Minute {
				most = max(most, n)
			}
		}
		if most > 100 {
			t.Errorf("%d of 500 probes at once: they are not spread", most)
		}
	})
}
