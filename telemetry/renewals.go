package telemetry

import (
	"context"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/recloser-mcp/recloser/auth"
)

// maxLinks bounds the links of one auth.renew span.
const maxLinks = 128

// renewals knows which recoveries are waiting, so that the span of a renewal can
// link to them, and which renewals were told already: two backends on one
// credential both hear of it.
type renewals struct {
	mu      sync.Mutex
	waiting []trace.SpanContext
	told    [16]time.Time
	next    int
}

func (r *renewals) wait(s trace.SpanContext) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.waiting) < maxLinks {
		r.waiting = append(r.waiting, s)
	}
}

func (r *renewals) leave(s trace.SpanContext) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting = slices.DeleteFunc(r.waiting, func(o trace.SpanContext) bool { return o.SpanID() == s.SpanID() })
}

// first reports whether e is new, with links to those who wait for it.
func (r *renewals) first(e auth.Event) (links []trace.Link, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if slices.ContainsFunc(r.told[:], e.At.Equal) {
		return nil, false
	}
	r.told[r.next%len(r.told)] = e.At
	r.next++
	for _, s := range r.waiting {
		links = append(links, trace.Link{SpanContext: s})
	}
	return links, true
}

// renewed makes the auth.renew span of a finished fetch.
func (t *Telemetry) renewed(e auth.Event) {
	links, ok := t.renewals.first(e)
	if !ok {
		return
	}
	_, span := t.tracer.Start(context.Background(), spanRenew, trace.WithTimestamp(e.At.Add(-e.Took)), trace.WithLinks(links...),
		trace.WithAttributes(attribute.String(attrRenewal, e.Outcome.String()),
			attribute.Int64(attrGeneration, int64(e.Generation)))) //nolint:gosec // generations are small
	if e.Kind == auth.Failed {
		span.SetStatus(codes.Error, e.Outcome.String())
	}
	span.End(trace.WithTimestamp(e.At))
}
