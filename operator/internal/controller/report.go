package controller

import (
	"context"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"

	"github.com/recloser-mcp/recloser/operator/api/v1alpha1"
)

// report writes the status of a gateway when it has changed, and then tells of the
// changes: whoever else has written it in between makes the next try tell.
func (r *Gateways) report(ctx context.Context, g *v1alpha1.VirtualMCPServer, now v1alpha1.VirtualMCPServerStatus) error {
	before := g.Status
	if equality.Semantic.DeepEqual(before, now) {
		measure(g)
		return nil
	}
	changed := g.DeepCopy()
	changed.Status = now
	measure(changed)
	if err := r.Client.Status().Update(ctx, changed); err != nil {
		return err
	}
	tell(r.Events, g, before.Conditions, now.Conditions)
	for _, b := range now.Backends {
		i := slices.IndexFunc(before.Backends, func(o v1alpha1.BackendStatus) bool { return o.Name == b.Name })
		if i < 0 || before.Backends[i].Status != b.Status || before.Backends[i].Reason != b.Reason {
			tellState(r.Events, g, "backend "+b.Name, b.Status, b.Reason, b.Message)
		}
	}
	return nil
}

// tell makes an event of each condition that has changed, but for Ready and Degraded, of
// which the states of the backends tell.
func tell(recorder events.EventRecorder, about runtime.Object, before, now []metav1.Condition) {
	for _, c := range now {
		was := meta.FindStatusCondition(before, c.Type)
		if was != nil && was.Status == c.Status && was.Reason == c.Reason {
			continue
		}
		good := c.Status == metav1.ConditionTrue
		if c.Type == v1alpha1.ConditionDegraded || good && was == nil || c.Status == metav1.ConditionUnknown {
			continue
		}
		if c.Type == v1alpha1.ConditionReady && was == nil && c.Reason == "DeploymentUnavailable" {
			continue // it has only begun
		}
		kind := corev1.EventTypeWarning
		if good {
			kind = corev1.EventTypeNormal
		}
		recorder.Eventf(about, nil, kind, c.Reason, c.Type, "%s", note(c.Message))
	}
}

// tellState makes an event of the state that a backend has come into.
func tellState(recorder events.EventRecorder, about runtime.Object, what string, s v1alpha1.BackendState, reason, message string) {
	kind := corev1.EventTypeNormal
	if s == v1alpha1.BackendUnavailable || s == v1alpha1.BackendDegraded {
		kind = corev1.EventTypeWarning
	}
	word := strings.ToUpper(string(s[:1])) + string(s[1:])
	recorder.Eventf(about, nil, kind, "Backend"+word, "Watch", "%s", note(what+" is "+string(s)+" ("+reason+"). "+message))
}

// note keeps a message within what an event may have.
func note(message string) string {
	const most = 1000
	if len(message) <= most {
		return message
	}
	return strings.ToValidUTF8(message[:most], "") + "..."
}
