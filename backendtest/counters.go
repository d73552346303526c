package backendtest

import (
	"context"
	"slices"
)

func get[T any](c *counts, read func() T) T {
	c.mu.Lock()
	defer c.mu.Unlock()
	return read()
}

// Requests is how many requests of a method arrived, refused and faulty ones
// included; of all methods when it is empty. Notifications count too.
func (s *Server) Requests(method string) int {
	return get(s.counts, func() int {
		if method == "" {
			return s.counts.total
		}
		return s.counts.requests[method]
	})
}

// Refused is how many requests of a method were answered 401 or 403, by policy
// or by fault; of all methods when it is empty.
func (s *Server) Refused(method string) int {
	return get(s.counts, func() int {
		if method != "" {
			return s.counts.refused[method]
		}
		sum := 0
		for _, n := range s.counts.refused {
			sum += n
		}
		return sum
	})
}

// Executions is how often a tool's function ran, a prompt (by its name) or a
// resource (by its URI) was read, or "completion/complete" was answered. Of
// everything when name is empty.
func (s *Server) Executions(name string) int {
	return get(s.counts, func() int {
		if name != "" {
			return s.counts.executed[name]
		}
		sum := 0
		for _, n := range s.counts.executed {
			sum += n
		}
		return sum
	})
}

// ByToken is how many requests carried the n-th credential, from 1: in the
// order the issuer minted them with WithBearer, else in the order the server
// first saw them.
func (s *Server) ByToken(n int) int {
	if s.cfg.issuer != nil {
		return s.ByCredential(s.cfg.issuer.Token(n))
	}
	return get(s.counts, func() int {
		if n < 1 || n > len(s.counts.creds) {
			return 0
		}
		return s.counts.byCred[s.counts.creds[n-1]]
	})
}

// ByCredential is how many requests carried this token or, where the
// credential is no bearer token, this header value.
func (s *Server) ByCredential(credential string) int {
	return get(s.counts, func() int { return s.counts.byCred[credential] })
}

// Credentials are the credentials seen, in the order of their first request.
func (s *Server) Credentials() []string {
	return get(s.counts, func() []string { return slices.Clone(s.counts.creds) })
}

// Sessions is how many sessions were opened (revisions before 2026-07-28).
func (s *Server) Sessions() int { return get(s.counts, func() int { return s.counts.opened }) }

// SessionsClosed is how many sessions ended, by DELETE or by being dropped.
func (s *Server) SessionsClosed() int { return get(s.counts, func() int { return s.counts.closed }) }

// InFlight is how many requests are being handled, standing streams apart.
func (s *Server) InFlight() int { return get(s.counts, func() int { return s.counts.inFlight }) }

// MaxInFlight is the most that InFlight has been.
func (s *Server) MaxInFlight() int { return get(s.counts, func() int { return s.counts.maxFlight }) }

// Last is the latest request of a method. Ok is false when there was none.
func (s *Server) Last(method string) (x Exchange, ok bool) {
	s.counts.mu.Lock()
	defer s.counts.mu.Unlock()
	last, ok := s.counts.last[method]
	if !ok {
		return Exchange{}, false
	}
	return last.Exchange, true
}

// Exchanges are the latest requests, oldest first; at most 10,000 are kept.
func (s *Server) Exchanges() []Exchange {
	return get(s.counts, func() []Exchange {
		all := make([]Exchange, len(s.counts.log))
		for i, x := range s.counts.log {
			all[i] = x.Exchange
		}
		return all
	})
}

// WaitRequests blocks until n requests of a method (any, when empty) have
// arrived, or ctx ends.
func (s *Server) WaitRequests(ctx context.Context, method string, n int) error {
	return s.counts.wait(ctx, func() bool {
		if method == "" {
			return s.counts.total >= n
		}
		return s.counts.requests[method] >= n
	})
}

// WaitInFlight blocks until exactly n requests are being handled, or ctx ends.
func (s *Server) WaitInFlight(ctx context.Context, n int) error {
	return s.counts.wait(ctx, func() bool { return s.counts.inFlight == n })
}

// Connections is how many connections the server accepted.
func (s *Server) Connections() int { return int(s.host.conns.Load()) }

// Streams is how many standing streams are open: GET of the elder revisions,
// subscriptions/listen of 2026-07-28.
func (s *Server) Streams() int { return get(s.counts, func() int { return s.counts.streams }) }

// WaitStreams blocks until exactly n standing streams are open, or ctx ends.
func (s *Server) WaitStreams(ctx context.Context, n int) error {
	return s.counts.wait(ctx, func() bool { return s.counts.streams == n })
}
