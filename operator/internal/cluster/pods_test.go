package cluster_test

import (
	"errors"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	authv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/recloser-mcp/recloser/operator/internal/cluster"
)

func TestAContainerSeesWhatItsPodSays(t *testing.T) {
	c, ns := start(t)
	ref := corev1.LocalObjectReference{Name: "x"}
	yes := true
	create(t, c,
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "x"}, StringData: map[string]string{"s": "secret /etc/m", "t": "2"}},
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "x"}, Data: map[string]string{"m": "map", "names": "see /etc/m/s"}},
	)
	p := awaitReady(t, c, newPod(ns, env("PLAIN", "x"), env("MADE", "$(PLAIN)-$(NOT)"), env("GIVEN_PATH", "/etc/m/s"), func(p *corev1.Pod) {
		p.Spec.ServiceAccountName = "default"
		spec := &p.Spec.Containers[0]
		from := func(name string, source corev1.EnvVarSource) {
			spec.Env = append(spec.Env, corev1.EnvVar{Name: name, ValueFrom: &source})
		}
		from("S", corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: ref, Key: "s"}})
		from("M", corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: ref, Key: "m"}})
		from("NONE", corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: ref, Key: "none", Optional: &yes}})
		from("NAME", corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}})
		from("NS", corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.namespace"}})
		from("LABEL", corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.labels['app']"}})
		from("IP", corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "status.podIP"}})
		spec.EnvFrom = []corev1.EnvFromSource{{Prefix: "ALL_", SecretRef: &corev1.SecretEnvSource{LocalObjectReference: ref}}}
		spec.Command = []string{"/bin/pod"} // stands for the image's program
		spec.Args = []string{"--config=/etc/m/s", "/etc/m/s", "/etc/c/names", "/scratch", "/etc/p/deep/token", "$(PLAIN)", "/etc/other", "/etc/p/account"}
		spec.VolumeMounts = []corev1.VolumeMount{
			{Name: "m", MountPath: "/etc/m"}, {Name: "c", MountPath: "/etc/c"}, {Name: "scratch", MountPath: "/scratch"}, {Name: "p", MountPath: "/etc/p"},
		}
		p.Spec.Volumes = []corev1.Volume{
			{Name: "m", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "x"}}},
			{Name: "c", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: ref}}},
			{Name: "scratch", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
			{Name: "p", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
				{Secret: &corev1.SecretProjection{LocalObjectReference: ref, Items: []corev1.KeyToPath{{Key: "t", Path: "deep/token"}}}},
				{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "none"}, Optional: &yes}},
				{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "account"}},
				{DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{{Path: "labels", FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.labels"}}}}},
			}}}},
		}
	}))
	dir := func(volume string) string {
		dir, err := c.Kubelet.VolumeDir(ns, "p", volume)
		if err != nil {
			t.Fatal(err)
		}
		return dir
	}
	listens := cluster.Local(p.Status.PodIP)
	for name, want := range map[string]string{
		"PLAIN": "x", "MADE": "x-$(NOT)", "GIVEN": "to all", "GIVEN_PATH": dir("m") + "/s", "S": "secret " + dir("m"), "M": "map", "NONE": "",
		"NAME": "p", "NS": ns, "LABEL": "p", "IP": listens, "POD_IP": listens, "ALL_t": "2", "HOSTNAME": "p",
		"PATH": os.Getenv("PATH"), "GOCACHE": "", "HTTP_PROXY": c.Network.ProxyURL().String(),
	} {
		if got := get(t, c, p, "/env/"+name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	wantArgs := strings.Join([]string{"--config=" + dir("m") + "/s", dir("m") + "/s", dir("c") + "/names", dir("scratch"), dir("p") + "/deep/token", "x", "/etc/other", dir("p") + "/account"}, " ")
	if got := get(t, c, p, "/args"); got != wantArgs {
		t.Errorf("arguments %q\nwant      %q", got, wantArgs)
	}
	for arg, want := range map[int]string{
		2: "secret /etc/m",          // a Secret is as it was given
		3: "see " + dir("m") + "/s", // a configuration names files that are there
		5: "2",
	} {
		if got := get(t, c, p, "/file/"+strconv.Itoa(arg)); got != want {
			t.Errorf("the file of argument %d has %q, want %q", arg, got, want)
		}
	}
	account := rest.AnonymousClientConfig(c.Config)
	account.BearerToken = get(t, c, p, "/file/8")
	clientset, err := kubernetes.NewForConfig(account)
	if err != nil {
		t.Fatal(err)
	}
	who, err := clientset.AuthenticationV1().SelfSubjectReviews().Create(t.Context(), &authv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil || who.Status.UserInfo.Username != "system:serviceaccount:"+ns+":default" {
		t.Errorf("the token is that of %q, %v", who.Status.UserInfo.Username, err)
	}
	if said := c.Kubectl(t, "logs", "-n", ns, "p"); !strings.Contains(said, "started with --config=") {
		t.Errorf("kubectl logs says %q", said)
	}
	if said := c.Kubelet.Log(t, ns, "p", "c"); !strings.Contains(said, "started with --config=") {
		t.Errorf("the log has %q", said)
	}
}

func TestAChangedSecretReachesARunningPod(t *testing.T) {
	c, ns := start(t)
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "x"}, StringData: map[string]string{"token": "first"}}
	create(t, c, secret)
	p := awaitReady(t, c, newPod(ns, func(p *corev1.Pod) {
		p.Spec.Containers[0].Args = []string{"/etc/x/token"}
		p.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "x", MountPath: "/etc/x"}}
		p.Spec.Volumes = []corev1.Volume{{Name: "x", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "x"}}}}
	}))
	if got := get(t, c, p, "/file/1"); got != "first" {
		t.Errorf("the file has %q", got)
	}
	secret.StringData = map[string]string{"token": "second"}
	if err := c.Client.Update(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	c.Kubelet.AwaitFile(t, ns, "p", "x", "token", []byte("second"))
	if got := get(t, c, p, "/file/1"); got != "second" {
		t.Errorf("the file has %q", got)
	}
	after := cluster.Await(t, c, p, "it is there", func(*corev1.Pod) bool { return true })
	if n := only(after).RestartCount; n != 0 {
		t.Errorf("the container was restarted %d times", n)
	}
}

func TestACrashedContainerIsRestarted(t *testing.T) {
	c, ns := start(t)
	p := awaitReady(t, c, newPod(ns, env("CHILD", "yes")))
	first, child := only(p).ContainerID, childOf(t, c, p)
	post := func() {
		// The connection ends with the process, so there may be no answer.
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+at(p)+"/exit/3", nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp, err := c.Network.Client().Do(req); err == nil {
			resp.Body.Close()
		}
	}
	post()
	cluster.Await(t, c, p, "it runs again and is ready", func(p *corev1.Pod) bool {
		s := only(p)
		return isReady(p) && s.RestartCount == 1 && s.ContainerID != first
	})
	if running(child) {
		t.Error("what its first process had started is alive")
	}
	last := only(p).LastTerminationState.Terminated
	if last == nil || last.ExitCode != 3 || last.Reason != "Error" {
		t.Errorf("the container ended before with %+v", last)
	}
	post()
	cluster.Await(t, c, p, "it runs for the third time", func(p *corev1.Pod) bool { return isReady(p) && only(p).RestartCount == 2 })
	if n := strings.Count(c.Kubelet.Log(t, ns, "p", "c"), "started with"); n != 3 {
		t.Errorf("the program was started %d times, want 3", n)
	}
}

func TestAContainerThatEndsAtOnceIsRestartedEverMoreSlowly(t *testing.T) {
	c, ns := start(t)
	p := newPod(ns, env("EXIT", "5"))
	create(t, c, p)
	cluster.Await(t, c, p, "it waits for its next run", waitsFor("CrashLoopBackOff", "restarts in"))
	last := only(p).LastTerminationState.Terminated
	if last == nil || last.ExitCode != 5 || p.Status.Phase != corev1.PodRunning || isReady(p) {
		t.Errorf("phase %s, the container ended before with %+v", p.Status.Phase, last)
	}
	cluster.Await(t, c, p, "it waits longer", waitsFor("CrashLoopBackOff", "restarts in 4s"))
	if n := only(p).RestartCount; n != 3 {
		t.Errorf("it was restarted %d times before, want 3: after 0, 1 and 2 s", n)
	}
}

func TestAContainerThatIsNotAliveIsRestarted(t *testing.T) {
	c, ns := start(t)
	p := awaitReady(t, c, newPod(ns, func(p *corev1.Pod) {
		p.Spec.Containers[0].LivenessProbe = &corev1.Probe{
			ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/live", Port: intstr.FromInt32(8080)}},
			PeriodSeconds: 1, FailureThreshold: 2,
		}
		p.Spec.Containers[0].StartupProbe = &corev1.Probe{
			ProbeHandler:  corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(8080)}},
			PeriodSeconds: 1, FailureThreshold: 1000,
		}
	}))
	post(t, c, p, "/live/500")
	cluster.Await(t, c, p, "it runs again and is ready", func(p *corev1.Pod) bool { return isReady(p) && only(p).RestartCount == 1 })
	last := only(p).LastTerminationState.Terminated
	if last == nil || last.ExitCode != 0 || !strings.Contains(last.Message, "liveness probe: GET /live answered 500") {
		t.Errorf("the container ended before with %+v", last)
	}
	if said := c.Kubelet.Log(t, ns, "p", "c"); !strings.Contains(said, "was asked to end") {
		t.Errorf("the program was not asked to end: %s", said)
	}
}

func TestAPodThatIsNotRestartedEnds(t *testing.T) {
	c, ns := start(t)
	for code, want := range map[string]corev1.PodPhase{"0": corev1.PodSucceeded, "4": corev1.PodFailed} {
		p := newPod(ns, env("EXIT", code), func(p *corev1.Pod) {
			p.Name += code
			p.Spec.RestartPolicy = corev1.RestartPolicyNever
		})
		create(t, c, p)
		cluster.Await(t, c, p, "it has ended", func(p *corev1.Pod) bool { return p.Status.Phase == want })
		state := only(p).State.Terminated
		if state == nil || strconv.Itoa(int(state.ExitCode)) != code || isReady(p) {
			t.Errorf("its container is in state %+v", only(p).State)
		}
	}
}

func TestAPodWaitsForWhatItNeeds(t *testing.T) {
	c, ns := start(t)
	p := newPod(ns, func(p *corev1.Pod) {
		p.Spec.Containers[0].Image = "example/" + ns
		p.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "S", ValueFrom: &corev1.EnvVarSource{
			SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "env"}, Key: "s"},
		}}}
		p.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "x", MountPath: "/etc/x"}}
		p.Spec.Volumes = []corev1.Volume{{Name: "x", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "volume"}}}}
	})
	create(t, c, p)
	cluster.Await(t, c, p, "it waits for its volume", waitsFor("ContainerCreating", `"volume" not found`))
	if p.Status.Phase != corev1.PodPending || isReady(p) || p.Spec.NodeName != cluster.NodeName {
		t.Errorf("phase %s, conditions %v, node %q", p.Status.Phase, p.Status.Conditions, p.Spec.NodeName)
	}
	create(t, c, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "volume"}})
	cluster.Await(t, c, p, "it waits for its image", waitsFor("ImagePullBackOff", "example/"+ns))
	c.GoImage(t, "example/"+ns, "testdata/pod")
	cluster.Await(t, c, p, "it waits for its environment", waitsFor("CreateContainerConfigError", `env S: secret "env" not found`))
	create(t, c, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "env"}, StringData: map[string]string{"s": "x"}})
	cluster.Await(t, c, p, "it is ready", isReady)
	if n := only(p).RestartCount; n != 0 || p.Status.Phase != corev1.PodRunning {
		t.Errorf("phase %s after %d restarts", p.Status.Phase, n)
	}
}

// alive is true while a process exists.
func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

// pidOf returns the number of a pod's process.
func pidOf(t *testing.T, p *corev1.Pod) int {
	t.Helper()
	number, ok := strings.CutPrefix(only(p).ContainerID, "process://")
	pid, err := strconv.Atoi(number)
	if !ok || err != nil || !alive(pid) {
		t.Fatalf("the container %q does not run", only(p).ContainerID)
	}
	return pid
}

// childOf returns the number of the process that a pod's first one has started.
func childOf(t *testing.T, c *cluster.Cluster, p *corev1.Pod) int {
	t.Helper()
	_, child, _ := strings.Cut(c.Kubelet.Log(t, p.Namespace, p.Name, "c"), "child ")
	child, _, _ = strings.Cut(child, "\n")
	pid, err := strconv.Atoi(child)
	if err != nil || !running(pid) {
		t.Fatalf("the child %q does not run", child)
	}
	return pid
}

func TestADeletedPodIsAskedToEndAndThenKilled(t *testing.T) {
	c, ns := start(t)
	for name, test := range map[string]struct {
		stubborn string
		grace    int64
	}{"polite": {"", 600}, "stubborn": {"yes", 1}} {
		t.Run(name, func(t *testing.T) {
			p := newPod(ns, env("STUBBORN", test.stubborn), env("CHILD", "yes"), func(p *corev1.Pod) {
				p.Name = name
				p.Spec.TerminationGracePeriodSeconds = &test.grace
			})
			awaitReady(t, c, p)
			pid, child := pidOf(t, p), childOf(t, c, p)
			if err := c.Client.Delete(t.Context(), p); err != nil {
				t.Fatal(err)
			}
			cluster.AwaitGone(t, c, p)
			if alive(pid) {
				t.Error("its process is alive")
			}
			said := c.Kubelet.Log(t, ns, name, "c")
			if n := strings.Count(said, "was asked to end"); n != 1 {
				t.Errorf("it was asked to end %d times: %s", n, said)
			}
			if running(child) {
				t.Error("what its process started is alive")
			}
		})
	}
}

// running is true while a process exists and has not ended: whose parent is dead
// may be a zombie for a moment.
func running(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	_, state, ok := strings.Cut(string(stat), ") ")
	return err == nil && ok && !strings.HasPrefix(state, "Z")
}

// connect opens a connection to a pod that its program leaves open, so that its end
// is that of the process.
func connect(t *testing.T, c *cluster.Cluster, p *corev1.Pod) net.Conn {
	t.Helper()
	conn, err := c.Network.DialContext(t.Context(), "tcp", at(p))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func awaitEnd(t *testing.T, conn net.Conn) {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(cluster.Patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("the process has not ended: %v", err)
	}
}

// A pod that is removed at once leaves no process either, though nobody waits for
// it.
func TestAForcedDeletionKills(t *testing.T) {
	c, ns := start(t)
	p := awaitReady(t, c, newPod(ns, env("STUBBORN", "yes")))
	pid := pidOf(t, p)
	conn := connect(t, c, p)
	zero := int64(0)
	if err := c.Client.Delete(t.Context(), p, &client.DeleteOptions{GracePeriodSeconds: &zero}); err != nil {
		t.Fatal(err)
	}
	cluster.AwaitGone(t, c, p)
	awaitEnd(t, conn)
	// The same name and another pod: it must not be taken for the one before.
	again := newPod(ns)
	awaitReady(t, c, again)
	if got := pidOf(t, again); got == pid || again.Status.PodIP == p.Status.PodIP {
		t.Errorf("the new pod has process %d at %s, as the one before", got, again.Status.PodIP)
	}
}
