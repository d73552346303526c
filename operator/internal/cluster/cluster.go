package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	clientscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// Patience is how long anything here waits for something that is to happen. It is
// no measure of anything: it ends a test that would wait forever, on a machine
// that has other things to do.
const Patience = 3 * time.Minute

// Options say what a cluster consists of. The zero value is an API server alone.
type Options struct {
	// CRDs are files, or folders of files, with custom resource definitions.
	CRDs []string
	// Scheme is what Client knows, that of client-go by default.
	Scheme *runtime.Scheme
	// Controllers starts kube-controller-manager with the controllers for
	// Deployments, ReplicaSets, StatefulSets, Jobs, EndpointSlices,
	// PodDisruptionBudgets, namespaces, service accounts and garbage.
	Controllers bool
	// Kubelet starts the stand-in kubelet, which runs pods as processes, and the
	// network between them. Without Controllers only pods that a test makes itself
	// run.
	Kubelet *KubeletOptions
}

// Cluster is a running control plane.
type Cluster struct {
	// Config is an administrator's access. As makes that of others.
	Config *rest.Config
	// KubeConfig is a file with the same access.
	KubeConfig string
	// Client reads from the API server, not from a cache.
	Client client.WithWatch
	// Clientset is the same for the kinds of Kubernetes itself.
	Clientset kubernetes.Interface
	// Kubelet and Network are nil when Options have no Kubelet.
	Kubelet *Kubelet
	Network *Network

	assets string
	dir    string
	stops  []func() error // run last to first
	images sync.Map       // folder of a program: func() (string, error)
}

// controllers are those of kube-controller-manager that are started.
const controllers = "deployment-controller,replicaset-controller,statefulset-controller,job-controller," +
	"garbage-collector-controller,namespace-controller,serviceaccount-controller,root-ca-certificate-publisher-controller," +
	"endpointslice-controller,disruption-controller"

// Start starts a cluster. Stop it, also when tests fail; Suite does that for the
// tests of a package. The error is ErrNotBuilt when there is no control plane on
// this machine.
func Start(o Options) (*Cluster, error) {
	assets, err := findAssets()
	if err != nil {
		return nil, err
	}
	c := &Cluster{assets: assets}
	if err := c.start(o); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	return c, nil
}

func (c *Cluster) start(o Options) (err error) {
	if c.dir, err = os.MkdirTemp("", "cluster-"); err != nil {
		return err
	}
	c.stops = append(c.stops, func() error { return os.RemoveAll(c.dir) })
	// What is started here follows this process when that is killed.
	if err := os.Setenv("KUBETOOLS_FOLLOW_PARENT", "1"); err != nil {
		return err
	}
	if o.Scheme == nil {
		o.Scheme = clientscheme.Scheme
	}
	if err := c.startControlPlane(o); err != nil {
		return err
	}
	if c.Client, err = client.NewWithWatch(c.Config, client.Options{Scheme: o.Scheme}); err != nil {
		return err
	}
	if c.Clientset, err = kubernetes.NewForConfig(c.Config); err != nil {
		return err
	}
	if o.Controllers {
		if err := c.startControllers(); err != nil {
			return err
		}
	}
	if o.Kubelet == nil {
		return nil
	}
	if c.Network, err = startNetwork(c.Clientset); err != nil {
		return err
	}
	c.stops = append(c.stops, c.Network.stop)
	c.Kubelet, err = startKubelet(c.Clientset, c.Network, filepath.Join(c.dir, "kubelet"), *o.Kubelet)
	if err != nil {
		return err
	}
	c.stops = append(c.stops, c.Kubelet.stop)
	return nil
}

// startControlPlane starts etcd and kube-apiserver.
func (c *Cluster) startControlPlane(o Options) error {
	no := false
	env := &envtest.Environment{
		UseExistingCluster:       &no,
		Scheme:                   o.Scheme,
		CRDDirectoryPaths:        o.CRDs,
		ErrorIfCRDPathMissing:    true,
		ControlPlaneStartTimeout: Patience,
		ControlPlaneStopTimeout:  time.Minute,
	}
	server := env.ControlPlane.GetAPIServer()
	server.Path = filepath.Join(c.assets, "kube-apiserver")
	env.ControlPlane.Etcd = &envtest.Etcd{Path: filepath.Join(c.assets, "etcd")}
	env.ControlPlane.KubectlPath = filepath.Join(c.assets, "kubectl")
	var said bytes.Buffer
	server.Err = &said
	var err error
	c.stops = append(c.stops, env.Stop)
	if c.Config, err = env.Start(); err != nil {
		return fmt.Errorf("start the control plane: %w\n%s", err, tail(said.Bytes()))
	}
	c.KubeConfig = filepath.Join(c.dir, "kubeconfig")
	return os.WriteFile(c.KubeConfig, env.KubeConfig, 0o600)
}

// startControllers starts kube-controller-manager. It has no address to ask
// whether it is ready; what it does comes when it comes.
func (c *Cluster) startControllers() error {
	log, err := os.Create(filepath.Join(c.dir, "kube-controller-manager.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(filepath.Join(c.assets, "kube-controller-manager"),
		"--kubeconfig="+c.KubeConfig,
		"--controllers="+controllers,
		"--secure-port=0",
		"--leader-elect=false",
		"--use-service-account-credentials=false",
		"--kube-api-qps=200", "--kube-api-burst=400",
	)
	cmd.Stdout, cmd.Stderr = log, log
	ownGroup(cmd)
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start kube-controller-manager: %w", err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // the log says why
		close(ended)
	}()
	c.stops = append(c.stops, func() error {
		select {
		case <-ended:
			said, _ := os.ReadFile(log.Name())
			return fmt.Errorf("kube-controller-manager ended by itself:\n%s", tail(said))
		default:
		}
		signalGroup(cmd.Process.Pid, syscall.SIGKILL) // it has nothing to lose
		<-ended
		return nil
	})
	return nil
}

// Stop ends everything that was started, the pods first.
func (c *Cluster) Stop() error {
	var errs []error
	for i := len(c.stops) - 1; i >= 0; i-- {
		errs = append(errs, c.stops[i]())
	}
	c.stops = nil
	return errors.Join(errs...)
}

// As returns the access of another user or service account, to see what its roles
// allow. A service account "a" of namespace "n" is "system:serviceaccount:n:a" with
// the groups "system:serviceaccounts" and "system:authenticated".
func (c *Cluster) As(user string, groups ...string) *rest.Config {
	config := rest.CopyConfig(c.Config)
	config.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: groups}
	return config
}

// KubeConfigAs writes a file with the access that As gives, for a program that a
// test starts: a manager with the rights of its service account, for instance.
func (c *Cluster) KubeConfigAs(user string, groups ...string) (string, error) {
	config, err := clientcmd.LoadFromFile(c.KubeConfig)
	if err != nil {
		return "", err
	}
	for _, info := range config.AuthInfos {
		info.Impersonate, info.ImpersonateGroups = user, groups
	}
	file, err := os.CreateTemp(c.dir, "kubeconfig-")
	if err != nil {
		return "", err
	}
	defer file.Close()
	return file.Name(), clientcmd.WriteToFile(*config, file.Name())
}

// tail is the end of what a program said.
func tail(text []byte) []byte {
	const most = 4 << 10
	if len(text) > most {
		return text[len(text)-most:]
	}
	return text
}
