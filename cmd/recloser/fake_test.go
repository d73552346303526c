package main

import (
	"cmp"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/recloser-mcp/recloser/status"
	"github.com/recloser-mcp/recloser/wire"
)

// fakeGateway speaks the admin API as a document says: scripts show with it what
// a command makes of answers that a real gateway gives seldom.
type fakeGateway struct {
	Token   string
	Status  status.Status
	Details map[string]status.Detail
	Events  []status.Event
	Config  json.RawMessage
	Answers map[string]fakeAnswer // by method and path; over all else

	mu    sync.Mutex
	posts []string
}

type fakeAnswer struct {
	Code int // 0: 200
	Body json.RawMessage
}

type gatewayKey struct{}

// startFake is gateway FILE: it starts a gateway that says what the file holds, and puts its
// address into RECLOSER_ADMIN.
func startFake(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: gateway FILE")
	}
	g := ts.Value(gatewayKey{}).(*fakeGateway)
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), g))
	s := httptest.NewServer(g)
	ts.Defer(s.Close)
	ts.Setenv("RECLOSER_ADMIN", s.URL)
}

// posted TEXT wants the last POST to have been that: its path and its body.
func posted(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: posted TEXT")
	}
	g := ts.Value(gatewayKey{}).(*fakeGateway)
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.posts) == 0 || g.posts[len(g.posts)-1] != args[0] {
		ts.Fatalf("posted were %q", g.posts)
	}
}

func (g *fakeGateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	answer := func(code int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(v)
	}
	complain := func(code int, text string) { answer(code, map[string]string{"error": text}) }
	switch {
	case g.Token != "" && r.Header.Get("Authorization") != "Bearer "+g.Token:
		complain(401, "the admin listener needs the token of admin.token")
		return
	case r.Method == http.MethodPost && r.Header.Get("Content-Type") != "application/json":
		complain(415, "send application/json")
		return
	case r.Method == http.MethodPost:
		g.mu.Lock()
		g.posts = append(g.posts, r.URL.EscapedPath()+" "+string(body))
		g.mu.Unlock()
	}
	if a, ok := g.Answers[r.Method+" "+r.URL.Path]; ok {
		answer(cmp.Or(a.Code, 200), a.Body)
		return
	}
	switch path := r.URL.Path; {
	case path == "/api/v1/status":
		g.mu.Lock()
		defer g.mu.Unlock()
		answer(200, g.Status)
	case path == "/api/v1/config":
		answer(200, g.Config)
	case path == "/api/v1/events":
		g.events(w, r)
	case len(path) > len("/api/v1/backends/"):
		if d, ok := g.Details[path[len("/api/v1/backends/"):]]; ok {
			answer(200, d)
			return
		}
		complain(404, "there is no such backend")
	default:
		complain(404, "there is nothing here")
	}
}

// events sends what there is, and to who follows nothing more.
func (g *fakeGateway) events(w http.ResponseWriter, r *http.Request) {
	events := slices.DeleteFunc(slices.Clone(g.Events), func(e status.Event) bool {
		name := r.URL.Query().Get("backend")
		return name != "" && name != e.Backend
	})
	if r.Header.Get("Accept") == "application/json" {
		_ = json.NewEncoder(w).Encode(events)
		return
	}
	for _, e := range events {
		data, _ := json.Marshal(e)
		_, _ = w.Write(wire.AppendEvent(nil, wire.Event{Type: "event", Data: data}))
	}
	w.(http.Flusher).Flush()
	<-r.Context().Done()
}
