package backendtest

import (
	"context"
	"fmt"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// WithSubscriptions lets clients subscribe to resources: resources/subscribe of
// the elder revisions, subscriptions/listen of 2026-07-28. See
// [Server.UpdateResource]. The official SDK only.
func WithSubscriptions() Option { return serverOption(func(c *config) { c.subscriptions = true }) }

// UpdateResource changes the text of a resource and tells its subscribers
// (notifications/resources/updated). It returns when they were told.
func (s *Server) UpdateResource(uri, text string) error {
	s.mu.Lock()
	s.texts[uri] = text
	s.mu.Unlock()
	e, ok := s.engine.(*official)
	if !ok {
		return fmt.Errorf("backendtest: nobody can subscribe to %s", uri)
	}
	return e.mcp.ResourceUpdated(context.Background(), &mcp.ResourceUpdatedNotificationParams{URI: uri})
}

// textOf is the text of a resource now.
func (s *Server) textOf(uri, first string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if text, changed := s.texts[uri]; changed {
		return text
	}
	return first
}

// Subscriptions is how many subscriptions to a resource are open. A session
// that subscribes twice has one.
func (s *Server) Subscriptions(uri string) int {
	return get(s.counts, func() int { return len(s.counts.subscribed[uri]) })
}

// SubscriptionsMade is how many subscriptions to a resource were made, those
// that ended included.
func (s *Server) SubscriptionsMade(uri string) int {
	return get(s.counts, func() int { return s.counts.subscribes[uri] })
}

// WaitSubscriptions blocks until exactly n subscriptions to a resource are
// open, or ctx ends.
func (s *Server) WaitSubscriptions(ctx context.Context, uri string, n int) error {
	return s.counts.wait(ctx, func() bool { return len(s.counts.subscribed[uri]) == n })
}

// subscriber tells sessions apart: by their id, which their end is known by, or
// where they have none, as each request of 2026-07-28, by themselves.
func subscriber(s *mcp.ServerSession) any {
	if id := s.ID(); id != "" {
		return id
	}
	return s
}

func (c *counts) subscribe(uri string, who any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.subscribed[uri] == nil {
		c.subscribed[uri] = map[any]bool{}
	}
	c.subscribed[uri][who] = true
	c.subscribes[uri]++
	c.touch()
}

func (c *counts) unsubscribe(uri string, who any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.subscribed[uri], who)
	c.touch()
}

// letSubscribe has the SDK note who subscribes.
func (e *official) letSubscribe(o *mcp.ServerOptions) {
	o.SubscribeHandler = func(_ context.Context, r *mcp.SubscribeRequest) error {
		e.s.counts.subscribe(r.Params.URI, subscriber(r.Session))
		return nil
	}
	o.UnsubscribeHandler = func(_ context.Context, r *mcp.UnsubscribeRequest) error {
		e.s.counts.unsubscribe(r.Params.URI, subscriber(r.Session))
		return nil
	}
}
