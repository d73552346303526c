package server_test

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/recloser-mcp/recloser/backendtest"
	"github.com/recloser-mcp/recloser/status"
)

const (
	bearer  = ", auth: {type: bearer, token: good}"
	granted = ", auth: {type: client_credentials, tokenURL: TOKENURL, clientID: CLIENT, clientSecret: SECRET, scopes: [read]}"
)

func inject(faults ...backendtest.Fault) func(*ward) {
	return func(w *ward) {
		for _, f := range faults {
			w.a.Inject(f)
		}
	}
}

func heal(w *ward) { w.a.Heal() }

func rewrite(settings string) func(*ward) { return func(w *ward) { w.rewrite(settings) } }

// elsewhere answers at one path alone as something that is no MCP server does.
func elsewhere(f backendtest.Fault) backendtest.Option {
	return backendtest.WithFault(f.When(func(r *http.Request, _ backendtest.Message) bool { return r.URL.Path == "/elsewhere" }))
}

const (
	degraded    = "degraded/"
	unavailable = "unavailable/"
)

// worse is the course of what is unavailable only after three probes.
func worse(r status.Reason) []string {
	return []string{degraded + string(r), unavailable + string(r)}
}

// lost is the course of what is unavailable at once.
func lost(r status.Reason) []string { return []string{unavailable + string(r)} }

func ailments() []ailment {
	const forever = backendtest.Forever
	const (
		refused     = status.ReasonAuthRefused
		expired     = status.ReasonGrantExpired
		unrenewed   = status.ReasonRenewalUnavailable
		unreachable = status.ReasonUnreachable
		timeout     = status.ReasonTimeout
		serverError = status.ReasonServerError
		noMCP       = status.ReasonProtocolError
	)
	// Five exhausted sequences, then one send for each call, but for those that try
	// the backend again when the cool-downs of 30, 60 and 120 s have ended.
	const refusedSends = 5*4 + 10 + 3*3
	return []ailment{{
		name: "auth_refused, another token in the configuration", server: []backendtest.Option{backendtest.WithToken("good")}, settings: bearer,
		fall:  func(w *ward) { w.a.SetTokens("better") },
		calls: refused, code: 401, course: lost(refused), unasked: lost(refused), sends: refusedSends,
		message: "refuses the credential", fix: "mcpServers.a.auth",
		mend: rewrite(", auth: {type: bearer, token: better}"), reload: true,
	}, {
		name: "auth_refused by calls alone", server: []backendtest.Option{backendtest.WithToken("good"), backendtest.WithGuardedCallsOnly()}, settings: bearer,
		fall:  func(w *ward) { w.a.SetTokens("better") },
		calls: refused, code: 401, course: lost(refused), sends: refusedSends,
		message: "lists openly and refuses calls", fix: "mcpServers.a.auth",
		mend: rewrite(", auth: {type: bearer, token: better}"), reload: true,
	}, {
		name: "auth_refused, a credential where there was none", server: []backendtest.Option{backendtest.WithToken("good", "")},
		fall:  func(w *ward) { w.a.SetTokens("good") },
		calls: refused, code: 401, course: lost(refused), unasked: lost(refused), sends: refusedSends,
		message: "refuses the credential", fix: "mcpServers.a.auth",
		mend: rewrite(bearer), reload: true,
	}, {
		name: "scope_missing", issued: true, settings: granted,
		fall:  func(w *ward) { w.a.Inject(lacking(w, "write")) },
		calls: status.ReasonScopeMissing, code: 403, course: []string{degraded + "scope_missing"}, sends: 15,
		message: `scope="write"`, fix: "mcpServers.a.auth.scopes",
		mend: rewrite(strings.Replace(granted, "[read]", "[read, write]", 1)), reload: true,
	}, {
		name: "grant_expired, mended at the token server", issued: true, settings: granted,
		fall: func(w *ward) {
			w.issuer.Fail(backendtest.InvalidClient(), forever)
			w.issuer.Revoke()
		},
		calls: expired, code: 401, course: lost(expired), sends: refusedSends, renewals: 1 + 4,
		message: "refuses to issue another credential", fix: "a valid client id and secret",
		mend: func(w *ward) { w.issuer.Heal() }, recovers: 6 * time.Minute, // the longest cool-down
	}, {
		name: "grant_expired, mended at the token server and renewed by hand", issued: true, settings: granted,
		fall: func(w *ward) {
			w.issuer.Fail(backendtest.InvalidClient(), forever)
			w.issuer.Revoke()
		},
		calls: expired, code: 401, course: lost(expired), unasked: lost(expired), sends: refusedSends, renewals: 1 + 4,
		message: "refuses to issue another credential", fix: "`recloser backend renew a` asks it again",
		mend: func(w *ward) {
			w.issuer.Heal()
			w.act("renew")
		},
	}, {
		name: "grant_expired, mended in the configuration", issued: true, settings: granted,
		fall:  rewrite(strings.Replace(granted, "SECRET", "wrong", 1)),
		calls: expired, course: lost(expired), unasked: lost(expired), renewals: 1 + 4,
		message: "refuses to issue another credential", fix: "a valid client id and secret",
		mend: rewrite(granted), reload: true,
	}, {
		name: "renewal_unavailable, the token server is out of order", issued: true, settings: granted,
		fall: func(w *ward) {
			w.issuer.Fail(backendtest.Unavailable(), forever)
			w.issuer.Revoke()
		},
		calls: unrenewed, code: 401, course: lost(unrenewed), unasked: lost(unrenewed), sends: refusedSends, renewals: 30 + 5*3 + 4*3 + 25, // by probes, calls, half-open calls and in the background
		message: "out of order", fix: "Check that the token server",
		mend: func(w *ward) { w.issuer.Heal() }, recovers: 35 * time.Second,
	}, {
		name: "renewal_unavailable, the token server is down", issued: true, settings: granted,
		fall: func(w *ward) {
			w.issuer.Down()
			w.issuer.Revoke()
		},
		calls: unrenewed, code: 401, course: lost(unrenewed), unasked: lost(unrenewed), sends: refusedSends,
		message: "cannot be reached", fix: "Check that the token server",
		mend: func(w *ward) { _ = w.issuer.Up() }, recovers: 35 * time.Second,
	}, {
		name:  "unreachable, the server is started",
		fall:  func(w *ward) { w.a.Down() },
		calls: unreachable, course: worse(unreachable), unasked: worse(unreachable),
		message: "No connection to a", fix: "Start the server",
		mend: func(w *ward) { _ = w.a.Up() },
	}, {
		name:  "unreachable, the url is mended",
		fall:  rewrite("url: 'http://127.0.0.1:9/mcp'"),
		calls: unreachable, course: lost(unreachable), unasked: lost(unreachable),
		message: "No connection to a", fix: "correct mcpServers.a.url",
		mend: rewrite(""), reload: true,
	}, {
		name: "timeout, the server recovers", settings: ", timeouts: {idle: 2s}",
		fall:  inject(backendtest.Hang(forever)),
		calls: timeout, course: worse(timeout), unasked: worse(timeout), sends: 15,
		message: "in time", fix: "Look at the load of the server",
		mend: heal, back: []string{degraded + "timeout"},
	}, {
		name: "timeout, more time is given", settings: ", timeouts: {idle: 2s}",
		fall:  inject(backendtest.Latency(3 * time.Second).Times(forever).ForMethod("tools/call")),
		calls: timeout, course: []string{degraded + "timeout"}, sends: 15,
		message: "in time", fix: "mcpServers.a.timeouts.idle",
		mend: rewrite(", timeouts: {idle: 20s}"), reload: true,
	}, {
		name:  "server_error, 503",
		fall:  inject(backendtest.Status(503, forever)),
		calls: serverError, code: 503, course: worse(serverError), unasked: worse(serverError), sends: 15,
		message: "server error", fix: "log of the server", mend: heal, back: []string{degraded + "server_error"},
	}, {
		name:  "server_error, 500 to calls alone",
		fall:  inject(backendtest.Status(500, forever).ForMethod("tools/call")),
		calls: serverError, code: 500, course: []string{degraded + "server_error"}, sends: 15,
		message: "server error", fix: "log of the server", mend: heal, recovers: 2 * time.Minute,
	}, {
		name:  "server_error, 429 with a time to wait",
		fall:  inject(backendtest.Status(429, forever).Header("Retry-After", "7")),
		calls: serverError, code: 429, after: 7000, course: worse(serverError), unasked: worse(serverError), sends: 15,
		message: "fewer requests", fix: "log of the server", mend: heal, back: []string{degraded + "server_error"},
	}, {
		name: "protocol_error, a redirect", server: []backendtest.Option{elsewhere(backendtest.Status(307, forever).Header("Location", "https://login.example.com/"))},
		fall:  rewrite("url: ELSEWHERE"),
		calls: noMCP, code: 307, course: lost(noMCP), unasked: lost(noMCP), sends: 15,
		message: "redirects elsewhere", fix: "mcpServers.a.url", mend: rewrite(""), reload: true,
	}, {
		name: "protocol_error, a page", server: []backendtest.Option{elsewhere(backendtest.Status(200, forever).Header("Content-Type", "text/html").Body("<html>hello</html>"))},
		fall:  rewrite("url: ELSEWHERE"),
		calls: noMCP, code: 200, course: lost(noMCP), unasked: lost(noMCP), sends: 15,
		message: "not MCP", fix: "mcpServers.a.url", mend: rewrite(""), reload: true,
	}, {
		name: "protocol_error, 404", server: []backendtest.Option{elsewhere(backendtest.Status(404, forever))},
		fall:  rewrite("url: ELSEWHERE"),
		calls: noMCP, code: 404, course: lost(noMCP), unasked: lost(noMCP), sends: 15,
		message: "not MCP", fix: "often at a path that ends in /mcp", mend: rewrite(""), reload: true,
	}, {
		name:  "protocol_error, a page of a server that was well",
		fall:  inject(backendtest.Status(200, forever).Header("Content-Type", "text/html").Body("<html>sign in</html>")),
		calls: noMCP, code: 200, course: worse(noMCP), unasked: worse(noMCP), sends: 15,
		message: "not MCP", fix: "mcpServers.a.url", mend: heal, back: []string{degraded + "protocol_error"},
	}}
}

// lacking refuses tokens that lack a scope.
func lacking(w *ward, scope string) backendtest.Fault {
	return backendtest.Status(403, backendtest.Forever).Challenge("insufficient_scope", scope).ForMethod("tools/call").
		When(func(_ *http.Request, m backendtest.Message) bool {
			return !slices.Contains(w.issuer.Scopes(m.Credential), scope)
		})
}
