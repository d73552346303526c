package controller

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/recloser-mcp/recloser/operator/internal/render"
	"github.com/recloser-mcp/recloser/operator/internal/verdict"
	"github.com/recloser-mcp/recloser/status"
)

// reloads is a pod that counts how often it is told to read its configuration, and refuses
// it as long as complaint says why.
type reloads struct {
	n         int
	complaint string
}

func (r *reloads) RoundTrip(req *http.Request) (*http.Response, error) {
	r.n++
	code, body := http.StatusOK, `{"message": "read"}`
	if r.complaint != "" {
		code, body = http.StatusConflict, `{"error": "refused", "problems": [{"path": "mcpServers.a", "message": "`+r.complaint+`", "fix": "mend it"}]}`
	}
	return &http.Response{StatusCode: code, Body: io.NopCloser(strings.NewReader(body)), Header: http.Header{}, Request: req}, nil
}

// A pod that has not taken its configuration up is told to after a while, again and again
// while it refuses, and its complaint is told all the time until it takes it.
func TestNudge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pod := &reloads{}
		p := &poller{http: &http.Client{Transport: pod}}
		m := &remembered{doc: render.Tree{"mcpServers": render.Tree{"a": render.Tree{}, "b": render.Tree{}}}}
		at := []endpoint{{pod: "x", address: "10.0.0.1"}}
		look := func(backends ...string) string {
			t.Helper()
			s := &status.Status{}
			for _, b := range backends {
				s.Backends = append(s.Backends, status.Backend{Name: b})
			}
			r := []verdict.Replica{{Name: "x", Status: s}}
			p.nudge(t.Context(), at, r, m)
			return r[0].Refused
		}
		want := func(n int, what string) {
			t.Helper()
			if pod.n != n {
				t.Errorf("%s: it was told %d times, want %d", what, pod.n, n)
			}
		}
		look("a", "b")
		time.Sleep(time.Hour)
		look("a", "b")
		want(0, "all is well")

		look("a")
		time.Sleep(strayFor)
		look("a")
		want(0, "it has lacked one for a moment")
		pod.complaint = "is wrong"
		time.Sleep(time.Second)
		if got := look("a"); got != "mcpServers.a is wrong: mend it" {
			t.Errorf("the complaint is %q", got)
		}
		want(1, "it has lacked one for long")
		time.Sleep(time.Second)
		if got := look("a"); got == "" {
			t.Error("the complaint is forgotten while it holds")
		}
		want(1, "it was told a second ago")
		pod.complaint = ""
		time.Sleep(strayFor)
		if got := look("a"); got != "" {
			t.Errorf("the complaint is %q after it was taken", got)
		}
		want(2, "it refused")

		look("a", "b")
		m.since = time.Now() // another configuration with the same backends
		time.Sleep(lateFor)
		look("a", "b")
		want(2, "the change is new")
		time.Sleep(time.Second)
		look("a", "b")
		look("a", "b")
		want(3, "the change is old: once, however often it is looked at")

		p.nudge(t.Context(), nil, nil, m)
		if len(m.pods) > 0 {
			t.Error("a pod that is no more is remembered")
		}
	})
}
