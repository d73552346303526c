package server

import (
	"context"
	"fmt"
	"time"

	"github.com/recloser-mcp/recloser/status"
)

// ready is what /readyz answers: not while draining, so that an orchestrator
// sends new clients elsewhere.
func (s *Server) ready() (bool, string) {
	if s.draining.Load() {
		return false, "the gateway is draining: it ends when the calls in flight have ended"
	}
	st := s.Status()
	if st.Ready {
		return true, ""
	}
	return false, whyNoTools(&st)
}

// whyNoTools says why no tool is served.
func whyNoTools(st *status.Status) string {
	const most = 10
	why, more := "no backend serves a tool", 0
	for i := range st.Backends {
		b := &st.Backends[i]
		switch {
		case b.Status == status.BackendStatusReady:
		case i >= most:
			more++
		default:
			why += fmt.Sprintf("; %s is %s (%s)", b.Name, b.Status, b.Reason)
		}
	}
	if more > 0 {
		why += fmt.Sprintf("; and %d more", more)
	}
	return why
}

// calmDown is the least time between two looks at the phase.
const calmDown = 200 * time.Millisecond

// watchPhase tells when the gateway's phase changes, and loudly when no tool is
// served any more.
func (s *Server) watchPhase(ctx context.Context) {
	settled := time.NewTimer(status.PendingFor)
	defer settled.Stop()
	phase := status.PhasePending
	for {
		select {
		case <-s.alarm:
		case <-settled.C: // from here on silence counts, too
		case <-ctx.Done():
			return
		}
		st := s.Status()
		if st.Phase != phase {
			s.tellPhase(phase, &st)
			phase = st.Phase
		}
		select {
		case <-time.After(calmDown):
		case <-ctx.Done():
			return
		}
	}
}

func (s *Server) tellPhase(before status.Phase, st *status.Status) {
	e := status.Event{Kind: status.EventPhase, Level: status.LevelInfo, Message: fmt.Sprintf("the gateway is %s, was %s: %s", st.Phase, before, st.Headline)}
	switch st.Phase {
	case status.PhaseFailed:
		e.Level = status.LevelError
		e.Message = fmt.Sprintf("the gateway is %s, was %s: %s", st.Phase, before, whyNoTools(st))
		s.log.Error("no tool is served", "backends", st.BackendCount, "why", whyNoTools(st), "fix", "recloser status")
	case status.PhaseDegraded:
		e.Level = status.LevelWarning
	case status.PhaseReady, status.PhasePending:
		if before == status.PhaseFailed {
			s.log.Info("tools are served again", "tools", st.Tools)
		}
	}
	s.journal.Add(e)
}
