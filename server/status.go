package server

import (
	"errors"
	"slices"
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
	failed   map[string]uint64 // calls that had failed when the backend was last fine
}

// derive returns the status, and the one before if it is another.
func (b *statusBoard) derive(f status.Facts, failed uint64) (now status.Backend, before *status.Backend) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.previous == nil {
		b.previous, b.failed = map[string]status.Backend{}, map[string]uint64{}
	}
	was, known := b.previous[f.Name]
	if known {
		f.Previous = &was
	}
	s := status.Derive(f)
	if s.Status == status.BackendStatusReady || s.Status == status.BackendStatusUnknown {
		b.failed[f.Name] = failed
	}
	s.Affected = failed - min(b.failed[f.Name], failed)
	b.previous[f.Name] = s
	if was.Status != s.Status || was.Reason != s.Reason {
		before = &was
	}
	return s, before
}

// keep forgets backends that are not in a configuration.
func (b *statusBoard) keep(l *live) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for name := range b.previous {
		if l.byName[name] == nil && !slices.Contains(l.disabled, name) {
			delete(b.previous, name)
			delete(b.failed, name)
		}
	}
}

// look derives the status of a backend anew although nobody asked, so that its
// "since" is when the state began and not when somebody first looked, and tells
// when it is another one.
func (s *Server) look(name string) {
	if b := s.live.Load().byName[name]; b != nil {
		s.see(b, time.Now())
	}
}

func (s *Server) lookAll() {
	now := time.Now()
	for _, b := range s.live.Load().backends {
		s.see(b, now)
	}
}

// see derives the status of a backend and tells when it is another one.
func (s *Server) see(b *served, now time.Time) status.Backend {
	st, before := s.board.derive(s.facts(b, now), b.record.Failed())
	b.condition.note(st.Status)
	if before == nil {
		return st
	}
	b.record.State(now, st.Status)
	s.tellStatus(before, &st)
	select {
	case s.alarm <- struct{}{}:
	default:
	}
	return st
}

// Status returns the state of the gateway and of every backend, now.
func (s *Server) Status() status.Status {
	now := time.Now()
	l := s.live.Load()
	out := make([]status.Backend, 0, len(l.backends)+len(l.disabled))
	saved := uint64(0)
	for _, b := range l.backends {
		out = append(out, s.see(b, now))
		saved += b.record.Saved(now)
	}
	for _, name := range l.disabled {
		st, _ := s.board.derive(status.Facts{Backend: status.Backend{Name: name}, Disabled: true, Now: now}, 0)
		out = append(out, st)
	}
	return status.Summarize(s.version, out, saved, s.started, now)
}

// facts collects what is known of one backend.
func (s *Server) facts(b *served, now time.Time) status.Facts {
	f, v := b.client.Facts(), s.monitor.Verdict(b.Name)
	c := s.catalog.Facts(b.Name)
	requests, failed, since := b.record.Recent(now)
	out := status.Facts{
		RecentRequests: requests, RecentFailures: failed, AnsweredSince: since,
		Now: now, CallsOnly: f.Guard.CallsOnly, Trouble: f.Guard.Since, LastAnswer: f.Accepted,
		UnavailableAfter: s.monitor.UnavailableAfter(),
		Backend: status.Backend{
			Name: b.Name, Revision: string(f.Revision), Paused: b.paused, NextProbe: v.Next,
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
	out := &status.Process{Command: b.CommandLine, PID: p.PID, Running: p.Running, Restarts: p.Restarts}
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
