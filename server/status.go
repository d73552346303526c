package server

import (
	"errors"
	"sync"
	"time"

	"github.com/recloser-mcp/recloser/auth"
	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/guard"
	"github.com/recloser-mcp/recloser/health"
	"github.com/recloser-mcp/recloser/status"
)

// statusBoard derives the status from the facts that clients, catalog and
// monitor hold. It keeps what was derived last, so that "since" is stable.
type statusBoard struct {
	mu       sync.Mutex
	previous map[string]status.Backend
}

func (b *statusBoard) derive(f status.Facts) status.Backend {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p, ok := b.previous[f.Name]; ok {
		f.Previous = &p
	}
	s := status.Derive(f)
	if b.previous == nil {
		b.previous = map[string]status.Backend{}
	}
	b.previous[f.Name] = s
	return s
}

// look derives the status of a backend anew although nobody asked, so that its
// "since" is when the state began and not when somebody first looked.
func (s *Server) look(name string) {
	for _, b := range s.backends {
		if b.name == name {
			s.board.derive(s.facts(b, time.Now()))
		}
	}
}

// Status returns the state of the gateway and of every backend, now.
func (s *Server) Status() status.Status {
	now := time.Now()
	var out []status.Backend
	for _, b := range s.backends {
		out = append(out, s.board.derive(s.facts(b, now)))
	}
	for _, name := range s.disabled {
		out = append(out, s.board.derive(status.Facts{Backend: status.Backend{Name: name}, Disabled: true, Now: now}))
	}
	return status.Summarize(s.version, out, 0, s.started, now)
}

// facts collects what is known of one backend.
func (s *Server) facts(b *served, now time.Time) status.Facts {
	f, v := b.client.Facts(), s.monitor.Verdict(b.name)
	c := s.catalog.Facts(b.name)
	out := status.Facts{
		Now: now, CallsOnly: f.Guard.CallsOnly, Trouble: f.Guard.Since, LastAnswer: f.Accepted,
		UnavailableAfter: s.monitor.UnavailableAfter(),
		Backend: status.Backend{
			Name: b.name, Revision: string(f.Revision),
			Catalogue:  status.Catalogue{LastRefresh: c.LastRefresh},
			Breaker:    breakerOf(f.Guard),
			Credential: credentialOf(f.Credential),
			Challenge:  challengeOf(f.Challenge),
			Counters: status.Counters{Calls: f.Counters.Calls, SavedByRenewal: f.Counters.SavedByRenewal,
				Exhausted: f.Counters.Exhausted, Refused: f.Counters.Refused},
			Tools: c.Tools, Resources: c.Resources + c.Templates, Prompts: c.Prompts,
			InFlight: f.InFlight,
			Latency:  status.Latency{P50: status.Duration(f.Latency.P50), P95: status.Duration(f.Latency.P95)},
		},
	}
	out.Process = processOf(b, f.Process)
	if f.LastError != nil {
		out.LastFailure = &status.Failure{At: f.ErrorAt, Reason: status.Reason(f.LastError.Kind.Reason()), Status: f.LastError.Status}
	}
	if !f.Accepted.After(v.At) { // else a real request has answered since the last probe
		out.FailedProbes, out.ProbeRefused = probes(v)
	}
	out.Reachable = reachable(f)
	out.Authenticated = authenticated(f, out.ProbeRefused)
	if f.Revision != "" && !f.Revision.Stateless() {
		out.Session = status.FactOf(f.Session)
	}
	return out
}

// probes tells probes without an answer from refused ones.
func probes(v health.Verdict) (failed int, refused bool) {
	if errors.Is(v.Err, backend.ErrAuthenticationFailed) {
		return 0, true
	}
	return v.Failures, false
}

// reachable: the last request got an HTTP answer.
func reachable(f backend.Facts) status.Fact {
	switch e := f.LastError; {
	case e != nil && e.Status == 0 && f.ErrorAt.After(f.LastAnswer) && !errors.Is(e, backend.ErrAuthenticationFailed):
		return status.No
	case f.LastAnswer.IsZero():
		return status.Unknown
	default:
		return status.Yes
	}
}

// authenticated: the credential was accepted, and not refused since.
func authenticated(f backend.Facts, probeRefused bool) status.Fact {
	switch e := f.LastError; {
	case probeRefused, f.Guard.Phase != guard.Closed, e != nil && errors.Is(e, backend.ErrAuthenticationFailed) && f.ErrorAt.After(f.Accepted):
		return status.No
	case f.Accepted.IsZero():
		return status.Unknown
	default:
		return status.Yes
	}
}

func breakerOf(g guard.State) status.Breaker {
	return status.Breaker{State: status.BreakerState(g.Phase.String()), Exhausted: g.Count, OpenedAt: g.OpenedAt, NextProbe: g.NextProbe}
}

func credentialOf(f auth.Facts) status.Credential {
	c := status.Credential{Type: f.Type, Generation: f.Generation, Issued: f.Issued, Expires: f.Expires, Renewable: f.Renewable}
	if !f.LastRenewal.At.IsZero() {
		c.LastRenewal = &status.Renewal{At: f.LastRenewal.At, Outcome: renewalOutcomes[f.LastRenewal.Outcome]}
	}
	return c
}

func processOf(b *served, p *backend.ProcessFacts) *status.Process {
	if p == nil {
		return nil
	}
	out := &status.Process{Command: b.command, PID: p.PID, Running: p.Running, Restarts: p.Restarts}
	if e := p.LastExit; e != nil {
		out.LastExit = &status.Exit{At: e.At, PID: e.PID, Status: e.Status, Lived: status.Duration(e.Lived), Stderr: e.Stderr, NextStart: e.Next}
	}
	return out
}

var renewalOutcomes = map[auth.Outcome]status.RenewalOutcome{
	auth.Same: status.RenewalSame, auth.New: status.RenewalNew,
	auth.Passing: status.RenewalPassing, auth.Permanent: status.RenewalPermanent,
}

func challengeOf(c *auth.Challenge) *status.Challenge {
	if c == nil {
		return nil
	}
	return &status.Challenge{Scheme: c.Scheme, Realm: c.Realm, Error: c.Error, Scope: c.Scope, ResourceMetadata: c.ResourceMetadata}
}
