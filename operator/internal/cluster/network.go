package cluster

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	discoverylisters "k8s.io/client-go/listers/discovery/v1"
	"k8s.io/client-go/tools/cache"
)

// Network leads to pods and Services. It is the part of kube-proxy and of the
// cluster's DNS.
//
// Kubernetes takes no loopback address as an endpoint, and a test has no others to
// give. So a pod has an address 10.127.K.N in the API, and what it listens on is
// 127.0.K.N; Local makes the second of the first. Everything that connects to pods
// or Services has to come through here: by DialContext, or through the proxy at
// ProxyURL, which processes use that have it in HTTP_PROXY (Go's default transport
// and most other HTTP clients do).
type Network struct {
	services corelisters.ServiceLister
	slices   discoverylisters.EndpointSliceLister
	informed *informed
	turn     atomic.Uint32

	listener net.Listener
	server   *http.Server
	cancel   context.CancelFunc
}

// podNet is what pods' addresses in the API begin with.
const podNet = "10.127."

// Local is where a pod with this address listens. Other addresses are returned as
// they are.
func Local(podIP string) string {
	if rest, ok := strings.CutPrefix(podIP, podNet); ok {
		return "127.0." + rest
	}
	return podIP
}

// Endpoint is a port of a ready pod of a Service.
type Endpoint struct {
	Pod   string // its name
	PodIP string // its address in the API
	Port  int32
}

// Addr is where the endpoint really listens.
func (e Endpoint) Addr() string { return net.JoinHostPort(Local(e.PodIP), strconv.Itoa(int(e.Port))) }

func startNetwork(clientset kubernetes.Interface) (*Network, error) {
	ctx, cancel := context.WithCancel(context.Background())
	factory := informers.NewSharedInformerFactory(clientset, 0)
	n := &Network{
		services: factory.Core().V1().Services().Lister(),
		slices:   factory.Discovery().V1().EndpointSlices().Lister(),
		informed: newInformed(),
		cancel:   cancel,
	}
	for _, informer := range []cache.SharedIndexInformer{
		factory.Core().V1().Services().Informer(),
		factory.Discovery().V1().EndpointSlices().Informer(),
	} {
		if _, err := informer.AddEventHandler(n.informed.handler()); err != nil {
			cancel()
			return nil, err
		}
	}
	factory.Start(ctx.Done())
	if err := synced(ctx, factory); err != nil {
		cancel()
		return nil, err
	}
	if err := n.startProxy(); err != nil {
		cancel()
		return nil, err
	}
	return n, nil
}

// synced waits until what a factory's informers know is complete.
func synced(ctx context.Context, factory informers.SharedInformerFactory) error {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	for kind, ok := range factory.WaitForCacheSync(ctx.Done()) {
		if !ok {
			return fmt.Errorf("the API server did not list %s", kind)
		}
	}
	return nil
}

func (n *Network) stop() error {
	n.cancel()
	return n.server.Close()
}

// Endpoints returns the ready endpoints of a Service's port, by the Service's
// EndpointSlices. Port is that of the Service.
func (n *Network) Endpoints(ns, service string, port int32) ([]Endpoint, error) {
	svc, err := n.services.Services(ns).Get(service)
	if err != nil {
		return nil, err
	}
	for _, p := range svc.Spec.Ports {
		if p.Port == port {
			return n.ready(svc, p.Name)
		}
	}
	return nil, fmt.Errorf("service %s/%s has no port %d", ns, service, port)
}

// ready returns the ready endpoints for the named port.
func (n *Network) ready(svc *corev1.Service, portName string) ([]Endpoint, error) {
	slices, err := n.slices.EndpointSlices(svc.Namespace).List(labels.SelectorFromSet(labels.Set{discoveryv1.LabelServiceName: svc.Name}))
	if err != nil {
		return nil, err
	}
	var found []Endpoint
	for _, slice := range slices {
		for _, port := range slice.Ports {
			if port.Port == nil || (port.Name != nil && *port.Name != portName) {
				continue
			}
			for _, e := range slice.Endpoints {
				if e.Conditions.Ready != nil && !*e.Conditions.Ready {
					continue
				}
				pod := ""
				if e.TargetRef != nil {
					pod = e.TargetRef.Name
				}
				for _, ip := range e.Addresses {
					found = append(found, Endpoint{Pod: pod, PodIP: ip, Port: *port.Port})
				}
			}
		}
	}
	return found, nil
}

// AwaitEndpoints waits until a Service's port has as many ready endpoints as
// wanted, and returns them.
func (n *Network) AwaitEndpoints(ctx context.Context, ns, service string, port int32, want int) ([]Endpoint, error) {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	for {
		changed := n.informed.change()
		found, err := n.Endpoints(ns, service, port)
		if err == nil && len(found) == want {
			return found, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for %d endpoints of %s/%s:%d: %w: there are %d (%v)", want, ns, service, port, ctx.Err(), len(found), err)
		}
	}
}

// Resolve returns a real address for one in the cluster: of a pod, or of a Service
// by its address or its name (NAME.NS, NAME.NS.svc, NAME.NS.svc.cluster.local). A
// Service's ready pods take turns. As in a cluster, an unknown name is a
// *net.DNSError, and a Service without ready pods refuses connections.
func (n *Network) Resolve(address string) (string, error) {
	host, number, err := net.SplitHostPort(address)
	if err != nil {
		return "", err
	}
	if local := Local(host); local != host {
		return net.JoinHostPort(local, number), nil
	}
	port, err := strconv.ParseUint(number, 10, 16)
	if err != nil {
		return "", err
	}
	svc := n.service(host)
	if svc == nil {
		if ip, err := netip.ParseAddr(host); err == nil {
			if ip.IsLoopback() {
				return address, nil
			}
			return "", fmt.Errorf("%s is no address of the cluster", host)
		}
		return "", &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	var found []Endpoint
	switch {
	case svc.Spec.ClusterIP != corev1.ClusterIPNone:
		found, err = n.Endpoints(svc.Namespace, svc.Name, int32(port))
	case len(svc.Spec.Ports) > 0:
		// Its name stands for the pods, and the port is theirs.
		found, err = n.ready(svc, svc.Spec.Ports[0].Name)
		for i := range found {
			found[i].Port = int32(port)
		}
	}
	if err != nil || len(found) == 0 {
		return "", &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
	return found[int(n.turn.Add(1))%len(found)].Addr(), nil
}

// service finds a Service by its address or name, nil when there is none.
func (n *Network) service(host string) *corev1.Service {
	if _, err := netip.ParseAddr(host); err == nil {
		all, _ := n.services.List(labels.Everything())
		for _, svc := range all {
			if svc.Spec.ClusterIP == host {
				return svc
			}
		}
		return nil
	}
	host = strings.TrimSuffix(strings.TrimSuffix(host, "."), ".cluster.local")
	name, ns, ok := strings.Cut(strings.TrimSuffix(host, ".svc"), ".")
	if !ok || strings.Contains(ns, ".") {
		return nil
	}
	svc, err := n.services.Services(ns).Get(name)
	if err != nil {
		return nil
	}
	return svc
}

// DialContext connects to an address in the cluster; for an http.Transport.
func (n *Network) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	real, err := n.Resolve(address)
	if err != nil {
		return nil, err
	}
	var d net.Dialer
	return d.DialContext(ctx, network, real)
}

// Client returns an HTTP client that reaches pods and Services. It follows no
// redirects.
func (n *Network) Client() *http.Client {
	return &http.Client{
		Transport:     &http.Transport{DialContext: n.DialContext, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
