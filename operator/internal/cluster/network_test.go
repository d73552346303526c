package cluster_test

import (
	"errors"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/recloser-mcp/recloser/operator/internal/cluster"
)

// deployment is two replicas behind the Service s, as a user writes them.
const deployment = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: d}
spec:
  replicas: 2
  selector: {matchLabels: {app: p}}
  template:
    metadata: {labels: {app: p}}
    spec:
      containers:
      - name: c
        image: example/pod:1
        env: [{name: ME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]
        ports: [{name: http, containerPort: 8080}]
        readinessProbe: {httpGet: {path: /ready, port: http}, periodSeconds: 1, failureThreshold: 1}
---
apiVersion: v1
kind: Service
metadata: {name: s}
spec:
  selector: {app: p}
  ports: [{name: http, port: 80, targetPort: http}]
`

func TestADeploymentServesAndGoes(t *testing.T) {
	c, ns := start(t)
	c.Apply(t, ns, deployment)
	endpoints, err := c.Network.AwaitEndpoints(t.Context(), ns, "s", 80, 2)
	if err != nil {
		t.Fatal(err)
	}
	if endpoints[0].Pod == endpoints[1].Pod || endpoints[0].PodIP == endpoints[1].PodIP {
		t.Fatalf("the endpoints are %v", endpoints)
	}
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "d"}}
	cluster.Await(t, c, d, "both replicas are available", func(d *appsv1.Deployment) bool { return d.Status.AvailableReplicas == 2 })

	// Both take turns behind the Service, by whatever it is called.
	svc := cluster.Await(t, c, service(ns), "it is there", func(*corev1.Service) bool { return true })
	served := make(map[string]int)
	for _, host := range []string{"s." + ns, "s." + ns + ".svc", "s." + ns + ".svc:80", "s." + ns + ".svc.cluster.local", svc.Spec.ClusterIP + ":80", "s." + ns + ".svc.cluster.local.:80"} {
		if !strings.Contains(host, ":") {
			host += ":80"
		}
		_, name := ask(t, c, http.MethodGet, host, "/env/ME")
		served[name]++
	}
	if served[endpoints[0].Pod] != 3 || served[endpoints[1].Pod] != 3 {
		t.Errorf("six requests were served by %v", served)
	}
	out := c.Kubectl(t, "get", "pods", "-n", ns, "--no-headers")
	if n := strings.Count(out, "1/1   Running   0"); n != 2 {
		t.Errorf("kubectl get pods shows\n%s", out)
	}

	// Deletion goes down to the pods.
	if err := c.Client.Delete(t.Context(), d, client.PropagationPolicy(metav1.DeletePropagationBackground)); err != nil {
		t.Fatal(err)
	}
	cluster.AwaitList(t, c, &corev1.PodList{}, "no pod is left", func(l *corev1.PodList) bool { return len(l.Items) == 0 }, client.InNamespace(ns))
	cluster.AwaitList(t, c, &appsv1.ReplicaSetList{}, "no replica set is left", func(l *appsv1.ReplicaSetList) bool { return len(l.Items) == 0 }, client.InNamespace(ns))
	if _, err := c.Network.AwaitEndpoints(t.Context(), ns, "s", 80, 0); err != nil {
		t.Error(err)
	}
	for _, e := range endpoints {
		if conn, err := net.Dial("tcp", e.Addr()); err == nil {
			conn.Close()
			t.Errorf("somebody listens where %s did", e.Pod)
		}
		if said := c.Kubelet.Log(t, ns, e.Pod, "c"); !strings.Contains(said, "was asked to end") {
			t.Errorf("%s was not asked to end: %s", e.Pod, said)
		}
	}
}

func TestOnlyReadyPodsServe(t *testing.T) {
	c, ns := start(t)
	create(t, c, service(ns))
	p := awaitReady(t, c, newPod(ns))
	if _, err := c.Network.AwaitEndpoints(t.Context(), ns, "s", 80, 1); err != nil {
		t.Fatal(err)
	}
	post(t, c, p, "/ready/503")
	cluster.Await(t, c, p, "it is not ready", func(p *corev1.Pod) bool { return !isReady(p) && p.Status.Phase == corev1.PodRunning })
	if _, err := c.Network.AwaitEndpoints(t.Context(), ns, "s", 80, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Network.DialContext(t.Context(), "tcp", "s."+ns+".svc:80"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a Service without endpoints: %v, want a refused connection", err)
	}
	post(t, c, p, "/ready/200")
	cluster.Await(t, c, p, "it is ready again", isReady)
	if _, err := c.Network.AwaitEndpoints(t.Context(), ns, "s", 80, 1); err != nil {
		t.Fatal(err)
	}
	if n := only(p).RestartCount; n != 0 {
		t.Errorf("it was restarted %d times for not being ready", n)
	}
}

func TestAPodReachesServicesThroughTheProxy(t *testing.T) {
	c, ns := start(t)
	create(t, c, service(ns))
	p := awaitReady(t, c, newPod(ns, env("ANSWER", "found me")))
	if _, err := c.Network.AwaitEndpoints(t.Context(), ns, "s", 80, 1); err != nil {
		t.Fatal(err)
	}
	fetch := func(u string) (int, string) {
		return ask(t, c, http.MethodGet, at(p), "/fetch?url="+url.QueryEscape(u))
	}
	for _, u := range []string{"http://s." + ns + ".svc/env/ANSWER", "http://" + at(p) + "/env/ANSWER"} {
		if code, body := fetch(u); code != http.StatusOK || body != "found me" {
			t.Errorf("%s answered %d %q", u, code, body)
		}
	}
	if code, _ := fetch("http://s." + ns + ".svc/none"); code != http.StatusNotFound {
		t.Errorf("a path that is not there answered %d", code)
	}
	// Where nobody answers, no status is made up.
	for _, u := range []string{"http://s." + ns + ".svc:81/", "http://none." + ns + ".svc/", "https://s." + ns + ".svc:81/", "http://192.0.2.1/"} {
		if code, body := fetch(u); code != http.StatusTeapot {
			t.Errorf("%s answered %d %q", u, code, body)
		}
	}
	// TLS passes through: to a server that speaks none it is an error of TLS.
	if code, body := fetch("https://s." + ns + ".svc:80/"); code != http.StatusTeapot || !strings.Contains(body, "HTTP response to HTTPS client") {
		t.Errorf("TLS to a server without it: %d %q", code, body)
	}
}

func TestNamesThatAreNotThere(t *testing.T) {
	c, ns := start(t)
	for _, host := range []string{"none." + ns + ".svc", "none", "a.b.c.d", "example.com"} {
		_, err := c.Network.Resolve(host + ":80")
		var dns *net.DNSError
		if !errors.As(err, &dns) || !dns.IsNotFound {
			t.Errorf("%s: %v, want that there is no such host", host, err)
		}
	}
	if got, err := c.Network.Resolve("192.0.2.1:80"); err == nil {
		t.Errorf("an address of the world is %s", got)
	}
}

// A headless Service's name stands for its pods, on whatever port.
func TestAHeadlessServiceIsItsPods(t *testing.T) {
	c, ns := start(t)
	s := service(ns)
	s.Spec.ClusterIP = corev1.ClusterIPNone
	create(t, c, s)
	p := awaitReady(t, c, newPod(ns))
	cluster.AwaitList(t, c, &discoveryv1.EndpointSliceList{}, "the pod is in a slice", func(l *discoveryv1.EndpointSliceList) bool {
		return slices.ContainsFunc(l.Items, func(s discoveryv1.EndpointSlice) bool { return len(s.Endpoints) == 1 })
	}, client.InNamespace(ns))
	if _, err := c.Network.AwaitEndpoints(t.Context(), ns, "s", 80, 1); err != nil {
		t.Fatal(err)
	}
	got, err := c.Network.Resolve("s." + ns + ".svc:1234")
	if want := cluster.Local(p.Status.PodIP) + ":1234"; err != nil || got != want {
		t.Errorf("%s, %v, want %s", got, err, want)
	}
}
