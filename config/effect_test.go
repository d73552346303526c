package config_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/recloser-mcp/recloser/auth"
	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/catalog"
	"github.com/recloser-mcp/recloser/config"
)

// effect is a document that differs in one key, and what that changes.
type effect struct {
	text string
	see  func(t *testing.T, d *config.Document) any
	want string // as fmt prints it
}

// server wraps settings of one backend.
func entry(settings string) string {
	return "mcpServers: {a: {url: 'https://a.example/mcp', " + settings + "}}"
}

func options(see func(config.Backend) any) func(*testing.T, *config.Document) any {
	return func(_ *testing.T, d *config.Document) any { return see(d.Backends[0]) }
}

func document(see func(*config.Document) any) func(*testing.T, *config.Document) any {
	return func(_ *testing.T, d *config.Document) any { return see(d) }
}

// clientCredentials decodes the first credential.
func clientCredentials(see func(auth.ClientCredentialsOptions) any) func(*testing.T, *config.Document) any {
	return func(t *testing.T, d *config.Document) any {
		var o auth.ClientCredentialsOptions
		if err := d.Credentials[len(d.Credentials)-1].Spec.Decode(&o); err != nil {
			t.Fatal(err)
		}
		return see(o)
	}
}

func sent(t *testing.T, d *config.Document) any { return headers(t, d, d.Backends[0].Credential) }

const someDigest = "sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"

func ccText(settings string) string {
	return "credentials: {c: {type: client_credentials, tokenURL: 'https://i.example/t', clientID: i, clientSecret: s, " + settings + "}}"
}

var effects = map[string]effect{
	"listen":                {"listen: '[::1]:9000'", document(func(d *config.Document) any { return d.Listen }), "[::1]:9000"},
	"publicURL":             {"publicURL: https://mcp.example/x", document(func(d *config.Document) any { return d.PublicURL }), "https://mcp.example/x"},
	"allowedHosts":          {"allowedHosts: [mcp.example]", document(func(d *config.Document) any { return d.AllowedHosts }), "[mcp.example]"},
	"incomingAuth.type":     {"incomingAuth: {type: bearer, tokens: [abc]}\nlisten: :1", document(func(d *config.Document) any { return d.IncomingAuth.Type }), "bearer"},
	"incomingAuth.tokens":   {"incomingAuth: {type: bearer, tokens: [abc, def]}", document(func(d *config.Document) any { return d.IncomingAuth.Tokens[1].Equal(auth.NewValue("def")) }), "true"},
	"admin.listen":          {"admin: {listen: '127.0.0.1:9'}", document(func(d *config.Document) any { return d.Admin.Listen }), "127.0.0.1:9"},
	"admin.token":           {"admin: {listen: ':9', token: abc}", document(func(d *config.Document) any { return d.Admin.Token.Equal(auth.NewValue("abc")) }), "true"},
	"catalog.conflicts":     {"catalog: {conflicts: auto}", document(func(d *config.Document) any { return d.Catalog.Conflicts }), "auto"},
	"catalog.priority":      {"catalog: {conflicts: priority, priority: [b, a]}\nmcpServers: {a: {url: 'https://a.example'}, b: {disabled: true}}", document(func(d *config.Document) any { return d.Catalog.Priority }), "[b a]"},
	"catalog.separator":     {"catalog: {separator: __}", document(func(d *config.Document) any { return d.Catalog.Separator }), "__"},
	"catalog.maxNameLength": {"catalog: {maxNameLength: 30}", document(func(d *config.Document) any { return d.Catalog.MaxNameLength }), "30"},

	"health.interval":           {"health: {interval: 1m}", document(func(d *config.Document) any { return d.Health.Interval }), "1m0s"},
	"health.timeout":            {"health: {timeout: 3s}", document(func(d *config.Document) any { return d.Health.Timeout }), "3s"},
	"health.unavailableAfter":   {"health: {unavailableAfter: 7}", document(func(d *config.Document) any { return d.Health.UnavailableAfter }), "7"},
	"sessions.store":            {"sessions: {store: memory}", document(func(d *config.Document) any { return d.Sessions.Store }), "memory"},
	"sessions.ttl":              {"sessions: {ttl: 90s}", document(func(d *config.Document) any { return d.Sessions.TTL }), "1m30s"},
	"telemetry.otlp":            {"telemetry: {otlp: 'http://o.example:4318'}", document(func(d *config.Document) any { return d.Telemetry.OTLP }), "http://o.example:4318"},
	"telemetry.serviceName":     {"telemetry: {serviceName: gw}", document(func(d *config.Document) any { return d.Telemetry.ServiceName }), "gw"},
	"limits.requestBytes":       {"limits: {requestBytes: 1KiB}\n" + entry(""), options(func(b config.Backend) any { return b.Options.Limits.RequestBytes }), "1024"},
	"limits.responseBytes":      {"limits: {responseBytes: 2MB}\n" + entry(""), options(func(b config.Backend) any { return b.Options.Limits.ResponseBytes }), "2000000"},
	"limits.sessions":           {"limits: {sessions: 5}", document(func(d *config.Document) any { return d.Sessions.Max }), "5"},
	"limits.inFlightPerBackend": {"limits: {inFlightPerBackend: 6}\n" + entry(""), options(func(b config.Backend) any { return b.Options.Limits.InFlight }), "6"},
	"drainTimeout":              {"drainTimeout: 0s", document(func(d *config.Document) any { return d.DrainTimeout }), "0s"},
	"log.level":                 {"log: {level: debug}", document(func(d *config.Document) any { return d.Log.SlogLevel() }), "DEBUG"},
	"log.format":                {"log: {format: json}", document(func(d *config.Document) any { return d.Log.Format }), "json"},

	"mcpServers.NAME.url":                   {"mcpServers: {a: {url: 'http://a.example/x?y=z'}}", options(func(b config.Backend) any { return b.Options.URL }), "http://a.example/x?y=z"},
	"mcpServers.NAME.httpUrl":               {"mcpServers: {a: {httpUrl: 'http://a.example'}}", options(func(b config.Backend) any { return b.Options.URL }), "http://a.example"},
	"mcpServers.NAME.serverUrl":             {"mcpServers: {a: {serverUrl: 'http://a.example'}}", options(func(b config.Backend) any { return b.Options.URL }), "http://a.example"},
	"mcpServers.NAME.command":               {"mcpServers: {a: {command: npx}}", options(func(b config.Backend) any { return b.Options.Transport + " " + b.Options.Command }), "stdio npx"},
	"mcpServers.NAME.args":                  {"mcpServers: {a: {command: npx, args: [-y, 1, 'a b']}}", options(func(b config.Backend) any { return strings.Join(b.Options.Args, "|") }), "-y|1|a b"},
	"mcpServers.NAME.env":                   {"mcpServers: {a: {command: npx, env: {A: b, C: ''}}}", options(func(b config.Backend) any { return b.Options.Env }), "map[A:b C:]"},
	"mcpServers.NAME.cwd":                   {"mcpServers: {a: {command: npx, cwd: /}}", options(func(b config.Backend) any { return b.Options.Cwd }), "/"},
	"mcpServers.NAME.headers":               {entry("headers: {x-a: b}"), options(func(b config.Backend) any { return b.Options.Headers }), "map[X-A:b]"},
	"mcpServers.NAME.auth":                  {entry("auth: {type: bearer, token: t}"), sent, "map[Authorization:Bearer t]"},
	"mcpServers.NAME.authRetry.maxRetries":  {entry("authRetry: {maxRetries: 0}"), options(func(b config.Backend) any { return *b.Options.AuthRetry.MaxRetries }), "0"},
	"mcpServers.NAME.authRetry.initialWait": {entry("authRetry: {initialWait: 1s}"), options(func(b config.Backend) any { return b.Options.AuthRetry.InitialWait }), "1s"},
	"mcpServers.NAME.authRetry.openAfter":   {entry("authRetry: {openAfter: 2}"), options(func(b config.Backend) any { return b.Options.AuthRetry.OpenAfter }), "2"},
	"mcpServers.NAME.authRetry.whenOpen":    {entry("authRetry: {whenOpen: reject}"), options(func(b config.Backend) any { return b.Options.AuthRetry.WhenOpen }), "reject"},
	"mcpServers.NAME.authRetry.retryOn403":  {entry("authRetry: {retryOn403: false}"), options(func(b config.Backend) any { return *b.Options.AuthRetry.RetryOn403 }), "false"},
	"mcpServers.NAME.authRetry.coolDown":    {entry("authRetry: {coolDown: 9s}"), options(func(b config.Backend) any { return b.Options.AuthRetry.CoolDown }), "9s"},
	"mcpServers.NAME.authRetry.maxCoolDown": {entry("authRetry: {maxCoolDown: 9m}"), options(func(b config.Backend) any { return b.Options.AuthRetry.MaxCoolDown }), "9m0s"},
	"mcpServers.NAME.timeouts.connect":      {entry("timeouts: {connect: 1s}"), options(func(b config.Backend) any { return b.Options.Timeouts.Connect }), "1s"},
	"mcpServers.NAME.timeouts.idle":         {entry("timeouts: {idle: 0}"), options(func(b config.Backend) any { return *b.Options.Timeouts.Idle }), "0s"},
	"mcpServers.NAME.timeout":               {entry("timeout: 90"), options(func(b config.Backend) any { return *b.Options.Timeouts.Idle }), "1m30s"},
	"mcpServers.NAME.isolation":             {entry("isolation: shared"), options(func(b config.Backend) any { return b.Options.Isolation }), "shared"},
	"mcpServers.NAME.passthroughHeaders":    {entry("passthroughHeaders: [X-Request-Id]"), options(func(b config.Backend) any { return b.Options.PassthroughHeaders }), "[X-Request-Id]"},
	"mcpServers.NAME.allowInsecure":         {"mcpServers: {a: {url: 'http://a.example', allowInsecure: true, auth: {type: bearer, token: t}}}", options(func(b config.Backend) any { return b.Options.AllowInsecure }), "true"},
	"mcpServers.NAME.proxy":                 {entry("proxy: none"), options(func(b config.Backend) any { return b.Options.Proxy }), "none"},
	"mcpServers.NAME.disabled":              {"mcpServers: {a: {command: npx, nonsense: 1, env: {A: '${UNSET}'}, disabled: true}}", options(func(b config.Backend) any { return b.Disabled }), "true"},
	"mcpServers.NAME.tools.allow":           {entry("tools: {allow: [get_*, x]}"), options(func(b config.Backend) any { return b.Selection.Tools.Allow }), "[get_* x]"},
	"mcpServers.NAME.tools.deny":            {entry("tools: {deny: [delete_*]}"), options(func(b config.Backend) any { return b.Selection.Tools.Deny }), "[delete_*]"},
	"mcpServers.NAME.tools.rename":          {entry("tools: {rename: {old: new}}"), options(func(b config.Backend) any { return b.Selection.Tools.Rename }), "map[old:new]"},
	"mcpServers.NAME.tools.pin":             {entry("tools: {pin: {get.it: '" + someDigest + "'}}"), options(func(b config.Backend) any { return b.Selection.Tools.Pin["get.it"] }), someDigest},
	"mcpServers.NAME.prompts.allow":         {entry("prompts: {allow: [plan]}"), options(func(b config.Backend) any { return b.Selection.Prompts.Allow }), "[plan]"},
	"mcpServers.NAME.prompts.deny":          {entry("prompts: {deny: [plan]}"), options(func(b config.Backend) any { return b.Selection.Prompts.Deny }), "[plan]"},
	"mcpServers.NAME.prompts.rename":        {entry("prompts: {rename: {old: new}}"), options(func(b config.Backend) any { return b.Selection.Prompts.Rename }), "map[old:new]"},
	"mcpServers.NAME.prompts.pin":           {entry("prompts: {pin: {plan: '" + someDigest + "'}}"), options(func(b config.Backend) any { return b.Selection.Prompts.Pin["plan"] }), someDigest},
	"mcpServers.NAME.resources.allow":       {entry("resources: {allow: ['file:///srv/*']}"), options(func(b config.Backend) any { return b.Selection.Resources.Allow }), "[file:///srv/*]"},
	"mcpServers.NAME.resources.deny":        {entry("resources: {deny: ['file:///etc/*']}"), options(func(b config.Backend) any { return b.Selection.Resources.Deny }), "[file:///etc/*]"},
	"mcpServers.NAME.includeTools":          {entry("includeTools: [get, 'a*']"), options(func(b config.Backend) any { return b.Selection.Tools.Allow }), `[get a\*]`},
	"mcpServers.NAME.excludeTools":          {entry("excludeTools: [x], tools: {deny: [y]}"), options(func(b config.Backend) any { return b.Selection.Tools.Deny }), "[y x]"},
	"mcpServers.NAME.disabledTools":         {entry("disabledTools: [x]"), options(func(b config.Backend) any { return b.Selection.Tools.Deny }), "[x]"},
	"auth.type":                             {entry("auth: {type: unauthenticated}"), sent, "map[]"},
	"auth.use":                              {"credentials: {c: {type: bearer, token: t}}\n" + entry("auth: {use: c}"), sent, "map[Authorization:Bearer t]"},
	"auth.scopes":                           {ccText("scopes: [y]") + "\n" + entry("auth: {use: c, scopes: [x]}"), clientCredentials(func(o auth.ClientCredentialsOptions) any { return o.Scopes }), "[x]"},
	"auth.resource":                         {ccText("") + "\n" + entry("auth: {use: c, resource: 'urn:x'}"), clientCredentials(func(o auth.ClientCredentialsOptions) any { return o.Resource }), "urn:x"},
	"header.headers":                        {entry("auth: {type: header, headers: {x-k: v}}"), sent, "map[X-K:v]"},
	"bearer.token":                          {entry("auth: {type: bearer, token: other}"), sent, "map[Authorization:Bearer other]"},
	"client_credentials.tokenURL":           {ccText(""), clientCredentials(func(o auth.ClientCredentialsOptions) any { return o.TokenURL }), "https://i.example/t"},
	"client_credentials.clientID":           {ccText(""), clientCredentials(func(o auth.ClientCredentialsOptions) any { return o.ClientID }), "i"},
	"client_credentials.clientSecret":       {ccText(""), clientCredentials(func(o auth.ClientCredentialsOptions) any { return o.ClientSecret.Equal(auth.NewValue("s")) }), "true"},
	"client_credentials.scopes":             {ccText("scopes: [a, b]"), clientCredentials(func(o auth.ClientCredentialsOptions) any { return o.Scopes }), "[a b]"},
	"client_credentials.resource":           {ccText("resource: 'urn:x'"), clientCredentials(func(o auth.ClientCredentialsOptions) any { return o.Resource }), "urn:x"},
	"client_credentials.clientAuth":         {ccText("clientAuth: post"), clientCredentials(func(o auth.ClientCredentialsOptions) any { return o.ClientAuth }), "post"},
	"client_credentials.allowInsecure":      {"credentials: {c: {type: client_credentials, tokenURL: 'http://i.example/t', clientID: i, clientSecret: s, allowInsecure: true}}", clientCredentials(func(o auth.ClientCredentialsOptions) any { return o.AllowInsecure }), "true"},
}

// without effect on the document, by what they are.
var checkedElsewhere = []string{
	"$schema",                                           // for editors
	"mcpServers.NAME.type", "mcpServers.NAME.transport", // TestSpellingsOfTheTransport
	"mcpServers.NAME.envFile",                                    // needs a file: TestEnvFile
	"mcpServers.NAME.tls.caFile", "mcpServers.NAME.tls.certFile", // need files: TestTLSFiles
	"mcpServers.NAME.tls.keyFile",
}

// A key that is accepted has an effect.
func TestEachKeyHasItsEffect(t *testing.T) {
	for _, k := range config.Reference() {
		e, ok := effects[k.Path]
		if !ok {
			if !slices.Contains(checkedElsewhere, k.Path) {
				t.Errorf("%s has no row here", k.Path)
			}
			continue
		}
		t.Run(k.Path, func(t *testing.T) {
			if got := fmt.Sprint(e.see(t, good(t, e.text, nil))); got != e.want {
				t.Errorf("got %s, want %s", got, e.want)
			}
		})
	}
}

func TestDefaults(t *testing.T) {
	d := good(t, "mcpServers: {a: {url: 'https://a.example'}}", nil)
	for key, got := range map[string]any{
		"listen": d.Listen, "admin.listen": d.Admin.Listen, "limits.requestBytes": d.Limits.RequestBytes, "limits.responseBytes": d.Limits.ResponseBytes,
		"limits.sessions": d.Sessions.Max, "limits.inFlightPerBackend": d.Backends[0].Options.Limits.InFlight,
		"drainTimeout": d.DrainTimeout, "log.level": strings.ToLower(d.Log.SlogLevel().String()), "log.format": d.Log.Format,
	} {
		i := slices.IndexFunc(config.Reference(), func(k config.Key) bool { return k.Path == key })
		if want := config.Reference()[i].Default; fmt.Sprint(got) != want {
			t.Errorf("%s is %v, documented as %s", key, got, want)
		}
	}
}

func TestSpellingsOfTheTransport(t *testing.T) {
	for _, key := range []string{"type", "transport"} {
		for _, v := range []string{"http", "streamable-http", "streamableHttp", "streamable_http"} {
			good(t, entry(key+": "+v), nil)
		}
		for _, v := range []string{"stdio", "local", "STDIO"} {
			b := good(t, "mcpServers: {a: {command: npx, "+key+": "+v+"}}", nil).Backends[0]
			if b.Options.Transport != backend.TransportStdio {
				t.Errorf("%s: %s is %q", key, v, b.Options.Transport)
			}
		}
		for _, v := range []string{"sse", "SSE"} {
			b := good(t, entry(key+": "+v), nil).Backends[0]
			if b.Options.Transport != backend.TransportSSE {
				t.Errorf("%s: %s is %q", key, v, b.Options.Transport)
			}
		}
		for _, v := range []string{"stdio", "websocket"} {
			if _, _, problems := parse(t, entry(key+": "+v), nil); len(problems) != 1 || !strings.Contains(problems[0], "mcpServers.a."+key+": ") {
				t.Errorf("%s: %s gives %q", key, v, problems)
			}
		}
	}
}

// A list of tools, as some clients have it, is the list of those allowed.
func TestAListInPlaceOfTheRulesForTools(t *testing.T) {
	rules := good(t, entry("tools: [get, '*']"), nil).Backends[0].Selection.Tools
	if diff := cmp.Diff(catalog.Rules{Allow: []string{"get", "*"}}, rules); diff != "" {
		t.Error(diff)
	}
}

// Clients count in seconds or in milliseconds.
func TestTimeoutOfClients(t *testing.T) {
	for text, want := range map[string]string{"30": "30s", "3600": "1h0m0s", "60000": "1m0s", "0.5": "500ms", "45s": "45s", "'120'": "2m0s"} {
		b := good(t, entry("timeout: "+text), nil).Backends[0]
		if got := b.Options.Timeouts.Idle.String(); got != want {
			t.Errorf("timeout: %s is %s, want %s", text, got, want)
		}
	}
	for text, want := range map[string]string{
		"0":    `c.yaml:1:57: mcpServers.a.timeout: is 0; remove it, or write timeouts: {idle: 0} for no limit`,
		"-1":   `c.yaml:1:57: mcpServers.a.timeout: expected a duration, got "-1"; write a number with its unit, such as 30s or 5m`,
		"soon": `c.yaml:1:57: mcpServers.a.timeout: expected a duration, got "soon"; write a number with its unit, such as 30s or 5m`,
	} {
		_, _, got := parse(t, entry("timeout: "+text), nil)
		if diff := cmp.Diff([]string{want}, got); diff != "" {
			t.Errorf("timeout: %s (-want +got):\n%s", text, diff)
		}
	}
}

func TestBackendsKeepTheirOrder(t *testing.T) {
	d := good(t, "mcpServers: {z: {url: 'https://z.example'}, A b: {disabled: true}, m: {url: 'https://m.example'}}", nil)
	var got []string
	for _, b := range d.Backends {
		got = append(got, fmt.Sprintf("%s=%s %v", b.Name, b.Slug, b.Disabled))
	}
	if diff := cmp.Diff([]string{"z=z false", "A b=a-b true", "m=m false"}, got); diff != "" {
		t.Errorf("backends (-want +got):\n%s", diff)
	}
}
