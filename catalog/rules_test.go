package catalog_test

import (
	"path"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/catalog"
)

func TestRulesForTools(t *testing.T) {
	all := []string{"get", "put", "delete_a", "delete_b", "fs/read"}
	for _, c := range []struct {
		what  string
		o     catalog.Options
		rules catalog.Rules
		want  []string // public name and the backend's own
		own   []string // where the backend stands alone
		told  []string // of tools
	}{
		{"no rules", catalog.Options{}, catalog.Rules{},
			[]string{"a_delete_a", "a_delete_b", "a_fs_read_ouylljos", "a_get", "a_put"}, []string{"delete_a", "delete_b", "fs_read_sy3zsgpw", "get", "put"},
			[]string{`tool "fs/read" of a is listed as "a_fs_read_ouylljos": names have at most 64 characters of letters, digits, _ . and -`}},
		{"allow", catalog.Options{}, catalog.Rules{Allow: []string{"get", "p?t"}}, []string{"a_get", "a_put"}, []string{"get", "put"}, nil},
		{"deny", catalog.Options{}, catalog.Rules{Deny: []string{"delete_*", "fs*"}}, []string{"a_get", "a_put"}, []string{"get", "put"}, nil},
		{"deny wins", catalog.Options{}, catalog.Rules{Allow: []string{"*"}, Deny: []string{"*_*", "fs/*", "get"}}, []string{"a_put"}, []string{"put"}, nil},
		{"a star stands for a slash", catalog.Options{}, catalog.Rules{Deny: []string{"f*", "delete*"}}, []string{"a_get", "a_put"}, []string{"get", "put"}, nil},
		{"a question mark too", catalog.Options{}, catalog.Rules{Deny: []string{"fs?read", "delete*"}}, []string{"a_get", "a_put"}, []string{"get", "put"}, nil},
		{"a class", catalog.Options{}, catalog.Rules{Allow: []string{"[f-h]et", `\put`}}, []string{"a_get", "a_put"}, []string{"get", "put"}, nil},
		{"nothing", catalog.Options{}, catalog.Rules{Deny: []string{"*"}}, []string{}, []string{}, nil},
		{"what is no glob opens nothing", catalog.Options{}, catalog.Rules{Allow: []string{"get", "[p"}}, []string{"a_get"}, []string{"get"}, nil},
		{"what is no glob denies everything", catalog.Options{}, catalog.Rules{Deny: []string{"[p"}}, []string{}, []string{}, nil},
		{"names that are not there", catalog.Options{}, catalog.Rules{Allow: []string{"get", "gett"}, Deny: []string{"put", "putt", "none_*"}, Rename: map[string]string{"gat": "x"}}, []string{"a_get"}, []string{"get"}, []string{
			`tool "gat" of a is not listed: mcpServers.a.tools.rename names it, and the backend does not have it: correct the name, or remove it there`,
			`tool "gett" of a is not listed: mcpServers.a.tools.allow names it, and the backend does not have it: correct the name, or remove it there`,
			`tool "putt" of a is not listed: mcpServers.a.tools.deny names it, and the backend does not have it: correct the name, or remove it there`}},

		{"rename", catalog.Options{}, catalog.Rules{Allow: []string{"get", "put"}, Rename: map[string]string{"get": "fetch"}},
			[]string{"a_fetch=get", "a_put"}, []string{"fetch=get", "put"}, nil},
		{"rename without a prefix", catalog.Options{Conflicts: catalog.Manual}, catalog.Rules{Allow: []string{"get", "put"}, Rename: map[string]string{"get": "fetch"}},
			[]string{"fetch=get", "put"}, []string{"fetch=get", "put"}, nil},
		{"rename to each other's", catalog.Options{}, catalog.Rules{Allow: []string{"get", "put"}, Rename: map[string]string{"get": "put", "put": "get"}},
			[]string{"a_get=put", "a_put=get"}, []string{"get=put", "put=get"}, nil},
		{"rename to a name that is free because it is denied", catalog.Options{}, catalog.Rules{Allow: []string{"get"}, Rename: map[string]string{"get": "put"}},
			[]string{"a_put=get"}, []string{"put=get"}, nil},
		{"rename of what is denied", catalog.Options{}, catalog.Rules{Allow: []string{"get"}, Rename: map[string]string{"put": "x"}},
			[]string{"a_get"}, []string{"get"}, []string{`tool "put" of a is not listed: mcpServers.a.tools.rename names it, but allow and deny leave it out: remove it there`}},
		{"rename to a name that is taken", catalog.Options{}, catalog.Rules{Allow: []string{"get", "put"}, Rename: map[string]string{"get": "put"}},
			[]string{"a_get", "a_put"}, []string{"get", "put"}, []string{`tool "get" of a is listed as "get": it is not renamed to "put": "put" has that name`}},
		{"rename of two to one", catalog.Options{}, catalog.Rules{Allow: []string{"get", "put"}, Rename: map[string]string{"put": "x", "get": "x"}},
			[]string{"a_put", "a_x=get"}, []string{"put", "x=get"}, []string{`tool "put" of a is listed as "put": it is not renamed to "x": "get" has that name`}},
		{"one that keeps its name keeps another from it", catalog.Options{},
			catalog.Rules{Allow: []string{"get", "put", "delete_a"}, Rename: map[string]string{"delete_a": "get", "get": "put"}},
			[]string{"a_delete_a", "a_get", "a_put"}, []string{"delete_a", "get", "put"}, []string{
				`tool "get" of a is listed as "get": it is not renamed to "put": "put" has that name`,
				`tool "delete_a" of a is listed as "delete_a": it is not renamed to "get": "get" has that name`}},
		{"rename to what is no name", catalog.Options{}, catalog.Rules{Allow: []string{"get", "put"}, Rename: map[string]string{"get": "hol es", "put": ""}},
			[]string{"a_get", "a_put"}, []string{"get", "put"}, []string{
				`tool "get" of a is listed as "get": it is not renamed to "hol es": names have letters, digits, _ . and - only`,
				`tool "put" of a is listed as "put": it is not renamed to "": names have letters, digits, _ . and - only`}},
		{"rename of what could not be public", catalog.Options{}, catalog.Rules{Allow: []string{"fs*"}, Rename: map[string]string{"fs/read": "read"}},
			[]string{"a_read=fs/read"}, []string{"read=fs/read"}, nil},
	} {
		t.Run(c.what, func(t *testing.T) {
			s := settled(t, c.o, offering(c.rules, all...))
			own, _ := s.Backend("a")
			for _, k := range []catalog.Kind{catalog.Tool, catalog.Prompt} {
				if diff := cmp.Diff(c.want, renamed(s.All(), k)); diff != "" {
					t.Errorf("%ss of all: %s", k, diff)
				}
				if diff := cmp.Diff(c.own, renamed(own, k)); diff != "" {
					t.Errorf("%ss of one: %s", k, diff)
				}
			}
			if diff := cmp.Diff(c.told, reportsOf(s, catalog.Tool)); diff != "" {
				t.Error(diff)
			}
			for _, told := range reportsOf(s, catalog.Prompt) {
				if strings.Contains(told, ".tools.") {
					t.Errorf("a report about a prompt speaks of tools: %s", told)
				}
			}
			for _, name := range all {
				for at, v := range map[string]*catalog.View{"a_": s.All(), "": own} {
					e, ok := v.Find(catalog.Tool, []byte(at+name))
					if _, listed := v.Find(catalog.Prompt, []byte(at+name)); ok != listed || ok && e.Definition == nil {
						t.Errorf("%s%s is found and not listed", at, name)
					}
				}
			}
		})
	}
}

// renamed returns public names of a kind, with the backend's own where that is
// no part of it.
func renamed(v *catalog.View, k catalog.Kind) []string {
	list := []string{}
	for _, e := range v.Entries(k) {
		if name := e.Public; strings.HasSuffix(name, e.Name) || strings.Contains(name, "fs_read_") {
			list = append(list, name)
		} else {
			list = append(list, name+"="+e.Name)
		}
	}
	return list
}

// Rules hold for a backend that was never listed, whose names are taken as they
// come.
func TestRulesHoldBeforeABackendIsListed(t *testing.T) {
	rules := catalog.Rules{
		Deny: []string{"delete_*", "drop"}, Pin: map[string]catalog.Digest{"pinned": {}, "both": {}},
		Rename: map[string]string{"old": "new", "drop": "keep", "x1": "x", "x2": "x", "both": "other", "bad": "no name"},
	}
	for _, o := range strategies {
		s := catalog.New(o, []catalog.Backend{{Name: "a", Slug: "a", Selection: catalog.Selection{Tools: rules, Prompts: rules}}}).Snapshot()
		own, _ := s.Backend("a")
		for public, want := range map[string]string{
			"get": "get", "new": "old", "bad": "bad",
			"delete_x": "", "delete_": "", "old": "", "drop": "", "keep": "", "x": "", "x1": "", "pinned": "", "other": "", "both": "",
		} {
			for _, k := range []catalog.Kind{catalog.Tool, catalog.Prompt} {
				e, _ := own.Find(k, []byte(public))
				if got := ownName(e); got != want {
					t.Errorf("%s: %s %q alone is %q, want %q", o.Conflicts, k, public, got, want)
				}
				all := want
				if o.Conflicts == catalog.Priority || o.Conflicts == catalog.Manual {
					all = "" // nothing in such a name says whose it is
				}
				e, _ = s.All().Find(k, []byte("a_"+public))
				if got := ownName(e); got != all {
					t.Errorf("%s: %s a_%s is %q, want %q", o.Conflicts, k, public, got, all)
				}
			}
		}
	}
}

func ownName(e *catalog.Entry) string {
	if e == nil {
		return ""
	}
	return e.Name
}

func TestRulesForResources(t *testing.T) {
	list := func(rules catalog.URIRules) *peer {
		return &peer{
			caps:  backend.Capabilities{Resources: resources("file:///etc/passwd", "file:///srv/x"), Templates: templates("file:///{+path}", "db://{table}")},
			rules: catalog.Selection{Resources: rules},
		}
	}
	for _, c := range []struct {
		what             string
		rules            catalog.URIRules
		listed           []string
		templates        []string
		readable, closed []string
	}{
		{"no rules", catalog.URIRules{}, []string{"file:///etc/passwd", "file:///srv/x"}, []string{"db://{table}", "file:///{+path}"},
			[]string{"file:///etc/passwd", "file:///etc/ssh/key", "file:///srv/../etc/passwd", "db://users", "file:///%"}, nil},
		{"deny", catalog.URIRules{Deny: []string{"file:///etc/*"}}, []string{"file:///srv/x"}, []string{"db://{table}", "file:///{+path}"},
			[]string{"file:///srv/x", "file:///srv/other", "file:///srv/a%20b", "db://users"},
			[]string{"file:///etc/passwd", "file:///etc/ssh/key", "file:///%65tc/passwd", "file:///srv/../etc/passwd", "file:///srv/%2e%2E/etc/passwd",
				"file:///srv%2F..%2Fetc/passwd", `file:///srv\..\etc/passwd`, "file:///./etc/passwd", "FILE:///etc/passwd", "file:///%"}},
		{"deny a host", catalog.URIRules{Deny: []string{"db://users*"}}, []string{"file:///etc/passwd", "file:///srv/x"}, []string{"db://{table}", "file:///{+path}"},
			[]string{"db://groups"}, []string{"db://users", "db://USERS", "DB://Users", "db://user%73"}},
		{"deny a template", catalog.URIRules{Deny: []string{"db:*"}}, []string{"file:///etc/passwd", "file:///srv/x"}, []string{"file:///{+path}"},
			[]string{"file:///x"}, []string{"db://users", "db://{table}"}},
		{"allow", catalog.URIRules{Allow: []string{"file:///srv/*"}}, []string{"file:///srv/x"}, []string{},
			[]string{"file:///srv/x"}, []string{"file:///etc/passwd", "file:///srv/../etc/passwd", "db://users", "file:///{+path}"}},
		{"allow with the template", catalog.URIRules{Allow: []string{"file:///srv/*", "file:///{*"}}, []string{"file:///srv/x"}, []string{"file:///{+path}"},
			[]string{"file:///srv/x", "file:///srv/deep/er"}, []string{"file:///etc/passwd", "file:///srv/../etc/passwd"}},
	} {
		t.Run(c.what, func(t *testing.T) {
			// The second backend has resources too, so that nothing belongs to the only one.
			s := settled(t, catalog.Options{}, list(c.rules), listing(backend.Capabilities{Resources: resources("mem://b")}))
			own, _ := s.Backend("a")
			if diff := cmp.Diff(c.listed, names(own, catalog.Resource)); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(c.templates, names(s.All(), catalog.Template)); diff != "" {
				t.Error(diff)
			}
			for at, v := range map[string]*catalog.View{"all": s.All(), "alone": own} {
				for _, uri := range c.readable {
					if e, ok := v.Find(catalog.Resource, []byte(uri)); !ok || e.Name != uri || e.Backend != "a" {
						t.Errorf("%s: %s is not found", at, uri)
					}
				}
				for _, uri := range c.closed {
					for _, k := range []catalog.Kind{catalog.Resource, catalog.Template} {
						if e, ok := v.Find(k, []byte(uri)); ok {
							t.Errorf("%s: %s is found as %+v", at, uri, e)
						}
					}
				}
			}
		})
	}
}

func TestAURIThatOneBackendDeniesIsAnothers(t *testing.T) {
	denying := &peer{caps: backend.Capabilities{Resources: resources("file:///x"), Templates: templates("file:///logs/{name}")},
		rules: catalog.Selection{Resources: catalog.URIRules{Deny: []string{"file:///x", "file:///logs/secret"}}}}
	s := settled(t, catalog.Options{}, denying, listing(backend.Capabilities{Resources: resources("file:///x"), Templates: templates("file:///{+path}")}))
	for uri, want := range map[string]string{"file:///x": "b", "file:///logs/secret": "b", "file:///logs/today": "a"} {
		if e, _ := s.All().Find(catalog.Resource, []byte(uri)); owner(e) != want {
			t.Errorf("%s is of %q, want %s", uri, owner(e), want)
		}
	}
	if len(s.Reports()) != 0 {
		t.Errorf("reported: %q", reports(s))
	}
}

// Globs mean what path.Match says, but for the slash.
func TestGlobsAreThoseOfPathMatch(t *testing.T) {
	piece := rapid.SampledFrom([]string{"a", "b", "é", "-", "]", "^", "*", "?", "[", `\`, "[a-b]", "[^a]", "[b-a]", `[\]-]`, `\*`, "[a-bé-í]", "$", ".", "(", "|", "ab*", "**"})
	name := rapid.StringOfN(rapid.SampledFrom([]rune("abéí-]^*?[\\$.(|")), 1, 6, -1)
	rapid.Check(t, func(rt *rapid.T) {
		pattern := strings.Join(rapid.SliceOfN(piece, 1, 5).Draw(rt, "glob"), "")
		list := rapid.SliceOfNDistinct(name, 1, 10, rapid.ID[string]).Draw(rt, "names")
		rules := catalog.Rules{Allow: []string{pattern}}
		_, err := path.Match(pattern, "")
		if (err == nil) != (rules.Validate() == nil) {
			rt.Fatalf("%q: Validate says %v, path.Match %v", pattern, rules.Validate(), err)
		}
		s := settled(t, catalog.Options{}, offering(rules, list...), offering(catalog.Rules{Allow: []string{catalog.Literal(list[0])}}, list...))
		served, _ := s.Backend("a")
		got := map[string]bool{}
		for _, e := range served.Entries(catalog.Tool) {
			got[e.Name] = true
		}
		for _, name := range list {
			if want, _ := path.Match(pattern, name); got[name] != want {
				rt.Errorf("%q and %q: %v, path.Match says %v", pattern, name, got[name], want)
			}
		}
		if one, _ := s.Backend("b"); one.Len(catalog.Tool) != 1 || one.Entries(catalog.Tool)[0].Name != list[0] {
			rt.Errorf("%q does not stand for %q alone", catalog.Literal(list[0]), list[0])
		}
	})
}

func TestValidateRules(t *testing.T) {
	for _, c := range []struct {
		r    catalog.Rules
		want string
	}{
		{catalog.Rules{}, ""},
		{catalog.Rules{Allow: []string{"*"}, Deny: []string{"delete_*", "[a-z]x", `\[`}, Rename: map[string]string{"a": ""}}, ""},
		{catalog.Rules{Allow: []string{}}, `allow is empty: remove it to serve everything, or deny ["*"] to serve nothing`},
		{catalog.Rules{Allow: []string{"x", ""}}, `allow[1] is empty: write a name, or a glob such as "get_*"`},
		{catalog.Rules{Allow: []string{"[x"}, Deny: []string{"x", `y\`}},
			"allow[0] is \"[x\", which is no glob: close each [ with a ], or put \\ before a character that stands for itself\n" +
				"deny[1] is \"y\\\\\", which is no glob: close each [ with a ], or put \\ before a character that stands for itself"},
	} {
		for _, err := range []error{c.r.Validate(), catalog.URIRules{Allow: c.r.Allow, Deny: c.r.Deny}.Validate()} {
			got := ""
			if err != nil {
				got = err.Error()
			}
			if got != c.want {
				t.Errorf("Validate(%+v) = %q, want %q", c.r, got, c.want)
			}
		}
	}
}
