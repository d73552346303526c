package session_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/recloser-mcp/recloser/session"
	"github.com/recloser-mcp/recloser/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// upstream is a session at a backend that takes its time to close.
type upstream struct {
	closed  *atomic.Int32
	running *atomic.Int32
	most    *atomic.Int32
	hang    bool
}

func (u upstream) Close(ctx context.Context) error {
	if n := u.running.Add(1); n > u.most.Load() {
		u.most.Store(n)
	}
	defer u.running.Add(-1)
	if u.hang {
		<-ctx.Done()
		return ctx.Err()
	}
	select {
	case <-time.After(time.Second):
	case <-ctx.Done():
		return ctx.Err()
	}
	u.closed.Add(1)
	return nil
}

func newUpstream(hang bool) upstream {
	return upstream{new(atomic.Int32), new(atomic.Int32), new(atomic.Int32), hang}
}

func open(t *testing.T, s *session.Store, i session.Info) *session.Session {
	t.Helper()
	sess, err := s.Create(i)
	if err != nil {
		t.Fatal(err)
	}
	return sess
}

func TestIDsAreLongVisibleAndDifferent(t *testing.T) {
	s := session.New(session.Options{})
	defer s.Close(t.Context())
	seen := map[string]bool{}
	for range 100 {
		id := open(t, s, session.Info{}).ID()
		if len(id) < 32 || !wire.ValidSessionID(id) || seen[id] {
			t.Fatalf("bad session id %q", id)
		}
		seen[id] = true
	}
}

func TestASessionIsThereForItsOwnerAtItsScopeOnly(t *testing.T) {
	s := session.New(session.Options{})
	defer s.Close(t.Context())
	sess := open(t, s, session.Info{Owner: "ann", Scope: "files", Revision: wire.Rev20250618})
	for _, c := range []struct {
		id, owner, scope string
		want             bool
	}{
		{sess.ID(), "ann", "files", true},
		{sess.ID(), "bob", "files", false},
		{sess.ID(), "", "files", false},
		{sess.ID(), "ann", "", false},
		{sess.ID(), "ann", "other", false},
		{"nonsense", "ann", "files", false},
		{"", "ann", "files", false},
	} {
		got, ok := s.Get(c.id, c.owner, c.scope)
		if ok != c.want {
			t.Errorf("Get(%q, %q, %q) = %v, want %v", c.id, c.owner, c.scope, ok, c.want)
		}
		if ok {
			if got.Info().Revision != wire.Rev20250618 {
				t.Errorf("revision is %s", got.Info().Revision)
			}
			got.Release()
		}
	}
}

func TestAnIdleSessionExpiresAndABusyOneDoesNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := session.New(session.Options{TTL: 10 * time.Minute})
		idle, busy, used := open(t, s, session.Info{}), open(t, s, session.Info{}), open(t, s, session.Info{})
		idle.Release()
		used.Release()
		time.Sleep(9 * time.Minute)
		if _, ok := s.Get(used.ID(), "", ""); !ok {
			t.Fatal("a session expired before its time")
		}
		used.Release()
		time.Sleep(time.Minute + time.Second)
		if _, ok := s.Get(idle.ID(), "", ""); ok {
			t.Error("an idle session outlived its time to live")
		}
		time.Sleep(2 * time.Minute)
		if n := s.Len(); n != 2 {
			t.Errorf("%d sessions are open, want 2", n)
		}
		<-idle.Done()
		time.Sleep(time.Hour)
		if _, ok := s.Get(busy.ID(), "", ""); !ok {
			t.Error("a session with a stream open expired")
		}
		busy.Release()
		busy.Release()
		time.Sleep(time.Hour)
		if n := s.Len(); n != 0 {
			t.Errorf("%d sessions are open, want 0", n)
		}
		// Nothing runs now: synctest would report a timer or a goroutine left.
	})
}

func TestTheStoreIsBoundedAndMakesRoomOfTheExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := session.New(session.Options{Max: 2, TTL: time.Hour})
		defer s.Close(t.Context())
		a := open(t, s, session.Info{})
		open(t, s, session.Info{})
		if _, err := s.Create(session.Info{}); !errors.Is(err, session.ErrFull) {
			t.Fatalf("Create: %v, want ErrFull", err)
		}
		a.Release()
		time.Sleep(time.Hour + time.Millisecond)
		open(t, s, session.Info{}).Release()
		if n := s.Len(); n != 2 {
			t.Errorf("%d sessions are open, want 2", n)
		}
	})
}

func TestUpstreamsOpenOnceAndCloseInTheBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := session.New(session.Options{})
		sess := open(t, s, session.Info{})
		u, opened := newUpstream(false), 0
		for range 3 {
			for _, name := range []string{"a", "b"} {
				_, ok := sess.Upstream(name, func() session.Upstream { opened++; return u })
				if !ok {
					t.Fatal("no upstream")
				}
			}
		}
		if opened != 2 {
			t.Errorf("%d sessions at backends were opened, want 2", opened)
		}
		start := time.Now()
		s.End(sess)
		s.End(sess)
		if took := time.Since(start); took != 0 {
			t.Errorf("End took %s, want it not to wait for a backend", took)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if n := u.closed.Load(); n != 2 {
			t.Errorf("%d sessions at backends were closed, want 2", n)
		}
		if _, ok := sess.Upstream("c", func() session.Upstream { panic("opened") }); ok {
			t.Error("an ended session opened a session at a backend")
		}
	})
}

func TestClosingIsBoundedInNumberAndTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := session.New(session.Options{})
		u := newUpstream(true)
		for i := range 40 {
			sess := open(t, s, session.Info{})
			sess.Upstream(fmt.Sprint(i), func() session.Upstream { return u })
		}
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Error(err)
		}
		if most := u.most.Load(); most != 8 {
			t.Errorf("%d closes ran at a time, want 8", most)
		}
		if took := time.Since(start); took != 25*time.Second {
			t.Errorf("closing took %s, want 25s: 5 rounds of 5s", took)
		}
	})
}

func TestCloseGivesUpWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := session.New(session.Options{})
		u := newUpstream(true)
		for i := range 40 {
			sess := open(t, s, session.Info{})
			sess.Upstream(fmt.Sprint(i), func() session.Upstream { return u })
		}
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close: %v, want the context's error", err)
		}
		if took := time.Since(start); took != time.Second {
			t.Errorf("Close took %s, want 1s", took)
		}
		if n := u.running.Load(); n != 0 {
			t.Errorf("%d closes still run", n)
		}
		if _, err := s.Create(session.Info{}); !errors.Is(err, session.ErrClosed) {
			t.Errorf("Create: %v, want ErrClosed", err)
		}
	})
}

func TestCallsInFlightAreCancelledById(t *testing.T) {
	s := session.New(session.Options{})
	defer s.Close(t.Context())
	sess := open(t, s, session.Info{})
	var cancelled []string
	note := func(name string) context.CancelFunc {
		return func() { cancelled = append(cancelled, name) }
	}
	if !sess.Begin([]byte(`1`), note("one")) || !sess.Begin([]byte(`"1"`), note("text")) || !sess.Begin([]byte(`2`), note("two")) {
		t.Fatal("a call was refused")
	}
	if sess.Begin([]byte(`1`), note("again")) {
		t.Error("two calls in flight have one id")
	}
	if !sess.Cancel([]byte(`1`)) || sess.Cancel([]byte(`3`)) {
		t.Error("Cancel does not tell whether there was a call")
	}
	sess.Finish([]byte(`1`))
	sess.Finish([]byte(`2`))
	if sess.Cancel([]byte(`2`)) {
		t.Error("a finished call was cancelled")
	}
	s.End(sess)
	if diff := cmp.Diff([]string{"one", "text"}, cancelled); diff != "" {
		t.Error(diff)
	}
	if sess.Begin([]byte(`4`), note("late")) {
		t.Error("an ended session began a call")
	}
}

func TestMessagesWaitForAStreamAndGoToOneOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := session.New(session.Options{})
		defer s.Close(t.Context())
		sess := open(t, s, session.Info{})
		sess.Push(session.Message{Key: "tools", Data: []byte("t")})
		sess.Push(session.Message{Key: "tools", Data: []byte("t")})
		sess.Push(session.Message{Key: "prompts", Data: []byte("p")})
		sess.Push(session.Message{Data: []byte("1")})
		sess.Push(session.Message{Data: []byte("1")})

		var mu sync.Mutex
		var got []string
		for range 3 { // streams
			go func() {
				for {
					if m, ok := sess.Pop(); ok {
						mu.Lock()
						got = append(got, string(m.Data))
						mu.Unlock()
						continue
					}
					select {
					case <-sess.Wake():
					case <-sess.Done():
						return
					}
				}
			}()
		}
		synctest.Wait()
		sess.Push(session.Message{Key: "tools", Data: []byte("t")})
		synctest.Wait()
		s.End(sess)
		synctest.Wait()
		slices.Sort(got)
		if diff := cmp.Diff([]string{"1", "1", "p", "t", "t"}, got); diff != "" {
			t.Error(diff)
		}
	})
}

func TestWaitingMessagesAndStreamsAreBounded(t *testing.T) {
	s := session.New(session.Options{})
	defer s.Close(t.Context())
	sess := open(t, s, session.Info{})
	pushed := 0
	for range 1000 {
		if sess.Push(session.Message{Data: []byte("x")}) {
			pushed++
		}
	}
	if pushed != 256 {
		t.Errorf("%d messages wait, want 256", pushed)
	}
	streams := 0
	for range 10 {
		if sess.OpenStream() {
			streams++
		}
	}
	if streams != 4 {
		t.Errorf("%d streams opened, want 4", streams)
	}
	sess.CloseStream()
	if !sess.OpenStream() {
		t.Error("the place of a closed stream is not free")
	}
	s.End(sess)
	sess.CloseStream()
	if sess.OpenStream() {
		t.Error("an ended session opened a stream")
	}
}

func TestEachMeetsEverySession(t *testing.T) {
	s := session.New(session.Options{})
	defer s.Close(t.Context())
	want := map[string]bool{}
	for range 5 {
		want[open(t, s, session.Info{}).ID()] = true
	}
	got := map[string]bool{}
	s.Each(func(sess *session.Session) {
		got[sess.ID()] = true
		s.Len() // the store is not locked meanwhile
	})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestValidate(t *testing.T) {
	for _, c := range []struct {
		o    session.Options
		want string
	}{
		{session.Options{}, ""},
		{session.Options{Store: "memory", TTL: time.Hour, Max: 5}, ""},
		{session.Options{Store: "disk"}, `store is "disk": use "memory"`},
		{session.Options{TTL: time.Millisecond}, "ttl is 1ms: use 1s or more"},
		{session.Options{TTL: -1, Max: -1}, "ttl is -1ns: use 1s or more\nthe number of sessions is -1: use 1 or more"},
	} {
		got := ""
		if err := c.o.Validate(); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("Validate(%+v) = %q, want %q", c.o, got, c.want)
		}
	}
}
