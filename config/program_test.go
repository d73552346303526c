package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/recloser-mcp/recloser/config"
)

func TestVariablesReachAProcess(t *testing.T) {
	b := good(t, "mcpServers: {a: {command: '${BIN}/server', args: ['--root=${ROOT}', '${FILE:-none}'], env: {KEY: 'x${SECRET}y'}}}",
		map[string]string{"BIN": "/opt", "ROOT": "/data", "SECRET": "s3cr3t-canary"}).Backends[0]
	o := b.Options
	if diff := cmp.Diff([]any{"/opt/server", []string{"--root=/data", "none"}, map[string]string{"KEY": "xs3cr3t-canaryy"}}, []any{o.Command, o.Args, o.Env}); diff != "" {
		t.Error(diff)
	}
	if want := "${BIN}/server --root=${ROOT} ${FILE:-none}"; b.CommandLine != want {
		t.Errorf("shown as %q, want %q", b.CommandLine, want)
	}
}

// What is shown of a command has no secret in it, and what hides there is looked
// for in what the process prints.
func TestCommandIsShownWithoutSecrets(t *testing.T) {
	for args, want := range map[string]string{
		`[-y, "@scope/server", /data, "a b", ""]`:        `npx -y @scope/server /data "a b" ""`,
		`[--api-key, hunter22-long, --port, "1"]`:        `npx --api-key [redacted] --port 1`,
		`[--api-key=hunter22-long, --verbose]`:           `npx --api-key=[redacted] --verbose`,
		`[--token, --verbose]`:                           `npx --token --verbose`,
		`[--header, "Authorization: Bearer hunter22-l"]`: `npx --header [redacted]`,
		`[ghp_abcdefghij0123]`:                           `npx [redacted]`,
		`["https://me:hunter22-long@a.example/mcp"]`:     `npx [redacted]`,
		`["${SECRET}"]`:                                  `npx ${SECRET}`,
	} {
		b := good(t, "mcpServers: {a: {command: npx, args: "+args+"}}", map[string]string{"SECRET": "hunter22-long"}).Backends[0]
		if b.CommandLine != want {
			t.Errorf("%s is shown as %s, want %s", args, b.CommandLine, want)
		}
		hidden := strings.Contains(strings.Join(b.Options.Args, " "), "hunter22")
		if found := strings.Contains(strings.Join(b.Options.Secrets, " "), "hunter22"); hidden != found {
			t.Errorf("%s: secrets %q", args, b.Options.Secrets)
		}
	}
}

func TestEnvFile(t *testing.T) {
	dir := t.TempDir()
	text := "\uFEFF# comment\n\nA=1\r\nexport B = two words # comment\nC='a # b'\nD=\"x\\ny\"\nE=\nF=${NOT} $EXPANDED\nOVER=file\n"
	if err := os.WriteFile(filepath.Join(dir, "vars"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "c.json")
	load := func(entry string) (*config.Document, error) {
		if err := os.WriteFile(path, []byte(`{"mcpServers": {"a": `+entry+`}}`), 0o600); err != nil {
			t.Fatal(err)
		}
		doc, _, err := config.Load(path, config.LoadOptions{})
		return doc, err
	}
	doc, err := load(`{"command": "./bin/server", "envFile": "vars", "env": {"OVER": "env"}}`)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"A": "1", "B": "two words", "C": "a # b", "D": "x\ny", "E": "", "F": "${NOT} $EXPANDED", "OVER": "env"}
	if diff := cmp.Diff(want, doc.Backends[0].Options.Env); diff != "" {
		t.Error(diff)
	}
	if got := doc.Backends[0].Options.Command; got != filepath.Join(dir, "bin/server") {
		t.Errorf("command is %s", got)
	}
	if err := os.WriteFile(filepath.Join(dir, "vars"), []byte("A=1\nhunter22\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = load(`{"command": "x", "envFile": "vars"}`)
	if want := path + ":1:50: mcpServers.a.envFile: line 2 of the file is not NAME=VALUE; correct it, or make it a comment with #"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// Entries that were copied from another keep keys that do nothing.
func TestKeysOfAProcessInAnEntryWithAURL(t *testing.T) {
	doc, warnings, problems := parse(t, "mcpServers: {a: {url: 'https://a.example', args: [], env: {A: '${UNSET}'}, envFile: none, cwd: /none}}", nil)
	if problems != nil || len(warnings) != 4 {
		t.Fatalf("%v %v", problems, warnings)
	}
	want := `c.yaml:1:44: mcpServers.a.args: has no effect: it is for a process, and this entry has a URL`
	if warnings[0].String() != want || doc.Backends[0].Options.Env != nil {
		t.Errorf("got %s, %v", warnings[0], doc.Backends[0].Options.Env)
	}
}

func TestIsolationOfAProcess(t *testing.T) {
	b := good(t, "mcpServers: {a: {command: npx, isolation: shared, timeout: 30}}", nil).Backends[0]
	if b.Options.Isolation != "shared" || b.Options.Timeouts.Idle.String() != "30s" {
		t.Errorf("%+v", b.Options)
	}
	_, _, problems := parse(t, "mcpServers: {a: {command: npx, isolation: process}}", nil)
	if diff := cmp.Diff([]string{`c.yaml:1:43: mcpServers.a.isolation: unknown value "process"; use session or shared`}, problems); diff != "" {
		t.Error(diff)
	}
}
