package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// process is a recloser serve that runs.
type process struct {
	t          *testing.T
	cmd        *exec.Cmd
	mcp, admin string // URLs
	records    chan record
	read       sync.WaitGroup
	mu         sync.Mutex
	out, log   strings.Builder // standard output and standard error
}

// record is one line of the log.
type record struct{ Msg, MCP, Admin string }

// serve starts recloser serve with a document and returns when it serves. The
// test ends it, by stop or by ending.
func serve(t *testing.T, document string, env ...string) *process {
	t.Helper()
	file := filepath.Join(t.TempDir(), "mcp.json")
	if err := os.WriteFile(file, []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, cmd: exec.Command("recloser", "serve", "--config", file), records: make(chan record, 1<<16)}
	p.cmd.Env = append(os.Environ(), env...)
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	log, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.read.Go(func() { p.lines(out, &p.out, nil) })
	p.read.Go(func() { p.lines(log, &p.log, p.records) })
	t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			_ = p.cmd.Process.Kill()
			p.read.Wait()
			_ = p.cmd.Wait()
		}
		if t.Failed() {
			t.Logf("log:\n%s", p.log.String())
		}
	})
	began := p.await("serving")
	p.mcp, p.admin = began.MCP, began.Admin
	return p
}

// lines keeps what is printed and hands records on. records holds more than any
// test prints.
func (p *process) lines(from io.Reader, to *strings.Builder, records chan<- record) {
	if records != nil {
		defer close(records)
	}
	for in := bufio.NewScanner(from); in.Scan(); {
		p.mu.Lock()
		to.WriteString(in.Text() + "\n")
		p.mu.Unlock()
		var r record
		if records != nil && json.Unmarshal(in.Bytes(), &r) == nil {
			records <- r
		}
	}
}

// await waits for a record in the log.
func (p *process) await(msg string) record {
	p.t.Helper()
	for r := range p.records {
		if r.Msg == msg {
			return r
		}
	}
	p.read.Wait()
	p.t.Fatalf("the process ended without %q in its log:\n%s", msg, p.log.String())
	return record{}
}

// stop sends a signal and returns the exit code and everything that was printed.
func (p *process) stop(s os.Signal) (code int, out, log string) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
	return p.wait()
}

func (p *process) wait() (code int, out, log string) {
	p.read.Wait()
	_ = p.cmd.Wait()
	return p.cmd.ProcessState.ExitCode(), p.out.String(), p.log.String()
}

// get reads from the admin listener.
func (p *process) get(path string) (status int, body string) {
	p.t.Helper()
	resp, err := http.Get(p.admin + path)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// client connects to an MCP endpoint of the process and waits for its tools: each
// change of the list is told.
func client(t *testing.T, url string, tools ...string) *mcp.ClientSession {
	t.Helper()
	changed := make(chan struct{}, 1)
	c := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, &mcp.ClientOptions{
		ToolListChangedHandler: func(context.Context, *mcp.ToolListChangedRequest) {
			select {
			case changed <- struct{}{}:
			default:
			}
		},
	})
	s, err := c.Connect(t.Context(), &mcp.StreamableClientTransport{Endpoint: url, MaxRetries: -1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	for {
		list, err := s.ListTools(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, tool := range list.Tools {
			names = append(names, tool.Name)
		}
		if !slices.ContainsFunc(tools, func(name string) bool { return !slices.Contains(names, name) }) {
			return s
		}
		select {
		case <-changed:
		case <-t.Context().Done():
			t.Fatalf("listed are %q, want %q", names, tools)
		}
	}
}

// answer calls a tool and returns the text of its result.
func answer(t *testing.T, s *mcp.ClientSession, tool string) string {
	t.Helper()
	res, err := s.CallTool(t.Context(), &mcp.CallToolParams{Name: tool, Arguments: map[string]any{}})
	if err != nil || res.IsError || len(res.Content) == 0 {
		t.Fatalf("%s: %v, %+v", tool, err, res)
	}
	text, _ := res.Content[0].(*mcp.TextContent)
	return text.Text
}
