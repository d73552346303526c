package backend

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/recloser-mcp/recloser/wire"
)

const (
	probeTime = 5 * time.Second // for server/discover, which elder servers may ignore
	standTime = time.Second     // that a process must live to count as one that runs
)

// probe asks a server for its revision (basic/transports/stdio, "Backward
// Compatibility", 2026-07-28). An elder one may answer with any error, not at
// all, or by ending: each of these is the answer that it does not know the
// method. The process that was asked is the one of the session that comes next.
func (s *stdio) probe(req *http.Request, msg []byte, e *wire.Envelope) (*http.Response, error) {
	c, err := s.shared()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(req.Context(), probeTime)
	defer cancel()
	answered := false
	resp, err := c.mux.post(req.WithContext(ctx), msg, e, func(ok bool) { answered = ok })
	err = c.cause(ctx, err)
	exit, ended := errors.AsType[*ExitError](err)
	switch {
	case err == nil && answered:
		s.procs.Lock()
		s.modern = true
		s.procs.Unlock()
		return resp, nil
	case req.Context().Err() != nil:
		return nil, err
	case ended:
		if c, err = s.second(req.Context(), exit); err != nil {
			return nil, err
		}
	case err != nil && !errors.Is(err, context.DeadlineExceeded):
		return nil, err
	}
	s.procs.Lock()
	c.refuse = true
	s.procs.Unlock()
	if err == nil && resp != nil {
		return resp, nil
	}
	id := e.ID.Of(msg)
	return respond(req, http.StatusBadRequest, typeJSON,
		wire.ErrorBody(id, wire.MethodNotFound, "the server does not know server/discover", nil)), nil
}

// second tells a server that ends when it is asked what it does not know from one
// that ends anyway: it starts another process and says nothing to it.
func (s *stdio) second(ctx context.Context, exit *ExitError) (*child, error) {
	c, err := s.shared()
	if err != nil {
		return nil, err
	}
	if c.await(ctx, standTime) {
		return nil, exit
	}
	return c, ctx.Err()
}
