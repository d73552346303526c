package gateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/backendtest"
	"github.com/recloser-mcp/recloser/gateway"
)

// trouble is the data of the error for a backend that gives no answer.
type trouble struct {
	Backend        string
	Reason         string
	Status         int
	Attempts       int
	Since          string
	RetryAfterMs   int64
	OutcomeUnknown bool
	Hint           string
}

func (a answer) trouble(t testing.TB) trouble {
	t.Helper()
	out := a.rpc(t)
	if out.Error == nil || out.Error.Code != gateway.CodeBackend || string(out.ID) != "7" {
		t.Fatalf("no error about a backend: %d %s", a.status, a.body)
	}
	var d trouble
	if err := json.Unmarshal(out.Error.Data, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestBackendsThatGiveNoAnswer(t *testing.T) {
	raw := func(contentType, body string) backendtest.Option {
		return backendtest.WithHandler(func(w http.ResponseWriter, _ *http.Request, m backendtest.Message) bool {
			if m.Method != "tools/call" {
				return false
			}
			w.Header().Set("Content-Type", contentType)
			w.Header().Set("Content-Length", strconv.Itoa(len(body)))
			_, _ = io.WriteString(w, body)
			return true
		})
	}
	fault := func(f backendtest.Fault) backendtest.Option { return backendtest.WithFault(f.ForMethod("tools/call")) }
	for _, c := range []struct {
		what  string
		opt   backendtest.Option
		want  trouble
		sends int // 0: do not count
	}{
		{"refused for good", fault(backendtest.Status(401, backendtest.Forever)), trouble{Reason: "auth_refused", Status: 401, Attempts: 4}, 4},
		{"out of order", fault(backendtest.Status(503, backendtest.Forever)), trouble{Reason: "server_error", Status: 503, Attempts: 1}, 1},
		{"too many requests", fault(backendtest.Status(429, backendtest.Forever).Header("Retry-After", "3")), trouble{Reason: "server_error", Status: 429, Attempts: 1, RetryAfterMs: 3000}, 1},
		{"no permission for a scope", fault(backendtest.Status(403, backendtest.Forever).Challenge("insufficient_scope", "write")), trouble{Reason: "scope_missing", Status: 403, Attempts: 1}, 1},
		{"reset", fault(backendtest.ResetPeer(backendtest.Forever)), trouble{Reason: "unreachable", Attempts: 1, OutcomeUnknown: true}, 1},
		{"another content type", raw("text/html", "<html>"), trouble{Reason: "protocol_error", Status: 200, Attempts: 1, OutcomeUnknown: true}, 1},
		{"no JSON", raw("application/json", "{oops"), trouble{Reason: "protocol_error", Status: 200, Attempts: 1, OutcomeUnknown: true}, 1},
		{"no response", raw("application/json", `{"jsonrpc":"2.0","method":"x"}`), trouble{Reason: "protocol_error", Status: 200, Attempts: 1, OutcomeUnknown: true}, 1},
		{"a stream without a response", raw("text/event-stream", "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{}}\n\n"), trouble{Reason: "protocol_error", Status: 200, Attempts: 1, OutcomeUnknown: true}, 1},
		{"a stream cut in an event", raw("text/event-stream", "event: message\ndata: {\"jsonrpc\":"), trouble{Reason: "protocol_error", Status: 200, Attempts: 1, OutcomeUnknown: true}, 1},
		{"an answer that is too large", raw("application/json", `{"jsonrpc":"2.0","id":1,"result":{"x":"`+strings.Repeat("x", 2<<20)+`"}}`), trouble{Reason: "protocol_error", Status: 200, Attempts: 1, OutcomeUnknown: true}, 1},
	} {
		for _, front := range []string{modern, elder} {
			t.Run(c.what+" "+front, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					srv := sample(t, "one", c.opt)
					r := newRig(t, settings{backend: func(_ int, o *backend.Options) { o.Limits.ResponseBytes = 1 << 20 }}, srv, sample(t, "two"))
					synctest.Wait()
					id := r.open("/mcp", elder)
					a := r.ask(front, id, "/mcp", "tools/call", "a_echo", `"name":"a_echo","arguments":{"x":1}`)
					if a.status != 200 {
						t.Errorf("status %d", a.status)
					}
					got := a.trouble(t)
					if got.Hint == "" || got.Reason == "auth_refused" && got.Since == "" {
						t.Errorf("no hint or no time: %+v", got)
					}
					got.Hint, got.Since, c.want.Backend = "", "", "a"
					if got.Reason == "auth_refused" {
						got.RetryAfterMs = 0
					}
					if diff := cmp.Diff(c.want, got); diff != "" {
						t.Error(diff)
					}
					if n := srv.Requests("tools/call"); n != c.sends {
						t.Errorf("%d sends, want %d", n, c.sends)
					}
					if a := r.ask(front, id, "/mcp", "tools/call", "b_who", `"name":"b_who"`); a.text(t) != "two" {
						t.Errorf("the neighbour: %s", a.body)
					}
				})
			})
		}
	}
}

func TestALargeAnswerThatIsCutIsNoWholeAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := sample(t, "one", backendtest.WithRevision(elder), backendtest.WithJSON(),
			backendtest.WithTool("big", backendtest.Text(strings.Repeat("x", 1<<20))),
			backendtest.WithFault(backendtest.LimitData(600_000).ForMethod("tools/call")))
		r := newRig(t, settings{}, srv)
		synctest.Wait()
		id := r.open("/mcp", elder)
		resp, err := r.http.Do(r.request("POST", "/mcp", `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"a_big"}}`, "Mcp-Session-Id", id))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if b, err := io.ReadAll(resp.Body); err == nil {
			t.Errorf("%d bytes look like a whole answer", len(b))
		}
	})
}

func TestErrorsOfABackendPassAsTheyAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const odd = `{"jsonrpc":"2.0","error":{"data":{"a":1e400},"message":"HTTP 401 unauthorized","code":-32001.0,"x":[ ]},"id":7}`
		srv := sample(t, "one", backendtest.WithHandler(func(w http.ResponseWriter, _ *http.Request, m backendtest.Message) bool {
			if m.Name != "odd" {
				return false
			}
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, odd)
			return true
		}), backendtest.WithTool("odd", nil), backendtest.WithTool("fails", backendtest.Failing("access denied")))
		r := newRig(t, settings{}, srv)
		synctest.Wait()
		id := r.open("/mcp", elder)
		for _, front := range []string{modern, elder} {
			if a := r.ask(front, id, "/mcp", "tools/call", "a_odd", `"name":"a_odd"`); a.status != 200 || a.body != odd {
				t.Errorf("%d %s", a.status, a.body)
			}
			if a := r.ask(front, id, "/mcp", "tools/call", "a_fails", `"name":"a_fails"`); a.text(t) != "access denied" {
				t.Errorf("%s", a.body)
			}
		}
		if n := srv.Executions("fails"); n != 2 {
			t.Errorf("%d executions, want 2", n)
		}
	})
}

func TestHungAndDeadBackendsDelayNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dead := sample(t, "dead", backendtest.WithDown())
		hung := sample(t, "hung", backendtest.WithFault(backendtest.Hang(backendtest.Forever)))
		well := []*backendtest.Server{sample(t, "x"), sample(t, "y"), sample(t, "z")}
		r := newRig(t, settings{}, dead, hung, well[0], well[1], well[2])
		synctest.Wait()
		start := time.Now()
		id := r.open("/mcp", elder)
		for _, front := range []string{modern, elder} {
			for _, method := range []string{"tools/list", "prompts/list", "resources/list", "resources/templates/list"} {
				if a := r.ask(front, id, "/mcp", method, "", ""); a.rpc(t).Error != nil {
					t.Error(a.body)
				}
			}
			r.open("/mcp/b", elder)
		}
		r.ask(modern, "", "/mcp", "server/discover", "", "")
		if took := time.Since(start); took != 0 {
			t.Errorf("handshakes and lists took %s", took)
		}
		// Names of a backend that was never listed reach it: the answer says what
		// is wrong, and not that there is no such tool.
		for _, front := range []string{modern, elder} {
			if d := r.ask(front, id, "/mcp", "tools/call", "a_echo", `"name":"a_echo"`).trouble(t); d.Reason != "unreachable" || d.Backend != "a" {
				t.Errorf("%+v", d)
			}
		}

		// A call to the hung one ends with its caller.
		before := hung.Requests("tools/call")
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		start = time.Now()
		_, err := r.http.Do(r.request("POST", "/mcp", `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"b_echo"}}`, "Mcp-Session-Id", id).WithContext(ctx))
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 3*time.Second {
			t.Errorf("%v after %s", err, time.Since(start))
		}
		synctest.Wait()
		if n := hung.Requests("tools/call") - before; n > 1 {
			t.Errorf("%d sends to the hung backend, want 1 at most", n)
		}
		if n := r.g.InFlight(); n != 0 {
			t.Errorf("%d requests are in flight", n)
		}
		start = time.Now()
		for _, name := range []string{"c_who", "d_who", "e_who"} {
			r.ask(elder, id, "/mcp", "tools/call", "", `"name":"`+name+`"`).text(t)
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("the neighbours took %s", took)
		}

		// The dead one comes up.
		up := time.Now()
		listed := make(chan struct{})
		defer r.catalog.Subscribe(func(c changeOf) {
			if c.All != 0 {
				close(listed)
			}
		})()
		if err := dead.Up(); err != nil {
			t.Fatal(err)
		}
		<-listed
		if took := time.Since(up); took > time.Second {
			t.Errorf("its tools appeared after %s", took)
		}
		if text := r.ask(elder, id, "/mcp", "tools/call", "", `"name":"a_who"`).text(t); text != "dead" {
			t.Error(text)
		}
	})
}

func TestACallEndsWithItsCaller(t *testing.T) {
	for _, back := range []string{modern, elder} {
		for _, how := range []string{"disconnect", "cancelled", "delete"} {
			t.Run(how+" "+back, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					srv := sample(t, "one", backendtest.WithRevision(back), backendtest.WithTool("slow", backendtest.Slow(time.Hour)))
					r := newRig(t, settings{}, srv)
					synctest.Wait()
					id := r.open("/mcp", elder)
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					ended := make(chan string)
					go func() {
						resp, err := r.http.Do(r.request("POST", "/mcp", `{"jsonrpc":"2.0","id":"slow","method":"tools/call","params":{"name":"a_slow"}}`, "Mcp-Session-Id", id).WithContext(ctx))
						if err != nil {
							ended <- "gone"
							return
						}
						defer resp.Body.Close()
						b, _ := io.ReadAll(resp.Body)
						ended <- string(b)
					}()
					if err := srv.WaitInFlight(t.Context(), 1); err != nil {
						t.Fatal(err)
					}
					start := time.Now()
					want := `"reason":"canceled"`
					switch how {
					case "disconnect":
						cancel()
						want = "gone"
					case "cancelled":
						r.post("/mcp", `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"other"}}`, "Mcp-Session-Id", id)
						r.post("/mcp", `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"slow"}}`, "Mcp-Session-Id", id)
					case "delete":
						r.do(r.request("DELETE", "/mcp", "", "Mcp-Session-Id", id))
					}
					if got := <-ended; !strings.Contains(got, want) {
						t.Errorf("the caller got %q", got)
					}
					synctest.Wait()
					if r.g.InFlight() != 0 || r.clients[0].Facts().InFlight != 0 {
						t.Errorf("in flight: %d at the gateway, %d at the client", r.g.InFlight(), r.clients[0].Facts().InFlight)
					}
					if took := time.Since(start); took > 2*time.Second {
						t.Errorf("it took %s", took)
					}
				})
			})
		}
	}
}

func TestSessionsAtBackends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := sample(t, "one", backendtest.WithRevision(elder))
		other := sample(t, "two", backendtest.WithRevision(elder))
		shared := sample(t, "three", backendtest.WithRevision(elder))
		r := newRig(t, settings{backend: func(i int, o *backend.Options) {
			if i == 2 {
				o.Isolation = backend.Shared
			}
		}}, srv, other, shared)
		synctest.Wait()
		catalogs := srv.Sessions()
		first, second := r.open("/mcp", elder), r.open("/mcp", elder)
		if n := srv.Sessions() - catalogs; n != 0 {
			t.Errorf("initialize opened %d sessions at a backend", n)
		}
		for _, id := range []string{first, second, first, second} {
			r.ask(elder, id, "/mcp", "tools/call", "", `"name":"a_who"`).text(t)
			r.ask(elder, id, "/mcp", "tools/call", "", `"name":"c_who"`).text(t)
		}
		for range 3 { // requests without a session have one in common
			r.ask(modern, "", "/mcp", "tools/call", "a_who", `"name":"a_who"`).text(t)
		}
		got := map[string]int{"one": srv.Sessions() - catalogs, "two": other.Sessions() - 1, "three": shared.Sessions() - 1}
		if diff := cmp.Diff(map[string]int{"one": 3, "two": 0, "three": 0}, got); diff != "" {
			t.Error(diff)
		}
		r.do(r.request("DELETE", "/mcp", "", "Mcp-Session-Id", first))
		synctest.Wait()
		got = map[string]int{"one": srv.SessionsClosed(), "two": other.SessionsClosed(), "three": shared.SessionsClosed()}
		if diff := cmp.Diff(map[string]int{"one": 1, "two": 0, "three": 0}, got); diff != "" {
			t.Errorf("closed: %s", diff)
		}
	})
}

func TestPassthroughHeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := sample(t, "one")
		r := newRig(t, settings{passes: []string{"x-request-id", "X-Tenant"}}, srv)
		synctest.Wait()
		headers := append(modernHeaders("tools/call", "a_echo"), "X-Request-Id", "r1", "X-Request-Id", "r2", "X-Other", "no", "Cookie", "no", "Authorization", "Bearer no")
		r.post("/mcp", `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"a_echo",`+meta+`}}`, headers...).text(t)
		last, _ := srv.Last("tools/call")
		got := map[string][]string{}
		for _, name := range []string{"X-Request-Id", "X-Tenant", "X-Other", "Cookie", "Authorization"} {
			if v := last.Header[name]; v != nil {
				got[name] = v
			}
		}
		if diff := cmp.Diff(map[string][]string{"X-Request-Id": {"r1", "r2"}}, got); diff != "" {
			t.Error(diff)
		}
	})
}

func TestLargeAnswersArriveWhole(t *testing.T) {
	text := strings.Repeat("0123456789abcdef", 1<<16)
	for _, back := range []string{modern, elder} {
		for _, opt := range []backendtest.Option{backendtest.WithSDK(), backendtest.WithJSON()} {
			synctest.Test(t, func(t *testing.T) {
				srv := sample(t, "one", backendtest.WithRevision(back), opt, backendtest.WithTool("big", backendtest.Text(text)))
				r := newRig(t, settings{}, srv)
				synctest.Wait()
				id := r.open("/mcp", elder)
				for _, front := range []string{modern, elder} {
					if got := r.ask(front, id, "/mcp", "tools/call", "a_big", `"name":"a_big"`).text(t); got != text {
						t.Errorf("%s to %s: %d bytes, want %d", front, back, len(got), len(text))
					}
				}
			})
		}
	}
}
