package server_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/recloser-mcp/recloser/auth"
	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/backendtest"
	"github.com/recloser-mcp/recloser/server"
)

// What New opened before it failed is closed: a listener, a credential's watch, a
// client. The next try is not hindered by the last.
func TestNewLeavesNothingWhenItFails(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = free.Close()
	srv := backendtest.NewServer(t)

	// Settings that a document could not have, so late are they found.
	registry := auth.NewRegistry()
	if err := registry.Register("broken", func(auth.Spec) (auth.Strategy, error) { return nil, errors.New("out of order") }); err != nil {
		t.Fatal(err)
	}
	const credentials = "credentials:\n  good: {type: bearer, token: t}\n  late: {type: bearer, token: t}\n"
	servers := fmt.Sprintf("mcpServers:\n  a: {url: %q, auth: {use: good}}\n  b: {url: %q, auth: {use: late}}\n", srv.URL, srv.URL)
	for _, tc := range []struct{ name, listen, adminListen, want string }{
		{"a listener", taken.Addr().String(), "127.0.0.1:0", "listen: cannot listen on " + taken.Addr().String()},
		{"the second listener", free.Addr().String(), taken.Addr().String(), "admin.listen: cannot listen on " + taken.Addr().String()},
		{"a credential", free.Addr().String(), "127.0.0.1:0", "credentials.late: auth type broken: out of order"},
		{"a backend", free.Addr().String(), "127.0.0.1:0", "b"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := goleak.IgnoreCurrent()
			doc := parse(t, fmt.Sprintf("listen: %s\nadmin: {listen: %q}\n", tc.listen, tc.adminListen)+credentials+servers, nil)
			switch tc.name {
			case "a credential":
				doc.Credentials[1].Spec.Type = "broken"
			case "a backend":
				doc.Backends[1].Options.URL = "ftp://nowhere"
			}
			s, err := server.New(t.Context(), doc, server.Options{Registry: registry, Logger: slog.New(slog.DiscardHandler)})
			if s != nil || err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("server %v, error %v: want %q", s != nil, err, tc.want)
			}
			if err := goleak.Find(before); err != nil {
				t.Error(err)
			}
			l, err := net.Listen("tcp", free.Addr().String())
			if err != nil {
				t.Fatalf("the first listener is still open: %v", err)
			}
			_ = l.Close()
		})
	}
	wantCount(t, "requests at the backends", srv.Requests(""), 0)
}

// gated is a tool that says when it runs and waits to be released.
func gated(entered chan<- struct{}, release <-chan struct{}) backendtest.ToolFunc {
	return func(ctx context.Context, _ json.RawMessage) (any, error) {
		entered <- struct{}{}
		select {
		case <-release:
			return "done", nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// stream opens a standing stream and returns a channel that tells when it ended.
func (r *rig) stream(req *http.Request) <-chan time.Time {
	r.t.Helper()
	resp, err := r.http.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		r.t.Fatalf("stream: %d", resp.StatusCode)
	}
	ended := make(chan time.Time, 1)
	go func() {
		defer resp.Body.Close()
		_, _ = io.Copy(io.Discard, resp.Body)
		ended <- time.Now()
	}()
	return ended
}

func TestDrainLetsCallsEndAndEndsStreamsAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		entered, release := make(chan struct{}, 1), make(chan struct{})
		srv := mem(t, backendtest.WithTool("wait", gated(entered, release)))
		r := start(t, fmt.Sprintf("mcpServers: {a: {url: %q}}", srv.URL), nil, peers{srv})
		id := r.open()
		get := r.stream(r.request(http.MethodGet, "http://"+mcpAddr+"/mcp", "", "Mcp-Session-Id", id))
		listen := r.stream(r.request(http.MethodPost, "http://"+mcpAddr+"/mcp",
			`{"jsonrpc":"2.0","id":"L","method":"subscriptions/listen","params":{"notifications":{"toolsListChanged":true},`+meta+`}}`,
			"Mcp-Protocol-Version", "2026-07-28", "Mcp-Method", "subscriptions/listen"))
		answered := make(chan answer, 1)
		go func() { answered <- r.call("a_wait") }()
		<-entered
		if a := r.admin("/readyz"); a.status != http.StatusOK {
			t.Errorf("/readyz before the drain: %d %s", a.status, a.body)
		}

		began := time.Now()
		r.end()
		for name, ended := range map[string]<-chan time.Time{"the stream of a session": get, "a subscription": listen} {
			if took := (<-ended).Sub(began); took != 0 {
				t.Errorf("%s ended after %s, want at once", name, took)
			}
		}
		sleep(5 * time.Second)
		if a := r.admin("/readyz"); a.status != http.StatusServiceUnavailable || !strings.Contains(a.body, "draining") {
			t.Errorf("/readyz during the drain: %d %s, want 503 that says so", a.status, a.body)
		}
		if a := r.admin("/healthz"); a.status != http.StatusOK {
			t.Errorf("/healthz during the drain: %d %s", a.status, a.body)
		}
		if a := r.call("a_wait"); a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
			t.Errorf("a new call during the drain: %d %s, want 503 with Retry-After", a.status, a.body)
		}
		close(release)
		if a := <-answered; a.reason(t) != "" {
			t.Errorf("the call in flight: %s", a.body)
		}
		<-r.done
		if r.err != nil {
			t.Errorf("Run: %v", r.err)
		}
		if took := time.Since(began); took > 6*time.Second {
			t.Errorf("the end took %s, want what the call took, 5s, and a moment", took)
		}
		wantCount(t, "executions", srv.Executions("wait"), 1)
		if diff := cmp.Diff([]string(nil), r.log.messages(slog.LevelWarn)); diff != "" {
			t.Errorf("warnings (-want +got):\n%s", diff)
		}
	})
}

// A call that does not end costs the end of the gateway drainTimeout and no more,
// and it is over when Run returns.
func TestDrainTimeoutEndsWhatDoesNotEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		entered, release := make(chan struct{}, 1), make(chan struct{})
		srv := mem(t, backendtest.WithTool("wait", gated(entered, release)))
		var ended atomic.Int32
		r := start(t, fmt.Sprintf("drainTimeout: 3s\nmcpServers: {a: {url: %q}}", srv.URL), nil, peers{srv}, func(o *server.Options) {
			o.Observe = &server.Observer{Call: func(c backend.CallInfo, _ backend.CallResult) {
				if c.Method == "tools/call" {
					ended.Add(1)
				}
			}}
		})
		broken := make(chan error, 1)
		go func() {
			resp, err := r.http.Do(r.request(http.MethodPost, "http://"+mcpAddr+"/mcp",
				`{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"a_wait","arguments":{},`+meta+`}}`,
				"Mcp-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/call", "Mcp-Name", "a_wait"))
			if err == nil {
				_, err = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
			}
			broken <- err
		}()
		<-entered
		began := time.Now()
		r.end()
		<-r.done
		if took := time.Since(began); took < 3*time.Second || took > 5*time.Second {
			t.Errorf("Run returned after %s, want drainTimeout and at most 2s", took)
		}
		if r.err != nil {
			t.Errorf("Run: %v", r.err)
		}
		if n := ended.Load(); n != 1 {
			t.Errorf("%d calls have ended when Run has returned, want the one that was under way", n)
		}
		<-broken
		synctest.Wait()
		wantCount(t, "requests in flight at the backend", srv.InFlight(), 0)
		if diff := cmp.Diff([]string{"calls were still in flight when drainTimeout ended"}, r.log.messages(slog.LevelWarn)); diff != "" {
			t.Errorf("warnings (-want +got):\n%s", diff)
		}
	})
}

func TestRunReturnsTheErrorOfAListener(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv := mem(t)
		var listeners []net.Listener
		r := start(t, fmt.Sprintf("mcpServers: {a: {url: %q}}", srv.URL), nil, peers{srv}, func(o *server.Options) {
			open := o.Listen
			o.Listen = func(network, address string) (net.Listener, error) {
				l, err := open(network, address)
				listeners = append(listeners, l)
				return l, err
			}
		})
		_ = listeners[0].Close()
		<-r.done
		if !errors.Is(r.err, net.ErrClosed) {
			t.Errorf("Run: %v, want the listener's error", r.err)
		}
		r.err = nil
	})
}

// What is under way at the end is no news: a refresh or a probe that is broken off
// says nothing about its backend.
func TestTheLastRecordIsTheEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv := mem(t, backendtest.WithFault(backendtest.Hang(backendtest.Forever)))
		r := start(t, fmt.Sprintf("mcpServers: {a: {url: %q}}", srv.URL), nil, peers{srv})
		r.end()
		<-r.done
		if diff := cmp.Diff([]string{"serving", "draining", "stopped"}, r.log.messages(slog.LevelInfo)); diff != "" {
			t.Errorf("records (-want +got):\n%s", diff)
		}
	})
}
