package gateway

import (
	"cmp"
	"context"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
)

// table is the set of backends in service. It is immutable, and replaced as a
// whole.
type table struct {
	list   []*Backend          // in the order of the configuration
	byName map[string]*Backend // those that calls may go to
	slugs  map[string]*Backend
}

// users counts the requests that may be on their way to a backend.
type users struct {
	n       atomic.Int64
	retired atomic.Bool
	once    sync.Once
	none    chan struct{} // closed when it is retired and has no users
}

// enter notes a user; false means that the backend is out of service, and that
// another one may have its name.
func (u *users) enter() bool {
	u.n.Add(1)
	if u.retired.Load() {
		u.leave()
		return false
	}
	return true
}

func (u *users) leave() {
	if u.n.Add(-1) == 0 && u.retired.Load() {
		u.once.Do(func() { close(u.none) })
	}
}

func (u *users) retire() {
	u.retired.Store(true)
	if u.n.Load() == 0 {
		u.once.Do(func() { close(u.none) })
	}
}

// newTable keeps the backends of before that are the same.
func newTable(backends []Backend, before *table, number *atomic.Int64) *table {
	t := &table{byName: make(map[string]*Backend, len(backends)), slugs: make(map[string]*Backend, len(backends))}
	for _, b := range backends {
		b.PassthroughHeaders = slices.Clone(b.PassthroughHeaders)
		for n, name := range b.PassthroughHeaders {
			b.PassthroughHeaders[n] = http.CanonicalHeaderKey(name)
		}
		kept := (*Backend)(nil)
		if before != nil {
			kept = before.byName[b.Name]
		}
		if kept == nil || b.Paused || kept.Client != b.Client || kept.Slug != b.Slug || !slices.Equal(kept.PassthroughHeaders, b.PassthroughHeaders) {
			kept = &b
			kept.users = &users{none: make(chan struct{})}
			kept.key = b.Name + "#" + strconv.FormatInt(number.Add(1), 10)
		}
		t.list = append(t.list, kept)
		t.slugs[b.Slug] = kept
		if !b.Paused {
			t.byName[b.Name] = kept
		}
	}
	return t
}

// Replace puts these backends in the place of those before. One that has the same
// name, slug, headers and client stays as it is, with the sessions of clients
// there. Requests that were on their way to another one go on; wait returns when
// they have been handed over to its client, or with ctx's error. Call wait before
// the clients that are gone are closed. requestBytes is as in Limits.
func (g *Gateway) Replace(backends []Backend, requestBytes int64) (wait func(ctx context.Context) error) {
	g.replacing.Lock()
	defer g.replacing.Unlock()
	g.requestBytes.Store(cmp.Or(requestBytes, defaultRequestBytes))
	before := g.table.Load()
	after := newTable(backends, before, &g.numbers)
	g.table.Store(after)
	var gone []*Backend
	for name, b := range before.byName {
		if after.byName[name] != b {
			b.users.retire()
			gone = append(gone, b)
		}
	}
	return func(ctx context.Context) error {
		for _, b := range gone {
			select {
			case <-b.users.none:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	}
}

// EndSessions ends the sessions of clients at backends that are no longer in
// service, with what waits for an answer there.
func (g *Gateway) EndSessions() {
	keys := make(map[string]bool)
	for b := range maps.Values(g.table.Load().byName) {
		keys[b.key] = true
	}
	g.o.Sessions.Prune(func(key string) bool { return keys[key] })
}

// backend returns the backend of a name, nil when no calls may go there.
func (g *Gateway) backend(name string) *Backend { return g.table.Load().byName[name] }

// paused returns the name of the paused backend that a client's name belongs to, by
// the endpoint or by the slug that it begins with; "" when there is none.
func (q *request) paused(name string) string {
	for _, b := range q.g.table.Load().list {
		if !b.Paused {
			continue
		}
		if b.Slug == q.scope || q.scope == "" && len(name) > len(b.Slug) && name[:len(b.Slug)] == b.Slug && !slugByte(name[len(b.Slug)]) {
			return b.Name
		}
	}
	return ""
}

// slugByte reports whether a slug can go on with c.
func slugByte(c byte) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' }
