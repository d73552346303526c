package faults

import (
	"strings"
	"testing"

	"github.com/recloser-mcp/recloser/backendtest"
)

func TestADeniedToolIsNeitherListedNorCalled(t *testing.T) {
	t.Parallel()
	s := backendtest.NewServer(t, backendtest.WithTool("echo", backendtest.Echo),
		backendtest.WithTool("delete_all", backendtest.Text("deleted")), backendtest.WithTool("old", backendtest.Text("renamed")))
	key := random()
	g := serve(t, static(s, ", tools: {deny: [delete_*], rename: {old: new}}"), map[string]string{"KEY": key})
	c := g.client()
	g.listed(c, "b_echo", "b_new")
	for _, name := range []string{"b_delete_all", "b_old"} {
		if a := g.call(t.Context(), c, name); a.err == nil || !strings.Contains(a.err.Error(), "there is no tool") {
			t.Errorf("%s: %+v", name, a)
		}
	}
	wantCount(t, "sends", s.Requests(call), 0)
	if a := g.call(t.Context(), c, "b_new"); a.text != "renamed" {
		t.Errorf("b_new: %+v", a)
	}
	wantCount(t, "sends", s.Requests(call), 1)
	wantCount(t, "executions", s.Executions("old"), 1)
	wantCount(t, "executions", s.Executions("delete_all"), 0)
	if n := g.Status().Tools; n != 2 {
		t.Errorf("the status counts %d tools, want the 2 that are served", n)
	}
}
