package doctor

import (
	"time"

	"github.com/recloser-mcp/recloser/status"
)

// Fault says of which kind the broken rung is.
type Fault string

// The faults.
const (
	Sound          Fault = ""               // no rung is broken
	Configuration  Fault = "configuration"  // the document, or what it refers to
	Unreachable    Fault = "unreachable"    // no MCP server answers there
	Authentication Fault = "authentication" // the credential is missing, expired or refused
	Other          Fault = "other"          // it answers, but serves nothing
)

// Rung is one step of the ladder.
type Rung struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	// Evidence is what was seen. Values of credentials are not in it.
	Evidence string `json:"evidence"`
	// Fix is what to do about a broken rung.
	Fix string `json:"fix,omitempty"`
}

// Report is what was found out about one backend.
type Report struct {
	Backend string `json:"backend"`
	Fault   Fault  `json:"fault,omitempty"`
	// Rungs are those that were climbed; only the last one can be broken.
	Rungs []Rung `json:"rungs"`
	// NotReached are the names of those above a broken one.
	NotReached []string      `json:"notReached,omitempty"`
	Took       time.Duration `json:"-"`
	// Gateway is what a running gateway says of the backend; nil: none was asked.
	Gateway *status.Backend `json:"gateway,omitempty"`
}

// Broken returns the broken rung, nil when there is none.
func (r *Report) Broken() *Rung {
	if n := len(r.Rungs); n > 0 && !r.Rungs[n-1].OK {
		return &r.Rungs[n-1]
	}
	return nil
}

// Compare adds what a running gateway says. Where the ladder is whole and the
// gateway is not content, that is the broken rung: it has seen calls, and an
// examination makes none.
func (r *Report) Compare(b status.Backend) {
	r.Gateway = &b
	if r.Fault != Sound || b.Status == status.BackendStatusReady || b.Status == status.BackendStatusUnknown {
		return
	}
	r.Fault = faultOf(b.Reason)
	r.Rungs = append(r.Rungs, Rung{Name: "gateway", Evidence: "What was tried here works, and the gateway says: " + b.Message, Fix: b.Fix})
}

func faultOf(r status.Reason) Fault {
	switch r {
	case status.ReasonAuthRefused, status.ReasonAuthForbidden, status.ReasonScopeMissing, status.ReasonGrantExpired,
		status.ReasonRenewalUnavailable, status.ReasonBreakerOpen:
		return Authentication
	case status.ReasonUnreachable, status.ReasonTLSFailed, status.ReasonTimeout, status.ReasonServerError,
		status.ReasonProtocolError, status.ReasonProcessExited:
		return Unreachable
	}
	return Other
}
