package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/recloser-mcp/recloser/backendtest"
	"github.com/recloser-mcp/recloser/config"
	"github.com/recloser-mcp/recloser/server"
	"github.com/recloser-mcp/recloser/status"
)

// draft is a configuration that a test writes anew.
type draft struct {
	mu    sync.Mutex
	text  string
	env   map[string]string
	peers peers
}

func (d *draft) write(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.text = fmt.Sprintf(format, args...)
}

func (d *draft) load() (*config.Document, []config.Warning, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	doc, warnings, err := config.Parse("test.yaml", []byte(d.text), config.LoadOptions{Env: func(name string) (string, bool) {
		v, ok := d.env[name]
		return v, ok
	}})
	if err == nil {
		d.peers.reach(doc)
	}
	return doc, warnings, err
}

// drafted starts a gateway over a configuration that can be written anew.
func drafted(t *testing.T, p peers, format string, args ...any) (*rig, *draft) {
	t.Helper()
	d := &draft{peers: p}
	d.write(format, args...)
	r := start(t, d.text, nil, p, func(o *server.Options) { o.Load = d.load })
	return r, d
}

func (r *rig) reload() string {
	r.t.Helper()
	a := r.do(http.MethodPost, "http://"+adminAddr+"/api/v1/reload", "{}")
	if a.status != http.StatusOK {
		r.t.Fatalf("reload: %d %s", a.status, a.body)
	}
	return a.body
}

// events returns the messages of the events of a kind, the oldest first.
func (r *rig) events(kind status.EventKind) (all []string) {
	r.t.Helper()
	var events []status.Event
	decode(r.t, r.admin("/api/v1/events", "Accept", "application/json"), &events)
	for _, e := range events {
		if e.Kind == kind {
			all = append(all, e.Message)
		}
	}
	return all
}

// echo calls a tool in a session of an elder revision.
func (r *rig) echo(session, tool string) answer {
	r.t.Helper()
	return r.do(http.MethodPost, "http://"+mcpAddr+"/mcp", fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":%q,"arguments":{}}}`, time.Now().UnixNano(), tool),
		"Mcp-Session-Id", session, "Mcp-Protocol-Version", "2025-11-25")
}

const elder = "2025-11-25"

func TestReloadChangesWhatChangedAndNothingElse(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b := mem(t, backendtest.WithRevision(elder)), mem(t, backendtest.WithRevision(elder))
		c := mem(t, backendtest.WithRevision(elder))
		r, d := drafted(t, peers{a, b, c}, "mcpServers: {a: {url: %q}, b: {url: %q}}", a.URL, b.URL)
		session := r.open()
		for _, tool := range []string{"a_echo", "b_echo"} {
			if reason := r.echo(session, tool).reason(t); reason != "" {
				t.Fatalf("%s: %s", tool, reason)
			}
		}
		handshakes := a.Requests("initialize")
		lists := a.Requests("tools/list")

		d.write("mcpServers: {a: {url: %q}, b: {url: %q, headers: {X-Tenant: acme}}, c: {url: %q}}", a.URL, b.URL, c.URL)
		if said := r.reload(); !strings.Contains(said, "added c; changed b; 1 as before") {
			t.Errorf("reload says %s", said)
		}
		synctest.Wait()
		if diff := cmp.Diff([]string{"a_echo", "b_echo", "c_echo"}, slices.DeleteFunc(r.listed(), func(n string) bool { return !strings.HasSuffix(n, "_echo") })); diff != "" {
			t.Errorf("tools (-want +got):\n%s", diff)
		}
		for _, tool := range []string{"a_echo", "b_echo", "c_echo"} {
			if reason := r.echo(session, tool).reason(t); reason != "" {
				t.Errorf("%s after the reload: %s", tool, reason)
			}
		}
		wantCount(t, "handshakes at the backend that did not change", a.Requests("initialize"), handshakes)
		wantCount(t, "lists read there", a.Requests("tools/list"), lists)

		d.write("mcpServers: {c: {url: %q}}", c.URL)
		r.reload()
		synctest.Wait()
		if got := r.echo(session, "a_echo").reason(t); !strings.Contains(got, "there is no tool") {
			t.Errorf("a tool of a backend that is gone: %q", got)
		}
		if st := r.Status(); st.BackendCount != 1 || len(st.Backends) != 1 || st.Phase != status.PhaseReady {
			t.Errorf("status after two backends are gone: %+v", st)
		}
		if got := r.events(status.EventReload); len(got) != 2 || !strings.Contains(got[1], "removed a, b; 1 as before") {
			t.Errorf("events: %q", got)
		}
	})
}

// The breaker of a backend that did not change stays open, the one of a backend with
// another credential starts anew.
func TestReloadKeepsBreakers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b := mem(t, backendtest.WithToken("good-a")), mem(t, backendtest.WithToken("good-b"))
		const document = "mcpServers: {a: {url: %q, auth: {type: bearer, token: bad}}, b: {url: %q, auth: {type: bearer, token: %q}}}"
		r, d := drafted(t, peers{a, b}, document, a.URL, b.URL, "bad")
		for range 5 {
			r.call("a_echo")
			r.call("b_echo")
		}
		for _, name := range []string{"a", "b"} {
			if got := of(t, r.Status(), name).Breaker.State; got != status.BreakerOpen {
				t.Fatalf("the breaker of %s is %s", name, got)
			}
		}
		since := of(t, r.Status(), "a").Since
		d.write(document, a.URL, b.URL, "good-b")
		r.reload()
		synctest.Wait()
		if got := of(t, r.Status(), "a"); got.Breaker.State != status.BreakerOpen || !got.Since.Equal(since) {
			t.Errorf("a, which did not change: %+v, want an open breaker and since %s", got, since)
		}
		if got := of(t, r.Status(), "b"); got.Status != status.BackendStatusReady || got.Breaker.State != status.BreakerClosed {
			t.Errorf("b, with a good credential now, is %s (%s), breaker %s", got.Status, got.Reason, got.Breaker.State)
		}
	})
}

func TestACallInFlightEndsOnTheOldConfiguration(t *testing.T) {
	for _, revision := range []string{elder, "2026-07-28"} {
		t.Run(revision, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				release := make(chan struct{})
				srv := mem(t, backendtest.WithRevision(revision), backendtest.WithTool("wait", waitFor(release)), backendtest.WithTool("quick", waitFor(closed)))
				r, d := drafted(t, peers{srv}, "mcpServers: {a: {url: %q}}", srv.URL)
				session := r.open()
				var got [2]string
				var wg sync.WaitGroup
				wg.Go(func() { got[0] = r.echo(session, "a_wait").reason(t) })
				wg.Go(func() { got[1] = r.call("a_wait").reason(t) })
				synctest.Wait()
				d.write("mcpServers: {a: {url: %q, headers: {X-Tenant: acme}}}", srv.URL)
				r.reload()
				if !slices.Contains(r.listed(), "a_quick") {
					t.Error("the tools of the changed backend are gone until it was asked")
				}
				sleep(10 * time.Second)
				if reason := r.echo(session, "a_quick").reason(t); reason != "" {
					t.Errorf("a call on the new configuration: %s", reason)
				}
				close(release)
				wg.Wait()
				if got[0] != "" || got[1] != "" {
					t.Errorf("calls that were in flight: %q", got)
				}
				wantCount(t, "executions", srv.Executions("wait"), 2)
			})
		})
	}
}

// A call that waits for its retry is in flight, too.
func TestACallInRecoveryEndsOnTheOldConfiguration(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv := mem(t, backendtest.WithToken("good"))
		const document = "mcpServers: {a: {url: %q, auth: {type: bearer, token: good}, headers: {X-Turn: %q}}}"
		r, d := drafted(t, peers{srv}, document, srv.URL, "1")
		sends := srv.Requests("tools/call")
		srv.Inject(backendtest.Status(http.StatusUnauthorized, 1))
		var got string
		var wg sync.WaitGroup
		wg.Go(func() { got = r.call("a_echo").reason(t) })
		sleep(50 * time.Millisecond) // it is refused, and due again after 100 ms
		d.write(document, srv.URL, "2")
		r.reload()
		wg.Wait()
		if got != "" {
			t.Errorf("the call that waited: %q", got)
		}
		wantCount(t, "sends of it", srv.Requests("tools/call")-sends, 2)
	})
}

func TestARefusedReloadChangesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv := mem(t)
		r, d := drafted(t, peers{srv}, "mcpServers: {a: {url: %q}}", srv.URL)
		asked := srv.Requests("")
		for _, bad := range []struct{ document, want string }{
			{"mcpServers: {a: {url: [}}", "test.yaml"},
			{`mcpServers: {a: {url: "http://127.0.0.1:1/mcp", auth: {type: bearer, token: "${MISSING}"}}, b: {uri: x}}`, "MISSING"},
			{`{listen: "127.0.0.1:9999", mcpServers: {}}`, "listen"},
			{`{log: {format: text}, mcpServers: {}}`, "log.format"},
		} {
			d.write("%s", bad.document)
			a := r.do(http.MethodPost, "http://"+adminAddr+"/api/v1/reload", "{}")
			if a.status != http.StatusConflict || !strings.Contains(a.body, bad.want) || !strings.Contains(a.body, "problems") {
				t.Errorf("%s: %d %s", bad.document, a.status, a.body)
			}
			if reason := r.call("a_echo").reason(t); reason != "" {
				t.Errorf("a call after it: %s", reason)
			}
		}
		got := r.events(status.EventReload)
		if len(got) != 4 || !strings.Contains(got[0], "refused, the one in use stays") {
			t.Errorf("events: %q", got)
		}
		if st := of(t, r.Status(), "a"); st.Status != status.BackendStatusReady {
			t.Errorf("a is %s", st.Status)
		}
		_ = asked
	})
}

// New rules for what is served hold at once, without asking the backend again.
func TestReloadedRulesHoldAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv := mem(t)
		r, d := drafted(t, peers{srv}, "mcpServers: {a: {url: %q}}", srv.URL)
		lists := srv.Requests("tools/list")
		d.write("mcpServers: {a: {url: %q, tools: {deny: [echo]}}}", srv.URL)
		r.reload()
		if got := r.call("a_echo").reason(t); !strings.Contains(got, "there is no tool") {
			t.Errorf("a denied tool: %q", got)
		}
		if slices.Contains(r.listed(), "a_echo") {
			t.Error("the denied tool is listed")
		}
		wantCount(t, "lists read", srv.Requests("tools/list"), lists)
	})
}

// Calls go on while the configuration changes again and again.
func TestReloadUnderLoad(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv := mem(t, backendtest.WithRevision(elder))
		r, d := drafted(t, peers{srv}, "mcpServers: {a: {url: %q}}", srv.URL)
		done := make(chan struct{})
		var wg sync.WaitGroup
		calls := make([]int, 8)
		for i := range calls {
			session := r.open()
			wg.Go(func() {
				for {
					select {
					case <-done:
						return
					default:
					}
					if reason := r.echo(session, "a_echo").reason(t); reason != "" {
						t.Errorf("call %d of client %d: %s", calls[i], i, reason)
						return
					}
					calls[i]++
					time.Sleep(time.Millisecond)
				}
			})
		}
		for i := range 20 {
			sleep(50 * time.Millisecond)
			d.write("mcpServers: {a: {url: %q, headers: {X-Turn: %q}}}", srv.URL, fmt.Sprint(i))
			r.reload()
		}
		close(done)
		wg.Wait()
		sum := 0
		for _, n := range calls {
			sum += n
		}
		wantCount(t, "executions", srv.Executions("echo"), sum)
		if sum < 1000 {
			t.Errorf("only %d calls were made", sum)
		}
	})
}

func TestPauseAndResume(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b := mem(t), mem(t)
		r, _ := drafted(t, peers{a, b}, "mcpServers: {a: {url: %q}, b: {url: %q}}", a.URL, b.URL)
		act := func(action string) answer {
			return r.do(http.MethodPost, "http://"+adminAddr+"/api/v1/backends/a/"+action, "")
		}
		if got := act("pause"); got.status != http.StatusOK || !strings.Contains(got.body, `"paused": true`) {
			t.Fatalf("pause: %d %s", got.status, got.body)
		}
		asked := a.Requests("")
		if got := r.call("a_echo").reason(t); got != "disabled" {
			t.Errorf("a call to it: %q", got)
		}
		if slices.Contains(r.listed(), "a_echo") || !slices.Contains(r.listed(), "b_echo") {
			t.Errorf("listed: %q", r.listed())
		}
		if st := of(t, r.Status(), "a"); st.Reason != status.ReasonDisabled || !strings.Contains(st.Fix, "recloser backend resume a") {
			t.Errorf("its status: %+v", st)
		}
		sleep(10 * time.Minute)
		wantCount(t, "requests to it while it is paused", a.Requests(""), asked)
		if got := act("probe"); got.status != http.StatusConflict {
			t.Errorf("a probe of it: %d %s", got.status, got.body)
		}
		act("resume")
		synctest.Wait()
		if got := r.call("a_echo").reason(t); got != "" {
			t.Errorf("a call after it was resumed: %q", got)
		}
		if got := r.events(status.EventAction); len(got) != 3 {
			t.Errorf("audit: %q", got)
		}
	})
}

func decode(t *testing.T, a answer, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.body), into); err != nil {
		t.Fatalf("%d %s: %v", a.status, a.body, err)
	}
}

// closed ends no wait.
var closed = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// waitFor is a tool that answers when release is closed.
func waitFor(release <-chan struct{}) backendtest.ToolFunc {
	return func(ctx context.Context, _ json.RawMessage) (any, error) {
		select {
		case <-release:
			return "done", nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func TestTheLevelOfTheLogFollowsAReload(t *testing.T) {
	bubble(t, func(t *testing.T) {
		level := &slog.LevelVar{}
		d := &draft{}
		d.write("{log: {level: info}, mcpServers: {}}")
		r := start(t, d.text, nil, nil, func(o *server.Options) { o.Load, o.Level = d.load, level })
		d.write("{log: {level: error}, mcpServers: {}}")
		r.reload()
		if got := level.Level(); got != slog.LevelError {
			t.Errorf("the level is %s", got)
		}
		d.write("{log: {level: debug}, listen: \"127.0.0.1:9\", mcpServers: {}}") // refused
		if _, err := r.Reload(t.Context()); err == nil {
			t.Error("another listener was taken up")
		}
		if got := level.Level(); got != slog.LevelError {
			t.Errorf("a refused configuration made the level %s", got)
		}
	})
}
