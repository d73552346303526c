package backend

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/recloser-mcp/recloser/auth"
	"github.com/recloser-mcp/recloser/guard"
)

// What errors.Is finds in an [Error], by its kind and status.
var (
	// ErrAuthenticationFailed: 401 or 403, or no credential to send.
	ErrAuthenticationFailed = errors.New("authentication failed")
	// ErrBackendUnavailable: 500, 502, 503, 504, no connection, or no process.
	ErrBackendUnavailable = errors.New("backend unavailable")
	// ErrNoCapacity: more requests in flight than Limits.InFlight.
	ErrNoCapacity = errors.New("no capacity")
)

// Error is the one type of error of this package. It never holds a credential
// nor text that the backend wrote, apart from the parsed challenge.
type Error struct {
	Kind       Kind
	Backend    string
	Method     string          // of the protocol, or GET and DELETE
	Status     int             // HTTP status of the last answer, 0 when there was none
	Challenge  *auth.Challenge // of the last refusal, nil when it had none
	Attempts   int             // sends made
	Since      time.Time       // first refusal of the trouble at hand; zero when unknown
	RetryAfter time.Duration   // when trying again makes sense; 0 when unknown
	// OutcomeUnknown: the request was written and no answer came. The backend
	// may or may not have acted on it.
	OutcomeUnknown bool
	// Detail is what is known beyond the kind, in words of ours.
	Detail string
	Err    error
}

// Hint says what the reader can do.
func (e *Error) Hint() string {
	if int(e.Kind) >= len(kinds) {
		return ""
	}
	if e.Kind == KindScopeMissing && e.Challenge != nil && e.Challenge.Scope != "" {
		return "the backend asks for the scopes " + e.Challenge.Scope + ": " + kinds[e.Kind].hint
	}
	return kinds[e.Kind].hint
}

// Error says what happened, to which backend, and what was tried.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "backend %s: ", e.Backend)
	if e.Method != "" {
		b.WriteString(e.Method + ": ")
	}
	if int(e.Kind) < len(kinds) {
		b.WriteString(kinds[e.Kind].what)
	}
	if e.Detail != "" {
		b.WriteString(": " + e.Detail)
	}
	var facts []string
	if e.Status != 0 {
		facts = append(facts, fmt.Sprintf("status %d", e.Status))
	}
	if e.Challenge != nil && e.Challenge.Error != "" {
		facts = append(facts, e.Challenge.Error)
	}
	if e.Attempts > 1 {
		facts = append(facts, fmt.Sprintf("sent %d times", e.Attempts))
	}
	if e.OutcomeUnknown {
		facts = append(facts, "outcome unknown")
	}
	if len(facts) > 0 {
		b.WriteString(" (" + strings.Join(facts, ", ") + ")")
	}
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	return b.String()
}

// Unwrap returns the cause. It leads to the context's error when the caller
// left, also during the wait for a recovery.
func (e *Error) Unwrap() error { return e.Err }

// Is finds the sentinels of this package.
func (e *Error) Is(target error) bool {
	switch target {
	case ErrAuthenticationFailed:
		return e.Kind.auth()
	case ErrBackendUnavailable:
		return e.unavailable()
	case ErrNoCapacity:
		return e.Kind == KindNoCapacity
	}
	return false
}

func (e *Error) unavailable() bool {
	switch e.Kind {
	case KindUnreachable, KindTLSFailed, KindProcessExited:
		return true
	case KindServerError:
		switch e.Status {
		case 500, 502, 503, 504:
			return true
		}
	}
	return false
}

// RPCError is a JSON-RPC error that the backend answered with. It is an answer,
// not a fault of the backend or of its credential.
type RPCError struct {
	Code    int
	Message string // the backend's words, redacted where they repeat the credential
	Data    json.RawMessage
}

// Error returns the code and the backend's message.
func (e *RPCError) Error() string { return fmt.Sprintf("json-rpc error %d: %s", e.Code, e.Message) }

// refusalKind translates why the guard ended a call, and what the renewal that should
// have helped came to.
func refusalKind(r guard.Reason, renewal guard.Outcome, status int) Kind {
	switch r {
	case guard.Rejected:
		return KindBreakerOpen
	case guard.GrantExpired:
		return KindGrantExpired
	case guard.RenewalUnavailable:
		return KindRenewalUnavailable
	case guard.Forbade:
		return KindAuthForbidden
	case guard.ScopeMissing:
		return KindScopeMissing
	case guard.Shutdown:
		return KindClosed
	case guard.Canceled:
		if status == 0 {
			return KindRenewalUnavailable
		}
		return KindAuthRefused
	}
	switch renewal {
	case guard.Permanent:
		return KindGrantExpired
	case guard.Passing:
		return KindRenewalUnavailable
	}
	return KindAuthRefused
}
