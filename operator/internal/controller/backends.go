package controller

import (
	"context"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/recloser-mcp/recloser/operator/api/v1alpha1"
	"github.com/recloser-mcp/recloser/operator/internal/render"
	"github.com/recloser-mcp/recloser/operator/internal/verdict"
)

// Backends reconciles MCPBackends: it tells there what is wrong with them and what the
// gateways see of them, which it reads in the status of those.
type Backends struct {
	Client client.Client
	Events events.EventRecorder

	resolver *resolver
	index    index
}

// Reconcile writes the status of one backend.
func (r *Backends) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	var b v1alpha1.MCPBackend
	if err := r.Client.Get(ctx, req.NamespacedName, &b); gone(err) {
		r.resolver.forget(req.NamespacedName)
		r.index.set(req.NamespacedName, nil)
		return ctrl.Result{}, nil
	} else if err != nil || !b.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, err
	}
	r.index.set(req.NamespacedName, objects(b.Namespace, render.ReferencesOf(render.Backend(&b, "")), b.Spec.ServiceRef))
	res, err := r.resolver.backend(ctx, &b)
	if err != nil {
		return ctrl.Result{}, err
	}
	var gateways v1alpha1.VirtualMCPServerList
	if err := r.Client.List(ctx, &gateways, client.InNamespace(b.Namespace)); err != nil {
		return ctrl.Result{}, err
	}
	return ctrl.Result{}, r.report(ctx, &b, verdict.Backend(&b, res.url, res.problem, gateways.Items))
}

// report writes the status when it has changed, and then tells of the changes.
func (r *Backends) report(ctx context.Context, b *v1alpha1.MCPBackend, now v1alpha1.MCPBackendStatus) error {
	before := b.Status
	if equality.Semantic.DeepEqual(before, now) {
		return nil
	}
	changed := b.DeepCopy()
	changed.Status = now
	if err := r.Client.Status().Update(ctx, changed); err != nil {
		return err
	}
	// Of Ready the views of the gateways tell.
	accepted := func(s v1alpha1.MCPBackendStatus) int {
		return slices.IndexFunc(s.Conditions, func(c metav1.Condition) bool { return c.Type == v1alpha1.ConditionAccepted })
	}
	if i := accepted(now); i >= 0 {
		tell(r.Events, b, before.Conditions, now.Conditions[i:i+1])
	}
	for _, v := range now.Gateways {
		i := slices.IndexFunc(before.Gateways, func(o v1alpha1.GatewayView) bool { return o.Name == v.Name })
		if i < 0 || before.Gateways[i].Status != v.Status || before.Gateways[i].Reason != v.Reason {
			tellState(r.Events, b, "for gateway "+v.Name+" it", v.Status, v.Reason, v.Message)
		}
	}
	return nil
}
