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

// Operation begins the span and the measurement of a client's request; the func
// ends them. errorType is empty for a request that was answered. The caller's
// trace context is read from its headers.
func (t *Telemetry) Operation(ctx context.Context, h http.Header, method, name string) (context.Context, func(errorType string)) {
	began := time.Now()
	var span trace.Span
	if t.tracer != nil {
		ctx = propagator.Extract(ctx, propagation.HeaderCarrier(h))
		ctx, span = t.tracer.Start(ctx, operation(method, name), trace.WithSpanKind(trace.SpanKindServer),
			trace.WithAttributes(operationAttributes(method, name)...))
	}
	return ctx, func(errorType string) {
		t.metrics.server.WithLabelValues(method, errorType).Observe(time.Since(began).Seconds())
		if span == nil {
			return
		}
		if errorType != "" {
			span.SetStatus(codes.Error, "")
			span.SetAttributes(attribute.String(attrErrorType, errorType))
		}
		span.End()
	}
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
