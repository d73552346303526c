package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/recloser-mcp/recloser/admin"
	"github.com/recloser-mcp/recloser/status"
)

// troubled is a gateway with one backend in each state.
func troubled(now time.Time) *status.Status {
	return &status.Status{Phase: status.PhaseDegraded, Headline: "2 of 4 backends need you", Backends: []status.Backend{
		{Name: "clock", Status: status.BackendStatusReady, Reason: status.ReasonOK, Since: now.Add(-26 * time.Hour), Tools: 3,
			Counters: status.Counters{Calls: 1234, SavedByRenewal: 7}, Latency: status.Latency{P95: status.Duration(12 * time.Millisecond)},
			Credential: status.Credential{Type: "client_credentials", Generation: 3, Expires: now.Add(5*time.Minute + 3*time.Second)}},
		{Name: "new", Status: status.BackendStatusUnknown, Reason: status.ReasonConnecting, Message: "It has not answered.", Credential: status.Credential{Type: "bearer"}},
		{Name: "slow", Status: status.BackendStatusDegraded, Reason: status.ReasonTimeout, Since: now.Add(-90 * time.Second), Message: "It is slow.", Fix: "Look."},
		{Name: "vault", Status: status.BackendStatusUnavailable, Reason: status.ReasonAuthRefused, Since: now.Add(-3 * time.Hour), Message: "It refuses.",
			Credential: status.Credential{Type: "bearer", Generation: 1, Expires: now.Add(-time.Minute)}, Affected: 4,
			Breaker: status.Breaker{State: status.BreakerOpen, NextProbe: now.Add(20 * time.Second)}},
	}}
}

func TestStatusIsDense(t *testing.T) {
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	v := &view{screen: &screen{}}
	st := troubled(now)
	shown, err := v.chosen(st)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	v.render(&b, st, shown, now)
	const want = `2 of 4 backends need you

   BACKEND  STATUS       REASON          FOR  CREDENTIAL                      CALLS  SAVED   P95  TOOLS
✗  vault    unavailable  auth_refused  3h00m  bearer, expired 1m00s ago           0      0     -      0
▲  slow     degraded     timeout       1m30s  none                                0      0     -      0
○  new      unknown      connecting        -  bearer, none yet                    0      0     -      0
●  clock    ready        ok            1d02h  client_credentials, 5m03s left   1234      7  12ms      3

✗ vault: unavailable / auth_refused since 2026-03-04T02:06:07Z (3h00m)
  what    It refuses.
  next    the breaker lets one call try it in 20s
  calls   4 failed since then

▲ slow: degraded / timeout since 2026-03-04T05:04:37Z (1m30s)
  what    It is slow.
  fix     Look.

○ new: unknown / connecting
  what    It has not answered.
`
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// However narrow a terminal is, name, status and reason are there, and no line is
// too long for it.
func TestStatusFitsTheTerminal(t *testing.T) {
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	for width := 40; width <= 120; width++ {
		v := &view{screen: &screen{terminal: true, width: width}}
		st := troubled(now)
		st.Backends[3].Message = strings.Repeat("many words ", 30)
		shown, _ := v.chosen(st)
		var b strings.Builder
		v.render(&b, st, shown, now)
		for i, line := range strings.Split(b.String(), "\n") {
			if n := utf8.RuneCountInString(line); n > width && !strings.Contains(line, " / ") {
				t.Errorf("at %d line %d has %d characters: %s", width, i, n, line)
			}
		}
		if !strings.Contains(b.String(), "✗  vault    unavailable  auth_refused") {
			t.Errorf("at %d the table says less than it must:\n%s", width, b.String())
		}
		if wide := strings.Contains(b.String(), "CREDENTIAL"); wide != (width >= 83) {
			t.Errorf("at %d the credential is shown: %t", width, wide)
		}
	}
}

func TestSpansAreShort(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 0: "0s", 59900 * time.Millisecond: "59s", time.Minute: "1m00s", time.Hour + 61*time.Second: "1h01m", 49*time.Hour + time.Minute: "2d01h",
	} {
		if got := span(d); got != want {
			t.Errorf("%s is %s, want %s", d, got, want)
		}
	}
}

// changing is a gateway whose status a test changes.
type changing struct {
	*httptest.Server
	mu     sync.Mutex
	now    *status.Status
	events chan struct{}
}

func newChanging(t *testing.T, st *status.Status) *changing {
	g := &changing{now: st, events: make(chan struct{})}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/v1/status" {
			g.mu.Lock()
			defer g.mu.Unlock()
			_ = json.NewEncoder(w).Encode(g.now)
			return
		}
		w.(http.Flusher).Flush()
		for {
			select {
			case <-r.Context().Done():
				return
			case _, open := <-g.events:
				if !open {
					return
				}
				_, _ = io.WriteString(w, "event: status\ndata: {}\n\n")
				w.(http.Flusher).Flush()
			}
		}
	}))
	t.Cleanup(g.Close)
	return g
}

// become changes the status and tells of it.
func (g *changing) become(change func(*status.Status)) {
	g.mu.Lock()
	change(g.now)
	g.mu.Unlock()
	g.events <- struct{}{}
}

// said collects what is printed, and tells of each print.
type said struct {
	mu    sync.Mutex
	text  bytes.Buffer
	print chan struct{}
}

func newSaid() *said { return &said{print: make(chan struct{}, 1)} }

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() {
		select {
		case s.print <- struct{}{}:
		default:
		}
	}()
	return s.text.Write(p)
}

// await waits until a text was printed, and returns everything before it.
func (s *said) await(t *testing.T, text string) string {
	t.Helper()
	for {
		s.mu.Lock()
		all := s.text.String()
		s.mu.Unlock()
		if before, _, ok := strings.Cut(all, text); ok {
			return before
		}
		select {
		case <-s.print:
		case <-t.Context().Done():
			t.Fatalf("never printed %q:\n%s", text, all)
		}
	}
}

// watchIt runs status -w and returns what stops it.
func watchIt(t *testing.T, g *changing, v *view, errOut io.Writer) (stop func() error) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- v.watch(ctx, &admin.Client{URL: g.URL}, errOut) }()
	stop = func() error { cancel(); return <-done }
	t.Cleanup(cancel)
	return stop
}

// Elsewhere than on a terminal status -w prints the whole and then a line for each
// change, and says when the gateway is gone and when it is back.
func TestStatusWatchPrintsChanges(t *testing.T) {
	st := troubled(time.Now())
	g := newChanging(t, st)
	out, errOut := newSaid(), newSaid()
	stop := watchIt(t, g, &view{screen: &screen{Writer: out}}, errOut)
	out.await(t, "It has not answered.\n\n")
	g.become(func(st *status.Status) {
		st.Backends[3].Status, st.Backends[3].Reason, st.Backends[3].Message = status.BackendStatusReady, status.ReasonOK, "It answers."
	})
	out.await(t, "● vault: ready / ok: It answers.\n")
	g.become(func(st *status.Status) { st.Backends[0].Counters.Calls++ }) // nothing to tell
	g.become(func(st *status.Status) { st.Phase, st.Headline = status.PhaseReady, "all is well" })
	before := out.await(t, " the gateway is Ready: all is well\n")
	if n := strings.Count(before, "\n"); strings.Count(before, "clock") != 1 || n == 0 {
		t.Errorf("told of a change that is none:\n%s", before)
	}
	close(g.events) // the stream breaks
	errOut.await(t, "asking again until it answers\n")
	errOut.await(t, "the gateway answers again\n")
	if err := stop(); err != nil {
		t.Errorf("ended with %v", err)
	}
}

// On a terminal the picture is drawn anew in its place.
func TestStatusWatchDrawsInPlace(t *testing.T) {
	g := newChanging(t, troubled(time.Now()))
	out := newSaid()
	stop := watchIt(t, g, &view{screen: &screen{Writer: out, terminal: true, width: 120}}, io.Discard)
	out.await(t, "\x1b[2J")
	g.become(func(st *status.Status) { st.Headline = "all is well" })
	before := out.await(t, "\x1b[Hall is well\x1b[K\n")
	if strings.Count(before, "\x1b[2J") != 1 || !strings.Contains(before, "\x1b[H2 of 4 backends need you\x1b[K\n") {
		t.Errorf("drawn was %q", before)
	}
	if err := stop(); err != nil {
		t.Errorf("ended with %v", err)
	}
}

func TestStatusWatchEndsWhenTheTokenDoes(t *testing.T) {
	g := &fakeGateway{Token: "t"}
	s := httptest.NewServer(g)
	defer s.Close()
	err := (&view{screen: &screen{Writer: io.Discard}}).watch(t.Context(), &admin.Client{URL: s.URL}, io.Discard)
	var e *exitError
	if !errors.As(err, &e) || e.code != exitAuthentication {
		t.Errorf("ended with %v", err)
	}
}
