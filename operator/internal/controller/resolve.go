package controller

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/recloser-mcp/recloser/operator/api/v1alpha1"
	"github.com/recloser-mcp/recloser/operator/internal/render"
	"github.com/recloser-mcp/recloser/operator/internal/verdict"
)

// resolution is what the spec of an MCPBackend comes to.
type resolution struct {
	print   string // changes with everything that was looked at
	url     string
	entry   render.Tree
	refs    render.References
	problem *verdict.Problem
}

// resolver follows the references of specs and has the gateway's rules judge them. What it
// found it keeps until something changes that it looked at; never what is in a Secret.
type resolver struct {
	contents

	mu    sync.Mutex
	known map[types.NamespacedName]resolution
}

// backend resolves an MCPBackend. An error is one of the API server's; what is wrong with
// the backend is a problem.
func (r *resolver) backend(ctx context.Context, b *v1alpha1.MCPBackend) (resolution, error) {
	if b.Spec.Disabled {
		// The gateway skips the entry, whatever else it says.
		return resolution{url: b.Spec.URL, entry: render.Tree{"disabled": true}}, nil
	}
	res := resolution{url: b.Spec.URL, refs: render.ReferencesOf(render.Backend(b, b.Spec.URL))}
	seen, err := r.print(ctx, b, res.refs)
	if err != nil {
		return res, err
	}
	r.mu.Lock()
	known, ok := r.known[client.ObjectKeyFromObject(b)]
	r.mu.Unlock()
	if ok && known.print == seen {
		return known, nil
	}
	res.print = seen
	if res.problem, err = r.judge(ctx, b, &res); err != nil {
		return res, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known == nil {
		r.known = map[types.NamespacedName]resolution{}
	}
	r.known[client.ObjectKeyFromObject(b)] = res
	return res, nil
}

// forget drops what is known of a backend that is no more.
func (r *resolver) forget(key types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.known, key)
}

// print is a text that changes with the spec and with what it refers to.
func (r *resolver) print(ctx context.Context, b *v1alpha1.MCPBackend, refs render.References) (string, error) {
	seen, err := r.versions(ctx, objects(b.Namespace, refs, b.Spec.ServiceRef))
	return fmt.Sprintf("%s %d%s", b.UID, b.Generation, seen), err
}

// versions is a text that changes with any of the objects.
func (r *resolver) versions(ctx context.Context, refs []reference) (string, error) {
	var text strings.Builder
	for _, ref := range refs {
		v, err := r.objectVersion(ctx, ref)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&text, " %s/%s=%s", ref.kind, ref.key.Name, v)
	}
	return text.String(), nil
}

func (r *resolver) objectVersion(ctx context.Context, ref reference) (string, error) {
	if ref.kind != serviceKind {
		return r.version(ctx, ref.kind, ref.key)
	}
	var s corev1.Service
	if err := r.cached.Get(ctx, ref.key, &s); err != nil {
		return "", client.IgnoreNotFound(err)
	}
	return s.ResourceVersion, nil
}

// objects lists the objects that are referred to, each once.
func objects(namespace string, refs render.References, service *v1alpha1.ServiceRef) []reference {
	set := map[reference]bool{}
	for _, s := range refs.Secrets {
		set[reference{secretKind, types.NamespacedName{Namespace: namespace, Name: s.Name}}] = true
	}
	for _, m := range refs.ConfigMaps {
		set[reference{configMapKind, types.NamespacedName{Namespace: namespace, Name: m.Name}}] = true
	}
	if service != nil {
		set[reference{serviceKind, types.NamespacedName{Namespace: namespace, Name: service.Name}}] = true
	}
	return slices.SortedFunc(maps.Keys(set), func(a, b reference) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.key.Name, b.key.Name))
	})
}

// judge fills in the address and the entry, and finds what is wrong.
func (r *resolver) judge(ctx context.Context, b *v1alpha1.MCPBackend, res *resolution) (*verdict.Problem, error) {
	if b.Spec.ServiceRef != nil {
		url, problem, err := r.address(ctx, b)
		if err != nil || problem != nil {
			return problem, err
		}
		res.url = url
	}
	res.entry = render.Backend(b, res.url)
	held, problem, err := r.fetch(ctx, b.Namespace, res.refs)
	if err != nil || problem != nil {
		return problem, err
	}
	if problem := files(b, held); problem != nil {
		return problem, nil
	}
	if err := render.CheckBackend(b.Name, res.entry, standIn(b), held.secret); err != nil {
		return &verdict.Problem{Reason: verdict.ReasonConfigurationRefused, Message: "The gateway would refuse the spec: " + err.Error() + "."}, nil
	}
	return nil, nil
}

// standIn stands for the shared credential of a backend, which belongs to a gateway and is
// judged there.
func standIn(b *v1alpha1.MCPBackend) map[string]render.Tree {
	if b.Spec.Auth == nil || b.Spec.Auth.Use == "" {
		return nil
	}
	return map[string]render.Tree{b.Spec.Auth.Use: {"type": "client_credentials", "tokenURL": "https://localhost", "clientID": "x", "clientSecret": "x"}}
}

// held is what the objects of references have in them.
type held map[reference]map[string][]byte

// lookup finds keys in what was fetched.
type lookup struct {
	namespace string
	held      held
}

func (l lookup) secret(r v1alpha1.SecretKeyRef) (string, bool) {
	v, ok := l.held[reference{secretKind, types.NamespacedName{Namespace: l.namespace, Name: r.Name}}][r.Key]
	return string(v), ok
}

func (l lookup) configMap(r v1alpha1.ConfigMapKeyRef) (string, bool) {
	v, ok := l.held[reference{configMapKind, types.NamespacedName{Namespace: l.namespace, Name: r.Name}}][r.Key]
	return string(v), ok
}

// fetch reads what is referred to, and finds what is missing.
func (r *resolver) fetch(ctx context.Context, namespace string, refs render.References) (lookup, *verdict.Problem, error) {
	l := lookup{namespace, held{}}
	for _, ref := range objects(namespace, refs, nil) {
		data, err := r.data(ctx, ref.kind, ref.key)
		if err != nil {
			return l, nil, err
		}
		if data != nil {
			l.held[ref] = data
		}
	}
	for _, s := range refs.Secrets {
		if problem := l.missing(secretKind, s.Name, s.Key); problem != nil {
			return l, problem, nil
		}
	}
	for _, m := range refs.ConfigMaps {
		if problem := l.missing(configMapKind, m.Name, m.Key); problem != nil {
			return l, problem, nil
		}
	}
	return l, nil, nil
}

// missing says what is missing of a key, nil when it is there.
func (l lookup) missing(kind, name, key string) *verdict.Problem {
	data, ok := l.held[reference{kind, types.NamespacedName{Namespace: l.namespace, Name: name}}]
	if !ok {
		reason := verdict.ReasonSecretNotFound
		if kind == configMapKind {
			reason = verdict.ReasonConfigMapNotFound
		}
		return &verdict.Problem{Reason: reason, Message: fmt.Sprintf("There is no %s %q in namespace %s: create it, with the key %q.", kind, name, l.namespace, key)}
	}
	if _, ok := data[key]; ok {
		return nil
	}
	reason := verdict.ReasonSecretKeyNotFound
	if kind == configMapKind {
		reason = verdict.ReasonConfigMapKeyNotFound
	}
	has := "it is empty"
	if keys := slices.Sorted(maps.Keys(data)); len(keys) > 0 {
		has = "it has " + strings.Join(keys[:min(len(keys), 10)], ", ")
	}
	return &verdict.Problem{Reason: reason, Message: fmt.Sprintf("%s %q has no key %q, %s: add the key, or name another one.", kind, name, key, has)}
}

// files judges what the gateway reads itself: certificates and their keys.
func files(b *v1alpha1.MCPBackend, l lookup) *verdict.Problem {
	t := b.Spec.TLS
	if t == nil {
		return nil
	}
	if ref := t.CAConfigMapRef; ref != nil {
		text, _ := l.configMap(*ref)
		if !x509.NewCertPool().AppendCertsFromPEM([]byte(text)) {
			return &verdict.Problem{Reason: verdict.ReasonConfigurationRefused,
				Message: fmt.Sprintf("Key %q of ConfigMap %q has no certificate in PEM: put the authority's certificate there.", ref.Key, ref.Name)}
		}
	}
	if ref := t.ClientCertificateRef; ref != nil {
		cert, _ := l.secret(v1alpha1.SecretKeyRef{Name: ref.Name, Key: corev1.TLSCertKey})
		key, _ := l.secret(v1alpha1.SecretKeyRef{Name: ref.Name, Key: corev1.TLSPrivateKeyKey})
		if _, err := tls.X509KeyPair([]byte(cert), []byte(key)); err != nil {
			return &verdict.Problem{Reason: verdict.ReasonConfigurationRefused,
				Message: fmt.Sprintf("Secret %q has no certificate with the key that belongs to it: put a matching pair into tls.crt and tls.key.", ref.Name)}
		}
	}
	return nil
}

// address is the URL of a Service.
func (r *resolver) address(ctx context.Context, b *v1alpha1.MCPBackend) (string, *verdict.Problem, error) {
	ref := b.Spec.ServiceRef
	var s corev1.Service
	if err := r.cached.Get(ctx, types.NamespacedName{Namespace: b.Namespace, Name: ref.Name}, &s); gone(err) {
		return "", &verdict.Problem{Reason: verdict.ReasonServiceNotFound,
			Message: fmt.Sprintf("There is no Service %q in namespace %s: create it, or correct serviceRef.", ref.Name, b.Namespace)}, nil
	} else if err != nil {
		return "", nil, err
	}
	port, ok := portOf(&s, ref.Port)
	if !ok {
		var has []string
		for _, p := range s.Spec.Ports {
			has = append(has, strings.TrimPrefix(p.Name+"="+strconv.Itoa(int(p.Port)), "="))
		}
		wants := "there is no one port to take"
		if ref.Port != nil {
			wants = "it has no port " + ref.Port.String()
		}
		return "", &verdict.Problem{Reason: verdict.ReasonServicePortNotFound,
			Message: fmt.Sprintf("Of the ports of Service %q (%s), %s: name one in serviceRef.port.", ref.Name, strings.Join(has, ", "), wants)}, nil
	}
	scheme := "http"
	if b.Spec.TLS != nil {
		scheme = "https"
	}
	host := net.JoinHostPort(fmt.Sprintf("%s.%s.svc", ref.Name, b.Namespace), strconv.Itoa(int(port)))
	return cmp.Or(ref.Scheme, scheme) + "://" + host + cmp.Or(ref.Path, "/mcp"), nil, nil
}

// portOf finds a port by its name or number; the only one without either.
func portOf(s *corev1.Service, want *intstr.IntOrString) (int32, bool) {
	for _, p := range s.Spec.Ports {
		switch {
		case want == nil && len(s.Spec.Ports) == 1,
			want != nil && want.Type == intstr.String && p.Name == want.StrVal,
			want != nil && want.Type == intstr.Int && p.Port == want.IntVal:
			return p.Port, true
		}
	}
	// The ports of a Service that is a name elsewhere need not be listed.
	if s.Spec.Type == corev1.ServiceTypeExternalName && want != nil && want.Type == intstr.Int {
		return want.IntVal, true
	}
	return 0, false
}
