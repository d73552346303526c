package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// container is one of a pod.
type container struct {
	p    *pod
	spec corev1.Container

	// These are guarded by p.mu.
	status   corev1.ContainerStatus
	finished bool // it has ended and will not run again
}

// creating is the reason of a container that waits for volumes, or for its turn.
const creating = "ContainerCreating"

func newContainer(p *pod, spec corev1.Container) *container {
	no := false
	return &container{p: p, spec: spec, status: corev1.ContainerStatus{
		Name: spec.Name, Image: spec.Image, Started: &no,
		State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: creating}},
	}}
}

// edit changes the status and has it written.
func (c *container) edit(change func(*corev1.ContainerStatus)) {
	c.p.mu.Lock()
	change(&c.status)
	c.p.mu.Unlock()
	c.p.changed()
}

// wait says what the container waits for.
func (c *container) wait(reason, message string) {
	c.edit(func(s *corev1.ContainerStatus) {
		if s.State.Terminated != nil {
			s.LastTerminationState = s.State
		}
		s.State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}
	})
}

// run runs the container, again and again where the pod's policy says so. The first
// restart comes at once, each further one after twice the time of the one before,
// as with a real kubelet.
func (c *container) run() {
	p := c.p
	select {
	case <-p.mounted:
	case <-p.stop.Done():
		return
	}
	const first, most = 10 * time.Second, 5 * time.Minute
	hurry := time.Duration(p.k.options.Hurry)
	backoff := time.Duration(0)
	for runs := int32(0); ; runs++ {
		argv, env, ok := c.prepare()
		if !ok {
			return
		}
		c.edit(func(s *corev1.ContainerStatus) { s.RestartCount = runs })
		began := time.Now()
		code := c.once(argv, env)
		policy := p.seen().Spec.RestartPolicy
		if p.stop.Err() != nil || policy == corev1.RestartPolicyNever || policy == corev1.RestartPolicyOnFailure && code == 0 {
			p.mu.Lock()
			c.finished = true
			p.mu.Unlock()
			p.changed()
			return
		}
		if time.Since(began) > 2*most/hurry {
			backoff = 0
		}
		if backoff > 0 {
			c.wait("CrashLoopBackOff", fmt.Sprintf("restarts in %v", backoff/hurry))
			pause(p.stop, backoff/hurry)
		}
		backoff = min(max(2*backoff, first), most)
	}
}

// prepare returns what is to be run. It waits for what is missing; false means that
// the pod ended first.
func (c *container) prepare() (argv, env []string, ok bool) {
	said := ""
	for c.p.stop.Err() == nil {
		changed := c.p.k.informed.change()
		argv, env, reason, err := c.command()
		if err == nil {
			return argv, env, true
		}
		if said != err.Error() {
			said = err.Error()
			c.wait(reason, said)
		}
		select {
		case <-changed:
		case <-c.p.stop.Done():
		}
	}
	return nil, nil, false
}

// command puts the command and its environment together, or says what is missing.
func (c *container) command() (argv, env []string, reason string, err error) {
	p := c.p
	entrypoint, ok := p.k.entrypoint(c.spec.Image)
	if !ok {
		return nil, nil, "ImagePullBackOff", fmt.Errorf("image %q is not among the images of the stand-in kubelet", c.spec.Image)
	}
	own, err := p.k.environment(p.seen(), &c.spec, p.ip)
	if err != nil {
		return nil, nil, "CreateContainerConfigError", err
	}
	text := func(s string) string { return p.paths.rewrite(expand(s, own)) }
	argv = slices.Clone(entrypoint)
	if len(c.spec.Command) > 0 {
		program := text(c.spec.Command[0])
		if len(entrypoint) > 0 && filepath.Base(program) == filepath.Base(entrypoint[0]) {
			program = entrypoint[0]
		}
		argv = []string{program}
		for _, arg := range c.spec.Command[1:] {
			argv = append(argv, text(arg))
		}
	}
	for _, arg := range c.spec.Args {
		argv = append(argv, text(arg))
	}
	all := map[string]string{
		"PATH": os.Getenv("PATH"), "HOME": p.homeDir(), "TMPDIR": p.homeDir(), "HOSTNAME": p.seen().Name, "POD_IP": Local(p.ip),
	}
	if p.k.options.Proxy {
		for name, value := range p.k.network.ProxyEnv() {
			all[name] = value
		}
	}
	for name, value := range p.k.options.Env {
		all[name] = value
	}
	for name, value := range own {
		all[name] = p.paths.rewrite(value)
	}
	for name, value := range all {
		env = append(env, name+"="+value)
	}
	return argv, env, "", nil
}

// homeDir is where the pod's processes start and may write.
func (p *pod) homeDir() string { return filepath.Join(p.dir, "home") }

// once runs the command and returns the code of its exit.
func (c *container) once(argv, env []string) int {
	p := c.p
	began := metav1.Now()
	running, err := c.start(argv, env)
	if err != nil {
		c.terminated(corev1.ContainerStateTerminated{ExitCode: 128, Reason: "StartError", Message: err.Error(), StartedAt: began})
		return 128
	}
	yes := c.spec.StartupProbe == nil
	ready := yes && c.spec.ReadinessProbe == nil
	c.edit(func(s *corev1.ContainerStatus) {
		if s.State.Terminated != nil {
			s.LastTerminationState = s.State
		}
		s.State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: began}}
		s.Started, s.Ready = &yes, ready
		s.ContainerID = fmt.Sprintf("process://%d", running.cmd.Process.Pid)
	})
	probing, enough := context.WithCancelCause(p.stop)
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.probe(probing, enough, env)
	}()
	select {
	case <-running.ended:
	case <-probing.Done():
		c.end(running, env)
	}
	why := context.Cause(probing)
	enough(nil)
	<-done
	state := corev1.ContainerStateTerminated{ExitCode: int32(running.code), Reason: "Completed", StartedAt: began}
	if running.code != 0 {
		state.Reason = "Error"
	}
	if running.code > 128 {
		state.Signal = int32(running.code - 128)
	}
	if failed := new(unhealthy); errors.As(why, &failed) {
		state.Message = failed.Error()
	}
	c.terminated(state)
	return running.code
}

func (c *container) start(argv, env []string) (*process, error) {
	p := c.p
	dir := p.homeDir()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if c.spec.WorkingDir != "" {
		dir = p.paths.rewrite(c.spec.WorkingDir)
	}
	seen := p.seen()
	log, err := os.OpenFile(p.k.LogFile(seen.Namespace, seen.Name, c.spec.Name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	return p.k.starter.start(argv, env, dir, log)
}

// end asks a process to end, kills it when the grace period is over, and returns
// when it has ended.
func (c *container) end(running *process, env []string) {
	p := c.p
	limit, cancel := p.dead, context.CancelFunc(func() {})
	if p.stop.Err() == nil {
		// It alone is to end, as it is not healthy; else the pod sees to the time.
		grace := 30 * time.Second
		if seconds := p.seen().Spec.TerminationGracePeriodSeconds; seconds != nil {
			grace = time.Duration(*seconds) * time.Second
		}
		limit, cancel = context.WithTimeout(p.dead, grace)
	}
	defer cancel()
	if c.spec.Lifecycle != nil && c.spec.Lifecycle.PreStop != nil {
		hook := c.spec.Lifecycle.PreStop
		if hook.Sleep != nil {
			pause(limit, time.Duration(hook.Sleep.Seconds)*time.Second/time.Duration(p.k.options.Hurry))
		} else {
			_ = c.ask(limit, action{exec: hook.Exec, httpGet: hook.HTTPGet, tcpSocket: hook.TCPSocket}, env) // the end comes whatever it says
		}
	}
	running.signal(syscall.SIGTERM)
	select {
	case <-running.ended:
	case <-limit.Done():
		running.signal(syscall.SIGKILL)
		<-running.ended
	}
}

func (c *container) terminated(state corev1.ContainerStateTerminated) {
	state.FinishedAt = metav1.Now()
	no := false
	c.edit(func(s *corev1.ContainerStatus) {
		state.ContainerID = s.ContainerID
		s.State = corev1.ContainerState{Terminated: &state}
		s.Ready, s.Started = false, &no
	})
}
