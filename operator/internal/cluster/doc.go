// Package cluster gives tests a Kubernetes cluster: the real etcd, API server,
// controller manager and kubectl, and a stand-in for the kubelet that runs pods as
// processes. It needs no container engine, no privileges and no network, but Linux
// where pods are to run. test/install-kube builds the control plane.
//
// # Use
//
// One cluster serves the tests of a package, and each test has a namespace:
//
//	var suite = cluster.Suite{Options: cluster.Options{
//		CRDs:        []string{"../../chart/crds"},
//		Controllers: true,
//		Kubelet:     &cluster.KubeletOptions{Proxy: true},
//	}}
//
//	func TestMain(m *testing.M) { os.Exit(suite.Main(m)) }
//
//	func TestDeployment(t *testing.T) {
//		c := suite.Start(t) // skips where nothing is built, but fails with CI=true
//		ns := c.Namespace(t)
//		c.GoImage(t, "example/server:1", "testdata/server")
//		c.Apply(t, ns, manifest)
//		endpoints, err := c.Network.AwaitEndpoints(t.Context(), ns, "server", 80, 2)
//		...
//		d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "server"}}
//		cluster.Await(t, c, d, "both replicas are available", func(d *appsv1.Deployment) bool {
//			return d.Status.AvailableReplicas == 2
//		})
//	}
//
// Await, AwaitList, AwaitGone, Network.AwaitEndpoints and Kubelet.AwaitFile watch:
// tests with them need no sleep and see a change when it happens. TryKubectl and
// Kubectl run kubectl, and kubectl logs works. As gives the access of a service
// account, to try roles with, and KubeConfigAs a file of it, which a manager that runs
// as a process needs: nothing is there where a client looks in a cluster. TestMain
// should call log.SetLogger of controller-runtime, or that complains after a while.
//
// # Pods as processes
//
// An image is a command of this machine: Options.Kubelet.Images, Kubelet.SetImage,
// or GoImage, which builds a Go program. A container's command takes its place as
// usual, except that a program with the base name of the image's program is the
// image's program; so command: ["/recloser"] works with an image that is
// /some/where/recloser.
//
// What a container sees:
//
//   - Addresses. Each pod has an address of its own, 127.0.K.N, in POD_IP and by the
//     downward API's status.podIP. It has to listen there: on other addresses it
//     would meet the other pods. In the API the same pod is at 10.127.K.N, as
//     Kubernetes accepts no loopback address for an endpoint; see Network.
//   - Services have no DNS. With Options.Kubelet.Proxy a container reaches them by
//     name through HTTP_PROXY; a test uses Network.Client, Network.DialContext (a
//     manager that runs in the test too, if it connects to pods) or Network.Endpoints.
//   - Files. ConfigMaps, Secrets, projected, downwardAPI and emptyDir volumes are
//     folders, refreshed at once, by the swap of a symlink, when their source
//     changes. As there is one file system, mount paths are replaced by these folders
//     wherever they stand in command, args, the values of env, workingDir, exec
//     probes, and in texts of ConfigMaps, but not in Secrets. Paths that are built
//     into a program stay what they are. A subPath is refreshed too.
//   - Environment. Values, $(NAME), fieldRef, resourceFieldRef, secretKeyRef,
//     configMapKeyRef and envFrom; besides only PATH, HOME, TMPDIR (the pod's folder),
//     HOSTNAME, POD_IP and Options.Kubelet.Env. The test's own environment is not
//     inherited.
//
// Statuses, restarts, probes (httpGet, tcpSocket, exec; startup, readiness,
// liveness), preStop hooks and grace periods are as with a real kubelet, except that
// periods and waits are shortened (KubeletOptions.Hurry), probes have ten seconds to
// answer, and their timeoutSeconds count only above that.
//
// Not there: init containers, readiness gates, security contexts, resource limits,
// node selectors and affinity, host ports, persistent volumes, network policies. A
// pod with an init container or another kind of volume waits for good, and its
// status says why; the other things are not looked at.
//
// # The end
//
// Suite.Main and Cluster.Stop kill everything at once. When the test itself is
// killed, or panics at its time limit, the control plane ends within a second, and
// on Linux so do the pods' first processes.
package cluster
