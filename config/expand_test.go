package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/recloser-mcp/recloser/auth"
	"github.com/recloser-mcp/recloser/config"
)

func TestVariables(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	write(t, file, "from ${VAR} file\r\n")
	vars := map[string]string{"VAR": "value", "EMPTY": "", "TRAP": "${VAR}", "DOLLAR": "a$"}
	for text, want := range map[string]string{
		"plain":                  "plain",
		"${VAR}":                 "value",
		"a-${VAR}-${env:VAR}-b":  "a-value-value-b",
		"${NONE:-fallback}":      "fallback",
		"${EMPTY:-fallback}":     "fallback",
		"${env:NONE:-a:-b}":      "a:-b",
		"${NONE:-}":              "",
		"${VAR:-fallback}":       "value",
		"${EMPTY}":               "",
		"$VAR $ $$ {VAR}":        "$VAR $ $$ {VAR}",
		"$${VAR}":                "${VAR}",
		"$$${VAR}":               "$${VAR}",
		"${TRAP}":                "${VAR}",
		"${DOLLAR}{VAR}":         "a${VAR}",
		"<${file:" + file + "}>": "<from ${VAR} file>",
	} {
		quoted := strings.ReplaceAll(text, "'", "''")
		doc := good(t, "telemetry: {serviceName: '"+quoted+"'}\nadmin: {token: x}", vars)
		if got := doc.Telemetry.ServiceName; got != want {
			t.Errorf("%s is %q, want %q", text, got, want)
		}
		// The same in a secret, which resolves its own files.
		if want == "" {
			continue
		}
		doc = good(t, "credentials: {c: {type: header, headers: {X-K: '"+quoted+"'}}}", vars)
		var o auth.HeaderOptions
		if err := doc.Credentials[0].Spec.Decode(&o); err != nil {
			t.Fatal(err)
		}
		if s, err := o.Headers["X-K"].Resolve(); err != nil || s.Reveal() != want {
			t.Errorf("secret %s is %q, %v; want %q", text, s.Reveal(), err, want)
		}
	}
	const forms = "; use ${VAR}, ${VAR:-default}, ${env:VAR} or ${file:PATH}; $${ stands for a literal ${"
	for text, want := range map[string]string{
		"${NONE}":           "variable NONE is not set; export it or give a default: ${NONE:-...}",
		"${env:NONE}":       "variable NONE is not set; export it or give a default: ${NONE:-...}",
		"${}":               "has a bad reference" + forms,
		"${A B}":            "has a bad reference" + forms,
		"${input:token}":    "has a bad reference" + forms,
		"${VAR-x}":          "has a bad reference" + forms,
		"${NONE:-${VAR}}":   "has a bad reference" + forms,
		"${file:}":          "has a bad reference" + forms,
		"${file:${VAR}}":    "has a bad reference" + forms,
		"${VAR":             "has ${ without a }" + forms,
		"${file:/dev/null}": "file /dev/null cannot be read: it is not a regular file; make it readable or correct the path",
	} {
		for _, doc := range []string{"telemetry: {serviceName: '" + text + "'}", "admin: {token: '" + text + "'}"} {
			_, _, got := parse(t, doc, vars)
			if len(got) != 1 || !strings.HasSuffix(got[0], ": "+want) {
				t.Errorf("%s: %q, want %s", doc, got, want)
			}
		}
	}
	_, _, got := parse(t, "admin: {token: '${DOLLAR}${file:"+file+"}'}", vars)
	if diff := cmp.Diff([]string{"c.yaml:1:16: admin.token: has a $ right before ${file:...}, which would make it a literal; put the $ into the file"}, got); diff != "" {
		t.Errorf("a dollar before a file (-want +got):\n%s", diff)
	}
}

// Numbers, durations and truth values may come from variables too.
func TestVariablesOfEveryType(t *testing.T) {
	doc := good(t, "health: {unavailableAfter: '${N}', interval: '${D}'}\nlimits: {requestBytes: '${S}'}\nmcpServers: {a: {disabled: '${B}'}}",
		map[string]string{"N": "4", "D": "7s", "S": "1MiB", "B": "true"})
	if got := fmt.Sprint(doc.Health, doc.Limits.RequestBytes, doc.Backends[0].Disabled); got != "{7s 0s 4} 1MiB true" {
		t.Errorf("got %s", got)
	}
}

func TestYAMLConveniences(t *testing.T) {
	doc := good(t, `
credentials:
  one: &one {type: client_credentials, tokenURL: "https://i.example", clientID: i, clientSecret: s}
  two: {<<: *one, clientID: j}
mcpServers:
  a: &a {url: https://a.example, authRetry: {openAfter: 2}, auth: {use: one}}
  b: {<<: [*a, {isolation: shared}], url: https://b.example, auth: {use: two}}
`, nil)
	b := doc.Backends[1]
	if got := fmt.Sprint(b.Options.URL, b.Options.AuthRetry.OpenAfter, b.Options.Isolation, b.Credential); got != "https://b.example2sharedcredentials.two" {
		t.Errorf("got %s", got)
	}
	for _, empty := range []string{"", "# nothing\n", "{}", "mcpServers:\n", "mcpServers: {}", "---\n"} {
		_, warnings, problems := parse(t, empty, nil)
		if problems != nil || len(warnings) != 1 || warnings[0].Message != "no backend is configured" {
			t.Errorf("%q: %v, %v", empty, warnings, problems)
		}
	}
}

// A small text cannot become a large document.
func TestAliasesDoNotMultiply(t *testing.T) {
	var b strings.Builder
	b.WriteString("a0: &a0 [x]\n")
	for i := range 40 {
		fmt.Fprintf(&b, "a%d: &a%d [*a%d, *a%d]\n", i+1, i+1, i, i)
	}
	_, _, got := parse(t, b.String(), nil)
	if len(got) != 1 || !strings.HasSuffix(got[0], ": the document is too large or too deep") {
		t.Errorf("got %d problems, the first %q", len(got), got[0])
	}
	_, _, got = parse(t, `{"a":`+strings.Repeat("[", 100)+strings.Repeat("]", 100)+"}", nil)
	if diff := cmp.Diff([]string{"c.yaml:1:70: the document is too large or too deep"}, got); diff != "" {
		t.Errorf("a deep document (-want +got):\n%s", diff)
	}
	_, _, got = parse(t, "# "+strings.Repeat("x", 5<<20), nil)
	if diff := cmp.Diff([]string{"c.yaml: the document is larger than 4MiB; split off what does not belong in it"}, got); diff != "" {
		t.Errorf("a large document (-want +got):\n%s", diff)
	}
}

// Positions count characters, in YAML and in JSON.
func TestColumnsCountCharacters(t *testing.T) {
	for _, text := range []string{`{"ünïcödé": 1}`, `{"mcpServers": {"😀 x": {"url": 1, "ürl": 2}}}`} {
		_, _, asJSON := parse(t, text, nil)
		_, _, asYAML := parse(t, text+"\n# yaml", nil)
		if diff := cmp.Diff(asYAML, asJSON); diff != "" || len(asJSON) == 0 {
			t.Errorf("%s: problems (-YAML +JSON):\n%s", text, diff)
		}
	}
}

func TestTheEnvironmentIsTheDefault(t *testing.T) {
	t.Setenv("RECLOSER_TEST_NAME", "from outside")
	doc, _, err := config.Parse("c.yaml", []byte("telemetry: {serviceName: '${RECLOSER_TEST_NAME}'}"), config.LoadOptions{})
	if err != nil || doc.Telemetry.ServiceName != os.Getenv("RECLOSER_TEST_NAME") {
		t.Errorf("got %+v, %v", doc, err)
	}
}
