package status_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/recloser-mcp/recloser/status"
)

// The JSON is an interface: scripts, dashboards and the operator read it.
func TestStatusJSON(t *testing.T) {
	at := func(sec int) time.Time { return time.Date(2026, 1, 2, 3, 4, sec, 0, time.UTC) }
	s := status.Status{
		Phase: status.PhaseDegraded, Ready: true, Version: "v0.1.0", Tools: 3, BackendCount: 2, ReadyBackends: 1,
		Backends: []status.Backend{{
			Name: "vault", Status: status.BackendStatusUnavailable, Reason: status.ReasonAuthRefused, Since: at(1),
			Message: "m", Tried: "t", Fix: "f", Revision: "2025-11-25",
			Reachable: status.Yes, Authenticated: status.No,
			Catalogue:  status.Catalogue{LastRefresh: at(2)},
			Breaker:    status.Breaker{State: status.BreakerOpen, Exhausted: 5, OpenedAt: at(3), NextProbe: at(33)},
			Credential: status.Credential{Type: "bearer", Generation: 2, Issued: at(0), Expires: at(9), Renewable: true, LastRenewal: &status.Renewal{At: at(4), Outcome: status.RenewalSame}},
			Challenge:  &status.Challenge{Scheme: "Bearer", Error: "invalid_token"},
			Counters:   status.Counters{Calls: 10, SavedByRenewal: 1, Exhausted: 5, Refused: 20},
			Tools:      3, Resources: 2, Prompts: 1, InFlight: 4,
			Latency: status.Latency{P50: status.Duration(12345 * time.Microsecond), P95: status.Duration(1500 * time.Millisecond)},
			Process: &status.Process{Command: "npx server", PID: 7, Running: 1, Restarts: 2, LastExit: &status.Exit{At: at(5), PID: 6, Status: "exit status 1",
				Lived: status.Duration(time.Second), Stderr: []string{"no"}, NextStart: at(6)}},
		}, {
			Name: "clock", Status: status.BackendStatusUnknown, Reason: status.ReasonConnecting,
		}},
	}
	got, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	want := `{
 "phase": "Degraded",
 "ready": true,
 "version": "v0.1.0",
 "headline": "",
 "tools": 3,
 "knownTools": 0,
 "savedLastHour": 0,
 "backendCount": 2,
 "readyBackends": 1,
 "backends": [
  {
   "name": "vault",
   "status": "unavailable",
   "reason": "auth_refused",
   "since": "2026-01-02T03:04:01Z",
   "message": "m",
   "tried": "t",
   "fix": "f",
   "affected": 0,
   "revision": "2025-11-25",
   "reachable": true,
   "authenticated": false,
   "session": null,
   "catalogue": {
    "lastRefresh": "2026-01-02T03:04:02Z"
   },
   "breaker": {
    "state": "open",
    "exhausted": 5,
    "openedAt": "2026-01-02T03:04:03Z",
    "nextProbe": "2026-01-02T03:04:33Z"
   },
   "credential": {
    "type": "bearer",
    "generation": 2,
    "issued": "2026-01-02T03:04:00Z",
    "expires": "2026-01-02T03:04:09Z",
    "renewable": true,
    "lastRenewal": {
     "at": "2026-01-02T03:04:04Z",
     "outcome": "same"
    }
   },
   "challenge": {
    "scheme": "Bearer",
    "error": "invalid_token"
   },
   "counters": {
    "calls": 10,
    "savedByRenewal": 1,
    "exhausted": 5,
    "refused": 20
   },
   "tools": 3,
   "resources": 2,
   "prompts": 1,
   "inFlight": 4,
   "latency": {
    "p50": "12.3ms",
    "p95": "1.5s"
   },
   "process": {
    "command": "npx server",
    "pid": 7,
    "running": 1,
    "restarts": 2,
    "lastExit": {
     "at": "2026-01-02T03:04:05Z",
     "pid": 6,
     "status": "exit status 1",
     "lived": "1s",
     "stderr": [
      "no"
     ],
     "nextStart": "2026-01-02T03:04:06Z"
    }
   }
  },
  {
   "name": "clock",
   "status": "unknown",
   "reason": "connecting",
   "message": "",
   "tried": "",
   "fix": "",
   "affected": 0,
   "revision": "",
   "reachable": null,
   "authenticated": null,
   "session": null,
   "catalogue": {},
   "breaker": {
    "state": "",
    "exhausted": 0
   },
   "credential": {
    "type": "",
    "generation": 0,
    "renewable": false
   },
   "counters": {
    "calls": 0,
    "savedByRenewal": 0,
    "exhausted": 0,
    "refused": 0
   },
   "tools": 0,
   "resources": 0,
   "prompts": 0,
   "inFlight": 0,
   "latency": {
    "p50": "0s",
    "p95": "0s"
   }
  }
 ]
}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("JSON (-want +got):\n%s", diff)
	}
	var back status.Status
	if err := json.Unmarshal(got, &back); err != nil {
		t.Fatal(err)
	}
	again, err := json.MarshalIndent(back, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(got), string(again)); diff != "" {
		t.Errorf("read back it differs (-want +got):\n%s", diff)
	}
}

func TestUnmarshalRefusesNonsense(t *testing.T) {
	var f status.Fact
	if err := json.Unmarshal([]byte(`"perhaps"`), &f); err == nil {
		t.Error("a fact that is a string was accepted")
	}
	var d status.Duration
	if err := json.Unmarshal([]byte(`"soon"`), &d); err == nil {
		t.Error("a duration without a number was accepted")
	}
}

func TestFact(t *testing.T) {
	for f, want := range map[status.Fact]string{status.Yes: "yes", status.No: "no", status.Unknown: "unknown"} {
		if f.String() != want {
			t.Errorf("%d reads %s, want %s", f, f, want)
		}
	}
	if status.FactOf(true) != status.Yes || status.FactOf(false) != status.No {
		t.Error("FactOf is wrong")
	}
}

func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0:                        "0s",
		987:                      "987ns",
		1234:                     "1.23µs",
		999999:                   "1ms",
		12345678:                 "12.3ms",
		-1500 * time.Millisecond: "-1.5s",
		time.Hour + 1:            "1h0m0s",
	} {
		if got := status.Duration(d).String(); got != want {
			t.Errorf("%d ns reads %s, want %s", d, got, want)
		}
	}
}

func TestSummarize(t *testing.T) {
	backend := func(s status.BackendStatus, tools int) status.Backend {
		return status.Backend{Status: s, Tools: tools}
	}
	ready := backend(status.BackendStatusReady, 2)
	degraded := backend(status.BackendStatusDegraded, 3)
	unavailable := backend(status.BackendStatusUnavailable, 4)
	unknown := backend(status.BackendStatusUnknown, 0)
	disabled := status.Backend{Status: status.BackendStatusUnknown, Reason: status.ReasonDisabled}
	promptsOnly := status.Backend{Status: status.BackendStatusReady, Prompts: 1}

	type summary struct {
		Phase                status.Phase
		Ready                bool
		Tools, Count, Ready2 int
	}
	for _, test := range []struct {
		name     string
		backends []status.Backend
		age      time.Duration
		want     summary
	}{
		{"no backend", nil, 0, summary{status.PhaseReady, true, 0, 0, 0}},
		{"all disabled", []status.Backend{disabled}, 0, summary{status.PhaseReady, true, 0, 0, 0}},
		{"just started", []status.Backend{unknown, unknown}, 0, summary{status.PhasePending, false, 0, 2, 0}},
		{"some asked", []status.Backend{ready, unknown}, time.Second, summary{status.PhasePending, true, 2, 2, 1}},
		{"all asked", []status.Backend{ready, ready}, time.Second, summary{status.PhaseReady, true, 4, 2, 2}},
		{"all asked, all bad", []status.Backend{unavailable, unavailable}, time.Second, summary{status.PhaseFailed, false, 0, 2, 0}},
		{"just before time is up", []status.Backend{ready, unknown}, 5*time.Second - 1, summary{status.PhasePending, true, 2, 2, 1}},
		{"time is up, one silent", []status.Backend{ready, unknown}, 5 * time.Second, summary{status.PhaseDegraded, true, 2, 2, 1}},
		{"time is up, all silent", []status.Backend{unknown}, 5 * time.Second, summary{status.PhaseFailed, false, 0, 1, 0}},
		{"one unavailable", []status.Backend{ready, unavailable}, time.Hour, summary{status.PhaseDegraded, true, 2, 2, 1}},
		{"one degraded", []status.Backend{ready, degraded}, time.Hour, summary{status.PhaseDegraded, true, 5, 2, 1}},
		{"a disabled one does not matter", []status.Backend{ready, disabled}, 0, summary{status.PhaseReady, true, 2, 1, 1}},
		{"no tools although ready", []status.Backend{promptsOnly}, time.Hour, summary{status.PhaseFailed, false, 0, 1, 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := status.Summarize("v1", test.backends, 0, now, now.Add(test.age))
			got := summary{s.Phase, s.Ready, s.Tools, s.BackendCount, s.ReadyBackends}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if s.Backends == nil {
				t.Error("backends would be null in JSON")
			}
		})
	}
}
