package backend_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/backendtest"
)

// polling serves tools/call with the pieces of a stream, one for each request:
// the call itself, and each GET that names the last event.
func polling(t testing.TB, pieces ...string) backendtest.Option {
	next := 0
	id := ""
	return backendtest.WithHandler(func(w http.ResponseWriter, r *http.Request, m backendtest.Message) bool {
		last := r.Header.Get("Last-Event-Id")
		if m.Method != "tools/call" && last == "" {
			return false
		}
		if m.Method == "tools/call" {
			id = string(m.ID)
		} else if last != fmt.Sprint(next) {
			t.Errorf("asked for what follows %q, want %d", last, next)
		}
		if next == len(pieces) {
			http.Error(w, "gone", http.StatusNotFound)
			return true
		}
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, strings.ReplaceAll(pieces[next], "%s", id))
		next++
		return true
	})
}

// A server may close the connection of a long call and have its client come back.
func TestStreamThatEndsBetweenEventsIsTakenUpAgain(t *testing.T) {
	pieces := []string{
		"id: 1\nretry: 5000\ndata:\n\n",
		"id: 2\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{}}\n\n",
		"id: 3\r\ndata: {\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":{\"content\":[]}}\r\n\r\n",
	}
	bubble(t, func(t *testing.T) {
		r := newRig(t, fixed(), []backendtest.Option{backendtest.WithRevision(elder), polling(t, pieces...)})
		took := elapsed()
		got, err := r.do(t.Context(), &backend.Request{ID: []byte("1")})
		if err != nil {
			t.Fatal(err)
		}
		want(t, "answered", strings.Contains(got, `"result":{"content":[]}`), true)
		want(t, "progress passed on", strings.Contains(got, "notifications/progress"), true)
		want(t, "no ids for the client", strings.Contains(got, "id: "), false)
		want(t, "sends of the call", r.srv.Requests("tools/call"), 1)
		want(t, "requests for the rest", r.srv.Requests(backendtest.MethodGet), 2)
		want(t, "waited as asked", took(), 10*time.Second)
	})
	bubble(t, func(t *testing.T) {
		r := newRig(t, fixed(), []backendtest.Option{backendtest.WithRevision(elder), polling(t, pieces...)})
		r.mustCall()
		want(t, "sends of the call", r.srv.Requests("tools/call"), 1)
	})
}

func TestRefusalOfTheRestIsRenewedLikeAnyOther(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, minting(), []backendtest.Option{backendtest.WithRevision(elder), polling(t,
			"id: 1\ndata:\n\n", "data: {\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":{}}\n\n")})
		r.refuse(backendtest.MethodGet, 1)
		r.mustCall()
		want(t, "fetches", r.tokens.count(), 2)
		want(t, "sends of the call", r.srv.Requests("tools/call"), 1)
		want(t, "requests for the rest", r.srv.Requests(backendtest.MethodGet), 2)
	})
}

func TestStreamThatCannotBeTakenUpIsAnError(t *testing.T) {
	for name, row := range map[string]struct {
		pieces []string
		gets   int
	}{
		"without an id":       {[]string{"data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\"}\n\n"}, 0},
		"within an event":     {[]string{"id: 1\ndata:\n\nid: 2\ndata: {\"jsonrpc\":"}, 0},
		"the server forgot":   {[]string{"id: 1\ndata:\n\n"}, 1},
		"it brings nothing":   {[]string{"id: 1\ndata:\n\n", "", "", "", "", ""}, 3},
		"an id that is empty": {[]string{"id: 1\ndata:\n\nid:\ndata:\n\n"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				next := polling(t, row.pieces...)
				if name == "it brings nothing" {
					next = script("text/event-stream", say("id: 1\ndata:\n\n"))
				}
				opts := []backendtest.Option{backendtest.WithRevision(elder), next}
				if name == "it brings nothing" {
					opts = append(opts, backendtest.WithFault(backendtest.Status(200, backendtest.Forever).ForMethod(backendtest.MethodGet).Header("Content-Type", "text/event-stream")))
				}
				r := newRig(t, fixed(), opts)
				_, err := r.do(t.Context(), &backend.Request{ID: []byte("1")})
				e := wantKind(t, err, backend.KindProtocolError)
				want(t, "outcome unknown", e.OutcomeUnknown, true)
				want(t, "sends of the call", r.srv.Requests("tools/call"), 1)
				want(t, "requests for the rest", r.srv.Requests(backendtest.MethodGet), row.gets)
			})
		})
	}
}

func TestRequestInAClosedSessionFails(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, fixed(), rich(backendtest.WithRevision(elder)))
		s := r.c.NewSession(backend.SessionOptions{})
		if _, err := r.do(t.Context(), &backend.Request{ID: []byte("1"), Session: s}); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, err := r.do(t.Context(), &backend.Request{ID: []byte("1"), Session: s})
		wantKind(t, err, backend.KindClosed)
		want(t, "sessions", r.srv.Sessions(), 1)
		r.mustCall() // others go on
	})
}
