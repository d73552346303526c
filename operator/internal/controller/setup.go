package controller

import (
	"cmp"
	"context"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/recloser-mcp/recloser/operator/api/v1alpha1"
	"github.com/recloser-mcp/recloser/operator/internal/render"
)

// Cache says what a manager keeps of the cluster: of Deployments and the like the
// operator's own only. No namespaces means all.
func Cache(namespaces ...string) cache.Options {
	own := cache.ByObject{Label: labels.SelectorFromSet(labels.Set{render.ManagedByLabel: render.ManagedBy})}
	o := cache.Options{ByObject: map[client.Object]cache.ByObject{
		&appsv1.Deployment{}: own, &networkingv1.NetworkPolicy{}: own, &policyv1.PodDisruptionBudget{}: own,
		&corev1.Pod{}: own, &discoveryv1.EndpointSlice{}: own,
	}}
	for _, n := range namespaces {
		if o.DefaultNamespaces == nil {
			o.DefaultNamespaces = map[string]cache.Config{}
		}
		o.DefaultNamespaces[n] = cache.Config{}
	}
	return o
}

// Setup adds the controllers to a manager, whose cache was made with Cache and whose
// scheme knows Kubernetes and v1alpha1.
func Setup(m ctrl.Manager, o Options) error {
	res := &resolver{contents: contents{cached: m.GetClient(), live: m.GetAPIReader()}}
	g := &Gateways{
		Client: m.GetClient(), Live: m.GetAPIReader(), Events: m.GetEventRecorder("recloser-operator"), Options: o.Render,
		every: cmp.Or(o.PollEvery, 5*time.Second), resolver: res, poller: newPoller(m.GetClient(), o.Dial),
	}
	b := &Backends{Client: m.GetClient(), Events: m.GetEventRecorder("recloser-operator"), resolver: res}
	if err := setupGateways(m, g, o); err != nil {
		return err
	}
	return setupBackends(m, b, o)
}

// specOrLabels passes changes on that are not of the status.
var specOrLabels = builder.WithPredicates(predicate.Or(predicate.GenerationChangedPredicate{}, predicate.LabelChangedPredicate{}))

func setupGateways(m ctrl.Manager, g *Gateways, o Options) error {
	return ctrl.NewControllerManagedBy(m).
		Named("virtualmcpserver"+o.Named).
		WithOptions(controller.Options{MaxConcurrentReconciles: cmp.Or(o.Concurrency, 4)}).
		For(&v1alpha1.VirtualMCPServer{}, specOrLabels).
		Watches(&v1alpha1.MCPBackend{}, handler.EnqueueRequestsFromMapFunc(g.ofBackend), specOrLabels).
		Owns(&appsv1.Deployment{}).
		Owns(&corev1.Service{}).
		Owns(&policyv1.PodDisruptionBudget{}).
		Owns(&networkingv1.NetworkPolicy{}).
		Owns(&corev1.ConfigMap{}, builder.OnlyMetadata).
		Owns(&corev1.Secret{}, builder.OnlyMetadata).
		WatchesMetadata(&corev1.Secret{}, referred(&g.index, secretKind)).
		WatchesMetadata(&corev1.ConfigMap{}, referred(&g.index, configMapKind)).
		Watches(&corev1.Service{}, referred(&g.index, serviceKind)).
		Watches(&discoveryv1.EndpointSlice{}, handler.EnqueueRequestsFromMapFunc(ofInstance)).
		Watches(&corev1.Pod{}, handler.EnqueueRequestsFromMapFunc(ofInstance)).
		Complete(patient(g))
}

func setupBackends(m ctrl.Manager, b *Backends, o Options) error {
	return ctrl.NewControllerManagedBy(m).
		Named("mcpbackend"+o.Named).
		WithOptions(controller.Options{MaxConcurrentReconciles: cmp.Or(o.Concurrency, 4)}).
		For(&v1alpha1.MCPBackend{}, specOrLabels).
		WatchesMetadata(&corev1.Secret{}, referred(&b.index, secretKind)).
		WatchesMetadata(&corev1.ConfigMap{}, referred(&b.index, configMapKind)).
		Watches(&corev1.Service{}, referred(&b.index, serviceKind)).
		Watches(&v1alpha1.VirtualMCPServer{}, handler.EnqueueRequestsFromMapFunc(backendsOf)).
		Complete(patient(b))
}

// patient tries again in a moment where somebody else was faster, which is no error.
func patient(r reconcile.Reconciler) reconcile.Reconciler {
	return reconcile.Func(func(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
		result, err := r.Reconcile(ctx, req)
		if apierrors.IsConflict(err) {
			return reconcile.Result{RequeueAfter: 50 * time.Millisecond}, nil
		}
		return result, err
	})
}

// referred finds those that refer to an object.
func referred(x *index, kind string) handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(_ context.Context, o client.Object) []reconcile.Request {
		return requests(x.find(reference{kind, client.ObjectKeyFromObject(o)}))
	})
}

// ofBackend finds the gateways that take a backend in, or have it.
func (r *Gateways) ofBackend(ctx context.Context, o client.Object) []reconcile.Request {
	var all v1alpha1.VirtualMCPServerList
	if err := r.Client.List(ctx, &all, client.InNamespace(o.GetNamespace())); err != nil {
		return nil // the next poll finds it
	}
	var keys []types.NamespacedName
	for i := range all.Items {
		g := &all.Items[i]
		in, err := takesIn(g, o.GetName(), o.GetLabels())
		if in || err != nil || has(g, o.GetName()) {
			keys = append(keys, client.ObjectKeyFromObject(g))
		}
	}
	return requests(keys)
}

func has(g *v1alpha1.VirtualMCPServer, backend string) bool {
	for _, b := range g.Status.Backends {
		if b.Name == backend {
			return true
		}
	}
	return false
}

// ofInstance finds the gateway of an object by its labels.
func ofInstance(_ context.Context, o client.Object) []reconcile.Request {
	name := o.GetLabels()["app.kubernetes.io/instance"]
	if name == "" {
		return nil
	}
	return requests([]types.NamespacedName{{Namespace: o.GetNamespace(), Name: name}})
}

// backendsOf finds the backends that a gateway has.
func backendsOf(_ context.Context, o client.Object) []reconcile.Request {
	g, ok := o.(*v1alpha1.VirtualMCPServer)
	if !ok {
		return nil
	}
	var keys []types.NamespacedName
	for _, b := range g.Status.Backends {
		keys = append(keys, types.NamespacedName{Namespace: g.Namespace, Name: b.Name})
	}
	return requests(keys)
}

func requests(keys []types.NamespacedName) []reconcile.Request {
	out := make([]reconcile.Request, 0, len(keys))
	for _, k := range keys {
		out = append(out, reconcile.Request{NamespacedName: k})
	}
	return out
}
