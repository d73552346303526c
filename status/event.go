package status

import "time"

// EventKind groups events.
type EventKind string

// The kinds of events.
const (
	EventStatus    EventKind = "status"    // a backend's status or its reason changed
	EventPhase     EventKind = "phase"     // the gateway's phase changed
	EventBreaker   EventKind = "breaker"   // a breaker changed its state
	EventRenewal   EventKind = "renewal"   // a credential was renewed, or could not be
	EventRefusal   EventKind = "refusal"   // a backend refused the credential of a call
	EventSession   EventKind = "session"   // a backend lost a session
	EventCatalogue EventKind = "catalogue" // lists shrank, or a definition changed under its name
	EventReload    EventKind = "reload"    // a configuration was taken up or refused
	EventAction    EventKind = "action"    // somebody used the admin API
)

// Level says how much an event matters.
type Level string

// The levels of events.
const (
	LevelInfo    Level = "info"
	LevelWarning Level = "warning"
	LevelError   Level = "error"
)

// Event is something that happened. Events have no credential in them and are
// never changed.
type Event struct {
	// ID counts up from 1 since the gateway started.
	ID    uint64    `json:"id"`
	At    time.Time `json:"at"`
	Kind  EventKind `json:"kind"`
	Level Level     `json:"level"`
	// Backend is empty for what concerns the gateway as a whole.
	Backend string `json:"backend,omitempty"`
	// Status and Reason are the backend's after an event of kind status.
	Status BackendStatus `json:"status,omitempty"`
	Reason Reason        `json:"reason,omitempty"`
	// Message is one line.
	Message string `json:"message"`
	// TraceID names the trace of the call that the event belongs to, if there is
	// one.
	TraceID string `json:"traceId,omitempty"`
	// Count is how many events of the same kind this one stands for where they
	// come too fast to be told one by one. Left out: one.
	Count int `json:"count,omitempty"`
}
