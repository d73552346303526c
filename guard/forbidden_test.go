package guard_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/recloser-mcp/recloser/guard"
)

// TestF27RenewableCredential: whatever the forced renewal brings, one tool's 403
// opens nothing, and there is one such renewal a minute at most.
func TestF27RenewableCredential(t *testing.T) {
	for name, every := range map[string]time.Duration{"others are busy": 30 * ms, "others are rare": 10 * time.Second} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBench(guard.Options{}, always(guard.Newer))
				ctx, cancel := context.WithCancel(t.Context())
				b.do(ctx, guard.Call, says(guard.Accepted))
				b.wg.Go(func() {
					for ctx.Err() == nil {
						time.Sleep(every)
						wantAnswer(t, b.do(ctx, guard.Call, says(guard.Accepted)))
					}
				})
				for n := range 100 {
					o := b.do(t.Context(), guard.Call, says(guard.Denied))
					b.wantReason(t, o, guard.Forbade)
					want(t, "sends", b.starts(o), []time.Duration{0, 100 * ms, 300 * ms, 700 * ms})
					if most := 1 + n*710/60000; len(b.src.renewed()) > most {
						t.Fatalf("%d renewals in %d calls, want %d at most", len(b.src.renewed()), n+1, most)
					}
					want(t, "state", b.g.State(), guard.State{})
					time.Sleep(10 * ms)
				}
				cancel()
				b.wg.Wait()
				want(t, "transitions", len(b.phases()), 0)
			})
		})
	}
}

// TestForbiddenEndsEarly: the private waits end with the context, with Close and
// with the breaker.
func TestForbiddenEndsEarly(t *testing.T) {
	for _, tt := range []struct {
		name  string
		limit time.Duration
		meet  func(t *testing.T, b *bench)
		sends int
		end   time.Duration
		is    error
	}{
		{"its context ends", 150 * ms, func(*testing.T, *bench) {}, 2, 150 * ms, context.DeadlineExceeded},
		{"the guard closes", time.Hour, func(_ *testing.T, b *bench) { time.Sleep(150 * ms); b.g.Close() }, 2, 150 * ms, guard.ErrClosed},
		{"the breaker opens", time.Hour, func(t *testing.T, b *bench) {
			b.do(t.Context(), guard.Call, says(guard.Invalid))
		}, 1, 100 * ms, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBench(guard.Options{OpenAfter: 1}, always(guard.Same))
				b.do(t.Context(), guard.Call, says(guard.Accepted))
				ctx, cancel := context.WithTimeout(t.Context(), tt.limit)
				defer cancel()
				o := b.start(ctx, guard.Call, says(guard.Denied))
				synctest.Wait()
				tt.meet(t, b)
				b.wg.Wait()
				want(t, "sends", len(b.starts(o)), tt.sends)
				if o.result.Err == nil || o.took() > tt.end {
					t.Errorf("ended with %v after %s", o.result.Err, o.took())
				}
				if tt.is != nil && !errors.Is(o.result.Err, tt.is) {
					t.Errorf("%v is not %v", o.result.Err, tt.is)
				}
			})
		})
	}
}

// TestForbiddenWaitsForNobody: a private retry changes nothing for an episode
// that runs beside it, and its answer ends none.
func TestForbiddenWaitsForNobody(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(guard.Options{}, always(guard.Same))
		b.do(t.Context(), guard.Call, says(guard.Accepted))
		denied := b.start(t.Context(), guard.Call, says(guard.Denied))
		refused := b.start(t.Context(), guard.Call, says(guard.Refused))
		b.wg.Wait()
		b.wantReason(t, denied, guard.Forbade)
		b.wantReason(t, refused, guard.Exhausted)
		for _, o := range []*outcome{denied, refused} {
			want(t, "sends", b.starts(o), []time.Duration{0, 100 * ms, 300 * ms, 700 * ms})
		}
		want(t, "count", b.g.State().Count, 1)
	})
}
