package auth_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/recloser-mcp/recloser/auth"
)

// gated is a fetcher whose nth fetch ends when the test says so.
func gated(results ...func(n int) (auth.Material, error)) (*fetcher, []chan struct{}) {
	gates := make([]chan struct{}, len(results))
	for i := range gates {
		gates[i] = make(chan struct{})
	}
	return &fetcher{do: func(ctx context.Context, n int) (auth.Material, error) {
		select {
		case <-gates[n-1]:
			return results[n-1](n)
		case <-ctx.Done():
			return auth.Material{}, ctx.Err()
		}
	}}, gates
}

func gives(life time.Duration) func(int) (auth.Material, error) {
	return func(n int) (auth.Material, error) { return token(n, life), nil }
}

func refuses(err error) func(int) (auth.Material, error) {
	return func(int) (auth.Material, error) { return auth.Material{}, err }
}

func TestRotationVoidsARenewalUnderWay(t *testing.T) {
	for name, overtaken := range map[string]func(int) (auth.Material, error){
		"new": gives(0), "permanent": refuses(errDenied), "passing": refuses(errDown),
	} {
		synctest.Test(t, func(t *testing.T) {
			f, gate := gated(gives(0), overtaken, gives(0))
			s := bubble(t, f)
			var events []auth.Event
			s.Watch(func(e auth.Event) { events = append(events, e) })
			close(gate[0])
			renew(t, s, 0, auth.New)

			var wg sync.WaitGroup
			wg.Go(func() { renew(t, s, 1, auth.New) })
			synctest.Wait()
			f.want(t, 2)
			for range 5 { // however many rotations: one fetch follows
				wg.Go(func() {
					if o, err := s.Rotate(t.Context()); o != auth.New || err != nil {
						t.Errorf("Rotate: %v %v", o, err)
					}
				})
			}
			synctest.Wait()
			f.want(t, 2) // one at a time
			close(gate[1])
			synctest.Wait()
			f.want(t, 3)
			generation(t, s, 1) // the overtaken result is not published
			close(gate[2])
			wg.Wait()

			c := generation(t, s, 2)
			if c.Rotation() != 1 {
				t.Errorf("%s: rotation %d", name, c.Rotation())
			}
			h := http.Header{}
			c.Apply(h)
			if got := h.Get("Authorization"); got != "Bearer token-3" {
				t.Errorf("%s: published %s", name, got)
			}
			renew(t, s, 1, auth.New)
			f.want(t, 3)
			if len(events) != 2 || events[1].Kind != auth.Rotated || events[1].Generation != 2 {
				t.Errorf("%s: events %+v", name, events)
			}
			if f.together() != 1 {
				t.Errorf("%d fetches at once", f.together())
			}
		})
	}
}

func TestRotationEndsAPermanentAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := mint(0)
		s := bubble(t, f)
		renew(t, s, 0, auth.New)
		f.set(fails(errDenied))
		renew(t, s, 1, auth.Permanent)
		f.set(mint(0).do)
		if o, err := s.Rotate(t.Context()); o != auth.New || err != nil {
			t.Fatal(o, err)
		}
		renew(t, s, 2, auth.New)
		if c := generation(t, s, 3); c.Rotation() != 1 { // our own renewals are none
			t.Errorf("rotation %d", c.Rotation())
		}
	})
}

// After a change the client may be mended soon: the patience starts anew.
func TestRotationStartsPatienceAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fetcher{do: fails(errDenied)}
		s := bubble(t, f)
		for range 6 {
			renew(t, s, 0, auth.Permanent)
			time.Sleep(5 * time.Minute)
		}
		if o, _ := s.Rotate(t.Context()); o != auth.Permanent {
			t.Fatal(o)
		}
		n := f.count()
		time.Sleep(29 * time.Second)
		renew(t, s, 0, auth.Permanent)
		f.want(t, n)
		time.Sleep(time.Second)
		renew(t, s, 0, auth.Permanent)
		f.want(t, n+1)
	})
}

func TestFailedRotationStaysARotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := mint(0)
		s := bubble(t, f)
		renew(t, s, 0, auth.New)
		f.set(fails(errDown))
		if o, err := s.Rotate(t.Context()); o != auth.Passing || !errors.Is(err, errDown) {
			t.Fatal(o, err)
		}
		generation(t, s, 1) // the old credential may still be good
		f.set(mint(0).do)
		use(s, 31*time.Second, time.Second)
		if c := generation(t, s, 2); c.Rotation() != 1 {
			t.Errorf("rotation %d", c.Rotation())
		}
		f.want(t, 3)
	})
}

func TestRotationWithEqualBytesIsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fetcher{do: func(context.Context, int) (auth.Material, error) { return fixed(1), nil }}
		s := bubble(t, f)
		renew(t, s, 0, auth.New)
		if o, err := s.Rotate(t.Context()); o != auth.Same || err != nil {
			t.Fatal(o, err)
		}
		if c := generation(t, s, 1); c.Rotation() != 0 {
			t.Errorf("rotation %d", c.Rotation())
		}
	})
}

func TestRotateLeavesWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := slow(mint(0), 5*time.Second)
		s := bubble(t, f)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if o, err := s.Rotate(ctx); o != auth.Passing || !errors.Is(err, context.DeadlineExceeded) {
			t.Error(o, err)
		}
		time.Sleep(5 * time.Second)
		generation(t, s, 1)
	})
}

func TestListenersHearInOrderBeforeWaitersGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := slow(mint(0), time.Second)
		s := bubble(t, f)
		var heard []uint64
		var returned bool
		stop := s.Watch(func(e auth.Event) {
			if returned {
				t.Error("a waiter went on first")
			}
			if c, ok := s.Current(); !ok || c.Generation() != e.Generation { // not under the lock, and published
				t.Error("not published yet")
			}
			_ = s.Facts()
			time.Sleep(100 * time.Millisecond)
			heard = append(heard, e.Generation)
		})
		for g := range uint64(3) {
			returned = false
			renew(t, s, g, auth.New)
			returned = true
		}
		if diff := cmp.Diff([]uint64{1, 2, 3}, heard); diff != "" {
			t.Error(diff)
		}
		stop()
		stop()
		time.Sleep(time.Second)
		renew(t, s, 3, auth.New)
		if len(heard) != 3 {
			t.Error("heard after stop")
		}
	})
}

// A caller that joins while listeners still run brings back the very generation
// that was published: it needs another one.
func TestRefusalDuringAnnouncementRenewsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := mint(0)
		s := bubble(t, f)
		s.Watch(func(auth.Event) { time.Sleep(time.Second) })
		go func() { _, _ = s.Renew(t.Context(), 0, false) }()
		synctest.Wait()
		generation(t, s, 1)
		renew(t, s, 1, auth.New)
		f.want(t, 2)
	})
}

func TestEventsTellWhatHappened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := slow(mint(time.Hour), time.Second)
		s := bubble(t, f)
		var got []auth.Event
		s.Watch(func(e auth.Event) { got = append(got, e) })
		start := time.Now()
		renew(t, s, 0, auth.New)
		f.set(fails(errDown))
		renew(t, s, 1, auth.Passing)
		f.set(fails(errDenied))
		renew(t, s, 1, auth.Permanent)
		f.set(mint(time.Hour).do)
		_, _ = s.Rotate(t.Context())
		at := start.Add(time.Second)
		want := []auth.Event{
			{Kind: auth.Renewed, Generation: 1, Outcome: auth.New, At: at, Took: time.Second},
			{Kind: auth.Failed, Generation: 1, Outcome: auth.Passing, At: at, Err: errDown},
			{Kind: auth.Failed, Generation: 1, Outcome: auth.Permanent, At: at, Err: errDenied},
			{Kind: auth.Rotated, Generation: 2, Outcome: auth.New, At: at},
		}
		if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b error) bool { return a == b })); diff != "" {
			t.Error(diff)
		}
	})
}

func TestCloseLeavesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := goleak.IgnoreCurrent()
		f, gate := gated(gives(time.Hour), gives(time.Hour), gives(time.Hour))
		s := auth.NewSource("test", f, auth.SourceOptions{})
		close(gate[0])
		renew(t, s, 0, auth.New)
		s.Watch(func(e auth.Event) { t.Errorf("heard %+v", e) })
		closed := func(o auth.Outcome, err error) {
			if o != auth.Passing || !errors.Is(err, auth.ErrClosed) {
				t.Errorf("%v %v", o, err)
			}
		}
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() { closed(s.Renew(t.Context(), 1, false)) })
		}
		synctest.Wait()
		wg.Go(func() { closed(s.Rotate(t.Context())) })
		synctest.Wait()
		start := time.Now()
		s.Close()
		s.Close()
		wg.Wait()
		if took := time.Since(start); took != 0 {
			t.Errorf("took %v", took)
		}
		generation(t, s, 0)
		closed(s.Renew(t.Context(), 0, false))
		closed(s.Rotate(t.Context()))
		if auth.Armed(s) {
			t.Error("a timer runs")
		}
		if err := goleak.Find(before); err != nil {
			t.Error(err)
		}
		f.want(t, 2)
		if s.Facts().Generation != 1 {
			t.Error("facts are gone")
		}
	})
}

// durable is a strategy that redeems a rotating refresh token: cut off after the
// request was sent, it would lose the answer, and with it the grant.
type durable struct {
	*fetcher
	stored int
}

func (d *durable) Durable() bool { return true }

func (d *durable) Fetch(ctx context.Context) (auth.Material, error) {
	m, err := d.fetcher.Fetch(ctx)
	if err == nil {
		d.stored++
	}
	return m, err
}

func TestRotatingRenewalOutlivesCallersAndClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &durable{fetcher: slow(mint(0), 5*time.Second)}
		s := bubble(t, d)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if o, _ := s.Renew(ctx, 0, false); o != auth.Passing {
			t.Fatal(o)
		}
		s.Close()
		if d.stored != 1 || d.count() != 1 {
			t.Errorf("stored %d of %d", d.stored, d.count())
		}
	})
}

func TestFactsHoldNoValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := mint(time.Hour)
		s := bubble(t, f)
		b, err := json.Marshal(s.Facts())
		if err != nil || string(b) != `{"type":"test","generation":0,"renewable":false}` {
			t.Errorf("%s %v", b, err)
		}
		renew(t, s, 0, auth.New)
		now := time.Now()
		want := auth.Facts{Type: "test", Generation: 1, Issued: now, Expires: now.Add(time.Hour), Renewable: true,
			LastRenewal: auth.LastRenewal{At: now, Outcome: auth.New}}
		if diff := cmp.Diff(want, s.Facts()); diff != "" {
			t.Error(diff)
		}
		b, err = json.Marshal(s.Facts())
		if want := `{"type":"test","generation":1,"issued":"2000-01-01T00:00:00Z","expires":"2000-01-01T01:00:00Z","renewable":true,"lastRenewal":{"at":"2000-01-01T00:00:00Z","outcome":"new"}}`; err != nil || string(b) != want {
			t.Errorf("%s %v", b, err)
		}
	})
}

func TestCurrentAllocatesNothing(t *testing.T) {
	s := auth.NewSource("test", mint(time.Hour), auth.SourceOptions{})
	defer s.Close()
	renew(t, s, 0, auth.New)
	h := http.Header{}
	c, _ := s.Current()
	c.Apply(h)
	if n := testing.AllocsPerRun(1000, func() {
		c, _ := s.Current()
		c.Apply(h)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkCurrent(b *testing.B) {
	s := auth.NewSource("test", mint(time.Hour), auth.SourceOptions{})
	defer s.Close()
	if o, err := s.Renew(b.Context(), 0, false); o != auth.New {
		b.Fatal(o, err)
	}
	b.Run("alone", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, ok := s.Current(); !ok {
				b.Fatal("no credential")
			}
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				_, _ = s.Current()
			}
		})
	})
	b.Run("apply", func(b *testing.B) {
		b.ReportAllocs()
		h := http.Header{}
		for b.Loop() {
			c, _ := s.Current()
			c.Apply(h)
		}
	})
}
