package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"

	"github.com/recloser-mcp/recloser/auth"
	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/guard"
	"github.com/recloser-mcp/recloser/server"
)

// story tells what happens while the demo runs: a line for each event worth one,
// and a table every few seconds.
type story struct {
	out   io.Writer
	quiet bool
	color bool
	began time.Time

	mu       sync.Mutex
	renewals map[string]int           // by backend, renewals after a refusal and ahead of time
	took     map[string]time.Duration // of the last renewal
	halves   map[string]int           // half-openings of a breaker
	opened   map[string]time.Time
	told     map[string]int
}

func newStory(out io.Writer, quiet, color bool) *story {
	return &story{out: out, quiet: quiet, color: color, began: time.Now(), renewals: map[string]int{},
		took: map[string]time.Duration{}, halves: map[string]int{}, opened: map[string]time.Time{}, told: map[string]int{}}
}

// observer hears of what the gateway does.
func (s *story) observer() *server.Observer {
	return &server.Observer{Call: s.call, Renewal: s.renewal, Transition: s.transition}
}

func (s *story) begin(srv *server.Server, _ *world, _ *tally) {
	if s.quiet {
		return
	}
	_, _ = fmt.Fprintf(s.out, "Gateway  http://%[1]s/mcp   (add it to an MCP client and call along)\n"+
		"Console  http://%[2]s/\nStatus   http://%[2]s/api/v1/status   (or `recloser status --admin http://%[2]s`)\n\n"+
		"clock    healthy\nweather  its tokens live %[3]s and are revoked every %[4]s\nvault    lists to everybody, answers 401 to every call\n\n",
		srv.Addr(), srv.AdminAddr(), weatherTTL, weatherRevoke)
}

func (s *story) say(format string, args ...any) {
	if s.quiet {
		return
	}
	_, _ = fmt.Fprintf(s.out, "%6.1fs  %s\n", time.Since(s.began).Seconds(), fmt.Sprintf(format, args...))
}

func (s *story) revoked() { s.say("weather  (its tokens have just been revoked)") }

func (s *story) renewal(name string, e auth.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.Kind == auth.Renewed && e.Generation > 1 {
		s.renewals[name]++
		s.took[name] = e.Took
	}
}

func (s *story) transition(name string, t guard.Transition) {
	s.mu.Lock()
	if t.To == guard.HalfOpen {
		s.halves[name]++
	}
	if t.To == guard.Open && s.opened[name].IsZero() {
		s.opened[name] = t.At
	}
	s.mu.Unlock()
	switch t.To {
	case guard.Open:
		s.say("%-8s breaker open: %d exhausted sequences in a row. Calls are sent once and fail with the reason; next probe in %s",
			name, t.Count, time.Until(t.Until).Round(time.Second))
	case guard.HalfOpen:
		s.say("%-8s cool-down over: one call probes", name)
	case guard.Closed:
		s.say("%-8s breaker closed", name)
	}
}

func (s *story) call(c backend.CallInfo, r backend.CallResult) {
	var e *backend.Error
	switch {
	case r.Err == nil && r.Guard.Attempts > 1 && c.Method == "tools/call":
		s.mu.Lock()
		took := s.took[c.Backend]
		s.mu.Unlock()
		s.say("%-8s 401 invalid_token, renewed in %s, sent again, 200: the client noticed nothing", c.Backend, took.Round(100*time.Microsecond))
	case errors.As(r.Err, &e) && c.Method == "tools/call":
		s.mu.Lock()
		s.told[c.Backend]++
		n := s.told[c.Backend]
		s.mu.Unlock()
		if n <= 6 {
			s.say("%-8s %s after %s: the client is told why, and what to do", c.Backend, e.Kind.Reason(), count(r.Guard.Attempts, "send"))
		}
	}
}

// table prints where things stand, every ten seconds.
func (s *story) table(ctx context.Context, srv *server.Server, w *world, t *tally) {
	if s.quiet {
		return
	}
	tick := time.NewTicker(10 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.print(srv, w, t)
		}
	}
}

func (s *story) print(srv *server.Server, _ *world, t *tally) {
	var b strings.Builder
	st := srv.Status()
	fmt.Fprintf(&b, "\n  %s: %d of %d backends ready, %d tools served\n", st.Phase, st.ReadyBackends, st.BackendCount, st.Tools)
	fmt.Fprintf(&b, "  %-8s %-12s %-14s %6s %6s %7s %6s\n", "BACKEND", "STATUS", "REASON", "CALLS", "SAVED", "ERRORS", "P95")
	for _, row := range st.Backends {
		seen := t.of(row.Name)
		line := fmt.Sprintf("  %-8s %-12s %-14s %6d %6d %7d %6s", row.Name, row.Status, row.Reason,
			seen.calls, row.Counters.SavedByRenewal, seen.calls-seen.answered, row.Latency.P95)
		if s.color {
			line = map[bool]string{true: "\x1b[32m", false: "\x1b[31m"}[row.Status == "ready"] + line + "\x1b[0m"
		}
		b.WriteString(line + "\n")
	}
	_, _ = fmt.Fprintln(s.out, b.String())
}

// errorData returns the data of a JSON-RPC error.
func errorData(err error) []byte {
	var wire *jsonrpc.Error
	if errors.As(err, &wire) {
		return wire.Data
	}
	return nil
}
