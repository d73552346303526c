package controller

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/recloser-mcp/recloser/auth"
	"github.com/recloser-mcp/recloser/operator/internal/render"
	"github.com/recloser-mcp/recloser/operator/internal/verdict"
)

// fieldOwner is the name under which the operator owns fields.
const fieldOwner = client.FieldOwner("recloser-operator")

// apply brings the objects of a gateway into being, and back to what they should be. The
// order is that in which they need each other.
func (r *Gateways) apply(ctx context.Context, p *plan) error {
	g := p.gateway.Resource
	if err := r.secret(ctx, p, render.AdminSecret(g.Name)); err != nil {
		return err
	}
	if p.gateway.Tokens == nil {
		if err := r.secret(ctx, p, render.TokenSecret(g.Name)); err != nil {
			return err
		}
	}
	if p.doc == nil {
		return nil // nothing could start
	}
	m := r.memory.of(client.ObjectKeyFromObject(g))
	if applied, err := r.object(ctx, p, render.ConfigMap(p.gateway, p.doc), metadata(configMapKind)); err != nil || !applied {
		return err // no pod starts with the configuration of somebody else
	}
	if m.doc == nil || render.YAML(m.doc) != render.YAML(p.doc) {
		m.doc, m.since = p.doc, time.Now()
	}
	objects := []struct{ desired, current client.Object }{
		{render.Deployment(p.gateway, p.doc, p.refs), &appsv1.Deployment{}},
		{render.Service(p.gateway), &corev1.Service{}},
		{render.NetworkPolicy(p.gateway), &networkingv1.NetworkPolicy{}},
	}
	if render.NeedsDisruptionBudget(p.gateway) {
		objects = append(objects, struct{ desired, current client.Object }{render.DisruptionBudget(p.gateway), &policyv1.PodDisruptionBudget{}})
	} else if err := r.remove(ctx, p, &policyv1.PodDisruptionBudget{}); err != nil {
		return err
	}
	for _, o := range objects {
		if _, err := r.object(ctx, p, o.desired, o.current); err != nil {
			return err
		}
	}
	if r.monitors.there(r.Client.RESTMapper()) {
		_, err := r.object(ctx, p, render.ServiceMonitor(p.gateway), nil)
		return err
	}
	return nil
}

// object applies one object. It reports false for one that belongs to somebody else, which
// is left alone, and for one that the API server refuses; both are told. current is what to read the present one into; nil for a kind that
// is not watched.
func (r *Gateways) object(ctx context.Context, p *plan, desired, current client.Object) (bool, error) {
	u, err := configuration(desired)
	if err != nil {
		return false, err
	}
	text, err := json.Marshal(u)
	if err != nil {
		return false, err
	}
	m := r.memory.of(client.ObjectKeyFromObject(p.gateway.Resource))
	id := u.GetKind() + "/" + u.GetName()
	last := m.applied[id]
	if current != nil {
		key := client.ObjectKeyFromObject(desired)
		err := r.Client.Get(ctx, key, current)
		if gone(err) { // or without the label by which it is watched
			live := metadata(u.GetKind())
			live.APIVersion = u.GetAPIVersion()
			current, err = live, r.Live.Get(ctx, key, live)
		}
		switch {
		case gone(err): // it is made
		case err != nil:
			return false, err
		case !metav1.IsControlledBy(current, p.gateway.Resource):
			p.blame(verdict.ReasonNameTaken, "%s %q exists and is not of this gateway: delete it, or give the VirtualMCPServer another name.", u.GetKind(), u.GetName())
			return false, nil
		case last.desired == string(text) && last.version == current.GetResourceVersion():
			return true, nil
		}
	} else if last.desired == string(text) && time.Since(last.at) < lookAgain {
		return true, nil
	}
	err = r.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(u), fieldOwner, client.ForceOwnership)
	switch {
	case apierrors.IsInvalid(err), apierrors.IsForbidden(err), apierrors.IsBadRequest(err), apierrors.IsRequestEntityTooLargeError(err):
		// To try again would not help; the next look does anyway.
		p.blame(verdict.ReasonApplyFailed, "The API server refuses %s %q: %v.", u.GetKind(), u.GetName(), err)
		return false, nil
	case err != nil:
		return false, fmt.Errorf("apply %s: %w", id, err)
	}
	m.applied[id] = applied{string(text), u.GetResourceVersion(), time.Now()}
	return true, nil
}

// configuration leaves out of an object what is not the operator's to say.
func configuration(o client.Object) (*unstructured.Unstructured, error) {
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		return nil, err
	}
	delete(fields, "status")
	for _, path := range [][]string{{"metadata", "creationTimestamp"}, {"spec", "template", "metadata", "creationTimestamp"}} {
		unstructured.RemoveNestedField(fields, path...)
	}
	return &unstructured.Unstructured{Object: fields}, nil
}

// remove deletes an object of the gateway that it no longer needs.
func (r *Gateways) remove(ctx context.Context, p *plan, o client.Object) error {
	key := types.NamespacedName{Namespace: p.gateway.Resource.Namespace, Name: render.ObjectName(p.gateway.Resource.Name)}
	if err := r.Client.Get(ctx, key, o); err != nil {
		return client.IgnoreNotFound(err)
	}
	if !metav1.IsControlledBy(o, p.gateway.Resource) {
		return nil
	}
	return client.IgnoreNotFound(r.Client.Delete(ctx, o))
}

// secret makes a token where there is none. One that is there stays, whoever made it: that
// is how a token is rotated.
func (r *Gateways) secret(ctx context.Context, p *plan, name string) error {
	key := types.NamespacedName{Namespace: p.gateway.Resource.Namespace, Name: name}
	m := r.memory.of(client.ObjectKeyFromObject(p.gateway.Resource))
	admin := name == render.AdminSecret(p.gateway.Resource.Name)
	version, err := r.resolver.version(ctx, secretKind, key)
	if err != nil {
		return err
	}
	id := secretKind + "/" + name
	if version != "" && (version == m.applied[id].version) {
		return nil
	}
	data, err := r.resolver.data(ctx, secretKind, key)
	if err != nil {
		return err
	}
	token := strings.TrimRight(string(data[render.TokenKey]), "\r\n")
	switch {
	case data != nil && token == "":
		p.blame(verdict.ReasonSecretKeyNotFound, "Secret %q has no key %q: put a token there, or delete the Secret and another one is made.", name, render.TokenKey)
		return nil
	case data == nil:
		token = newToken()
		u, err := configuration(render.Secret(p.gateway, name, token))
		if err != nil {
			return err
		}
		if err := r.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(u), fieldOwner, client.ForceOwnership); err != nil {
			return fmt.Errorf("apply %s: %w", id, err)
		}
		version = u.GetResourceVersion()
	}
	m.applied[id] = applied{version: version}
	if admin {
		m.adminToken = auth.NewSecret(token)
	}
	return nil
}

// newToken is 256 bits of chance.
func newToken() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // it does not fail
	return base64.RawURLEncoding.EncodeToString(b)
}

// monitors finds out now and then whether the cluster knows ServiceMonitors.
type monitors struct {
	mu     sync.Mutex
	looked time.Time
	known  bool
}

// lookAgain is how long the answer holds.
const lookAgain = 5 * time.Minute

func (m *monitors) there(mapper meta.RESTMapper) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.looked.IsZero() || time.Since(m.looked) > lookAgain {
		_, err := mapper.RESTMapping(render.ServiceMonitorKind.GroupKind(), render.ServiceMonitorKind.Version)
		m.looked, m.known = time.Now(), err == nil
	}
	return m.known
}
