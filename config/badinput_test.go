package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/recloser-mcp/recloser/config"
)

// Each mistake is one line with its place, its key and what to do.
func TestEachMistakeSaysWhereAndWhatToDo(t *testing.T) {
	tests := []struct {
		name, text string
		want       []string
	}{
		{"unknown key", "mcpServers:\n  github:\n    url: https://a.example/mcp\n    auth: {type: bearer, tokn: x}\n",
			[]string{`c.yaml:4:26: mcpServers.github.auth.tokn: unknown key; did you mean "token"?`}},
		{"unknown key at the top", "mcpservers: {}\nlisten: 127.0.0.1:1\n",
			[]string{`c.yaml:1:1: mcpservers: unknown key; did you mean "mcpServers"?`}},
		{"unknown key that is like none", "health: {retries: 3}\n",
			[]string{`c.yaml:1:10: health.retries: unknown key; use interval, timeout or unavailableAfter`}},
		{"wrong type: text for a mapping", "health: fast\n",
			[]string{`c.yaml:1:9: health: expected a mapping, got a text`}},
		{"wrong type: list for a text", "listen: [a]\n",
			[]string{`c.yaml:1:9: listen: expected a text, got a list`}},
		{"wrong type: text for a list", "allowedHosts: a.example\n",
			[]string{`c.yaml:1:15: allowedHosts: expected a list, got a text`}},
		{"wrong type: no unit", "drainTimeout: 30\n",
			[]string{`c.yaml:1:15: drainTimeout: expected a duration, got "30"; write a number with its unit, such as 500ms, 30s or 5m`}},
		{"wrong type: text for a number", "health: {unavailableAfter: many}\n",
			[]string{`c.yaml:1:28: health.unavailableAfter: expected a number, got "many"`}},
		{"wrong type: yes", "mcpServers: {a: {url: https://a.example, allowInsecure: yes}}\n",
			[]string{`c.yaml:1:57: mcpServers.a.allowInsecure: expected true or false, got "yes"`}},
		{"wrong type: size", "limits: {requestBytes: 8 megs}\n",
			[]string{`c.yaml:1:24: limits.requestBytes: expected a size, got "8 megs"; write a number with its unit, such as 512KiB or 8MiB`}},
		{"nothing", "publicURL:\n",
			[]string{`c.yaml:1:11: publicURL: is empty; give it a value or remove the key`}},
		{"auth is a text: it is not quoted", "mcpServers: {a: {url: https://a.example, auth: Bearer hunter22}}\n",
			[]string{`c.yaml:1:48: mcpServers.a.auth: expected a mapping, got a text; write {type: bearer, token: ...} or {use: NAME}`}},

		{"unset variable", "mcpServers: {a: {url: https://a.example, auth: {type: bearer, token: \"${GITHUB_TOKEN}\"}}}\n",
			[]string{`c.yaml:1:70: mcpServers.a.auth.token: variable GITHUB_TOKEN is not set; export it or give a default: ${GITHUB_TOKEN:-...}`}},
		{"unset variable in a URL is no missing URL", "mcpServers: {a: {url: 'https://${HOST}/mcp'}}\n",
			[]string{`c.yaml:1:23: mcpServers.a.url: variable HOST is not set; export it or give a default: ${HOST:-...}`}},
		{"bad reference", "listen: ${1X}:80\n",
			[]string{`c.yaml:1:9: listen: has a bad reference; use ${VAR}, ${VAR:-default}, ${env:VAR} or ${file:PATH}; $${ stands for a literal ${`}},
		{"open reference", "listen: ${X\n",
			[]string{`c.yaml:1:9: listen: has ${ without a }; use ${VAR}, ${VAR:-default}, ${env:VAR} or ${file:PATH}; $${ stands for a literal ${`}},

		{"unreadable secret file", "admin:\n  token: ${file:/run/secrets/none}\n",
			[]string{`c.yaml:2:10: admin.token: file /run/secrets/none cannot be read: no such file or directory; make it readable or correct the path`}},

		{"two slugs alike", "mcpServers:\n  My Server: {url: https://a.example}\n  my_server: {url: https://b.example}\n",
			[]string{`c.yaml:3:3: mcpServers.my_server: has the same public name "my-server" as mcpServers["My Server"] in line 2; rename one of them`}},
		{"a slug of nothing", "mcpServers: {'__': {url: https://a.example}}\n",
			[]string{`c.yaml:1:14: mcpServers.__: the name has no letter and no digit of a-z and 0-9; rename it`}},

		{"credentials in a URL", "mcpServers: {a: {url: 'https://me:hunter22@a.example/mcp'}}\n",
			[]string{`c.yaml:1:23: mcpServers.a.url: has credentials in it; move them to auth: a URL is logged and shown`}},
		{"a token in a query", "mcpServers: {a: {url: 'https://a.example/mcp?api_key=hunter22'}}\n",
			[]string{`c.yaml:1:23: mcpServers.a.url: has query parameters that look like credentials, api_key; move them to auth: a URL is logged and shown`}},
		{"a token in a query under another name", "mcpServers: {a: {url: 'https://a.example/mcp?q=ghp_abcdefghij0123'}}\n",
			[]string{`c.yaml:1:23: mcpServers.a.url: has query parameters that look like credentials, q; move them to auth: a URL is logged and shown`}},
		{"a credential over http", "mcpServers:\n  a:\n    url: http://a.example/mcp\n    auth: {type: bearer, token: t}\n",
			[]string{`c.yaml:3:10: mcpServers.a.url: sends a credential over http to another machine; use https, or set allowInsecure: true`}},
		{"a credential in a header over http", "mcpServers:\n  a:\n    httpUrl: http://10.1.2.3/mcp\n    headers: {X-Api-Key: k}\n",
			[]string{`c.yaml:3:14: mcpServers.a.httpUrl: sends a credential over http to another machine; use https, or set allowInsecure: true`}},

		{"public listener without authentication", "listen: 0.0.0.0:8484\n",
			[]string{`c.yaml:1:9: listen: other machines can reach this address and incomingAuth lets everybody call; set incomingAuth: {type: bearer, tokens: [...]} or listen on 127.0.0.1`}},
		{"public listener without a host", "incomingAuth: {type: none}\nlisten: :8484\n",
			[]string{`c.yaml:2:9: listen: other machines can reach this address and incomingAuth lets everybody call; set incomingAuth: {type: bearer, tokens: [...]} or listen on 127.0.0.1`}},
		{"public admin listener without a token", "admin: {listen: ':8485'}\n",
			[]string{`c.yaml:1:17: admin.listen: other machines can reach this address and there is no token; set admin.token or listen on 127.0.0.1`}},
		{"bearer without tokens", "incomingAuth: {type: bearer}\n",
			[]string{`c.yaml:1:15: incomingAuth.tokens: is empty; add "sha256:<hex>" or "${file:PATH}", else nobody can call`}},
		{"a malformed digest", "incomingAuth: {type: bearer, tokens: ['sha256:abc']}\n",
			[]string{`c.yaml:1:39: incomingAuth.tokens[0]: "sha256:" is not followed by the 64 hexadecimal digits of a digest; print one with printf %s "$TOKEN" | sha256sum`}},
		{"tokens without effect", "incomingAuth: {tokens: [abc]}\n",
			[]string{`c.yaml:1:24: incomingAuth.tokens: has no effect with type "none"; set type to "bearer"`}},
		{"a later type", "incomingAuth: {type: oidc}\n",
			[]string{`c.yaml:1:22: incomingAuth.type: is "oidc"; use "none" or "bearer"`}},
		{"two listeners on one port", "listen: 127.0.0.1:9000\nadmin: {listen: 'localhost:9000'}\n",
			[]string{`c.yaml:2:17: admin.listen: is the address of listen as well; use another port: the default is 127.0.0.1:8485`}},
		{"a port is no address", "listen: 8484\n",
			[]string{`c.yaml:1:9: listen: is not an address to listen on: "8484"; write 127.0.0.1:8484`}},
		{"a port that is none", "listen: 127.0.0.1:99999\n",
			[]string{`c.yaml:1:9: listen: is not an address to listen on: "127.0.0.1:99999"; use a port from 0 to 65535`}},
		{"a URL is no address", "admin: {listen: 'http://127.0.0.1:80'}\n",
			[]string{`c.yaml:1:17: admin.listen: is not an address to listen on: "http://127.0.0.1:80"; write host:port, such as 127.0.0.1:8484`}},
		{"a URL is no host", "allowedHosts: [a.example, 'https://b.example/']\n",
			[]string{`c.yaml:1:27: allowedHosts[1]: is not a host: "https://b.example/"; write a host name or an address, with or without a port, as in mcp.example.com or 10.0.0.5:8484`}},

		{"unknown credential", "credentials: {corp: {type: bearer, token: t}}\nmcpServers: {a: {url: https://a.example, auth: {use: crop}}}\n",
			[]string{`c.yaml:2:54: mcpServers.a.auth.use: there is no credential "crop"; did you mean "corp"?`}},
		{"unknown credential, none defined", "mcpServers: {a: {url: https://a.example, auth: {use: corp}}}\n",
			[]string{`c.yaml:1:54: mcpServers.a.auth.use: there is no credential "corp"; define it under credentials`}},
		{"unknown auth type", "mcpServers: {a: {url: https://a.example, auth: {type: baerer, token: t}}}\n",
			[]string{`c.yaml:1:55: mcpServers.a.auth.type: unknown auth type "baerer"; did you mean "bearer"?`}},
		{"a later auth type", "mcpServers: {a: {url: https://a.example, auth: {type: exec}}}\n",
			[]string{`c.yaml:1:55: mcpServers.a.auth.type: unknown auth type "exec"; use bearer, client_credentials, header or unauthenticated`}},
		{"auth without a type", "mcpServers: {a: {url: https://a.example, auth: {token: t}}}\n",
			[]string{`c.yaml:1:48: mcpServers.a.auth: has no type; add type: bearer, client_credentials, header or unauthenticated`}},
		{"a setting is missing", "mcpServers: {a: {url: https://a.example, auth: {type: bearer}}}\n",
			[]string{`c.yaml:1:48: mcpServers.a.auth.token: it is empty`}},
		{"scopes for a type without", "credentials: {k: {type: bearer, token: t}}\nmcpServers: {a: {url: https://a.example, auth: {use: k, scopes: [x]}}}\n",
			[]string{`c.yaml:2:57: mcpServers.a.auth.scopes: has no meaning for a credential of type bearer, which credentials.k is; remove it`}},
		{"settings beside use", "credentials: {k: {type: bearer, token: t}}\nmcpServers: {a: {url: https://a.example, auth: {use: k, type: bearer, token: t}}}\n",
			[]string{`c.yaml:2:57: mcpServers.a.auth.type: is given beside use; remove it: a named credential has its type`,
				`c.yaml:2:71: mcpServers.a.auth.token: unknown key beside use; use scopes or resource`}},
		{"auth and a header that it sets", "mcpServers: {a: {url: https://a.example, auth: {type: bearer, token: t}, headers: {authorization: x}}}\n",
			[]string{`c.yaml:1:84: mcpServers.a.headers.authorization: is set by auth as well; keep one of the two`}},
		{"auth of type header and the same header", "mcpServers: {a: {url: https://a.example, auth: {type: header, headers: {X-Key: t}}, headers: {x-key: x}}}\n",
			[]string{`c.yaml:1:95: mcpServers.a.headers.x-key: is set by auth as well; keep one of the two`}},
		{"auth and another credential", "mcpServers: {a: {url: https://a.example, auth: {type: bearer, token: t}, headers: {X-Api-Key: x}}}\n",
			[]string{`c.yaml:1:84: mcpServers.a.headers.X-Api-Key: is a second credential, beside auth of type bearer; keep one of the two`}},
		{"a header of the protocol", "mcpServers: {a: {url: https://a.example, headers: {Content-Type: x}}}\n",
			[]string{`c.yaml:1:52: mcpServers.a.headers.Content-Type: is no header to set; remove it: the name is malformed, or the gateway sets the header itself`}},
		{"a header twice", "mcpServers: {a: {url: https://a.example, headers: {X-A: x, x-a: y}}}\n",
			[]string{`c.yaml:1:60: mcpServers.a.headers.x-a: is the same header as X-A; remove one of them`}},
		{"passing a credential through", "mcpServers: {a: {url: https://a.example, passthroughHeaders: [X-A, Authorization]}}\n",
			[]string{`c.yaml:1:68: mcpServers.a.passthroughHeaders[1]: cannot be passed through: "Authorization"; remove it: the name is malformed, a credential of the caller, or set by the gateway itself`}},

		{"a process and a URL", "mcpServers: {a: {url: https://a.example, command: npx}}\n",
			[]string{`c.yaml:1:42: mcpServers.a.command: is given beside url; keep one of the two`}},
		{"a URL of type stdio", "mcpServers: {a: {url: https://a.example, type: stdio}}\n",
			[]string{`c.yaml:1:48: mcpServers.a.type: "stdio" starts a process, and there is url; keep one of the two`}},
		{"a command of type http", "mcpServers: {a: {command: npx, type: http}}\n",
			[]string{`c.yaml:1:38: mcpServers.a.type: "http" needs a url, and there is a command; remove it: a command is started`}},
		{"stdio without a command", "mcpServers: {a: {type: stdio}}\n",
			[]string{`c.yaml:1:14: mcpServers.a: has no command; name the program to start, command: npx`}},
		{"an empty command", "mcpServers: {a: {command: ''}}\n",
			[]string{`c.yaml:1:27: mcpServers.a.command: is empty; name the program to start`}},
		{"an unset variable of a process", "mcpServers: {a: {command: npx, args: ['${UNSET}'], env: {K: '${UNSET}'}}}\n",
			[]string{`c.yaml:1:39: mcpServers.a.args[0]: variable UNSET is not set; export it or give a default: ${UNSET:-...}`,
				`c.yaml:1:61: mcpServers.a.env.K: variable UNSET is not set; export it or give a default: ${UNSET:-...}`}},
		{"arguments in one text", "mcpServers: {a: {command: npx, args: -y server, env: [A]}}\n",
			[]string{`c.yaml:1:38: mcpServers.a.args: expected a list, got a text`, `c.yaml:1:54: mcpServers.a.env: expected a mapping, got a list`}},
		{"a variable without a value", "mcpServers: {a: {command: npx, env: {A: }}}\n",
			[]string{`c.yaml:1:41: mcpServers.a.env.A: is empty; give it a value or remove the key`}},
		{"a variable without a name", "mcpServers: {a: {command: npx, env: {A=B: c}}}\n",
			[]string{`c.yaml:1:38: mcpServers.a.env["A=B"]: cannot be the name of a variable; take out = and NUL`}},
		{"a folder that is none", "mcpServers: {a: {command: npx, cwd: /no/such/folder}}\n",
			[]string{`c.yaml:1:37: mcpServers.a.cwd: is no folder; correct the path`}},
		{"a file of variables that is none", "mcpServers: {a: {command: npx, envFile: /no/such/file}}\n",
			[]string{`c.yaml:1:41: mcpServers.a.envFile: file /no/such/file cannot be read: no such file or directory; make it readable or correct the path`}},
		{"a credential for a process", "mcpServers: {a: {command: npx, auth: {type: bearer, token: hunter22}, headers: {A: b}}}\n",
			[]string{`c.yaml:1:32: mcpServers.a.auth: is for a backend with a URL, and this one is a process; give the process what it needs with env`,
				`c.yaml:1:71: mcpServers.a.headers: is for a backend with a URL, and this one is a process; give the process what it needs with env`}},
		{"a connection for a process", "mcpServers: {a: {command: npx, tls: {caFile: x}, proxy: none, timeouts: {connect: 1s}, headers: {}}}\n",
			[]string{`c.yaml:1:32: mcpServers.a.tls: is for a backend with a URL, and this one is a process; remove it`,
				`c.yaml:1:50: mcpServers.a.proxy: is for a backend with a URL, and this one is a process; remove it`,
				`c.yaml:1:74: mcpServers.a.timeouts.connect: is for a backend with a URL, and this one is a process; remove it`}},
		{"two transports", "mcpServers: {a: {type: sse, transport: http, url: https://a.example/sse}}\n",
			[]string{`c.yaml:1:29: mcpServers.a.transport: is given beside another type; remove one of the two`}},
		{"a command of type sse", "mcpServers: {a: {type: sse, command: npx}}\n",
			[]string{`c.yaml:1:24: mcpServers.a.type: "sse" needs a url, and there is a command; remove it: a command is started`}},
		{"an unknown transport", "mcpServers: {a: {type: htttp, url: https://a.example}}\n",
			[]string{`c.yaml:1:24: mcpServers.a.type: unknown type "htttp"; did you mean "http"?`}},
		{"two URLs", "mcpServers: {a: {url: https://a.example, serverUrl: https://b.example}}\n",
			[]string{`c.yaml:1:42: mcpServers.a.serverUrl: is given beside url; keep one of the two`}},
		{"no URL", "mcpServers:\n  a: {}\n",
			[]string{`c.yaml:2:3: mcpServers.a: has neither url nor command; give the address of its MCP endpoint, url: https://host/path, or the program to start, command: npx`}},
		{"another scheme", "mcpServers: {a: {url: 'ftp://a.example'}}\n",
			[]string{`c.yaml:1:23: mcpServers.a.url: has a scheme that is neither http nor https; write it as https://host/path`}},
		{"no scheme", "mcpServers: {a: {url: a.example/mcp}}\n",
			[]string{`c.yaml:1:23: mcpServers.a.url: has no scheme; write it as https://host/path`}},
		{"credentials of a proxy", "mcpServers: {a: {url: 'https://a.example', proxy: 'http://u:p@b.example:1'}}\n",
			[]string{`c.yaml:1:51: mcpServers.a.proxy: has credentials in it; remove the key and set HTTPS_PROXY in the environment of the gateway`}},
		{"TLS without TLS", "mcpServers: {a: {url: 'http://localhost', tls: {}}}\n",
			[]string{`c.yaml:1:43: mcpServers.a.tls: has no effect on an http URL; use https or remove it`}},
		{"half a certificate", "mcpServers: {a: {url: 'https://a.example', tls: {certFile: c.yaml.none}}}\n",
			[]string{`c.yaml:1:50: mcpServers.a.tls.certFile: has no keyFile beside it; add the file of its key`,
				`c.yaml:1:60: mcpServers.a.tls.certFile: the file cannot be read: no such file or directory; correct the path`}},
		{"two timeouts", "mcpServers: {a: {url: 'https://a.example', timeout: 60, timeouts: {idle: 1m}}}\n",
			[]string{`c.yaml:1:44: mcpServers.a.timeout: is given beside timeouts.idle; remove it`}},

		{"the guard's settings", "mcpServers: {a: {url: 'https://a.example', authRetry: {maxRetries: 9, whenOpen: shut, openAfter: 0, initialWait: -1s}}}\n",
			[]string{`c.yaml:1:68: mcpServers.a.authRetry.maxRetries: is 9; use 0 to 3`,
				`c.yaml:1:81: mcpServers.a.authRetry.whenOpen: is "shut"; use "pass" or "reject"`,
				`c.yaml:1:98: mcpServers.a.authRetry.openAfter: is 0; give it a positive value, or remove the key for its default`,
				`c.yaml:1:114: mcpServers.a.authRetry.initialWait: is a negative duration; use a positive one`}},
		{"an unknown kind of conflicts", "catalog: {conflicts: merge}\n",
			[]string{`c.yaml:1:22: catalog.conflicts: is "merge"; use "prefix", "auto", "priority" or "manual"`}},
		{"priority without its kind of conflicts", "catalog: {priority: [a]}\nmcpServers: {a: {url: 'https://a.example'}}\n",
			[]string{`c.yaml:1:21: catalog.priority: has no effect with conflicts "prefix"; set conflicts to "priority", or remove it`}},
		{"priority of unknown backends", "catalog: {conflicts: priority, priority: [github, gihub, '${SECRET}', github]}\nmcpServers: {github: {url: 'https://a.example'}}\n",
			[]string{`c.yaml:1:51: catalog.priority[1]: there is no backend "gihub"; did you mean "github"?`,
				`c.yaml:1:58: catalog.priority[2]: there is no backend "${SECRET}"; use github`,
				`c.yaml:1:71: catalog.priority[3]: is "github" once more; remove it`}},
		{"a separator for nothing", "catalog: {conflicts: manual, separator: _}\n",
			[]string{`c.yaml:1:41: catalog.separator: has no effect with conflicts "manual", which puts nothing before a name; remove it`}},
		{"globs that are none", "mcpServers:\n  a:\n    url: https://a.example\n    tools: {allow: [], deny: [x, 'delete_[', '']}\n    prompts: {allow: ['x\\']}\n    resources: {deny: ['[file: y']}\n",
			[]string{`c.yaml:4:20: mcpServers.a.tools.allow: is empty; remove it to serve everything, or deny ["*"] to serve nothing`,
				`c.yaml:4:34: mcpServers.a.tools.deny[1]: is "delete_[", which is no glob; close each [ with a ], or put \ before a character that stands for itself`,
				`c.yaml:4:46: mcpServers.a.tools.deny[2]: is empty; write a name, or a glob such as "get_*"`,
				`c.yaml:5:23: mcpServers.a.prompts.allow[0]: is "x\\", which is no glob; close each [ with a ], or put \ before a character that stands for itself`,
				`c.yaml:6:24: mcpServers.a.resources.deny[0]: is "[file: y", which is no glob; close each [ with a ], or put \ before a character that stands for itself`}},
		{"digests that are none", "mcpServers: {a: {url: 'https://a.example', tools: {pin: {get.it: sha256:abc, put: 7}}, prompts: {pin: {x: '${SECRET}'}}}}\n",
			[]string{`c.yaml:1:66: mcpServers.a.tools.pin["get.it"]: is no digest of a definition; write "sha256:" and 64 hexadecimal digits`,
				`c.yaml:1:83: mcpServers.a.tools.pin.put: is no digest of a definition; write "sha256:" and 64 hexadecimal digits`,
				`c.yaml:1:107: mcpServers.a.prompts.pin.x: is no digest of a definition; write "sha256:" and 64 hexadecimal digits`}},
		{"rules that do not exist", "mcpServers: {a: {url: 'https://a.example', tools: {alow: [x]}, resources: {rename: {a: b}}}}\n",
			[]string{`c.yaml:1:52: mcpServers.a.tools.alow: unknown key; did you mean "allow"?`,
				`c.yaml:1:76: mcpServers.a.resources.rename: unknown key; use allow or deny`}},
		{"the same rule twice", "mcpServers: {a: {url: 'https://a.example', tools: [x], includeTools: [y]}, b: {url: 'https://b.example', includeTools: []}, c: {url: 'https://c.example', tools: []}}\n",
			[]string{`c.yaml:1:56: mcpServers.a.includeTools: is given beside tools.allow; keep one of the two`,
				`c.yaml:1:120: mcpServers.b.includeTools: is empty; remove it to serve every tool, or set disabled: true`,
				`c.yaml:1:162: mcpServers.c.tools.allow: is empty; remove it to serve everything, or deny ["*"] to serve nothing`}},
		{"a later store", "sessions: {store: redis}\n",
			[]string{`c.yaml:1:19: sessions.store: is "redis"; use "memory"`}},
		{"later keys", "tls: {certFile: a}\nmcpServers: {a: {url: 'https://a.example', tokenStore: x}}\n",
			[]string{`c.yaml:1:1: tls: unknown key; use listen, publicURL, allowedHosts, incomingAuth, admin, credentials, mcpServers, catalog, health, sessions, telemetry, limits, drainTimeout or log`,
				`c.yaml:2:44: mcpServers.a.tokenStore: unknown key; use command, args, env, cwd, url, headers, authRetry, timeouts, tls, isolation, passthroughHeaders, allowInsecure, proxy, tools, prompts, resources, httpUrl, serverUrl, type, transport, envFile, auth, timeout, disabled, includeTools, excludeTools or disabledTools`}},
		{"every health setting at once", "health: {interval: 1ms, timeout: 1, unavailableAfter: -2}\n",
			[]string{`c.yaml:1:20: health.interval: is 1ms; use 1s or more`,
				`c.yaml:1:34: health.timeout: expected a duration, got "1"; write a number with its unit, such as 500ms, 30s or 5m`,
				`c.yaml:1:55: health.unavailableAfter: is -2; use 1 or more`}},
		{"log words", "log: {level: warning, format: logfmt}\n",
			[]string{`c.yaml:1:14: log.level: unknown value "warning"; use debug, info, warn or error`,
				`c.yaml:1:31: log.format: unknown value "logfmt"; use auto, text or json`}},
		{"another program's file", "servers: {a: {url: https://a.example}}\n",
			[]string{`c.yaml:1:1: servers: is a key of VS Code; put the servers under mcpServers`}},

		{"a key twice", "listen: 127.0.0.1:1\nlisten: 127.0.0.1:2\n",
			[]string{`c.yaml:2:1: listen: is given twice, first at line 1; remove one of them`}},
		{"no YAML", "a: b: c\n", []string{`c.yaml:1:1: is not YAML: mapping values are not allowed in this context`}},
		{"an open bracket", "log: {}\nallowedHosts: [a\nlisten: b\n", []string{`c.yaml:2:1: is not YAML: did not find expected ',' or ']'`}},
		{"an indentation that fits nothing", "log: {}\nmcpServers:\n  a:\n    url: b\n   c: d\n", []string{`c.yaml:3:1: is not YAML: did not find expected key`}},
		{"no mapping", "- a\n", []string{`c.yaml:1:1: expected a mapping, got a list; begin with "mcpServers:"`}},
		{"two documents", "listen: 127.0.0.1:1\n---\nlisten: x\n", []string{`c.yaml:3:1: a second document begins here; keep one document in the file`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, got := parse(t, tt.text, map[string]string{"SECRET": "hunter22"})
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

// The pieces of a problem are there for programs as well.
func TestProblemsAreATypedError(t *testing.T) {
	_, _, err := config.Parse("c.yaml", []byte("health: {intervall: 3s}\nlisten: 1\n"), config.LoadOptions{Env: environment(nil)})
	want := config.Problems{
		{File: "c.yaml", Line: 1, Column: 10, Path: "health.intervall", Message: "unknown key", Fix: `did you mean "interval"?`},
		{File: "c.yaml", Line: 2, Column: 9, Path: "listen", Message: `is not an address to listen on: "1"`, Fix: "write 127.0.0.1:1"},
	}
	if diff := cmp.Diff(error(want), err); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

func TestLoadSaysWhyAFileCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	for path, want := range map[string]string{
		filepath.Join(dir, "none.yaml"): ": cannot be read: no such file or directory; check --config",
		dir:                             ": is a folder; name the configuration file in it",
	} {
		_, _, err := config.Load(path, config.LoadOptions{})
		if err == nil || err.Error() != path+want {
			t.Errorf("got %v, want %s", err, path+want)
		}
	}
}

// Relative paths start at the folder of the document, wherever the program runs.
func TestRelativeFilesStartAtTheDocument(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "r.yaml")
	write(t, path, "mcpServers: {a: {url: 'https://${file:host}/mcp', auth: {type: bearer, token: '${file:secrets/t}'}}}")
	write(t, filepath.Join(dir, "host"), "a.example\n")
	write(t, filepath.Join(dir, "secrets", "t"), "hunter22\n")
	doc, _, err := config.Load(path, config.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got := doc.Backends[0].Options.URL; got != "https://a.example/mcp" {
		t.Errorf("url is %s", got)
	}
	if got := headers(t, doc, doc.Backends[0].Credential)["Authorization"]; got != "Bearer hunter22" {
		t.Errorf("Authorization is %q", got)
	}

	write(t, path, "admin: {token: '${file:secrets}'}\nlisten: '127.0.0.1:${file:big}'")
	write(t, filepath.Join(dir, "big"), strings.Repeat("8", 2<<20))
	_, _, err = config.Load(path, config.LoadOptions{})
	want := path + ":1:16: admin.token: file " + filepath.Join(dir, "secrets") + " cannot be read: it is not a regular file; make it readable or correct the path\n" +
		path + ":2:9: listen: file " + filepath.Join(dir, "big") + " cannot be read: it is larger than 1MiB; make it readable or correct the path"
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// What is wrong outside of the document is told apart from mistakes in it.
func TestProblemsOutsideOfTheDocument(t *testing.T) {
	_, _, err := config.Parse("x.yaml", []byte("lisen: x\nmcpServers:\n  a: {url: \"${URL}\", auth: {type: bearer, token: \"${file:nowhere}\"}}\n  b: {url: \"${\"}\n"), config.LoadOptions{Env: environment(nil)})
	var problems config.Problems
	if !errors.As(err, &problems) {
		t.Fatal(err)
	}
	outside := map[string]bool{}
	for _, p := range problems {
		outside[p.Path] = p.Outside
	}
	want := map[string]bool{"lisen": false, "mcpServers.a.url": true, "mcpServers.a.auth.token": true, "mcpServers.b.url": false}
	if d := cmp.Diff(want, outside); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
