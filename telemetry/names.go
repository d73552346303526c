package telemetry

// Every name that leaves the process is in this file: metrics as scraped, spans,
// events and attributes. Those of MCP and HTTP follow the semantic conventions
// of OpenTelemetry; ours begin with recloser_ or auth. There is no label for a
// user, a URL or anything of a token.
const (
	metricServer      = "mcp_server_operation_duration_seconds"
	metricClient      = "mcp_client_operation_duration_seconds"
	metricRetries     = "recloser_auth_retries_total"
	metricRenewals    = "recloser_credential_renewals_total"
	metricTransitions = "recloser_breaker_transitions_total"
	metricExpiry      = "recloser_credential_expiry_timestamp_seconds"
	metricBreaker     = "recloser_breaker_state"
	metricStatus      = "recloser_backend_status"
	metricTools       = "recloser_tools"
	metricSessions    = "recloser_sessions"

	labelBackend = "backend"
	labelOutcome = "outcome"
	labelState   = "state"
	labelStatus  = "status"
	labelTo      = "to"
	labelMethod  = "mcp_method_name"
	labelError   = "error_type"

	spanRetry    = "auth.retry"
	spanRenew    = "auth.renew"
	eventAttempt = "auth.retry.attempt"

	attrMethod     = "mcp.method.name"
	attrTool       = "gen_ai.tool.name"
	attrPrompt     = "gen_ai.prompt.name"
	attrResource   = "mcp.resource.uri"
	attrErrorType  = "error.type"
	attrResend     = "http.request.resend_count"
	attrHTTPMethod = "http.request.method"
	attrHTTPStatus = "http.response.status_code"

	attrBackend    = "backend.name"
	attrAttempts   = "auth.retry.attempts"
	attrOutcome    = "auth.retry.outcome"
	attrCoalesced  = "auth.retry.coalesced"
	attrGeneration = "auth.credential.generation"
	attrCircuit    = "auth.circuit.state"
	attrRenewal    = "auth.renew.outcome"

	attrAttempt = "attempt"
	attrDelay   = "delay_ms"
	attrReason  = "reason"
)

// Outcomes of a call that was refused at least once.
const (
	outcomeRecovered   = "recovered"
	outcomeExhausted   = "exhausted"
	outcomePermanent   = "permanent"
	outcomeCancelled   = "cancelled"
	outcomeCircuitOpen = "circuit_open"
)
