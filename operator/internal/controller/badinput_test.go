package controller_test

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/recloser-mcp/recloser/operator/api/v1alpha1"
	"github.com/recloser-mcp/recloser/operator/internal/render"
)

// Whatever is wrong with one backend is told by a condition and an event that say the fix,
// and the others are served.
func TestBadInput(t *testing.T) {
	ports := func(p ...corev1.ServicePort) client.Object {
		return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "web"}, Spec: corev1.ServiceSpec{Ports: p}}
	}
	ref := func(port *intstr.IntOrString) v1alpha1.MCPBackendSpec {
		return v1alpha1.MCPBackendSpec{ServiceRef: &v1alpha1.ServiceRef{Name: "web", Port: port}}
	}
	authority := func() *v1alpha1.BackendTLS {
		return &v1alpha1.BackendTLS{CAConfigMapRef: &v1alpha1.ConfigMapKeyRef{Name: "ca", Key: "ca.crt"}}
	}
	for _, test := range []struct {
		name, reason, fragment string
		spec                   v1alpha1.MCPBackendSpec
		with                   []client.Object
		// mend makes it good
		mend func(*rig)
	}{
		{name: "no secret", reason: "SecretNotFound", fragment: `create it, with the key "token"`, spec: v1alpha1.MCPBackendSpec{Auth: bearer("s")},
			mend: func(r *rig) { r.create(secret("s", map[string]string{"token": "x"})) }},
		{name: "no key", reason: "SecretKeyNotFound", fragment: "it has other", spec: v1alpha1.MCPBackendSpec{Auth: bearer("s")},
			with: []client.Object{secret("s", map[string]string{"other": "x"})},
			mend: func(r *rig) {
				update(r, &corev1.Secret{}, "s", func(s *corev1.Secret) { s.StringData = map[string]string{"token": "x"} })
			}},
		{name: "an empty token", reason: "ConfigurationRefused", fragment: "auth.token", spec: v1alpha1.MCPBackendSpec{Auth: bearer("s")},
			with: []client.Object{secret("s", map[string]string{"token": ""})},
			mend: func(r *rig) {
				update(r, &corev1.Secret{}, "s", func(s *corev1.Secret) { s.StringData = map[string]string{"token": "x"} })
			}},
		{name: "no service", reason: "ServiceNotFound", fragment: `no Service "web"`, spec: ref(nil),
			mend: func(r *rig) { r.create(ports(corev1.ServicePort{Port: 80})) }},
		{name: "no port", reason: "ServicePortNotFound", fragment: "no port mcp", spec: ref(new(intstr.FromString("mcp"))),
			with: []client.Object{ports(corev1.ServicePort{Name: "web", Port: 80})},
			mend: func(r *rig) {
				update(r, &corev1.Service{}, "web", func(s *corev1.Service) { s.Spec.Ports[0].Name = "mcp" })
			}},
		{name: "too many ports", reason: "ServicePortNotFound", fragment: "name one in serviceRef.port", spec: ref(nil),
			with: []client.Object{ports(corev1.ServicePort{Name: "a", Port: 80}, corev1.ServicePort{Name: "b", Port: 81})},
			mend: func(r *rig) {
				update(r, &v1alpha1.MCPBackend{}, "bad", func(b *v1alpha1.MCPBackend) { b.Spec.ServiceRef.Port = new(intstr.FromInt32(81)) })
			}},
		{name: "a glob that is none", reason: "ConfigurationRefused", fragment: "no glob", spec: v1alpha1.MCPBackendSpec{Tools: &v1alpha1.Rules{Allow: []string{"["}}},
			mend: func(r *rig) {
				update(r, &v1alpha1.MCPBackend{}, "bad", func(b *v1alpha1.MCPBackend) { b.Spec.Tools.Allow = []string{"a"} })
			}},
		{name: "an unknown shared credential", reason: "CredentialNotFound", fragment: `"corp"`, spec: v1alpha1.MCPBackendSpec{Auth: &v1alpha1.BackendAuth{Use: "corp"}},
			with: []client.Object{secret("s", map[string]string{"token": "x"})},
			mend: func(r *rig) {
				update(r, &v1alpha1.VirtualMCPServer{}, "tools", func(g *v1alpha1.VirtualMCPServer) {
					g.Spec.Credentials = map[string]v1alpha1.Credential{"corp": {Type: "bearer", CredentialSettings: bearer("s").CredentialSettings}}
				})
			}},
		{name: "no authority", reason: "ConfigMapNotFound", fragment: `"ca.crt"`, spec: v1alpha1.MCPBackendSpec{TLS: authority()},
			mend: func(r *rig) {
				root := get(r, &corev1.ConfigMap{}, "kube-root-ca.crt")
				r.create(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "ca"}, Data: root.Data})
			}},
		{name: "an authority that is none", reason: "ConfigurationRefused", fragment: "no certificate in PEM", spec: v1alpha1.MCPBackendSpec{TLS: authority()},
			with: []client.Object{&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "ca"}, Data: map[string]string{"ca.crt": "x"}}},
			mend: func(r *rig) {
				update(r, &v1alpha1.MCPBackend{}, "bad", func(b *v1alpha1.MCPBackend) { b.Spec.TLS = nil })
			}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t)
			r.create(test.with...)
			if test.reason == "ConfigMapNotFound" { // what kube-controller-manager puts into every namespace
				r.create(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "kube-root-ca.crt"}, Data: map[string]string{"ca.crt": string(r.Config.CAData)}})
			}
			r.create(backend("good", nil, v1alpha1.MCPBackendSpec{}), backend("bad", nil, test.spec), gateway("tools", v1alpha1.VirtualMCPServerSpec{}))
			r.start()
			r.config("tools", "the good one is in it", hasBackends("good"))
			g := r.vmcp("tools", "it tells", func(s v1alpha1.VirtualMCPServerStatus) bool {
				return is(s.Conditions, "Accepted", "False", test.reason)
			})
			v := seen(g.Status, "bad")
			if code := strings.ReplaceAll(v.Reason, "_", ""); !strings.EqualFold(code, test.reason) || v.Status != v1alpha1.BackendUnavailable || !strings.Contains(v.Message, test.fragment) {
				t.Errorf("the gateway says %+v", v)
			}
			r.event("tools", "Warning", "BackendUnavailable", test.fragment)
			if test.reason != "CredentialNotFound" { // which is between the two
				b := await(r, &v1alpha1.MCPBackend{}, "bad", "it tells", func(b *v1alpha1.MCPBackend) bool { return is(b.Status.Conditions, "Accepted", "False", test.reason) })
				if m := b.Status.Conditions[0].Message; !strings.Contains(m, test.fragment) {
					t.Errorf("the message is %q", m)
				}
				r.event("bad", "Warning", test.reason, test.fragment)
			}
			generation := await(r, &appsv1.Deployment{}, "vmcp-tools", "it is there", func(*appsv1.Deployment) bool { return true }).Generation
			test.mend(r)
			r.config("tools", "both are in it", hasBackends("good", "bad"))
			r.vmcp("tools", "all is well", func(s v1alpha1.VirtualMCPServerStatus) bool { return is(s.Conditions, "Accepted", "True", "Accepted") })
			restarts := test.reason == "CredentialNotFound" || test.spec.TLS != nil // what they mount, or whom they trust, has changed
			if now := get(r, &appsv1.Deployment{}, "vmcp-tools").Generation; now != generation && !restarts {
				t.Errorf("the pods were replaced: generation %d, then %d", generation, now)
			}
		})
	}
}

// Two backends whose names come to the same: the elder stays.
func TestNameTaken(t *testing.T) {
	r := newRig(t)
	r.create(backend("a.b", nil, v1alpha1.MCPBackendSpec{}))
	r.start()
	r.create(gateway("tools", v1alpha1.VirtualMCPServerSpec{}))
	r.config("tools", "the elder is in it", hasBackends("a.b"))
	first := get(r, &v1alpha1.MCPBackend{}, "a.b")
	for {
		b := backend("a-b", nil, v1alpha1.MCPBackendSpec{})
		r.create(b)
		if b.CreationTimestamp.After(first.CreationTimestamp.Time) {
			break // times of creation are in whole seconds
		}
		if err := r.Client.Delete(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	r.vmcp("tools", "the younger is told", func(s v1alpha1.VirtualMCPServerStatus) bool {
		return seen(s, "a-b").Reason == "name_taken" && is(s.Conditions, "Accepted", "False", "NameTaken")
	})
	r.config("tools", "the elder stays", hasBackends("a.b"))
}

// A wrong spec never takes the place of one that works: the former entry stays, also over a
// restart of the operator, until the spec is good again or what the entry needs is gone.
func TestWrongSpecKeepsTheFormer(t *testing.T) {
	r := newRig(t)
	r.create(secret("s", map[string]string{"token": "x"}), backend("one", nil, v1alpha1.MCPBackendSpec{Auth: bearer("s")}),
		backend("two", nil, v1alpha1.MCPBackendSpec{}), gateway("tools", v1alpha1.VirtualMCPServerSpec{}))
	r.start()
	before := r.config("tools", "both are in it", hasBackends("one", "two"))
	same := func(doc render.Tree) bool { return render.YAML(doc) == render.YAML(before) }
	update(r, &v1alpha1.MCPBackend{}, "one", func(b *v1alpha1.MCPBackend) {
		b.Spec.URL, b.Spec.Tools = "https://new.example.com", &v1alpha1.Rules{Deny: []string{"["}}
	})
	r.vmcp("tools", "it is told", func(s v1alpha1.VirtualMCPServerStatus) bool {
		return is(s.Conditions, "Accepted", "False", "ConfigurationRefused") && strings.Contains(seen(s, "one").Message, "what was in effect before goes on")
	})
	r.config("tools", "nothing has changed", same)
	r.stop()
	r.start()
	update(r, &v1alpha1.MCPBackend{}, "two", func(b *v1alpha1.MCPBackend) { b.Spec.Isolation = "shared" }) // shows that the new operator works
	r.config("tools", "the other one changes, the former entry stays", func(doc render.Tree) bool {
		e := render.Entries(doc, "mcpServers")
		return e["two"]["isolation"] == "shared" && e["one"]["url"] == "https://one.example.com/mcp"
	})
	if err := r.Client.Delete(t.Context(), get(r, &corev1.Secret{}, "s")); err != nil {
		t.Fatal(err)
	}
	r.config("tools", "without its Secret it cannot stay", hasBackends("two"))
	r.create(secret("s", map[string]string{"token": "y"}))
	update(r, &v1alpha1.MCPBackend{}, "one", func(b *v1alpha1.MCPBackend) { b.Spec.Tools = nil })
	r.config("tools", "the new spec is in effect", func(doc render.Tree) bool {
		return render.Entries(doc, "mcpServers")["one"]["url"] == "https://new.example.com"
	})
}

// A gateway whose own spec is wrong keeps what it has: here the tokens of callers.
func TestTokensOfCallers(t *testing.T) {
	r := newRig(t)
	tokens := func(names ...string) *v1alpha1.IncomingAuth {
		a := &v1alpha1.IncomingAuth{}
		for _, n := range names {
			a.Tokens = append(a.Tokens, v1alpha1.IncomingToken{SecretKeyRef: &v1alpha1.SecretKeyRef{Name: "callers", Key: n}})
		}
		return a
	}
	onlyAlice := func(doc render.Tree) bool {
		a, _ := doc["incomingAuth"].(render.Tree)
		l, _ := a["tokens"].([]any)
		return len(l) == 1 && l[0] == "${file:/run/secrets/recloser/callers/a}"
	}
	r.create(secret("callers", map[string]string{"a": "aaa", "b": "b b"}), backend("one", nil, v1alpha1.MCPBackendSpec{}),
		gateway("tools", v1alpha1.VirtualMCPServerSpec{IncomingAuth: tokens("a", "b")}))
	r.start()
	r.config("tools", "the good token is in it", onlyAlice)
	r.vmcp("tools", "the bad one is told", func(s v1alpha1.VirtualMCPServerStatus) bool {
		return is(s.Conditions, "Accepted", "False", "ConfigurationRefused") && s.TokenSecret == ""
	})
	if err := r.Client.Get(t.Context(), client.ObjectKey{Namespace: r.ns, Name: "vmcp-tools-token"}, &corev1.Secret{}); err == nil {
		t.Error("there is a token besides those that are named")
	}
	update(r, &v1alpha1.VirtualMCPServer{}, "tools", func(g *v1alpha1.VirtualMCPServer) { g.Spec.IncomingAuth = tokens("c") })
	r.vmcp("tools", "the missing one is told", func(s v1alpha1.VirtualMCPServerStatus) bool {
		return is(s.Conditions, "Accepted", "False", "SecretKeyNotFound")
	})
	r.config("tools", "the former token stays, and nobody else is let in", onlyAlice)
	r.create(backend("two", nil, v1alpha1.MCPBackendSpec{}))
	r.config("tools", "a backend comes in all the same", func(doc render.Tree) bool { return onlyAlice(doc) && hasBackends("one", "two")(doc) })
	update(r, &corev1.Secret{}, "callers", func(s *corev1.Secret) { s.StringData = map[string]string{"c": "ccc", "b": "bbb"} })
	r.vmcp("tools", "all is well", func(s v1alpha1.VirtualMCPServerStatus) bool { return is(s.Conditions, "Accepted", "True", "Accepted") })
}

// A rotated Secret is the gateway's own matter: it mounts it. Neither the configuration nor
// the pods change.
func TestSecretRotation(t *testing.T) {
	r := newRig(t)
	r.create(secret("s", map[string]string{"token": "hush-7431-one"}), backend("one", nil, v1alpha1.MCPBackendSpec{Auth: bearer("s")}), gateway("tools", v1alpha1.VirtualMCPServerSpec{}))
	r.start()
	before := r.config("tools", "it is there", hasBackends("one"))
	d := await(r, &appsv1.Deployment{}, "vmcp-tools", "the Secret is mounted", func(d *appsv1.Deployment) bool {
		for _, v := range d.Spec.Template.Spec.Volumes {
			if v.Secret != nil && v.Secret.SecretName == "s" {
				return true
			}
		}
		return false
	})
	update(r, &corev1.Secret{}, "s", func(s *corev1.Secret) { s.StringData = map[string]string{"token": "hush-7431-two"} })
	// A second backend shows that the operator has been at work since.
	r.create(backend("two", nil, v1alpha1.MCPBackendSpec{}))
	after := r.config("tools", "the second is there", hasBackends("one", "two"))
	if a, b := render.YAML(render.Entries(before, "mcpServers")["one"]), render.YAML(render.Entries(after, "mcpServers")["one"]); a != b {
		t.Errorf("the entry has changed from\n%s to\n%s", a, b)
	}
	if now := get(r, &appsv1.Deployment{}, "vmcp-tools"); now.Generation != d.Generation {
		t.Errorf("the pods were replaced: generation %d, then %d", d.Generation, now.Generation)
	}
	for _, text := range []string{render.YAML(after), r.log.String()} {
		if strings.Contains(text, "7431") {
			t.Errorf("a secret is told:\n%s", text)
		}
	}
}

// A gateway reads authorities when it starts: another authority is other pods.
func TestAuthorityRotation(t *testing.T) {
	r := newRig(t)
	r.create(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "ca"}, Data: map[string]string{"ca.crt": string(r.Config.CAData)}},
		backend("one", nil, v1alpha1.MCPBackendSpec{TLS: &v1alpha1.BackendTLS{CAConfigMapRef: &v1alpha1.ConfigMapKeyRef{Name: "ca", Key: "ca.crt"}}}),
		gateway("tools", v1alpha1.VirtualMCPServerSpec{}))
	r.start()
	annotation := func(d *appsv1.Deployment) string { return d.Spec.Template.Annotations[render.RestartAnnotation] }
	before := annotation(await(r, &appsv1.Deployment{}, "vmcp-tools", "it is there", func(*appsv1.Deployment) bool { return true }))
	update(r, &corev1.ConfigMap{}, "ca", func(m *corev1.ConfigMap) { m.Labels = map[string]string{"x": "y"} }) // which is no other authority
	update(r, &corev1.ConfigMap{}, "ca", func(m *corev1.ConfigMap) { m.Data["ca.crt"] += "\n" + m.Data["ca.crt"] })
	d := await(r, &appsv1.Deployment{}, "vmcp-tools", "the pods are others", func(d *appsv1.Deployment) bool { return annotation(d) != before })
	if d.Generation != 2 {
		t.Errorf("the pods were replaced %d times", d.Generation-1)
	}
}

// What only the API server can judge is told, too, and the Deployment that there is stays.
func TestApplyFailed(t *testing.T) {
	r := newRig(t)
	r.create(backend("one", nil, v1alpha1.MCPBackendSpec{}), gateway("tools", v1alpha1.VirtualMCPServerSpec{}))
	r.start()
	await(r, &corev1.Service{}, "vmcp-tools", "it is there", func(*corev1.Service) bool { return true })
	update(r, &v1alpha1.VirtualMCPServer{}, "tools", func(g *v1alpha1.VirtualMCPServer) {
		g.Spec.Resources = &corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("2Gi")},
			Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("1Gi")},
		}
	})
	g := r.vmcp("tools", "it is told", func(s v1alpha1.VirtualMCPServerStatus) bool {
		return is(s.Conditions, "Accepted", "False", "ApplyFailed")
	})
	if c := meta.FindStatusCondition(g.Status.Conditions, "Accepted"); !strings.Contains(c.Message, "must be less than or equal to memory limit") {
		t.Errorf("the message is %q", c.Message)
	}
	r.event("tools", "Warning", "ApplyFailed", "Deployment")
	if d := get(r, &appsv1.Deployment{}, "vmcp-tools"); d.Generation != 1 {
		t.Errorf("the Deployment was changed, generation %d", d.Generation)
	}
	update(r, &v1alpha1.VirtualMCPServer{}, "tools", func(g *v1alpha1.VirtualMCPServer) { g.Spec.Resources = nil })
	r.vmcp("tools", "all is well", func(s v1alpha1.VirtualMCPServerStatus) bool { return is(s.Conditions, "Accepted", "True", "Accepted") })
}

// An image that does not start is told with the reason that Kubernetes has for it.
func TestImageDoesNotStart(t *testing.T) {
	r := newRig(t)
	r.create(backend("one", nil, v1alpha1.MCPBackendSpec{}), gateway("tools", v1alpha1.VirtualMCPServerSpec{Image: "no/such:image"}))
	r.start()
	r.config("tools", "it is there", hasBackends("one"))
	d := await(r, &appsv1.Deployment{}, "vmcp-tools", "it is there", func(*appsv1.Deployment) bool { return true })
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "vmcp-tools-x", Labels: d.Spec.Template.Labels},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "recloser", Image: "no/such:image"}}}}
	r.create(p)
	p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "recloser", Image: "no/such:image",
		State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: "not found"}}}}
	if err := r.Client.Status().Update(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	r.vmcp("tools", "it has failed", func(s v1alpha1.VirtualMCPServerStatus) bool {
		return s.Phase == v1alpha1.PhaseFailed && is(s.Conditions, "Ready", "False", "ImagePullBackOff")
	})
	r.event("tools", "Warning", "ImagePullBackOff", "correct spec.image")
}
