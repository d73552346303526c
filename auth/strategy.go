package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Strategy obtains credentials of one kind. Fetch makes one try and returns when
// ctx ends (10 s at the latest); a [Source] never calls it twice at the same time.
// An error that is a [*RenewError] says whether trying again can help; any other
// error, and a panic, counts as a passing failure. Error texts are shown to
// people: they must not carry secrets.
type Strategy interface {
	Fetch(ctx context.Context) (Material, error)
}

// Watcher is an optional part of a [Strategy] whose input can change from outside.
// Watch calls changed after each change and blocks until ctx ends. It may return
// nil at once when there is nothing to watch. After an error it is called again,
// 1 s later at first and 30 s at most.
type Watcher interface {
	Watch(ctx context.Context, changed func()) error
}

// Durable is an optional part of a [Strategy] whose Fetch uses up what it sends
// and stores what it gets, as redeeming a rotating refresh token does. Close of
// the source does not cut such a Fetch off: it waits until it has returned or
// reached its limit of 10 s.
type Durable interface {
	Durable() bool
}

// RenewError says why an issuer gave no credential. It is safe to show: Code is
// one of the registered OAuth error codes or empty, and no byte of the answer's
// body is kept.
type RenewError struct {
	Permanent  bool          // the issuer refuses this grant or client: asking again cannot help
	Code       string        // OAuth error code (RFC 6749 section 5.2), empty when unknown
	Status     int           // HTTP status of the token endpoint, 0 without an answer
	RetryAfter time.Duration // from the answer's Retry-After, 0 when absent
	Err        error         // the cause, nil when Code and Status say it all
}

func (e *RenewError) Error() string {
	var words []string
	if e.Status != 0 {
		words = append(words, fmt.Sprintf("answered %d", e.Status))
	}
	if e.Code != "" {
		words = append(words, e.Code)
	}
	head := strings.Join(words, " ")
	switch {
	case e.Err == nil && head == "":
		return "no credential"
	case e.Err == nil:
		return head
	case head == "":
		return e.Err.Error()
	}
	return head + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *RenewError) Unwrap() error { return e.Err }

// Outcome is the result of a renewal. Values and order are those of guard.Outcome.
type Outcome uint8

// The outcomes of a renewal.
const (
	Same      Outcome = iota // nothing newer is to be had now
	New                      // a newer generation is current
	Passing                  // the issuer could not be reached or was out of order
	Permanent                // the issuer refuses this grant or client for good
)

func (o Outcome) String() string {
	if int(o) < len(outcomes) {
		return outcomes[o]
	}
	return "unknown"
}

var outcomes = [...]string{"same", "new", "passing", "permanent"}

// MarshalText writes the name, for status documents.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// ErrClosed is found by errors.Is in what a closed [Source] returns.
var ErrClosed = errors.New("auth: source closed")

var (
	errPanicked = errors.New("the strategy panicked")
	errHung     = fmt.Errorf("the strategy does not return: %w", context.DeadlineExceeded)
)

// outcomeOf classifies an error of a strategy.
func outcomeOf(err error) Outcome {
	if e, ok := asRenewError(err); ok && e.Permanent {
		return Permanent
	}
	return Passing
}

func asRenewError(err error) (*RenewError, bool) { return errors.AsType[*RenewError](err) }
