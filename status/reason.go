package status

import (
	"slices"
	"strings"
)

// Reason is a stable code for why a backend is as it is, or why a call to it
// failed.
type Reason string

// The reasons.
const (
	ReasonOK                 Reason = "ok"
	ReasonConnecting         Reason = "connecting"
	ReasonAuthRefused        Reason = "auth_refused"
	ReasonAuthForbidden      Reason = "auth_forbidden" // of an error only, never of a backend
	ReasonScopeMissing       Reason = "scope_missing"
	ReasonGrantExpired       Reason = "grant_expired"
	ReasonRenewalUnavailable Reason = "renewal_unavailable"
	ReasonBreakerOpen        Reason = "breaker_open" // of an error under whenOpen: reject only
	ReasonUnreachable        Reason = "unreachable"
	ReasonTLSFailed          Reason = "tls_failed"
	ReasonTimeout            Reason = "timeout"
	ReasonServerError        Reason = "server_error"
	ReasonProtocolError      Reason = "protocol_error"
	ReasonNoTools            Reason = "no_tools"
	ReasonProcessExited      Reason = "process_exited"
	ReasonDisabled           Reason = "disabled"
)

// Explanation says in words what a reason means. The text that [Explain] returns
// has NAME in the place of the backend's name; [Explanation.For] fills it in.
type Explanation struct {
	Reason Reason
	// Cause is what is the case.
	Cause string
	// Did is what the gateway did about it, and goes on doing.
	Did string
	// Do is what the reader does. Every command in it exists. It is empty when
	// there is nothing to do.
	Do string
	// Clients is what clients of the gateway see while the backend serves nothing
	// for this reason. It is empty when all is well.
	Clients string
}

// placeholder stands for the backend's name in the templates.
const placeholder = "NAME"

// For returns the explanation with the backend's name filled in.
func (e Explanation) For(backend string) Explanation {
	fill := strings.NewReplacer(placeholder, backend)
	for _, text := range []*string{&e.Cause, &e.Did, &e.Do, &e.Clients} {
		*text = fill.Replace(*text)
	}
	return e
}

// Part is one paragraph of an explanation.
type Part struct{ Label, Text string }

// Parts are the paragraphs that the explanation has, in the order of reading.
func (e Explanation) Parts() []Part {
	return slices.DeleteFunc([]Part{
		{"Cause", e.Cause}, {"What we did", e.Did}, {"What you do", e.Do}, {"What clients see", e.Clients},
	}, func(p Part) bool { return p.Text == "" })
}

// Text is the explanation as plain text, with the reason on its first line.
func (e Explanation) Text() string {
	var b strings.Builder
	b.WriteString(string(e.Reason) + "\n")
	for _, p := range e.Parts() {
		b.WriteString("\n" + p.Label + ". " + p.Text + "\n")
	}
	return b.String()
}

// explanations are the templates, in the order of the documentation.
var explanations = []Explanation{{
	Reason: ReasonOK,
	Cause:  "NAME answers and lists something.",
	Did:    "Nothing had to be done.",
}, {
	Reason:  ReasonConnecting,
	Cause:   "NAME has not answered yet: the first request to it is still out.",
	Did:     "The gateway is connecting in the background. Lists do not wait for it; its tools appear when it answers.",
	Clients: "The tools of NAME are not listed yet. They appear when it has answered, in open sessions too.",
}, {
	Reason:  ReasonAuthRefused,
	Cause:   "NAME refuses the credential.",
	Did:     "The credential was renewed, or read again, and sent again up to maxRetries times (3 by default). After openAfter such sequences in a row (5 by default) the breaker opens: calls are then sent once only, until one is accepted.",
	Do:      "Put a credential that NAME accepts into mcpServers.NAME.auth, or into the file that it names: a changed file is taken up by itself. Check the result with `recloser validate --config FILE`.",
	Clients: "The tools of NAME stay listed. Each call ends with an error that names the reason and the fix; nobody sees a 401, and other backends are not affected.",
}, {
	Reason:  ReasonAuthForbidden,
	Cause:   "NAME accepts the credential, but does not permit this request.",
	Did:     "Only this call was tried again, in case the permission was being changed. The credential and the breaker were left alone.",
	Do:      "Give the account behind mcpServers.NAME.auth the permission at the server, or call something else.",
	Clients: "This call ends with an error that names the reason. Other calls to NAME go on.",
}, {
	Reason:  ReasonScopeMissing,
	Cause:   "The credential for NAME lacks a scope that the request needs.",
	Did:     "Nothing was sent again: the same credential would be refused again.",
	Do:      "Add the missing scopes to mcpServers.NAME.auth.scopes, or have the server issue a token that has them, then check with `recloser validate --config FILE`.",
	Clients: "Calls that need the scope end with an error that names it. The tools of NAME stay listed, and its other calls go on.",
}, {
	Reason:  ReasonGrantExpired,
	Cause:   "The token server refuses to issue another credential for NAME: the grant or the client is no longer valid there.",
	Did:     "The token server was asked once for this credential and is asked once more by each probe, in case an administrator mends it.",
	Do:      "Sign in again at the token server, or put a valid client id and secret into the credential that mcpServers.NAME.auth uses, then check with `recloser validate --config FILE`.",
	Clients: "The tools of NAME stay listed. Each call ends at once with an error that names the reason and the fix.",
}, {
	Reason:  ReasonRenewalUnavailable,
	Cause:   "The credential for NAME has to be renewed, and the token server cannot be reached or is out of order.",
	Did:     "The renewal is repeated in the background, at most 20 s apart while there are calls. A credential that is still valid stays in use.",
	Do:      "Check that the token server named in the credential of mcpServers.NAME.auth runs and can be reached from the gateway. Calls recover by themselves when it is back.",
	Clients: "The tools of NAME stay listed. Each call ends with an error that names the reason, until the token server is back.",
}, {
	Reason:  ReasonBreakerOpen,
	Cause:   "The breaker of NAME is open after repeated refusals, and mcpServers.NAME.authRetry.whenOpen is reject.",
	Did:     "The call was not sent. A probe tries NAME when the cool-down ends; a new credential closes the breaker at once.",
	Do:      "See the status of NAME for why it refuses. To send calls once each while the breaker is open, set mcpServers.NAME.authRetry.whenOpen to pass.",
	Clients: "The tools of NAME stay listed. Each call ends at once with an error that names the reason.",
}, {
	Reason:  ReasonUnreachable,
	Cause:   "No connection to NAME could be made.",
	Did:     "The gateway keeps trying in the background. A request of which nothing was written yet is sent again by itself.",
	Do:      "Check that the server runs and that mcpServers.NAME.url is right, then check the file with `recloser validate --config FILE`.",
	Clients: "The tools of NAME stay listed as they were. Each call ends with an error that names the reason, after mcpServers.NAME.timeouts.connect (5s by default) at the latest.",
}, {
	Reason:  ReasonTLSFailed,
	Cause:   "The TLS connection to NAME could not be established.",
	Did:     "Nothing was sent: no credential leaves over a connection whose other end is not proven.",
	Do:      "If the server's certificate is of a private authority, name its file in mcpServers.NAME.tls.caFile; if the server asks for a client certificate, set tls.certFile and tls.keyFile. Check with `recloser validate --config FILE`.",
	Clients: "The tools of NAME stay listed as they were. Each call ends at once with an error that names the reason.",
}, {
	Reason:  ReasonTimeout,
	Cause:   "NAME does not answer in time.",
	Did:     "The request was given up. Whether it was carried out is not known, so it was not sent again.",
	Do:      "Look at the load of the server. If its calls may be silent for longer, raise mcpServers.NAME.timeouts.idle.",
	Clients: "The tools of NAME stay listed. A call that gets no byte within mcpServers.NAME.timeouts.idle (10m by default) ends with an error that says that its outcome is not known.",
}, {
	Reason:  ReasonServerError,
	Cause:   "NAME answers with a server error or asks for fewer requests.",
	Did:     "The answer was passed on. Nothing was sent again, because the request may have been carried out.",
	Do:      "Look into the log of the server.",
	Clients: "The tools of NAME stay listed. Each call ends with an error that names the reason and the HTTP status.",
}, {
	Reason:  ReasonProtocolError,
	Cause:   "NAME answers something that is not MCP, or redirects elsewhere.",
	Did:     "The answer was refused. A redirect is never followed, so that no credential goes to another host.",
	Do:      "Check that mcpServers.NAME.url is the address of the MCP endpoint itself, often one that ends in /mcp, then check with `recloser validate --config FILE`.",
	Clients: "The tools of NAME stay listed as they were. Each call ends with an error that names the reason.",
}, {
	Reason:  ReasonNoTools,
	Cause:   "NAME answers, but lists no tool, resource or prompt.",
	Did:     "Its lists are read again every five minutes, and when it says that they changed.",
	Do:      "Check what the server offers to this credential.",
	Clients: "Nothing of NAME is listed.",
}, {
	Reason:  ReasonProcessExited,
	Cause:   "The process of NAME has ended.",
	Did:     "What was in flight has failed and was not sent again. It is started again for the next request, ever more seldom while it ends without having answered.",
	Do:      "Run the command of mcpServers.NAME by hand and read what it prints; check mcpServers.NAME.env and mcpServers.NAME.cwd, as a process gets little else of the gateway's environment.",
	Clients: "The tools of NAME stay listed as they were. A call starts the process again; if that does not help it ends with an error that names the reason.",
}, {
	Reason:  ReasonDisabled,
	Cause:   "NAME is disabled in the configuration.",
	Did:     "It is not contacted, and its tools are not listed.",
	Do:      "To use it, remove disabled from mcpServers.NAME.",
	Clients: "Nothing of NAME is listed, and its names cannot be called.",
}}

// Explain returns the text of a reason, and false for one that does not exist.
func Explain(r Reason) (Explanation, bool) {
	i := slices.IndexFunc(explanations, func(e Explanation) bool { return e.Reason == r })
	if i < 0 {
		return Explanation{}, false
	}
	return explanations[i], true
}

// Reasons returns every reason, in the order of the documentation.
func Reasons() []Reason {
	all := make([]Reason, len(explanations))
	for i, e := range explanations {
		all[i] = e.Reason
	}
	return all
}
