package server

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/recloser-mcp/recloser/auth"
	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/guard"
	"github.com/recloser-mcp/recloser/health"
	"github.com/recloser-mcp/recloser/status"
)

// standing is the status of one backend as it was derived last, so that "since" is
// stable and a change is told once.
type standing struct {
	mu       sync.Mutex // facts are gathered under it: what is derived later is newer
	previous *status.Backend
	failed   uint64 // calls that had failed when the backend was last well
}

// derive returns the status, and what it was if that is another one.
func (d *standing) derive(f status.Facts, failed uint64) (now status.Backend, before *status.Backend) {
	f.Previous = d.previous
	now = status.Derive(f)
	if now.Status == status.BackendStatusReady || now.Status == status.BackendStatusUnknown {
		d.failed = failed
	}
	now.Affected = failed - min(d.failed, failed)
	before, d.previous = d.previous, &now
	switch {
	case before == nil:
		before = &status.Backend{}
	case before.Status == now.Status && before.Reason == now.Reason:
		before = nil
	}
	return now, before
}

// looks are the backends at which something happened that may have changed their
// status. They are looked at by a goroutine of its own, as hooks are called by those
// who hold locks or have no time.
type looks struct {
	mu    sync.Mutex
	names map[string]bool
	wake  chan struct{}
}

// look has the status of a backend derived anew although nobody asked, so that its
// "since" is when the state began and not when somebody first looked.
func (s *Server) look(name string) {
	l := &s.looks
	l.mu.Lock()
	l.names[name] = true
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (s *Server) lookAll() {
	for _, b := range s.live.Load().backends {
		s.look(b.Name)
	}
}

// watchBackends looks at the backends at which something happened.
func (s *Server) watchBackends(ctx context.Context) {
	for {
		select {
		case <-s.looks.wake:
		case <-ctx.Done():
			return
		}
		s.looks.mu.Lock()
		names := s.looks.names
		s.looks.names = make(map[string]bool)
		s.looks.mu.Unlock()
		for name := range names {
			if b := s.live.Load().byName[name]; b != nil {
				s.see(b)
			}
		}
	}
}

// see derives the status of a backend and tells when it is another one.
func (s *Server) see(b *served) status.Backend {
	b.standing.mu.Lock()
	defer b.standing.mu.Unlock()
	now := time.Now()
	st, before := b.standing.derive(s.facts(b, now), b.record.Failed())
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

// disabledStatus is the status of a backend that the configuration switches off.
func (l *live) disabledStatus(name string) status.Backend {
	return status.Derive(status.Facts{Backend: status.Backend{Name: name}, Disabled: true, Now: l.loaded})
}

// Status returns the state of the gateway and of every backend, now.
func (s *Server) Status() status.Status {
	now := time.Now()
	l := s.live.Load()
	out := make([]status.Backend, 0, len(l.backends)+len(l.disabled))
	saved := uint64(0)
	for _, b := range l.backends {
		out = append(out, s.see(b))
		saved += b.record.Saved(now)
	}
	for _, name := range l.disabled {
		out = append(out, l.disabledStatus(name))
	}
	return status.Summarize(s.version, out, saved, s.started, now)
}

// facts collects what is known of one backend.
func (s *Server) facts(b *served, now time.Time) status.Facts {
	// What follows from something is read before it: a probe fails because a renewal
	// did. Read the other way around, the probe could have failed for nothing known.
	v, c := s.monitor.Verdict(b.Name), s.catalog.Facts(b.Name)
	f := b.client.Facts()
	requests, failed, since := b.record.Recent(now)
	out := status.Facts{
		RecentRequests: requests, RecentFailures: failed, AnsweredSince: since,
		Now: now, CallsOnly: f.Guard.CallsOnly, Trouble: f.Guard.Since, LastAnswer: f.Answered,
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
	if !f.Answered.After(v.At) { // else a real request has answered since the last probe
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
