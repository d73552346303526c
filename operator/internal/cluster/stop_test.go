package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/recloser-mcp/recloser/operator/internal/cluster"
)

// sleeper is a pod that runs and does nothing.
func sleeper() *corev1.Pod {
	return newPod("default", func(p *corev1.Pod) {
		p.Spec.Containers[0].Image = "example/sleep"
		p.Spec.Containers[0].ReadinessProbe = nil
	})
}

var withSleep = cluster.Options{Kubelet: &cluster.KubeletOptions{Images: map[string][]string{"example/sleep": {"sleep", "600"}}}}

// A cluster of its own: when the other tests' one is stopped, no test can look any
// more.
func TestStopLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	c, err := cluster.Start(withSleep)
	if errors.Is(err, cluster.ErrNotBuilt) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	stop := sync.OnceValue(c.Stop)
	defer stop()
	pid := pidOf(t, awaitReady(t, c, sleeper()))
	if err := stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
	if running(pid) {
		t.Error("a pod's process is alive")
	}
	for _, address := range []string{strings.TrimPrefix(c.Config.Host, "https://"), c.Network.ProxyURL().Host} {
		if conn, err := net.Dial("tcp", address); err == nil {
			conn.Close()
			t.Errorf("%s is still listened at", address)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// victimVar has the test binary be a test that is going to be killed.
const victimVar = "CLUSTER_TEST_VICTIM"

// beVictim starts a cluster with a pod, says where they are, and waits to be
// killed.
func beVictim() error {
	c, err := cluster.Start(withSleep)
	if err != nil {
		return err
	}
	defer c.Stop()
	ctx, cancel := context.WithTimeout(context.Background(), cluster.Patience)
	defer cancel()
	p := sleeper()
	w, err := c.Client.Watch(ctx, &corev1.PodList{}, client.InNamespace(p.Namespace))
	if err != nil {
		return err
	}
	if err := c.Client.Create(ctx, p); err != nil {
		return err
	}
	for event := range w.ResultChan() {
		if p, ok := event.Object.(*corev1.Pod); ok && isReady(p) {
			fmt.Println(c.KubeConfig, only(p).ContainerID)
		}
	}
	return errors.New("nobody has killed this process")
}

func TestAKilledTestLeavesNoProcess(t *testing.T) {
	suite.Start(t) // or skip
	victim := exec.Command(os.Args[0])
	victim.Env = append(os.Environ(), victimVar+"=1", "TMPDIR="+t.TempDir())
	victim.Stderr = os.Stderr
	out, err := victim.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	defer victim.Wait() // it was killed
	defer victim.Process.Kill()
	var kubeconfig, container string
	if _, err := fmt.Fscan(out, &kubeconfig, &container); err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	admin, err := client.NewWithWatch(config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), cluster.Patience)
	defer cancel()
	w, err := admin.Watch(ctx, &corev1.NamespaceList{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	pid, err := strconv.Atoi(strings.TrimPrefix(container, "process://"))
	if err != nil || !running(pid) {
		t.Fatalf("the pod's container is %q", container)
	}
	if err := victim.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for range w.ResultChan() {
		// until the API server has ended
	}
	if ctx.Err() != nil {
		t.Error("the API server goes on")
	}
	if running(pid) {
		t.Error("the pod's process is alive")
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
	config, err := c.KubeConfigAs("b", "system:masters")
	if err != nil {
		t.Fatal(err)
	}
	if said := c.Kubectl(t, "--kubeconfig", config, "auth", "whoami", "-o", "jsonpath={.status.userInfo.username}"); said != "b" {
		t.Errorf("the file's user is %q", said)
	}
}
