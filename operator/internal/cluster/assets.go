package cluster

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// ErrNotBuilt says that there is no control plane on this machine.
var ErrNotBuilt = errors.New("the control plane is not built: run test/install-kube at the root of the repository")

// findAssets returns the folder with the programs of the control plane: that of
// KUBEBUILDER_ASSETS, or what test/install-kube built.
func findAssets() (string, error) {
	dir := os.Getenv("KUBEBUILDER_ASSETS")
	if dir == "" {
		root, err := findRoot()
		if err != nil {
			return "", err
		}
		dir = filepath.Join(root, ".tools", "kube")
	}
	for _, name := range []string{"etcd", "kube-apiserver", "kube-controller-manager", "kubectl"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return "", ErrNotBuilt
		}
	}
	return dir, nil
}

// findRoot returns the root of the repository, seen from a test's folder.
func findRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "test", "kubetools", "go.mod")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("this does not run in a clone of the repository")
		}
		dir = up
	}
}

// Suite is one cluster for all tests of a package. It is started by the first test
// that asks for it.
type Suite struct {
	Options Options

	once    sync.Once
	cluster *Cluster
	err     error
}

// Main runs the tests and stops the cluster after them; to be called by TestMain,
// which exits with what it returns.
func (s *Suite) Main(m *testing.M) int {
	code := m.Run()
	if s.cluster == nil {
		return code
	}
	if err := s.cluster.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, "stop the cluster:", err)
		return max(code, 1)
	}
	return code
}

// Start returns the cluster. Where none can be started it skips the test; with
// CI=true it fails.
func (s *Suite) Start(t testing.TB) *Cluster {
	t.Helper()
	s.once.Do(func() { s.cluster, s.err = Start(s.Options) })
	switch {
	case errors.Is(s.err, ErrNotBuilt) && os.Getenv("CI") != "true":
		t.Skip(s.err)
	case s.err != nil:
		t.Fatal(s.err)
	}
	return s.cluster
}

// GoImage builds the Go program in a folder and makes it an image. A folder is
// built once for a cluster, however often this is called.
func (c *Cluster) GoImage(t testing.TB, image, dir string) {
	t.Helper()
	dir, err := filepath.Abs(dir)
	if err != nil {
		t.Fatal(err)
	}
	build := sync.OnceValues(func() (string, error) { return c.build(dir) })
	once, _ := c.images.LoadOrStore(dir, build)
	exe, err := once.(func() (string, error))()
	if err != nil {
		t.Fatal(err)
	}
	c.Kubelet.SetImage(image, exe)
}

// build builds the Go program in a folder. What it makes stays as long as the
// cluster: other tests use it too.
func (c *Cluster) build(dir string) (string, error) {
	into, err := os.MkdirTemp(c.dir, "image-")
	if err != nil {
		return "", err
	}
	exe := filepath.Join(into, filepath.Base(dir))
	cmd := exec.Command("go", "build", "-o", exe, ".")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", dir, err, out)
	}
	return exe, nil
}
