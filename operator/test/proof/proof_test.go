// Package proof proves in a real control plane what the project was started for: a
// backend that refuses its credential for ever is shown unavailable while its neighbor
// stays ready, its own counters show that retries stopped, and a new Secret ends it
// without a restart. Gateways and backends run as pods.
package proof

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/recloser-mcp/recloser/operator/api/v1alpha1"
	"github.com/recloser-mcp/recloser/operator/internal/cluster"
	"github.com/recloser-mcp/recloser/operator/internal/controller"
	"github.com/recloser-mcp/recloser/operator/internal/render"
)

var suite = cluster.Suite{Options: cluster.Options{
	CRDs: []string{"../../config/crd"}, Scheme: scheme(), Controllers: true, Kubelet: &cluster.KubeletOptions{Proxy: true},
}}

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

const (
	wrong, right, next = "a-token-nobody-accepts", "the-token-it-wants", "the-token-after-that"
	callers            = "what-the-callers-show"
)

// manifests are what a user applies.
const manifests = `
apiVersion: v1
kind: Secret
metadata: {name: locked}
stringData: {token: %[1]s}
---
apiVersion: v1
kind: Secret
metadata: {name: callers}
stringData: {agent: %[2]s}
---
apiVersion: recloser.dev/v1alpha1
kind: MCPBackend
metadata: {name: echo, labels: {set: proof}}
spec:
  serviceRef: {name: echo, port: 8000, path: /mcp}
---
apiVersion: recloser.dev/v1alpha1
kind: MCPBackend
metadata: {name: locked, labels: {set: proof}}
spec:
  serviceRef: {name: locked, port: 8000, path: /mcp}
  auth: {type: bearer, token: {secretKeyRef: {name: locked, key: token}}}
  authRetry: {initialWait: 20ms, openAfter: 5, coolDown: 10m, maxCoolDown: 10m}
  allowInsecure: true
---
apiVersion: recloser.dev/v1alpha1
kind: VirtualMCPServer
metadata: {name: tools}
spec:
  replicas: %[3]d
  image: recloser:proof
  backendSelector: {matchLabels: {set: proof}}
  incomingAuth: {tokens: [{secretKeyRef: {name: callers, key: agent}}]}
  health: {interval: 2s, timeout: 1s, unavailableAfter: 2}
`

// workload is a backend: one pod behind a Service.
const workload = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: %[1]s}
spec:
  selector: {matchLabels: {app: %[1]s}}
  template:
    metadata: {labels: {app: %[1]s}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: server
        image: backend:proof
        env:
        - {name: NAME, value: %[1]s}
        - {name: TOKENS, value: %[2]q}
        ports: [{name: mcp, containerPort: 8000}, {name: control, containerPort: 8001}]
        readinessProbe: {tcpSocket: {port: mcp}} # one that refuses everything never answers 200
---
apiVersion: v1
kind: Service
metadata: {name: %[1]s}
spec:
  selector: {app: %[1]s}
  ports: [{name: mcp, port: 8000, targetPort: mcp}, {name: control, port: 8001, targetPort: control}]
`

type proof struct {
	*cluster.Cluster
	t  *testing.T
	ns string
}

func TestProof(t *testing.T) {
	for _, replicas := range []int{1, 2} {
		t.Run(fmt.Sprintf("%d replicas", replicas), func(t *testing.T) { prove(t, replicas) })
	}
}

func prove(t *testing.T, replicas int) {
	c := suite.Start(t)
	c.GoImage(t, "recloser:proof", "../../../cmd/recloser")
	c.GoImage(t, "backend:proof", "backend")
	p := &proof{c, t, c.Namespace(t)}
	p.operate()
	p.Apply(t, p.ns, fmt.Sprintf(workload, "echo", ""))
	p.Apply(t, p.ns, fmt.Sprintf(workload, "locked", right))
	p.Apply(t, p.ns, fmt.Sprintf(manifests, wrong, callers, replicas))

	// The one is unavailable with its challenge, the other ready; nobody has called.
	g := p.await("it is degraded, 1 of 2 ready", func(s *v1alpha1.VirtualMCPServerStatus) bool {
		b := backend(s, "locked")
		return s.Phase == v1alpha1.PhaseDegraded && s.ReadyOfAll == "1/2" && b.Status == v1alpha1.BackendUnavailable &&
			b.Reason == "auth_refused" && backend(s, "echo").Status == v1alpha1.BackendReady && s.Replicas == int32(replicas) &&
			len(p.pods()) == replicas
	})
	if b := backend(&g.Status, "locked"); !strings.Contains(b.Message, `Bearer error="invalid_token"`) || b.Since.IsZero() {
		t.Errorf("locked says %q since %v", b.Message, b.Since)
	}
	shown := p.Kubectl(t, "get", "vmcp", "-n", p.ns)
	if !strings.Contains(shown, "Degraded") || !strings.Contains(shown, "1/2") {
		t.Errorf("kubectl get vmcp:\n%s", shown)
	}
	p.Kubectl(t, "wait", "-n", p.ns, "--for=condition=Ready", "--timeout=60s", "vmcp/tools")
	p.Kubectl(t, "wait", "-n", p.ns, "--for=condition=Degraded", "--timeout=60s", "vmcp/tools")
	pods := p.pods()
	for _, pod := range pods {
		if err := p.call(pod, "echo_echo"); err != nil {
			t.Errorf("the stable backend through %s: %v", pod.Name, err)
		}
	}
	p.retriesStop(pods)

	// Its Secret gets the right token: it is ready, without a restart of any pod.
	p.secret(right)
	p.await("all are ready", func(s *v1alpha1.VirtualMCPServerStatus) bool {
		return s.Phase == v1alpha1.PhaseReady && s.ReadyOfAll == "2/2"
	})
	for _, pod := range pods {
		if err := p.call(pod, "locked_echo"); err != nil {
			t.Errorf("the mended backend through %s: %v", pod.Name, err)
		}
	}
	p.rotate(pods)
	p.hang()
	after := p.pods()
	if len(after) != len(pods) {
		t.Fatalf("%d pods, there were %d", len(after), len(pods))
	}
	for i := range pods {
		if after[i].UID != pods[i].UID || after[i].Status.ContainerStatuses[0].RestartCount != 0 {
			t.Errorf("pod %s was replaced or restarted", pods[i].Name)
		}
	}
}

// retriesStop makes calls to the backend that refuses, and counts there.
func (p *proof) retriesStop(pods []corev1.Pod) {
	p.t.Helper()
	const sequence, openAfter, more = 4, 5, 20 // a send and three retries
	for _, pod := range pods {
		for range openAfter {
			if err := p.call(pod, "locked_echo"); err == nil || !strings.Contains(err.Error(), "auth_refused") {
				p.t.Errorf("a call through %s: %v", pod.Name, err)
			}
		}
	}
	p.await("every breaker is open", func(s *v1alpha1.VirtualMCPServerStatus) bool {
		return backend(s, "locked").Breaker == "open"
	})
	opened := p.counts("locked").Refused
	if least := sequence * openAfter * len(pods); opened < least {
		p.t.Errorf("%d requests were refused before the breakers opened, want at least %d: calls are not tried again", opened, least)
	}
	for _, pod := range pods {
		for range more {
			if err := p.call(pod, "locked_echo"); err == nil {
				p.t.Errorf("a call through %s was answered", pod.Name)
			}
		}
	}
	// Once each, and what probes and lists may have asked meanwhile.
	sent := p.counts("locked").Refused - opened
	calls := more * len(pods)
	if sent < calls || sent > 2*calls {
		p.t.Errorf("%d calls at open breakers were %d requests, want one each", calls, sent)
	}
	if n := p.counts("locked").Executions; n != 0 {
		p.t.Errorf("the tool ran %d times", n)
	}
}

// rotate changes the token under load: no client sees an error.
func (p *proof) rotate(pods []corev1.Pod) {
	p.t.Helper()
	p.control("locked", "/tokens/"+right+","+next)
	before := p.counts("locked").Executions
	ctx, stop := context.WithCancel(p.t.Context())
	var wg sync.WaitGroup
	var calls, failed atomic.Int64
	for _, pod := range pods {
		for range 4 {
			wg.Go(func() {
				s, err := p.connect(ctx, pod)
				if err != nil {
					p.t.Errorf("connect: %v", err)
					return
				}
				defer func() { _ = s.Close() }()
				for ctx.Err() == nil {
					calls.Add(1)
					if err := use(context.WithoutCancel(ctx), s, "locked_echo"); err != nil {
						failed.Add(1)
						p.t.Errorf("a call during the rotation: %v", err)
					}
				}
			})
		}
	}
	reach := func(n int64) {
		for calls.Load() < n && !p.t.Failed() {
			time.Sleep(5 * time.Millisecond)
		}
	}
	reach(100)
	p.secret(next)
	for _, pod := range pods {
		p.Kubelet.AwaitFile(p.t, p.ns, pod.Name, volume(pod, "locked"), "token", []byte(next))
	}
	p.control("locked", "/tokens/"+next) // the first is revoked
	reach(calls.Load() + 200)
	stop()
	wg.Wait()
	if failed.Load() != 0 {
		p.t.Errorf("%d of %d calls failed", failed.Load(), calls.Load())
	}
	if n := p.counts("locked").Executions - before; int64(n) != calls.Load() {
		p.t.Errorf("%d calls ran the tool %d times", calls.Load(), n)
	}
	p.t.Logf("%d calls while the token changed, %d failed", calls.Load(), failed.Load())
}

// hang has the stable backend hang while nobody calls: only probes can tell.
func (p *proof) hang() {
	p.t.Helper()
	p.control("echo", "/hang")
	p.Kubectl(p.t, "wait", "-n", p.ns, "--for=jsonpath={.status.phase}=Degraded", "--timeout=60s", "vmcp/tools")
	p.await("the hung backend is unavailable", func(s *v1alpha1.VirtualMCPServerStatus) bool {
		b := backend(s, "echo")
		return s.Phase == v1alpha1.PhaseDegraded && b.Status == v1alpha1.BackendUnavailable && b.Reason == "timeout"
	})
	p.control("echo", "/heal")
	p.await("it is ready again", func(s *v1alpha1.VirtualMCPServerStatus) bool { return s.Phase == v1alpha1.PhaseReady })
}

// operate runs the operator.
func (p *proof) operate() {
	p.t.Helper()
	log := &strings.Builder{}
	m, err := ctrl.NewManager(p.Config, ctrl.Options{Scheme: p.Client.Scheme(), Cache: controller.Cache(p.ns),
		Metrics: server.Options{BindAddress: "0"}, HealthProbeBindAddress: "0", Logger: logr.FromSlogHandler(slog.NewTextHandler(&guarded{w: log}, nil))})
	if err != nil {
		p.t.Fatal(err)
	}
	if err := controller.Setup(m, controller.Options{Render: render.Options{BindPodIP: true}, PollEvery: time.Second,
		Dial: p.Network.DialContext, Named: p.ns}); err != nil {
		p.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- m.Start(ctx) }()
	p.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			p.t.Errorf("the operator ended: %v", err)
		}
		if p.t.Failed() {
			p.t.Logf("the operator's log:\n%s", log)
		}
	})
}

type guarded struct {
	mu sync.Mutex
	w  io.Writer
}

func (g *guarded) Write(b []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.w.Write(b)
}

// await waits for the status of the gateway.
func (p *proof) await(what string, ok func(*v1alpha1.VirtualMCPServerStatus) bool) *v1alpha1.VirtualMCPServer {
	p.t.Helper()
	return cluster.Await(p.t, p.Cluster, &v1alpha1.VirtualMCPServer{ObjectMeta: metav1.ObjectMeta{Namespace: p.ns, Name: "tools"}}, what,
		func(g *v1alpha1.VirtualMCPServer) bool { return ok(&g.Status) })
}

func backend(s *v1alpha1.VirtualMCPServerStatus, name string) v1alpha1.BackendStatus {
	for _, b := range s.Backends {
		if b.Name == name {
			return b
		}
	}
	return v1alpha1.BackendStatus{}
}

// pods are the ready pods of the gateway, in the order of their names.
func (p *proof) pods() (ready []corev1.Pod) {
	p.t.Helper()
	var list corev1.PodList
	if err := p.Client.List(p.t.Context(), &list, client.InNamespace(p.ns), client.MatchingLabels(render.Selector("tools"))); err != nil {
		p.t.Fatal(err)
	}
	for _, pod := range list.Items {
		for _, c := range pod.Status.Conditions {
			if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
				ready = append(ready, pod)
			}
		}
	}
	return ready
}

// volume is the name of the volume in which a Secret is mounted.
func volume(pod corev1.Pod, secret string) string {
	for _, v := range pod.Spec.Volumes {
		if v.Secret != nil && v.Secret.SecretName == secret {
			return v.Name
		}
	}
	return ""
}

func (p *proof) secret(token string) {
	p.t.Helper()
	p.Kubectl(p.t, "patch", "secret", "locked", "-n", p.ns, "-p", fmt.Sprintf(`{"stringData":{"token":%q}}`, token))
}

// connect opens a session of a client at one pod of the gateway.
func (p *proof) connect(ctx context.Context, pod corev1.Pod) (*mcp.ClientSession, error) {
	c := mcp.NewClient(&mcp.Implementation{Name: "proof", Version: "1"}, nil)
	return c.Connect(ctx, &mcp.StreamableClientTransport{
		Endpoint:   fmt.Sprintf("http://%s:%d/mcp", pod.Status.PodIP, render.MCPPort),
		HTTPClient: &http.Client{Transport: bearer{&http.Transport{DialContext: p.Network.DialContext}}}, MaxRetries: -1,
	}, nil)
}

type bearer struct{ next http.RoundTripper }

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+callers)
	return b.next.RoundTrip(r)
}

func use(ctx context.Context, s *mcp.ClientSession, tool string) error {
	res, err := s.CallTool(ctx, &mcp.CallToolParams{Name: tool, Arguments: map[string]any{}})
	if err == nil && res.IsError {
		return fmt.Errorf("the tool reports an error: %v", res.Content)
	}
	return err
}

// call makes one call through one pod.
func (p *proof) call(pod corev1.Pod, tool string) error {
	s, err := p.connect(p.t.Context(), pod)
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	return use(p.t.Context(), s, tool)
}

type counts struct{ Requests, Refused, Executions int }

func (p *proof) counts(name string) (n counts) {
	p.t.Helper()
	if err := json.Unmarshal(p.ask(http.MethodGet, name, "/counts"), &n); err != nil {
		p.t.Fatal(err)
	}
	return n
}

// control changes a backend.
func (p *proof) control(name, path string) {
	p.t.Helper()
	p.ask(http.MethodPost, name, path)
}

func (p *proof) ask(method, name, path string) []byte {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), method, fmt.Sprintf("http://%s.%s.svc:8001%s", name, p.ns, path), nil)
	if err != nil {
		p.t.Fatal(err)
	}
	resp, err := p.Network.Client().Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		p.t.Fatalf("%s %s: %d %v", method, path, resp.StatusCode, err)
	}
	return body
}
