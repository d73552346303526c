package catalog_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/recloser-mcp/recloser/catalog"
)

func TestPublicNames(t *testing.T) {
	long := strings.Repeat("x", 70)
	auto, priority, manual := catalog.Options{Conflicts: catalog.Auto}, catalog.Options{Conflicts: catalog.Priority}, catalog.Options{Conflicts: catalog.Manual}
	cut := func(name, backend, public string, most int) string {
		return fmt.Sprintf("tool %q of %s is listed as %q: names have at most %d characters of letters, digits, _ . and -", name, backend, public, most)
	}
	first := func(names ...string) catalog.Options {
		return catalog.Options{Conflicts: catalog.Priority, Priority: names}
	}
	for _, c := range []struct {
		what string
		o    catalog.Options
		a, b []string
		want []string // public names, each with its owner
		told []string // of tools
	}{
		{"a prefix for each", catalog.Options{}, []string{"get"}, []string{"put"}, []string{"a_get a", "b_put b"}, nil},
		{"the same name", catalog.Options{}, []string{"get"}, []string{"get"}, []string{"a_get a", "b_get b"}, nil},
		{"another separator", catalog.Options{Separator: "__"}, []string{"get"}, nil, []string{"a__get a"}, nil},
		{"a name with a separator", catalog.Options{}, []string{"b_x"}, []string{"x"}, []string{"a_b_x a", "b_x b"}, nil},
		{"too long", catalog.Options{}, []string{long}, nil, []string{"a_" + long[:53] + "_iox5npfy a"},
			[]string{cut(long, "a", "a_"+long[:53]+"_iox5npfy", 64)}},
		{"just short enough", catalog.Options{}, []string{long[:62]}, nil, []string{"a_" + long[:62] + " a"}, nil},
		{"another length", catalog.Options{MaxNameLength: 24}, []string{long[:23]}, nil, []string{"a_" + long[:13] + "_hxrp7zbt a"},
			[]string{cut(long[:23], "a", "a_"+long[:13]+"_hxrp7zbt", 24)}},
		{"foreign characters", catalog.Options{}, []string{"größe/m²"}, nil, []string{"a_gr__e_m__s5czo6ua a"},
			[]string{cut("größe/m²", "a", "a_gr__e_m__s5czo6ua", 64)}},

		{"auto without a clash", auto, []string{"get"}, []string{"put"}, []string{"get a", "put b"}, nil},
		{"auto with one", auto, []string{"get", "x"}, []string{"get", "y"}, []string{"a_get a", "b_get b", "x a", "y b"}, nil},
		{"auto where a prefix makes another", auto, []string{"get", "b_get"}, []string{"get"}, []string{"a_b_get a", "a_get a", "b_get b"}, nil},
		{"auto where a prefix makes one's own", auto, []string{"get", "a_get"}, []string{"get"}, []string{"a_a_get a", "a_get a", "b_get b"}, nil},
		{"auto and another's prefix", auto, []string{"b_get", "c_get", "a_get"}, []string{"put"}, []string{"a_b_get a", "a_get a", "c_get a", "put b"}, nil},
		{"auto and too long", auto, []string{long}, nil, []string{long[:55] + "_y4n5ccjc a"},
			[]string{cut(long, "a", long[:55]+"_y4n5ccjc", 64)}},
		{"auto and too long for both", auto, []string{long}, []string{long}, []string{"a_" + long[:53] + "_iox5npfy a", "b_" + long[:53] + "_wcddzqtp b"},
			[]string{cut(long, "a", "a_"+long[:53]+"_iox5npfy", 64), cut(long, "b", "b_"+long[:53]+"_wcddzqtp", 64)}},

		{"priority without a clash", first("b"), []string{"get"}, []string{"put"}, []string{"get a", "put b"}, nil},
		{"priority with one", first("b"), []string{"get", "x"}, []string{"get", "y"}, []string{"get b", "x a", "y b"},
			[]string{`tool "get" of a is not listed: b comes before it and has the same name; for both, in mcpServers.a write tools: {rename: {get: a_get}}`}},
		{"priority in the order of the configuration", priority, []string{"get"}, []string{"get"}, []string{"get a"},
			[]string{`tool "get" of b is not listed: a comes before it and has the same name; for both, in mcpServers.b write tools: {rename: {get: b_get}}`}},
		{"priority of those that are not there", first("z", "b", "a"), []string{"get"}, []string{"get"}, []string{"get b"},
			[]string{`tool "get" of a is not listed: b comes before it and has the same name; for both, in mcpServers.a write tools: {rename: {get: a_get}}`}},
		{"priority and another's prefix", first("b"), []string{"b_get"}, []string{"get"}, []string{"b_get a", "get b"}, nil},
		{"priority and too long for both", first("b"), []string{long}, []string{long}, []string{long[:55] + "_y4n5ccjc b"}, []string{
			cut(long, "b", long[:55]+"_y4n5ccjc", 64),
			`tool "` + long + `" of a is not listed: b comes before it and has the same name; for both, in mcpServers.a write tools: {rename: {` + long + `: a_` + long[:53] + `_iox5npfy}}`}},

		{"manual without a clash", manual, []string{"get"}, []string{"put"}, []string{"get a", "put b"}, nil},
		{"manual with one", manual, []string{"get", "x"}, []string{"get", "y"}, []string{"x a", "y b"}, []string{
			`tool "get" of a is not listed: b has the name too, so neither is listed: in mcpServers.a write tools: {rename: {get: a_get}} or tools: {deny: [get]}`,
			`tool "get" of b is not listed: a has the name too, so neither is listed: in mcpServers.b write tools: {rename: {get: b_get}} or tools: {deny: [get]}`}},
		{"manual and what YAML reads otherwise", manual, []string{"no"}, []string{"no"}, []string{}, []string{
			`tool "no" of a is not listed: b has the name too, so neither is listed: in mcpServers.a write tools: {rename: {"no": a_no}} or tools: {deny: ["no"]}`,
			`tool "no" of b is not listed: a has the name too, so neither is listed: in mcpServers.b write tools: {rename: {"no": b_no}} or tools: {deny: ["no"]}`}},
		{"manual and too long for both", manual, []string{long}, []string{long}, []string{}, []string{
			`tool "` + long + `" of a is not listed: b has the name too, so neither is listed: in mcpServers.a write tools: {rename: {` + long + `: a_` + long[:53] + `_iox5npfy}} or tools: {deny: [` + long + `]}`,
			`tool "` + long + `" of b is not listed: a has the name too, so neither is listed: in mcpServers.b write tools: {rename: {` + long + `: b_` + long[:53] + `_wcddzqtp}} or tools: {deny: [` + long + `]}`}},
	} {
		t.Run(c.what, func(t *testing.T) {
			s := settled(t, c.o, offering(catalog.Rules{}, c.a...), offering(catalog.Rules{}, c.b...))
			if diff := cmp.Diff(c.want, owned(s.All(), catalog.Tool)); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(c.want, owned(s.All(), catalog.Prompt)); diff != "" {
				t.Errorf("prompts are named otherwise: %s", diff)
			}
			if diff := cmp.Diff(c.told, reportsOf(s, catalog.Tool)); diff != "" {
				t.Error(diff)
			}
			for _, e := range s.All().Entries(catalog.Tool) {
				var d struct{ Name string }
				if err := json.Unmarshal(e.Definition, &d); err != nil || d.Name != e.Public || len(e.Public) > 64 {
					t.Errorf("%q is defined as %s", e.Public, e.Definition)
				}
				if found, ok := s.Tool(e.Public); !ok || found != e {
					t.Errorf("%q is listed and not found", e.Public)
				}
			}
			for slug, want := range map[string][]string{"a": c.a, "b": c.b} {
				if own, _ := s.Backend(slug); own.Len(catalog.Tool) != len(want) {
					t.Errorf("%s alone has %d tools, want %d", slug, own.Len(catalog.Tool), len(want))
				}
			}
		})
	}
}

// owned returns the public names of a kind, each with its owner.
func owned(v *catalog.View, k catalog.Kind) []string {
	list := []string{}
	for _, e := range v.Entries(k) {
		list = append(list, e.Public+" "+e.Backend)
	}
	return list
}

func TestManualNamesEveryBackendThatHasTheName(t *testing.T) {
	var peers []*peer
	for range 3 {
		peers = append(peers, offering(catalog.Rules{}, "get"))
	}
	s := settled(t, catalog.Options{Conflicts: catalog.Manual}, peers...)
	want := `tool "get" of b is not listed: a and c have the name too, so none is listed: in mcpServers.b write tools: {rename: {get: b_get}} or tools: {deny: [get]}`
	if got := reportsOf(s, catalog.Tool); len(got) != 3 || got[1] != want {
		t.Errorf("%q", got)
	}
	want = `prompt "get" of c is not listed: a and b have the name too, so none is listed: in mcpServers.c write prompts: {rename: {get: c_get}} or prompts: {deny: [get]}`
	if got := reportsOf(s, catalog.Prompt); len(got) != 3 || got[2] != want {
		t.Errorf("%q", got)
	}
}

func TestValidate(t *testing.T) {
	for _, c := range []struct {
		o    catalog.Options
		want string
	}{
		{catalog.Options{}, ""},
		{catalog.Options{Conflicts: catalog.Auto, Separator: "__", MaxNameLength: 24}, ""},
		{catalog.Options{Conflicts: catalog.Priority, Priority: []string{"a", "b"}}, ""},
		{catalog.Options{Conflicts: catalog.Priority}, ""},
		{catalog.Options{Conflicts: catalog.Manual, MaxNameLength: 128}, ""},
		{catalog.Options{Conflicts: "merge"}, `conflicts is "merge": use "prefix", "auto", "priority" or "manual"`},
		{catalog.Options{Priority: []string{"a"}}, `priority has no effect with conflicts "prefix": set conflicts to "priority", or remove it`},
		{catalog.Options{Conflicts: catalog.Priority, Priority: []string{"a", "b", "a"}}, `priority[2] is "a" once more: remove it`},
		{catalog.Options{Conflicts: catalog.Manual, Separator: "_"}, `separator has no effect with conflicts "manual", which puts nothing before a name: remove it`},
		{catalog.Options{Separator: "/"}, `separator is "/": use letters, digits, _ . and - only`},
		{catalog.Options{Separator: "-"}, `separator "-" begins with a character that slugs hold: begin it with "_" or "."`},
		{catalog.Options{MaxNameLength: 500}, `maxNameLength is 500: use 24 to 128`},
	} {
		got := ""
		if err := c.o.Validate(); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("Validate(%+v) = %q, want %q", c.o, got, c.want)
		}
	}
}
