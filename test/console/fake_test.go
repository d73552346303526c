//go:build console

package console

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/recloser-mcp/recloser/admin/console"
	"github.com/recloser-mcp/recloser/status"
)

// backend adds to a status what the gateway fills in beside it.
type backend struct {
	status.Backend
	Affected   uint64    `json:"affected"`
	ClientsSee string    `json:"clientsSee"`
	Paused     bool      `json:"paused,omitempty"`
	NextProbe  time.Time `json:"nextProbe,omitzero"`
}

// fake answers the admin API from what a test puts into it. A script in the
// browser changes it through /fake/..., in the middle of a visit.
type fake struct {
	t   *testing.T
	srv *httptest.Server

	mu       sync.Mutex
	began    time.Time
	backends []*backend
	token    string
	cut      bool // every connection to the API ends without an answer
	events   []status.Event
	nextID   uint64
	changed  chan struct{} // closed and replaced when an event or a change comes
	streams  int           // that are open
	after    []string      // the Last-Event-ID of every stream that was asked for
	actions  []string
	tools    []json.RawMessage // bodies of calls
	statuses int
	refuse   bool   // the reload
	forbid   string // why the status is not answered, "" when it is
}

func newFake(t *testing.T) *fake {
	f := &fake{t: t, began: time.Now(), nextID: 1, changed: make(chan struct{})}
	api := http.NewServeMux()
	api.HandleFunc("GET /api/v1/status", f.status)
	api.HandleFunc("GET /api/v1/history", f.history)
	api.HandleFunc("GET /api/v1/events", f.stream)
	api.HandleFunc("GET /api/v1/config", f.config)
	api.HandleFunc("GET /api/v1/backends/{name}", f.detail)
	api.HandleFunc("POST /api/v1/backends/{name}/{action}", f.action)
	api.HandleFunc("POST /api/v1/reload", f.reload)
	api.HandleFunc("POST /api/v1/tools/call", f.call)

	mux := http.NewServeMux()
	mux.Handle("/", console.Handler())
	mux.HandleFunc("POST /fake/{what}", f.control)
	mux.HandleFunc("/api/", func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		cut, token := f.cut, f.token
		f.mu.Unlock()
		switch {
		case cut:
			panic(http.ErrAbortHandler)
		case token != "" && r.Header.Get("Authorization") != "Bearer "+token:
			answer(w, http.StatusUnauthorized, map[string]any{"error": "send the token"})
		case r.Method == http.MethodPost && r.Header.Get("Content-Type") != "application/json":
			answer(w, http.StatusUnsupportedMediaType, map[string]any{"error": "send application/json"})
		default:
			api.ServeHTTP(w, r)
		}
	})
	f.srv = httptest.NewServer(mux)
	t.Cleanup(func() {
		f.srv.CloseClientConnections()
		f.srv.Close()
	})
	return f
}

func answer(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v)
}

func (f *fake) find(name string) *backend {
	i := slices.IndexFunc(f.backends, func(b *backend) bool { return b.Name == name })
	if i < 0 {
		return nil
	}
	return f.backends[i]
}

// tell adds an event and wakes the streams. The lock is held.
func (f *fake) tell(e status.Event) {
	e.ID, e.At = f.nextID, time.Now()
	f.nextID++
	f.events = append(f.events, e)
	f.wake()
}

func (f *fake) wake() {
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *fake) status(w http.ResponseWriter, _ *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.statuses++
	if f.forbid != "" {
		answer(w, http.StatusForbidden, map[string]any{"error": f.forbid})
		return
	}
	need, tools, known, ready, count := 0, 0, 0, 0, 0
	for _, b := range f.backends {
		known += b.Tools
		if b.Status.Serves() {
			tools += b.Tools
		}
		if b.Reason == status.ReasonDisabled {
			continue
		}
		count++
		switch b.Status {
		case status.BackendStatusReady:
			ready++
		case status.BackendStatusDegraded, status.BackendStatusUnavailable:
			need++
		}
	}
	phase := status.PhaseReady
	if need > 0 {
		phase = status.PhaseDegraded
	}
	answer(w, http.StatusOK, map[string]any{
		"phase": phase, "ready": true, "version": "0.1.0-test", "headline": f.headline(need, count, tools, known),
		"tools": tools, "knownTools": known, "savedLastHour": 7, "backendCount": count, "readyBackends": ready,
		"backends": f.backends,
	})
}

func (f *fake) headline(need, count, tools, known int) string {
	if count == 0 {
		return "No backend is in use"
	}
	return fmt.Sprintf("%d of %d backends need you · %d of %d tools served · 7 calls saved by renewal in the last hour", need, count, tools, known)
}

// hour makes up a history that ends with how the backend is now.
func (f *fake) hour(b *backend, seed int) status.History {
	var h status.History
	for i := range 60 {
		m := status.Minute{Status: status.BackendStatusReady, Calls: uint64(20 + (i*7+seed*13)%40), P95: status.Duration(time.Duration(20+(i*i+seed*31)%60) * time.Millisecond)}
		switch {
		case i < 6:
			m = status.Minute{}
		case b != nil && b.Status == status.BackendStatusUnavailable && i > 47:
			m.Status, m.Failed, m.Calls, m.P95 = b.Status, 9, 9, 0
		case b != nil && b.Status == status.BackendStatusDegraded && i > 52:
			m.Status, m.Failed = b.Status, 2
		case b != nil && b.Status == status.BackendStatusUnknown:
			m = status.Minute{Status: b.Status}
		case (i+seed)%17 == 0:
			m.Saved = 3
		}
		h.Minutes = append(h.Minutes, m)
	}
	return h
}

func (f *fake) history(w http.ResponseWriter, _ *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := map[string]status.History{}
	if len(f.backends) > 0 {
		total := f.hour(nil, 3)
		for i := range total.Minutes {
			if i > 47 {
				total.Minutes[i].Failed = 9
			}
		}
		all[""] = total
	}
	for i, b := range f.backends {
		all[b.Name] = f.hour(b, i)
	}
	answer(w, http.StatusOK, all)
}

func (f *fake) stream(w http.ResponseWriter, r *http.Request) {
	after := uint64(0)
	_, _ = fmt.Sscan(r.Header.Get("Last-Event-ID"), &after)
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	out := http.NewResponseController(w)
	f.mu.Lock()
	f.streams++
	f.after = append(f.after, r.Header.Get("Last-Event-ID"))
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.streams--
		f.mu.Unlock()
	}()
	_, _ = fmt.Fprint(w, ": hello\n\n")
	// Last-Event-ID says what the browser has; a live event is sent whatever its id.
	for {
		f.mu.Lock()
		changed, cut := f.changed, f.cut
		var list []status.Event
		for _, e := range f.events {
			if e.ID > after {
				list = append(list, e)
			}
		}
		f.mu.Unlock()
		if cut {
			panic(http.ErrAbortHandler)
		}
		for _, e := range list {
			after = e.ID
			data, _ := json.Marshal(e)
			_, _ = fmt.Fprintf(w, "id: %d\nevent: event\ndata: %s\n\n", e.ID, data)
		}
		if len(list) == 0 {
			_, _ = fmt.Fprint(w, "event: status\ndata: {}\n\n")
		}
		if out.Flush() != nil {
			return
		}
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
		f.mu.Lock()
		if f.nextID <= after { // it was started anew
			after = 0
		}
		f.mu.Unlock()
	}
}

func (f *fake) config(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, map[string]any{"config": "listen: 127.0.0.1:8484\nmcpServers:\n  tickets:\n    url: https://tickets.example.com/mcp\n", "file": "/etc/recloser/mcp.yaml", "loadedAt": f.began})
}

func (f *fake) detail(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	name := r.PathValue("name")
	b := f.find(name)
	if b == nil {
		answer(w, http.StatusNotFound, map[string]any{"error": fmt.Sprintf("there is no backend %q", name)})
		return
	}
	events := []status.Event{}
	for _, e := range slices.Backward(f.events) {
		if e.Backend == name {
			events = append(events, e)
		}
	}
	answer(w, http.StatusOK, map[string]any{
		"backend": b, "config": "url: https://" + name + ".example.com/mcp\nauth:\n  type: bearer\n  token: '***'\nauthRetry:\n  maxRetries: 3\n  initialWait: 100ms\n",
		"catalog": catalog(name), "requests": requests(), "events": events, "history": f.hour(b, 1),
	})
}

func (f *fake) action(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	name, action := r.PathValue("name"), r.PathValue("action")
	f.actions = append(f.actions, name+" "+action)
	b := f.find(name)
	switch {
	case b == nil:
		answer(w, http.StatusNotFound, map[string]any{"error": "there is no such backend"})
		return
	case action == "renew" && !b.Credential.Renewable:
		answer(w, http.StatusConflict, map[string]any{"error": "the credential of " + name + " cannot be renewed: it is a fixed value, put another into the configuration"})
		return
	case action == "pause", action == "resume":
		b.Paused = action == "pause"
		f.tell(status.Event{Kind: status.EventAction, Level: status.LevelInfo, Backend: name, Message: name + ": " + action + "d at the admin API."})
	}
	answer(w, http.StatusOK, map[string]any{"message": action + " of " + name + " is done.", "backend": b})
}

func (f *fake) reload(w http.ResponseWriter, _ *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.actions = append(f.actions, "reload")
	if f.refuse {
		answer(w, http.StatusConflict, map[string]any{"error": "the configuration has 2 mistakes: nothing has changed", "problems": []map[string]any{
			{"file": "mcp.yaml", "line": 7, "column": 5, "path": "mcpServers.tickets.urk", "message": "unknown key", "fix": "Did you mean url? Check with `recloser validate --config mcp.yaml`."},
			{"file": "mcp.yaml", "line": 12, "column": 9, "path": "health.interval", "message": "is no duration", "fix": "Write 30s."},
		}})
		return
	}
	f.tell(status.Event{Kind: status.EventReload, Level: status.LevelInfo, Message: "The configuration was read again: nothing has changed."})
	answer(w, http.StatusOK, map[string]any{"message": "The configuration was read again: nothing has changed."})
}

func (f *fake) call(w http.ResponseWriter, r *http.Request) {
	var body json.RawMessage
	var call struct {
		Name      string          `json:"name"`
		Arguments json.RawMessage `json:"arguments"`
	}
	_ = json.NewDecoder(r.Body).Decode(&body)
	_ = json.Unmarshal(body, &call)
	f.mu.Lock()
	f.tools = append(f.tools, body)
	b := f.find(strings.SplitN(call.Name, "_", 2)[0])
	f.mu.Unlock()
	switch {
	case strings.HasSuffix(call.Name, "_close"):
		answer(w, http.StatusOK, map[string]any{"took": 3.2, "result": map[string]any{"isError": true, "content": []any{map[string]any{"type": "text", "text": "no ticket has this number"}}}})
	case b != nil && b.Status == status.BackendStatusUnavailable:
		answer(w, http.StatusOK, map[string]any{"took": 1204.5, "error": map[string]any{"code": -32001, "message": b.Name + " refuses the credential", "data": map[string]any{"reason": "auth_refused", "hint": "An administrator has to put in another credential."}}})
	default:
		answer(w, http.StatusOK, map[string]any{"took": 12.25, "result": map[string]any{
			"content":           []any{map[string]any{"type": "text", "text": "You sent " + string(call.Arguments)}, map[string]any{"type": "image", "mimeType": "image/png", "data": strings.Repeat("A", 4096)}},
			"structuredContent": map[string]any{"found": 2},
		}})
	}
}
