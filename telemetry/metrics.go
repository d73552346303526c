package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/recloser-mcp/recloser/status"
)

// buckets suit calls from a millisecond to the ten minutes of a slow tool.
var buckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 600}

type metrics struct {
	registry    *prometheus.Registry
	server      *prometheus.HistogramVec
	client      *prometheus.HistogramVec
	retries     *prometheus.CounterVec
	renewals    *prometheus.CounterVec
	transitions *prometheus.CounterVec
}

func newMetrics(r *prometheus.Registry) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		r.MustRegister(v)
		return v
	}
	histogram := func(name, help string, labels ...string) *prometheus.HistogramVec {
		v := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
		r.MustRegister(v)
		return v
	}
	return &metrics{
		registry:    r,
		server:      histogram(metricServer, "Duration of requests of clients, as the gateway saw them.", labelMethod, labelError),
		client:      histogram(metricClient, "Duration of calls to backends, recoveries included.", labelBackend, labelMethod, labelError),
		retries:     counter(metricRetries, "Calls whose credential was refused at least once, by how they ended.", labelBackend, labelOutcome),
		renewals:    counter(metricRenewals, "Finished fetches of a credential.", labelBackend, labelOutcome),
		transitions: counter(metricTransitions, "Changes of a breaker's state.", labelBackend, labelTo),
	}
}

// Watch adds the metrics that are read from the status at each scrape, and the
// number of client sessions.
func (t *Telemetry) Watch(read func() status.Status, sessions func() int) {
	t.registry.MustRegister(&stateCollector{read, sessions})
}

// stateCollector reads gauges from the status, so that metrics and status cannot
// disagree.
type stateCollector struct {
	read     func() status.Status
	sessions func() int
}

var (
	descExpiry   = prometheus.NewDesc(metricExpiry, "When the credential expires; absent when it does not.", []string{labelBackend}, nil)
	descBreaker  = prometheus.NewDesc(metricBreaker, "1 for the state the breaker is in.", []string{labelBackend, labelState}, nil)
	descStatus   = prometheus.NewDesc(metricStatus, "1 for the status the backend has.", []string{labelBackend, labelStatus}, nil)
	descTools    = prometheus.NewDesc(metricTools, "Tools in the backend's catalog.", []string{labelBackend}, nil)
	descSessions = prometheus.NewDesc(metricSessions, "Open sessions of clients.", nil, nil)
)

// Describe implements prometheus.Collector.
func (c *stateCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descExpiry, descBreaker, descStatus, descTools, descSessions} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *stateCollector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	gauge(descSessions, float64(c.sessions()))
	for _, b := range c.read().Backends {
		if b.Reason == status.ReasonDisabled {
			continue
		}
		gauge(descTools, float64(b.Tools), b.Name)
		if !b.Credential.Expires.IsZero() {
			gauge(descExpiry, float64(b.Credential.Expires.UnixNano())/float64(time.Second), b.Name)
		}
		for _, s := range []status.BreakerState{status.BreakerClosed, status.BreakerOpen, status.BreakerHalfOpen} {
			gauge(descBreaker, one(b.Breaker.State == s), b.Name, string(s))
		}
		for _, s := range []status.BackendStatus{status.BackendStatusReady, status.BackendStatusDegraded,
			status.BackendStatusUnavailable, status.BackendStatusUnknown} {
			gauge(descStatus, one(b.Status == s), b.Name, string(s))
		}
	}
}

func one(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
