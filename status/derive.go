package status

import (
	"fmt"
	"strings"
	"time"
)

// SlowAfter is the p95 above which a backend counts as slow.
const SlowAfter = 5 * time.Second

// DefaultUnavailableAfter is how many failed probes in a row make a backend
// unavailable.
const DefaultUnavailableAfter = 3

// Facts are what others know of one backend. The zero value is a backend that
// nobody has asked yet.
type Facts struct {
	// Backend holds the facts that are shown as they are: the name, the
	// revision, and everything from Reachable down. Derive ignores what it
	// derives itself: status, reason, since, message, tried, fix and what
	// clients see.
	Backend

	// Disabled is true when the configuration says so.
	Disabled bool
	// Now is the time of the look.
	Now time.Time
	// CallsOnly is true when calls are refused while lists are accepted.
	CallsOnly bool
	// Trouble is when the first refusal of the trouble at hand came, zero when
	// there is none.
	Trouble time.Time
	// LastAnswer is when the backend last answered a request, whether or not a
	// tool then reported an error. A refusal is no answer, and neither is a 2xx
	// with something that is not MCP or never ends.
	LastAnswer time.Time
	// LastFailure is the last request that failed through the backend's fault,
	// nil when there was none. A call whose caller left is not one. One that
	// was forbidden for its own sake, or that an open breaker rejected, says
	// nothing new; it and one with a reason that is not in the list are passed
	// over.
	LastFailure *Failure
	// FailedProbes is how many health probes in a row got no answer, or one
	// that is no MCP. A refused probe is not among them: see ProbeRefused.
	FailedProbes int
	// UnavailableAfter is the setting of that name; 0 means
	// DefaultUnavailableAfter.
	UnavailableAfter int
	// ProbeRefused is true when the last probe was refused, and still was after
	// a renewal.
	ProbeRefused bool
	// RecentFailures and RecentRequests count the requests of the last
	// minute; zero when that is not measured. Server errors, timeouts, answers
	// that are no MCP and missing scopes count as failures. Refusals and
	// connections that could not be made do not: an accepted request proves them
	// over.
	RecentFailures, RecentRequests int
	// AnsweredSince is how many requests were answered since the last of those
	// failures, and how many calls if that was a call.
	AnsweredSince int
	// Previous is what Derive returned the last time. With it Since stays as it
	// was while status and reason do not change.
	Previous *Backend
}

// Failure is one failed request.
type Failure struct {
	At     time.Time
	Reason Reason
	Status int // of the HTTP answer, 0 without one
}

// failing is true when the backend's last request failed.
func (f *Facts) failing() bool {
	return f.LastFailure != nil && !f.LastFailure.At.Before(f.LastAnswer)
}

// drop removes a last failure that is none of the backend's.
func (f *Facts) drop() {
	if l := f.LastFailure; l != nil {
		if _, known := Explain(l.Reason); !known || l.Reason == ReasonAuthForbidden || l.Reason == ReasonBreakerOpen {
			f.LastFailure = nil
		}
	}
}

// asked is true when the backend has been asked anything yet.
func (f *Facts) asked() bool {
	return !f.LastAnswer.IsZero() || f.LastFailure != nil || f.FailedProbes > 0 || f.ProbeRefused ||
		f.Breaker.Exhausted > 0
}

// Derive makes the status of a backend from the facts. The first rule that fits
// decides:
//
//   - unknown: the configuration disables it, or nobody has asked it yet, or it
//     answers and its lists have not been read yet.
//   - unavailable, at once: its breaker is not closed; or a sequence of sends was
//     exhausted and nothing was accepted since; or a probe was refused and renewal
//     did not help; or its last request failed for the credential's sake; or the
//     credential is being refused and cannot be renewed.
//   - unavailable: as many probes in a row as UnavailableAfter says got no
//     answer; or it has never answered, so that it serves nothing either.
//   - degraded, it serves but: its last request failed; or the credential cannot
//     be renewed; or it answers slowly; or one in twenty of its recent requests
//     failed, or one of the last few; or it lists nothing.
//   - ready: its last request was answered, and it lists something.
//
// Derive is a pure function.
func Derive(f Facts) Backend {
	b := f.Backend
	if b.Breaker.State == "" {
		b.Breaker.State = BreakerClosed
	}
	f.drop()
	v := judge(&f)
	b.Status, b.Reason = v.status, v.reason
	text, _ := Explain(v.reason)
	text = text.For(b.Name)
	b.Message, b.Tried, b.Fix = text.Cause, text.Did, text.Do
	b.ClientsSee = clientsSee(&b, text)
	if evidence := v.evidence(&f); evidence != "" {
		b.Message += " " + evidence
	}
	if f.Paused && !f.Disabled {
		b.Message = b.Name + " was paused at the admin API."
		b.Fix = "To use it again, run `recloser backend resume " + b.Name + "`."
	}
	if v.reason == ReasonProcessExited && f.Process != nil {
		b.Fix = f.Process.fix() + " " + b.Fix
	}
	switch p := f.Previous; {
	case p != nil && p.Status == b.Status && p.Reason == b.Reason && !p.Since.IsZero():
		b.Since = p.Since
	case !v.since.IsZero() && (p == nil || v.since.After(p.Since)):
		b.Since = v.since
	default:
		b.Since = f.Now
	}
	return b
}

// clientsSee is what clients see of a backend in its status: the text of the
// reason is that for a backend that serves nothing.
func clientsSee(b *Backend, text Explanation) string {
	switch {
	case b.Status == BackendStatusDegraded && ofCredential(b.Reason):
		return "Nothing yet: calls are answered with the credential in use."
	case b.Status == BackendStatusDegraded && b.Lists() && b.Reason != ReasonScopeMissing:
		return "The tools of " + b.Name + " stay listed, and calls are sent to it. Those that fail end with an error that names the reason."
	case b.Status == BackendStatusUnavailable && !b.Lists():
		return "Nothing of " + b.Name + " is listed, because it has listed nothing so far. Its tools appear when it answers, in open sessions too."
	}
	return text.Clients
}

// judgement is a status with its reason and the evidence for it.
type judgement struct {
	status BackendStatus
	reason Reason
	since  time.Time // when the evidence began, zero when that is not known
	note   string    // evidence beyond what the facts say
}

func judge(f *Facts) judgement {
	switch {
	case f.Disabled, f.Paused:
		return judgement{status: BackendStatusUnknown, reason: ReasonDisabled}
	case !f.asked():
		return judgement{status: BackendStatusUnknown, reason: ReasonConnecting}
	}
	if j, ok := judgeUnavailable(f); ok {
		return j
	}
	if j, ok := judgeDegraded(f); ok {
		return j
	}
	if !f.Lists() {
		if f.Catalogue.LastRefresh.IsZero() {
			return judgement{status: BackendStatusUnknown, reason: ReasonConnecting, note: "Its lists are being read."}
		}
		return judgement{status: BackendStatusDegraded, reason: ReasonNoTools}
	}
	return judgement{status: BackendStatusReady, reason: ReasonOK}
}

func judgeUnavailable(f *Facts) (judgement, bool) {
	j := judgement{status: BackendStatusUnavailable, since: f.Trouble}
	open := f.Breaker.State == BreakerOpen || f.Breaker.State == BreakerHalfOpen
	refused := f.failing() && ofCredential(f.LastFailure.Reason)
	_, renewalFails := renewalFailure(f)
	lost := renewalFails && !f.Trouble.IsZero()
	if open || f.Breaker.Exhausted > 0 || f.ProbeRefused || refused || lost {
		j.reason = refusal(f, refused)
		if j.since.IsZero() && refused {
			j.since = f.LastFailure.At
		}
		if f.FailedProbes > 0 {
			j.note = fmt.Sprintf("Since then it did not answer %d probes in a row.", f.FailedProbes)
		}
		return j, true
	}
	limit := f.UnavailableAfter
	if limit <= 0 {
		limit = DefaultUnavailableAfter
	}
	// A backend that never answered has nothing to be degraded from.
	if f.FailedProbes >= limit || f.LastAnswer.IsZero() {
		j.reason = ReasonUnreachable
		if f.LastFailure != nil {
			j.reason = f.LastFailure.Reason
		}
		if f.FailedProbes > 1 {
			j.note = fmt.Sprintf("%d probes in a row failed.", f.FailedProbes)
		}
		return j, true
	}
	return j, false
}

// refusal finds the reason behind a refused credential: the issuer's part in it,
// when it has one, is more useful to know than that the backend refuses.
func refusal(f *Facts, last bool) Reason {
	if last && f.LastFailure.Reason != ReasonAuthRefused {
		return f.LastFailure.Reason
	}
	if r, failed := renewalFailure(f); failed {
		return r
	}
	return ReasonAuthRefused
}

// renewalFailure returns the reason that stands for a renewal that failed.
func renewalFailure(f *Facts) (Reason, bool) {
	if f.Credential.LastRenewal == nil {
		return "", false
	}
	switch f.Credential.LastRenewal.Outcome {
	case RenewalPermanent:
		return ReasonGrantExpired, true
	case RenewalPassing:
		return ReasonRenewalUnavailable, true
	default:
		return "", false
	}
}

// ofCredential is true for reasons that concern every call with this credential.
// A missing scope does not: other calls go on.
func ofCredential(r Reason) bool {
	return r == ReasonAuthRefused || r == ReasonGrantExpired || r == ReasonRenewalUnavailable
}

// comesAndGoes is true for failures of single requests that others between them
// do not disprove.
func comesAndGoes(r Reason) bool {
	return r == ReasonServerError || r == ReasonTimeout || r == ReasonProtocolError || r == ReasonScopeMissing
}

// settledAfter is how many answers in a row end the trouble that failures which come
// and go have made, and how many failures in a minute are a habit.
const settledAfter = 3

// unsettled is true after failures that others may follow, so that a backend which
// fails now and then does not come and go with every request.
func (f *Facts) unsettled() bool {
	return f.RecentFailures > 0 && f.AnsweredSince < settledAfter ||
		f.RecentFailures >= settledAfter && f.RecentFailures*20 >= f.RecentRequests
}

func judgeDegraded(f *Facts) (judgement, bool) {
	j := judgement{status: BackendStatusDegraded}
	renewal, renewalFails := renewalFailure(f)
	p95 := time.Duration(f.Latency.P95)
	switch {
	case f.failing():
		j.reason, j.since = f.LastFailure.Reason, f.LastFailure.At
	case renewalFails:
		j.reason, j.since = renewal, f.Credential.LastRenewal.At
		j.note = "The credential in use is still accepted."
	case p95 > SlowAfter:
		j.reason = ReasonTimeout
		j.note = fmt.Sprintf("Its answers are slow: one in twenty takes longer than %s.", f.Latency.P95)
	case f.LastFailure != nil && comesAndGoes(f.LastFailure.Reason) && f.unsettled():
		j.reason = f.LastFailure.Reason
		j.note = fmt.Sprintf("%d of its last %d requests failed.", f.RecentFailures, f.RecentRequests)
	default:
		return j, false
	}
	return j, true
}

// evidence is what speaks for the judgement, in words.
func (j judgement) evidence(f *Facts) string {
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	if j.note != "" {
		add("%s", j.note)
	}
	if ofCredential(j.reason) || j.reason == ReasonScopeMissing {
		if c := f.Challenge.String(); c != "" {
			add("Its challenge is %s.", c)
		}
	}
	if j.reason == ReasonProcessExited && f.Process != nil && f.Process.LastExit != nil {
		add("%s", f.Process.LastExit.evidence(f.Now))
	}
	if j.status == BackendStatusUnavailable {
		if l := f.LastFailure; l != nil && l.Reason == j.reason && l.Status != 0 {
			add("Its last answer was HTTP %d.", l.Status)
		}
		if f.CallsOnly && ofCredential(j.reason) {
			add("It lists openly and refuses calls.")
		}
		switch f.Breaker.State {
		case BreakerOpen:
			add("Its breaker is open after %s.", sequences(f.Breaker.Exhausted))
		case BreakerHalfOpen:
			add("Its breaker is half open: one call is trying it.")
		default:
			if f.Breaker.Exhausted > 0 {
				verb := "were"
				if f.Breaker.Exhausted == 1 {
					verb = "was"
				}
				add("There %s %s.", verb, sequences(f.Breaker.Exhausted))
			}
		}
	}
	return strings.Join(parts, " ")
}

// evidence says how the process ended, and when it is started again if that is
// not at once.
func (e *Exit) evidence(now time.Time) string {
	text := fmt.Sprintf("It ended after %s: %s.", e.Lived, oneLine(e.Status, 100))
	if e.PID == 0 {
		text = fmt.Sprintf("It could not be started: %s.", oneLine(e.Status, 100))
	}
	if e.NextStart.After(now) {
		text += fmt.Sprintf(" It ends again and again and is not started before %s.", e.NextStart.UTC().Format(time.RFC3339))
	}
	return text
}

// fix names the command and what it said last.
func (p *Process) fix() string {
	text := "Its command is: " + oneLine(p.Command, 300)
	if e := p.LastExit; e != nil && len(e.Stderr) > 0 {
		text += fmt.Sprintf("; the last line that it printed: %q", oneLine(e.Stderr[len(e.Stderr)-1], 200))
	}
	return text + "."
}

func sequences(n int) string {
	if n == 1 {
		return "1 exhausted sequence of sends"
	}
	return fmt.Sprintf("%d exhausted sequences of sends in a row", n)
}
