package server_test

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/recloser-mcp/recloser/auth"
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
