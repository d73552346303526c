package controller

import (
	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/recloser-mcp/recloser/operator/api/v1alpha1"
)

var (
	polls = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "recloser_operator_polls_total",
		Help: "Requests for the status of a gateway's pod.",
	}, []string{"outcome"})
	phases = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "recloser_operator_gateway_phase",
		Help: "1 for the phase that a VirtualMCPServer is in.",
	}, []string{"namespace", "gateway", "phase"})
	states = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "recloser_operator_backends",
		Help: "How many backends of a VirtualMCPServer are in a state.",
	}, []string{"namespace", "gateway", "status"})
)

func init() { metrics.Registry.MustRegister(polls, phases, states) }

// measure shows the status of a gateway.
func measure(g *v1alpha1.VirtualMCPServer) {
	for _, p := range []v1alpha1.Phase{v1alpha1.PhasePending, v1alpha1.PhaseReady, v1alpha1.PhaseDegraded, v1alpha1.PhaseFailed} {
		is := 0.0
		if g.Status.Phase == p {
			is = 1
		}
		phases.WithLabelValues(g.Namespace, g.Name, string(p)).Set(is)
	}
	count := map[v1alpha1.BackendState]float64{}
	for _, b := range g.Status.Backends {
		count[b.Status]++
	}
	for _, s := range []v1alpha1.BackendState{v1alpha1.BackendReady, v1alpha1.BackendDegraded, v1alpha1.BackendUnavailable, v1alpha1.BackendUnknown} {
		states.WithLabelValues(g.Namespace, g.Name, string(s)).Set(count[s])
	}
}

// unmeasure drops a gateway that is no more.
func unmeasure(namespace, name string) {
	labels := prometheus.Labels{"namespace": namespace, "gateway": name}
	phases.DeletePartialMatch(labels)
	states.DeletePartialMatch(labels)
}
