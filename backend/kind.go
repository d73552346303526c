package backend

// Kind says what sort of fault an [Error] is. Each has a stable reason code.
type Kind uint8

// The kinds of errors.
const (
	KindAuthRefused        Kind = iota + 1 // the credential is refused, and every retry that was due was refused too
	KindAuthForbidden                      // 403 with a credential that is accepted otherwise
	KindScopeMissing                       // 403 insufficient_scope
	KindGrantExpired                       // the issuer refuses to renew for good
	KindRenewalUnavailable                 // the issuer cannot be reached or is out of order
	KindBreakerOpen                        // whenOpen is reject: nothing was sent
	KindUnreachable                        // no connection, or it broke
	KindTLSFailed                          // no secure connection
	KindTimeout                            // silent for too long, or the caller's deadline
	KindServerError                        // 5xx or 429
	KindProtocolError                      // an answer that is none: redirect, wrong type, broken JSON, cut stream
	KindProcessExited                      // the backend's process ended, or could not be started
	KindNoCapacity                         // too many requests in flight to this backend
	KindCanceled                           // the caller left
	KindClosed                             // the client was closed
)

// Reason returns the reason code of the kind, as status pages and JSON-RPC
// errors carry it.
func (k Kind) Reason() string {
	if int(k) < len(kinds) && kinds[k].reason != "" {
		return kinds[k].reason
	}
	return "unknown"
}

// String returns the reason code.
func (k Kind) String() string { return k.Reason() }

// auth reports whether errors of the kind are authentication failures.
func (k Kind) auth() bool { return k >= KindAuthRefused && k <= KindBreakerOpen }

// kinds holds, for each kind, its code, what happened in words, and what the
// reader can do about it.
var kinds = [...]struct{ reason, what, hint string }{
	KindAuthRefused: {"auth_refused", "credential refused",
		"the backend does not accept the credential and renewing did not help: check that it is valid, meant for this backend and not revoked"},
	KindAuthForbidden: {"auth_forbidden", "not permitted",
		"the backend accepts the credential but forbids this request: ask its owner for the permission"},
	KindScopeMissing: {"scope_missing", "scope missing",
		"add the missing scopes to the credential, or ask the backend's owner to grant them"},
	KindGrantExpired: {"grant_expired", "grant expired",
		"the issuer will not renew this credential any more: sign in again or replace the client secret"},
	KindRenewalUnavailable: {"renewal_unavailable", "renewal unavailable",
		"the token endpoint cannot be reached or is out of order: renewal is tried again by itself"},
	KindBreakerOpen: {"breaker_open", "not sent",
		"the credential was refused too often: the next try is made when the cool-down ends, or at once when the credential is replaced"},
	KindUnreachable: {"unreachable", "backend unreachable",
		"check that the backend runs and that its address is right"},
	KindTLSFailed: {"tls_failed", "TLS failed",
		"check the backend's certificate and tls.caFile, and tls.certFile where it asks for a client certificate"},
	KindTimeout: {"timeout", "no answer in time",
		"the backend took too long: raise timeouts.idle or the caller's deadline if such calls may take longer"},
	KindServerError: {"server_error", "backend out of order",
		"the backend reports a fault of its own or too many requests: look at its log, try again later"},
	KindProtocolError: {"protocol_error", "not an MCP answer",
		"check that the address is that of an MCP endpoint and that nothing between rewrites answers"},
	KindProcessExited: {"process_exited", "process ended",
		"run the command of the backend by hand and read what it prints; it is started again by the next request"},
	KindNoCapacity: {"no_capacity", "too many requests in flight",
		"try again in a moment, or raise limits.inFlightPerBackend"},
	KindCanceled: {"canceled", "canceled", "the caller left before the answer came"},
	KindClosed:   {"closed", "closed", "the gateway is shutting down or the backend was removed from its configuration"},
}
