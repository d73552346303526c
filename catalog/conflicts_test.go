package catalog_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/recloser-mcp/recloser/catalog"
	"github.com/recloser-mcp/recloser/wire"
)

var strategies = []catalog.Options{
	{Conflicts: catalog.Prefix}, {Conflicts: catalog.Auto}, {Conflicts: catalog.Manual},
	{Conflicts: catalog.Priority, Priority: []string{"b"}},
}

// relist has a peer list other tools, and waits until the catalogue knows: after
// a notification it asks once a second.
func relist(c *catalog.Catalog, name string, p *peer, names ...string) {
	p.set(func(p *peer) { p.err, p.hang, p.caps.Tools = nil, false, tools(names...) })
	c.Kick(name)
	time.Sleep(time.Second + time.Millisecond)
	synctest.Wait()
}

func TestPriorityWaitsForThoseWhoComeFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second, third := &peer{err: unreachable}, offering(catalog.Rules{}, "get", "x"), offering(catalog.Rules{}, "get", "y")
		c := serve(t, catalog.Options{Conflicts: catalog.Priority}, first, second, third)
		time.Sleep(4 * time.Second)
		if got := owned(c.Snapshot().All(), catalog.Tool); len(got) != 0 {
			t.Errorf("%q is listed before it is known whose it is", got)
		}
		if e, ok := c.Snapshot().Tool("x"); ok {
			t.Errorf("x is found as %+v", e)
		}
		if own, _ := c.Snapshot().Backend("c"); own.Len(catalog.Tool) != 2 || len(c.Snapshot().Reports()) != 0 {
			t.Errorf("alone it waits too, or there are reports: %q", reports(c.Snapshot()))
		}
		relist(c, "a", first, "get")
		if diff := cmp.Diff([]string{"get a", "x b", "y c"}, owned(c.Snapshot().All(), catalog.Tool)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestPriorityKeepsNobodyWaitingForWhoComesLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dead, hung := &peer{err: unreachable}, &peer{hang: true}
		c := serve(t, catalog.Options{Conflicts: catalog.Priority, Priority: []string{"b"}}, dead, offering(catalog.Rules{}, "get"), hung)
		synctest.Wait()
		if diff := cmp.Diff([]string{"get b"}, owned(c.Snapshot().All(), catalog.Tool)); diff != "" {
			t.Error(diff)
		}
	})
}

// The first in the order comes up when the others have been given their names:
// it gets what nobody has, and the rest once nobody has it any more.
func TestANameDoesNotGoToABackendThatCameTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		late, early := &peer{err: unreachable}, offering(catalog.Rules{}, "get", "x")
		c := serve(t, catalog.Options{Conflicts: catalog.Priority, Priority: []string{"a"}}, late, early)
		told := make(chan catalog.Change, 10)
		defer c.Subscribe(func(ch catalog.Change) { told <- ch })()
		began := time.Now()
		<-told // early's own list
		if change := <-told; change.All != catalog.Tools|catalog.Prompts || len(change.Own) != 0 || time.Since(began) != 5*time.Second {
			t.Errorf("%+v after %s", change, time.Since(began))
		}
		check := func(want []string, reported ...string) {
			t.Helper()
			if diff := cmp.Diff(want, owned(c.Snapshot().All(), catalog.Tool)); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(reported, reportsOf(c.Snapshot(), catalog.Tool)); diff != "" {
				t.Error(diff)
			}
		}
		check([]string{"get b", "x b"})
		const kept = `tool "get" of a is not listed: clients know "get" as that of b, and a name does not change hands while they may: restart the gateway, or in mcpServers.a write tools: {rename: {get: a_get}}`
		relist(c, "a", late, "get", "z")
		check([]string{"get b", "x b", "z a"}, kept)
		if own, _ := c.Snapshot().Backend("a"); own.Len(catalog.Tool) != 2 {
			t.Error("it is not there alone either")
		}
		relist(c, "b", early, "x")
		check([]string{"x b", "z a"}, kept)
		if e, ok := c.Snapshot().Tool("get"); ok {
			t.Errorf("get went to %s", e.Backend)
		}
		relist(c, "b", early, "get")
		check([]string{"get b", "z a"}, kept)
		relist(c, "b", early)
		relist(c, "a", late)
		check([]string{})
		relist(c, "a", late, "get")
		check([]string{"get a"}) // nobody had it in between: a new start
	})
}

func TestManualGivesANameBackToWhoHadIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, q := offering(catalog.Rules{}, "get"), &peer{err: unreachable}
		c := serve(t, catalog.Options{Conflicts: catalog.Manual}, p, q)
		check := func(want ...string) {
			t.Helper()
			if diff := cmp.Diff(want, owned(c.Snapshot().All(), catalog.Tool), cmp.Transformer("len", func(s []string) []string { return append([]string{}, s...) })); diff != "" {
				t.Error(diff)
			}
		}
		synctest.Wait()
		check("get a")
		relist(c, "b", q, "get", "put")
		check("put b")
		relist(c, "b", q, "put")
		check("get a", "put b")
		relist(c, "b", q, "get", "put")
		relist(c, "a", p, "x")
		check("put b", "x a") // clients knew get as a's
	})
}

func TestAnUnrelatedBackendChangesNoName(t *testing.T) {
	for _, o := range strategies {
		t.Run(string(o.Conflicts), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, q := offering(catalog.Rules{}, "get", "x", "b_y"), offering(catalog.Rules{}, "get", "y")
				want := settledNames(t, o, p, q)
				stranger := &peer{err: unreachable}
				c := serve(t, o, offering(catalog.Rules{}, "get", "x", "b_y"), offering(catalog.Rules{}, "get", "y"), stranger)
				check := func(when string) {
					t.Helper()
					got := slices.DeleteFunc(owned(c.Snapshot().All(), catalog.Tool), func(s string) bool { return s[len(s)-1] == 'c' })
					if diff := cmp.Diff(want, got); diff != "" {
						t.Errorf("%s: %s", when, diff)
					}
				}
				synctest.Wait()
				check("while it is missing")
				time.Sleep(time.Minute)
				check("after a minute")
				relist(c, "c", stranger, "strange", "c_get")
				check("when it came")
				relist(c, "c", stranger)
				check("when its tools went")
				stranger.set(func(p *peer) { p.err = refused })
				c.Kick("c")
				time.Sleep(time.Minute)
				check("when it broke")
			})
		})
	}
}

// settledNames are the names of peers that are all there from the start. It is
// for use in a bubble.
func settledNames(t *testing.T, o catalog.Options, peers ...*peer) []string {
	t.Helper()
	c := serve(t, o, peers...)
	synctest.Wait()
	return owned(c.Snapshot().All(), catalog.Tool)
}

// Names are few and look like each other's prefixes.
var someNames = rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"x", "y", "a_x", "b_x", "c_x", "a_a_x", "b_y", "a_b_x"}), 0, 5, rapid.ID[string])

func TestNamesDoNotDependOnWhoComesUpFirst(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		o := rapid.SampledFrom(strategies).Draw(rt, "strategy")
		lists := rapid.SliceOfN(someNames, 3, 3).Draw(rt, "names")
		order := rapid.Permutation([]int{0, 1, 2}).Draw(rt, "order")
		var want, got []string
		synctest.Test(t, func(t *testing.T) {
			var ready, late []*peer
			for _, names := range lists {
				ready = append(ready, offering(catalog.Rules{}, names...))
				late = append(late, &peer{err: unreachable})
			}
			want = settledNames(t, o, ready...)
			c := serve(t, o, late...)
			for _, i := range order {
				relist(c, string(rune('a'+i)), late[i], lists[i]...)
			}
			got = owned(c.Snapshot().All(), catalog.Tool)
		})
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Errorf("all at once (-) and one after the other (+): %s", diff)
		}
	})
}

func TestANameNeverPassesToAnotherBackend(t *testing.T) {
	type step struct {
		Backend int
		Names   []string
	}
	rapid.Check(t, func(rt *rapid.T) {
		o := rapid.SampledFrom(strategies).Draw(rt, "strategy")
		steps := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) step {
			return step{rapid.IntRange(0, 2).Draw(rt, "backend"), someNames.Draw(rt, "names")}
		}), 1, 20).Draw(rt, "steps")
		late := rapid.Bool().Draw(rt, "late")
		var seen [][]string
		synctest.Test(t, func(t *testing.T) {
			peers := []*peer{{err: unreachable}, {err: unreachable}, {err: unreachable}}
			c := serve(t, o, peers...)
			if late {
				time.Sleep(10 * time.Second)
			}
			for _, s := range steps {
				relist(c, string(rune('a'+s.Backend)), peers[s.Backend], s.Names...)
				seen = append(seen, owned(c.Snapshot().All(), catalog.Tool))
			}
		})
		lists := make([][]string, 3)
		owners := map[string]string{}
		for i, s := range steps {
			lists[s.Backend] = s.Names
			for name := range owners {
				if !wanted(o, lists, name) {
					delete(owners, name)
				}
			}
			for _, line := range seen[i] {
				var name, owner string
				_, _ = fmt.Sscan(line, &name, &owner)
				if before, ok := owners[name]; ok && before != owner {
					rt.Fatalf("step %d: %s went from %s to %s", i, name, before, owner)
				}
				owners[name] = owner
			}
		}
	})
}

// wanted reports whether anything that is listed could have the public name.
func wanted(o catalog.Options, lists [][]string, public string) bool {
	bare, prefixed := o.Conflicts != catalog.Prefix, o.Conflicts == catalog.Prefix || o.Conflicts == catalog.Auto
	for i, names := range lists {
		for _, name := range names {
			if bare && name == public || prefixed && string(rune('a'+i))+"_"+name == public {
				return true
			}
		}
	}
	return false
}

func TestAutoNamesDoNotFlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, q := offering(catalog.Rules{}, "get", "one"), offering(catalog.Rules{}, "get", "two")
		c := serve(t, catalog.Options{Conflicts: catalog.Auto}, p, q)
		time.Sleep(5 * time.Second)
		check := func(want ...string) {
			t.Helper()
			time.Sleep(2 * time.Second)
			if diff := cmp.Diff(want, names(c.Snapshot().All(), catalog.Tool)); diff != "" {
				t.Error(diff)
			}
		}
		check("a_get", "b_get", "one", "two")
		q.set(func(q *peer) { q.caps.Tools = tools("two") })
		q.say(wire.NoteToolsChanged)
		check("a_get", "one", "two") // a client may know a_get
		p.set(func(p *peer) { p.caps.Tools = tools("one") })
		p.say(wire.NoteToolsChanged)
		check("one", "two")
		p.set(func(p *peer) { p.caps.Tools = tools("get") })
		p.say(wire.NoteToolsChanged)
		check("get", "two") // nobody had the name in between: a new start
	})
}
