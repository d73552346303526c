package controller

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/recloser-mcp/recloser/operator/api/v1alpha1"
	"github.com/recloser-mcp/recloser/operator/internal/render"
	"github.com/recloser-mcp/recloser/operator/internal/verdict"
)

// workload finds out how the Deployment of a gateway is, and why a pod does not start.
func workload(ctx context.Context, c client.Reader, g *v1alpha1.VirtualMCPServer) (verdict.Workload, error) {
	var w verdict.Workload
	var d appsv1.Deployment
	if err := c.Get(ctx, types.NamespacedName{Namespace: g.Namespace, Name: render.ObjectName(g.Name)}, &d); err != nil {
		return w, client.IgnoreNotFound(err)
	}
	// One pod is enough: while there are more to come, or one is lost, the others serve.
	w.Replicas, w.Available = d.Status.Replicas, d.Status.AvailableReplicas > 0
	for _, condition := range d.Status.Conditions {
		if condition.Type == appsv1.DeploymentReplicaFailure && condition.Status == corev1.ConditionTrue {
			w.Trouble = &verdict.Problem{Reason: condition.Reason, Message: condition.Message}
		}
	}
	var pods corev1.PodList
	if err := c.List(ctx, &pods, client.InNamespace(g.Namespace), client.MatchingLabels(render.Labels(g.Name))); err != nil {
		return w, err
	}
	for i := range pods.Items {
		if t := trouble(&pods.Items[i]); t != nil && pods.Items[i].DeletionTimestamp.IsZero() {
			w.Trouble = t
		}
	}
	return w, nil
}

// stuck are the reasons for which a container waits that do not pass by themselves.
var stuck = map[string]string{
	"ErrImagePull":               "correct spec.image, or give imagePullSecrets",
	"ImagePullBackOff":           "correct spec.image, or give imagePullSecrets",
	"InvalidImageName":           "correct spec.image",
	"ErrImageNeverPull":          "correct spec.image, or spec.imagePullPolicy",
	"CreateContainerConfigError": "see kubectl describe pod",
	"CreateContainerError":       "see kubectl describe pod",
	"RunContainerError":          "see kubectl describe pod",
	"CrashLoopBackOff":           "see kubectl logs",
}

// trouble is why a pod does not start, nil when it does or nothing is known.
func trouble(p *corev1.Pod) *verdict.Problem {
	for _, s := range p.Status.ContainerStatuses {
		if w := s.State.Waiting; w != nil {
			if fix, ok := stuck[w.Reason]; ok {
				return &verdict.Problem{Reason: w.Reason, Message: fmt.Sprintf("Pod %s does not start with image %s: %s: %s.", p.Name, s.Image, w.Message, fix)}
			}
		}
		if t := s.State.Terminated; t != nil && t.ExitCode != 0 {
			return &verdict.Problem{Reason: "ContainerExited", Message: fmt.Sprintf("Pod %s ended with code %d: see kubectl logs %s.", p.Name, t.ExitCode, p.Name)}
		}
	}
	if p.Status.Phase == corev1.PodFailed {
		reason := p.Status.Reason
		if reason == "" {
			reason = "PodFailed"
		}
		return &verdict.Problem{Reason: reason, Message: fmt.Sprintf("Pod %s failed: %s", p.Name, p.Status.Message)}
	}
	return nil
}
