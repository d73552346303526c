package status_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/recloser-mcp/recloser/status"
)

var now = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

func ago(d time.Duration) time.Time { return now.Add(-d) }

// healthy is a backend that answered a second ago and lists three tools.
func healthy(change ...func(*status.Facts)) status.Facts {
	f := status.Facts{
		Backend: status.Backend{
			Name:      "weather",
			Tools:     3,
			Catalogue: status.Catalogue{LastRefresh: ago(time.Minute)},
		},
		Now:        now,
		LastAnswer: ago(time.Second),
	}
	for _, c := range change {
		c(&f)
	}
	return f
}

func failed(r status.Reason, code int, at time.Duration) func(*status.Facts) {
	return func(f *status.Facts) { f.LastFailure = &status.Failure{At: ago(at), Reason: r, Status: code} }
}

func breaker(s status.BreakerState, n int) func(*status.Facts) {
	return func(f *status.Facts) { f.Breaker = status.Breaker{State: s, Exhausted: n} }
}

func renewal(o status.RenewalOutcome) func(*status.Facts) {
	return func(f *status.Facts) { f.Credential.LastRenewal = &status.Renewal{At: ago(time.Minute), Outcome: o} }
}

func never(f *status.Facts) {
	f.LastAnswer, f.Tools, f.Catalogue = time.Time{}, 0, status.Catalogue{}
}

func probes(n int) func(*status.Facts) { return func(f *status.Facts) { f.FailedProbes = n } }

// Each rule of Derive has a row, and so has each order between two rules that
// both fit.
func TestDerive(t *testing.T) {
	const (
		ready       = status.BackendStatusReady
		degraded    = status.BackendStatusDegraded
		unavailable = status.BackendStatusUnavailable
		unknown     = status.BackendStatusUnknown
	)
	for _, test := range []struct {
		name   string
		facts  status.Facts
		status status.BackendStatus
		reason status.Reason
		words  string // to be found in the message
	}{
		// unknown
		{"disabled", healthy(func(f *status.Facts) { f.Disabled = true }), unknown, status.ReasonDisabled, ""},
		{"not asked yet", healthy(never), unknown, status.ReasonConnecting, ""},
		{"answers, lists not read yet", healthy(func(f *status.Facts) { f.Tools, f.Catalogue.LastRefresh = 0, time.Time{} }), unknown, status.ReasonConnecting, "being read"},

		// unavailable at once: the credential
		{"one exhausted sequence", healthy(breaker(status.BreakerClosed, 1)), unavailable, status.ReasonAuthRefused, "1 exhausted sequence"},
		{"breaker open", healthy(breaker(status.BreakerOpen, 5)), unavailable, status.ReasonAuthRefused, "open after 5 exhausted"},
		{"breaker half open", healthy(breaker(status.BreakerHalfOpen, 5)), unavailable, status.ReasonAuthRefused, "half open"},
		{"breaker open while lists go on", healthy(breaker(status.BreakerOpen, 5), failed(status.ReasonAuthRefused, 401, 10*time.Second), func(f *status.Facts) { f.CallsOnly = true }), unavailable, status.ReasonAuthRefused, "lists openly"},
		{"probe refused for good", healthy(func(f *status.Facts) { f.ProbeRefused = true }), unavailable, status.ReasonAuthRefused, ""},
		{"first probe refused", healthy(never, func(f *status.Facts) { f.ProbeRefused = true }), unavailable, status.ReasonAuthRefused, ""},
		{"refused, with a challenge", healthy(failed(status.ReasonAuthRefused, 401, 0), func(f *status.Facts) {
			f.Challenge = &status.Challenge{Scheme: "Bearer", Error: "invalid_token"}
		}), unavailable, status.ReasonAuthRefused, `Bearer error="invalid_token"`},
		{"refused, the answer's status", healthy(failed(status.ReasonAuthRefused, 403, 0)), unavailable, status.ReasonAuthRefused, "HTTP 403"},
		{"grant expired", healthy(failed(status.ReasonGrantExpired, 0, 0)), unavailable, status.ReasonGrantExpired, "token server refuses"},
		{"no credential, issuer away", healthy(failed(status.ReasonRenewalUnavailable, 0, 0)), unavailable, status.ReasonRenewalUnavailable, "cannot be reached"},
		{"breaker open because the grant is gone", healthy(breaker(status.BreakerOpen, 5), renewal(status.RenewalPermanent)), unavailable, status.ReasonGrantExpired, ""},
		{"breaker open while the issuer is away", healthy(breaker(status.BreakerOpen, 5), renewal(status.RenewalPassing)), unavailable, status.ReasonRenewalUnavailable, ""},
		{"breaker open although renewal works", healthy(breaker(status.BreakerOpen, 5), renewal(status.RenewalNew)), unavailable, status.ReasonAuthRefused, ""},
		{"breaker open, nothing newer to be had", healthy(breaker(status.BreakerOpen, 5), renewal(status.RenewalSame)), unavailable, status.ReasonAuthRefused, ""},
		{"refused, answered since", healthy(failed(status.ReasonAuthRefused, 401, time.Minute)), ready, status.ReasonOK, ""},

		// unavailable: no answer
		{"probes failed as often as it takes", healthy(probes(3), failed(status.ReasonUnreachable, 0, 0)), unavailable, status.ReasonUnreachable, "3 probes in a row"},
		{"one probe fewer", healthy(probes(2), failed(status.ReasonUnreachable, 0, 0)), degraded, status.ReasonUnreachable, ""},
		{"own setting, reached", healthy(probes(1), failed(status.ReasonTimeout, 0, 0), func(f *status.Facts) { f.UnavailableAfter = 1 }), unavailable, status.ReasonTimeout, ""},
		{"own setting, not reached", healthy(probes(4), failed(status.ReasonTimeout, 0, 0), func(f *status.Facts) { f.UnavailableAfter = 5 }), degraded, status.ReasonTimeout, ""},
		{"probes failed, reason not known", healthy(probes(3)), unavailable, status.ReasonUnreachable, ""},
		{"probes: tls", healthy(probes(3), failed(status.ReasonTLSFailed, 0, 0)), unavailable, status.ReasonTLSFailed, ""},
		{"probes: 503", healthy(probes(3), failed(status.ReasonServerError, 503, 0)), unavailable, status.ReasonServerError, "HTTP 503"},
		{"dead from the start", healthy(never, probes(1), failed(status.ReasonUnreachable, 0, 0)), unavailable, status.ReasonUnreachable, ""},
		{"no MCP from the start", healthy(never, failed(status.ReasonProtocolError, 200, 0)), unavailable, status.ReasonProtocolError, ""},

		// degraded
		{"last request failed", healthy(failed(status.ReasonServerError, 502, 0)), degraded, status.ReasonServerError, ""},
		{"failed at the same instant as it answered", healthy(failed(status.ReasonServerError, 502, time.Second)), degraded, status.ReasonServerError, ""},
		{"failed before it answered", healthy(failed(status.ReasonServerError, 502, time.Minute)), ready, status.ReasonOK, ""},
		{"scope missing", healthy(failed(status.ReasonScopeMissing, 403, 0), func(f *status.Facts) {
			f.Challenge = &status.Challenge{Scheme: "Bearer", Error: "insufficient_scope", Scope: "a b"}
		}), degraded, status.ReasonScopeMissing, `scope="a b"`},
		{"renewal ahead of time fails", healthy(renewal(status.RenewalPassing)), degraded, status.ReasonRenewalUnavailable, "still accepted"},
		{"renewal ahead of time refused", healthy(renewal(status.RenewalPermanent)), degraded, status.ReasonGrantExpired, "still accepted"},
		{"renewal without news", healthy(renewal(status.RenewalSame)), ready, status.ReasonOK, ""},
		{"slow", healthy(func(f *status.Facts) { f.Latency.P95 = status.Duration(5*time.Second + 1) }), degraded, status.ReasonTimeout, "slow"},
		{"not yet slow", healthy(func(f *status.Facts) { f.Latency.P95 = status.Duration(5 * time.Second) }), ready, status.ReasonOK, ""},
		{"one in twenty fails", healthy(failed(status.ReasonServerError, 500, time.Minute), func(f *status.Facts) { f.RecentFailures, f.RecentRequests = 5, 100 }), degraded, status.ReasonServerError, "5 of its last 100"},
		{"fewer fail", healthy(failed(status.ReasonServerError, 500, time.Minute), func(f *status.Facts) { f.RecentFailures, f.RecentRequests, f.AnsweredSince = 4, 100, 3 }), ready, status.ReasonOK, ""},
		{"one failed, too few answers since", healthy(failed(status.ReasonTimeout, 0, time.Minute), func(f *status.Facts) { f.RecentFailures, f.RecentRequests, f.AnsweredSince = 1, 100, 2 }), degraded, status.ReasonTimeout, "1 of its last 100"},
		{"one failed and three answers followed, of few", healthy(failed(status.ReasonTimeout, 0, time.Minute), func(f *status.Facts) { f.RecentFailures, f.RecentRequests, f.AnsweredSince = 1, 4, 3 }), ready, status.ReasonOK, ""},
		{"it could not be reached once", healthy(failed(status.ReasonUnreachable, 0, time.Minute), func(f *status.Facts) { f.RecentFailures, f.RecentRequests, f.AnsweredSince = 1, 4, 0 }), ready, status.ReasonOK, ""},
		{"many failed, the cause is mended", healthy(failed(status.ReasonAuthRefused, 401, time.Minute), func(f *status.Facts) { f.RecentFailures, f.RecentRequests = 50, 100 }), ready, status.ReasonOK, ""},
		{"lists nothing", healthy(func(f *status.Facts) { f.Tools = 0 }), degraded, status.ReasonNoTools, ""},

		// ready
		{"ready", healthy(), ready, status.ReasonOK, ""},
		{"lists prompts only", healthy(func(f *status.Facts) { f.Tools, f.Prompts = 0, 1 }), ready, status.ReasonOK, ""},
		{"lists resources only", healthy(func(f *status.Facts) { f.Tools, f.Resources = 0, 1 }), ready, status.ReasonOK, ""},
		{"one tool is forbidden", healthy(failed(status.ReasonAuthForbidden, 403, 0)), ready, status.ReasonOK, ""},
		{"the caller left", healthy(failed("canceled", 0, 0)), ready, status.ReasonOK, ""},

		// order
		{"refused and unreachable", healthy(breaker(status.BreakerOpen, 5), probes(9), failed(status.ReasonUnreachable, 0, 0)), unavailable, status.ReasonAuthRefused, "did not answer 9 probes"},
		{"call rejected by the breaker", healthy(breaker(status.BreakerOpen, 5), failed(status.ReasonBreakerOpen, 0, 0)), unavailable, status.ReasonAuthRefused, ""},
		{"disabled and refused", healthy(breaker(status.BreakerOpen, 5), func(f *status.Facts) { f.Disabled = true }), unknown, status.ReasonDisabled, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := status.Derive(test.facts)
			if b.Status != test.status || b.Reason != test.reason {
				t.Fatalf("is %s / %s, want %s / %s", b.Status, b.Reason, test.status, test.reason)
			}
			if !strings.Contains(b.Message, test.words) {
				t.Errorf("message %q, want %q in it", b.Message, test.words)
			}
			if strings.Contains(b.Message+b.Tried+b.Fix+b.ClientsSee, "NAME") {
				t.Errorf("the backend's name is not filled in: %q, %q, %q, %q", b.Message, b.Tried, b.Fix, b.ClientsSee)
			}
			if (b.Status == ready) != (b.ClientsSee == "") {
				t.Errorf("clients see %q", b.ClientsSee)
			}
			if ok := b.Reason == status.ReasonOK || b.Reason == status.ReasonConnecting; ok != (b.Fix == "") {
				t.Errorf("fix is %q", b.Fix)
			}
			if b.Message == "" || b.Tried == "" {
				t.Errorf("message %q, tried %q", b.Message, b.Tried)
			}
		})
	}
}

// What clients see depends on more than the reason: on whether the backend still
// serves, and on whether it ever listed anything.
func TestWhatClientsSee(t *testing.T) {
	for _, test := range []struct {
		name  string
		facts status.Facts
		want  string // the beginning
	}{
		{"well", healthy(), ""},
		{"refused", healthy(breaker(status.BreakerOpen, 5)), "The tools of weather stay listed. Each call ends with an error"},
		{"refused from the start", healthy(never, func(f *status.Facts) { f.ProbeRefused = true }), "Nothing of weather is listed, because it has listed nothing"},
		{"renewal fails ahead of time", healthy(renewal(status.RenewalPassing)), "Nothing yet: calls are answered"},
		{"renewal fails, and it is refused", healthy(breaker(status.BreakerOpen, 5), renewal(status.RenewalPassing)), "The tools of weather stay listed. Each call ends"},
		{"some calls fail", healthy(failed(status.ReasonServerError, 502, 0)), "The tools of weather stay listed, and calls are sent to it."},
		{"every call fails", healthy(probes(3), failed(status.ReasonServerError, 503, 0)), "The tools of weather stay listed. Each call ends with an error"},
		{"a scope is missing", healthy(failed(status.ReasonScopeMissing, 403, 0)), "Calls that need the scope"},
		{"it lists nothing", healthy(func(f *status.Facts) { f.Tools = 0 }), "Nothing of weather is listed."},
		{"not asked yet", healthy(never), "The tools of weather are not listed yet."},
		{"disabled", healthy(func(f *status.Facts) { f.Disabled = true }), "Nothing of weather is listed, and its names"},
	} {
		got := status.Derive(test.facts).ClientsSee
		if (got == "") != (test.want == "") || !strings.HasPrefix(got, test.want) {
			t.Errorf("%s: clients see %q, want %q", test.name, got, test.want)
		}
	}
}

// A process that ended is described by what it said itself.
func TestProcessExitedNamesCommandAndLastLine(t *testing.T) {
	f := healthy(never, failed(status.ReasonProcessExited, 0, 0), func(f *status.Facts) {
		f.Process = &status.Process{Command: "npx -y server ${TOKEN}", LastExit: &status.Exit{At: ago(0), PID: 7, Status: "exit status 3",
			Lived: status.Duration(120 * time.Millisecond), Stderr: []string{"starting", "no file: \x1b[31mdata.db"}, NextStart: now.Add(5 * time.Second)}}
	})
	b := status.Derive(f)
	if b.Status != status.BackendStatusUnavailable || b.Reason != status.ReasonProcessExited {
		t.Errorf("is %s / %s", b.Status, b.Reason)
	}
	const message = "The process of weather has ended. It ended after 120ms: exit status 3. It ends again and again and is not started before 2026-03-04T05:06:12Z."
	const fix = `Its command is: npx -y server ${TOKEN}; the last line that it printed: "no file: [31mdata.db".`
	if b.Message != message || !strings.HasPrefix(b.Fix, fix) {
		t.Errorf("message %q\nfix %q", b.Message, b.Fix)
	}
	f.Process.LastExit = &status.Exit{Status: "there is no such program"}
	if b := status.Derive(f); !strings.Contains(b.Message, "It could not be started: there is no such program.") {
		t.Errorf("message %q", b.Message)
	}
	f.Process.LastExit = nil
	if b := status.Derive(f); !strings.HasPrefix(b.Fix, "Its command is: npx -y server ${TOKEN}. Run") {
		t.Errorf("fix %q", b.Fix)
	}
}

func TestDeriveKeepsTheFacts(t *testing.T) {
	f := healthy()
	f.Backend = status.Backend{
		Name: "weather", Revision: "2025-11-25", Reachable: status.Yes, Authenticated: status.No, Session: status.Yes,
		Breaker:    status.Breaker{State: status.BreakerOpen, Exhausted: 5, OpenedAt: ago(2), NextProbe: ago(1)},
		Credential: status.Credential{Type: "bearer", Generation: 4},
		Counters:   status.Counters{Calls: 9, Refused: 3},
		Tools:      1, Resources: 2, Prompts: 3, InFlight: 4,
	}
	want := f.Backend
	got := status.Derive(f)
	want.Status, want.Reason, want.Since = got.Status, got.Reason, got.Since
	want.Message, want.Tried, want.Fix, want.ClientsSee = got.Message, got.Tried, got.Fix, got.ClientsSee
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("facts changed (-want +got):\n%s", diff)
	}
}

func TestSince(t *testing.T) {
	earlier := status.Backend{Status: status.BackendStatusUnavailable, Reason: status.ReasonAuthRefused, Since: ago(time.Hour)}
	other := status.Backend{Status: status.BackendStatusReady, Reason: status.ReasonOK, Since: ago(time.Hour)}
	trouble := func(f *status.Facts) { f.Trouble = ago(time.Minute) }
	before := func(b status.Backend) func(*status.Facts) {
		return func(f *status.Facts) { f.Previous = &b }
	}
	for _, test := range []struct {
		name  string
		facts status.Facts
		want  time.Time
	}{
		{"unchanged", healthy(breaker(status.BreakerOpen, 5), trouble, before(earlier)), ago(time.Hour)},
		{"changed, the first refusal is known", healthy(breaker(status.BreakerOpen, 5), trouble, before(other)), ago(time.Minute)},
		{"changed, nothing is known", healthy(breaker(status.BreakerOpen, 5), before(other)), now},
		{"changed back", healthy(before(earlier)), now},
		{"first look at a failure", healthy(failed(status.ReasonTimeout, 0, time.Second)), ago(time.Second)},
		{"first look", healthy(), now},
		{"trouble began before the last change", healthy(breaker(status.BreakerOpen, 5), trouble, before(status.Backend{
			Status: status.BackendStatusDegraded, Reason: status.ReasonServerError, Since: ago(time.Second),
		})), now},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := status.Derive(test.facts).Since; !got.Equal(test.want) {
				t.Errorf("since %s, want %s", got, test.want)
			}
		})
	}
}

// A challenge comes from outside: its words are cut, and printable.
func TestChallengeIsBounded(t *testing.T) {
	c := &status.Challenge{Scheme: "Bearer", Error: "bad\r\n\x1b[31m" + strings.Repeat("x", 9999), Scope: strings.Repeat("s", 9999)}
	s := c.String()
	if len(s) > 400 || strings.ContainsAny(s, "\r\n\x1b") {
		t.Errorf("%d characters: %q", len(s), s)
	}
	if s := (*status.Challenge)(nil).String(); s != "" {
		t.Errorf("no challenge reads %q", s)
	}
}
