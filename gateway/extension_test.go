package gateway_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/recloser-mcp/recloser/backendtest"
	"github.com/recloser-mcp/recloser/gateway"
)

// tasker is a server of 2026-07-28 with the tasks extension. It says of every task
// that it is its own.
func tasker(t *testing.T, name string) *backendtest.Server {
	t.Helper()
	results := map[string]string{
		"server/discover": `{"resultType":"complete","supportedVersions":["2026-07-28"],"ttlMs":0,"cacheScope":"public","capabilities":{"tools":{},"extensions":{"io.modelcontextprotocol/tasks":{},"com.example/` + name + `":{"v":1}}}}`,
		"tools/list":      `{"resultType":"complete","ttlMs":0,"cacheScope":"public","tools":[{"name":"long","inputSchema":{"type":"object"}}]}`,
		"tools/call":      `{"resultType":"task","taskId":"t-` + name + `","status":"working"}`,
		"tasks/get":       `{"resultType":"complete","status":"working","at":"` + name + `"}`,
		"example/ping":    `{"resultType":"complete","at":"` + name + `"}`,
	}
	return backendtest.NewServer(t, backendtest.WithPipe(), backendtest.WithHandler(func(w http.ResponseWriter, _ *http.Request, m backendtest.Message) bool {
		result, ok := results[m.Method]
		if ok {
			w.Header().Set("Content-Type", "application/json")
			_, _ = fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":%s}`, m.ID, result)
		}
		return ok
	}))
}

func TestTasksGoToTheBackendThatMadeThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := tasker(t, "a"), tasker(t, "b")
		r := newRig(t, settings{}, a, b)
		synctest.Wait()
		ask := func(path, method, name, params string) answer { return r.ask(modern, "", path, method, name, params) }
		about := ask("/mcp", "server/discover", "", "").body
		for _, want := range []string{`"io.modelcontextprotocol/tasks":{}`, `"com.example/a":{"v":1}`, `"com.example/b":{"v":1}`} {
			if !strings.Contains(about, want) {
				t.Errorf("discover lacks %s: %s", want, about)
			}
		}
		if got := ask("/mcp", "tools/call", "b_long", `"name":"b_long"`).body; !strings.Contains(got, `"taskId":"t-b"`) {
			t.Fatalf("%s", got)
		}
		if got := ask("/mcp", "tasks/get", "t-b", `"taskId":"t-b"`); !strings.Contains(got.body, `"at":"b"`) {
			t.Errorf("%d %s", got.status, got.body)
		}
		if e := ask("/mcp", "tasks/get", "t-x", `"taskId":"t-x"`).rpc(t).Error; e == nil || e.Code != -32602 {
			t.Errorf("a task of nobody: %+v", e)
		}
		if na, nb := a.Requests("tasks/get"), b.Requests("tasks/get"); na != 0 || nb != 1 {
			t.Errorf("%d and %d requests for tasks, want none and one", na, nb)
		}
		if got := ask("/mcp/a", "tasks/get", "t-x", `"taskId":"t-x"`); !strings.Contains(got.body, `"at":"a"`) {
			t.Errorf("%d %s", got.status, got.body)
		}
		// What an extension defines is for the endpoint of its backend.
		if got := ask("/mcp/b", "example/ping", "", ""); got.status != 200 || !strings.Contains(got.body, `"at":"b"`) {
			t.Errorf("%d %s", got.status, got.body)
		}
		if got := ask("/mcp", "example/ping", "", ""); got.status != 404 || got.rpc(t).Error.Code != -32601 {
			t.Errorf("%d %s", got.status, got.body)
		}
	})
}

// elderTasker is the same of 2025-11-25, where tasks are a capability of their own.
func elderTasker(t *testing.T, name string) *backendtest.Server {
	t.Helper()
	results := map[string]string{
		"initialize": `{"protocolVersion":"2025-11-25","capabilities":{"tools":{},"tasks":{"list":{},"cancel":{}}},"serverInfo":{"name":"` + name + `","version":"1"}}`,
		"ping":       `{}`,
		"tools/list": `{"tools":[{"name":"long","inputSchema":{"type":"object"}}]}`,
		"tools/call": `{"task":{"taskId":"t-` + name + `","status":"working"}}`,
		"tasks/get":  `{"taskId":"t-` + name + `","status":"working"}`,
		"tasks/list": `{"tasks":[{"taskId":"t-` + name + `"}]}`,
	}
	return backendtest.NewServer(t, backendtest.WithPipe(), backendtest.WithRevision(elder), backendtest.WithHandler(func(w http.ResponseWriter, _ *http.Request, m backendtest.Message) bool {
		if m.Method == backendtest.MethodGet {
			w.WriteHeader(http.StatusMethodNotAllowed)
			return true
		}
		result, ok := results[m.Method]
		switch {
		case ok:
			w.Header().Set("Content-Type", "application/json")
			_, _ = fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":%s}`, m.ID, result)
		case strings.HasPrefix(m.Method, "notifications/"):
			w.WriteHeader(http.StatusAccepted)
		}
		return ok || strings.HasPrefix(m.Method, "notifications/")
	}))
}

func TestTasksOfTheElderRevision(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := elderTasker(t, "a"), elderTasker(t, "b")
		r := newRig(t, settings{}, a, b)
		synctest.Wait()
		id := r.open("/mcp", elder)
		ask := func(method, params string) answer { return r.ask(elder, id, "/mcp", method, "", params) }
		if got := ask("tools/call", `"name":"b_long","task":{"ttl":1000}`).body; !strings.Contains(got, `"taskId":"t-b"`) {
			t.Fatalf("%s", got)
		}
		if got := ask("tasks/get", `"taskId":"t-b"`).body; !strings.Contains(got, `"taskId":"t-b"`) {
			t.Errorf("%s", got)
		}
		if na, nb := a.Requests("tasks/get"), b.Requests("tasks/get"); na != 0 || nb != 1 {
			t.Errorf("%d and %d requests for tasks, want none and one", na, nb)
		}
		// All pages, one backend after the other.
		var all []string
		for params := ""; ; {
			var page struct {
				Tasks      []struct{ TaskID string }
				NextCursor string
			}
			if err := json.Unmarshal(ask("tasks/list", params).rpc(t).Result, &page); err != nil {
				t.Fatal(err)
			}
			for _, one := range page.Tasks {
				all = append(all, one.TaskID)
			}
			if page.NextCursor == "" {
				break
			}
			params = fmt.Sprintf(`"cursor":%q`, page.NextCursor)
		}
		if diff := cmp.Diff([]string{"t-a", "t-b"}, all); diff != "" {
			t.Error(diff)
		}
		if e := ask("tasks/list", `"cursor":"made up"`).rpc(t).Error; e == nil || e.Code != -32602 {
			t.Errorf("a cursor of nobody: %+v", e)
		}
	})
}

func TestTheTraceContextOfAMessageIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const parent = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01"
		var told http.Header
		srv := sample(t, "one")
		r := newRig(t, settings{gateway: func(o *gateway.Options) {
			o.Trace.Start = func(ctx context.Context, _ http.Header, op gateway.Operation) context.Context {
				told = op.TraceContext()
				return ctx
			}
			o.Trace.End = func(context.Context, gateway.Operation, time.Duration, string) {}
		}}, srv)
		synctest.Wait()
		with := strings.Replace(meta, `{"io.`, `{"traceparent":"`+parent+`","baggage":"k=v","io.`, 1)
		a := r.post("/mcp", `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"a_who",`+with+`}}`, modernHeaders("tools/call", "a_who")...)
		if a.text(t) != "one" {
			t.Errorf("%s", a.body)
		}
		if diff := cmp.Diff(http.Header{"Traceparent": {parent}, "Baggage": {"k=v"}}, told); diff != "" {
			t.Error(diff)
		}
		// Without spans of ours it goes through as it is.
		last, _ := srv.Last("tools/call")
		if !strings.Contains(string(last.Body), `"traceparent":"`+parent+`"`) {
			t.Errorf("%s", last.Body)
		}
		r.ask(modern, "", "/mcp", "tools/call", "a_who", `"name":"a_who"`).text(t)
		if told != nil {
			t.Errorf("told of a context that is not there: %v", told)
		}
	})
}
