package catalog_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/catalog"
	"github.com/recloser-mcp/recloser/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// peer is a backend as the catalogue sees one. What it lists and how it fails is
// changed while it runs.
type peer struct {
	mu    sync.Mutex
	caps  backend.Capabilities
	err   error
	hang  bool
	takes time.Duration // for the next refresh
	lists int           // refreshes asked for
	on    func(string)
	ears  int // streams open
	mute  error

	rules catalog.Selection // set before it is served
}

func (p *peer) ListCapabilities(ctx context.Context) (*backend.Capabilities, error) {
	p.mu.Lock()
	p.lists++
	hang, caps, err, takes := p.hang, p.caps, p.err, p.takes
	p.mu.Unlock()
	if takes > 0 {
		time.Sleep(takes)
	}
	if hang {
		<-ctx.Done()
		return nil, &backend.Error{Kind: backend.KindTimeout, Err: ctx.Err()}
	}
	if err != nil {
		return nil, err
	}
	return &caps, nil
}

func (p *peer) Listen(ctx context.Context, on func(string)) error {
	p.mu.Lock()
	p.on = on
	p.ears++
	mute := p.mute
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.ears--
	}()
	if mute != nil {
		return mute
	}
	on("")
	<-ctx.Done()
	return ctx.Err()
}

// set changes the peer.
func (p *peer) set(f func(*peer)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(p)
}

func (p *peer) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lists
}

// say sends a notification on the standing stream.
func (p *peer) say(method string) {
	p.mu.Lock()
	on := p.on
	p.mu.Unlock()
	on(method)
}

func raws(format string, names ...string) (list []json.RawMessage) {
	for _, n := range names {
		list = append(list, json.RawMessage(fmt.Sprintf(format, wire.Quote(nil, n))))
	}
	return list
}

func tools(names ...string) []json.RawMessage {
	return raws(`{"name":%s,"inputSchema":{"type":"object"}}`, names...)
}

func prompts(names ...string) []json.RawMessage  { return raws(`{"name":%s}`, names...) }
func resources(uris ...string) []json.RawMessage { return raws(`{"uri":%s,"name":"n"}`, uris...) }
func templates(list ...string) []json.RawMessage {
	return raws(`{"uriTemplate":%s,"name":"n"}`, list...)
}
func capabilities(raw string) backend.Capabilities {
	return backend.Capabilities{Revision: wire.Rev20251125, Capabilities: json.RawMessage(raw)}
}

// serve runs a catalogue of peers, named and in order, until the test ends.
func serve(t *testing.T, o catalog.Options, peers ...*peer) *catalog.Catalog {
	t.Helper()
	var backends []catalog.Backend
	for i, p := range peers {
		name := string(rune('a' + i))
		backends = append(backends, catalog.Backend{Name: name, Slug: name, Client: p, Selection: p.rules})
	}
	c := catalog.New(o, backends)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	return c
}

// settled returns the snapshot of a catalogue whose peers have all been listed.
func settled(t *testing.T, o catalog.Options, peers ...*peer) (s *catalog.Snapshot) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := serve(t, o, peers...)
		synctest.Wait()
		s = c.Snapshot()
	})
	return s
}

// listing is a peer that lists that.
func listing(caps backend.Capabilities) *peer { return &peer{caps: caps} }

// offering is a peer with tools and prompts of these names, under these rules
// for both.
func offering(rules catalog.Rules, names ...string) *peer {
	return &peer{caps: backend.Capabilities{Tools: tools(names...), Prompts: prompts(names...)},
		rules: catalog.Selection{Tools: rules, Prompts: rules}}
}

// reports returns the reports as lines.
func reports(s *catalog.Snapshot) []string {
	var list []string
	for _, r := range s.Reports() {
		list = append(list, r.String())
	}
	return list
}

// reportsOf returns the reports about entries of one kind.
func reportsOf(s *catalog.Snapshot, k catalog.Kind) []string {
	var list []string
	for _, r := range s.Reports() {
		if r.Kind == k {
			list = append(list, r.String())
		}
	}
	return list
}

// names returns the public names of a kind.
func names(v *catalog.View, k catalog.Kind) []string {
	list := []string{}
	for _, e := range v.Entries(k) {
		list = append(list, e.Public)
	}
	return list
}

// records keeps the level and message of what is logged.
type records struct {
	mu   sync.Mutex
	list []string
}

func (r *records) logger() *slog.Logger { return slog.New(r) }

func (r *records) lines() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.list)
}

func (r *records) Enabled(context.Context, slog.Level) bool { return true }
func (r *records) WithAttrs([]slog.Attr) slog.Handler       { return r }
func (r *records) WithGroup(string) slog.Handler            { return r }
func (r *records) Handle(_ context.Context, rec slog.Record) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, rec.Level.String()+" "+rec.Message)
	return nil
}
