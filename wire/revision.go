package wire

import "slices"

// Revision is a revision of the protocol, named by its date. Revisions compare
// as strings: a later one is greater.
type Revision string

// The revisions this module speaks.
const (
	Rev20250326 Revision = "2025-03-26"
	Rev20250618 Revision = "2025-06-18"
	Rev20251125 Revision = "2025-11-25"
	Rev20260728 Revision = "2026-07-28"
)

// Rev20241105 is the first revision. It has no streamable HTTP, so it is not
// among the known ones, which are those served; servers over stdio and HTTP+SSE
// still negotiate it, and what goes between them and their clients differs in
// nothing that this module looks at.
const Rev20241105 Revision = "2024-11-05"

// revisions holds every known revision, the newest first.
var revisions = []Revision{Rev20260728, Rev20251125, Rev20250618, Rev20250326}

// Revisions returns every known revision, the newest first.
func Revisions() []Revision { return slices.Clone(revisions) }

// Known reports whether r is a revision this module speaks.
func (r Revision) Known() bool { return slices.Contains(revisions, r) }

// Stateless reports whether r has no handshake and no sessions: every request
// carries its version and the client's capabilities in _meta (basic/versioning
// calls this era modern). Later revisions than the known ones count as
// stateless too; the empty revision does not.
func (r Revision) Stateless() bool { return r >= Rev20260728 }

// String returns the revision as it stands in headers and bodies.
func (r Revision) String() string { return string(r) }

// Negotiate is the server's half of the handshake of the elder revisions
// (basic/lifecycle, 2025-11-25): it returns the revision to answer an
// initialize request with, which is the one asked for if it is known and has a
// handshake, else the newest that has one.
func Negotiate(asked string) Revision {
	if r := Revision(asked); r.Known() && !r.Stateless() {
		return r
	}
	return Rev20251125
}

// Newest is the client's half: the newest known revision among those a server
// offers, in a DiscoverResult or in an UnsupportedProtocolVersionError. ok is
// false when there is none. A result that is not [Revision.Stateless] has to be
// opened with initialize.
func Newest(offered []string) (newest Revision, ok bool) {
	for _, r := range revisions {
		if slices.Contains(offered, string(r)) {
			return r, true
		}
	}
	return "", false
}

// Error codes of JSON-RPC 2.0 and of the protocol (basic/index, "Error Codes").
const (
	ParseError     = -32700 // the body is not JSON
	InvalidRequest = -32600 // JSON, but no message of the protocol
	MethodNotFound = -32601
	InvalidParams  = -32602
	InternalError  = -32603

	HeaderMismatch     = -32020 // a header and the body disagree (2026-07-28)
	MissingCapability  = -32021 // the client did not declare a capability (2026-07-28)
	UnsupportedVersion = -32022 // the protocol version is not spoken here (2026-07-28)

	ResourceNotFound       = -32002 // up to 2025-11-25; InvalidParams since
	URLElicitationRequired = -32042 // 2025-11-25 only
)

// Keys of _meta that the protocol reserves (basic/index, "_meta").
const (
	MetaPrefix             = "io.modelcontextprotocol/"
	MetaProtocolVersion    = "io.modelcontextprotocol/protocolVersion"
	MetaClientInfo         = "io.modelcontextprotocol/clientInfo"
	MetaClientCapabilities = "io.modelcontextprotocol/clientCapabilities"
	MetaLogLevel           = "io.modelcontextprotocol/logLevel"
	MetaServerInfo         = "io.modelcontextprotocol/serverInfo"
	MetaSubscriptionID     = "io.modelcontextprotocol/subscriptionId"
	MetaProgressToken      = "progressToken"
	MetaTraceParent        = "traceparent"
	MetaTraceState         = "tracestate"
	MetaBaggage            = "baggage"
)

// Values of resultType (basic/index, "ResultType").
const (
	ResultComplete      = "complete"
	ResultInputRequired = "input_required"
)
