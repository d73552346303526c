package wire

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
