package backendtest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/recloser-mcp/recloser/backendtest"
)

var programs = backendtest.Programs{
	"official": func(c *backendtest.Child) error { return c.Serve(backendtest.WithSDK()) },
	"mcp-go":   func(c *backendtest.Child) error { return c.Serve(backendtest.WithMCPGo()) },
	"parent": func(c *backendtest.Child) error {
		if err := c.Command("official").Start(); err != nil {
			return err
		}
		return c.Serve()
	},
	"broken": func(*backendtest.Child) error { return errors.New("no configuration") },
}

func TestProgramIsAServerOverStdio(t *testing.T) {
	for _, name := range []string{"official", "mcp-go"} {
		t.Run(name, func(t *testing.T) {
			p := backendtest.NewProgram(t, name)
			cmd := exec.Command(p.Command)
			for name, value := range p.Env {
				cmd.Env = append(cmd.Env, name+"="+value)
			}
			client, err := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, nil).Connect(t.Context(), &mcp.CommandTransport{Command: cmd}, nil)
			if err != nil {
				t.Fatal(err)
			}
			got, err := officialClient{client}.call(t.Context(), "echo", map[string]any{"a": 1})
			if err != nil || got != `{"a":1}` {
				t.Errorf("got %q, %v", got, err)
			}
			if n := p.Executions("echo"); n != 1 {
				t.Errorf("%d executions", n)
			}
			if n := p.Requests("tools/call"); n != 1 {
				t.Errorf("%d requests", n)
			}
			if live := p.Live(); len(live) != 1 || live[0].PID != cmd.Process.Pid || live[0].Program != name {
				t.Errorf("live: %v", live)
			}
			_ = client.Close()
			if err := p.Wait(t.Context(), func() bool { return len(p.Live()) == 0 }); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestProgramsAreKnownByTheirProcesses(t *testing.T) {
	p := backendtest.NewProgram(t, "parent")
	cmd := exec.Command(p.Command)
	for name, value := range p.Env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer in.Close()
	if err := p.Wait(t.Context(), func() bool { return len(p.Started()) == 2 }); err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(t.Context(), func() bool { return len(p.Live()) == 1 }); err != nil { // the other one has no input
		t.Fatal(err)
	}
	if err := p.Kill(t.Context(), cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	if n := len(p.Live()); n != 0 {
		t.Errorf("%d live", n)
	}
}

func TestProgramThatFailsSaysSo(t *testing.T) {
	for name, want := range map[string]string{"broken": "no configuration\n", "no such": "backendtest: there is no program \"no such\"\n"} {
		p := backendtest.NewProgram(t, name)
		cmd := exec.Command(p.Command)
		for name, value := range p.Env {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if err := cmd.Run(); err == nil || stderr.String() != want {
			t.Errorf("%s: %v, %q", name, err, stderr.String())
		}
	}
}

// conversation writes lines to a server over stdio in memory and returns what it
// says until it ends.
func conversation(t *testing.T, srv *backendtest.Server, lines ...string) (said string, err error) {
	t.Helper()
	in, feed := io.Pipe()
	out, say := io.Pipe()
	done := make(chan error, 1)
	go func() { done <- srv.ServeStdio(t.Context(), in, say) }()
	var fed sync.WaitGroup
	defer fed.Wait()
	fed.Go(func() {
		for _, l := range lines {
			_, _ = io.WriteString(feed, l+"\n")
			time.Sleep(time.Second)
		}
		_ = feed.Close()
	})
	all, _ := io.ReadAll(out)
	return string(all), <-done
}

const (
	stdioMeta   = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}`
	askRevision = `{"jsonrpc":"2.0","id":1,"method":"server/discover","params":{` + stdioMeta + `}}`
	askSession  = `{"jsonrpc":"2.0","id":2,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}`
)

func TestStdioServesTheRevisionsThatAreAsked(t *testing.T) {
	for name, row := range map[string]struct {
		opts             []backendtest.Option
		askRevision, ini string // in the answer; "" when there is none
		fails            bool
	}{
		"all":         {nil, `"2026-07-28"`, `duplicate`, false}, // the SDK takes the first for a handshake
		"modern":      {[]backendtest.Option{backendtest.WithRevision("2026-07-28")}, `"2026-07-28"`, `-32022`, false},
		"elder":       {[]backendtest.Option{backendtest.WithRevision("2025-06-18")}, `-32601`, `"protocolVersion":"2025-06-18"`, false},
		"elder, json": {[]backendtest.Option{backendtest.WithRevision("2025-06-18"), backendtest.WithLegacyAnswer(backendtest.LegacyJSON)}, `-32000`, `"protocolVersion":"2025-06-18"`, false},
		"knowing":     {[]backendtest.Option{backendtest.WithRevision("2025-06-18"), backendtest.WithLegacyAnswer(backendtest.LegacyUnsupported)}, `"supportedVersions":["2025-06-18"]`, `"protocolVersion":"2025-06-18"`, false},
		"silent":      {[]backendtest.Option{backendtest.WithRevision("2025-06-18"), backendtest.WithLegacyAnswer(backendtest.LegacySilent)}, ``, `"protocolVersion":"2025-06-18"`, false},
		"exit":        {[]backendtest.Option{backendtest.WithRevision("2025-06-18"), backendtest.WithLegacyAnswer(backendtest.LegacyExit)}, ``, ``, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := backendtest.NewServer(t, append(row.opts, backendtest.WithPipe())...)
				said, err := conversation(t, srv, askRevision, askSession)
				if (err != nil) != row.fails {
					t.Errorf("ends with %v", err)
				}
				answers := map[float64]string{}
				for line := range strings.Lines(said) {
					var m struct{ ID float64 }
					if err := json.Unmarshal([]byte(line), &m); err != nil {
						t.Fatalf("%q: %v", line, err)
					}
					answers[m.ID] = line
				}
				for id, want := range map[float64]string{1: row.askRevision, 2: row.ini} {
					if got := answers[id]; (want == "") != (got == "") || !strings.Contains(got, want) {
						t.Errorf("answer %v: %q, want %q", id, got, want)
					}
				}
			})
		})
	}
}

func TestStdioEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := backendtest.NewServer(t, backendtest.WithPipe(), backendtest.WithTool("slow", backendtest.Slow(time.Hour)))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		in, feed := io.Pipe()
		out, say := io.Pipe()
		began := time.Now()
		go func() {
			_, _ = io.WriteString(feed, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"slow",`+stdioMeta+"}}\n")
		}()
		go func() { _, _ = io.Copy(io.Discard, out) }()
		_ = srv.ServeStdio(ctx, in, say)
		if took := time.Since(began); took != time.Minute {
			t.Errorf("it took %s", took)
		}
		if n := srv.Executions("slow"); n != 1 {
			t.Errorf("%d executions", n)
		}
	})
}
