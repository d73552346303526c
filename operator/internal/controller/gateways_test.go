package controller_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/recloser-mcp/recloser/operator/api/v1alpha1"
	"github.com/recloser-mcp/recloser/operator/internal/cluster"
	"github.com/recloser-mcp/recloser/operator/internal/render"
	"github.com/recloser-mcp/recloser/status"
)

// is is fulfilled by a condition with this state and reason.
func is(conditions []metav1.Condition, kind string, s metav1.ConditionStatus, reason string) bool {
	c := meta.FindStatusCondition(conditions, kind)
	return c != nil && c.Status == s && c.Reason == reason
}

// vmcp waits for the status of a gateway.
func (r *rig) vmcp(name, what string, fulfilled func(v1alpha1.VirtualMCPServerStatus) bool) *v1alpha1.VirtualMCPServer {
	r.t.Helper()
	return await(r, &v1alpha1.VirtualMCPServer{}, name, what, func(g *v1alpha1.VirtualMCPServer) bool { return fulfilled(g.Status) })
}

// event waits for an event about an object.
func (r *rig) event(about, kind, reason, fragment string) {
	r.t.Helper()
	cluster.AwaitList(r.t, r.Cluster, &eventsv1.EventList{}, kind+" event "+reason+" about "+about, func(l *eventsv1.EventList) bool {
		return slices.ContainsFunc(l.Items, func(e eventsv1.Event) bool {
			return e.Regarding.Name == about && e.Type == kind && e.Reason == reason && strings.Contains(e.Note, fragment)
		})
	}, client.InNamespace(r.ns))
}

// seen finds a backend in the status of a gateway.
func seen(s v1alpha1.VirtualMCPServerStatus, name string) v1alpha1.BackendStatus {
	for _, b := range s.Backends {
		if b.Name == name {
			return b
		}
	}
	return v1alpha1.BackendStatus{}
}

// A gateway comes into being with all it needs, tells how its backends are, and what they
// say changes the status and makes events.
func TestGatewayComesUpAndTells(t *testing.T) {
	r := newRig(t)
	r.every = 200 * time.Millisecond
	r.create(backend("stable", nil, v1alpha1.MCPBackendSpec{}), secret("vault", map[string]string{"token": "wrong"}),
		backend("vault", nil, v1alpha1.MCPBackendSpec{Auth: bearer("vault")}),
		gateway("tools", v1alpha1.VirtualMCPServerSpec{Replicas: new(int32(2))}))
	r.start()
	r.config("tools", "both backends are in it", hasBackends("stable", "vault"))
	r.vmcp("tools", "it is pending", func(s v1alpha1.VirtualMCPServerStatus) bool {
		return s.Phase == v1alpha1.PhasePending && s.TokenSecret == "vmcp-tools-token" && s.URL == "http://vmcp-tools."+r.ns+".svc:8484/mcp"
	})
	for _, o := range []client.Object{&appsv1.Deployment{}, &corev1.Service{}, &networkingv1.NetworkPolicy{}, &policyv1.PodDisruptionBudget{}} {
		if got := await(r, o, "vmcp-tools", "it is there", func(client.Object) bool { return true }); len(got.GetOwnerReferences()) != 1 {
			t.Errorf("%T does not go with its owner", o)
		}
	}
	r.Kubectl(t, "wait", "--for=create", "--timeout=60s", "servicemonitor/vmcp-tools", "-n", r.ns)

	pods := r.deploy("tools", 2)
	refused := state("vault", status.BackendStatusUnavailable, status.ReasonAuthRefused, 1)
	for _, p := range pods {
		p.says(well("stable"), refused)
	}
	g := r.vmcp("tools", "it is degraded", func(s v1alpha1.VirtualMCPServerStatus) bool {
		return s.Phase == v1alpha1.PhaseDegraded && is(s.Conditions, "Ready", "True", "Serving") && is(s.Conditions, "Degraded", "True", "BackendsNotReady") &&
			is(s.Conditions, "BackendsDiscovered", "True", "BackendsDiscovered")
	})
	if v := seen(g.Status, "vault"); v.Status != v1alpha1.BackendUnavailable || v.Reason != "auth_refused" || v.Message != "vault is so." {
		t.Errorf("vault is %+v", v)
	}
	if s := seen(g.Status, "stable"); s.Status != v1alpha1.BackendReady || g.Status.ReadyOfAll != "1/2" || g.Status.Tools != 2 {
		t.Errorf("stable is %+v, %s ready, %d tools", s, g.Status.ReadyOfAll, g.Status.Tools)
	}
	r.event("tools", "Warning", "BackendUnavailable", "backend vault is unavailable (auth_refused). vault is so.")
	r.event("tools", "Normal", "BackendReady", "backend stable is ready")
	r.event("vault", "Warning", "BackendUnavailable", "gateway tools")
	await(r, &v1alpha1.MCPBackend{}, "vault", "the gateway's view is there", func(b *v1alpha1.MCPBackend) bool {
		return b.Status.GatewayCount == 1 && b.Status.Gateways[0].Name == "tools" && is(b.Status.Conditions, "Ready", "False", "AuthRefused")
	})
	if out := r.Kubectl(t, "get", "vmcp", "tools", "-n", r.ns); !strings.Contains(out, "Degraded") || !strings.Contains(out, "1/2") {
		t.Errorf("kubectl get vmcp prints\n%s", out)
	}

	pods[0].says(well("stable"), well("vault"))
	r.vmcp("tools", "the pods do not agree", func(s v1alpha1.VirtualMCPServerStatus) bool {
		v := seen(s, "vault")
		return v.Status == v1alpha1.BackendDegraded && strings.HasPrefix(v.Message, "1 of 2 replicas")
	})
	pods[1].says(well("stable"), well("vault"))
	r.Kubectl(t, "wait", "--for=jsonpath={.status.phase}=Ready", "--timeout=60s", "vmcp/tools", "-n", r.ns)
	r.Kubectl(t, "wait", "--for=condition=Ready", "--timeout=60s", "vmcp/tools", "-n", r.ns)
	r.Kubectl(t, "wait", "--for=condition=Ready", "--timeout=60s", "mcpb/vault", "-n", r.ns)
	r.event("tools", "Normal", "BackendReady", "backend vault is ready")
	for _, p := range pods {
		p.mu.Lock()
		if p.refused > 0 {
			t.Errorf("%s was asked %d times without its token", p.name, p.refused)
		}
		p.mu.Unlock()
	}
}

// Backends come and go with their labels, and with the selector; the pods stay the same.
func TestSelection(t *testing.T) {
	r := newRig(t)
	in := map[string]string{"team": "a"}
	r.create(backend("one", in, v1alpha1.MCPBackendSpec{}), backend("two", nil, v1alpha1.MCPBackendSpec{}), backend("three", nil, v1alpha1.MCPBackendSpec{}),
		gateway("tools", v1alpha1.VirtualMCPServerSpec{BackendSelector: &metav1.LabelSelector{MatchLabels: in}, Backends: []v1alpha1.BackendRef{{Name: "three"}}}))
	r.start()
	r.config("tools", "the labelled one and the named one", hasBackends("one", "three"))
	template := await(r, &appsv1.Deployment{}, "vmcp-tools", "it is there", func(*appsv1.Deployment) bool { return true }).Spec.Template
	update(r, &v1alpha1.MCPBackend{}, "two", func(b *v1alpha1.MCPBackend) { b.Labels = in })
	r.config("tools", "a label takes one in", hasBackends("one", "two", "three"))
	update(r, &v1alpha1.MCPBackend{}, "one", func(b *v1alpha1.MCPBackend) { b.Labels = nil })
	r.config("tools", "a label less takes one out", hasBackends("two", "three"))
	r.vmcp("tools", "the status follows", func(s v1alpha1.VirtualMCPServerStatus) bool { return s.BackendCount == 2 })
	update(r, &v1alpha1.VirtualMCPServer{}, "tools", func(g *v1alpha1.VirtualMCPServer) {
		g.Spec.BackendSelector.MatchLabels = map[string]string{"team": "b"}
	})
	r.config("tools", "the named one alone", hasBackends("three"))
	update(r, &v1alpha1.MCPBackend{}, "three", func(b *v1alpha1.MCPBackend) { b.Spec.URL = "https://other.example.com/mcp" })
	r.config("tools", "the other address", func(doc render.Tree) bool {
		return render.Entries(doc, "mcpServers")["three"]["url"] == "https://other.example.com/mcp"
	})
	if now := get(r, &appsv1.Deployment{}, "vmcp-tools"); now.Generation != 1 || now.Spec.Template.String() != template.String() {
		t.Errorf("the pods are other ones, generation %d", now.Generation)
	}
	if err := r.Client.Delete(t.Context(), get(r, &v1alpha1.MCPBackend{}, "three")); err != nil {
		t.Fatal(err)
	}
	r.config("tools", "nothing is left", hasBackends())
	r.vmcp("tools", "it misses the named one", func(s v1alpha1.VirtualMCPServerStatus) bool {
		return is(s.Conditions, "BackendsDiscovered", "False", "BackendNotFound") && seen(s, "three").Reason == "backend_not_found"
	})
}

// Whatever somebody does to the objects of a gateway, they come back. What is of somebody
// else is left alone and told.
func TestDrift(t *testing.T) {
	r := newRig(t)
	label := map[string]string{"app": "x"}
	foreign := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "vmcp-third"}, Spec: appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: label},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: label}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "x", Image: "x"}}}}}}
	r.create(backend("one", nil, v1alpha1.MCPBackendSpec{}), gateway("tools", v1alpha1.VirtualMCPServerSpec{Replicas: new(int32(2))}),
		&corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "vmcp-other"}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 1}}}},
		gateway("other", v1alpha1.VirtualMCPServerSpec{}), foreign, gateway("third", v1alpha1.VirtualMCPServerSpec{}))
	r.start()
	before := r.config("tools", "it is there", hasBackends("one"))
	await(r, &policyv1.PodDisruptionBudget{}, "vmcp-tools", "it is there", func(*policyv1.PodDisruptionBudget) bool { return true })

	update(r, &appsv1.Deployment{}, "vmcp-tools", func(d *appsv1.Deployment) {
		d.Spec.Template.Spec.Containers[0].Image = "somebody/else"
		delete(d.Labels, render.ManagedByLabel)
	})
	await(r, &appsv1.Deployment{}, "vmcp-tools", "image and label are back", func(d *appsv1.Deployment) bool {
		return d.Spec.Template.Spec.Containers[0].Image == "recloser:test" && d.Labels[render.ManagedByLabel] == render.ManagedBy
	})
	update(r, &corev1.ConfigMap{}, "vmcp-tools", func(m *corev1.ConfigMap) { m.Data[render.ConfigFile] = "listen: nowhere" })
	r.config("tools", "the configuration is back", func(doc render.Tree) bool { return render.YAML(doc) == render.YAML(before) })
	service := get(r, &corev1.Service{}, "vmcp-tools")
	if err := r.Client.Delete(t.Context(), service); err != nil {
		t.Fatal(err)
	}
	await(r, &corev1.Service{}, "vmcp-tools", "another one is there", func(s *corev1.Service) bool { return s.UID != service.UID })

	update(r, &v1alpha1.VirtualMCPServer{}, "tools", func(g *v1alpha1.VirtualMCPServer) { g.Spec.Replicas = new(int32(1)) })
	cluster.AwaitGone(t, r.Cluster, &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Name: "vmcp-tools", Namespace: r.ns}})

	r.vmcp("other", "the Service of somebody else is told", func(s v1alpha1.VirtualMCPServerStatus) bool {
		return is(s.Conditions, "Accepted", "False", "NameTaken")
	})
	r.vmcp("third", "so is the Deployment of somebody else", func(s v1alpha1.VirtualMCPServerStatus) bool {
		return is(s.Conditions, "Accepted", "False", "NameTaken")
	})
	if d := get(r, &appsv1.Deployment{}, "vmcp-third"); d.Generation != 1 || len(d.OwnerReferences) > 0 {
		t.Errorf("the Deployment of somebody else was changed: %v", d.ObjectMeta)
	}
	if s := get(r, &corev1.Service{}, "vmcp-other"); len(s.OwnerReferences) > 0 || len(s.Labels) > 0 {
		t.Errorf("the Service of somebody else was changed: %v", s.ObjectMeta)
	}
}

// Another operator goes on where the one before stopped: nothing is made anew, no token
// changes, no pod starts again.
func TestOperatorRestart(t *testing.T) {
	r := newRig(t)
	r.every = 200 * time.Millisecond
	r.create(backend("one", nil, v1alpha1.MCPBackendSpec{}), backend("two", nil, v1alpha1.MCPBackendSpec{}), gateway("tools", v1alpha1.VirtualMCPServerSpec{}))
	r.start()
	for _, p := range r.deploy("tools", 1) {
		p.says(well("one"), well("two"))
	}
	r.vmcp("tools", "it is ready", func(s v1alpha1.VirtualMCPServerStatus) bool { return s.Phase == v1alpha1.PhaseReady })
	versions := func() map[string]string {
		out := map[string]string{}
		for name, o := range map[string]client.Object{"vmcp-tools-admin": &corev1.Secret{}, "vmcp-tools-token": &corev1.Secret{}} {
			out[name] = get(r, o, name).GetResourceVersion()
		}
		for _, o := range []client.Object{&corev1.ConfigMap{}, &appsv1.Deployment{}, &corev1.Service{}, &networkingv1.NetworkPolicy{}} {
			out[fmt.Sprintf("%T", o)] = get(r, o, "vmcp-tools").GetResourceVersion()
		}
		return out
	}
	before := versions()
	r.stop()
	if err := r.Client.Delete(t.Context(), get(r, &v1alpha1.MCPBackend{}, "two")); err != nil { // while nobody looks
		t.Fatal(err)
	}
	r.start()
	r.config("tools", "the deleted one is out", hasBackends("one"))
	r.vmcp("tools", "it is ready", func(s v1alpha1.VirtualMCPServerStatus) bool {
		return s.BackendCount == 1 && s.Phase == v1alpha1.PhaseReady
	})
	after := versions()
	delete(before, "*v1.ConfigMap")
	for what, v := range before {
		if after[what] != v {
			t.Errorf("%s was written again", what)
		}
	}
}

// A hundred backends are one configuration and one status, and each has its own.
func TestHundredBackends(t *testing.T) {
	r := newRig(t)
	r.every = 200 * time.Millisecond
	var names []string
	var states []status.Backend
	for i := range 100 {
		name := fmt.Sprintf("b%03d", i)
		r.create(backend(name, nil, v1alpha1.MCPBackendSpec{}))
		names = append(names, name)
		states = append(states, well(name))
	}
	states[99] = state(names[99], status.BackendStatusUnavailable, status.ReasonTimeout, 2)
	r.create(gateway("tools", v1alpha1.VirtualMCPServerSpec{}))
	r.start()
	r.config("tools", "all are in it", hasBackends(names...))
	r.deploy("tools", 1)[0].says(states...)
	r.vmcp("tools", "99 are ready", func(s v1alpha1.VirtualMCPServerStatus) bool { return s.ReadyOfAll == "99/100" && s.Tools == 198 })
	cluster.AwaitList(t, r.Cluster, &v1alpha1.MCPBackendList{}, "every backend says how it is", func(l *v1alpha1.MCPBackendList) bool {
		ready := 0
		for _, b := range l.Items {
			if is(b.Status.Conditions, "Ready", "True", "Ready") {
				ready++
			}
		}
		return ready == 99
	}, client.InNamespace(r.ns))
}

// contended is a client to which somebody else is faster for a while.
type contended struct {
	client.Client
	tries, conflicts atomic.Int32
}

func (c *contended) Status() client.SubResourceWriter { return contendedStatus{c.Client.Status(), c} }

type contendedStatus struct {
	client.SubResourceWriter
	c *contended
}

func (s contendedStatus) Update(ctx context.Context, o client.Object, opts ...client.SubResourceUpdateOption) error {
	if _, ok := o.(*v1alpha1.VirtualMCPServer); ok {
		s.c.tries.Add(1)
		if s.c.conflicts.Add(-1) >= 0 {
			return apierrors.NewConflict(schema.GroupResource{Resource: "virtualmcpservers"}, o.GetName(), nil)
		}
	}
	return s.SubResourceWriter.Update(ctx, o, opts...)
}

// Who writes at the same time makes the operator try again, once more each time, and each
// change is told once.
func TestConflictsAreRetried(t *testing.T) {
	r := newRig(t)
	c := &contended{}
	c.conflicts.Store(3)
	r.wrap = func(real client.Client) client.Client {
		c.Client = real
		return c
	}
	r.create(gateway("tools", v1alpha1.VirtualMCPServerSpec{Backends: []v1alpha1.BackendRef{{Name: "missing"}}}))
	r.start()
	r.vmcp("tools", "it has a status", func(s v1alpha1.VirtualMCPServerStatus) bool { return s.BackendCount == 1 })
	r.event("tools", "Warning", "BackendUnavailable", "missing")
	if n := c.tries.Load(); n < 4 {
		t.Errorf("the status was written after %d tries, at least 4 were expected", n)
	}
	var events eventsv1.EventList
	if err := r.Client.List(t.Context(), &events, client.InNamespace(r.ns)); err != nil {
		t.Fatal(err)
	}
	told := 0
	for _, e := range events.Items {
		if e.Reason == "BackendUnavailable" && e.Regarding.Name == "tools" {
			told++
			if e.Series != nil {
				told += int(e.Series.Count)
			}
		}
	}
	if told != 1 {
		t.Errorf("the change was told %d times", told)
	}
	if strings.Contains(r.log.String(), "Reconciler error") {
		t.Error("a conflict is told as an error")
	}
}

// Deleting a gateway is forgotten by the operator; the rest is garbage collection, for which
// every object names its owner.
func TestDeletedGateway(t *testing.T) {
	r := newRig(t)
	r.create(backend("one", nil, v1alpha1.MCPBackendSpec{}), gateway("tools", v1alpha1.VirtualMCPServerSpec{}))
	r.start()
	await(r, &v1alpha1.MCPBackend{}, "one", "a gateway has it", func(b *v1alpha1.MCPBackend) bool { return b.Status.GatewayCount == 1 })
	if err := r.Client.Delete(t.Context(), get(r, &v1alpha1.VirtualMCPServer{}, "tools")); err != nil {
		t.Fatal(err)
	}
	cluster.AwaitGone(t, r.Cluster, &v1alpha1.VirtualMCPServer{ObjectMeta: metav1.ObjectMeta{Name: "tools", Namespace: r.ns}})
	await(r, &v1alpha1.MCPBackend{}, "one", "no gateway has it", func(b *v1alpha1.MCPBackend) bool {
		return b.Status.GatewayCount == 0 && is(b.Status.Conditions, "Ready", "Unknown", "NotUsed")
	})
	for name, o := range map[string]client.Object{"vmcp-tools": &appsv1.Deployment{}, "vmcp-tools-token": &corev1.Secret{}, "vmcp-tools-admin": &corev1.Secret{}} {
		if err := r.Client.Get(t.Context(), types.NamespacedName{Namespace: r.ns, Name: name}, o); err != nil {
			t.Fatal(err)
		}
		if refs := o.GetOwnerReferences(); len(refs) != 1 || refs[0].Name != "tools" || !*refs[0].Controller {
			t.Errorf("%s has owners %v", name, refs)
		}
	}
}
