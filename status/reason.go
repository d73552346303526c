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

// For returns the explanation with the backend's name filled in, in commands as a
// shell needs it.
func (e Explanation) For(backend string) Explanation {
	for _, text := range []*string{&e.Cause, &e.Did, &e.Do, &e.Clients} {
		spans := strings.Split(*text, "`")
		for i := range spans {
			name := backend
			if i%2 == 1 { // between backticks stands a command
				name = shellWord(backend)
			}
			spans[i] = strings.ReplaceAll(spans[i], placeholder, name)
		}
		*text = strings.Join(spans, "`")
	}
	return e
}

// shellWord quotes a text that a shell would not take as one word.
func shellWord(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:@%+=,", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
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
	Do:      "Run `recloser doctor NAME`: it says whether the credential has expired, is meant for another server or lacks a scope. Then put one that NAME accepts into mcpServers.NAME.auth and run `recloser reload`, or into the file that it names, which is taken up by itself. If a token server issues it, `recloser backend renew NAME` asks for another now.",
	Clients: "The tools of NAME stay listed. Each call ends with an error that names the reason and the fix; nobody sees a 401, and other backends are not affected.",
}, {
	Reason:  ReasonAuthForbidden,
	Cause:   "NAME accepts the credential, but does not permit this request.",
	Did:     "Only this call was tried again, in case the permission was being changed. The credential and the breaker were left alone.",
	Do:      "Give the account behind mcpServers.NAME.auth the permission at the server, or call something else. `recloser doctor NAME` shows whose token it is and which scopes it has.",
	Clients: "This call ends with an error that names the reason. Other calls to NAME go on.",
}, {
	Reason:  ReasonScopeMissing,
	Cause:   "The credential for NAME lacks a scope that the request needs.",
	Did:     "Nothing was sent again: the same credential would be refused again.",
	Do:      "Run `recloser doctor NAME`: it names the scopes that are there and those that are wanted. Add the missing ones to mcpServers.NAME.auth.scopes and run `recloser reload`, or have the server issue a token that has them.",
	Clients: "Calls that need the scope end with an error that names it. The tools of NAME stay listed, and its other calls go on.",
}, {
	Reason:  ReasonGrantExpired,
	Cause:   "The token server refuses to issue another credential for NAME: the grant or the client is no longer valid there.",
	Did:     "The token server was asked once for this credential. Once the breaker has opened, each call that tries NAME after a cool-down asks once more, in case an administrator has mended it.",
	Do:      "Put a valid client id and secret into the credential that mcpServers.NAME.auth uses, and run `recloser reload`; a changed file is taken up by itself. `recloser doctor NAME` says what the token server answers, and `recloser backend renew NAME` asks it again.",
	Clients: "The tools of NAME stay listed. Each call ends at once with an error that names the reason and the fix.",
}, {
	Reason:  ReasonRenewalUnavailable,
	Cause:   "The credential for NAME has to be renewed, and the token server cannot be reached or is out of order.",
	Did:     "The renewal is repeated in the background, at most 20 s apart while there are calls. A credential that is still valid stays in use.",
	Do:      "Check that the token server named in the credential of mcpServers.NAME.auth runs and can be reached from the gateway: `recloser doctor NAME` shows how far a request gets. Calls recover by themselves when it is back; `recloser backend renew NAME` asks it at once.",
	Clients: "The tools of NAME stay listed. Each call ends with an error that names the reason, until the token server is back.",
}, {
	Reason:  ReasonBreakerOpen,
	Cause:   "The breaker of NAME is open after repeated refusals, and mcpServers.NAME.authRetry.whenOpen is reject.",
	Did:     "The call was not sent. A probe tries NAME when the cool-down ends; a new credential closes the breaker at once.",
	Do:      "Mend what made it open: `recloser status NAME` says what that was. `recloser backend reset NAME` closes it now. To send calls once each while it is open, set mcpServers.NAME.authRetry.whenOpen to pass.",
	Clients: "The tools of NAME stay listed. Each call ends at once with an error that names the reason.",
}, {
	Reason:  ReasonUnreachable,
	Cause:   "No connection to NAME could be made.",
	Did:     "The gateway keeps trying in the background. A request of which nothing was written yet is sent again by itself.",
	Do:      "Run `recloser doctor NAME`: it says whether the name, the port or the path is wrong, or the server is down. Start the server, or correct mcpServers.NAME.url and run `recloser reload`. `recloser backend probe NAME` tries it at once.",
	Clients: "The tools of NAME stay listed as they were. Each call ends with an error that names the reason, after mcpServers.NAME.timeouts.connect (5s by default) at the latest.",
}, {
	Reason:  ReasonTLSFailed,
	Cause:   "The TLS connection to NAME could not be established.",
	Did:     "Nothing was sent: no credential leaves over a connection whose other end is not proven.",
	Do:      "Run `recloser doctor NAME`: it says what is wrong with which certificate. If it is of a private authority, name the file of that in mcpServers.NAME.tls.caFile; if the server asks for a client certificate, set mcpServers.NAME.tls.certFile and mcpServers.NAME.tls.keyFile. Then run `recloser reload`.",
	Clients: "The tools of NAME stay listed as they were. Each call ends at once with an error that names the reason.",
}, {
	Reason:  ReasonTimeout,
	Cause:   "NAME does not answer in time.",
	Did:     "The request was given up. Whether it was carried out is not known, so it was not sent again.",
	Do:      "Look at the load of the server; `recloser doctor NAME` shows whether it still answers at all. If its calls may be silent for longer, raise mcpServers.NAME.timeouts.idle and run `recloser reload`.",
	Clients: "The tools of NAME stay listed. A call that gets no byte within mcpServers.NAME.timeouts.idle (10m by default) ends with an error that says that its outcome is not known.",
}, {
	Reason:  ReasonServerError,
	Cause:   "NAME answers with a server error or asks for fewer requests.",
	Did:     "The answer was passed on. Nothing was sent again, because the request may have been carried out.",
	Do:      "Look into the log of the server. `recloser events --backend NAME` shows when it began, and `recloser backend probe NAME` tries it again.",
	Clients: "The tools of NAME stay listed. Each call ends with an error that names the reason and the HTTP status.",
}, {
	Reason:  ReasonProtocolError,
	Cause:   "NAME answers something that is not MCP, or redirects elsewhere.",
	Did:     "The answer was refused. A redirect is never followed, so that no credential goes to another host.",
	Do:      "Run `recloser doctor NAME`: it shows what answers there, and where the MCP endpoint is if it finds it, often at a path that ends in /mcp. Correct mcpServers.NAME.url and run `recloser reload`.",
	Clients: "The tools of NAME stay listed as they were. Each call ends with an error that names the reason.",
}, {
	Reason:  ReasonNoTools,
	Cause:   "NAME answers, but lists no tool, resource or prompt.",
	Did:     "Its lists are read again every five minutes, and when it says that they changed.",
	Do:      "Check what the server offers to this credential, and whether mcpServers.NAME.tools.allow lets any of it through: `recloser doctor NAME` counts what is listed to it. `recloser config show` shows the rules.",
	Clients: "Nothing of NAME is listed.",
}, {
	Reason:  ReasonProcessExited,
	Cause:   "The process of NAME has ended.",
	Did:     "What was in flight has failed and was not sent again. It is started again for the next request, ever more seldom while it ends without having answered.",
	Do:      "Run `recloser doctor NAME`, or the command of mcpServers.NAME by hand, and read what it prints; check mcpServers.NAME.env and mcpServers.NAME.cwd, as a process gets little else of the gateway's environment.",
	Clients: "The tools of NAME stay listed as they were. A call starts the process again; if that does not help it ends with an error that names the reason.",
}, {
	Reason:  ReasonDisabled,
	Cause:   "NAME is disabled in the configuration.",
	Did:     "It is not contacted, and its tools are not listed.",
	Do:      "To use it, remove disabled from mcpServers.NAME and run `recloser reload`.",
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
