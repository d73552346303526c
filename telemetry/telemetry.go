// Package telemetry turns what happens into spans and metrics. It implements
// backend.Trace, so that the floors below need to know neither OpenTelemetry nor
// Prometheus. Without an OTLP endpoint no span is made; metrics are always there
// for the admin listener.
package telemetry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Options of telemetry. The zero value makes metrics and no spans.
type Options struct {
	// OTLP is the URL of an OTLP endpoint over HTTP, as http://host:4318. Empty:
	// no spans.
	OTLP string `yaml:"otlp,omitempty" json:"otlp,omitempty"`
	// ServiceName in spans. Default recloser.
	ServiceName string `yaml:"serviceName,omitempty" json:"serviceName,omitempty"`
}

// Validate reports values that cannot work, with the fix.
func (o Options) Validate() error {
	if o.OTLP == "" {
		return nil
	}
	u, err := url.Parse(o.OTLP)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return errors.New("otlp is not an http or https URL: use http://host:4318")
	case u.User != nil:
		return errors.New("otlp holds credentials: take them out of the URL")
	}
	return nil
}

// Telemetry makes spans and metrics. Its methods are safe for concurrent use.
type Telemetry struct {
	registry *prometheus.Registry
	metrics  *metrics
	tracer   trace.Tracer // nil: no spans
	provider *sdktrace.TracerProvider
	renewals renewals
}

var propagator = propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})

// New starts telemetry. version is the version of the product.
func New(ctx context.Context, o Options, version string) (*Telemetry, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.OTLP == "" {
		return newTelemetry(nil), nil
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(o.OTLP+"/v1/traces"))
	if err != nil {
		return nil, fmt.Errorf("telemetry: %w", err)
	}
	return newTelemetry(sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(exporter),
		sdktrace.WithResource(resource.NewSchemaless(
			attribute.String("service.name", cmp.Or(o.ServiceName, "recloser")),
			attribute.String("service.version", version))))), nil
}

func newTelemetry(provider *sdktrace.TracerProvider) *Telemetry {
	t := &Telemetry{registry: prometheus.NewRegistry(), provider: provider}
	t.metrics = newMetrics(t.registry)
	t.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if provider != nil {
		t.tracer = provider.Tracer("github.com/recloser-mcp/recloser")
	}
	return t
}

// Handler answers a scrape.
func (t *Telemetry) Handler() http.Handler {
	return promhttp.HandlerFor(t.registry, promhttp.HandlerOpts{})
}

// Shutdown sends the spans that are left, at most until ctx ends.
func (t *Telemetry) Shutdown(ctx context.Context) error {
	if t.provider == nil {
		return nil
	}
	return t.provider.Shutdown(ctx)
}
