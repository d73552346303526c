package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// pod is a pod of our node, from the moment it is seen until the API has dropped
// it.
type pod struct {
	k      *Kubelet
	number int    // the last of its address, to give back
	ip     string // as in the API; it listens at Local(ip)
	dir    string
	start  metav1.Time

	paths   paths
	tokens  map[string][]byte // of its service account, by audience; for mount only
	wrote   map[string]content
	written *informed     // of changed volumes
	mounted chan struct{} // closed when all volumes hold what they should

	stop     context.Context // its end asks the containers to end
	stopNow  context.CancelFunc
	dead     context.Context // its end kills them
	kill     context.CancelFunc
	restless chan struct{} // has an item when the status is to be written

	mu         sync.Mutex
	object     *corev1.Pod
	trouble    string // why volumes are not there
	containers []*container
	conditions map[corev1.PodConditionType]corev1.PodCondition
	grace      time.Duration // since its deletion
	expiry     *time.Timer   // of that
}

func newPod(k *Kubelet, object *corev1.Pod) *pod {
	p := &pod{
		k:          k,
		dir:        filepath.Join(k.dir, "pods", string(object.UID)),
		start:      metav1.Now(),
		tokens:     make(map[string][]byte),
		wrote:      make(map[string]content),
		written:    newInformed(),
		mounted:    make(chan struct{}),
		restless:   make(chan struct{}, 1),
		object:     object,
		conditions: make(map[corev1.PodConditionType]corev1.PodCondition),
	}
	p.dead, p.kill = context.WithCancel(k.ctx)
	p.stop, p.stopNow = context.WithCancel(p.dead)
	for _, spec := range object.Spec.Containers {
		p.containers = append(p.containers, newContainer(p, spec))
	}
	return p
}

// seen is the pod as the API last had it.
func (p *pod) seen() *corev1.Pod {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.object
}

// update hears of a change. A deletion has the containers end, and kills those that
// are left when the grace period is over.
func (p *pod) update(object *corev1.Pod) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.object = object
	if object.DeletionTimestamp == nil {
		return
	}
	p.stopNow()
	var grace time.Duration
	if object.DeletionGracePeriodSeconds != nil {
		grace = time.Duration(*object.DeletionGracePeriodSeconds) * time.Second
	}
	switch {
	case p.expiry == nil:
		p.expiry = time.AfterFunc(grace, p.kill)
	case grace < p.grace:
		p.expiry.Reset(grace) // a second deletion is in more of a hurry
	default:
		return
	}
	p.grace = grace
}

func (p *pod) volumeDir(volume string) string { return filepath.Join(p.dir, "volumes", volume) }

// run runs the pod until it is deleted, and then tells the API that it has ended.
func (p *pod) run() {
	defer p.k.giveBack(p.number)
	defer os.RemoveAll(p.dir)
	defer p.kill()
	var helpers, containers sync.WaitGroup
	reporting, reported := context.WithCancel(p.k.ctx)
	helpers.Go(func() { p.report(reporting) })
	helpers.Go(p.keepVolumes)
	if len(p.seen().Spec.InitContainers) > 0 {
		p.fail("init containers are not supported by the stand-in kubelet")
	} else {
		for _, c := range p.containers {
			containers.Go(c.run)
		}
	}
	p.changed()
	containers.Wait()
	<-p.stop.Done()
	reported()
	helpers.Wait()
	if p.k.ctx.Err() != nil {
		return
	}
	p.write(p.k.ctx)
	seen, now := p.seen(), int64(0)
	p.k.insist(func(ctx context.Context) error {
		return p.k.clientset.CoreV1().Pods(seen.Namespace).Delete(ctx, seen.Name, metav1.DeleteOptions{
			GracePeriodSeconds: &now, Preconditions: &metav1.Preconditions{UID: &seen.UID},
		})
	})
}

// fail has all containers wait for good.
func (p *pod) fail(why string) {
	for _, c := range p.containers {
		c.wait("CreateContainerConfigError", why)
	}
}

// keepVolumes writes the volumes, now and whenever something has changed, until the
// pod has ended.
func (p *pod) keepVolumes() {
	for first := true; ; {
		changed := p.k.informed.change()
		err := p.writeVolumes()
		p.mu.Lock()
		before := p.trouble
		p.trouble = ""
		if err != nil {
			p.trouble = err.Error()
		}
		same := before == p.trouble
		p.mu.Unlock()
		if err == nil && first {
			first = false
			close(p.mounted)
		}
		if !same {
			p.changed()
		}
		var again <-chan time.Time
		if err != nil {
			again = time.After(time.Second) // nobody tells of service accounts
		}
		select {
		case <-changed:
		case <-again:
		case <-p.stop.Done():
			return // what is mounted when a pod ends stays as it is
		}
	}
}

// writeVolumes brings all volumes up to date. One that was written keeps what it
// has when its source is no more, as with a real kubelet.
func (p *pod) writeVolumes() error {
	object := p.seen()
	var err error
	if p.paths == nil {
		if p.paths, err = mounts(object, p.volumeDir); err != nil {
			return err
		}
	}
	for _, v := range object.Spec.Volumes {
		dir := p.volumeDir(v.Name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		next, err := p.volumeContent(v)
		before, had := p.wrote[v.Name]
		switch {
		case err != nil && had:
			continue
		case err != nil:
			return fmt.Errorf("volume %s: %w", v.Name, err)
		case next == nil || had && before.equal(next):
			continue
		}
		if err := publishFiles(dir, next); err != nil {
			return fmt.Errorf("volume %s: %w", v.Name, err)
		}
		p.wrote[v.Name] = next
		p.written.tell()
	}
	return nil
}

// changed asks for the status to be written.
func (p *pod) changed() {
	select {
	case p.restless <- struct{}{}:
	default: // it is going to be
	}
}

// report writes the status after each change, several changes at once when they
// come fast.
func (p *pod) report(ctx context.Context) {
	for {
		select {
		case <-p.restless:
			p.write(ctx)
		case <-ctx.Done():
			return
		}
	}
}

func (p *pod) write(ctx context.Context) {
	status := p.status()
	seen := p.seen()
	// The uid keeps the status from a pod that has come under the same name.
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": seen.UID}, "status": status})
	if err != nil {
		panic(err) // these types can be written
	}
	p.k.insist(func(kubelet context.Context) error {
		if ctx.Err() != nil {
			return nil // the last status is written by others
		}
		_, err := p.k.clientset.CoreV1().Pods(seen.Namespace).Patch(kubelet, seen.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
		return err
	})
}

// status is what is the case now.
func (p *pod) status() corev1.PodStatus {
	p.mu.Lock()
	defer p.mu.Unlock()
	hostIP := Local(p.k.subnet + "254")
	status := corev1.PodStatus{
		ObservedGeneration: p.object.Generation,
		HostIP:             hostIP,
		HostIPs:            []corev1.HostIP{{IP: hostIP}},
		PodIP:              p.ip,
		PodIPs:             []corev1.PodIP{{IP: p.ip}},
		StartTime:          &p.start,
	}
	ready, waiting, ended, failed := true, false, 0, false
	for _, c := range p.containers {
		shown := c.status
		if w := shown.State.Waiting; w != nil && w.Reason == creating {
			shown.State.Waiting = &corev1.ContainerStateWaiting{Reason: creating, Message: p.trouble}
		}
		status.ContainerStatuses = append(status.ContainerStatuses, shown)
		ready = ready && c.status.Ready
		if c.status.State.Waiting != nil && c.status.LastTerminationState.Terminated == nil {
			waiting = true
		}
		if t := c.status.State.Terminated; t != nil && c.finished {
			ended++
			failed = failed || t.ExitCode != 0
		}
	}
	switch {
	case ended == len(p.containers) && failed:
		status.Phase = corev1.PodFailed
	case ended == len(p.containers):
		status.Phase = corev1.PodSucceeded
	case waiting:
		status.Phase = corev1.PodPending
	default:
		status.Phase = corev1.PodRunning
	}
	why, message := "", ""
	if !ready {
		why = "ContainersNotReady"
		if status.Phase == corev1.PodSucceeded {
			why = "PodCompleted"
		}
		message = p.trouble
	}
	started := status.Phase != corev1.PodPending
	status.Conditions = []corev1.PodCondition{
		p.condition(corev1.PodReadyToStartContainers, started || p.trouble == "", "", p.trouble),
		p.condition(corev1.PodInitialized, true, "", ""),
		p.condition(corev1.ContainersReady, ready, why, message),
		p.condition(corev1.PodReady, ready, why, message),
	}
	return status
}

// condition keeps the time of a condition's last change. p.mu is held.
func (p *pod) condition(kind corev1.PodConditionType, is bool, why, message string) corev1.PodCondition {
	c := corev1.PodCondition{Type: kind, Status: corev1.ConditionFalse, Reason: why, Message: message, LastTransitionTime: metav1.Now(), ObservedGeneration: p.object.Generation}
	if is {
		c.Status = corev1.ConditionTrue
	}
	if before, ok := p.conditions[kind]; ok && before.Status == c.Status {
		c.LastTransitionTime = before.LastTransitionTime
	}
	p.conditions[kind] = c
	return c
}
