package server

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/recloser-mcp/recloser/auth"
	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/guard"
	"github.com/recloser-mcp/recloser/journal"
	"github.com/recloser-mcp/recloser/status"
)

// condition is what calls have to know of a backend at once.
type condition struct {
	well atomic.Bool  // it is ready: an answered call says nothing new
	lost atomic.Int64 // when it lost a session, in nanoseconds since 1970
}

func (c *condition) note(s status.BackendStatus) {
	if well := s == status.BackendStatusReady; c.well.Load() != well {
		c.well.Store(well)
	}
}

// called keeps what a call was like.
func (s *Server) called(ctx context.Context, c backend.CallInfo, r backend.CallResult) {
	if c.Class >= guard.Probe {
		return
	}
	b := s.live.Load().byName[c.Backend]
	if b == nil {
		return // it ends at a backend that is no longer in service
	}
	now := r.Start.Add(r.Took)
	outcome := status.OutcomeOK
	switch {
	case r.Kind != 0 && theirs(r.Kind):
		outcome = status.OutcomeFailed
	case r.Guard.Attempts > 1 && len(r.Sends) > 0 && r.Kind == 0:
		outcome = status.OutcomeRecovered
	}
	if outcome != status.OutcomeFailed || unsound(r.Err) {
		b.record.Answered(now, c.Class == guard.Call, outcome != status.OutcomeFailed)
	}
	if c.Class == guard.Call && b.record.Call(journal.Call{At: now, Took: r.Took, Outcome: outcome}) {
		b.record.Request(s.request(ctx, c, r, outcome))
	}
	if wasRefused(r) {
		s.tellRefusal(ctx, c, r, outcome)
	}
	if outcome == status.OutcomeFailed {
		if b.condition.well.Load() && !errors.Is(r.Err, backend.ErrAuthenticationFailed) {
			s.monitor.Kick(c.Backend) // to know at once whether it is the backend or the call
		}
		s.look(c.Backend)
	} else if !b.condition.well.Load() || r.Took > status.SlowAfter {
		s.look(c.Backend)
	}
}

// theirs reports whether a call failed through the backend's fault: not through that
// of its caller, and not because the gateway has too much to do or ends.
func theirs(k backend.Kind) bool {
	return k != backend.KindCanceled && k != backend.KindClosed && k != backend.KindNoCapacity
}

// unsound reports whether an error is one of those that come and go with single
// requests.
func unsound(err error) bool {
	e, ok := errors.AsType[*backend.Error](err)
	if !ok {
		return false
	}
	switch e.Kind {
	case backend.KindServerError, backend.KindTimeout, backend.KindProtocolError, backend.KindScopeMissing:
		return true
	}
	return false
}

func wasRefused(r backend.CallResult) bool {
	for _, sent := range r.Sends {
		if sent.Status == 401 || sent.Status == 403 {
			return true
		}
	}
	return false
}

// request makes the record of a call.
func (s *Server) request(ctx context.Context, c backend.CallInfo, r backend.CallResult, o status.Outcome) status.Request {
	q := status.Request{At: r.Start, Method: c.Method, Name: bounded(c.Name), Took: status.Duration(r.Took), Outcome: o, TraceID: s.telemetry.TraceID(ctx)}
	if r.Kind != 0 {
		q.Reason = status.Reason(r.Kind.Reason())
	}
	for _, sent := range r.Sends {
		q.Sends = append(q.Sends, status.Send{At: sent.At, Status: sent.Status, Cause: sent.Cause.String(), Generation: sent.Generation, Took: status.Duration(sent.Took)})
	}
	if len(q.Sends) == 0 && r.Guard.Attempts > 0 {
		q.Sends = []status.Send{{At: r.Start, Status: 200, Cause: guard.First.String(), Generation: r.Guard.Generation, Took: status.Duration(r.Took)}}
	}
	return q
}

// bounded cuts a name to what a table can bear.
func bounded(name string) string {
	const most = 200
	if len(name) > most {
		return name[:most] + "..."
	}
	return name
}

func (s *Server) tellRefusal(ctx context.Context, c backend.CallInfo, r backend.CallResult, o status.Outcome) {
	level, end := status.LevelInfo, "and was answered in the end"
	if o == status.OutcomeFailed {
		level, end = status.LevelWarning, "and failed: "+r.Kind.Reason()
	}
	first := r.Sends[0]
	s.journal.Add(status.Event{Kind: status.EventRefusal, Level: level, Backend: c.Backend, At: r.Start.Add(r.Took), TraceID: s.telemetry.TraceID(ctx),
		Message: fmt.Sprintf("%s %s was answered HTTP %d, sent %s %s", c.Method, bounded(c.Name), first.Status, times(r.Guard.Attempts), end)})
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

func (s *Server) tellStatus(before, now *status.Backend) {
	if before.Status == "" && now.Status == status.BackendStatusUnknown {
		return // it has just been made, and nobody has asked it
	}
	level := status.LevelInfo
	switch now.Status {
	case status.BackendStatusDegraded:
		level = status.LevelWarning
	case status.BackendStatusUnavailable:
		level = status.LevelError
	}
	text := string(now.Status) + " (" + string(now.Reason) + ")"
	if before.Status != "" {
		text += ", was " + string(before.Status) + " (" + string(before.Reason) + ")"
	}
	if now.Message != "" {
		text += ": " + now.Message
	}
	s.journal.Add(status.Event{Kind: status.EventStatus, Level: level, Backend: now.Name, Status: now.Status, Reason: now.Reason, Message: text})
}

func (s *Server) tellRenewal(name string, e auth.Event) {
	ev := status.Event{Kind: status.EventRenewal, Level: status.LevelInfo, Backend: name}
	switch e.Kind {
	case auth.Failed:
		ev.Level = status.LevelError
		ev.Message = fmt.Sprintf("credential not renewed: %s", e.Outcome)
		if e.Err != nil {
			ev.Message += ": " + e.Err.Error()
		}
	case auth.Rotated:
		ev.Message = fmt.Sprintf("credential replaced from outside, generation %d", e.Generation)
	case auth.Unchanged:
		ev.Message = fmt.Sprintf("credential fetched again, it is the same: generation %d", e.Generation)
	case auth.Renewed:
		ev.Message = fmt.Sprintf("credential renewed in %s, generation %d", status.Duration(e.Took), e.Generation)
	}
	s.journal.Add(ev)
	if !s.monitor.Probing(name) { // else the probe needed it, and its end tells what came of it
		s.look(name)
	}
}

func (s *Server) tellTransition(name string, t guard.Transition) {
	level := status.LevelInfo
	text := "breaker " + t.To.String() + ", was " + t.From.String()
	if t.To == guard.Open {
		level = status.LevelWarning
		text += fmt.Sprintf(", after %d exhausted sequences; next probe %s", t.Count, t.Until.UTC().Format(time.RFC3339))
	}
	s.journal.Add(status.Event{Kind: status.EventBreaker, Level: level, Backend: name, Message: text, At: t.At})
	s.look(name)
}

// sessionEvent tells of sessions that a backend has lost.
func (s *Server) sessionEvent(e backend.SessionEvent) {
	if !e.Lost {
		return
	}
	if b := s.live.Load().byName[e.Backend]; b != nil {
		b.condition.lost.Store(time.Now().UnixNano())
	}
	s.journal.Add(status.Event{Kind: status.EventSession, Level: status.LevelWarning, Backend: e.Backend, Message: "no longer knows a session: it is opened again"})
}

// afterLoss is how long after a lost session a short list may be its doing.
const afterLoss = time.Minute

// surprised tells of a list that its owner should know of.
func (s *Server) surprised(name, text string) {
	reason := status.Reason("")
	if b := s.live.Load().byName[name]; b != nil {
		if lost := b.condition.lost.Load(); lost != 0 && time.Since(time.Unix(0, lost)) < afterLoss {
			text += "; this came right after it lost a session, so it may be a fault of the backend"
		}
	}
	if s.catalog.Facts(name).Tools == 0 {
		reason = status.ReasonNoTools
	}
	s.log.Warn("catalogue needs attention", "backend", name, "text", text)
	s.journal.Add(status.Event{Kind: status.EventCatalogue, Level: status.LevelWarning, Backend: name, Reason: reason, Message: name + " " + text})
}
