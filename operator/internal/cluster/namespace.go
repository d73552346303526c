package cluster

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// unfitting are the characters of a test's name that no namespace may have.
var unfitting = regexp.MustCompile(`[^a-z0-9]+`)

// Namespace makes a namespace for a test. When the test ends it is deleted; that
// is not waited for. When the test has failed, what the containers in it said is
// part of the test's output.
func (c *Cluster) Namespace(t testing.TB) string {
	t.Helper()
	prefix := strings.Trim(unfitting.ReplaceAllString(strings.ToLower(t.Name()), "-"), "-")
	if len(prefix) > 40 {
		prefix = strings.TrimRight(prefix[:40], "-")
	}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: prefix + "-"}}
	if err := c.Client.Create(t.Context(), ns); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			c.show(t, ns.Name)
		}
		ctx, cancel := context.WithTimeout(context.Background(), Patience)
		defer cancel()
		if err := c.Client.Delete(ctx, ns); err != nil {
			t.Errorf("delete namespace %s: %v", ns.Name, err)
		}
	})
	return ns.Name
}

// show logs the pods of a namespace and what their containers said.
func (c *Cluster) show(t testing.TB, ns string) {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	if out, err := c.TryKubectl(ctx, "", "get", "pods,events", "-o", "wide", "-n", ns); err == nil {
		t.Log(out)
	}
	if c.Kubelet == nil {
		return
	}
	for _, file := range c.Kubelet.logFiles(ns) {
		text, _ := os.ReadFile(file)
		t.Logf("%s:\n%s", filepath.Base(file), tail(text))
	}
}

// TryKubectl runs kubectl as the administrator, with stdin for its "-f -", and
// returns what it wrote to its standard output. The error has what it wrote to the
// other one.
func (c *Cluster) TryKubectl(ctx context.Context, stdin string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(c.assets, "kubectl"), args...)
	// HOME is where it caches what the server offers.
	cmd.Env = []string{"KUBECONFIG=" + c.KubeConfig, "HOME=" + c.dir, "PATH=" + os.Getenv("PATH")}
	cmd.Stdin = strings.NewReader(stdin)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(said.Bytes()))
	}
	return out.String(), nil
}

// Kubectl runs kubectl and returns its output. The test ends when kubectl fails.
func (c *Cluster) Kubectl(t testing.TB, args ...string) string {
	t.Helper()
	return c.kubectl(t, "", args)
}

// Apply applies documents to a namespace, with kubectl, so that they are checked
// as a user's are.
func (c *Cluster) Apply(t testing.TB, ns, documents string) {
	t.Helper()
	c.kubectl(t, documents, []string{"apply", "-n", ns, "-f", "-"})
}

func (c *Cluster) kubectl(t testing.TB, stdin string, args []string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	out, err := c.TryKubectl(ctx, stdin, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
