package cluster_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/recloser-mcp/recloser/operator/internal/cluster"
)

// image is the program in testdata/pod.
const image = "example/pod:1"

var suite = cluster.Suite{Options: cluster.Options{
	Controllers: true,
	Kubelet:     &cluster.KubeletOptions{Proxy: true, Env: map[string]string{"GIVEN": "to all"}},
}}

func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard())
	if os.Getenv(victimVar) != "" {
		fmt.Fprintln(os.Stderr, beVictim())
		os.Exit(1)
	}
	os.Exit(suite.Main(m))
}

// start returns the cluster, with the image in it, and a namespace.
func start(t *testing.T) (*cluster.Cluster, string) {
	t.Helper()
	c := suite.Start(t)
	c.GoImage(t, image, "testdata/pod")
	return c, c.Namespace(t)
}

// newPod is a pod named p with the label app: p that is ready when /ready says so.
func newPod(ns string, edit ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "p", Labels: map[string]string{"app": "p"}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: "c", Image: image,
			ReadinessProbe: &corev1.Probe{
				ProbeHandler:     corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/ready", Port: intstr.FromInt32(8080)}},
				PeriodSeconds:    1,
				FailureThreshold: 1,
			},
		}}},
	}
	for _, e := range edit {
		e(p)
	}
	return p
}

// env sets a variable of the pod's container.
func env(name, value string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Spec.Containers[0].Env = append(p.Spec.Containers[0].Env, corev1.EnvVar{Name: name, Value: value})
	}
}

func create(t *testing.T, c *cluster.Cluster, objects ...client.Object) {
	t.Helper()
	for _, o := range objects {
		if err := c.Client.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
}

// awaitReady creates a pod and waits until it is ready.
func awaitReady(t *testing.T, c *cluster.Cluster, p *corev1.Pod) *corev1.Pod {
	t.Helper()
	create(t, c, p)
	return cluster.Await(t, c, p, "it is ready", isReady)
}

func isReady(p *corev1.Pod) bool { return condition(p, corev1.PodReady) }

func condition(p *corev1.Pod, kind corev1.PodConditionType) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == kind {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// only is the status of the only container; of none when there is none yet.
func only(p *corev1.Pod) corev1.ContainerStatus {
	if len(p.Status.ContainerStatuses) != 1 {
		return corev1.ContainerStatus{}
	}
	return p.Status.ContainerStatuses[0]
}

// waitsFor is true when the container waits with this reason, and says this.
func waitsFor(reason, message string) func(*corev1.Pod) bool {
	return func(p *corev1.Pod) bool {
		w := only(p).State.Waiting
		return w != nil && w.Reason == reason && strings.Contains(w.Message, message)
	}
}

// ask sends a request to a host of the cluster, and returns status and body.
func ask(t *testing.T, c *cluster.Cluster, method, host, path string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+host+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Network.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// get returns the body of an answer with status 200.
func get(t *testing.T, c *cluster.Cluster, p *corev1.Pod, path string) string {
	t.Helper()
	code, body := ask(t, c, http.MethodGet, at(p), path)
	if code != http.StatusOK {
		t.Fatalf("GET %s answered %d: %s", path, code, body)
	}
	return body
}

// post tells a pod's program something.
func post(t *testing.T, c *cluster.Cluster, p *corev1.Pod, path string) {
	t.Helper()
	if code, body := ask(t, c, http.MethodPost, at(p), path); code != http.StatusOK {
		t.Fatalf("POST %s answered %d: %s", path, code, body)
	}
}

func at(p *corev1.Pod) string { return fmt.Sprintf("%s:8080", p.Status.PodIP) }

// service is a Service for pods with the label app: p, port 80.
func service(ns string) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "s"},
		Spec: corev1.ServiceSpec{
			Selector: map[string]string{"app": "p"},
			Ports:    []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromInt32(8080)}},
		},
	}
}
