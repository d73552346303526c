package backendtest

import (
	"fmt"
	"net/http"
	"slices"
	"time"
)

// Forever is the count of a fault that stays until it is healed.
const Forever = -1

type faultKind uint8

const (
	faultStatus faultKind = iota
	faultLatency
	faultTimeout
	faultReset
	faultSlowClose
	faultLimitData
	faultTruncate
	faultHang
	faultDropSession
)

var faultNames = [...]string{"status", "latency", "timeout", "reset peer", "slow close",
	"limit data", "truncate stream", "hang", "drop session"}

// Fault is something that goes wrong with requests that match it. It is a
// value: each method returns a changed copy. Without a For method it matches
// every request, streams (GET) and ends of sessions (DELETE) included.
//
// Faults are tried in the order of their injection. Delays add up; of the
// faults that answer or end the request only the first one acts, and only it
// uses up its count. SlowClose, LimitData and TruncateStream work on accepted
// answers (2xx) and are used up by them alone.
type Fault struct {
	kind    faultKind
	times   int
	delay   time.Duration
	limit   int64
	answer  answer
	methods []string
	names   []string
	when    func(*http.Request, Message) bool
	skip    int
	chance  float64 // 0 means always
	seed    uint64
	late    bool
}

// Status answers the next requests with an HTTP status and nothing else,
// instead of serving them. Header, Body, BodySize, HeaderSize, RPCError and
// Challenge shape the answer.
func Status(code, times int) Fault {
	return Fault{kind: faultStatus, times: times, answer: answer{status: code}}
}

// Latency holds every request for d before it is served.
func Latency(d time.Duration) Fault {
	return Fault{kind: faultLatency, times: Forever, delay: d}
}

// Timeout leaves every request without an answer for d, then closes its
// connection: a proxy that gave up. Zero closes when the fault is healed.
func Timeout(d time.Duration) Fault {
	return Fault{kind: faultTimeout, times: Forever, delay: d}
}

// ResetPeer reads the request, then resets the connection: RST on a port, an
// abrupt close in memory. With AfterExecution the request was served first.
func ResetPeer(times int) Fault { return Fault{kind: faultReset, times: times} }

// SlowClose delivers the whole answer and then holds its end back for d: the
// body has no announced length, and ends late.
func SlowClose(d time.Duration) Fault {
	return Fault{kind: faultSlowClose, times: Forever, delay: d}
}

// LimitData lets n bytes of each answer's body through and then cuts the
// connection. Shorter answers pass unharmed.
func LimitData(n int64) Fault { return Fault{kind: faultLimitData, times: Forever, limit: n} }

// TruncateStream ends an event stream cleanly just before the event that holds
// the response; events before it are delivered. A plain JSON answer is ended in
// its middle. The request was executed.
func TruncateStream(times int) Fault { return Fault{kind: faultTruncate, times: times} }

// Hang holds requests until their client leaves, the fault is healed (they are
// then served) or the server closes.
func Hang(times int) Fault { return Fault{kind: faultHang, times: times} }

// DropSession forgets the session that the request names, as a server that was
// restarted does: this request and all later ones of that session get 404.
// Requests without a session do not match.
func DropSession(times int) Fault { return Fault{kind: faultDropSession, times: times} }

// ForMethod limits the fault to JSON-RPC methods, or to the Method constants.
func (f Fault) ForMethod(methods ...string) Fault {
	f.methods = slices.Concat(f.methods, methods)
	return f
}

// ForName limits the fault to tools, prompts or resources of these names or
// URIs.
func (f Fault) ForName(names ...string) Fault {
	f.names = slices.Concat(f.names, names)
	return f
}

// When limits the fault to requests that the condition holds for. It is called
// without any lock, by several requests at once.
func (f Fault) When(cond func(*http.Request, Message) bool) Fault {
	f.when = cond
	return f
}

// Times changes how many requests the fault hits. Forever is for ever.
func (f Fault) Times(n int) Fault {
	f.times = n
	return f
}

// Skip lets the first n matching requests pass.
func (f Fault) Skip(n int) Fault {
	f.skip = n
	return f
}

// WithProbability hits each matching request with probability p, from 0 to 1.
// The same seed gives the same sequence of hits and misses.
func (f Fault) WithProbability(p float64, seed uint64) Fault {
	f.chance, f.seed = max(p, -1), seed
	if p <= 0 {
		f.times = 0
	}
	return f
}

// AfterExecution lets the server serve the request, throws its answer away and
// only then applies the fault: the tool ran, and the client cannot know. It
// changes Status, Timeout, ResetPeer, Hang (whose healing then delivers the
// answer) and Latency; the others act on answers anyway.
func (f Fault) AfterExecution() Fault {
	f.late = true
	return f
}

// String names the fault and its count.
func (f Fault) String() string {
	switch f.kind {
	case faultStatus:
		return fmt.Sprintf("status %d x %d", f.answer.status, f.times)
	case faultLatency, faultTimeout, faultSlowClose:
		return fmt.Sprintf("%s %v x %d", faultNames[f.kind], f.delay, f.times)
	case faultLimitData:
		return fmt.Sprintf("limit data %d x %d", f.limit, f.times)
	default:
		return fmt.Sprintf("%s x %d", faultNames[f.kind], f.times)
	}
}

func (f Fault) matches(r *http.Request, m *Message) bool {
	if len(f.methods) > 0 && !slices.Contains(f.methods, m.Method) {
		return false
	}
	if len(f.names) > 0 && !slices.Contains(f.names, m.Name) {
		return false
	}
	if f.kind == faultDropSession && m.Session == "" || f.kind == faultTruncate && len(m.ID) == 0 {
		return false
	}
	return f.when == nil || f.when(r, *m)
}
