package server_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/recloser-mcp/recloser/backendtest"
	"github.com/recloser-mcp/recloser/status"
)

// With one of twenty backends hung nothing that people look at waits for it.
func TestOneHungBackendDelaysNoPage(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var doc strings.Builder
		doc.WriteString("mcpServers:\n")
		var all peers
		for i := range 20 {
			var opts []backendtest.Option
			if i == 7 {
				opts = append(opts, backendtest.WithFault(backendtest.Hang(backendtest.Forever)))
			}
			srv := mem(t, opts...)
			defer srv.Heal()
			all = append(all, srv)
			fmt.Fprintf(&doc, "  b%d: {url: %q}\n", i, srv.URL)
		}
		r, d := drafted(t, all, "%s", doc.String())
		look := func(when string) {
			t.Helper()
			began := time.Now()
			for _, path := range []string{"/healthz", "/readyz", "/metrics", "/api/v1/status", "/api/v1/history", "/api/v1/config", "/api/v1/backends/b7", "/api/v1/backends/b0", "/"} {
				if a := r.admin(path); a.status != http.StatusOK {
					t.Errorf("%s: %s: %d %s", when, path, a.status, a.body)
				}
			}
			r.events(status.EventStatus)
			post := func(path, body string) {
				if a := r.do(http.MethodPost, "http://"+adminAddr+path, body); a.status != http.StatusOK {
					t.Errorf("%s: %s: %d %s", when, path, a.status, a.body)
				}
			}
			post("/api/v1/backends/b0/probe", "")
			post("/api/v1/backends/b7/reset", "")
			post("/api/v1/tools/call", `{"name": "b3_echo", "arguments": {}}`)
			d.write("%s  late%d: {url: %q}\n", doc.String(), time.Now().UnixNano(), "http://127.0.0.1:1/mcp")
			r.reload()
			post("/api/v1/backends/b7/pause", "")
			post("/api/v1/backends/b7/resume", "")
			if took := time.Since(began); took > time.Second {
				t.Errorf("%s: it took %s", when, took)
			}
		}
		look("at the start")
		sleep(30 * time.Second)
		look("later")
		if st := r.Status(); st.Phase != status.PhaseDegraded || of(t, st, "b7").Status == status.BackendStatusReady {
			t.Errorf("phase %s, b7 %s", st.Phase, of(t, st, "b7").Status)
		}
	})
}
