package health

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// run starts a monitor over one scripted backend in virtual time.
func run(t *testing.T, o Options, probe func(context.Context) error, test func(*Monitor)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m := New(o, []Backend{{Name: "a", Probe: probe}}, nil)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); m.Run(ctx) }()
		test(m)
		cancel()
		<-done
	})
}

func TestProbesAtOnceThenEveryInterval(t *testing.T) {
	var n atomic.Int64
	run(t, Options{}, func(context.Context) error { n.Add(1); return nil }, func(m *Monitor) {
		synctest.Wait()
		if n.Load() != 1 || !m.Verdict("a").Asked {
			t.Fatalf("after start: %d probes, verdict %+v", n.Load(), m.Verdict("a"))
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if got := n.Load(); got < 18 || got > 23 {
			t.Fatalf("%d probes in 10 minutes at an interval of 30 s", got)
		}
	})
}

func TestFailuresCountInARowAndASuccessClearsThem(t *testing.T) {
	var fail atomic.Bool
	fail.Store(true)
	boom := errors.New("boom")
	probe := func(context.Context) error {
		if fail.Load() {
			return boom
		}
		return nil
	}
	run(t, Options{Interval: time.Second}, probe, func(m *Monitor) {
		for want := 1; want <= 3; want++ {
			synctest.Wait()
			v := m.Verdict("a")
			if v.Failures != want || !errors.Is(v.Err, boom) {
				t.Fatalf("verdict %+v, want %d failures", v, want)
			}
			time.Sleep(time.Until(v.Next))
		}
		fail.Store(false)
		m.Kick("a")
		synctest.Wait()
		if v := m.Verdict("a"); v.Failures != 0 || v.Err != nil {
			t.Fatalf("after a success: %+v", v)
		}
	})
}

func TestKickProbesNowAndManyKicksAreOne(t *testing.T) {
	var n atomic.Int64
	run(t, Options{Interval: time.Hour}, func(context.Context) error {
		n.Add(1)
		time.Sleep(time.Second)
		return nil
	}, func(m *Monitor) {
		for range 20 {
			m.Kick("a")
		}
		m.Kick("nobody")
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if n.Load() != 2 {
			t.Fatalf("%d probes, want the first and one for all kicks", n.Load())
		}
	})
}

func TestAHungProbeEndsAtItsTimeout(t *testing.T) {
	run(t, Options{Interval: time.Hour, Timeout: 3 * time.Second}, func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	}, func(m *Monitor) {
		time.Sleep(3 * time.Second)
		synctest.Wait()
		v := m.Verdict("a")
		if v.Failures != 1 || !errors.Is(v.Err, context.DeadlineExceeded) || v.Took != 3*time.Second {
			t.Fatalf("verdict %+v", v)
		}
	})
}

func TestOneHungBackendDelaysNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int64
		m := New(Options{Interval: time.Second}, []Backend{
			{Name: "hung", Probe: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }},
			{Name: "fine", Probe: func(context.Context) error { n.Add(1); return nil }},
		}, nil)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); m.Run(ctx) }()
		time.Sleep(8 * time.Second)
		synctest.Wait()
		if n.Load() < 7 {
			t.Fatalf("%d probes of the neighbor in 8 s", n.Load())
		}
		cancel()
		<-done
	})
}

func TestValidate(t *testing.T) {
	for _, o := range []Options{{Interval: -1}, {Interval: time.Millisecond}, {Timeout: -1}, {UnavailableAfter: -1}} {
		if o.Validate() == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
	if err := (Options{}).Validate(); err != nil {
		t.Error(err)
	}
}
