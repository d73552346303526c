package catalog_test

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/catalog"
	"github.com/recloser-mcp/recloser/wire"
)

var (
	unreachable = &backend.Error{Kind: backend.KindUnreachable, Backend: "a"}
	refused     = &backend.Error{Kind: backend.KindAuthRefused, Backend: "a", Status: 401}
)

func TestHowOftenABackendIsAsked(t *testing.T) {
	for _, c := range []struct {
		what string
		err  error
		hang bool
		span time.Duration
		want int
	}{
		// 0, .1, .3, .7, 1.2, 1.7, ... 9.7
		{"unreachable", unreachable, false, 10 * time.Second, 22},
		{"out of order", &backend.Error{Kind: backend.KindServerError, Status: 503}, false, 10 * time.Second, 22},
		{"refused", refused, false, time.Minute - time.Millisecond, 6},
		{"breaker open", &backend.Error{Kind: backend.KindBreakerOpen}, false, time.Minute - time.Millisecond, 6},
		{"no server", &backend.Error{Kind: backend.KindProtocolError}, false, time.Minute - time.Millisecond, 6},
		{"cannot list", &backend.RPCError{Code: -32603}, false, time.Minute - time.Millisecond, 6},
		{"too many requests", &backend.Error{Kind: backend.KindServerError, Status: 429, RetryAfter: 20 * time.Second}, false, time.Minute - time.Millisecond, 3},
		{"asks for an age", &backend.Error{Kind: backend.KindServerError, Status: 429, RetryAfter: time.Hour}, false, 299 * time.Second, 1},
		{"hung", nil, true, 60 * time.Second, 2},
		{"fine", nil, false, 4 * time.Minute, 2}, // once more when the stream is there
	} {
		t.Run(c.what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &peer{err: c.err, hang: c.hang}
				serve(t, catalog.Options{}, p)
				time.Sleep(c.span)
				synctest.Wait()
				if n := p.count(); n != c.want {
					t.Errorf("asked %d times in %s, want %d", n, c.span, c.want)
				}
			})
		})
	}
}

func TestADeadBackendAppearsWithinASecondOfItsComingUp(t *testing.T) {
	for at := time.Hour; at < time.Hour+time.Second; at += 50 * time.Millisecond { // wherever the loop is then
		synctest.Test(t, func(t *testing.T) {
			dead, well := &peer{err: unreachable, caps: backend.Capabilities{Tools: tools("x")}}, &peer{caps: backend.Capabilities{Tools: tools("y")}}
			dead.takes = 250 * time.Millisecond
			hung := &peer{hang: true}
			c := serve(t, catalog.Options{}, dead, well, hung)
			synctest.Wait()
			if diff := cmp.Diff([]string{"b_y"}, names(c.Snapshot().All(), catalog.Tool)); diff != "" {
				t.Errorf("a dead and a hung backend delay their neighbour: %s", diff)
			}
			time.Sleep(at)
			told := make(chan catalog.Change, 10)
			defer c.Subscribe(func(ch catalog.Change) { told <- ch })()
			up := time.Now()
			dead.set(func(p *peer) { p.err, p.takes = nil, 20*time.Millisecond })
			change := <-told
			if took := time.Since(up); took > time.Second {
				t.Errorf("its tools appeared after %s", took)
			}
			if diff := cmp.Diff(catalog.Change{All: catalog.Tools, Own: map[string]catalog.Kinds{"a": catalog.Tools}}, change); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff([]string{"a_x", "b_y"}, names(c.Snapshot().All(), catalog.Tool)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestEntriesOutliveTheTroubleOfTheirBackend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &peer{caps: backend.Capabilities{Tools: tools("x"), Revision: wire.Rev20260728}}
		c := serve(t, catalog.Options{}, p)
		time.Sleep(2 * time.Second)
		asked := p.count()
		p.set(func(p *peer) { p.err = refused })
		time.Sleep(5*time.Minute - time.Second)
		f := c.Facts("a")
		if f.Reason != "auth_refused" || !errors.Is(f.Err, backend.ErrAuthenticationFailed) || !f.Loaded || f.Tools != 1 || f.Revision != wire.Rev20260728 {
			t.Errorf("facts are %+v", f)
		}
		if n := p.count() - asked; n != 1 {
			t.Errorf("a refused backend with a catalogue was asked %d times in 5 minutes, want 1", n)
		}
		if diff := cmp.Diff([]string{"a_x"}, names(c.Snapshot().All(), catalog.Tool)); diff != "" {
			t.Error(diff)
		}
		p.set(func(p *peer) { p.err = nil; p.caps.Tools = tools("x", "z") })
		c.Kick("a")
		c.Kick("nobody")
		synctest.Wait()
		if diff := cmp.Diff([]string{"a_x", "a_z"}, names(c.Snapshot().All(), catalog.Tool)); diff != "" {
			t.Errorf("the first accepted probe brought no refresh: %s", diff)
		}
		if f := c.Facts("a"); f.Err != nil || f.Reason != "" || f.Tools != 2 {
			t.Errorf("facts are %+v", f)
		}
	})
}

// Announced ones are told in any case: only clients know what they make of them.
func TestChangesAreToldWhenThePublicListChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &peer{caps: backend.Capabilities{Tools: tools("x"), Prompts: prompts("p")}}
		other := &peer{caps: backend.Capabilities{Tools: tools("x"), Resources: resources("r:1")}}
		c := serve(t, catalog.Options{}, p, other)
		time.Sleep(3 * time.Second)
		var mu sync.Mutex
		var told []catalog.Change
		cancel := c.Subscribe(func(ch catalog.Change) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, ch)
		})
		step := func(f func(*peer), method string, want ...catalog.Change) {
			t.Helper()
			p.set(f)
			p.say(method)
			time.Sleep(2 * time.Second)
			mu.Lock()
			defer mu.Unlock()
			if diff := cmp.Diff(want, told); diff != "" {
				t.Error(diff)
			}
			told = nil
		}
		both := func(all, own catalog.Kinds) catalog.Change {
			return catalog.Change{All: all, Own: map[string]catalog.Kinds{"a": own}}
		}
		step(func(*peer) {}, wire.NoteToolsChanged, both(catalog.Tools, catalog.Tools))
		step(func(p *peer) { p.caps.Tools = tools("x", "y") }, wire.NoteToolsChanged, both(catalog.Tools, catalog.Tools))
		step(func(p *peer) { p.caps.Tools = tools("y", "x") }, wire.NotePromptsChanged, both(catalog.Prompts, catalog.Prompts)) // sorted anyway
		step(func(p *peer) { p.caps.Prompts = nil }, wire.NotePromptsChanged, both(catalog.Prompts, catalog.Prompts))
		step(func(p *peer) { p.caps.Templates = templates("r:{x}") }, wire.NoteResourcesChanged, both(catalog.Resources, catalog.Resources))
		step(func(p *peer) { p.caps.Tools = nil }, wire.NoteMessage) // not about a list
		step(func(p *peer) {}, wire.NoteToolsChanged, both(catalog.Tools, catalog.Tools))
		step(func(p *peer) { p.caps.Tools = raws(`{"name":%s,"title":"T"}`, "x"); p.caps.Prompts = prompts("p") },
			wire.NoteToolsChanged, both(catalog.Tools|catalog.Prompts, catalog.Tools|catalog.Prompts))
		cancel()
		step(func(p *peer) { p.caps.Tools = tools("last") }, wire.NoteToolsChanged)
	})
}

func TestANoisyBackendIsAskedOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &peer{}
		serve(t, catalog.Options{}, p)
		time.Sleep(10 * time.Second)
		before := p.count()
		for range 1000 {
			p.say(wire.NoteToolsChanged)
			p.say("")
			time.Sleep(10 * time.Millisecond)
		}
		synctest.Wait()
		if n := p.count() - before; n < 9 || n > 14 {
			t.Errorf("asked %d times in 10s, want one a second and three more", n)
		}
	})
}

func TestWhatChangedDuringAShortInterruptionIsFetchedHalfAMinuteLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &peer{}
		c := serve(t, catalog.Options{}, p)
		time.Sleep(time.Minute)
		p.say("")
		time.Sleep(5 * time.Second)
		p.set(func(p *peer) { p.caps.Tools = tools("x") })
		before := p.count()
		for range 3 { // streams that end again and again ask for one refresh
			p.say("")
			time.Sleep(time.Second)
		}
		time.Sleep(28 * time.Second)
		synctest.Wait()
		if n := p.count() - before; n != 1 {
			t.Errorf("asked %d times, want once", n)
		}
		if diff := cmp.Diff([]string{"a_x"}, names(c.Snapshot().All(), catalog.Tool)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestAnAnnouncedChangeThatCouldNotBeFetchedIsFetchedLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &peer{}
		c := serve(t, catalog.Options{}, p)
		time.Sleep(5 * time.Second)
		p.set(func(p *peer) { p.err = unreachable; p.caps.Tools = tools("x") })
		p.say(wire.NoteToolsChanged)
		time.Sleep(time.Second)
		p.set(func(p *peer) { p.err = nil })
		time.Sleep(time.Second)
		if diff := cmp.Diff([]string{"a_x"}, names(c.Snapshot().All(), catalog.Tool)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestAStreamThatEndedIsAskedForAgainWithTheNextRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &peer{mute: errors.New("no stream here")}
		serve(t, catalog.Options{}, p)
		time.Sleep(4 * time.Minute)
		p.set(func(p *peer) { p.mute = nil })
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		p.set(func(p *peer) {
			if p.ears != 1 {
				t.Errorf("%d streams are open, want 1", p.ears)
			}
		})
	})
}

func TestTheSameReportIsLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log records
		p := &peer{caps: backend.Capabilities{Tools: tools("x", "x")}}
		c := serve(t, catalog.Options{Logger: log.logger()}, p)
		for range 10 {
			time.Sleep(2 * time.Second)
			c.Kick("a")
		}
		synctest.Wait()
		if diff := cmp.Diff([]string{"WARN catalogue entry needs attention"}, log.lines()); diff != "" {
			t.Error(diff)
		}
		p.set(func(p *peer) { p.err = refused })
		for range 3 {
			time.Sleep(2 * time.Second)
			c.Kick("a")
		}
		synctest.Wait()
		if diff := cmp.Diff([]string{"WARN catalogue entry needs attention", "INFO catalogue not refreshed"}, log.lines()); diff != "" {
			t.Error(diff)
		}
	})
}
