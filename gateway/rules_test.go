package gateway_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/recloser-mcp/recloser/backendtest"
	"github.com/recloser-mcp/recloser/catalog"
)

// ruled is a server with something to leave out of each kind, and the rules that
// do so.
func ruled(t testing.TB, opts ...backendtest.Option) (*backendtest.Server, settings) {
	t.Helper()
	opts = append([]backendtest.Option{backendtest.WithPipe(),
		backendtest.WithTool("get", backendtest.Text("got")), backendtest.WithTool("old", backendtest.Text("old tool")),
		backendtest.WithTool("delete_it", backendtest.Text("deleted")), backendtest.WithTool("pinned", backendtest.Text("changed")),
		backendtest.WithPrompt("plan", "a plan"), backendtest.WithPrompt("secret", "a secret"),
		backendtest.WithResource("file:///srv/x", "x"), backendtest.WithResource("file:///etc/passwd", "root"),
		backendtest.WithResourceTemplate("file:///{+path}", "anything"),
	}, opts...)
	return backendtest.NewServer(t, opts...), settings{rules: catalog.Selection{
		Tools:     catalog.Rules{Deny: []string{"delete_*"}, Rename: map[string]string{"old": "new"}, Pin: map[string]catalog.Digest{"pinned": {}}},
		Prompts:   catalog.Rules{Deny: []string{"secret"}, Rename: map[string]string{"plan": "scheme"}},
		Resources: catalog.URIRules{Deny: []string{"file:///etc/*"}},
	}}
}

func TestWhatIsDeniedCannotBeCalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, set := ruled(t)
		r := newRig(t, set, srv)
		synctest.Wait()
		before := srv.Requests("")
		for _, at := range []struct{ path, prefix string }{{"/mcp", "a_"}, {"/mcp/a", ""}} {
			for _, front := range []string{modern, elder} {
				id := r.open(at.path, elder)
				for method, want := range map[string][]string{
					"tools/list": {at.prefix + "get", at.prefix + "new"}, "prompts/list": {at.prefix + "scheme"}, "resources/list": {"file:///srv/x"},
				} {
					if diff := cmp.Diff(want, idsOf(t, r.ask(front, id, at.path, method, "", ""))); diff != "" {
						t.Errorf("%s %s %s: %s", front, at.path, method, diff)
					}
				}
				for _, c := range []struct{ method, key, name string }{
					{"tools/call", "name", at.prefix + "delete_it"}, {"tools/call", "name", at.prefix + "old"}, {"tools/call", "name", at.prefix + "pinned"},
					{"tools/call", "name", "delete_it"}, {"tools/call", "name", "a_delete_it"},
					{"prompts/get", "name", at.prefix + "secret"}, {"prompts/get", "name", at.prefix + "plan"},
					{"resources/read", "uri", "file:///etc/passwd"}, {"resources/read", "uri", "file:///etc/shadow"}, {"resources/read", "uri", "file:///srv/../etc/passwd"},
				} {
					a := r.ask(front, id, at.path, c.method, c.name, fmt.Sprintf("%q:%q", c.key, c.name))
					code := -32602
					if c.method == "resources/read" && front == elder {
						code = -32002
					}
					if out := a.rpc(t); a.status != 200 || out.Error == nil || out.Error.Code != code || !strings.Contains(out.Error.Message, c.name) {
						t.Errorf("%s %s %s %s: %d %s", front, at.path, c.method, c.name, a.status, a.body)
					}
				}
			}
		}
		if n := srv.Requests("") - before; n != 0 {
			t.Errorf("%d requests reached the backend", n)
		}
		for _, at := range []struct{ path, name string }{{"/mcp", "a_new"}, {"/mcp/a", "new"}} {
			if got := r.ask(modern, "", at.path, "tools/call", at.name, fmt.Sprintf(`"name":%q`, at.name)).text(t); got != "old tool" {
				t.Errorf("%s at %s answers %q", at.name, at.path, got)
			}
			if a := r.ask(modern, "", at.path, "resources/read", "file:///srv/other", `"uri":"file:///srv/other"`); !strings.Contains(a.body, "anything") {
				t.Errorf("a URI that is not denied: %s", a.body)
			}
		}
		if n := srv.Executions("old"); n != 2 || srv.Executions("delete_it")+srv.Executions("pinned") != 0 {
			t.Errorf("old ran %d times, want 2, and the others never", n)
		}
	})
}

// Names of a backend that has not been listed are taken as they come, but not
// past its rules.
func TestWhatIsDeniedCannotBeCalledBeforeTheBackendIsListed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, set := ruled(t, backendtest.WithFault(backendtest.Hang(backendtest.Forever).ForMethod("tools/list")))
		r := newRig(t, set, srv)
		synctest.Wait()
		for _, at := range []struct{ path, prefix string }{{"/mcp", "a_"}, {"/mcp/a", ""}} {
			for _, name := range []string{"delete_it", "old", "pinned"} {
				name = at.prefix + name
				a := r.ask(modern, "", at.path, "tools/call", name, fmt.Sprintf(`"name":%q`, name))
				if out := a.rpc(t); out.Error == nil || out.Error.Code != -32602 {
					t.Errorf("%s at %s: %s", name, at.path, a.body)
				}
			}
		}
		if n := srv.Requests("tools/call"); n != 0 {
			t.Errorf("%d calls reached the backend", n)
		}
		if got := r.ask(modern, "", "/mcp", "tools/call", "a_new", `"name":"a_new"`).text(t); got != "old tool" {
			t.Errorf("a_new answers %q", got)
		}
	})
}

// idsOf returns what a list has, by name or URI.
func idsOf(t testing.TB, a answer) (ids []string) {
	t.Helper()
	var lists map[string]json.RawMessage
	if err := json.Unmarshal(a.rpc(t).Result, &lists); err != nil {
		t.Fatalf("%v in %s", err, a.body)
	}
	for _, raw := range lists {
		var list []struct{ Name, URI string }
		if !bytes.HasPrefix(raw, []byte("[")) || json.Unmarshal(raw, &list) != nil {
			continue
		}
		for _, e := range list {
			if e.URI != "" {
				e.Name = e.URI
			}
			ids = append(ids, e.Name)
		}
	}
	return ids
}
