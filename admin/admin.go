// Package admin is the second listener: status, events, actions, readiness,
// metrics and the console, for people and machines that look after a gateway. It
// serves no MCP. [Client] is for programs that ask it.
package admin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/recloser-mcp/recloser/caller"
	"github.com/recloser-mcp/recloser/journal"
	"github.com/recloser-mcp/recloser/status"
)

// Options of the admin handler. All funcs must be safe for concurrent use, and all
// but Access and Console are required.
type Options struct {
	// Status returns the state of the gateway and of all backends.
	Status func() status.Status
	// Ready says whether the gateway serves anything, and if not why.
	Ready func() (ok bool, why string)
	// Detail returns all that is known of one backend, false for an unknown name.
	Detail func(name string) (status.Detail, bool)
	// History returns the last hour of every backend.
	History func() map[string]status.History
	// Config returns the configuration in effect.
	Config func() Loaded
	// Journal has the events.
	Journal *journal.Journal
	// Act does something about a backend, Reload reads the configuration again, and
	// Call calls a tool. by names who asks. An *Error says how a fault is answered.
	Act    func(ctx context.Context, backend string, a Action, by string) (Done, error)
	Reload func(ctx context.Context, by string) (Done, error)
	Call   func(ctx context.Context, tool string, arguments json.RawMessage) (Called, error)
	// Metrics answers GET /metrics.
	Metrics http.Handler
	// Console answers everything else; nil: nothing does. It holds no data, so
	// nobody has to show a token for it.
	Console http.Handler
	// Done ends the streams of events when it is closed. Nil: they end with their
	// clients.
	Done <-chan struct{}
	// Access returns who may ask now. Nil: everybody.
	Access func() Access
}

// Access decides who may use the admin listener.
type Access struct {
	// Token is what requests have to show; nil: nothing.
	Token *caller.Authenticator
	// Check has the rules for Origin and Host; nil: there are none.
	Check *caller.Guard
}

// maxBody bounds the body of a request.
const maxBody = 4 << 20

// handler serves the API.
type handler struct{ o Options }

// New returns the handler. /healthz and /readyz need neither a token nor a known
// Host, since probes of an orchestrator have neither; the console needs no token.
// What changes something wants POST and JSON, which a page of somebody else cannot
// send, and which the rule for Origin refuses a second time.
func New(o Options) http.Handler {
	h := &handler{o}
	api := http.NewServeMux()
	api.Handle("GET /metrics", o.Metrics)
	api.HandleFunc("GET /api/v1/status", func(w http.ResponseWriter, r *http.Request) { respond(w, r, o.Status()) })
	api.HandleFunc("GET /api/v1/history", func(w http.ResponseWriter, r *http.Request) { respond(w, r, o.History()) })
	api.HandleFunc("GET /api/v1/config", func(w http.ResponseWriter, r *http.Request) { respond(w, r, o.Config()) })
	api.HandleFunc("GET /api/v1/backends/{name}", h.detail)
	api.HandleFunc("GET /api/v1/events", h.events)
	api.HandleFunc("POST /api/v1/backends/{name}/{action}", h.act)
	api.HandleFunc("POST /api/v1/reload", h.reload)
	api.HandleFunc("POST /api/v1/tools/call", h.call)
	api.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		complain(w, http.StatusNotFound, "there is nothing at "+bounded(r.URL.Path)+": see /api/v1/status")
	})

	outer := http.NewServeMux()
	outer.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	outer.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if ok, why := o.Ready(); !ok {
			writeJSON(w, http.StatusServiceUnavailable, map[string]any{"ready": false, "reason": why})
			return
		}
		writeJSON(w, http.StatusOK, map[string]any{"ready": true})
	})
	outer.Handle("/api/", h.checked(h.authenticated(api)))
	outer.Handle("/metrics", h.checked(h.authenticated(api)))
	if o.Console != nil {
		outer.Handle("/", h.checked(o.Console))
	} else {
		outer.Handle("/", h.checked(api))
	}
	return outer
}

func (h *handler) access() Access {
	if h.o.Access == nil {
		return Access{}
	}
	return h.o.Access()
}

// checked applies the rules for Origin and Host.
func (h *handler) checked(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if g := h.access().Check; g != nil {
			if err := g.Check(r); err != nil {
				caller.WriteError(w, err)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

func (h *handler) authenticated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if t := h.access().Token; t != nil {
			if _, err := t.Authenticate(r); err != nil {
				w.Header().Set("WWW-Authenticate", `Bearer realm="recloser admin"`)
				complain(w, http.StatusUnauthorized, "the admin listener needs the token of admin.token: send it as Authorization: Bearer")
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

func (h *handler) detail(w http.ResponseWriter, r *http.Request) {
	d, ok := h.o.Detail(r.PathValue("name"))
	if !ok {
		h.unknown(w, r.PathValue("name"))
		return
	}
	respond(w, r, d)
}

// unknown answers that there is no such backend, and which there are.
func (h *handler) unknown(w http.ResponseWriter, name string) {
	const most = 20
	var names []string
	for _, b := range h.o.Status().Backends {
		if names = append(names, b.Name); len(names) == most {
			names = append(names, "...")
			break
		}
	}
	complain(w, http.StatusNotFound, "there is no backend "+bounded(name)+": there are "+strings.Join(names, ", "))
}

func (h *handler) act(w http.ResponseWriter, r *http.Request) {
	if !h.read(w, r, &struct{}{}) {
		return
	}
	name, action := r.PathValue("name"), Action(r.PathValue("action"))
	switch action {
	case Probe, Renew, Reset, Pause, Resume:
	default:
		complain(w, http.StatusNotFound, "there is no action "+bounded(string(action))+": use probe, renew, reset, pause or resume")
		return
	}
	done, err := h.o.Act(r.Context(), name, action, who(r))
	if e, ok := errors.AsType[*Error](err); ok && e.Kind == NotFound {
		h.unknown(w, name)
		return
	}
	reply(w, done, err)
}

func (h *handler) reload(w http.ResponseWriter, r *http.Request) {
	if !h.read(w, r, &struct{}{}) {
		return
	}
	done, err := h.o.Reload(r.Context(), who(r))
	reply(w, done, err)
}

func (h *handler) call(w http.ResponseWriter, r *http.Request) {
	var q struct {
		Name      string          `json:"name"`
		Arguments json.RawMessage `json:"arguments"`
	}
	if !h.read(w, r, &q) {
		return
	}
	if q.Name == "" || len(q.Arguments) > 0 && q.Arguments[0] != '{' {
		complain(w, http.StatusBadRequest, `send {"name": "a tool's public name", "arguments": {}}`)
		return
	}
	called, err := h.o.Call(r.Context(), q.Name, q.Arguments)
	reply(w, called, err)
}

// read reads the body of a POST; an empty one is as good as {}. false: the request
// has been answered.
func (h *handler) read(w http.ResponseWriter, r *http.Request, into any) bool {
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
		complain(w, http.StatusUnsupportedMediaType, "send Content-Type: application/json")
		return false
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err == nil && len(body) > 0 {
		err = json.Unmarshal(body, into)
	}
	if err != nil {
		complain(w, http.StatusBadRequest, "the body is no JSON of the expected form: "+err.Error())
		return false
	}
	return true
}

// who names the asker for the audit.
func who(r *http.Request) string { return "the admin API from " + r.RemoteAddr }

// reply answers with what was done, or why it was not.
func reply(w http.ResponseWriter, done any, err error) {
	if err == nil {
		writeJSON(w, http.StatusOK, done)
		return
	}
	code, said := http.StatusBadGateway, map[string]any{"error": err.Error()}
	if e, ok := errors.AsType[*Error](err); ok {
		said["error"] = e.Message
		if e.Problems != nil {
			said["problems"] = e.Problems
		}
		if e.Kind == Refused {
			code = http.StatusConflict
		}
	}
	writeJSON(w, code, said)
}

func complain(w http.ResponseWriter, code int, text string) {
	writeJSON(w, code, map[string]string{"error": text})
}

// bounded cuts what came with a request to what a message can bear.
func bounded(s string) string {
	const most = 100
	if len(s) > most {
		return s[:most] + "..."
	}
	return s
}

// respond answers programs, which ask for JSON, without the blanks that people need.
func respond(w http.ResponseWriter, r *http.Request, v any) {
	write(w, http.StatusOK, v, !strings.Contains(r.Header.Get("Accept"), "application/json"))
}

func writeJSON(w http.ResponseWriter, code int, v any) { write(w, code, v, true) }

func write(w http.ResponseWriter, code int, v any, indent bool) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	enc := json.NewEncoder(w)
	if indent {
		enc.SetIndent("", "  ")
	}
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // the client is gone: nobody is left to tell
}
