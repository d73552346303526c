package catalog_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/catalog"
	"github.com/recloser-mcp/recloser/wire"
)

var fields = map[catalog.Kind]string{
	catalog.Tool: "tools", catalog.Prompt: "prompts", catalog.Resource: "resources", catalog.Template: "resourceTemplates",
}

// pageOf reads a page: what is on it, by name or URI, and the next cursor.
func pageOf(t *testing.T, v *catalog.View, k catalog.Kind, cursor string) (ids []string, next string) {
	t.Helper()
	p, err := v.List(k, cursor)
	if err != nil {
		t.Fatal(err)
	}
	list, next, err := wire.Elements([]byte("{"+string(p)+"}"), fields[k])
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		id := e.Name
		if e.URI != "" {
			id = e.URI
		}
		ids = append(ids, id)
	}
	return ids, next
}

func TestPagesHoldAMegabyte(t *testing.T) {
	var list []json.RawMessage
	for i := range 35 {
		list = append(list, json.RawMessage(fmt.Sprintf(`{"name":"t%04d","description":%q}`, i, strings.Repeat("d", 100_000))))
	}
	list = append(list, json.RawMessage(fmt.Sprintf(`{"name":"u","description":%q}`, strings.Repeat("d", 2<<20))))
	v := settled(t, catalog.Options{}, listing(backend.Capabilities{Prompts: list})).All()
	var sizes []int
	for cursor := ""; ; {
		ids, next := pageOf(t, v, catalog.Prompt, cursor)
		sizes = append(sizes, len(ids))
		if cursor = next; cursor == "" {
			break
		}
	}
	if diff := cmp.Diff([]int{10, 10, 10, 5, 1}, sizes); diff != "" {
		t.Errorf("entries on each page: %s", diff)
	}
}

// step is something that happens between two pages.
type step struct {
	Backend int
	Names   []string // what it lists from now on
	Size    int      // of each definition
}

// Whatever is refreshed between two pages of a walk: what is listed all the time
// comes exactly once, nothing comes twice, nothing comes that never was there,
// and a page that is not the last one is not empty.
func TestWhatIsListedAllTheTimeComesExactlyOnce(t *testing.T) {
	kinds := []catalog.Kind{catalog.Tool, catalog.Prompt, catalog.Resource, catalog.Template}
	name := rapid.StringOfN(rapid.SampledFrom([]rune("aAbz_-.:/é\x00 ")), 1, 4, -1)
	drawStep := rapid.Custom(func(rt *rapid.T) step {
		return step{
			rapid.IntRange(0, 2).Draw(rt, "backend"),
			rapid.SliceOfNDistinct(name, 0, 12, rapid.ID[string]).Draw(rt, "names"),
			rapid.IntRange(0, 400).Draw(rt, "size"),
		}
	})
	rapid.Check(t, func(rt *rapid.T) {
		o := rapid.SampledFrom(strategies).Draw(rt, "strategy").WithPages(rapid.IntRange(1, 1500).Draw(rt, "page"))
		first := rapid.SliceOfN(drawStep, 3, 3).Draw(rt, "first")
		between := rapid.SliceOfN(rapid.SliceOfN(drawStep, 0, 2), 0, 12).Draw(rt, "between")
		alone := rapid.Bool().Draw(rt, "alone")
		k := rapid.SampledFrom(kinds).Draw(rt, "kind")

		var got []string
		var seen [][]string // what was listed while each page was made
		var empty bool
		synctest.Test(t, func(t *testing.T) {
			var peers []*peer
			for i := range 3 {
				peers = append(peers, &peer{})
				peers[i].offer(first[i])
			}
			c := serve(t, o, peers...)
			time.Sleep(6 * time.Second)
			view := func() *catalog.View {
				s := c.Snapshot()
				if v, _ := s.Backend("b"); alone {
					return v
				}
				return s.All()
			}
			for cursor, page := "", 0; ; page++ {
				v := view()
				ids, next := pageOf(t, v, k, cursor)
				got, seen, empty = append(got, ids...), append(seen, names(v, k)), empty || next != "" && len(ids) == 0
				if next == "" {
					return
				}
				cursor = next
				if page < len(between) {
					for _, s := range between[page] {
						peers[s.Backend].offer(s)
						c.Kick(string(rune('a' + s.Backend)))
					}
					time.Sleep(2 * time.Second)
				}
			}
		})
		times := map[string]int{}
		for _, id := range got {
			times[id]++
			if times[id] > 1 {
				rt.Errorf("%q came twice", id)
			}
			if !slices.ContainsFunc(seen, func(names []string) bool { return slices.Contains(names, id) }) {
				rt.Errorf("%q came and was never listed", id)
			}
		}
		for _, id := range seen[0] {
			always := !slices.ContainsFunc(seen, func(names []string) bool { return !slices.Contains(names, id) })
			if always && times[id] != 1 {
				rt.Errorf("%q was listed on all %d pages and came %d times", id, len(seen), times[id])
			}
		}
		if empty {
			rt.Error("a page in the middle is empty")
		}
		if !slices.IsSorted(got) {
			rt.Errorf("out of order: %q", got)
		}
	})
}

// offer has the peer list the names as everything.
func (p *peer) offer(s step) {
	more := strings.Repeat("d", s.Size)
	p.set(func(p *peer) {
		p.caps = backend.Capabilities{
			Tools:     raws(`{"name":%s,"description":"`+more+`"}`, s.Names...),
			Prompts:   raws(`{"description":"`+more+`","name":%s}`, s.Names...),
			Resources: raws(`{"uri":%s,"name":"n","description":"`+more+`"}`, s.Names...),
			Templates: raws(`{"uriTemplate":%s,"name":"n","description":"`+more+`"}`, s.Names...),
		}
	})
}

func TestForeignCursorsAreRefused(t *testing.T) {
	encoded := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	s := settled(t, catalog.Options{}.WithPages(1), offering(catalog.Rules{}, "x", "y"), offering(catalog.Rules{}, "x", "y"))
	a, _ := s.Backend("a")
	b, _ := s.Backend("b")
	_, cursor := pageOf(t, s.All(), catalog.Tool, "")
	_, own := pageOf(t, a, catalog.Tool, "")
	for _, c := range []struct {
		what   string
		v      *catalog.View
		k      catalog.Kind
		cursor string
	}{
		{"of another list", s.All(), catalog.Prompt, cursor},
		{"of an empty list", s.All(), catalog.Resource, cursor},
		{"of all at one backend", a, catalog.Tool, cursor},
		{"of one backend at all", s.All(), catalog.Tool, own},
		{"of one backend at another", b, catalog.Tool, own},
		{"a number", s.All(), catalog.Tool, "0"},
		{"no base64", s.All(), catalog.Tool, "!"},
		{"padded base64", s.All(), catalog.Tool, base64.URLEncoding.EncodeToString([]byte("tools::x"))},
		{"a list only", s.All(), catalog.Tool, encoded("tools")},
		{"no name", s.All(), catalog.Tool, encoded("tools::")},
		{"no UTF-8", s.All(), catalog.Tool, encoded("tools::x\xff")},
		{"huge", s.All(), catalog.Tool, strings.Repeat("A", 40_000)},
	} {
		if p, err := c.v.List(c.k, c.cursor); err == nil {
			t.Errorf("a cursor %s gave %s", c.what, p)
		}
	}
	if ids, next := pageOf(t, a, catalog.Tool, own); len(ids) != 1 || ids[0] != "y" || next != "" {
		t.Errorf("the second page is %q, %q", ids, next)
	}
	if p, err := s.All().List(catalog.Prompt, encoded("prompts::z")); err != nil || string(p) != `"prompts":[]` {
		t.Errorf("behind the last prompt: %s, %v", p, err)
	}
}

// The longest name that is listed still fits a cursor that is read.
func TestCursorsOfLongNames(t *testing.T) {
	long := strings.Repeat("é", 4<<10)
	v := settled(t, catalog.Options{}.WithPages(1), listing(backend.Capabilities{Resources: resources(long, "zzz")})).All()
	first, cursor := pageOf(t, v, catalog.Resource, "")
	second, next := pageOf(t, v, catalog.Resource, cursor)
	if diff := cmp.Diff([]string{"zzz", long}, append(first, second...)); diff != "" || next != "" {
		t.Error(diff)
	}
}
