package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/recloser-mcp/recloser/auth"
	"github.com/recloser-mcp/recloser/config"
)

// Every place in which a secret can be written, each with a secret of its own.
const secretive = `
listen: 127.0.0.1:0
admin: {listen: "127.0.0.1:0", token: leak-admin}
incomingAuth: {type: bearer, tokens: ["sha256:1ea4000000000000000000000000000000000000000000000000000000001ea4", "${IN:-leak-fallback}"]}
credentials:
  corp: {type: client_credentials, tokenURL: https://login.example/token, clientID: recloser, clientSecret: leak-client}
  embedded: {type: custom, pass: {password: leak-custom}, endpoint: https://me:leak-url@login.example/}
mcpServers:
  tickets:
    url: https://tickets.example/mcp
    description: leak-nothing
    headers: {X-Api-Key: leak-header, X-Tenant: "t-${TENANT}", X-Version: 2}
  wiki:
    serverUrl: https://wiki.example/mcp
    headers: {Authorization: "Bearer ${TOKEN}", X-Org: acme}
    timeout: 90
  calls:
    url: ${URL:-https://calls.example/mcp}
    auth: {use: corp, scopes: [read, write]}
    tools: [search, "get_*"]
  files:
    command: npx
    args: [-y, server, --token, leak-arg, "--api-key=leak-assigned", "${DIR}", "https://me:leak-user@host/x"]
    env: {KEY: leak-env, OTHER: "${TOKEN}", EMPTY: ""}
  off: {disabled: true, auth: {type: bearer, token: leak-disabled}}
log: {level: debug}
`

const secretiveShown = `listen: 127.0.0.1:0
incomingAuth:
  type: bearer
  tokens:
    - '[redacted]'
    - ${IN:-[redacted]}
admin:
  listen: 127.0.0.1:0
  token: '[redacted]'
credentials:
  corp:
    type: client_credentials
    tokenURL: https://login.example/token
    clientID: recloser
    clientSecret: '[redacted]'
    clientAuth: basic
    allowInsecure: false
  embedded:
    type: custom
    pass:
      password: '[redacted]'
    endpoint: '[redacted]'
mcpServers:
  tickets:
    url: https://tickets.example/mcp
    type: http
    headers:
      X-Api-Key: '[redacted]'
      X-Tenant: '[redacted]${TENANT}'
      X-Version: 2
`

func TestWhatIsShownHoldsNoSecret(t *testing.T) {
	registry := auth.NewRegistry()
	type custom struct {
		Pass     map[string]string
		Endpoint string
	}
	if err := registry.Register("custom", func(s auth.Spec) (auth.Strategy, error) {
		_, err := auth.DecodeOptions[custom](s)
		return auth.NewUnauthenticated(), err
	}); err != nil {
		t.Fatal(err)
	}
	doc, _, err := config.Parse("x.yaml", []byte(secretive), config.LoadOptions{
		Registry: registry,
		Env: environment(map[string]string{"TOKEN": "leak-token", "TENANT": "leak-tenant", "DIR": "leak-dir",
			"IN": "sha256:1ea4000000000000000000000000000000000000000000000000000000001ea5"}),
	})
	if err != nil {
		t.Fatal(err)
	}
	got := doc.YAML()
	if strings.Contains(got, "leak") || strings.Contains(got, "1ea4") {
		t.Errorf("a secret is shown:\n%s", got)
	}
	if d := cmp.Diff(secretiveShown, got[:min(len(got), len(secretiveShown))]); d != "" {
		t.Errorf("the beginning (-want +got):\n%s", d)
	}
	for name, want := range map[string][]string{
		"wiki":  {"url: https://wiki.example/mcp\n", "Authorization: Bearer ${TOKEN}\n", "X-Org: acme\n", "idle: 1m30s\n", "maxRetries: 3\n"},
		"calls": {"url: ${URL:-https://calls.example/mcp}\n", "use: corp\n", "- write\n", "allow:\n    - search\n    - get_*\n"},
		"files": {"- -y\n", "- --token\n", "- '[redacted]'\n", "- --api-key=[redacted]\n", "- ${DIR}\n", "OTHER: ${TOKEN}\n", "EMPTY: \"\"\n"},
		"off":   {"disabled: true\n"},
	} {
		entry := doc.BackendYAML(name)
		for _, w := range want {
			if !strings.Contains(entry, w) {
				t.Errorf("%s lacks %q:\n%s", name, w, entry)
			}
		}
		if strings.Contains(entry, "leak") {
			t.Errorf("%s shows a secret:\n%s", name, entry)
		}
	}
	if doc.BackendYAML("off") != "disabled: true\n" || doc.BackendYAML("nobody") != "" {
		t.Errorf("off is %q, nobody %q", doc.BackendYAML("off"), doc.BackendYAML("nobody"))
	}
	for _, useless := range []string{"authRetry", "connect", "proxy"} {
		if strings.Contains(doc.BackendYAML("files"), useless) {
			t.Errorf("the process is shown with %s, which it cannot have", useless)
		}
	}
}

// What is shown is a document again, and is shown alike.
func TestWhatIsShownIsADocument(t *testing.T) {
	files, err := filepath.Glob("testdata/pasted/*.json")
	if err != nil || len(files) < 5 {
		t.Fatalf("files %q: %v", files, err)
	}
	for _, file := range append(files, "") {
		name, data := "x.yaml", []byte("mcpServers: {}")
		if file != "" {
			name = file
			if data, err = os.ReadFile(file); err != nil {
				t.Fatal(err)
			}
		}
		o := config.LoadOptions{Env: environment(goldenVars)}
		doc, _, err := config.Parse(name, data, o)
		if err != nil {
			t.Fatal(err)
		}
		again, warnings, err := config.Parse(name+".yaml", []byte(doc.YAML()), o)
		if err != nil {
			t.Fatalf("%s: what is shown is no document: %v\n%s", name, err, doc.YAML())
		}
		if len(warnings) > 0 && file != "" {
			t.Errorf("%s: what is shown has keys without an effect: %v", name, warnings)
		}
		if d := cmp.Diff(doc.YAML(), again.YAML()); d != "" {
			t.Errorf("%s (-once +twice):\n%s", name, d)
		}
	}
}
