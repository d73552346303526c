package server

import (
	"fmt"
	"net/http"
	"reflect"
	"sync"
	"time"

	"github.com/recloser-mcp/recloser/auth"
	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/caller"
	"github.com/recloser-mcp/recloser/catalog"
	"github.com/recloser-mcp/recloser/config"
	"github.com/recloser-mcp/recloser/gateway"
	"github.com/recloser-mcp/recloser/health"
	"github.com/recloser-mcp/recloser/journal"
)

// live is a configuration in effect: what was made from one document. It is not
// changed, but replaced as a whole.
type live struct {
	doc      *config.Document
	loaded   time.Time
	sources  map[string]*source // by the credential's key
	backends []*served          // in the order of the document, disabled ones not among them
	byName   map[string]*served
	disabled []string

	authenticate func(*http.Request) (caller.Identity, error)
	check        *caller.Guard
	adminToken   *caller.Authenticator // nil: nobody has to show one
	adminCheck   *caller.Guard
}

// source is a credential with what it was made from.
type source struct {
	*auth.Source
	from config.Credential
}

// served is one backend in service, or paused.
type served struct {
	config.Backend
	source    *source // nil: it is called without a credential
	client    *backend.Client
	record    *journal.Record
	paused    bool
	condition *condition
	standing  *standing
}

// assemble makes what a document describes. Of before it keeps what is the same:
// credentials, and backends with their connections, sessions and breakers. An error
// leaves nothing behind.
func (s *Server) assemble(doc *config.Document, before *live, paused map[string]bool) (made *live, err error) {
	next := &live{doc: doc, loaded: time.Now(), sources: map[string]*source{}, byName: map[string]*served{}}
	if before == nil {
		before = &live{}
	}
	defer func() {
		if err != nil {
			next.without(before).close()
		}
	}()
	if err := next.admit(doc, s); err != nil {
		return nil, err
	}
	for _, c := range doc.Credentials {
		if was := before.sources[c.Key]; was != nil && was.from.Same(c) {
			next.sources[c.Key] = was
			continue
		}
		src, err := s.registry.New(c.Spec, auth.SourceOptions{Name: c.Key, Logger: s.log})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.Key, err)
		}
		next.sources[c.Key] = &source{src, c}
	}
	for _, b := range doc.Backends {
		if b.Disabled {
			next.disabled = append(next.disabled, b.Name)
			continue
		}
		one := &served{Backend: b, source: next.sources[b.Credential], paused: paused[b.Name], standing: &standing{}}
		was := before.byName[b.Name]
		if was != nil {
			one.standing = was.standing // other settings are no news of how it is
		}
		if was != nil && was.same(one) {
			one.client, one.record, one.condition = was.client, was.record, was.condition
		} else if err := s.dial(one); err != nil {
			return nil, err
		}
		next.backends = append(next.backends, one)
		next.byName[b.Name] = one
	}
	return next, nil
}

// same reports whether the client of b can serve other.
func (b *served) same(other *served) bool {
	now, was := other.Options, b.Options
	now.Dial, was.Dial = nil, nil // no setting, and funcs cannot be compared
	return b.source == other.source && b.Slug == other.Slug && reflect.DeepEqual(now, was)
}

// dial makes the client of a backend. Nothing is sent yet.
func (s *Server) dial(b *served) (err error) {
	o := b.Options
	if b.source != nil {
		o.Auth = b.source.Source
	}
	o.Trace, o.Logger = s.hooks, s.log
	o.ClientInfo = backend.ClientInfo{Name: "recloser", Version: s.version}
	b.record, b.condition = s.journal.Record(b.Name), &condition{}
	if o.Transport == backend.TransportStdio {
		b.client, err = backend.NewStdioBackendClient(o)
	} else {
		b.client, err = backend.NewHTTPBackendClient(s.registry, o)
	}
	return err
}

// admit makes what decides who may ask.
func (l *live) admit(doc *config.Document, s *Server) error {
	authn, err := caller.New(doc.IncomingAuth)
	if err != nil {
		return fmt.Errorf("incomingAuth: %w", err)
	}
	l.authenticate = ownClient(authn.Authenticate)
	if l.check, err = caller.NewGuard(caller.GuardOptions{AllowedHosts: doc.AllowedHosts, PublicURL: doc.PublicURL,
		Authenticated: !doc.IncomingAuth.Public()}); err != nil {
		return err
	}
	if l.adminCheck, err = caller.NewGuard(caller.GuardOptions{AllowedHosts: doc.AllowedHosts, PublicURL: doc.PublicURL,
		Authenticated: !doc.Admin.Token.IsZero()}); err != nil {
		return err
	}
	if doc.Admin.Token.IsZero() {
		return nil
	}
	l.adminToken, err = caller.New(caller.Options{Type: caller.TypeBearer, Tokens: []auth.Value{doc.Admin.Token}, Logger: s.log})
	if err != nil {
		return fmt.Errorf("admin.token: %w", err)
	}
	return nil
}

// without returns what of l is not in other: what ends with l when other follows it,
// or what was made in vain.
func (l *live) without(other *live) *live {
	rest := &live{sources: map[string]*source{}}
	for key, src := range l.sources {
		if other.sources[key] != src {
			rest.sources[key] = src
		}
	}
	for _, b := range l.backends {
		if kept := other.byName[b.Name]; kept == nil || kept.client != b.client {
			rest.backends = append(rest.backends, b)
		}
	}
	return rest
}

// close ends all clients at once, as each may have to wait for processes, and then
// their credentials.
func (l *live) close() {
	var wg sync.WaitGroup
	for _, b := range l.backends {
		if b.client != nil {
			wg.Go(func() { _ = b.client.Close() })
		}
	}
	wg.Wait()
	for _, src := range l.sources {
		src.Close()
	}
}

// What each room is told of the backends.

func (l *live) routed() (all []gateway.Backend) {
	for _, b := range l.backends {
		all = append(all, gateway.Backend{Name: b.Name, Slug: b.Slug, Client: b.client,
			PassthroughHeaders: b.Options.PassthroughHeaders, Paused: b.paused})
	}
	return all
}

func (l *live) listed() (all []catalog.Backend) {
	for _, b := range l.backends {
		if !b.paused {
			all = append(all, catalog.Backend{Name: b.Name, Slug: b.Slug, Client: b.client, Scrub: b.client.Scrub, Selection: b.Selection})
		}
	}
	return all
}

func (l *live) probed() (all []health.Backend) {
	for _, b := range l.backends {
		if !b.paused {
			all = append(all, health.Backend{Name: b.Name, Of: b.client, Probe: b.client.Probe})
		}
	}
	return all
}
