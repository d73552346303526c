package status

import "time"

// PendingFor is how long after its start the gateway may be Pending: then its
// phase says what is known so far.
const PendingFor = 5 * time.Second

// Summarize makes the status of the gateway from those of its backends. started
// is when the gateway began to ask them.
func Summarize(version string, backends []Backend, started, now time.Time) Status {
	s := Status{Version: version, Backends: backends}
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
		if b.Status.Serves() {
			s.Tools += b.Tools
		}
	}
	s.Ready = s.Tools > 0 || s.BackendCount == 0
	s.Phase = s.phase(asked || now.Sub(started) >= PendingFor)
	return s
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
