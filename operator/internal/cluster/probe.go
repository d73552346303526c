package cluster

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// unhealthy is why a container is ended by its probes.
type unhealthy struct {
	kind string
	err  error
}

func (u *unhealthy) Error() string { return u.kind + " probe: " + u.err.Error() }

// action is what a probe or a hook does.
type action struct {
	exec      *corev1.ExecAction
	httpGet   *corev1.HTTPGetAction
	tcpSocket *corev1.TCPSocketAction
}

// leastTimeout is what every probe has, whatever its timeoutSeconds say: a machine
// that runs tests answers slowly, and that is not what tests are about.
const leastTimeout = 10 * time.Second

// probe runs the container's probes until the context ends. A container that fails
// at starting or living ends it itself, with an unhealthy as cause.
func (c *container) probe(ctx context.Context, end context.CancelCauseFunc, env []string) {
	if probe := c.spec.StartupProbe; probe != nil {
		started := false
		c.repeat(ctx, probe, env, func(ok bool, err error) bool {
			if !ok {
				end(&unhealthy{"startup", err})
			}
			started = ok
			return false
		})
		if !started {
			return
		}
		c.edit(func(s *corev1.ContainerStatus) {
			s.Started = &started
			s.Ready = c.spec.ReadinessProbe == nil
		})
	}
	var all sync.WaitGroup
	if probe := c.spec.LivenessProbe; probe != nil {
		all.Go(func() {
			c.repeat(ctx, probe, env, func(ok bool, err error) bool {
				if !ok {
					end(&unhealthy{"liveness", err})
				}
				return ok
			})
		})
	}
	if probe := c.spec.ReadinessProbe; probe != nil {
		all.Go(func() {
			c.repeat(ctx, probe, env, func(ok bool, _ error) bool {
				c.edit(func(s *corev1.ContainerStatus) { s.Ready = ok })
				return true
			})
		})
	}
	all.Wait()
}

// repeat asks again and again. Each time the thresholds are reached that make a
// verdict it hands that on, when it is another one than before, and goes on while
// that returns true.
func (c *container) repeat(ctx context.Context, probe *corev1.Probe, env []string, verdict func(ok bool, err error) bool) {
	hurry := time.Duration(c.p.k.options.Hurry)
	atLeast := func(n int32, least int) int { return max(int(n), least) }
	period := time.Duration(atLeast(probe.PeriodSeconds, 1)) * time.Second / hurry
	timeout := max(time.Duration(probe.TimeoutSeconds)*time.Second, leastTimeout)
	pause(ctx, time.Duration(probe.InitialDelaySeconds)*time.Second/hurry)
	what := action{exec: probe.Exec, httpGet: probe.HTTPGet, tcpSocket: probe.TCPSocket}
	successes, failures := 0, 0
	var last *bool
	for ctx.Err() == nil {
		asking, cancel := context.WithTimeout(ctx, timeout)
		err := c.ask(asking, what, env)
		cancel()
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			successes, failures = successes+1, 0
		} else {
			successes, failures = 0, failures+1
		}
		ok := err == nil
		reached := successes >= atLeast(probe.SuccessThreshold, 1) || failures >= atLeast(probe.FailureThreshold, 1)
		if reached && (last == nil || *last != ok) {
			last = &ok
			if !verdict(ok, err) {
				return
			}
		}
		pause(ctx, period)
	}
}

// ask does what a probe or a hook does, once.
func (c *container) ask(ctx context.Context, a action, env []string) error {
	switch {
	case a.httpGet != nil:
		return c.get(ctx, a.httpGet)
	case a.tcpSocket != nil:
		address, err := c.address(a.tcpSocket.Host, a.tcpSocket.Port)
		if err != nil {
			return err
		}
		var d net.Dialer
		conn, err := d.DialContext(ctx, "tcp", address)
		if err == nil {
			conn.Close()
		}
		return err
	case a.exec != nil:
		return c.execute(ctx, a.exec.Command, env)
	}
	return errors.New("this kind of probe is not supported by the stand-in kubelet")
}

// prober makes no use of an answer but its status, as a kubelet's.
var prober = &http.Client{
	Transport:     &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

func (c *container) get(ctx context.Context, a *corev1.HTTPGetAction) error {
	address, err := c.address(a.Host, a.Port)
	if err != nil {
		return err
	}
	scheme := "http"
	if a.Scheme == corev1.URISchemeHTTPS {
		scheme = "https"
	}
	path := a.Path
	if path == "" || path[0] != '/' {
		path = "/" + path
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+address+path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", "kube-probe/stand-in")
	for _, h := range a.HTTPHeaders {
		if http.CanonicalHeaderKey(h.Name) == "Host" {
			req.Host = h.Value
			continue
		}
		req.Header.Add(h.Name, h.Value)
	}
	resp, err := prober.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 10<<10))
	if resp.StatusCode < 200 || resp.StatusCode >= 400 {
		return fmt.Errorf("GET %s answered %s", path, resp.Status)
	}
	return nil
}

// address is where the container listens, on a port by number or name.
func (c *container) address(host string, port intstr.IntOrString) (string, error) {
	if host == "" {
		host = c.p.ip
	}
	number := port.IntValue()
	if port.Type == intstr.String {
		number = 0
		for _, p := range c.spec.Ports {
			if p.Name == port.StrVal {
				number = int(p.ContainerPort)
			}
		}
	}
	if number == 0 {
		return "", fmt.Errorf("the container has no port %q", port.String())
	}
	return net.JoinHostPort(Local(host), strconv.Itoa(number)), nil
}

// execute runs a command beside the container's own, in the same environment.
func (c *container) execute(ctx context.Context, command, env []string) error {
	argv := make([]string, len(command))
	for i, arg := range command {
		argv[i] = c.p.paths.rewrite(arg)
	}
	running, err := c.p.k.starter.start(argv, env, c.p.homeDir(), nil)
	if err != nil {
		return err
	}
	select {
	case <-running.ended:
	case <-ctx.Done():
		running.signal(syscall.SIGKILL)
		<-running.ended
		return ctx.Err()
	}
	if running.code != 0 {
		return fmt.Errorf("%q exited with %d", argv[0], running.code)
	}
	return nil
}
