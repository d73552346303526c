package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/recloser-mcp/recloser/backendtest"
)

const commandsHead = "<!-- Made from the commands' own help by `make generate`. -->\n\n# Commands\n\n" +
	"What each command prints with `--help`. Results go to standard output, everything else to standard error; `--json` is for programs, colors are for terminals (`NO_COLOR` takes them away).\n\n" +
	"| exit code | meaning |\n|---|---|\n| 0 | fine |\n| 1 | a run failed, or what was asked for is not well |\n| 2 | wrong usage or configuration |\n" +
	"| 3 | authentication: a token or a credential is missing or refused |\n| 4 | unreachable: no gateway, or no backend |\n| 5 | a tool reports an error |\n"

// TestCommandsPage keeps docs/commands.md the same as what the commands say of
// themselves.
func TestCommandsPage(t *testing.T) {
	const path = "../../docs/commands.md"
	var page bytes.Buffer
	page.WriteString(commandsHead)
	var describe func(c *cobra.Command)
	describe = func(c *cobra.Command) {
		if c.HasParent() && (c.Hidden || c.Name() == "help" || c.Parent().Name() == "completion") {
			return
		}
		out, err := exec.Command("recloser", append(strings.Fields(c.CommandPath())[1:], "--help")...).Output()
		if err != nil {
			t.Fatalf("%s: %v", c.CommandPath(), err)
		}
		page.WriteString("\n## " + c.CommandPath() + "\n\n```text\n" + string(out) + "```\n")
		for _, sub := range c.Commands() {
			describe(sub)
		}
	}
	root := newRoot()
	root.InitDefaultCompletionCmd()
	describe(root)
	if *update {
		if err := os.WriteFile(path, page.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(page.String(), string(have)); d != "" {
		t.Errorf("%s is stale, run make generate (-want +got):\n%s", path, d)
	}
}

// printed are the commands that a program of ours tells its reader to run: those
// between backticks in texts of the code.
func printed(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	span := regexp.MustCompile("`recloser ([a-z][^`\n]*)`")
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (strings.HasPrefix(d.Name(), ".") && path != "../.." || d.Name() == "node_modules"):
			return filepath.SkipDir
		case filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if text, err := strconv.Unquote(lit.Value); err == nil {
					for _, m := range span.FindAllStringSubmatch(text, -1) {
						all[m[1]] = filepath.Base(path)
					}
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// endless are commands that go on until they are stopped, and what they print when
// they have begun.
var endless = map[string]string{"serve": `"msg":"serving"`, "status -w": "BACKEND", "events -f": "here"}

// Every command that a message, an explanation, a page or the README prints is run
// here, and understood: against a gateway in which all is well it ends with 0.
func TestEveryCommandThatIsPrintedRuns(t *testing.T) {
	all := printed(t)
	for where, text := range texts(t) {
		for _, m := range commandLine.FindAllStringSubmatch(text, -1) {
			all[strings.Join(strings.Fields(m[1]), " ")] = where
		}
	}
	dir := t.TempDir()
	admin := wellGateway(t, dir)
	fill := strings.NewReplacer("tools call NAME", "tools call here_echo", "NAME", "here", "FILE", "mcp.yaml", "mcp.json", "mcp.yaml",
		"tickets", "here", "CODE", "timeout", "URL", admin, "http://%[2]s", admin, "%s", "here", "%q", "here")
	run := map[string]string{}
	for command, where := range all {
		command = strings.TrimRight(fill.Replace(command), " .,;:)")
		if command == "" || strings.Contains(command, "...") {
			continue
		}
		run[command] = where
	}
	if len(run) < 15 {
		t.Errorf("found %d commands: the pattern does not find what it is for: %v", len(run), run)
	}
	for command, where := range run {
		t.Run(command, func(t *testing.T) {
			if code, out := runIt(t, dir, admin, strings.Fields(command)); code != 0 {
				t.Errorf("%s tells its reader to run recloser %s: exit code %d\n%s", where, command, code, out)
			}
		})
	}
}

// wellGateway starts a gateway in which all is well: with one backend, here, whose
// credential can be renewed. Its configuration is mcp.yaml in the folder.
func wellGateway(t *testing.T, dir string) (admin string) {
	t.Helper()
	secret := rand.Text()
	issuer := backendtest.NewIssuer(t, backendtest.WithClient("recloser", secret))
	backend := backendtest.NewServer(t, backendtest.WithBearer(issuer))
	document := fmt.Sprintf("listen: 127.0.0.1:0\nadmin: {listen: 127.0.0.1:0}\nmcpServers:\n  here: {url: %s, auth: {type: client_credentials, tokenURL: %s, clientID: recloser, clientSecret: %s}}\n",
		backend.URL, issuer.TokenURL, secret)
	if err := os.WriteFile(filepath.Join(dir, "mcp.yaml"), []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	p := serve(t, document)
	client(t, p.mcp, "here_echo")
	return p.admin
}

// runIt runs a command, and stops one that does not end by itself.
func runIt(t *testing.T, dir, admin string, args []string) (int, string) {
	t.Helper()
	switch name := strings.Join(args, " "); name {
	case "serve", "stdio", "validate": // spoken of, without what they need
		args = append(args, "--config", "mcp.yaml")
	case "demo":
		args = append(args, "--for", "1s", "--listen", "127.0.0.1:0")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "recloser", args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "RECLOSER_ADMIN="+admin)
	said := newSaid()
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for name, sign := range endless {
		if strings.HasPrefix(strings.Join(args, " ")+" ", name+" ") {
			if err := said.until(sign, ended); err != nil {
				break // it has ended already, which is judged below
			}
			if err := cmd.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
		}
	}
	err := <-ended
	var code *exec.ExitError
	switch {
	case errors.As(err, &code):
		return code.ExitCode(), said.text.String()
	case err != nil:
		t.Fatal(err)
	}
	return 0, said.text.String()
}

// until waits for a text, or for the end of the process, which it leaves for
// others to see.
func (s *said) until(text string, ended chan error) error {
	for {
		s.mu.Lock()
		found := strings.Contains(s.text.String(), text)
		s.mu.Unlock()
		if found {
			return nil
		}
		select {
		case <-s.print:
		case err := <-ended:
			ended <- err
			return errors.New("ended")
		}
	}
}
