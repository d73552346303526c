package verdict_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/recloser-mcp/recloser/operator/api/v1alpha1"
	"github.com/recloser-mcp/recloser/operator/internal/verdict"
	"github.com/recloser-mcp/recloser/status"
)

var now = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// b is what a pod says of a backend.
func b(name string, s status.BackendStatus, r status.Reason, tools int) status.Backend {
	return status.Backend{Name: name, Status: s, Reason: r, Message: name + " " + string(r) + ".", Since: now.Add(-time.Minute), Tools: tools,
		Breaker: status.Breaker{State: status.BreakerClosed}}
}

// pod is one that answers, and serves when a tool is.
func pod(name string, backends ...status.Backend) verdict.Replica {
	s := status.Summarize("test", backends, 0, now.Add(-time.Hour), now)
	return verdict.Replica{Name: name, Serving: s.Ready, Status: &s}
}

var (
	ready       = b("a", status.BackendStatusReady, status.ReasonOK, 3)
	degraded    = b("a", status.BackendStatusDegraded, status.ReasonRenewalUnavailable, 3)
	unavailable = b("a", status.BackendStatusUnavailable, status.ReasonAuthRefused, 3)
	connecting  = b("a", status.BackendStatusUnknown, status.ReasonConnecting, 0)
	disabled    = b("a", status.BackendStatusUnknown, status.ReasonDisabled, 0)
	silent      = verdict.Replica{Name: "silent", Serving: true}
	starting    = verdict.Replica{Name: "starting"}
)

// Every combination of what two pods say has a row.
func TestMerge(t *testing.T) {
	for _, test := range []struct {
		name     string
		replicas []verdict.Replica
		want     string // state, reason, tools
	}{
		{"nobody answers", nil, "unknown connecting 0"},
		{"one starts", []verdict.Replica{starting}, "unknown connecting 0"},
		{"one that served is silent", []verdict.Replica{silent}, "unknown replica_unreachable 0"},
		{"one is ready", []verdict.Replica{pod("x", ready)}, "ready ok 3"},
		{"both are ready", []verdict.Replica{pod("x", ready), pod("y", ready)}, "ready ok 3"},
		{"both are unavailable", []verdict.Replica{pod("x", unavailable), pod("y", unavailable)}, "unavailable auth_refused 3"},
		{"they do not agree", []verdict.Replica{pod("x", ready), pod("y", unavailable)}, "degraded auth_refused 3"},
		{"one is degraded", []verdict.Replica{pod("x", ready), pod("y", degraded)}, "degraded renewal_unavailable 3"},
		{"one is degraded, one unavailable", []verdict.Replica{pod("x", degraded), pod("y", unavailable)}, "degraded auth_refused 3"},
		{"a new one asks yet", []verdict.Replica{pod("x", ready), pod("y", connecting)}, "ready ok 3"},
		{"a new one does not answer yet", []verdict.Replica{pod("x", ready), starting}, "ready ok 3"},
		{"one that serves does not answer", []verdict.Replica{pod("x", ready), silent}, "degraded replica_unreachable 0"},
		{"one does not have it yet", []verdict.Replica{pod("x", ready), pod("y")}, "ready ok 3"},
		{"none has it yet", []verdict.Replica{pod("y")}, "unknown connecting 0"},
		{"disabled", []verdict.Replica{pod("x", disabled), pod("y", disabled)}, "unknown disabled 0"},
		{"paused at one", []verdict.Replica{pod("x", disabled), pod("y", ready)}, "degraded disabled 0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := verdict.Merge(verdict.Wanted{Name: "a", InEffect: true}, test.replicas, nil, now)
			if s := fmt.Sprintf("%s %s %d", got.Status, got.Reason, got.Tools); s != test.want {
				t.Errorf("got %s, want %s", s, test.want)
			}
			if got.Since == nil {
				t.Error("it does not say since when")
			}
		})
	}
}

// A message of replicas that do not agree says how many say so, and the state began when
// the first of them came into it.
func TestMergeTellsHowMany(t *testing.T) {
	early := unavailable
	early.Since = now.Add(-time.Hour)
	early.Breaker.State = status.BreakerOpen
	got := verdict.Merge(verdict.Wanted{Name: "a", InEffect: true}, []verdict.Replica{pod("x", unavailable), pod("y", early), pod("z", ready)}, nil, now)
	if want := "2 of 3 replicas: a auth_refused."; got.Message != want {
		t.Errorf("message %q, want %q", got.Message, want)
	}
	if !got.Since.Time.Equal(early.Since) || got.Breaker != "open" {
		t.Errorf("since %v with breaker %s, want %v and open", got.Since, got.Breaker, early.Since)
	}
}

// The time of a state that the operator has found itself stays as long as the state does.
func TestSinceStays(t *testing.T) {
	w := verdict.Wanted{Name: "a", Problem: &verdict.Problem{Reason: verdict.ReasonSecretKeyNotFound, Message: "no key"}}
	first := verdict.Merge(w, nil, nil, now)
	if first.Status != v1alpha1.BackendUnavailable || first.Reason != "secret_key_not_found" || first.Message != "no key" {
		t.Fatalf("got %+v", first)
	}
	if again := verdict.Merge(w, nil, &first, now.Add(time.Hour)); !again.Since.Equal(first.Since) {
		t.Errorf("since %v, want %v", again.Since, first.Since)
	}
	w.Problem = &verdict.Problem{Reason: verdict.ReasonSecretNotFound, Message: "none"}
	if other := verdict.Merge(w, nil, &first, now.Add(time.Hour)); other.Since.Equal(first.Since) {
		t.Error("another reason has the time of the one before")
	}
}

// A spec that is refused is told also where the one before it goes on and is well.
func TestRefusedSpecIsNotReady(t *testing.T) {
	w := verdict.Wanted{Name: "a", InEffect: true, Problem: &verdict.Problem{Reason: verdict.ReasonConfigurationRefused, Message: "It is wrong."}}
	got := verdict.Merge(w, []verdict.Replica{pod("x", ready)}, nil, now)
	if got.Status != v1alpha1.BackendDegraded || got.Reason != "configuration_refused" || !strings.Contains(got.Message, "It is wrong.") || got.Tools != 3 {
		t.Errorf("got %+v", got)
	}
}

// gateway makes the status of one that takes in the named backends.
func gateway(change func(*verdict.Facts), names ...string) v1alpha1.VirtualMCPServerStatus {
	f := verdict.Facts{Resource: &v1alpha1.VirtualMCPServer{ObjectMeta: metav1.ObjectMeta{Name: "g", Namespace: "n", Generation: 7}}, Configured: true,
		Workload: verdict.Workload{Replicas: 1, Available: true}, Now: now}
	for _, n := range names {
		f.Wanted = append(f.Wanted, verdict.Wanted{Name: n, InEffect: true})
	}
	change(&f)
	return verdict.Gateway(f)
}

func TestGateway(t *testing.T) {
	two := b("b", status.BackendStatusReady, status.ReasonOK, 2)
	image := &verdict.Problem{Reason: "ImagePullBackOff", Message: "no such image"}
	for _, test := range []struct {
		name   string
		wanted []string
		change func(*verdict.Facts)
		// phase, ready/all, tools; then Ready, Degraded, BackendsDiscovered, Accepted with reasons
		want, conditions string
	}{
		{"all is well", []string{"a", "b"}, func(f *verdict.Facts) { f.Replicas = []verdict.Replica{pod("x", ready, two)} },
			"Ready 2/2 5", "True/Serving False/AllBackendsReady True/BackendsDiscovered True/Accepted"},
		{"one refuses every call", []string{"a", "b"}, func(f *verdict.Facts) { f.Replicas = []verdict.Replica{pod("x", unavailable, two)} },
			"Degraded 1/2 2", "True/Serving True/BackendsNotReady True/BackendsDiscovered True/Accepted"},
		{"all refuse every call", []string{"a"}, func(f *verdict.Facts) {
			f.Replicas = []verdict.Replica{pod("x", unavailable)}
			f.Workload.Available = false
		}, "Failed 0/1 0", "False/NoToolServed True/BackendsNotReady True/BackendsDiscovered True/Accepted"},
		{"nothing runs yet", []string{"a"}, func(f *verdict.Facts) { f.Workload = verdict.Workload{} },
			"Pending 0/1 0", "False/DeploymentUnavailable Unknown/NotAsked True/BackendsDiscovered True/Accepted"},
		{"the endpoint is not ready yet", []string{"a"}, func(f *verdict.Facts) {
			f.Replicas = []verdict.Replica{pod("x", ready)}
			f.Replicas[0].Serving, f.Workload.Available = false, false
		}, "Pending 1/1 0", "False/DeploymentUnavailable False/AllBackendsReady True/BackendsDiscovered True/Accepted"},
		{"the image does not exist", []string{"a"}, func(f *verdict.Facts) { f.Workload = verdict.Workload{Trouble: image} },
			"Failed 0/1 0", "False/ImagePullBackOff Unknown/NotAsked True/BackendsDiscovered True/Accepted"},
		{"a new image does not exist", []string{"a"}, func(f *verdict.Facts) {
			f.Replicas = []verdict.Replica{pod("x", ready)}
			f.Workload.Trouble = image
		}, "Ready 1/1 3", "True/RolloutFailing False/AllBackendsReady True/BackendsDiscovered True/Accepted"},
		{"no backends", nil, func(f *verdict.Facts) { f.Replicas = []verdict.Replica{pod("x")} },
			"Pending 0/0 0", "False/NoBackends False/AllBackendsReady False/NoBackends True/Accepted"},
		{"a named backend is missing", []string{"a", "b"}, func(f *verdict.Facts) {
			f.Wanted[1] = verdict.Wanted{Name: "b", Problem: &verdict.Problem{Reason: verdict.ReasonBackendNotFound, Message: "none"}}
			f.Replicas = []verdict.Replica{pod("x", ready)}
		}, "Degraded 1/2 3", "True/Serving True/BackendsNotReady False/BackendNotFound False/BackendNotFound"},
		{"the spec was never good", []string{"a"}, func(f *verdict.Facts) {
			f.Configured, f.Wanted[0].InEffect, f.Workload = false, false, verdict.Workload{}
			f.Problems = []*verdict.Problem{{Reason: verdict.ReasonConfigurationRefused, Message: "wrong"}}
		}, "Failed 0/1 0", "False/ConfigurationRefused Unknown/NotAsked True/BackendsDiscovered False/ConfigurationRefused"},
		{"the spec is no longer good", []string{"a"}, func(f *verdict.Facts) {
			f.Replicas = []verdict.Replica{pod("x", ready)}
			f.Problems = []*verdict.Problem{{Reason: verdict.ReasonSecretNotFound, Message: "gone"}}
		}, "Ready 1/1 3", "True/Serving False/AllBackendsReady True/BackendsDiscovered False/SecretNotFound"},
		{"one is disabled", []string{"a", "b"}, func(f *verdict.Facts) { f.Replicas = []verdict.Replica{pod("x", disabled, two)} },
			"Ready 1/1 2", "True/Serving False/AllBackendsReady True/BackendsDiscovered True/Accepted"},
		{"a pod refuses its configuration", []string{"a"}, func(f *verdict.Facts) {
			f.Replicas = []verdict.Replica{pod("x", ready)}
			f.Replicas[0].Refused = "no file"
		}, "Ready 1/1 3", "True/Serving False/AllBackendsReady True/BackendsDiscovered False/ConfigurationRefused"},
		{"pods with other numbers of tools", []string{"a"}, func(f *verdict.Facts) {
			fewer := ready
			fewer.Tools = 1
			f.Replicas = []verdict.Replica{pod("x", ready), pod("y", fewer)}
		}, "Ready 1/1 1", "True/Serving False/AllBackendsReady True/BackendsDiscovered True/Accepted"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := gateway(test.change, test.wanted...)
			if got := fmt.Sprintf("%s %s %d", s.Phase, s.ReadyOfAll, s.Tools); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
			var got []string
			for _, kind := range []string{v1alpha1.ConditionReady, v1alpha1.ConditionDegraded, v1alpha1.ConditionBackendsDiscovered, v1alpha1.ConditionAccepted} {
				c := meta.FindStatusCondition(s.Conditions, kind)
				got = append(got, string(c.Status)+"/"+c.Reason)
				if c.Message == "" || c.ObservedGeneration != 7 {
					t.Errorf("%s has message %q and generation %d", kind, c.Message, c.ObservedGeneration)
				}
			}
			if g := strings.Join(got, " "); g != test.conditions {
				t.Errorf("conditions\n got %s\nwant %s", g, test.conditions)
			}
		})
	}
}

func TestBackend(t *testing.T) {
	view := func(gateway string, s v1alpha1.BackendState, reason string) v1alpha1.VirtualMCPServer {
		g := v1alpha1.VirtualMCPServer{ObjectMeta: metav1.ObjectMeta{Name: gateway}}
		g.Status.Backends = []v1alpha1.BackendStatus{{Name: "other"}, {Name: "a", Status: s, Reason: reason, Message: "So it is.", Tools: 2}}
		return g
	}
	for _, test := range []struct {
		name     string
		gateways []v1alpha1.VirtualMCPServer
		problem  *verdict.Problem
		want     string
	}{
		{"nobody has it", nil, nil, "0 Unknown/NotUsed True/Accepted"},
		{"one has it", []v1alpha1.VirtualMCPServer{view("g", v1alpha1.BackendReady, "ok")}, nil, "1 True/Ready True/Accepted"},
		{"the worst counts", []v1alpha1.VirtualMCPServer{view("h", v1alpha1.BackendReady, "ok"), view("g", v1alpha1.BackendUnavailable, "auth_refused")}, nil,
			"2 False/AuthRefused True/Accepted"},
		{"not asked yet", []v1alpha1.VirtualMCPServer{view("g", v1alpha1.BackendUnknown, "connecting")}, nil, "1 Unknown/Connecting True/Accepted"},
		{"it is wrong", []v1alpha1.VirtualMCPServer{view("g", v1alpha1.BackendUnavailable, "secret_not_found")},
			&verdict.Problem{Reason: verdict.ReasonSecretNotFound, Message: "none"}, "1 False/SecretNotFound False/SecretNotFound"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := verdict.Backend(&v1alpha1.MCPBackend{ObjectMeta: metav1.ObjectMeta{Name: "a", Generation: 3}}, "https://x", test.problem, test.gateways)
			r, a := meta.FindStatusCondition(s.Conditions, "Ready"), meta.FindStatusCondition(s.Conditions, "Accepted")
			if got := fmt.Sprintf("%d %s/%s %s/%s", s.GatewayCount, r.Status, r.Reason, a.Status, a.Reason); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
			for i, g := range s.Gateways {
				if i > 0 && s.Gateways[i-1].Name >= g.Name || g.Message == "" || g.Tools != 2 {
					t.Errorf("view %+v", g)
				}
			}
		})
	}
}
