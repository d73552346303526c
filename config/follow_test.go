package config_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/recloser-mcp/recloser/auth"
	"github.com/recloser-mcp/recloser/config"
)

func read(t *testing.T, text string, env map[string]string) *config.Document {
	t.Helper()
	doc, _, err := config.Parse("test.yaml", []byte(text), config.LoadOptions{Env: func(name string) (string, bool) {
		v, ok := env[name]
		return v, ok
	}})
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestWhatARunningGatewayCannotChange(t *testing.T) {
	before := read(t, `mcpServers: {}`, nil)
	for _, test := range []struct {
		text string
		want []string
	}{
		{`mcpServers: {}`, nil},
		{`{mcpServers: {a: {url: "http://127.0.0.1:1/mcp"}}, catalog: {conflicts: auto}, health: {interval: 5s}, limits: {requestBytes: 1MiB}, log: {level: debug}, drainTimeout: 1s, allowedHosts: [x.example]}`, nil},
		{`{listen: "127.0.0.1:1", mcpServers: {}}`, []string{"listen"}},
		{`{admin: {listen: "127.0.0.1:1"}, mcpServers: {}}`, []string{"admin.listen"}},
		{`{telemetry: {serviceName: x}, sessions: {ttl: 5m}, log: {format: json}, limits: {sessions: 5}, mcpServers: {}}`, []string{"telemetry", "sessions", "limits.sessions", "log.format"}},
	} {
		err := read(t, test.text, nil).CanFollow(before)
		var got []string
		problems, _ := errors.AsType[config.Problems](err)
		for _, p := range problems {
			got = append(got, p.Path)
			if p.Fix == "" || p.File != "test.yaml" {
				t.Errorf("%+v", p)
			}
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.text, diff)
		}
		if (err == nil) != (test.want == nil) {
			t.Errorf("%s: %v", test.text, err)
		}
	}
}

func TestSameCredential(t *testing.T) {
	one := func(auth string, env map[string]string) config.Credential {
		doc := read(t, fmt.Sprintf(`mcpServers: {a: {url: "https://a.example/mcp", auth: %s}}`, auth), env)
		return doc.Credentials[0]
	}
	const client = `{type: client_credentials, tokenURL: "https://login.example/token", clientID: me, clientSecret: %q, scopes: [%s]}`
	for _, test := range []struct {
		name string
		a, b config.Credential
		same bool
	}{
		{"a token", one(`{type: bearer, token: secret-one}`, nil), one(`{type: bearer, token: secret-one}`, nil), true},
		{"another token", one(`{type: bearer, token: secret-one}`, nil), one(`{type: bearer, token: secret-two}`, nil), false},
		{"a variable that changed", one(`{type: bearer, token: "${T}"}`, map[string]string{"T": "secret-one"}), one(`{type: bearer, token: "${T}"}`, map[string]string{"T": "secret-two"}), false},
		{"a variable in the place of the same text", one(`{type: bearer, token: "${T}"}`, map[string]string{"T": "secret-one"}), one(`{type: bearer, token: secret-one}`, nil), true},
		{"a client", one(fmt.Sprintf(client, "s", "x"), nil), one(fmt.Sprintf(client, "s", "x"), nil), true},
		{"a client with another secret", one(fmt.Sprintf(client, "s", "x"), nil), one(fmt.Sprintf(client, "t", "x"), nil), false},
		{"a client with other scopes", one(fmt.Sprintf(client, "s", "x"), nil), one(fmt.Sprintf(client, "s", "x, y"), nil), false},
		{"another type", one(`{type: bearer, token: secret-one}`, nil), one(`{type: header, headers: {X-Key: secret-one}}`, nil), false},
		{"headers", one(`{type: header, headers: {X-Key: secret-one}}`, nil), one(`{type: header, headers: {X-Key: secret-one}}`, nil), true},
		{"another header", one(`{type: header, headers: {X-Key: secret-one}}`, nil), one(`{type: header, headers: {X-Other: secret-one}}`, nil), false},
	} {
		if got := test.a.Same(test.b); got != test.same {
			t.Errorf("%s: same is %v", test.name, got)
		}
	}
	if (config.Credential{Key: "a", Spec: auth.Spec{Type: "x"}}).Same(config.Credential{Key: "b", Spec: auth.Spec{Type: "x"}}) {
		t.Error("credentials of two keys are the same")
	}
}
