package cluster_test

import (
	"errors"
	"net"
	"net/url"
	"os"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/recloser-mcp/recloser/operator/internal/cluster"
)

// A cluster of its own: the other tests' one is stopped when no test can look any
// more.
func TestStopLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	c, err := cluster.Start(cluster.Options{Kubelet: &cluster.KubeletOptions{
		Images: map[string][]string{"example/sleep": {"sleep", "600"}},
	}})
	if errors.Is(err, cluster.ErrNotBuilt) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	stopped := false
	stop := func() {
		if !stopped {
			stopped = true
			if err := c.Stop(); err != nil {
				t.Errorf("stop: %v", err)
			}
		}
	}
	defer stop()
	p := newPod("default", func(p *corev1.Pod) {
		p.Spec.Containers[0].Image = "example/sleep"
		p.Spec.Containers[0].ReadinessProbe = nil
	})
	pid := pidOf(t, awaitReady(t, c, p))
	stop()
	if running(pid) {
		t.Error("a pod's process is alive")
	}
	server, err := url.Parse(c.Config.Host)
	if err != nil {
		t.Fatal(err)
	}
	if server.Host == "" {
		server.Host = c.Config.Host
	}
	for _, address := range []string{server.Host, c.Network.ProxyURL().Host} {
		if conn, err := net.Dial("tcp", address); err == nil {
			conn.Close()
			t.Errorf("%s is still listened at", address)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestWithoutAControlPlaneThereIsAReason(t *testing.T) {
	t.Setenv("KUBEBUILDER_ASSETS", t.TempDir())
	if _, err := cluster.Start(cluster.Options{}); !errors.Is(err, cluster.ErrNotBuilt) {
		t.Errorf("%v, want ErrNotBuilt", err)
	}
}

// As is another user, who may do what his roles and groups allow.
func TestAnotherUserMayDoLess(t *testing.T) {
	c, ns := start(t)
	create := func(name string, groups ...string) error {
		user, err := client.New(c.As("a", groups...), client.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return user.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}})
	}
	if err := create("x", "system:authenticated"); !apierrors.IsForbidden(err) {
		t.Errorf("somebody without a role: %v", err)
	}
	if err := create("x", "system:masters"); err != nil {
		t.Errorf("a master: %v", err)
	}
}
