package status

import (
	"fmt"
	"time"
)

// PendingFor is how long after its start the gateway may be Pending: then its
// phase says what is known so far.
const PendingFor = 5 * time.Second

// Summarize makes the status of the gateway from those of its backends. started
// is when the gateway began to ask them, saved how many calls renewals have saved in
// the last hour.
func Summarize(version string, backends []Backend, saved uint64, started, now time.Time) Status {
	s := Status{Version: version, Backends: backends, SavedLastHour: saved}
	if s.Backends == nil {
		s.Backends = []Backend{} // an array in JSON, also when it is empty
	}
	asked := true
	for i := range backends {
		b := &backends[i]
		if b.Reason == ReasonDisabled {
			continue
		}
		s.BackendCount++
		if b.Status == BackendStatusReady {
			s.ReadyBackends++
		}
		if b.Status == BackendStatusUnknown {
			asked = false
		}
		s.KnownTools += b.Tools
		if b.Status.Serves() {
			s.Tools += b.Tools
		}
	}
	s.Ready = s.Tools > 0 || s.BackendCount == 0
	s.Phase = s.phase(asked || now.Sub(started) >= PendingFor)
	s.Headline = s.headline()
	return s
}

// headline says how many backends need somebody, what is served and what was saved.
func (s *Status) headline() string {
	if s.BackendCount == 0 {
		return "No backend is in use"
	}
	need := 0
	for i := range s.Backends {
		switch s.Backends[i].Status {
		case BackendStatusDegraded, BackendStatusUnavailable:
			need++
		}
	}
	first := fmt.Sprintf("All %d backends are ready", s.BackendCount)
	switch connecting := s.BackendCount - s.ReadyBackends - need; {
	case need == 1:
		first = fmt.Sprintf("1 of %d backends needs you", s.BackendCount)
	case need > 1:
		first = fmt.Sprintf("%d of %d backends need you", need, s.BackendCount)
	case connecting > 0:
		first = fmt.Sprintf("%d of %d backends have not answered yet", connecting, s.BackendCount)
	case s.BackendCount == 1:
		first = "The backend is ready"
	}
	return fmt.Sprintf("%s · %d of %d tools served · %s saved by renewal in the last hour",
		first, s.Tools, s.KnownTools, counted(s.SavedLastHour, "call"))
}

func counted(n uint64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// phase is Pending until settled: until every backend was asked, or time is up.
func (s *Status) phase(settled bool) Phase {
	switch {
	case !settled:
		return PhasePending
	case !s.Ready:
		return PhaseFailed
	case s.ReadyBackends == s.BackendCount:
		return PhaseReady
	default:
		return PhaseDegraded
	}
}
