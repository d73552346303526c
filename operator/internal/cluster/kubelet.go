package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
)

// NodeName is the name of the only node.
const NodeName = "stand-in"

// KubeletOptions say how the stand-in kubelet runs pods.
type KubeletOptions struct {
	// Images are the programs that containers run: an image's name as pods have
	// it, and the command that is its entrypoint. SetImage and GoImage add to it. A
	// pod with another image waits with the reason ImagePullBackOff.
	Images map[string][]string
	// Env is given to every container; its own env comes later and wins.
	Env map[string]string
	// Proxy gives containers HTTP_PROXY and its relatives, so that they reach
	// Services by name; see Network.
	Proxy bool
	// Hurry divides the periods and delays of probes, and the waits between the
	// restarts of a container. 0 means 10. Grace periods are not shortened.
	Hurry int
}

// Kubelet runs the pods of a cluster as processes of this machine. The package's
// documentation says what is different from a real one.
type Kubelet struct {
	clientset kubernetes.Interface
	network   *Network
	dir       string
	options   KubeletOptions

	configMaps corelisters.ConfigMapLister
	secrets    corelisters.SecretLister
	informed   *informed // of ConfigMaps, Secrets and images

	subnet  string // what addresses of pods begin with, here
	claim   net.Listener
	logs    *http.Server
	starter *starter
	// complaints are what the API server would not do for us. They lie beside the
	// logs of containers.
	complaints *log.Logger
	complained io.Closer

	ctx    context.Context // its end is that of all pods
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu     sync.Mutex
	images map[string][]string
	pods   map[types.UID]*pod
	taken  map[int]bool // last numbers of addresses
	last   int

	stopped bool
}

func startKubelet(clientset kubernetes.Interface, network *Network, dir string, o KubeletOptions) (*Kubelet, error) {
	if o.Hurry == 0 {
		o.Hurry = 10
	}
	k := &Kubelet{
		clientset: clientset,
		network:   network,
		dir:       dir,
		options:   o,
		informed:  newInformed(),
		starter:   newStarter(),
		images:    maps.Clone(o.Images),
		pods:      make(map[types.UID]*pod),
		taken:     make(map[int]bool),
	}
	if k.images == nil {
		k.images = make(map[string][]string)
	}
	k.ctx, k.cancel = context.WithCancel(context.Background())
	if err := k.start(); err != nil {
		return nil, errors.Join(err, k.stop())
	}
	return k, nil
}

func (k *Kubelet) start() error {
	if err := os.MkdirAll(k.logDir(), 0o700); err != nil {
		return err
	}
	file, err := os.Create(k.complaintsFile())
	if err != nil {
		return err
	}
	k.complained = file
	k.complaints = log.New(file, "", log.Ltime)
	if err := k.claimSubnet(); err != nil {
		return err
	}
	k.serveLogs()
	if err := k.register(); err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactory(k.clientset, 0)
	k.configMaps = factory.Core().V1().ConfigMaps().Lister()
	k.secrets = factory.Core().V1().Secrets().Lister()
	for _, informer := range []cache.SharedIndexInformer{
		factory.Core().V1().ConfigMaps().Informer(), factory.Core().V1().Secrets().Informer(),
	} {
		if _, err := informer.AddEventHandler(k.informed.handler()); err != nil {
			return err
		}
	}
	_, err = factory.Core().V1().Pods().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { k.observe(obj.(*corev1.Pod)) },
		UpdateFunc: func(_, obj any) { k.observe(obj.(*corev1.Pod)) },
		DeleteFunc: func(obj any) {
			if last, ok := obj.(cache.DeletedFinalStateUnknown); ok {
				obj = last.Obj
			}
			if gone, ok := obj.(*corev1.Pod); ok {
				k.forget(gone.UID)
			}
		},
	})
	if err != nil {
		return err
	}
	factory.Start(k.ctx.Done())
	return synced(k.ctx, factory)
}

// claimPort is where the kubelet listens. Whoever has it on an address has that
// subnet: packages' tests run side by side.
const claimPort = "41250"

// claimSubnet finds a range of loopback addresses that nobody uses.
func (k *Kubelet) claimSubnet() error {
	var err error
	for i := 1; i < 255; i++ {
		subnet := fmt.Sprintf("%s%d.", podNet, i)
		if k.claim, err = net.Listen("tcp", net.JoinHostPort(Local(subnet+"254"), claimPort)); err == nil {
			k.subnet = subnet
			return nil
		}
	}
	return fmt.Errorf("no loopback addresses for pods: %w (only Linux has more than one)", err)
}

// register makes the node.
func (k *Kubelet) register() error {
	port := k.claim.Addr().(*net.TCPAddr).Port
	capacity := corev1.ResourceList{
		corev1.ResourceCPU:    resource.MustParse("64"),
		corev1.ResourceMemory: resource.MustParse("256Gi"),
		corev1.ResourcePods:   resource.MustParse("250"),
	}
	now := metav1.Now()
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: NodeName, Labels: map[string]string{corev1.LabelHostname: NodeName}}}
	made, err := k.clientset.CoreV1().Nodes().Create(k.ctx, node, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("register the node: %w", err)
	}
	made.Status = corev1.NodeStatus{
		Capacity:    capacity,
		Allocatable: capacity,
		Conditions: []corev1.NodeCondition{{
			Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady", LastHeartbeatTime: now, LastTransitionTime: now,
		}},
		Addresses:       []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: Local(k.subnet + "254")}},
		DaemonEndpoints: corev1.NodeDaemonEndpoints{KubeletEndpoint: corev1.DaemonEndpoint{Port: int32(port)}},
	}
	if _, err := k.clientset.CoreV1().Nodes().UpdateStatus(k.ctx, made, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("register the node: %w", err)
	}
	return nil
}

// stop kills all processes at once. The API does not hear of it.
func (k *Kubelet) stop() error {
	k.mu.Lock()
	k.stopped = true
	k.mu.Unlock()
	k.cancel()
	k.wg.Wait()
	k.starter.stop()
	var err error
	if k.logs != nil {
		err = k.logs.Close()
	}
	if k.claim != nil {
		k.claim.Close()
	}
	if k.complained != nil {
		k.complained.Close()
	}
	return err
}

// SetImage says which command an image is. Pods that wait for it go on.
func (k *Kubelet) SetImage(image string, entrypoint ...string) {
	k.mu.Lock()
	k.images[image] = slices.Clone(entrypoint)
	k.mu.Unlock()
	k.informed.tell()
}

func (k *Kubelet) entrypoint(image string) ([]string, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	argv, ok := k.images[image]
	return argv, ok
}

// observe hears of a new or changed pod. It must not wait for anything.
func (k *Kubelet) observe(seen *corev1.Pod) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.stopped {
		return
	}
	if seen.Spec.NodeName == "" {
		if seen.DeletionTimestamp == nil && len(seen.Spec.SchedulingGates) == 0 {
			k.wg.Go(func() { k.bind(seen) })
		}
		return
	}
	if seen.Spec.NodeName != NodeName {
		return
	}
	p := k.pods[seen.UID]
	if p == nil {
		p = newPod(k, seen)
		k.pods[seen.UID] = p
		p.number, p.ip = k.address()
		k.wg.Go(p.run)
	}
	p.update(seen)
}

// bind is the scheduler's part: every pod gets our node.
func (k *Kubelet) bind(seen *corev1.Pod) {
	binding := &corev1.Binding{
		ObjectMeta: metav1.ObjectMeta{Namespace: seen.Namespace, Name: seen.Name, UID: seen.UID},
		Target:     corev1.ObjectReference{Kind: "Node", Name: NodeName},
	}
	k.insist(func(ctx context.Context) error {
		return k.clientset.CoreV1().Pods(seen.Namespace).Bind(ctx, binding, metav1.CreateOptions{})
	})
}

// insist asks the API server again until it does what is asked, or says that this
// makes no sense any more, or the kubelet ends.
func (k *Kubelet) insist(ask func(context.Context) error) {
	for wait := 50 * time.Millisecond; k.ctx.Err() == nil; wait = min(2*wait, 2*time.Second) {
		err := ask(k.ctx)
		switch {
		case err == nil, apierrors.IsNotFound(err), apierrors.IsConflict(err):
			return
		case apierrors.IsInvalid(err), apierrors.IsForbidden(err), apierrors.IsBadRequest(err):
			k.complaints.Print(err)
			return
		}
		pause(k.ctx, wait)
	}
}

// pause waits for a while, or for the end of the context.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// forget hears that a pod is not in the API any more. Only now may it be dropped:
// before, a late event would have started it again.
func (k *Kubelet) forget(uid types.UID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if p := k.pods[uid]; p != nil {
		delete(k.pods, uid)
		p.kill()
	}
}

// address takes an address for a pod. The one that was given back last is the last
// to be given again. k.mu is held.
func (k *Kubelet) address() (int, string) {
	for {
		k.last = k.last%253 + 1
		if !k.taken[k.last] || len(k.taken) >= 253 {
			k.taken[k.last] = true
			return k.last, fmt.Sprintf("%s%d", k.subnet, k.last)
		}
	}
}

func (k *Kubelet) giveBack(number int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.taken, number)
}

// find returns a running pod by its name.
func (k *Kubelet) find(ns, name string) *pod {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, p := range k.pods {
		if seen := p.seen(); seen.Namespace == ns && seen.Name == name {
			return p
		}
	}
	return nil
}

func (k *Kubelet) complaintsFile() string { return filepath.Join(k.logDir(), "complaints.log") }

func (k *Kubelet) logDir() string { return filepath.Join(k.dir, "logs") }
