package controller_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/yaml"

	"github.com/recloser-mcp/recloser/operator/api/v1alpha1"
	"github.com/recloser-mcp/recloser/operator/internal/cluster"
	"github.com/recloser-mcp/recloser/operator/internal/controller"
	"github.com/recloser-mcp/recloser/operator/internal/render"
	"github.com/recloser-mcp/recloser/status"
)

var suite = cluster.Suite{Options: cluster.Options{CRDs: []string{"../../config/crd/recloser.dev_mcpbackends.yaml", "../../config/crd/recloser.dev_virtualmcpservers.yaml", "testdata/servicemonitors.yaml"}, Scheme: scheme()}}

func TestMain(m *testing.M) { os.Exit(suite.Main(m)) }

func scheme() *runtime.Scheme {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(s); err != nil {
			panic(err)
		}
	}
	return s
}

// rig is a namespace with an operator that has the rights of the committed Role there, and
// no others. Pods of gateways are fakes that speak the admin API.
type rig struct {
	*cluster.Cluster
	t     *testing.T
	ns    string
	fleet fleet
	log   text
	halt  func() // stops the operator
	wrap  func(client.Client) client.Client
	// every is how often the operator looks at pods. Where a test has none it is so seldom
	// that nothing happens but for the watches.
	every time.Duration
}

var named atomic.Int32

// text is a log that several write.
type text struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *text) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *text) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newRig(t *testing.T) *rig {
	t.Helper()
	c := suite.Start(t)
	r := &rig{Cluster: c, t: t, ns: c.Namespace(t), every: time.Hour}
	raw, err := os.ReadFile("../../config/rbac/role.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var role rbacv1.Role
	if err := yaml.UnmarshalStrict(raw, &role); err != nil {
		t.Fatal(err)
	}
	role.Namespace = r.ns
	r.create(&role)
	r.create(&rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: role.Name, Namespace: r.ns},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role.Name},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: "operator", Namespace: r.ns}}})
	t.Cleanup(func() {
		r.stop()
		log := r.log.String()
		if strings.Contains(strings.ToLower(log), "forbidden") {
			t.Errorf("the operator did what it may not:\n%s", log)
		}
		if t.Failed() {
			t.Logf("the operator's log:\n%s", log)
		}
	})
	return r
}

// start runs an operator.
func (r *rig) start() {
	r.t.Helper()
	o := ctrl.Options{
		Scheme: r.Client.Scheme(), Cache: controller.Cache(r.ns), Metrics: server.Options{BindAddress: "0"}, HealthProbeBindAddress: "0",
		Logger: logr.FromSlogHandler(slog.NewTextHandler(&r.log, nil)),
	}
	config := r.As("system:serviceaccount:"+r.ns+":operator", "system:serviceaccounts", "system:authenticated")
	config.QPS, config.Burst = 200, 400
	m, err := ctrl.NewManager(config, o)
	if err != nil {
		r.t.Fatal(err)
	}
	if r.wrap != nil {
		m = wrapped{m, r.wrap(m.GetClient())}
	}
	err = controller.Setup(m, controller.Options{
		Render: render.Options{Image: "recloser:test"}, PollEvery: r.every, Dial: r.fleet.dial,
		Named: fmt.Sprint(named.Add(1)),
	})
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- m.Start(ctx) }()
	r.halt = func() {
		cancel()
		if err := <-ended; err != nil {
			r.t.Errorf("the operator ended: %v", err)
		}
	}
}

// wrapped is a manager with another client.
type wrapped struct {
	ctrl.Manager
	client client.Client
}

func (w wrapped) GetClient() client.Client { return w.client }

func (r *rig) stop() {
	if r.halt != nil {
		r.halt()
		r.halt = nil
	}
}

func (r *rig) create(objects ...client.Object) {
	r.t.Helper()
	for _, o := range objects {
		if o.GetNamespace() == "" {
			o.SetNamespace(r.ns)
		}
		if err := r.Client.Create(r.t.Context(), o); err != nil {
			r.t.Fatal(err)
		}
	}
}

// update changes an object, again when somebody else was faster.
func update[T client.Object](r *rig, o T, name string, change func(T)) T {
	r.t.Helper()
	for {
		if err := r.Client.Get(r.t.Context(), types.NamespacedName{Namespace: r.ns, Name: name}, o); err != nil {
			r.t.Fatal(err)
		}
		change(o)
		err := r.Client.Update(r.t.Context(), o)
		if err == nil {
			return o
		}
		if !strings.Contains(err.Error(), "the object has been modified") {
			r.t.Fatal(err)
		}
	}
}

// get returns an object that is there.
func get[T client.Object](r *rig, o T, name string) T {
	r.t.Helper()
	if err := r.Client.Get(r.t.Context(), types.NamespacedName{Namespace: r.ns, Name: name}, o); err != nil {
		r.t.Fatal(err)
	}
	return o
}

// await waits until an object fulfils something.
func await[T client.Object](r *rig, o T, name, what string, fulfilled func(T) bool) T {
	r.t.Helper()
	o.SetNamespace(r.ns)
	o.SetName(name)
	return cluster.Await(r.t, r.Cluster, o, what, fulfilled)
}

// config waits until the configuration of a gateway fulfils something.
func (r *rig) config(gateway, what string, fulfilled func(render.Tree) bool) render.Tree {
	r.t.Helper()
	var doc render.Tree
	await(r, &corev1.ConfigMap{}, "vmcp-"+gateway, what, func(m *corev1.ConfigMap) bool {
		var err error
		doc, err = render.Read(m.Data[render.ConfigFile])
		return err == nil && fulfilled(doc)
	})
	return doc
}

// hasBackends is fulfilled by a document with exactly these.
func hasBackends(names ...string) func(render.Tree) bool {
	return func(doc render.Tree) bool {
		entries := render.Entries(doc, "mcpServers")
		return len(entries) == len(names) && !slices.ContainsFunc(names, func(n string) bool { return entries[n] == nil })
	}
}

func gateway(name string, spec v1alpha1.VirtualMCPServerSpec) *v1alpha1.VirtualMCPServer {
	if spec.BackendSelector == nil && spec.Backends == nil {
		spec.BackendSelector = &metav1.LabelSelector{}
	}
	return &v1alpha1.VirtualMCPServer{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: spec}
}

func backend(name string, labels map[string]string, spec v1alpha1.MCPBackendSpec) *v1alpha1.MCPBackend {
	if spec.URL == "" && spec.ServiceRef == nil {
		spec.URL = "https://" + name + ".example.com/mcp"
	}
	return &v1alpha1.MCPBackend{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}, Spec: spec}
}

// bearer is a credential whose token is in the key token of a Secret.
func bearer(secret string) *v1alpha1.BackendAuth {
	return &v1alpha1.BackendAuth{Type: "bearer", CredentialSettings: v1alpha1.CredentialSettings{
		Token: &v1alpha1.SecretValue{SecretKeyRef: v1alpha1.SecretKeyRef{Name: secret, Key: "token"}}}}
}

func secret(name string, data map[string]string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}, StringData: data}
}

// fleet are the fakes of pods, by their addresses.
type fleet struct {
	mu   sync.Mutex
	pods map[string]*pod
}

// pod speaks the admin API.
type pod struct {
	name    string
	server  *httptest.Server
	mu      sync.Mutex
	status  status.Status
	reloads int
	refused int // requests without the token
	token   string
}

func (f *fleet) dial(ctx context.Context, network, address string) (net.Conn, error) {
	f.mu.Lock()
	p := f.pods[address]
	f.mu.Unlock()
	if p == nil {
		return nil, fmt.Errorf("nobody listens on %s", address)
	}
	var d net.Dialer
	return d.DialContext(ctx, network, p.server.Listener.Addr().String())
}

func (p *pod) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.Header.Get("Authorization") != "Bearer "+p.token {
		p.refused++
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = w.Write([]byte(`{"error": "no"}`))
		return
	}
	if r.Method == http.MethodPost {
		p.reloads++
		_, _ = w.Write([]byte(`{"message": "read"}`))
		return
	}
	_ = json.NewEncoder(w).Encode(p.status)
}

// says has the pod answer this about its backends.
func (p *pod) says(backends ...status.Backend) {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status = status.Summarize("test", backends, 0, now.Add(-time.Hour), now)
}

// state is what a pod says of a backend.
func state(name string, s status.BackendStatus, r status.Reason, tools int) status.Backend {
	return status.Backend{Name: name, Status: s, Reason: r, Message: name + " is so.", Since: time.Now().Add(-time.Minute), Tools: tools}
}

func well(name string) status.Backend {
	return state(name, status.BackendStatusReady, status.ReasonOK, 2)
}

// deploy gives a gateway pods, as the controllers of Kubernetes and a kubelet would, and
// says that its Deployment is available.
func (r *rig) deploy(gateway string, replicas int) []*pod {
	r.t.Helper()
	name := "vmcp-" + gateway
	token := await(r, &corev1.Secret{}, name+"-admin", "there is a token", func(s *corev1.Secret) bool { return len(s.Data[render.TokenKey]) > 0 })
	slice := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Name: name + "-1", Labels: render.Labels(gateway)}, AddressType: discoveryv1.AddressTypeIPv4,
		Ports: []discoveryv1.EndpointPort{{Name: new("mcp"), Port: new(int32(render.MCPPort))}}}
	slice.Labels[discoveryv1.LabelServiceName] = name
	var pods []*pod
	r.fleet.mu.Lock()
	if r.fleet.pods == nil {
		r.fleet.pods = map[string]*pod{}
	}
	for i := range replicas {
		p := &pod{name: fmt.Sprintf("%s-%d", name, i), token: string(token.Data[render.TokenKey])}
		p.server = httptest.NewServer(p)
		r.t.Cleanup(p.server.Close)
		address := fmt.Sprintf("10.127.%d.%d", len(r.fleet.pods)/250, len(r.fleet.pods)%250+1)
		r.fleet.pods[fmt.Sprintf("%s:%d", address, render.AdminPort)] = p
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{Addresses: []string{address}, Conditions: discoveryv1.EndpointConditions{Ready: new(true)},
			TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: r.ns, Name: p.name}})
		pods = append(pods, p)
	}
	r.fleet.mu.Unlock()
	r.create(slice)
	d := await(r, &appsv1.Deployment{}, name, "it is there", func(*appsv1.Deployment) bool { return true })
	before := d.DeepCopy()
	d.Status.Replicas, d.Status.ReadyReplicas, d.Status.AvailableReplicas = int32(replicas), int32(replicas), int32(replicas)
	d.Status.Conditions = []appsv1.DeploymentCondition{{Type: appsv1.DeploymentAvailable, Status: corev1.ConditionTrue, Reason: "Test"}}
	if err := r.Client.Status().Patch(r.t.Context(), d, client.MergeFrom(before)); err != nil {
		r.t.Fatal(err)
	}
	return pods
}
