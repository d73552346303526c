package backend_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/backendtest"
	"github.com/recloser-mcp/recloser/guard"
	"github.com/recloser-mcp/recloser/wire"
)

// do sends a tools/call through Do and returns what the client would read.
func (r *rig) do(ctx context.Context, q *backend.Request) (string, error) {
	if q.Method == "" {
		q.Method, q.Name = "tools/call", "echo"
		q.Params = []byte(`{"name":"echo","arguments":{"a":1}}`)
	}
	resp, err := r.c.Do(ctx, q)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

func TestSessionsOfClientsAreKeptApart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, nil, rich(backendtest.WithRevision(elder)))
		var sessions []*backend.Session
		for i := range 3 {
			s := r.c.NewSession(backend.SessionOptions{
				ClientInfo: json.RawMessage(fmt.Sprintf(`{"name":"client %d","version":"1"}`, i))})
			sessions = append(sessions, s)
			want(t, "sessions", r.srv.Sessions(), i) // lazy
			for range 3 {
				if _, err := r.do(t.Context(), &backend.Request{ID: []byte("1"), Session: s}); err != nil {
					t.Fatal(err)
				}
			}
			last, _ := r.srv.Last("initialize")
			want(t, "introduces the client", strings.Contains(string(last.Body), fmt.Sprintf("client %d", i)), true)
		}
		want(t, "sessions", r.srv.Sessions(), 3)
		want(t, "probes", r.srv.Requests("server/discover"), 1)
		for _, s := range sessions {
			if err := s.Close(t.Context()); err != nil {
				t.Error(err)
			}
			if err := s.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}
		want(t, "deletes", r.srv.Requests("DELETE"), 3)
		synctest.Wait()
		want(t, "closed", r.srv.SessionsClosed(), 3)
	})
}

func TestSharedIsolationUsesOneSession(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, nil, rich(backendtest.WithRevision(elder)), func(o *backend.Options) { o.Isolation = backend.Shared })
		for range 3 {
			s := r.c.NewSession(backend.SessionOptions{})
			if _, err := r.do(t.Context(), &backend.Request{ID: []byte("1"), Session: s}); err != nil {
				t.Fatal(err)
			}
			if err := s.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		want(t, "sessions", r.srv.Sessions(), 1)
		want(t, "deletes", r.srv.Requests("DELETE"), 0)
	})
}

func TestStatelessBackendHasNoSessions(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, nil, rich(backendtest.WithRevision(modern)))
		s := r.c.NewSession(backend.SessionOptions{})
		if _, err := r.do(t.Context(), &backend.Request{ID: []byte("1"), Session: s}); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		want(t, "initialize", r.srv.Requests("initialize"), 0)
		want(t, "deletes", r.srv.Requests("DELETE"), 0)
	})
}

func TestLostSessionIsOpenedAgainOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, nil, rich(backendtest.WithRevision(elder)))
		r.mustCall()
		executions, sends := r.executions(), r.sends("tools/call")
		r.srv.DropSessions()
		r.mustCall()
		want(t, "executions", executions(), 1)
		want(t, "sends", sends(), 2)
		want(t, "sessions", r.srv.Sessions(), 2)
		want(t, "told", fmt.Sprint(len(r.traced.sessions)), "3") // opened, lost, opened

		// A server that forgets every session at once is not asked a third time.
		r.srv.Inject(backendtest.DropSession(backendtest.Forever).ForMethod("tools/call"))
		sends = r.sends("tools/call")
		e := wantKind(t, r.call(t.Context()), backend.KindProtocolError)
		want(t, "status", e.Status, 404)
		want(t, "sends", sends(), 2)
	})
}

func TestLostSessionIsOpenedOnceForAll(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const callers = 30
		r := newRig(t, nil, rich(backendtest.WithRevision(elder)))
		r.mustCall()
		executions := r.executions()
		r.srv.DropSessions()
		if failed := failures(all(callers, func(int) error { return r.call(t.Context()) })); failed != nil {
			t.Fatal(failed[0])
		}
		want(t, "executions", executions(), callers)
		want(t, "sessions", r.srv.Sessions(), 2)
	})
}

func TestFirstSessionIsOpenedOnceForAll(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const callers = 30
		r := newRig(t, nil, rich(backendtest.WithRevision(elder)))
		if failed := failures(all(callers, func(int) error { return r.call(t.Context()) })); failed != nil {
			t.Fatal(failed[0])
		}
		want(t, "executions", r.srv.Executions(""), callers)
		want(t, "sessions", r.srv.Sessions(), 1)
		want(t, "probes", r.srv.Requests("server/discover"), 1)
	})
}

// A refused handshake is the refusal of the call, and the call's recovery mends
// it, however far it had come.
func TestRefusalInsideTheHandshakeIsTheCallsRefusal(t *testing.T) {
	for _, method := range []string{"server/discover", "initialize", "notifications/initialized"} {
		for _, op := range operations(elder) {
			t.Run(method+"/"+op.name, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					r := newRig(t, minting(), rich(backendtest.WithRevision(elder)))
					r.refuse(method, 1)
					if err := op.run(t.Context(), r.c); err != nil {
						t.Fatal(err)
					}
					want(t, "fetches", r.tokens.count(), 2)
					want(t, "refused", r.srv.Refused(""), 1)
					want(t, method, r.srv.Requests(method), 2)
					want(t, "count", r.c.Facts().Guard.Count, 0)
				})
			})
		}
	}
}

// Requests that were accepted on the way to a refused one are no evidence: the
// backend opens, lists being open or not.
func TestAcceptedHandshakeIsNoEvidence(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, fixed(), rich(backendtest.WithRevision(elder)))
		r.mustCall()
		r.refuse("tools/call", backendtest.Forever)
		for n := range 5 {
			want(t, "count", r.c.Facts().Guard.Count, n)
			r.srv.DropSessions() // so that each call opens a session, successfully
			wantKind(t, r.call(t.Context()), backend.KindAuthRefused)
		}
		want(t, "phase", r.c.Facts().Guard.Phase, guard.Open)
	})
}

// While a call holds the half-open lease it does not wait for a session that
// another call is opening.
func TestProbeOfTheBreakerDoesNotWaitForAnothersHandshake(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, fixed(), rich(backendtest.WithRevision(elder)))
		fault := r.open()
		session := r.c.NewSession(backend.SessionOptions{})
		call := func() error {
			_, err := r.do(t.Context(), &backend.Request{ID: []byte("1"), Session: session})
			return err
		}
		held := r.srv.Inject(backendtest.Hang(1).ForMethod("initialize"))
		stuck := make(chan error, 1)
		go func() { stuck <- call() }()
		synctest.Wait()
		fault.Heal()
		time.Sleep(time.Until(r.c.Facts().Guard.NextProbe))
		took := elapsed()
		if err := call(); err != nil {
			t.Fatal(err)
		}
		want(t, "waited", took(), 0)
		want(t, "phase", r.c.Facts().Guard.Phase, guard.Closed)
		held.Heal()
		if err := <-stuck; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		// The session that was opened beside the other one is ended again.
		want(t, "sessions opened", r.srv.Sessions(), 3)
		want(t, "sessions closed", r.srv.SessionsClosed(), 1)
	})
}

func TestWaiterOpensByItselfWhenTheOpenerLeaves(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, nil, rich(backendtest.WithRevision(elder)))
		held := r.srv.Inject(backendtest.Hang(1).ForMethod("initialize"))
		ctx, cancel := context.WithCancel(t.Context())
		opener, waiter := make(chan error, 1), make(chan error, 1)
		go func() { opener <- r.call(ctx) }()
		synctest.Wait()
		go func() { waiter <- r.call(t.Context()) }()
		synctest.Wait()
		cancel()
		want(t, "opener", errors.Is(<-opener, context.Canceled), true)
		if err := <-waiter; err != nil {
			t.Error(err)
		}
		held.Heal()
	})
}

func TestRevisionIsNegotiatedDown(t *testing.T) {
	for _, revision := range []string{"2025-03-26", "2025-06-18", "2025-11-25"} {
		for name, flavour := range map[string]backendtest.Option{"sdk": backendtest.WithSDK(), "mcp-go": backendtest.WithMCPGo()} {
			t.Run(revision+"/"+name, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					r := newRig(t, nil, rich(flavour, backendtest.WithRevision(revision)))
					r.mustCall()
					want(t, "revision", r.c.Facts().Revision, wire.Revision(revision))
					last, _ := r.srv.Last("tools/call")
					header := revision
					if revision == "2025-03-26" {
						header = "" // it came with 2025-06-18
					}
					want(t, "header", last.Header.Get("Mcp-Protocol-Version"), header)
					want(t, "session", last.Session != "", true)
				})
			})
		}
	}
}

func TestSessionIDsInFlightAreNeverTheSame(t *testing.T) {
	for _, shared := range []bool{false, true} {
		bubble(t, func(t *testing.T) {
			const callers = 20
			r := newRig(t, nil, []backendtest.Option{backendtest.WithRevision(elder),
				backendtest.WithTool("echo", backendtest.Slow(time.Second))})
			var s *backend.Session
			if !shared {
				s = r.c.NewSession(backend.SessionOptions{})
			}
			bodies := make([]string, callers)
			errs := all(callers, func(i int) (err error) {
				bodies[i], err = r.do(t.Context(), &backend.Request{ID: []byte(`"same"`), Session: s})
				return err
			})
			if failed := failures(errs); failed != nil {
				t.Fatal(failed[0])
			}
			ids := map[string]bool{}
			for _, x := range r.srv.Exchanges() {
				if x.Method == "tools/call" {
					e, _ := wire.Scan(x.Body)
					ids[string(e.Get(x.Body, e.ID))] = true
				}
			}
			want(t, "ids at the backend", len(ids), callers)
			for _, b := range bodies {
				if !strings.Contains(b, `"id":"same"`) {
					t.Errorf("the answer has another id: %s", b)
				}
			}
			// All are free again.
			if _, err := r.do(t.Context(), &backend.Request{ID: []byte(`"same"`), Session: s}); err != nil {
				t.Fatal(err)
			}
			last, _ := r.srv.Last("tools/call")
			want(t, "id kept", strings.Contains(string(last.Body), `"id":"same"`), true)
		})
	}
}

func TestUnspokenRevisionIsAProtocolError(t *testing.T) {
	for name, result := range map[string]string{
		"elder than all": `{"protocolVersion":"2024-10-07","capabilities":{},"serverInfo":{"name":"x","version":"1"}}`,
		"newer than all": `{"protocolVersion":"2030-01-01","capabilities":{},"serverInfo":{"name":"x","version":"1"}}`,
		"none":           `{}`,
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, nil, []backendtest.Option{backendtest.WithRevision(elder), answers(map[string]string{"initialize": result})})
				e := wantKind(t, r.call(t.Context()), backend.KindProtocolError)
				want(t, "method", e.Method, "initialize")
				want(t, "sends", r.srv.Requests("tools/call"), 0)
			})
		})
	}
}

func TestFirstRevisionIsSpokenToBackendsThatHaveNoOther(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, nil, []backendtest.Option{backendtest.WithRevision(elder), answers(map[string]string{
			"initialize":                `{"protocolVersion":"2024-11-05","capabilities":{},"serverInfo":{"name":"x","version":"1"}}`,
			"notifications/initialized": `{}`,
			"tools/call":                `{"content":[]}`,
		})})
		r.mustCall()
		want(t, "revision", r.c.Facts().Revision, wire.Rev20241105)
	})
}
