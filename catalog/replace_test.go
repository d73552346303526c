package catalog_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/recloser-mcp/recloser/catalog"
)

// named gives peers names and slugs.
func named(names string, peers ...*peer) (all []catalog.Backend) {
	for i, name := range strings.Fields(names) {
		all = append(all, catalog.Backend{Name: name, Slug: name, Client: peers[i], Selection: peers[i].rules})
	}
	return all
}

func wantTools(t *testing.T, c *catalog.Catalog, want ...string) {
	t.Helper()
	if diff := cmp.Diff(append([]string{}, want...), append([]string{}, owned(c.Snapshot().All(), catalog.Tool)...)); diff != "" {
		t.Errorf("tools (-want +got):\n%s", diff)
	}
}

func TestReplaceKeepsWhatIsTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, d := offering(catalog.Rules{}, "x"), offering(catalog.Rules{}, "y"), offering(catalog.Rules{}, "z")
		c := serve(t, catalog.Options{}, a, b)
		synctest.Wait()
		lists := a.count()
		var told atomic.Int32
		defer c.Subscribe(func(catalog.Change) { told.Add(1) })()

		c.Replace(catalog.Options{}, named("d a", d, a)) // another order, one gone, one new
		synctest.Wait()
		wantTools(t, c, "a_x a", "d_z d")
		if told.Load() == 0 {
			t.Error("nobody was told")
		}
		if a.count() != lists {
			t.Errorf("the backend that stayed was listed %d times more", a.count()-lists)
		}
		if f := c.Facts("a"); !f.Loaded || f.Tools != 1 || f.LastRefresh.IsZero() {
			t.Errorf("its facts: %+v", f)
		}
		if f := c.Facts("b"); f.Loaded {
			t.Errorf("facts of a backend that is gone: %+v", f)
		}
		if _, ok := c.Snapshot().Backend("b"); ok {
			t.Error("a backend that is gone has a view")
		}
		b.set(func(p *peer) {
			if p.ears != 0 {
				t.Error("its stream is still open")
			}
		})
		asked := b.count()
		time.Sleep(time.Hour)
		if b.count() != asked {
			t.Error("it is still listed")
		}
		relist(c, "a", a, "x", "x2")
		wantTools(t, c, "a_x a", "a_x2 a", "d_z d")
	})
}

// A name stays with its backend over a change of the configuration, under every
// strategy.
func TestReplaceKeepsNames(t *testing.T) {
	for _, o := range []catalog.Options{{Conflicts: catalog.Auto}, {Conflicts: catalog.Priority}} {
		t.Run(string(o.Conflicts), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := offering(catalog.Rules{}, "get"), offering(catalog.Rules{}, "put")
				c := serve(t, o, a, b)
				synctest.Wait()
				wantTools(t, c, "get a", "put b")
				late := offering(catalog.Rules{}, "get")
				c.Replace(o, named("late a b", late, a, b)) // it comes first
				time.Sleep(10 * time.Second)
				synctest.Wait()
				if e, ok := c.Snapshot().Tool("get"); ok && e.Backend != "a" {
					t.Errorf("get passed from a to %s", e.Backend)
				}
				c.Replace(o, named("late b", late, b)) // nobody else has it now
				time.Sleep(10 * time.Second)
				synctest.Wait()
				if e, ok := c.Snapshot().Tool("put"); !ok || e.Backend != "b" {
					t.Errorf("put is found: %v", ok)
				}
			})
		})
	}
}

func TestReplaceAppliesRulesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := offering(catalog.Rules{}, "x", "y")
		c := serve(t, catalog.Options{}, a)
		synctest.Wait()
		lists := a.count()
		next := named("a", a)
		next[0].Selection.Tools.Deny = []string{"x"}
		c.Replace(catalog.Options{}, next)
		wantTools(t, c, "a_y a")
		next = named("a", a)
		next[0].Selection.Tools.Rename = map[string]string{"y": "why"}
		c.Replace(catalog.Options{Separator: "."}, next)
		wantTools(t, c, "a.why a", "a.x a")
		if a.count() != lists {
			t.Error("it was listed again for that")
		}
	})
}

// Another client under the same name: what was listed stays until it was asked.
func TestReplaceKeepsListsUntilTheNewClientIsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := offering(catalog.Rules{}, "x")
		c := serve(t, catalog.Options{}, a)
		synctest.Wait()
		next := &peer{err: unreachable}
		c.Replace(catalog.Options{}, named("a", next))
		synctest.Wait()
		wantTools(t, c, "a_x a")
		if f := c.Facts("a"); !f.LastRefresh.IsZero() || f.Tools != 1 {
			t.Errorf("facts before it was asked: %+v", f)
		}
		relist(c, "a", next, "other")
		wantTools(t, c, "a_other a")
	})
}

func TestNoticesOfWhatShouldSurprise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []string
		a := offering(catalog.Rules{}, "1", "2", "3", "4", "5")
		c := serve(t, catalog.Options{Notice: func(backend, text string) { got = append(got, backend+" "+text) }}, a)
		synctest.Wait()
		for _, list := range []string{"1 2 3 4", "1 2", "1", ""} { // a fifth, a half, a half, all
			relist(c, "a", a, strings.Fields(list)...)
		}
		a.set(func(p *peer) { p.caps.Tools = tools("1") })
		c.Kick("a")
		synctest.Wait()
		a.set(func(p *peer) { p.caps.Tools = raws(`{"name":%s,"description":"another"}`, "1") })
		c.Kick("a")
		synctest.Wait()
		want := []string{
			"a lists 0 of the 1 tools that it listed before: the others are gone for clients",
			"a changed 1 definition of tools or prompts under their names: the log has both digests",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		relist(c, "a", a, strings.Fields("1 2 3 4 5 6 7 8 9")...)
		got = nil
		relist(c, "a", a, "1", "2", "3", "4")
		if len(got) != 1 || !strings.HasPrefix(got[0], "a lists 4 of the 9 tools") {
			t.Errorf("more than half is gone: %q", got)
		}
	})
}
