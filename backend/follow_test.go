package backend_test

import (
	"encoding/json"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/backendtest"
	"github.com/recloser-mcp/recloser/wire"
)

// Some servers ask their client on the standing stream while a call runs. What
// they ask before it is there is lost, and the call hangs.
func TestTheFirstCallsOfASessionWaitForItsStandingStream(t *testing.T) {
	get := func(f backendtest.Fault) []backendtest.Option {
		return []backendtest.Option{backendtest.WithFault(f.ForMethod(backendtest.MethodGet))}
	}
	for _, c := range []struct {
		what   string
		server []backendtest.Option
		follow bool
		waits  time.Duration
		later  time.Duration // what a call waits that begins when the first two are over
		gets   int           // until then
	}{
		{"there after a while", get(backendtest.Latency(300 * time.Millisecond)), true, 300 * time.Millisecond, 0, 1},
		{"there at once", nil, true, 0, 0, 1},
		{"never answered", get(backendtest.Hang(backendtest.Forever)), true, time.Second, 0, 1},
		{"not offered", get(backendtest.Status(405, backendtest.Forever)), true, 0, 0, 1},
		{"out of order", get(backendtest.Status(503, backendtest.Forever)), true, 0, 0, 1},
		{"not wanted", get(backendtest.Hang(backendtest.Forever)), false, 0, 0, 0},
	} {
		t.Run(c.what, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, fixed(), rich(append(c.server, backendtest.WithRevision(elder))...))
				s := r.c.NewSession(backend.SessionOptions{
					Capabilities: json.RawMessage(`{"elicitation":{}}`),
					Message:      func(*wire.Envelope, []byte) {},
				})
				if c.follow {
					s.Follow()
				}
				call := func(id string) time.Duration {
					began := time.Now()
					if _, err := r.do(t.Context(), &backend.Request{ID: []byte(id), Session: s}); err != nil {
						t.Error(err)
					}
					return time.Since(began)
				}
				var wg sync.WaitGroup
				for _, id := range []string{"1", "2"} {
					wg.Go(func() { want(t, "wait of call "+id, call(id), c.waits) })
				}
				wg.Wait()
				want(t, "streams asked for", r.srv.Requests(backendtest.MethodGet), c.gets)
				want(t, "wait of a later call", call("3"), c.later)
				want(t, "executions", r.srv.Executions("echo"), 3)
				want(t, "sessions", r.srv.Sessions(), 1)
				if err := s.Close(t.Context()); err != nil {
					t.Error(err)
				}
				synctest.Wait()
			})
		})
	}
}
