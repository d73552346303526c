package server

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/recloser-mcp/recloser/auth"
	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/gateway"
	"github.com/recloser-mcp/recloser/guard"
	"github.com/recloser-mcp/recloser/health"
)

// Observer hears of what happens at the backends. Its funcs must not block; nil
// funcs are skipped.
type Observer struct {
	Call       func(backend.CallInfo, backend.CallResult)
	Renewal    func(backend string, e auth.Event)
	Transition func(backend string, t guard.Transition)
}

// trace joins telemetry, the log, the observer and the server's own reactions.
func (s *Server) trace(o *Observer) *backend.Trace {
	tr := s.telemetry.Backend()
	if o == nil {
		o = &Observer{}
	}
	end := tr.CallEnd
	tr.CallEnd = func(ctx context.Context, c backend.CallInfo, r backend.CallResult) {
		end(ctx, c, r)
		s.called(ctx, c, r)
		if o.Call != nil {
			o.Call(c, r)
		}
	}
	tr.Session = s.sessionEvent
	renewal := tr.Renewal
	tr.Renewal = func(name string, e auth.Event) {
		renewal(name, e)
		s.logRenewal(name, e)
		s.tellRenewal(name, e)
		if o.Renewal != nil {
			o.Renewal(name, e)
		}
	}
	transition := tr.Transition
	tr.Transition = func(name string, t guard.Transition) {
		transition(name, t)
		s.log.Warn("breaker "+t.To.String(), "backend", name, "from", t.From.String(), "exhausted", t.Count, "until", t.Until)
		switch t.To {
		case guard.Open:
			s.monitor.Kick(name) // to know whether lists are refused, too
		case guard.Closed:
			s.catalog.Kick(name)
		}
		s.tellTransition(name, t)
		if o.Transition != nil {
			o.Transition(name, t)
		}
	}
	return tr
}

// logRenewal says what became of a renewal. A failure that goes on is said once.
func (s *Server) logRenewal(name string, e auth.Event) {
	failure := ""
	if e.Kind == auth.Failed {
		failure = fmt.Sprintf("%s: %v", e.Outcome, e.Err)
	}
	s.mu.Lock()
	news := s.failing[name] != failure
	if s.failing == nil {
		s.failing = map[string]string{}
	}
	s.failing[name] = failure
	s.mu.Unlock()
	switch {
	case e.Kind == auth.Failed && news:
		s.log.Error("credential not renewed", "backend", name, "outcome", e.Outcome.String(), "took", e.Took, "error", e.Err)
	case e.Kind == auth.Rotated:
		s.log.Info("credential replaced from outside", "backend", name, "generation", e.Generation)
	case e.Kind == auth.Renewed && e.Generation == 1:
		s.log.Info("credential obtained", "backend", name, "took", e.Took)
	case e.Kind == auth.Renewed:
		s.log.Info("credential renewed", "backend", name, "generation", e.Generation, "took", e.Took)
	}
}

// probed reacts to the end of a probe: the first accepted one after trouble has
// the lists read again.
func (s *Server) probed(name string, before, now health.Verdict) {
	switch {
	case now.Err == nil && before.Err != nil:
		s.log.Info("backend answers again", "backend", name)
		s.catalog.Kick(name)
	case now.Err != nil && before.Err == nil:
		s.log.Info("probe failed", "backend", name, "error", now.Err)
	}
	if b := s.live.Load().byName[name]; b != nil {
		b.record.Answered(now.At, false, !unsound(now.Err))
		if now.Err == nil && before.Err == nil && b.condition.well.Load() {
			return // nothing is new
		}
	}
	s.look(name)
}

// operations tells telemetry of the requests of clients. Names are asked for only
// where they go into a span.
func (s *Server) operations() gateway.Trace {
	t := s.telemetry
	return gateway.Trace{
		Start: func(ctx context.Context, h http.Header, o gateway.Operation) context.Context {
			if !t.Tracing() {
				return ctx
			}
			if own := o.TraceContext(); own != nil {
				h = own // that of the message, not of the connection
			}
			return t.StartOperation(ctx, h, o.Method, o.Name())
		},
		End: func(ctx context.Context, o gateway.Operation, took time.Duration, errorType string) {
			t.EndOperation(ctx, o.Method, took, errorType)
		},
	}
}
