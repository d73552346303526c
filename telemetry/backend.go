package telemetry

import (
	"context"
	"errors"
	"net/http"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/recloser-mcp/recloser/auth"
	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/guard"
	"github.com/recloser-mcp/recloser/wire"
)

// Backend returns the hooks that a backend client reports to.
func (t *Telemetry) Backend() *backend.Trace {
	tr := &backend.Trace{
		CallEnd: func(_ context.Context, c backend.CallInfo, r backend.CallResult) { t.count(c, r) },
		Renewal: func(name string, e auth.Event) {
			t.metrics.renewals.WithLabelValues(name, e.Outcome.String()).Inc()
		},
		Transition: func(name string, n guard.Transition) {
			t.metrics.transitions.WithLabelValues(name, n.To.String()).Inc()
		},
	}
	if t.tracer == nil {
		return tr
	}
	tr.CallStart = t.callStart
	tr.CallEnd = func(ctx context.Context, c backend.CallInfo, r backend.CallResult) {
		t.count(c, r)
		t.callEnd(ctx, r)
	}
	tr.SendStart, tr.SendEnd = t.sendStart, t.sendEnd
	tr.Inject = func(ctx context.Context, h http.Header) { propagator.Inject(ctx, propagation.HeaderCarrier(h)) }
	tr.Meta = meta
	count := tr.Renewal
	tr.Renewal = func(name string, e auth.Event) {
		count(name, e)
		t.renewed(e)
	}
	return tr
}

// count keeps the metrics of a finished call.
func (t *Telemetry) count(c backend.CallInfo, r backend.CallResult) {
	t.metrics.client.WithLabelValues(c.Backend, c.Method, errorType(r.Err)).Observe(r.Took.Seconds())
	if outcome, ok := outcomeOf(r); ok {
		t.metrics.retries.WithLabelValues(c.Backend, outcome).Inc()
	}
}

// errorType is the low-cardinality name of an error.
func errorType(err error) string {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*backend.Error](err); ok {
		return e.Kind.Reason()
	}
	if _, ok := errors.AsType[*backend.RPCError](err); ok {
		return "rpc_error"
	}
	return "other"
}

// outcomeOf says how the recovery of a call ended, if it had one.
func outcomeOf(r backend.CallResult) (string, bool) {
	refusal, ok := errors.AsType[*guard.Refusal](r.Guard.Err)
	if !ok {
		return outcomeRecovered, r.Guard.Attempts > 1 || r.Guard.Waited > 0
	}
	switch refusal.Reason {
	case guard.GrantExpired:
		return outcomePermanent, true
	case guard.Canceled, guard.Shutdown:
		return outcomeCancelled, true
	case guard.Rejected:
		return outcomeCircuitOpen, true
	case guard.Unretried:
		if r.Guard.Phase != guard.Closed {
			return outcomeCircuitOpen, true
		}
	}
	return outcomeExhausted, true
}

// callState follows one call through its sends.
type callState struct {
	info backend.CallInfo
	ctx  context.Context //nolint:containedctx // the parent of spans that begin later

	mu    sync.Mutex
	retry trace.Span
}

type callKey struct{}

func (t *Telemetry) callStart(ctx context.Context, c backend.CallInfo) context.Context {
	return context.WithValue(ctx, callKey{}, &callState{info: c, ctx: ctx})
}

// span returns the call's auth.retry span, which begins with its first refusal.
func (t *Telemetry) span(s *callState) trace.Span {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.retry == nil {
		_, s.retry = t.tracer.Start(s.ctx, spanRetry, trace.WithAttributes(attribute.String(attrBackend, s.info.Backend)))
		t.renewals.wait(s.retry.SpanContext())
	}
	return s.retry
}

func (t *Telemetry) callEnd(ctx context.Context, r backend.CallResult) {
	s, ok := ctx.Value(callKey{}).(*callState)
	if !ok {
		return
	}
	outcome, recovered := outcomeOf(r)
	if !recovered {
		return
	}
	span := t.span(s)
	t.renewals.leave(span.SpanContext())
	//nolint:gosec // generations are small
	span.SetAttributes(
		attribute.Int(attrAttempts, r.Guard.Attempts),
		attribute.String(attrOutcome, outcome),
		attribute.Bool(attrCoalesced, r.Guard.Coalesced),
		attribute.Int64(attrGeneration, int64(r.Guard.Generation)),
		attribute.String(attrCircuit, r.Guard.Phase.String()))
	if outcome != outcomeRecovered {
		span.SetStatus(codes.Error, outcome)
		span.SetAttributes(attribute.String(attrErrorType, errorType(r.Err)))
	}
	span.End()
}

func (t *Telemetry) sendStart(ctx context.Context, s backend.SendInfo) context.Context {
	ctx, _ = t.tracer.Start(ctx, operation(s.Method, s.Name), trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
		append(operationAttributes(s.Method, s.Name),
			attribute.String(attrBackend, s.Backend),
			attribute.String(attrHTTPMethod, s.HTTPMethod),
			attribute.Int(attrResend, s.Resend))...))
	return ctx
}

func (t *Telemetry) sendEnd(ctx context.Context, s backend.SendInfo, r backend.SendResult) {
	span := trace.SpanFromContext(ctx)
	if r.Status != 0 {
		span.SetAttributes(attribute.Int(attrHTTPStatus, r.Status))
	}
	if r.Err != nil || r.Status >= 400 {
		span.SetStatus(codes.Error, "")
		span.SetAttributes(attribute.String(attrErrorType, sendError(r)))
	}
	span.End()

	state, ok := ctx.Value(callKey{}).(*callState)
	refused := r.Verdict == guard.Refused || r.Verdict == guard.Invalid || r.Verdict == guard.Denied
	if !ok || !refused && s.Resend == 0 {
		return
	}
	t.span(state).AddEvent(eventAttempt, trace.WithAttributes(
		attribute.Int(attrAttempt, s.Resend+1),
		attribute.Int64(attrDelay, s.Delay.Milliseconds()),
		attribute.String(attrReason, s.Cause.String()),
		attribute.Int(attrHTTPStatus, r.Status)))
}

// sendError names what went wrong with one send, never in the transport's words.
func sendError(r backend.SendResult) string {
	if r.Status == 0 {
		return "transport"
	}
	return http.StatusText(r.Status)
}

func meta(ctx context.Context) []wire.KV {
	carrier := propagation.MapCarrier{}
	propagator.Inject(ctx, carrier)
	var out []wire.KV
	for _, k := range carrier.Keys() {
		out = append(out, wire.KV{Key: k, Value: wire.Quote(nil, carrier.Get(k))})
	}
	return out
}
