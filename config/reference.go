package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Key describes one key of a document.
type Key struct {
	// Path is the key from the top. NAME stands for a name of the reader's.
	Path string
	// Type says what it takes, Default what holds without it; an empty default
	// is nothing.
	Type, Default string
	// Meaning is a sentence or two in Markdown.
	Meaning string
}

// Reference describes every key that is accepted for its effect, in the order in which a
// reader wants them.
func Reference() []Key {
	return slices.Concat(gatewayKeys, serverKeys, authKeys, tuningKeys)
}

var gatewayKeys = []Key{
	{"$schema", "text", "", "For editors. It has no effect."},
	{"listen", "host:port", "127.0.0.1:8484", "Where MCP is served: `/mcp` for all backends, `/mcp/NAME` for one. An address that other machines can reach needs `incomingAuth`."},
	{"publicURL", "URL", "", "The address under which clients see the gateway. Its host is allowed as one of `allowedHosts`."},
	{"allowedHosts", "list of hosts", "", "Hosts, with or without a port, by which a listener without authentication may be addressed and whose web pages may call. Loopback always is."},
	{"incomingAuth.type", "`none` or `bearer`", "none", "Who may call. `none` is refused unless `listen` is loopback."},
	{"incomingAuth.tokens", "list of secrets", "", "The tokens that `bearer` accepts, each as `sha256:` and the hexadecimal digest, as text or as `${file:PATH}`; files are read again when they change."},
	{"admin.listen", "host:port", "127.0.0.1:8485", "Where status, metrics, `/healthz` and `/readyz` are served."},
	{"admin.token", "secret", "", "The bearer token of the admin listener, or its `sha256:` digest. Required when other machines can reach it."},
}

var serverKeys = []Key{
	{"mcpServers.NAME.url", "URL", "", "The MCP endpoint of the backend. It or `command` is required. `httpUrl` and `serverUrl` are the same key. Credentials do not belong into it."},
	{"mcpServers.NAME.httpUrl", "URL", "", "Another name of `url`."},
	{"mcpServers.NAME.serverUrl", "URL", "", "Another name of `url`."},
	{"mcpServers.NAME.command", "text", "", "The program of a backend that speaks over its standard streams. It is started without a shell and found in the PATH, that of `env` if it has one; a relative path starts at `cwd`, else at the document's folder. It has a process for each client session, or one with `isolation: shared` or when it speaks revision 2026-07-28. A process that ends is started again by the next request."},
	{"mcpServers.NAME.args", "list of texts", "", "Its arguments. Variables in them, and what looks like a secret, are not shown."},
	{"mcpServers.NAME.env", "map of texts", "", "Variables of its environment, which has little else: HOME, LOGNAME, PATH, SHELL, TERM, USER, TMPDIR, TZ, LANG and LC_*. They are never shown, and lines on its stderr that repeat one are not, either."},
	{"mcpServers.NAME.envFile", "path", "", "A file of lines NAME=VALUE for its environment; `env` goes first."},
	{"mcpServers.NAME.cwd", "path", "", "The folder it runs in. Without it that of the gateway."},
	{"mcpServers.NAME.type", "`http`, `streamable-http`, `streamableHttp`, `sse` or `stdio`", "", "The transport. A command is `stdio` without saying so, and a URL `http`, which is streamable HTTP; `sse` is the HTTP+SSE of servers that are older than that."},
	{"mcpServers.NAME.transport", "as `type`", "", "Another name of `type`."},
	{"mcpServers.NAME.headers", "map of texts", "", "Headers sent with every request. One that is named like a secret (Authorization, Cookie, or with key, token, secret, password in its name) or takes its value from a variable or file is a credential: it is never shown, and refusals of it are recovered from. Beside `auth` of another type than `header`, a header with a secret's name is refused, and one that merely has a variable in it is sent as it is."},
	{"mcpServers.NAME.auth", "mapping", "", "The credential: a `type` with its settings, or `use`. See below."},
	{"mcpServers.NAME.authRetry.maxRetries", "0 to 3", "3", "Sends of a call after the first one was refused."},
	{"mcpServers.NAME.authRetry.initialWait", "duration", "100ms", "The wait before the first of them while the credential has not changed; it doubles. At most 3s."},
	{"mcpServers.NAME.authRetry.openAfter", "number", "5", "Exhausted sequences in a row that open the breaker."},
	{"mcpServers.NAME.authRetry.whenOpen", "`pass` or `reject`", "pass", "While the breaker is open a call is sent once (`pass`) or fails unsent (`reject`)."},
	{"mcpServers.NAME.authRetry.retryOn403", "true or false", "true", "Whether a 403 may be about the credential. With `false` it is a refused permission."},
	{"mcpServers.NAME.authRetry.coolDown", "duration", "30s", "How long the breaker stays open the first time; it doubles."},
	{"mcpServers.NAME.authRetry.maxCoolDown", "duration", "5m", "The longest cool-down."},
	{"mcpServers.NAME.timeouts.connect", "duration", "5s", "Bounds dialling and, by itself, the TLS handshake."},
	{"mcpServers.NAME.timeouts.idle", "duration", "10m", "How long an answer may stay silent. `0` is no limit."},
	{"mcpServers.NAME.timeout", "number or duration", "", "What clients call it: the same as `timeouts.idle`. A bare number up to 3600 is seconds, above that milliseconds, because clients differ."},
	{"mcpServers.NAME.tls.caFile", "path", "", "An authority to trust beside those of the system, in PEM."},
	{"mcpServers.NAME.tls.certFile", "path", "", "The client certificate, in PEM. Read at each handshake."},
	{"mcpServers.NAME.tls.keyFile", "path", "", "The key of the client certificate, in PEM."},
	{"mcpServers.NAME.isolation", "`session` or `shared`", "session", "Whether every client session has a session of its own at the backend. `shared` is for servers without state."},
	{"mcpServers.NAME.passthroughHeaders", "list of header names", "", "Headers of a client's request that are copied to the backend. Credentials cannot be."},
	{"mcpServers.NAME.allowInsecure", "true or false", "false", "Lets a credential go over plain http to another machine."},
	{"mcpServers.NAME.proxy", "URL or `none`", "", "An HTTP proxy. Without it HTTPS_PROXY, HTTP_PROXY and NO_PROXY of the environment say."},
	{"mcpServers.NAME.disabled", "true or false", "false", "Skips the entry, whatever else it says."},
	{"mcpServers.NAME.tools.allow", "list of globs", "", "The tools that are served, by the backend's own names; every one without this key. A list in the place of `tools` is this list. See [what is served](#what-is-served) for this key and those below."},
	{"mcpServers.NAME.tools.deny", "list of globs", "", "Tools that are not served, also when `allow` names them."},
	{"mcpServers.NAME.tools.rename", "map of names", "", "Names of the backend and what clients see instead, as in `{old: new}`."},
	{"mcpServers.NAME.tools.pin", "map of digests", "", "Names of the backend and the definition to accept, as `sha256:` and 64 hexadecimal digits. Another definition is not served."},
	{"mcpServers.NAME.prompts.allow", "list of globs", "", "As for tools."},
	{"mcpServers.NAME.prompts.deny", "list of globs", "", "As for tools."},
	{"mcpServers.NAME.prompts.rename", "map of names", "", "As for tools."},
	{"mcpServers.NAME.prompts.pin", "map of digests", "", "As for tools."},
	{"mcpServers.NAME.resources.allow", "list of globs", "", "The resources that are served, by their URIs, and the resource templates, by their text."},
	{"mcpServers.NAME.resources.deny", "list of globs", "", "Resources and templates that are not served, also when `allow` names them."},
	{"mcpServers.NAME.includeTools", "list of names", "", "What Gemini CLI calls `tools.allow`. The names are no globs."},
	{"mcpServers.NAME.excludeTools", "list of names", "", "What Gemini CLI calls `tools.deny`; both hold. The names are no globs."},
	{"mcpServers.NAME.disabledTools", "list of names", "", "Another name of `excludeTools`."},
}

var authKeys = []Key{
	{"auth.type", "a type", "", "`unauthenticated`, `header`, `bearer` or `client_credentials`; programs that embed the gateway may register others."},
	{"auth.use", "a name", "", "A credential of `credentials`, instead of `type`. Backends that use the same one renew it once."},
	{"auth.scopes", "list of texts", "", "Beside `use`: scopes of this backend. It is then a credential of its own."},
	{"auth.resource", "URI", "", "Beside `use`: the resource of this backend (RFC 8707). It is then a credential of its own."},
	{"header.headers", "map of secrets", "", "The headers to send."},
	{"bearer.token", "secret", "", "Sent as `Authorization: Bearer TOKEN`."},
	{"client_credentials.tokenURL", "URL", "", "The token endpoint."},
	{"client_credentials.clientID", "text", "", "The client's name there."},
	{"client_credentials.clientSecret", "secret", "", "The client's secret there."},
	{"client_credentials.scopes", "list of texts", "", "The scopes to ask for; the issuer chooses without."},
	{"client_credentials.resource", "URI", "", "The server that the token is for (RFC 8707)."},
	{"client_credentials.clientAuth", "`basic` or `post`", "basic", "Whether the secret goes in a header or in the form."},
	{"client_credentials.allowInsecure", "true or false", "false", "Lets the token endpoint be plain http on another machine."},
}

var tuningKeys = []Key{
	{"catalog.conflicts", "`prefix`, `auto`, `priority` or `manual`", "prefix", "How names of tools and prompts of several backends are kept apart at `/mcp`. See [names](#names)."},
	{"catalog.priority", "list of backends", "", "With `priority`: whose names come first. Backends that are not in it follow in the order of the document."},
	{"catalog.separator", "text", "_", "With `prefix` and `auto`: what stands between a backend's name and a tool's."},
	{"catalog.maxNameLength", "24 to 128", "64", "Longer public names are shortened."},
	{"health.interval", "duration", "30s", "Between two probes of a backend. At least 1s."},
	{"health.timeout", "duration", "10s", "Bounds one probe."},
	{"health.unavailableAfter", "number", "3", "Probes in a row without an answer that make a backend unavailable."},
	{"sessions.store", "`memory`", "memory", "Where client sessions are kept."},
	{"sessions.ttl", "duration", "30m", "How long a session lives without being used."},
	{"telemetry.otlp", "URL", "", "An OTLP endpoint over HTTP for spans, such as http://host:4318. Without it no span is made."},
	{"telemetry.serviceName", "text", "recloser", "The service's name in spans."},
	{"limits.requestBytes", "size", "8MiB", "Bounds a client's request."},
	{"limits.responseBytes", "size", "100MiB", "Bounds a backend's answer."},
	{"limits.sessions", "number", "10000", "Client sessions open at once."},
	{"limits.inFlightPerBackend", "number", "1024", "Requests at one backend at once, and processes of one."},
	{"drainTimeout", "duration", "30s", "How long calls in flight may take when the gateway stops."},
	{"log.level", "`debug`, `info`, `warn` or `error`", "info", "What is logged."},
	{"log.format", "`auto`, `text` or `json`", "auto", "`auto` is text on a terminal and JSON elsewhere."},
}

// ReferencePage is docs/configuration.md.
func ReferencePage() string {
	var b strings.Builder
	b.WriteString(pageHead)
	b.WriteString("\n## The gateway\n\n")
	table(&b, gatewayKeys)
	b.WriteString("\n## A backend: `mcpServers.NAME`\n\n")
	table(&b, serverKeys)
	b.WriteString(pageIgnored)
	for _, why := range slices.Sorted(maps.Values(reasons())) {
		fmt.Fprintf(&b, "- %s\n", why)
	}
	b.WriteString(pageAuth)
	table(&b, authKeys)
	b.WriteString(pageSelection)
	b.WriteString("\n## Everything else\n\n")
	table(&b, tuningKeys)
	return b.String()
}

// reasons groups the ignored keys of clients by why they are ignored.
func reasons() map[string]string {
	keys := map[string][]string{}
	for k, why := range ignored {
		keys[why] = append(keys[why], "`"+k+"`")
	}
	lines := map[string]string{}
	for why, k := range keys {
		slices.Sort(k)
		lines[why] = strings.Join(k, ", ") + ": " + why
	}
	return lines
}

func table(b *strings.Builder, keys []Key) {
	b.WriteString("| key | takes | default | meaning |\n|---|---|---|---|\n")
	for _, k := range keys {
		def := k.Default
		if def != "" {
			def = "`" + def + "`"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", k.Path, k.Type, def, k.Meaning)
	}
}

const pageHead = `<!-- Made from package config by ` + "`make generate`" + `. -->

# Configuration

One document, YAML or JSON. Its core is the ` + "`mcpServers`" + ` map that MCP clients write: a file pasted from one is a valid document.

` + "```yaml" + `
mcpServers:
  docs:
    url: https://docs.example.com/mcp
  tickets:
    url: https://tickets.example.com/mcp
    auth: {type: bearer, token: "${file:/run/secrets/tickets}"}
` + "```" + `

` + "`recloser validate --config FILE`" + ` prints every mistake at once, one a line, with file, line, column, key and what to do. Unknown keys are mistakes.
` + "`recloser config show --config FILE`" + ` prints what is in effect, with every default and without secrets. ` + "`recloser config schema`" + ` prints the JSON Schema with which
editors complete the keys; [configuration.schema.json](configuration.schema.json) is the same.

**Variables** stand in any value: ` + "`${VAR}`" + `, ` + "`${env:VAR}`" + `, ` + "`${VAR:-default}`" + ` (also when VAR is empty) and ` + "`${file:PATH}`" + `; ` + "`$${`" + ` is a literal ` + "`${`" + `.
A variable that is not set is a mistake. What a variable or file holds is taken as it is and not expanded again. Files lose their last line end; relative paths start at the document's folder.
Keys that take a **secret** are never shown, and their files are watched or read again when they change; files in other keys are read once.

**Durations** are numbers with a unit (` + "`500ms`, `30s`, `5m`" + `), **sizes** likewise (` + "`512KiB`, `8MiB`; `KB` and `MB` count in thousands" + `).
`

const pageIgnored = `
Keys of clients that have no effect here are accepted with one warning each:

`

const pageAuth = `
In the entry of a process the keys of a URL are mistakes (` + "`auth`, `headers`, `passthroughHeaders`, `authRetry`, `tls`, `proxy`, `allowInsecure`, `timeouts.connect`" + `): what it needs is given with ` + "`env`" + `. In an entry with a URL the keys of a process are accepted with a warning.

## Credentials: ` + "`mcpServers.NAME.auth` and `credentials.NAME`" + `

` + "`credentials`" + ` maps names to credentials that several backends share:

` + "```yaml" + `
credentials:
  corp: {type: client_credentials, tokenURL: https://login.example.com/token, clientID: recloser, clientSecret: "${CORP_SECRET}"}
mcpServers:
  tickets:
    url: https://tickets.example.com/mcp
    auth: {use: corp, scopes: [tickets.read]}
` + "```" + `

The keys beside ` + "`type`" + ` are those of the type:

`
