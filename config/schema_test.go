package config_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/recloser-mcp/recloser/config"
)

func compiled(t *testing.T) *jsonschema.Schema {
	t.Helper()
	text, err := jsonschema.UnmarshalJSON(bytes.NewReader(config.Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", text); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// tree is a document as an editor sees it.
func tree(t *testing.T, document string) any {
	t.Helper()
	var v any
	if json.Unmarshal([]byte(document), &v) != nil {
		if err := yaml.Unmarshal([]byte(document), &v); err != nil {
			t.Fatalf("%v\n%s", err, document)
		}
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	out, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// at finds the schemas of a path such as mcpServers.NAME.tls.caFile.
func at(schema any, path []string) bool {
	o, ok := schema.(map[string]any)
	if !ok {
		return false
	}
	if len(path) == 0 {
		return true
	}
	if properties, ok := o["properties"].(map[string]any); ok {
		if next, ok := properties[path[0]]; ok && at(next, path[1:]) {
			return true
		}
	}
	if next, ok := o["additionalProperties"]; ok && path[0] == "NAME" && at(next, path[1:]) {
		return true
	}
	branches, _ := o["anyOf"].([]any)
	for _, b := range branches {
		if at(b, path) {
			return true
		}
	}
	return false
}

// Editors complete every key that the reference describes, and say what it means.
func TestSchemaHasEveryKey(t *testing.T) {
	var schema any
	if err := json.Unmarshal(config.Schema(), &schema); err != nil {
		t.Fatal(err)
	}
	for _, k := range config.Reference() {
		path := strings.Split(k.Path, ".")
		switch path[0] {
		case "auth", "header", "bearer", "client_credentials":
			path = append([]string{"mcpServers", "NAME", "auth"}, path[1:]...)
		}
		if !at(schema, path) {
			t.Errorf("%s is not in the schema", k.Path)
		}
		if text, _ := json.Marshal(k.Meaning); !bytes.Contains(config.Schema(), text) {
			t.Errorf("the schema does not say what %s means", k.Path)
		}
	}
}

// documents are all that are shown to readers, and those of clients.
func documents(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	block := regexp.MustCompile("(?ms)^```(?:yaml|json)\n(.*?)^```$")
	for _, page := range []string{"../README.md", "../docs/configuration.md"} {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range block.FindAllStringSubmatch(string(text), -1) {
			all[page+": "+m[1][:min(40, len(m[1]))]] = m[1]
		}
	}
	pasted, err := filepath.Glob("testdata/pasted/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range pasted {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all[file] = string(text)
	}
	if len(all) < 9 {
		t.Fatalf("%d documents: the pattern does not find what it is for", len(all))
	}
	return all
}

// The schema is for people who write what is right: none of it is marked as wrong.
func TestSchemaAcceptsWhatIsValid(t *testing.T) {
	schema := compiled(t)
	all := documents(t)
	all["whole"] = secretive
	all["empty"] = "mcpServers:\n"
	all["variables"] = "limits: {sessions: '${N}', requestBytes: '${S}'}\ndrainTimeout: ${D}\nmcpServers: {a: {url: '${U}', authRetry: {retryOn403: '${B}', whenOpen: '${W}'}, timeouts: {idle: 0}}}"
	all["spellings"] = "limits: {requestBytes: 1.5 GiB, responseBytes: 1000}\nhealth: {interval: 1m30s, timeout: 1.5s}\nmcpServers: {a: {url: 'https://a.example', type: streamable_http, timeout: 90000, tools: {pin: {x: 'sha256:00'}}}}"
	all["headers beside auth"] = "mcpServers: {a: {url: 'https://a.example', headers: {X-Key: k}, auth: {type: header}}}"
	for name, text := range all {
		if strings.HasPrefix(strings.TrimSpace(text), "{") { // clients allow what JSON does not
			text = regexp.MustCompile(`(?m)^\s*//.*$|/\*.*?\*/|,(\s*[}\]])`).ReplaceAllString(text, "$1")
		}
		if err := schema.Validate(tree(t, text)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// And it finds what an editor can find.
func TestSchemaRefusesMistakes(t *testing.T) {
	schema := compiled(t)
	for _, text := range []string{
		"lisen: 127.0.0.1:1", "listen: [a]", "limits: {sessions: many}", "limits: {sesions: 1}", "drainTimeout: 30", "drainTimeout: soon",
		"health: {interval: 30}", "limits: {requestBytes: 8 apples}", "log: {level: loud}", "catalog: {conflicts: fight}", "mcpServers: []",
		"mcpServers: {a: {}}", "mcpServers: {a: {url: [x]}}", "mcpServers: {a: {url: x, uurl: y}}", "mcpServers: {a: {url: x, auth: secret}}",
		"mcpServers: {a: {url: x, auth: {type: bearer}}}", "mcpServers: {a: {url: x, auth: {type: bearer, tokn: x}}}", "mcpServers: {a: {url: x, auth: {token: x}}}",
		"mcpServers: {a: {url: x, authRetry: {maxRetries: x}}}", "mcpServers: {a: {command: x, args: y}}", "mcpServers: {a: {command: x, env: [y]}}",
		"credentials: {a: {type: client_credentials, tokenURL: x}}", "mcpServers: {a: {url: x, disabled: perhaps}}",
	} {
		if schema.Validate(tree(t, text)) == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}

// docs/configuration.schema.json is for editors that read it from a file.
func TestSchemaFile(t *testing.T) {
	const path = "../docs/configuration.schema.json"
	if flag.Lookup("update").Value.String() == "true" {
		if err := os.WriteFile(path, config.Schema(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(config.Schema()), string(got)); d != "" {
		t.Errorf("%s is stale, run make generate (-want +got):\n%s", path, d)
	}
}
