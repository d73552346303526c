package backend

import (
	"context"
	"net/http"
	"time"

	"github.com/recloser-mcp/recloser/auth"
	"github.com/recloser-mcp/recloser/guard"
	"github.com/recloser-mcp/recloser/wire"
)

// Trace is a set of hooks for telemetry, in the manner of net/http/httptrace.
// Every hook is optional. Hooks are called on the goroutine that does the work:
// they must not block. None of them ever sees a credential.
type Trace struct {
	// CallStart is called before anything is sent for a call; the call goes on
	// under the context it returns. CallEnd is called once for it, when its
	// answer has been read to the end or it failed.
	CallStart func(ctx context.Context, c CallInfo) context.Context
	CallEnd   func(ctx context.Context, c CallInfo, r CallResult)
	// SendStart is called before each physical request, requests inside a call
	// included; SendEnd when the head of its answer is there or it failed.
	SendStart func(ctx context.Context, s SendInfo) context.Context
	SendEnd   func(ctx context.Context, s SendInfo, r SendResult)
	// Inject adds the headers that carry the trace context of a send.
	Inject func(ctx context.Context, h http.Header)
	// Meta returns the members of params._meta that carry the trace context of a
	// call.
	Meta func(ctx context.Context) []wire.KV
	// Renewal is called after each finished fetch of the backend's credential;
	// never for a backend that has none.
	Renewal func(backend string, e auth.Event)
	// Transition is called when the breaker changes its phase.
	Transition func(backend string, t guard.Transition)
	// Session is called when a session of an elder revision begins or ends.
	Session func(e SessionEvent)
}

// CallInfo names a call.
type CallInfo struct {
	Backend string
	Method  string // of the protocol
	Name    string // tool, prompt or URI
	Class   guard.Class
}

// CallResult is how a call ended.
type CallResult struct {
	Guard guard.Result
	Start time.Time
	Took  time.Duration
	Kind  Kind  // 0 unless Err is an *Error
	Err   error // *Error or *RPCError where one was recognized; nil for a result
	// Sends are the physical requests, from the first one that was not accepted on;
	// nil when the only one was.
	Sends []Sent
}

// Sent is one physical request that was made for a call.
type Sent struct {
	Method     string // another than the call's for one that had to come before it
	At         time.Time
	Took       time.Duration // until the head of the answer
	Status     int           // 0: no answer
	Cause      guard.Cause
	Generation uint64 // of the credential
}

// maxSent bounds the sends that are noted of one call.
const maxSent = 16

// SendInfo names one physical request.
type SendInfo struct {
	CallInfo
	HTTPMethod string
	Resend     int // 0 for the first send of a call
	Cause      guard.Cause
	Delay      time.Duration // waited since the call's last send
	Generation uint64        // of the credential
	Nested     bool          // made for a call, not the call itself
}

// SendResult is the head of the answer to one physical request.
type SendResult struct {
	Status  int // 0: no answer
	Verdict guard.Verdict
	Start   time.Time
	Took    time.Duration
	Err     error // of the transport
}

// SessionEvent tells of a session at a backend.
type SessionEvent struct {
	Backend string
	Opened  bool // else lost or closed
	Lost    bool // the backend no longer knew it
}
