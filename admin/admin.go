// Package admin is the second listener: status, readiness and metrics for
// people and machines that look after a gateway. It serves no MCP.
package admin

import (
	"encoding/json"
	"net/http"
)

// Options of the admin handler. All funcs must be safe for concurrent use.
type Options struct {
	// Status returns what GET /api/v1/status answers.
	Status func() any
	// Ready says whether the gateway serves anything, and if not why.
	Ready func() (ok bool, why string)
	// Metrics answers GET /metrics.
	Metrics http.Handler
	// Authenticate returns nil for a request that may see the status and the
	// metrics. Nil lets everyone see them: for loopback listeners.
	Authenticate func(*http.Request) error
	// Check wraps everything but /healthz and /readyz: the Origin and Host
	// rules. Nil checks nothing.
	Check func(http.Handler) http.Handler
}

// New returns the handler: /healthz, /readyz, /metrics and /api/v1/status.
// /healthz and /readyz need neither a token nor a known Host, since probes of
// an orchestrator have neither.
func New(o Options) http.Handler {
	inner := http.NewServeMux()
	inner.Handle("GET /metrics", o.Metrics)
	inner.HandleFunc("GET /api/v1/status", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, o.Status())
	})
	inner.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte("recloser admin\n\n/api/v1/status\n/metrics\n/healthz\n/readyz\n"))
	})

	var guarded http.Handler = inner
	if o.Authenticate != nil {
		guarded = authenticated(o.Authenticate, guarded)
	}
	if o.Check != nil {
		guarded = o.Check(guarded)
	}

	outer := http.NewServeMux()
	outer.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	outer.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		ok, why := o.Ready()
		if ok {
			writeJSON(w, http.StatusOK, map[string]any{"ready": true})
			return
		}
		writeJSON(w, http.StatusServiceUnavailable, map[string]any{"ready": false, "reason": why})
	})
	outer.Handle("/", guarded)
	return outer
}

func authenticated(check func(*http.Request) error, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := check(r); err != nil {
			w.Header().Set("WWW-Authenticate", `Bearer realm="recloser admin"`)
			writeJSON(w, http.StatusUnauthorized, map[string]string{
				"error": "the admin listener needs the token of admin.token: send it as Authorization: Bearer"})
			return
		}
		next.ServeHTTP(w, r)
	})
}

func writeJSON(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	_ = enc.Encode(v) // the client is gone: nobody is left to tell
}
