package telemetry

import (
	"context"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// Tracing reports whether spans are made.
func (t *Telemetry) Tracing() bool { return t.tracer != nil }

// TraceID names the trace that a context belongs to, "" if there is none.
func (t *Telemetry) TraceID(ctx context.Context) string {
	if c := trace.SpanContextFromContext(ctx); t.Tracing() && c.HasTraceID() {
		return c.TraceID().String()
	}
	return ""
}

// StartOperation begins the span of a client's request, if spans are made. The
// caller's trace context is read from its headers.
func (t *Telemetry) StartOperation(ctx context.Context, h http.Header, method, name string) context.Context {
	if !t.Tracing() {
		return ctx
	}
	ctx, _ = t.tracer.Start(propagator.Extract(ctx, propagation.HeaderCarrier(h)), operation(method, name),
		trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(operationAttributes(method, name)...))
	return ctx
}

// EndOperation ends the span of a client's request and counts it. errorType is
// empty for a request that was answered.
func (t *Telemetry) EndOperation(ctx context.Context, method string, took time.Duration, errorType string) {
	t.metrics.server.WithLabelValues(method, errorType).Observe(took.Seconds())
	if !t.Tracing() {
		return
	}
	span := trace.SpanFromContext(ctx)
	if errorType != "" {
		span.SetStatus(codes.Error, "")
		span.SetAttributes(attribute.String(attrErrorType, errorType))
	}
	span.End()
}

// operation is the span name of the conventions: the method, and the name of a
// tool or prompt. URIs of resources are left out: there is no bound on them.
func operation(method, name string) string {
	if name == "" || method == "resources/read" {
		return method
	}
	return method + " " + name
}

func operationAttributes(method, name string) []attribute.KeyValue {
	out := append(make([]attribute.KeyValue, 0, 6), attribute.String(attrMethod, method))
	switch {
	case name == "":
	case method == "tools/call":
		out = append(out, attribute.String(attrTool, name))
	case method == "prompts/get":
		out = append(out, attribute.String(attrPrompt, name))
	case method == "resources/read":
		out = append(out, attribute.String(attrResource, name))
	}
	return out
}
