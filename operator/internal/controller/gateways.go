// Package controller keeps gateways as their VirtualMCPServers say, and tells there and
// in the MCPBackends how they are.
//
// It keeps nothing that cannot be found again: owned objects are applied as a whole and so
// come back when somebody changes them, and they go with their owner, so that no finalizer
// is needed.
package controller

import (
	"context"
	"net"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/recloser-mcp/recloser/operator/api/v1alpha1"
	"github.com/recloser-mcp/recloser/operator/internal/render"
	"github.com/recloser-mcp/recloser/operator/internal/verdict"
)

// Options of the controllers. The zero value is useful but for Render.Image.
type Options struct {
	Render render.Options
	// PollEvery is the time between two looks at the pods of a gateway. Default 5 s; changes
	// in the cluster do not wait for it.
	PollEvery time.Duration
	// Concurrency is how many gateways, and how many backends, are looked at at once.
	// Default 4.
	Concurrency int
	// Dial connects to pods. Default: as everything does.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Named gives the controllers other names than their own, for several managers in one
	// process.
	Named string
}

// Gateways reconciles VirtualMCPServers.
type Gateways struct {
	Client  client.Client
	Live    client.Reader
	Events  events.EventRecorder
	Options render.Options

	every    time.Duration
	resolver *resolver
	poller   *poller
	memory   memory
	index    index
	monitors monitors
}

// +kubebuilder:rbac:groups=recloser.dev,resources=virtualmcpservers;mcpbackends,verbs=get;list;watch
// +kubebuilder:rbac:groups=recloser.dev,resources=virtualmcpservers/status;mcpbackends/status,verbs=get;update;patch
// +kubebuilder:rbac:groups=recloser.dev,resources=virtualmcpservers/finalizers,verbs=update
// +kubebuilder:rbac:groups="",resources=secrets;configmaps;services,verbs=get;list;watch;create;patch
// +kubebuilder:rbac:groups="",resources=pods,verbs=get;list;watch
// +kubebuilder:rbac:groups=apps,resources=deployments,verbs=get;list;watch;create;patch
// +kubebuilder:rbac:groups=networking.k8s.io,resources=networkpolicies,verbs=get;list;watch;create;patch
// +kubebuilder:rbac:groups=policy,resources=poddisruptionbudgets,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=discovery.k8s.io,resources=endpointslices,verbs=get;list;watch
// +kubebuilder:rbac:groups=monitoring.coreos.com,resources=servicemonitors,verbs=get;create;patch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// Reconcile brings one gateway about and tells how it is: it finds the backends, makes the
// configuration, applies the objects, asks the pods, and writes the status.
func (r *Gateways) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	var g v1alpha1.VirtualMCPServer
	if err := r.Client.Get(ctx, req.NamespacedName, &g); gone(err) {
		r.forget(req)
		return ctrl.Result{}, nil
	} else if err != nil || !g.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, err
	}
	backends, problem, err := selectBackends(ctx, r.Client, &g)
	if err != nil {
		return ctrl.Result{}, err
	}
	r.remember(&g, backends)
	p, err := r.plan(ctx, &g, backends)
	if err != nil {
		return ctrl.Result{}, err
	}
	if problem != nil {
		p.problems = append(p.problems, problem)
	}
	if err := r.apply(ctx, p); err != nil {
		return ctrl.Result{}, err
	}
	facts, err := r.observe(ctx, p)
	if err != nil {
		return ctrl.Result{}, err
	}
	return ctrl.Result{RequeueAfter: r.every}, r.report(ctx, &g, verdict.Gateway(facts))
}

// observe gathers the facts: the Deployment, its pods, and what they say.
func (r *Gateways) observe(ctx context.Context, p *plan) (verdict.Facts, error) {
	g := p.gateway.Resource
	f := verdict.Facts{
		Resource: g, Wanted: p.wanted, Problems: p.problems, Configured: p.doc != nil, URL: render.URL(g), Now: time.Now(),
		Selector: labels.SelectorFromSet(render.Selector(g.Name)).String(),
	}
	if p.gateway.Tokens == nil {
		f.TokenSecret = render.TokenSecret(g.Name)
	}
	var err error
	if f.Workload, err = workload(ctx, r.Client, g); err != nil {
		return f, err
	}
	f.Replicas, err = r.poller.replicas(ctx, g, r.memory.of(client.ObjectKeyFromObject(g)))
	return f, err
}

// remember notes what the gateway depends on, before any of it is read.
func (r *Gateways) remember(g *v1alpha1.VirtualMCPServer, backends []selected) {
	var all []reference
	for _, b := range backends {
		if b.resource != nil {
			all = append(all, objects(g.Namespace, render.ReferencesOf(render.Backend(b.resource, "")), b.resource.Spec.ServiceRef)...)
		}
	}
	var own render.References
	for _, c := range g.Spec.Credentials {
		own.Add(render.ReferencesOf(render.Credential(c)))
	}
	if g.Spec.IncomingAuth != nil {
		for _, t := range g.Spec.IncomingAuth.Tokens {
			if t.SecretKeyRef != nil {
				own.Secrets = append(own.Secrets, *t.SecretKeyRef)
			}
		}
	}
	r.index.set(client.ObjectKeyFromObject(g), append(all, objects(g.Namespace, own, nil)...))
}

// forget drops what is known of a gateway that is no more.
func (r *Gateways) forget(req ctrl.Request) {
	r.memory.forget(req.NamespacedName)
	r.index.set(req.NamespacedName, nil)
	unmeasure(req.Namespace, req.Name)
}
