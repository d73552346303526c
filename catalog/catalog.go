// Package catalog knows what exists: the tools, prompts, resources and resource
// templates of all backends, and the names clients see them under.
//
// One loop per backend keeps its part fresh. Readers never wait for it: they
// read an immutable [Snapshot] behind an atomic pointer. What a backend listed
// last stays listed while the backend is in trouble, so a client's tools do not
// come and go with it. Definitions are passed on byte for byte, but for the name.
package catalog

import (
	"context"
	"encoding/json"
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
	o        Options
	backends []Backend
	loops    map[string]*loop // by name
	current  atomic.Pointer[Snapshot]

	mu      sync.Mutex
	merger  *merger
	history []history // by index of the backend
	facts   []Facts
	told    map[Report]bool
	nextSub int
	subs    map[int]func(Change)
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
	c := &Catalog{
		o:        o.withDefaults(),
		backends: slices.Clone(backends),
		loops:    make(map[string]*loop, len(backends)),
		history:  make([]history, len(backends)),
		facts:    make([]Facts, len(backends)),
		subs:     make(map[int]func(Change)),
	}
	c.merger = newMerger(c.o, c.backends)
	for i, b := range c.backends {
		c.loops[b.Name] = newLoop(c, i, b)
	}
	c.current.Store(c.merger.snapshot())
	return c
}

// Run keeps the catalogue fresh until ctx ends. It returns when everything that
// it started has ended. Call it once.
func (c *Catalog) Run(ctx context.Context) {
	var wg sync.WaitGroup
	for _, l := range c.loops {
		wg.Go(func() { l.run(ctx) })
	}
	if c.o.Conflicts == Priority {
		wg.Go(func() { c.settle(ctx) })
	}
	wg.Wait()
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
		c.publish(0, 0, func() { c.merger.settled = true })
	}
}

// Snapshot returns the catalogue as it is now, without a lock.
func (c *Catalog) Snapshot() *Snapshot { return c.current.Load() }

// Kick asks for a refresh of the backend now: it has just answered again after
// trouble. Kicks that come while one waits are one.
func (c *Catalog) Kick(name string) {
	if l := c.loops[name]; l != nil {
		l.poke(l.kicks)
	}
}

// Facts returns what is known of the backend, nothing for an unknown name.
func (c *Catalog) Facts(name string) Facts {
	l := c.loops[name]
	if l == nil {
		return Facts{}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.facts[l.index]
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
func (c *Catalog) update(i int, caps *backend.Capabilities, said Kinds) {
	l := newListing(c.backends[i].Name, caps, c.merger.rules[c.backends[i].Name])
	c.publish(i, said, func() {
		now := time.Now()
		c.history[i].note(l)
		c.merger.listings[i], c.merger.views[i] = l, nil
		c.facts[i] = Facts{
			Subscribe: l.subscribe, Tasks: l.tasks,
			Loaded: true, Revision: l.revision, Server: l.server, LastRefresh: now, Tried: now,
			Tools: len(l.items[Tool]), Prompts: len(l.items[Prompt]),
			Resources: len(l.items[Resource]), Templates: len(l.items[Template]),
			Redefined: c.history[i].changes,
		}
	})
}

// publish makes a snapshot after a change under the lock, and tells what is new
// in it. said are the lists of backend i that are worth telling of in any case.
func (c *Catalog) publish(i int, said Kinds, change func()) {
	c.mu.Lock()
	change()
	before, after := c.current.Load(), c.merger.snapshot()
	c.current.Store(after)
	lists := difference(before, after)
	if lists.All |= said; said != 0 {
		lists.Own[c.backends[i].Slug] |= said
	}
	reports := c.untold(after.reps)
	subs := slices.Collect(maps.Values(c.subs))
	c.mu.Unlock()

	for _, r := range reports {
		scrub := c.scrub(r.Backend)
		c.o.Logger.LogAttrs(context.Background(), slog.LevelWarn, "catalogue entry needs attention",
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
func (c *Catalog) failed(i int, err error) {
	c.mu.Lock()
	f := &c.facts[i]
	reason := reasonOf(err)
	news := f.Reason != reason
	f.Tried, f.Err, f.Reason = time.Now(), err, reason
	c.mu.Unlock()
	if news {
		c.o.Logger.LogAttrs(context.Background(), slog.LevelInfo, "catalogue not refreshed",
			slog.String("backend", c.backends[i].Name), slog.String("reason", reason), slog.Any("error", err))
	}
}

// scrub returns what takes the credential of a backend out of its own words.
func (c *Catalog) scrub(backend string) func(string) string {
	for _, b := range c.backends {
		if b.Name == backend && b.Scrub != nil {
			return b.Scrub
		}
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
		if k := changed(before.own[slug], v); k != 0 {
			change.Own[slug] = k
		}
	}
	return change
}

func changed(before, after *View) (k Kinds) {
	for kind, bit := range [kinds]Kinds{Tool: Tools, Prompt: Prompts, Resource: Resources, Template: Resources} {
		if !before.sections[kind].same(&after.sections[kind]) {
			k |= bit
		}
	}
	return k
}
