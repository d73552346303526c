package status

import (
	"encoding/json"
	"time"
)

// Detail is the answer of GET /api/v1/backends/{name}: all that is known of one
// backend.
type Detail struct {
	Backend Backend `json:"backend"`
	// Config is the backend's entry as it is in effect, in YAML, without secrets.
	Config string `json:"config"`
	// Catalog is what the backend offers to clients.
	Catalog []Entry `json:"catalog"`
	// Requests are the last ones, the latest first: all that were refused, sent
	// again or failed, and of the others one in a while.
	Requests []Request `json:"requests"`
	// Events are the backend's, the latest first.
	Events []Event `json:"events"`
	// History is its last hour.
	History History `json:"history"`
}

// Entry is one tool, prompt, resource or resource template.
type Entry struct {
	Kind string `json:"kind"` // tool, prompt, resource, template
	// Name is the backend's own name, or the URI of a resource.
	Name string `json:"name"`
	// Public is the name under which clients of /mcp see it.
	Public string `json:"public"`
	// Definition is what the backend listed, under the public name.
	Definition json.RawMessage `json:"definition"`
}

// Request is one call to a backend with every send that was made for it.
type Request struct {
	At      time.Time `json:"at"`
	Method  string    `json:"method"`
	Name    string    `json:"name,omitempty"`
	Took    Duration  `json:"took"`
	Outcome Outcome   `json:"outcome"`
	Reason  Reason    `json:"reason,omitempty"` // of a failure
	TraceID string    `json:"traceId,omitempty"`
	Sends   []Send    `json:"sends"`
}

// Outcome is how a request ended.
type Outcome string

// The outcomes of a request.
const (
	OutcomeOK        Outcome = "ok"        // answered at once
	OutcomeRecovered Outcome = "recovered" // refused first, then answered
	OutcomeFailed    Outcome = "failed"
)

// Send is one physical request.
type Send struct {
	At         time.Time `json:"at"`
	Status     int       `json:"status"`              // of HTTP, 0: no answer
	Cause      string    `json:"cause,omitempty"`     // why it was sent again
	Generation uint64    `json:"generation,omitzero"` // of the credential
	Took       Duration  `json:"took"`
}

// History is what became of a backend, or of the whole gateway, in the last 60
// minutes, the oldest first. The last minute is the running one.
type History struct {
	Minutes []Minute `json:"minutes"`
}

// Minute is one minute of a history.
type Minute struct {
	// Status is the worst status of the minute, empty before the start.
	Status BackendStatus `json:"status,omitempty"`
	Calls  uint64        `json:"calls"`
	Failed uint64        `json:"failed"` // calls that ended with an error of the backend
	Saved  uint64        `json:"saved"`  // calls that a renewal saved
	P95    Duration      `json:"p95"`    // of the minute's calls, 0 without calls
}

// rank orders statuses by how much they matter where several are shown as one.
var rank = map[BackendStatus]int{BackendStatusUnknown: 1, BackendStatusReady: 2, BackendStatusDegraded: 3, BackendStatusUnavailable: 4}

// Worse reports whether s matters more than other where only one can be shown. The
// empty status matters least.
func (s BackendStatus) Worse(other BackendStatus) bool { return rank[s] > rank[other] }

// Add sums up another history into h: calls are added, of the rest the worst counts.
func (h *History) Add(other History) {
	if h.Minutes == nil {
		h.Minutes = make([]Minute, len(other.Minutes))
	}
	for i := range min(len(h.Minutes), len(other.Minutes)) {
		into, m := &h.Minutes[i], other.Minutes[i]
		into.Calls += m.Calls
		into.Failed += m.Failed
		into.Saved += m.Saved
		into.P95 = max(into.P95, m.P95)
		if m.Status.Worse(into.Status) {
			into.Status = m.Status
		}
	}
}
