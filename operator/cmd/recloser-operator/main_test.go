package main

import (
	"bytes"
	"flag"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"

	"github.com/recloser-mcp/recloser/operator/api/v1alpha1"
	"github.com/recloser-mcp/recloser/operator/internal/cluster"
)

func scheme() *runtime.Scheme {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(s); err != nil {
			panic(err)
		}
	}
	return s
}

var suite = cluster.Suite{Options: cluster.Options{CRDs: []string{"../../chart/crds"}, Scheme: scheme()}}

func TestMain(m *testing.M) { os.Exit(suite.Main(m)) }

// freeAddress is one that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func fetch(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %s %v", url, resp.Status, body, err)
	}
	return string(body)
}

// The binary becomes the leader, works in its namespaces and in no others, shows its
// metrics, and gives the lease back when it is told to end.
func TestBinary(t *testing.T) {
	c := suite.Start(t)
	mine, other := c.Namespace(t), c.Namespace(t)
	exe := filepath.Join(t.TempDir(), "recloser-operator")
	if out, err := exec.Command("go", "build", "-o", exe, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	metrics, probes := freeAddress(t), freeAddress(t)
	cmd := exec.Command(exe, "--namespaces="+mine, "--leader-elect", "--leader-election-namespace="+mine,
		"--metrics-address="+metrics, "--probe-address="+probes, "--gateway-image=registry.example.com/recloser:1")
	cmd.Env = append(os.Environ(), "KUBECONFIG="+c.KubeConfig)
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	stopped := false
	t.Cleanup(func() {
		if !stopped {
			_ = cmd.Process.Kill()
			<-ended
		}
		if t.Failed() {
			t.Log(log.String())
		}
	})
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: mine, Name: "recloser-operator"}}
	held := func(l *coordinationv1.Lease) bool {
		return l.Spec.HolderIdentity != nil && *l.Spec.HolderIdentity != ""
	}
	cluster.Await(t, c, lease, "it is held", held)

	const gateway = "apiVersion: recloser.dev/v1alpha1\nkind: VirtualMCPServer\nmetadata: {name: tools}\nspec: {backends: [{name: missing}]}\n"
	c.Apply(t, other, gateway)
	c.Apply(t, mine, gateway)
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: mine, Name: "vmcp-tools"}}
	cluster.Await(t, c, d, "it is there", func(*appsv1.Deployment) bool { return true })
	if image := d.Spec.Template.Spec.Containers[0].Image; image != "registry.example.com/recloser:1" {
		t.Errorf("the image is %s", image)
	}
	g := &v1alpha1.VirtualMCPServer{ObjectMeta: metav1.ObjectMeta{Namespace: mine, Name: "tools"}}
	cluster.Await(t, c, g, "it has a status", func(g *v1alpha1.VirtualMCPServer) bool { return g.Status.Phase != "" })
	if got := fetch(t, "http://"+metrics+"/metrics"); !strings.Contains(got, `recloser_operator_backends{gateway="tools",namespace="`+mine+`",status="unavailable"} 1`) {
		t.Error("the metrics do not tell of the missing backend")
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		fetch(t, "http://"+probes+path)
	}
	if out := c.Kubectl(t, "get", "vmcp", "tools", "-n", other, "-o", "jsonpath={.status}"); out != "" {
		t.Errorf("a gateway of another namespace got the status %s", out)
	}

	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	err := <-ended
	if stopped = true; err != nil {
		t.Errorf("it ended with %v", err)
	}
	cluster.Await(t, c, lease, "it is given back", func(l *coordinationv1.Lease) bool { return !held(l) })
}

func TestFlags(t *testing.T) {
	for args, want := range map[string][]string{"": nil, "--namespaces=a": {"a"}, "--namespaces=a,b, c": {"a", "b", "c"}} {
		var s settings
		f := flag.NewFlagSet("", flag.ContinueOnError)
		s.register(f)
		if args != "" {
			if err := f.Parse([]string{args}); err != nil {
				t.Fatal(err)
			}
		}
		if got := s.split(); !slices.Equal(got, want) {
			t.Errorf("%s: namespaces %q, want %q", args, got, want)
		}
	}
}
