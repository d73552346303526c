package guard

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Credential is what a guard needs to know of a credential. Values are
// immutable. Generation grows strictly with each new credential of a source and
// starts at 1. Rotation grows only when the change came from outside (a file, a
// configuration, a sign-in) and not from a renewal of our own.
type Credential interface {
	Generation() uint64
	Rotation() uint64
}

// Source owns the generations of one credential. All methods are safe for
// concurrent use.
type Source[C Credential] interface {
	// Current returns the credential to send now, without blocking and without
	// allocating; ok is false when there is none or it has expired.
	Current() (c C, ok bool)
	// Peek is Current for those who only look on: no use of the credential, so
	// nothing is kept alive for it. It may find none where Current finds one.
	Peek() (c C, ok bool)
	// Renew returns Newer at once when a credential newer than the refused
	// generation exists; else it renews, one renewal in flight for all callers.
	// refused 0 means that there was no credential to send. retry asks the
	// issuer once more although it answered Permanent before. When ctx ends
	// first, the outcome is Passing; the renewal itself goes on.
	Renew(ctx context.Context, refused uint64, retry bool) Outcome
}

// Outcome is the result of a renewal.
type Outcome uint8

// The outcomes of a renewal.
const (
	Same      Outcome = iota // nothing newer is to be had now
	Newer                    // a newer generation is current
	Passing                  // the issuer could not be reached or was out of order
	Permanent                // the issuer refuses this grant or client for good
)

// Class says what a request proves about the backend's authorization.
type Class uint8

// The classes of requests. Many servers leave lists open and guard calls.
const (
	List   Class = iota // initialize, discover, ping, lists
	Call                // tools/call, resources/read, prompts/get, completion
	Probe               // a health probe: never counts, never a canary; accepted, it is a List
	Stream              // GET and DELETE: never counts, never a canary, no evidence
)

// Verdict is what the HTTP answer to one send says about its credential.
type Verdict uint8

// The verdicts. Only the HTTP answer to that very send may decide them.
const (
	Neutral  Verdict = iota // no statement about the credential: returned unchanged
	Accepted                // 2xx
	Refused                 // 401
	Invalid                 // 401 with error="invalid_request": exhausted at once
	Denied                  // 403 that is neither a scope challenge nor a JSON-RPC error
	Scope                   // 403 with error="insufficient_scope"
	Again                   // the sender wants one more attempt: nothing was written, or the session is lost
)

// Attempt is one send, as the guard orders it.
type Attempt[C Credential] struct {
	Credential C
	Number     int           // 1 for the first send of the call
	Delay      time.Duration // how long the call waited since its last send
	Cause      Cause
}

// Cause says why an attempt is made.
type Cause uint8

// The causes of an attempt.
const (
	First     Cause = iota
	Late            // the refused credential was already replaced
	Released        // a new credential came, or the canary was accepted
	Canary          // this call tries the credential for all that wait
	Forbidden       // a private retry of a 403 whose credential is good
	Resend          // the sender asked for it
)

func (c Cause) String() string {
	return [...]string{"first", "late", "released", "canary", "forbidden", "resend"}[c]
}

// Sender performs one physical send, nested requests included, and says what the
// answer proves. It keeps the answer itself.
type Sender[C Credential] interface {
	Send(ctx context.Context, a Attempt[C]) Verdict
}

// Phase of the breaker.
type Phase uint8

// The phases of the breaker.
const (
	Closed Phase = iota
	Open
	HalfOpen
)

func (p Phase) String() string { return [...]string{"closed", "open", "half_open"}[p] }

// Transition is one change of phase.
type Transition struct {
	From, To Phase
	Count    int // consecutive exhausted sequences before the change
	At       time.Time
	Until    time.Time // end of the cool-down, when To is Open
}

// State is a copy of what the guard knows, for status pages.
type State struct {
	Phase      Phase
	Count      int       // consecutive exhausted sequences
	Since      time.Time // first refusal of the trouble at hand; zero when clean
	OpenedAt   time.Time // zero unless Open or HalfOpen
	NextProbe  time.Time // when the next call probes; zero unless Open
	Recovering bool      // an episode runs
	CallsOnly  bool      // calls were refused while lists were not
}

// Result tells what the guard did for one call.
type Result struct {
	Attempts   int           // sends made
	Waited     time.Duration // time spent waiting between sends
	Coalesced  bool          // waited in an episode that another call led
	Generation uint64        // of the last send; zero where the first one was accepted and nothing was wrong
	Phase      Phase         // after the call
	Err        error         // nil: the sender's last answer is the answer; else *Refusal
}

// Reason is the kind of a Refusal.
type Reason uint8

// The reasons why a call ends with an authentication error.
const (
	Exhausted          Reason = iota // every retry was refused
	Unretried                        // refused while the breaker is open, or too late to try again
	Rejected                         // whenOpen is reject: nothing was sent
	GrantExpired                     // the issuer refuses the grant for good
	RenewalUnavailable               // no usable credential, and the issuer cannot be reached
	Forbade                          // 403 with a credential that is accepted otherwise
	ScopeMissing                     // 403 insufficient_scope
	Canceled                         // the caller's context ended during a wait
	Shutdown                         // the guard was closed
)

func (r Reason) String() string {
	return [...]string{"exhausted", "unretried", "rejected", "grant expired", "renewal unavailable",
		"forbidden", "scope missing", "canceled", "closed"}[r]
}

// ErrClosed is found by errors.Is in the error of a call that a Close ended.
var ErrClosed = errors.New("guard: closed")

// Refusal is the error of a call that ends because of its credential. Unwrap
// gives the context's error after a cancellation and ErrClosed after a Close.
type Refusal struct {
	Reason  Reason
	Renewal Outcome   // of the last renewal, when Renewed
	Renewed bool      // a renewal was tried for this call
	Since   time.Time // first refusal of the trouble at hand
	RetryAt time.Time // when the next probe is due; zero when unknown
	Err     error
}

func (r *Refusal) Error() string {
	if r.Err != nil {
		return fmt.Sprintf("credential refused: %s: %v", r.Reason, r.Err)
	}
	return "credential refused: " + r.Reason.String()
}

func (r *Refusal) Unwrap() error { return r.Err }
