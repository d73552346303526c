package status

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Status is the answer of GET /api/v1/status.
type Status struct {
	Phase Phase `json:"phase"`
	// Ready is what /readyz answers: true when a tool is served, or when no
	// backend is configured.
	Ready   bool   `json:"ready"`
	Version string `json:"version"`
	// Headline says in one line what matters, the same on every screen.
	Headline string `json:"headline"`
	// Tools is the number of tools served: those of backends that are ready or
	// degraded. Tools that stay listed while their backend is unavailable are
	// not among them.
	Tools int `json:"tools"`
	// KnownTools are those and the others: of every backend that is in use.
	KnownTools int `json:"knownTools"`
	// SavedLastHour is how many calls a renewal has saved within 60 minutes.
	SavedLastHour uint64 `json:"savedLastHour"`
	// BackendCount and ReadyBackends leave disabled backends out.
	BackendCount  int `json:"backendCount"`
	ReadyBackends int `json:"readyBackends"`
	// Backends holds every configured backend, disabled ones too, in the order
	// of the configuration.
	Backends []Backend `json:"backends"`
}

// Phase is the state of the whole gateway in a word.
type Phase string

// The phases.
const (
	PhasePending  Phase = "Pending"  // some backends have not been asked yet
	PhaseReady    Phase = "Ready"    // every backend is ready
	PhaseDegraded Phase = "Degraded" // some are not
	PhaseFailed   Phase = "Failed"   // no tool is served
)

// BackendStatus is the state of one backend in a word.
type BackendStatus string

// The states of a backend. [Derive] has the rules.
const (
	BackendStatusReady       BackendStatus = "ready"       // its last request was answered, and it lists something
	BackendStatusDegraded    BackendStatus = "degraded"    // it serves, but something about it is wrong
	BackendStatusUnavailable BackendStatus = "unavailable" // calls to it fail
	BackendStatusUnknown     BackendStatus = "unknown"     // not asked yet, or disabled
)

// Serves is true when calls to the backend can be expected to succeed.
func (s BackendStatus) Serves() bool {
	return s == BackendStatusReady || s == BackendStatusDegraded
}

// Backend is what is known of one backend. A time that is not known, or does not
// apply, is left out of the JSON.
type Backend struct {
	Name   string        `json:"name"`
	Status BackendStatus `json:"status"`
	Reason Reason        `json:"reason"`
	// Since is when the backend came into this status for this reason.
	Since time.Time `json:"since,omitzero"`
	// Message says what is the case, with the evidence; Tried what the gateway
	// did about it; Fix what the reader does. Fix is empty when there is
	// nothing to do.
	Message string `json:"message"`
	Tried   string `json:"tried"`
	Fix     string `json:"fix"`
	// ClientsSee is what clients of the gateway see of it now, in a sentence or
	// two. It is empty when all is well.
	ClientsSee string `json:"clientsSee,omitempty"`
	// Affected is how many calls have failed through the backend's fault since it
	// was last well.
	Affected uint64 `json:"affected"`
	// NextProbe is when health asks the backend again. A breaker has a time of its
	// own.
	NextProbe time.Time `json:"nextProbe,omitzero"`
	// Paused is true for a backend that somebody has taken out of service until
	// it is resumed.
	Paused bool `json:"paused,omitempty"`
	// Revision is the revision of the protocol that the backend speaks, empty
	// while it is not known.
	Revision string `json:"revision"`

	// The facts that the status was derived from.
	Reachable     Fact       `json:"reachable"`     // the last request got an HTTP answer
	Authenticated Fact       `json:"authenticated"` // the credential is accepted
	Session       Fact       `json:"session"`       // a session is open; unknown where the revision has none
	Catalogue     Catalogue  `json:"catalogue"`
	Breaker       Breaker    `json:"breaker"`
	Credential    Credential `json:"credential"`
	Challenge     *Challenge `json:"challenge,omitempty"` // of the last refusal
	Counters      Counters   `json:"counters"`
	Tools         int        `json:"tools"`
	Resources     int        `json:"resources"` // templates included
	Prompts       int        `json:"prompts"`
	InFlight      int        `json:"inFlight"`
	Latency       Latency    `json:"latency"`
	Process       *Process   `json:"process,omitempty"` // of a backend that is a program
}

// Lists is true when the backend's catalogue holds anything.
func (b *Backend) Lists() bool { return b.Tools+b.Resources+b.Prompts > 0 }

// Fact is something that is so, is not so, or is not known. The zero value is not
// known. In JSON it is true, false or null.
type Fact int8

// The values of a fact.
const (
	Unknown Fact = iota
	Yes
	No
)

// FactOf makes a fact of a bool.
func FactOf(b bool) Fact {
	if b {
		return Yes
	}
	return No
}

// String is "yes", "no" or "unknown".
func (f Fact) String() string {
	switch f {
	case Yes:
		return "yes"
	case No:
		return "no"
	default:
		return "unknown"
	}
}

// MarshalJSON writes true, false or null.
func (f Fact) MarshalJSON() ([]byte, error) {
	switch f {
	case Yes:
		return []byte("true"), nil
	case No:
		return []byte("false"), nil
	default:
		return []byte("null"), nil
	}
}

// UnmarshalJSON reads what MarshalJSON writes.
func (f *Fact) UnmarshalJSON(b []byte) error {
	switch string(b) {
	case "true":
		*f = Yes
	case "false":
		*f = No
	case "null":
		*f = Unknown
	default:
		return fmt.Errorf("a fact is true, false or null, not %.20s", b)
	}
	return nil
}

// Catalogue tells how fresh the lists of a backend are.
type Catalogue struct {
	LastRefresh time.Time `json:"lastRefresh,omitzero"` // of the last one that succeeded
}

// BreakerState is the state of a breaker in a word.
type BreakerState string

// The states of a breaker, spelled as in metrics and traces.
const (
	BreakerClosed   BreakerState = "closed"
	BreakerOpen     BreakerState = "open"
	BreakerHalfOpen BreakerState = "half_open"
)

// Breaker is the state of the breaker between the gateway and one backend.
type Breaker struct {
	State     BreakerState `json:"state"`
	Exhausted int          `json:"exhausted"` // consecutive sequences whose every send was refused
	OpenedAt  time.Time    `json:"openedAt,omitzero"`
	NextProbe time.Time    `json:"nextProbe,omitzero"` // when the next call tries the backend again
}

// Credential describes the credential of a backend, never its value.
type Credential struct {
	Type        string    `json:"type"`       // the strategy: unauthenticated, header, bearer, ...
	Generation  uint64    `json:"generation"` // 1 is the first; 0 means that there is none yet
	Issued      time.Time `json:"issued,omitzero"`
	Expires     time.Time `json:"expires,omitzero"` // left out: never, or not known
	Renewable   bool      `json:"renewable"`
	LastRenewal *Renewal  `json:"lastRenewal,omitempty"`
}

// Renewal is the last attempt to renew a credential.
type Renewal struct {
	At      time.Time      `json:"at"`
	Outcome RenewalOutcome `json:"outcome"`
}

// RenewalOutcome is the result of a renewal.
type RenewalOutcome string

// The results of a renewal.
const (
	RenewalNew       RenewalOutcome = "new"       // a new credential is in use
	RenewalSame      RenewalOutcome = "same"      // nothing newer was to be had
	RenewalPassing   RenewalOutcome = "passing"   // the issuer could not be reached or was out of order
	RenewalPermanent RenewalOutcome = "permanent" // the issuer refuses the grant or the client for good
)

// Challenge is the parsed WWW-Authenticate of a refusal. The backend's
// description is not part of it, because a backend may quote the credential there.
type Challenge struct {
	Scheme           string `json:"scheme"`
	Realm            string `json:"realm,omitempty"`
	Error            string `json:"error,omitempty"`
	Scope            string `json:"scope,omitempty"`
	ResourceMetadata string `json:"resourceMetadata,omitempty"`
}

// String is the challenge in a few words, bounded and on one line. The realm and
// the address of the metadata are left to the JSON.
func (c *Challenge) String() string {
	if c == nil || c.Scheme == "" {
		return ""
	}
	var b strings.Builder
	b.WriteString(oneLine(c.Scheme, 20))
	if c.Error != "" {
		b.WriteString(" error=" + strconv.Quote(oneLine(c.Error, 40)))
	}
	if c.Scope != "" {
		b.WriteString(" scope=" + strconv.Quote(oneLine(c.Scope, 200)))
	}
	return b.String()
}

// oneLine keeps the printable ASCII of s, at most limit characters of it.
func oneLine(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, s)
	if len(s) > limit {
		s = s[:limit] + "..."
	}
	return s
}

// Process is what is known of the processes of a backend that is a program.
type Process struct {
	Command  string `json:"command"`       // as it is configured, without secrets
	PID      int    `json:"pid,omitempty"` // of the process that has run for the longest time
	Running  int    `json:"running"`
	Restarts uint64 `json:"restarts"`           // started in place of one that ended by itself
	LastExit *Exit  `json:"lastExit,omitempty"` // of one that ended by itself
}

// Exit is how a process ended.
type Exit struct {
	At        time.Time `json:"at"`
	PID       int       `json:"pid,omitempty"` // left out: it could not be started
	Status    string    `json:"status"`        // "exit status 1", "signal: killed"
	Lived     Duration  `json:"lived"`
	Stderr    []string  `json:"stderr,omitempty"` // the last lines that it wrote there, without secrets
	NextStart time.Time `json:"nextStart,omitzero"`
}

// Counters count the calls to a backend since the gateway started.
type Counters struct {
	Calls          uint64 `json:"calls"`
	SavedByRenewal uint64 `json:"savedByRenewal"` // refused first, then answered
	Exhausted      uint64 `json:"exhausted"`      // sequences whose every send was refused
	Refused        uint64 `json:"refused"`        // sends that were refused
}

// Latency is how long calls of the last five minutes took; zero without calls.
type Latency struct {
	P50 Duration `json:"p50"`
	P95 Duration `json:"p95"`
}

// Duration is a time.Duration that is written as in the configuration: "12ms",
// "1.5s". It is rounded to three digits, which is as exact as a percentile is.
type Duration time.Duration

// String is the rounded duration.
func (d Duration) String() string {
	t := time.Duration(d)
	unit := time.Duration(1)
	for t.Abs() >= 1000*unit {
		unit *= 10
	}
	return t.Round(unit).String()
}

// MarshalText writes String.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what time.ParseDuration accepts.
func (d *Duration) UnmarshalText(text []byte) error {
	t, err := time.ParseDuration(string(text))
	if err != nil {
		return err
	}
	*d = Duration(t)
	return nil
}
