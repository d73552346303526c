package verdict

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/recloser-mcp/recloser/operator/api/v1alpha1"
	"github.com/recloser-mcp/recloser/status"
)

// Workload is how the Deployment of a gateway is.
type Workload struct {
	Replicas  int32
	Available bool
	// Trouble is why a pod does not start, nil when all do.
	Trouble *Problem
}

// Facts are all that is known of a gateway.
type Facts struct {
	Resource *v1alpha1.VirtualMCPServer
	// Wanted are the backends that the spec takes in, in the order of their names.
	Wanted []Wanted
	// Problems are those of the spec of the gateway itself.
	Problems []*Problem
	// Configured is true when some configuration is in effect.
	Configured  bool
	Workload    Workload
	Replicas    []Replica
	URL         string
	TokenSecret string
	Selector    string
	Now         time.Time
}

// Gateway makes the status of a VirtualMCPServer.
func Gateway(f Facts) v1alpha1.VirtualMCPServerStatus {
	before := f.Resource.Status
	s := v1alpha1.VirtualMCPServerStatus{
		ObservedGeneration: f.Resource.Generation,
		URL:                f.URL,
		TokenSecret:        f.TokenSecret,
		Selector:           f.Selector,
		Replicas:           f.Workload.Replicas,
		Tools:              served(f.Replicas),
		Conditions:         slices.Clone(before.Conditions),
	}
	for _, w := range f.Wanted {
		var was *v1alpha1.BackendStatus
		if i := slices.IndexFunc(before.Backends, func(b v1alpha1.BackendStatus) bool { return b.Name == w.Name }); i >= 0 {
			was = &before.Backends[i]
		}
		b := Merge(w, f.Replicas, was, f.Now)
		s.Backends = append(s.Backends, b)
		if b.Reason == codeDisabled {
			continue
		}
		s.BackendCount++
		if b.Status == v1alpha1.BackendReady {
			s.ReadyBackends++
		}
	}
	s.ReadyOfAll = fmt.Sprintf("%d/%d", s.ReadyBackends, s.BackendCount)
	s.Phase = phase(&f, &s)
	for _, c := range []metav1.Condition{ready(&f, &s), degraded(&f, &s), discovered(&f), accepted(&f)} {
		c.ObservedGeneration = f.Resource.Generation
		c.Message = bounded(c.Message)
		meta.SetStatusCondition(&s.Conditions, c)
	}
	return s
}

// served is how many tools every replica that serves has.
func served(replicas []Replica) int32 {
	n := int32(-1)
	for _, r := range replicas {
		if r.Serving && r.Status != nil && (n < 0 || int32(r.Status.Tools) < n) {
			n = int32(r.Status.Tools)
		}
	}
	return max(n, 0)
}

// answers returns whether a replica answers, and whether one is still asking.
func answers(replicas []Replica) (answered, pending bool) {
	for _, r := range replicas {
		if r.Status != nil {
			answered = true
			pending = pending || r.Status.Phase == status.PhasePending
		}
	}
	return answered, pending
}

func phase(f *Facts, s *v1alpha1.VirtualMCPServerStatus) v1alpha1.Phase {
	answered, pending := answers(f.Replicas)
	switch {
	case !f.Configured && len(f.Problems) > 0, !answered && f.Workload.Trouble != nil:
		return v1alpha1.PhaseFailed
	case !answered || s.BackendCount == 0:
		return v1alpha1.PhasePending
	case s.Tools > 0 && s.ReadyBackends == s.BackendCount:
		return v1alpha1.PhaseReady
	case s.Tools > 0:
		return v1alpha1.PhaseDegraded
	case pending || slices.ContainsFunc(s.Backends, coming):
		return v1alpha1.PhasePending
	}
	return v1alpha1.PhaseFailed
}

// coming is true for a backend that serves, or may yet, so that its tools will be there
// once the endpoints are.
func coming(b v1alpha1.BackendStatus) bool {
	return b.Reason == codeConnecting || b.Status == v1alpha1.BackendReady
}

func condition(kind string, is bool, reason, format string, args ...any) metav1.Condition {
	c := metav1.Condition{Type: kind, Status: metav1.ConditionFalse, Reason: reason, Message: fmt.Sprintf(format, args...)}
	if is {
		c.Status = metav1.ConditionTrue
	}
	return c
}

func ready(f *Facts, s *v1alpha1.VirtualMCPServerStatus) metav1.Condition {
	const kind = v1alpha1.ConditionReady
	answered, _ := answers(f.Replicas)
	trouble := f.Workload.Trouble
	switch {
	case f.Workload.Available && s.Tools > 0 && trouble != nil:
		return condition(kind, true, ReasonRolloutFailing, "%s served, from %s, but a new pod does not start: %s: %s", are(s.Tools, "tool"), count(s.BackendCount, "backend"), trouble.Reason, trouble.Message)
	case f.Workload.Available && s.Tools > 0:
		return condition(kind, true, ReasonServing, "%s served, from %s.", are(s.Tools, "tool"), count(s.BackendCount, "backend"))
	case !f.Configured && len(f.Problems) > 0:
		return condition(kind, false, f.Problems[0].Reason, "There is no configuration to start with: %s", f.Problems[0].Message)
	case len(f.Wanted) == 0:
		return condition(kind, false, ReasonNoBackends, "There is nothing to serve: %s", discovered(f).Message)
	case !answered && trouble != nil:
		return condition(kind, false, trouble.Reason, "%s", trouble.Message)
	case answered && s.Phase == v1alpha1.PhaseFailed:
		return condition(kind, false, ReasonNoToolServed, "No backend serves a tool: %s", list(s.Backends))
	}
	return condition(kind, false, ReasonDeploymentUnavailable, "No pod of Deployment vmcp-%s is available yet: kubectl describe deployment vmcp-%s", f.Resource.Name, f.Resource.Name)
}

func degraded(f *Facts, s *v1alpha1.VirtualMCPServerStatus) metav1.Condition {
	const kind = v1alpha1.ConditionDegraded
	if s.BackendCount == s.ReadyBackends {
		return condition(kind, false, ReasonAllBackendsReady, "%s ready.", are(s.BackendCount, "backend"))
	}
	if answered, _ := answers(f.Replicas); !answered && !slices.ContainsFunc(s.Backends, func(b v1alpha1.BackendStatus) bool {
		return b.Status != v1alpha1.BackendUnknown
	}) {
		c := condition(kind, false, ReasonNotAsked, "No pod of the gateway answers yet.")
		c.Status = metav1.ConditionUnknown
		return c
	}
	return condition(kind, true, ReasonBackendsNotReady, "%d of %d backends are not ready: %s", s.BackendCount-s.ReadyBackends, s.BackendCount, list(s.Backends))
}

func discovered(f *Facts) metav1.Condition {
	const kind = v1alpha1.ConditionBackendsDiscovered
	var missing []string
	for _, w := range f.Wanted {
		if w.Problem != nil && w.Problem.Reason == ReasonBackendNotFound {
			missing = append(missing, w.Name)
		}
	}
	switch {
	case len(missing) > 0:
		return condition(kind, false, ReasonBackendNotFound, "There is no MCPBackend %s: create it, or take it out of spec.backends.", strings.Join(missing, ", "))
	case len(f.Wanted) == 0:
		return condition(kind, false, ReasonNoBackends, "No MCPBackend of namespace %s has the labels of spec.backendSelector: kubectl get mcpb --show-labels", f.Resource.Namespace)
	}
	return condition(kind, true, ReasonBackendsDiscovered, "%s taken in.", are(int32(len(f.Wanted)), "backend"))
}

func accepted(f *Facts) metav1.Condition {
	problems := slices.Clone(f.Problems)
	for _, w := range f.Wanted {
		if w.Problem != nil {
			problems = append(problems, &Problem{w.Problem.Reason, "backend " + w.Name + ": " + w.Problem.Message})
		}
	}
	for _, r := range f.Replicas {
		if r.Refused != "" {
			problems = append(problems, &Problem{ReasonConfigurationRefused, r.Name + " refuses its configuration: " + r.Refused})
		}
	}
	if len(problems) == 0 {
		return condition(v1alpha1.ConditionAccepted, true, ReasonAccepted, "The spec is in effect.")
	}
	var texts []string
	for _, p := range problems {
		texts = append(texts, p.Message)
	}
	return condition(v1alpha1.ConditionAccepted, false, problems[0].Reason, "%s", strings.Join(texts, " "))
}

// count is a number with its word.
func count(n int32, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

// are is count with its verb.
func are(n int32, word string) string {
	if n == 1 {
		return count(n, word) + " is"
	}
	return count(n, word) + " are"
}

// list names the backends that are not ready, with their reasons.
func list(backends []v1alpha1.BackendStatus) string {
	var parts []string
	for _, b := range backends {
		if b.Status != v1alpha1.BackendReady && b.Reason != codeDisabled {
			parts = append(parts, fmt.Sprintf("%s is %s (%s)", b.Name, b.Status, b.Reason))
		}
	}
	if n := len(parts); n > 10 {
		parts = append(parts[:10], fmt.Sprintf("and %d more", n-10))
	}
	return strings.Join(parts, ", ") + "."
}

// bounded keeps a message within what a condition may have.
func bounded(message string) string {
	const most = 4096
	if len(message) <= most {
		return message
	}
	return strings.ToValidUTF8(message[:most], "") + "..."
}
