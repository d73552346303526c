// Package catalog knows what exists: the tools, prompts, resources and resource
// templates of all backends, and the names clients see them under.
//
// One loop per backend keeps its part fresh. Readers never wait for it: they
// read an immutable [Snapshot] behind an atomic pointer. What a backend listed
// last stays listed while the backend is in trouble, so a client's tools do not
// come and go with it. Definitions are passed on byte for byte, but for the name.
package catalog

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/wire"
)

// Client is what the catalogue needs of a backend; *backend.Client is one.
type Client interface {
	// ListCapabilities returns everything that the backend lists.
	ListCapabilities(ctx context.Context) (*backend.Capabilities, error)
	// Listen keeps a standing stream until ctx ends and calls on with the method
	// of each notification, and with "" each time the stream is established.
	Listen(ctx context.Context, on func(method string)) error
}

// Backend is one backend of the catalogue.
type Backend struct {
	Name   string // in the configuration
	Slug   string // [a-z0-9-]+, different for each backend
	Client Client
	// Scrub takes the backend's credential out of a text of the backend's before
	// it is logged. Nil: there is none to take out.
	Scrub func(string) string
	// Selection is what of it is served. Rules that Validate refuses leave out
	// more, never less.
	Selection Selection
}

// Catalog keeps the snapshot fresh. All methods are safe for concurrent use.
type Catalog struct {
	log     *slog.Logger
	notice  func(backend, text string)
	current atomic.Pointer[Snapshot]

	mu      sync.Mutex
	loops   map[string]*loop // by name
	merger  *merger
	told    map[Report]bool
	nextSub int
	subs    map[int]func(Change)

	ctx     context.Context // of Run; nil before it and after it
	running sync.WaitGroup
}

// Facts is what the catalogue knows of one backend, for status pages.
type Facts struct {
	Loaded      bool // it has been listed at least once
	Tools       int  // that are served, as the other numbers
	Prompts     int
	Resources   int
	Templates   int
	Redefined   int             // how often a tool or prompt got another definition under its name
	Subscribe   bool            // it offers subscriptions to single resources
	Tasks       bool            // it answers with tasks
	Revision    wire.Revision   // of the protocol, "" until known
	Server      json.RawMessage // the backend's serverInfo
	LastRefresh time.Time       // the last refresh that succeeded
	Tried       time.Time       // the last refresh that ended
	Err         error           // of the last refresh, nil when it succeeded
	Reason      string          // reason code of Err
}

// Kinds is a set of lists.
type Kinds uint8

// The lists that clients are told of.
const (
	Tools Kinds = 1 << iota
	Prompts
	Resources // and resource templates
)

// Change says which public lists a refresh has changed.
type Change struct {
	All Kinds            // where all backends are served together
	Own map[string]Kinds // by slug, where one backend is served alone
}

// New makes a catalogue of the backends, in the order of the configuration. It
// does nothing until Run.
func New(o Options, backends []Backend) *Catalog {
	o = o.withDefaults()
	c := &Catalog{log: o.Logger, notice: o.Notice, loops: make(map[string]*loop, len(backends)), subs: make(map[int]func(Change))}
	c.merger = newMerger(o, slices.Clone(backends))
	for i, b := range c.merger.backends {
		c.loops[b.Name] = newLoop(c, i, b)
	}
	c.current.Store(c.merger.snapshot())
	return c
}

// Run keeps the catalogue fresh until ctx ends. It returns when everything that
// it started has ended. Call it once.
func (c *Catalog) Run(ctx context.Context) {
	c.mu.Lock()
	c.ctx = ctx
	for _, l := range c.loops {
		c.start(l)
	}
	if c.merger.conflicts == Priority {
		c.running.Go(func() { c.settle(ctx) })
	}
	c.mu.Unlock()
	<-ctx.Done()
	c.mu.Lock()
	c.ctx = nil // nothing is started from here on
	c.mu.Unlock()
	c.running.Wait()
}

// start runs the loop of a backend. c.mu is held.
func (c *Catalog) start(l *loop) {
	ctx, stop := context.WithCancel(c.ctx)
	l.stop = stop
	c.running.Go(func() {
		defer stop()
		l.run(ctx)
	})
}

// patience is how long the names of a backend wait for backends before it that
// were never listed. It is the time after which the gateway's own status no
// longer waits for backends either.
const patience = 5 * time.Second

// settle gives names without waiting any longer, once patience is over.
func (c *Catalog) settle(ctx context.Context) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
		c.publish(nil, 0, func() { c.merger.settled = true })
	}
}

// Snapshot returns the catalogue as it is now, without a lock.
func (c *Catalog) Snapshot() *Snapshot { return c.current.Load() }

// Kick asks for a refresh of the backend now: it has just answered again after
// trouble. Kicks that come while one waits are one.
func (c *Catalog) Kick(name string) {
	c.mu.Lock()
	l := c.loops[name]
	c.mu.Unlock()
	if l != nil {
		l.poke(l.kicks)
	}
}

// Facts returns what is known of the backend, nothing for an unknown name.
func (c *Catalog) Facts(name string) Facts {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l := c.loops[name]; l != nil {
		return l.facts
	}
	return Facts{}
}

// Subscribe has f called after each refresh that changed a public list, until
// cancel. The new snapshot is current by then. f is called from several
// goroutines and must not block.
func (c *Catalog) Subscribe(f func(Change)) (cancel func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	id := c.nextSub
	c.nextSub++
	c.subs[id] = f
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.subs, id)
	}
}

// update makes a backend's new listing public.
//
// said are the lists that it announced a change of. Clients are told of it also where
// nothing is different: only they know what they make of it.
func (c *Catalog) update(l *loop, caps *backend.Capabilities, said Kinds) {
	var notices []string
	c.publish(l, said, func() {
		if c.loops[l.b.Name] != l {
			return // it is no longer served
		}
		l.caps = caps
		before := l.facts
		c.read(l)
		notices = l.notices(before)
		now := time.Now()
		l.facts.LastRefresh, l.facts.Tried = now, now
		l.facts.Err, l.facts.Reason = nil, ""
	})
	if c.notice != nil {
		for _, text := range notices {
			c.notice(l.b.Name, text)
		}
	}
}

// notices says what of a new listing should surprise somebody, compared with what
// was known before it.
func (l *loop) notices(before Facts) (all []string) {
	now := l.facts
	if had, has := before.Tools, now.Tools; has*2 < had {
		all = append(all, fmt.Sprintf("lists %d of the %d tools that it listed before: the others are gone for clients", has, had))
	}
	if n := now.Redefined - before.Redefined; n > 0 {
		noun := "definitions"
		if n == 1 {
			noun = "definition"
		}
		all = append(all, fmt.Sprintf("changed %d %s of tools or prompts under their names: the log has both digests", n, noun))
	}
	return all
}

// read applies the rules for a backend to what it lists. c.mu is held.
func (c *Catalog) read(l *loop) {
	it := newListing(l.b.Name, l.caps, c.merger.rules[l.b.Name])
	l.history.note(it)
	c.merger.listings[l.index], c.merger.views[l.index] = it, nil
	f := &l.facts
	f.Loaded, f.Subscribe, f.Tasks, f.Revision, f.Server = true, it.subscribe, it.tasks, it.revision, it.server
	f.Tools, f.Prompts = len(it.items[Tool]), len(it.items[Prompt])
	f.Resources, f.Templates = len(it.items[Resource]), len(it.items[Template])
	f.Redefined = l.history.changes
}

// publish makes a snapshot after a change under the lock, and tells what is new
// in it. said are the lists of a backend that are worth telling of in any case.
func (c *Catalog) publish(l *loop, said Kinds, change func()) {
	c.mu.Lock()
	change()
	before, after := c.current.Load(), c.merger.snapshot()
	c.current.Store(after)
	lists := difference(before, after)
	if lists.All |= said; said != 0 {
		lists.Own[l.b.Slug] |= said
	}
	reports := c.untold(after.reps)
	subs := slices.Collect(maps.Values(c.subs))
	scrubs := make(map[string]func(string) string, len(reports))
	for _, r := range reports {
		scrubs[r.Backend] = c.scrub(r.Backend)
	}
	c.mu.Unlock()

	for _, r := range reports {
		scrub := scrubs[r.Backend]
		c.log.LogAttrs(context.Background(), slog.LevelWarn, "catalogue entry needs attention",
			slog.String("backend", r.Backend), slog.String("kind", r.Kind.String()),
			slog.String("name", scrub(r.Name)), slog.String("public", scrub(r.Public)), slog.String("text", scrub(r.Text)))
	}
	if lists.All == 0 && len(lists.Own) == 0 {
		return
	}
	for _, f := range subs {
		f(lists)
	}
}

// failed notes a refresh that failed. What was listed stays.
func (c *Catalog) failed(l *loop, err error) {
	c.mu.Lock()
	f := &l.facts
	reason := reasonOf(err)
	news := f.Reason != reason
	f.Tried, f.Err, f.Reason = time.Now(), err, reason
	c.mu.Unlock()
	if news {
		c.log.LogAttrs(context.Background(), slog.LevelInfo, "catalogue not refreshed",
			slog.String("backend", l.b.Name), slog.String("reason", reason), slog.Any("error", err))
	}
}

// scrub returns what takes the credential of a backend out of its own words. c.mu
// is held.
func (c *Catalog) scrub(backend string) func(string) string {
	if l := c.loops[backend]; l != nil && l.b.Scrub != nil {
		return l.b.Scrub
	}
	return func(text string) string { return text }
}

// untold returns the reports that were not logged yet. c.mu is held.
func (c *Catalog) untold(reports []Report) (fresh []Report) {
	told := make(map[Report]bool, len(reports))
	for _, r := range reports {
		if !c.told[r] && !told[r] {
			fresh = append(fresh, r)
		}
		told[r] = true
	}
	c.told = told
	return fresh
}

// difference says what clients have to be told.
func difference(before, after *Snapshot) Change {
	change := Change{All: changed(before.all, after.all), Own: make(map[string]Kinds)}
	for slug, v := range after.own {
		if k := changed(cmp.Or(before.own[slug], &nothing), v); k != 0 {
			change.Own[slug] = k
		}
	}
	for slug, v := range before.own {
		if after.own[slug] == nil {
			if k := changed(v, &nothing); k != 0 {
				change.Own[slug] = k
			}
		}
	}
	return change
}

// nothing is the view of a backend that is not there.
var nothing View

func changed(before, after *View) (k Kinds) {
	for kind, bit := range [kinds]Kinds{Tool: Tools, Prompt: Prompts, Resource: Resources, Template: Resources} {
		if !before.sections[kind].same(&after.sections[kind]) {
			k |= bit
		}
	}
	return k
}
