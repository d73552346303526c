package catalog_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/catalog"
)

func TestABackendAloneKeepsItsOwnNames(t *testing.T) {
	s := settled(t, catalog.Options{}, offering(catalog.Rules{}, "get", "put"), offering(catalog.Rules{}, "get"))
	own, ok := s.Backend("a")
	if !ok {
		t.Fatal("no view")
	}
	if diff := cmp.Diff([]string{"get", "put"}, names(own, catalog.Tool)); diff != "" {
		t.Error(diff)
	}
	if e, ok := own.Find(catalog.Tool, []byte("get")); !ok || e.Backend != "a" || e.Name != "get" {
		t.Errorf("get is %+v", e)
	}
	if _, ok := s.Backend("c"); ok {
		t.Error("there is a view of a backend that is not there")
	}
}

func TestDefinitionsKeepTheirBytes(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		name := rapid.StringMatching(`[a-z]{1,8}`).Draw(rt, "name")
		number := rapid.StringMatching(`-?[1-9][0-9]{0,40}(\.[0-9]{1,30})?`).Draw(rt, "number")
		text := rapid.String().Draw(rt, "text")
		before := fmt.Sprintf(` { "x" :%s,"inputSchema":{"type":"object","properties":{"name":{"type":"string"}}},`, number)
		after := fmt.Sprintf(`, "_meta" : {"name":%q, "z":[ 1 , 2 ]}, "a":null}`, "inner")
		quoted, _ := json.Marshal(text)
		after = fmt.Sprintf(`,"t":%s`, quoted) + after
		raw := before + fmt.Sprintf(`"name"  :  %q`, name) + after
		s := settled(t, catalog.Options{}, listing(backend.Capabilities{Tools: []json.RawMessage{json.RawMessage(raw)}}))
		e, ok := s.Tool("a_" + name)
		if !ok {
			rt.Fatalf("not listed: %v", s.Reports())
		}
		want := strings.TrimSpace(before + fmt.Sprintf(`"name"  :  %q`, "a_"+name) + after)
		if diff := cmp.Diff(want, string(bytes.TrimSpace(e.Definition))); diff != "" {
			rt.Error(diff)
		}
		own, _ := s.Backend("a")
		if diff := cmp.Diff(strings.TrimSpace(raw), string(bytes.TrimSpace(own.Entries(catalog.Tool)[0].Definition))); diff != "" {
			rt.Error(diff)
		}
	})
}

func TestUnusableEntriesAreLeftOutAndReported(t *testing.T) {
	def := func(s string) json.RawMessage { return json.RawMessage(s) }
	s := settled(t, catalog.Options{},
		listing(backend.Capabilities{
			Tools: []json.RawMessage{
				def(`{"name":"good","inputSchema":{"properties":{"r":{"type":"string","x-mcp-header":"Region"}}}}`),
				def(`{"name":"bad","inputSchema":{"properties":{"r":{"type":"number","x-mcp-header":"Region"}}}}`),
				def(`{"title":"nameless"}`), def(`7`), def(`{"name":"good"}`),
			},
			Resources: resources("file:///x"), Templates: templates("file:///{p}"),
		}),
		listing(backend.Capabilities{Resources: resources("file:///x", "file:///y"), Templates: templates("file:///{p}")}))
	if diff := cmp.Diff([]string{"a_good"}, names(s.All(), catalog.Tool)); diff != "" {
		t.Error(diff)
	}
	if e, _ := s.Tool("a_good"); len(e.Params) != 1 || e.Params[0].Name != "Mcp-Param-Region" {
		t.Errorf("headers of a_good: %+v", e.Params)
	}
	if diff := cmp.Diff([]string{"file:///x", "file:///y"}, names(s.All(), catalog.Resource)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{
		`tool "bad" of a is not listed: invalid x-mcp-header at "r": type is not string, integer or boolean`,
		`tool "" of a is not listed: it has no name`,
		`tool "" of a is not listed: it has no name`,
		`tool "good" of a is not listed: the backend lists it twice`,
		`resource "file:///x" of b is not listed: a stands before it in the configuration and has the same URI`,
		`resource template "file:///{p}" of b is not listed: a stands before it in the configuration and has the same URI`,
	}, reports(s)); diff != "" {
		t.Error(diff)
	}
}

func TestFindResources(t *testing.T) {
	s := settled(t, catalog.Options{},
		listing(backend.Capabilities{Resources: resources("file:///x"), Templates: templates("file:///{+path}", "db://{table}/rows")}),
		listing(backend.Capabilities{Resources: resources("mem://b"), Templates: templates("file:///logs/{name}", "odd://{")}))
	for _, c := range []struct {
		uri, want string
	}{
		{"file:///x", "a"}, {"mem://b", "b"},
		{"file:///deep/er", "a"},
		{"file:///logs/today", "b"}, // the more literal template
		{"file:///logs/2026/07", "a"},
		{"db://users/rows", "a"}, {"db://users/rows/1", ""},
		{"http://elsewhere", ""}, {"", ""}, {"odd://{", ""},
		{"file:///logs/{name}", "b"},
	} {
		e, ok := s.All().Find(catalog.Resource, []byte(c.uri))
		if got := owner(e); got != c.want || ok != (c.want != "") {
			t.Errorf("%q belongs to %q, want %q", c.uri, got, c.want)
		}
		if ok && e.Name != c.uri {
			t.Errorf("%q was rewritten to %q", c.uri, e.Name)
		}
	}
	if e, ok := s.All().Find(catalog.Template, []byte("file:///x")); owner(e) != "a" || !ok {
		t.Error("a completion about a resource does not find its owner")
	}
	own, _ := s.Backend("b")
	if e, ok := own.Find(catalog.Resource, []byte("http://elsewhere")); owner(e) != "b" || !ok {
		t.Error("an endpoint of one backend does not pass on a URI it does not know")
	}
}

func owner(e *catalog.Entry) string {
	if e == nil {
		return ""
	}
	return e.Backend
}

func TestAnUnlistedURIBelongsToTheOnlyBackendWithResources(t *testing.T) {
	s := settled(t, catalog.Options{}, listing(capabilities(`{"resources":{}}`)), listing(capabilities(`{"tools":{}}`)))
	if e, ok := s.All().Find(catalog.Resource, []byte("any://thing")); owner(e) != "a" || !ok {
		t.Errorf("it belongs to %q", owner(e))
	}
}

func TestNamesOfABackendThatWasNeverListed(t *testing.T) {
	c := catalog.New(catalog.Options{}, []catalog.Backend{{Name: "Git Hub", Slug: "git-hub"}, {Name: "b", Slug: "b"}})
	v := c.Snapshot().All()
	e, ok := v.Find(catalog.Tool, []byte("git-hub_get_issue"))
	if want := (&catalog.Entry{Kind: catalog.Tool, Backend: "Git Hub", Public: "git-hub_get_issue", Name: "get_issue"}); !ok ||
		e.Backend != want.Backend || e.Public != want.Public || e.Name != want.Name || e.Definition != nil {
		t.Errorf("got %+v, want %+v", e, want)
	}
	for _, name := range []string{"c_get", "get", "git-hub_", "_get", ""} {
		if e, ok := v.Find(catalog.Tool, []byte(name)); ok {
			t.Errorf("%q is %+v", name, e)
		}
	}
	own, _ := c.Snapshot().Backend("git-hub")
	if e, ok := own.Find(catalog.Prompt, []byte("plan")); !ok || e.Name != "plan" || e.Backend != "Git Hub" {
		t.Errorf("plan is %+v", e)
	}
	if diff := cmp.Diff([]string{"Git Hub", "b"}, v.Missing()); diff != "" {
		t.Error(diff)
	}
}

func TestInstructionsComeFromTheBackends(t *testing.T) {
	s := settled(t, catalog.Options{}, listing(backend.Capabilities{Instructions: "Ask me."}), &peer{}, listing(backend.Capabilities{Instructions: "Or me."}))
	if diff := cmp.Diff("a (names begin with a_):\nAsk me.\n\nc (names begin with c_):\nOr me.", s.All().Instructions()); diff != "" {
		t.Error(diff)
	}
	for _, o := range []catalog.Options{{Conflicts: catalog.Auto}, {Conflicts: catalog.Priority}, {Conflicts: catalog.Manual}} {
		if got := settled(t, o, listing(backend.Capabilities{Instructions: "Ask me."})).All().Instructions(); got != "a:\nAsk me." {
			t.Errorf("%s: %q", o.Conflicts, got)
		}
	}
	if own, _ := s.Backend("c"); own.Instructions() != "Or me." {
		t.Errorf("alone: %q", own.Instructions())
	}
}

func TestFindAllocatesNothingForWhatIsListed(t *testing.T) {
	v := settled(t, catalog.Options{}, offering(catalog.Rules{}, "get")).All()
	name := []byte("a_get")
	if n := testing.AllocsPerRun(100, func() {
		if _, ok := v.Find(catalog.Tool, name); !ok {
			t.Fatal("not found")
		}
	}); n != 0 {
		t.Errorf("%.0f allocations", n)
	}
}
