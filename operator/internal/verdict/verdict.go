// Package verdict makes the status of the resources out of facts: what the spec wants,
// how the Deployment is, what the pods of the gateway answered. It holds data and pure
// functions only.
package verdict

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/recloser-mcp/recloser/operator/api/v1alpha1"
	"github.com/recloser-mcp/recloser/status"
)

// Reasons of conditions. Those of backends are the gateway's codes beside these.
const (
	ReasonAccepted              = "Accepted"
	ReasonBackendNotFound       = "BackendNotFound"
	ReasonSecretNotFound        = "SecretNotFound"
	ReasonSecretKeyNotFound     = "SecretKeyNotFound"
	ReasonConfigMapNotFound     = "ConfigMapNotFound"
	ReasonConfigMapKeyNotFound  = "ConfigMapKeyNotFound"
	ReasonServiceNotFound       = "ServiceNotFound"
	ReasonServicePortNotFound   = "ServicePortNotFound"
	ReasonCredentialNotFound    = "CredentialNotFound"
	ReasonConfigurationRefused  = "ConfigurationRefused"
	ReasonNameTaken             = "NameTaken"
	ReasonApplyFailed           = "ApplyFailed"
	ReasonServing               = "Serving"
	ReasonRolloutFailing        = "RolloutFailing"
	ReasonNoBackends            = "NoBackends"
	ReasonNoToolServed          = "NoToolServed"
	ReasonDeploymentUnavailable = "DeploymentUnavailable"
	ReasonBackendsDiscovered    = "BackendsDiscovered"
	ReasonBackendsNotReady      = "BackendsNotReady"
	ReasonAllBackendsReady      = "AllBackendsReady"
	ReasonNotAsked              = "NotAsked"
	ReasonNotUsed               = "NotUsed"
)

// Codes of backends that the gateway itself does not have.
const (
	codeReplicaSilent = "replica_unreachable"
	codeConnecting    = string(status.ReasonConnecting)
	codeDisabled      = string(status.ReasonDisabled)
)

// Problem is why something that a spec says is not in effect.
type Problem struct {
	Reason  string // of a condition
	Message string // what is wrong, and what to do
}

// Error is the message.
func (p *Problem) Error() string { return p.Message }

// Code is the reason as the codes of backends are written.
func (p *Problem) Code() string {
	var b strings.Builder
	for i, r := range p.Reason {
		if unicode.IsUpper(r) && i > 0 {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// conditionReason makes the reason of a condition out of a code.
func conditionReason(code string) string {
	var b strings.Builder
	for word := range strings.SplitSeq(code, "_") {
		if word == "ok" || word == "tls" {
			b.WriteString(strings.ToUpper(word))
		} else if word != "" {
			b.WriteString(strings.ToUpper(word[:1]) + word[1:])
		}
	}
	return cmp.Or(b.String(), "Unknown")
}

// Replica is one pod of a gateway.
type Replica struct {
	Name string
	// Serving is true when clients are sent to it.
	Serving bool
	// Status is what it answered, nil when it did not.
	Status *status.Status
	// Refused says why it does not take up its configuration, "" when it does.
	Refused string
}

// Wanted is a backend that the spec takes in.
type Wanted struct {
	Name string
	// Problem is what is wrong with it, nil for nothing.
	Problem *Problem
	// InEffect is true when the gateway has an entry for it: the one that is wanted, or
	// with a Problem the one before.
	InEffect bool
}

// Merge makes one status of a backend out of what the replicas say: ready when all say
// so, unavailable when all say so, degraded otherwise. Replicas that have not asked it yet
// have no say while another has, and neither have those that do not serve and do not
// answer.
func Merge(w Wanted, replicas []Replica, before *v1alpha1.BackendStatus, now time.Time) v1alpha1.BackendStatus {
	if !w.InEffect {
		p := w.Problem
		if p == nil {
			p = &Problem{Reason: "Connecting", Message: w.Name + " is not yet part of the gateway's configuration."}
		}
		s := v1alpha1.BackendStatus{Name: w.Name, Status: v1alpha1.BackendUnavailable, Reason: p.Code(), Message: p.Message}
		if w.Problem == nil {
			s.Status = v1alpha1.BackendUnknown
		}
		s.Since = since(&s, before, now)
		return s
	}
	s := settle(w.Name, votes(w.Name, replicas))
	if w.Problem != nil && s.Status == v1alpha1.BackendReady {
		s.Status, s.Reason, s.Since = v1alpha1.BackendDegraded, w.Problem.Code(), nil
	}
	if w.Problem != nil {
		s.Message = strings.TrimSpace("Its spec is refused, what was in effect before goes on. " + w.Problem.Message + " " + s.Message)
	}
	if s.Since == nil {
		s.Since = since(&s, before, now)
	}
	return s
}

// since is when a state began that no gateway has given a time for.
func since(s, before *v1alpha1.BackendStatus, now time.Time) *metav1.Time {
	if before != nil && before.Status == s.Status && before.Reason == s.Reason && before.Since != nil {
		return before.Since
	}
	return &metav1.Time{Time: now.Truncate(time.Second)}
}

// vote is what one replica says of a backend.
type vote struct {
	status  v1alpha1.BackendState
	reason  string
	message string
	since   time.Time
	tools   int32
	breaker string
	serving bool
}

func votes(name string, replicas []Replica) []vote {
	var all []vote
	for _, r := range replicas {
		if r.Status == nil {
			if r.Serving {
				all = append(all, vote{status: v1alpha1.BackendUnknown, reason: codeReplicaSilent,
					message: "The admin listener of " + r.Name + " does not answer.", serving: true})
			}
			continue
		}
		v := vote{status: v1alpha1.BackendUnknown, reason: codeConnecting, serving: r.Serving,
			message: strings.TrimSpace(r.Name + " has not taken up its configuration yet. " + r.Refused)}
		for i := range r.Status.Backends {
			b := &r.Status.Backends[i]
			if b.Name == name {
				v = vote{v1alpha1.BackendState(b.Status), string(b.Reason), b.Message, b.Since, int32(b.Tools), string(b.Breaker.State), r.Serving}
			}
		}
		all = append(all, v)
	}
	asked := func(v vote) bool { return v.reason != codeConnecting }
	if slices.ContainsFunc(all, asked) {
		all = slices.DeleteFunc(all, func(v vote) bool { return !asked(v) })
	}
	return all
}

// settle makes one of the votes.
func settle(name string, all []vote) v1alpha1.BackendStatus {
	if len(all) == 0 {
		return v1alpha1.BackendStatus{Name: name, Status: v1alpha1.BackendUnknown, Reason: codeConnecting, Message: "No pod of the gateway answers yet."}
	}
	worst := slices.MaxFunc(all, func(a, b vote) int { return cmp.Compare(weight(a.status), weight(b.status)) })
	s := v1alpha1.BackendStatus{Name: name, Status: worst.status, Reason: worst.reason, Message: worst.message,
		Tools: tools(all), Breaker: breaker(all)}
	same := 0
	began := worst.since
	for _, v := range all {
		if v.status == worst.status {
			same++
			if v.since.Before(began) {
				began = v.since
			}
		}
	}
	if !began.IsZero() {
		s.Since = &metav1.Time{Time: began.Truncate(time.Second)}
	}
	if same < len(all) {
		s.Status = v1alpha1.BackendDegraded
		s.Message = fmt.Sprintf("%d of %d replicas: %s", same, len(all), worst.message)
	}
	return s
}

// weight orders states by how much they matter.
func weight(s v1alpha1.BackendState) int {
	return slices.Index([]v1alpha1.BackendState{v1alpha1.BackendReady, v1alpha1.BackendUnknown, v1alpha1.BackendDegraded, v1alpha1.BackendUnavailable}, s)
}

// tools is how many tools every replica that serves lists.
func tools(all []vote) int32 {
	n, serving := int32(0), false
	for _, v := range all {
		switch {
		case v.serving && !serving:
			n, serving = v.tools, true
		case v.serving:
			n = min(n, v.tools)
		case !serving:
			n = max(n, v.tools)
		}
	}
	return n
}

// breaker is the state that matters most.
func breaker(all []vote) string {
	order := []string{"", string(status.BreakerClosed), string(status.BreakerHalfOpen), string(status.BreakerOpen)}
	at := 0
	for _, v := range all {
		at = max(at, slices.Index(order, v.breaker))
	}
	return order[at]
}
