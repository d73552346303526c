package main

import (
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/recloser-mcp/recloser/backendtest"
	"github.com/recloser-mcp/recloser/config"
	"github.com/recloser-mcp/recloser/test/leak"
)

// codeBlock finds a fenced block: its language and its lines.
var codeBlock = regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```$")

// readme returns the README with its commands of ours and its configuration.
func readme(t *testing.T) (text string, commands []string, document string) {
	t.Helper()
	b, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	text = string(b)
	for _, block := range codeBlock.FindAllStringSubmatch(text, -1) {
		if block[1] == "json" {
			document = block[2]
		}
		for line := range strings.Lines(block[2]) {
			line, _, _ = strings.Cut(line, "#")
			if args, ours := strings.CutPrefix(strings.TrimSpace(line), "go run ./cmd/recloser"); ours {
				commands = append(commands, strings.Join(strings.Fields(args), " "))
			}
		}
	}
	if document == "" || len(commands) == 0 {
		t.Fatalf("the README has commands %q and the configuration %q", commands, document)
	}
	return text, commands, document
}

// What the README says is done as it says it. Its addresses lead to servers of
// the test, and files of secrets lie in a folder of the test: nothing else is
// changed.
func TestWhatTheReadmeSaysWorks(t *testing.T) {
	text, commands, document := readme(t)
	if want := []string{"demo", "validate --config mcp.json", "serve --config mcp.json", "status", "doctor tickets --config mcp.json", "explain grant_expired"}; !slices.Equal(commands, want) {
		t.Fatalf("the README has the commands %q and this test runs %q: bring them together", commands, want)
	}
	dir, secret, token := t.TempDir(), rand.Text(), rand.Text()
	for name, content := range map[string]string{"wiki": token, "mcp.json": strings.ReplaceAll(document, "/run/secrets", dir)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	admin := ""
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.Command("recloser", args...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "TICKETS_SECRET="+secret, "RECLOSER_ADMIN="+admin)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("recloser %q: %v\n%s", args, err, out)
		}
		return string(out)
	}
	printed := run("demo", "--for", "1s", "--listen", "127.0.0.1:0")
	validated := run("validate", "--config", "mcp.json")
	if want := "mcp.json is valid: 3 backends, MCP on 127.0.0.1:8484, admin on 127.0.0.1:8485\n"; validated != want {
		t.Errorf("validate printed %q, want %q", validated, want)
	}

	issuer := backendtest.NewIssuer(t, backendtest.WithClient("recloser", secret))
	docs := backendtest.NewServer(t)
	tickets := backendtest.NewServer(t, backendtest.WithBearer(issuer), backendtest.WithTool("search", backendtest.Text("two tickets")))
	wiki := backendtest.NewServer(t, backendtest.WithToken(token))
	document = strings.NewReplacer(
		"https://docs.example.com/mcp", docs.URL, "https://tickets.example.com/mcp", tickets.URL, "https://wiki.example.com/mcp", wiki.URL,
		"https://login.example.com/token", issuer.TokenURL, "/run/secrets", dir).Replace(document)
	document = strings.Replace(document, "{", `{"listen": "127.0.0.1:0", "admin": {"listen": "127.0.0.1:0"},`, 1)
	p := serve(t, document, "TICKETS_SECRET="+secret)

	all := client(t, p.mcp, "docs_echo", "tickets_search", "wiki_echo")
	if got := answer(t, all, "tickets_search"); got != "two tickets" {
		t.Errorf("tickets_search answered %q", got)
	}
	one := client(t, p.mcp+"/tickets", "search")
	if got := answer(t, one, "search"); got != "two tickets" {
		t.Errorf("search answered %q", got)
	}
	if n := tickets.Executions("search"); n != 2 {
		t.Errorf("%d executions for two calls", n)
	}
	shown := map[string]string{"demo": printed, "validate": validated}
	admin = p.admin
	if err := os.WriteFile(filepath.Join(dir, "mcp.json"), []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	for command, want := range map[string]string{
		"status":                           "●  tickets  ready   ok ",
		"doctor tickets --config mcp.json": "  ✓ credential    client_credentials: valid until ",
		"explain grant_expired":            "What you do. ",
	} {
		shown[command] = run(strings.Fields(command)...)
		if !strings.Contains(shown[command], want) {
			t.Errorf("%s printed %q, want %q", command, shown[command], want)
		}
		if strings.Contains(shown[command], "another configuration") {
			t.Errorf("%s takes the file of the gateway for another one: %s", command, shown[command])
		}
	}
	for _, path := range []string{"/api/v1/status", "/readyz", "/metrics"} {
		code, body := p.get(path)
		if code != 200 {
			t.Errorf("%s: %d %s", path, code, body)
		}
		shown[path] = body
	}
	for _, s := range []*mcp.ClientSession{all, one} {
		_ = s.Close()
	}
	code, out, log := p.stop(syscall.SIGTERM)
	if code != 0 {
		t.Errorf("serve ended with exit code %d", code)
	}
	shown["standard output"], shown["log"] = out, log

	for _, said := range []string{
		fmt.Sprintf("`http://%s/mcp`", config.DefaultListen), fmt.Sprintf("`http://%s/mcp/tickets`", config.DefaultListen),
		fmt.Sprintf("`http://%s/api/v1/status`, `/readyz` and `/metrics`", config.DefaultAdminListen), "`tickets_search`",
	} {
		if !strings.Contains(text, said) {
			t.Errorf("the README no longer says %s: this test checks what it says", said)
		}
	}
	secrets := []string{secret, token}
	for n := 1; n <= issuer.Mints(); n++ {
		secrets = append(secrets, issuer.Token(n))
	}
	for name, text := range shown {
		for _, hit := range leak.Find([]byte(text), secrets...) {
			t.Errorf("the %s shows a credential: %s", name, hit)
		}
	}
}
