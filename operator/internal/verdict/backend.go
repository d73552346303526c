package verdict

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/recloser-mcp/recloser/operator/api/v1alpha1"
)

// Backend makes the status of an MCPBackend: what is wrong with it, where it is, and what
// each gateway of its namespace sees of it.
func Backend(b *v1alpha1.MCPBackend, url string, problem *Problem, gateways []v1alpha1.VirtualMCPServer) v1alpha1.MCPBackendStatus {
	s := v1alpha1.MCPBackendStatus{
		ObservedGeneration: b.Generation,
		URL:                url,
		Conditions:         slices.Clone(b.Status.Conditions),
	}
	for i := range gateways {
		for _, seen := range gateways[i].Status.Backends {
			if seen.Name == b.Name {
				s.Gateways = append(s.Gateways, v1alpha1.GatewayView{Name: gateways[i].Name, Status: seen.Status, Reason: seen.Reason,
					Message: seen.Message, Since: seen.Since, Tools: seen.Tools})
			}
		}
	}
	slices.SortFunc(s.Gateways, func(a, b v1alpha1.GatewayView) int { return cmp.Compare(a.Name, b.Name) })
	s.GatewayCount = int32(len(s.Gateways))

	c := condition(v1alpha1.ConditionAccepted, true, ReasonAccepted, "Gateways can take the spec up.")
	if problem != nil {
		c = condition(v1alpha1.ConditionAccepted, false, problem.Reason, "%s", problem.Message)
	}
	for _, c := range []metav1.Condition{c, seenReady(s.Gateways)} {
		c.ObservedGeneration = b.Generation
		c.Message = bounded(c.Message)
		meta.SetStatusCondition(&s.Conditions, c)
	}
	return s
}

// seenReady is the condition Ready of a backend.
func seenReady(views []v1alpha1.GatewayView) metav1.Condition {
	const kind = v1alpha1.ConditionReady
	if len(views) == 0 {
		c := condition(kind, false, ReasonNotUsed, "No VirtualMCPServer of the namespace takes it in: give it the labels of one's backendSelector, or name it in one's backends.")
		c.Status = metav1.ConditionUnknown
		return c
	}
	worst := slices.MaxFunc(views, func(a, b v1alpha1.GatewayView) int { return cmp.Compare(weight(a.Status), weight(b.Status)) })
	if worst.Status == v1alpha1.BackendReady {
		return condition(kind, true, "Ready", "It is ready for %s.", names(views))
	}
	c := condition(kind, false, conditionReason(worst.Reason), "%s sees it %s: %s", worst.Name, worst.Status, worst.Message)
	if worst.Status == v1alpha1.BackendUnknown {
		c.Status = metav1.ConditionUnknown
	}
	return c
}

func names(views []v1alpha1.GatewayView) string {
	var parts []string
	for i, v := range views {
		if i == 10 {
			parts = append(parts, fmt.Sprintf("%d more", len(views)-10))
			break
		}
		parts = append(parts, v.Name)
	}
	return strings.Join(parts, ", ")
}
