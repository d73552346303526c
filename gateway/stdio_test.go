package gateway_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/recloser-mcp/recloser/backendtest"
	"github.com/recloser-mcp/recloser/gateway"
)

// console is a client over a pair of streams.
type console struct {
	in    *io.PipeWriter
	lines *bufio.Scanner
	ended chan error
}

func (r *rig) console(path string) *console {
	r.t.Helper()
	toServer, in := io.Pipe()
	out, fromServer := io.Pipe()
	c := &console{in: in, lines: bufio.NewScanner(out), ended: make(chan error, 1)}
	c.lines.Buffer(nil, 4<<20)
	go func() {
		err := r.g.ServeStdio(context.Background(), path, toServer, fromServer)
		_ = fromServer.Close()
		c.ended <- err
	}()
	return c
}

func (c *console) say(t testing.TB, line string) {
	t.Helper()
	if _, err := io.WriteString(c.in, line+"\n"); err != nil {
		t.Fatal(err)
	}
}

func (c *console) hear(t testing.TB) string {
	t.Helper()
	if !c.lines.Scan() {
		t.Fatalf("no line: %v", c.lines.Err())
	}
	return c.lines.Text()
}

// leave ends the input and waits for the end of everything.
func (c *console) leave(t testing.TB) {
	t.Helper()
	_ = c.in.Close()
	for c.lines.Scan() {
	}
	if err := <-c.ended; err != nil {
		t.Errorf("it ended with %v", err)
	}
}

func TestStdioServesTheSDKsClients(t *testing.T) {
	for _, front := range []string{modern, elder} {
		for _, back := range []string{modern, elder} {
			t.Run(front+" to "+back, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					srv := sample(t, "one", backendtest.WithRevision(back))
					r := newRig(t, settings{}, srv)
					synctest.Wait()
					toServer, in := io.Pipe()
					out, fromServer := io.Pipe()
					ended := make(chan error, 1)
					go func() { ended <- r.g.ServeStdio(context.Background(), "/mcp", toServer, fromServer) }()
					changed := make(chan struct{}, 1)
					client := mcp.NewClient(&mcp.Implementation{Name: "t", Version: "1"}, &mcp.ClientOptions{
						ToolListChangedHandler: func(context.Context, *mcp.ToolListChangedRequest) { changed <- struct{}{} },
					})
					s, err := client.Connect(t.Context(), &mcp.IOTransport{Reader: out, Writer: in}, &mcp.ClientSessionOptions{ProtocolVersion: front})
					if err != nil {
						t.Fatal(err)
					}
					if got := s.InitializeResult().ProtocolVersion; got != front {
						t.Errorf("revision %s, want %s", got, front)
					}
					res, err := s.CallTool(t.Context(), &mcp.CallToolParams{Name: "a_echo", Arguments: map[string]any{"x": 1}})
					if err != nil {
						t.Fatal(err)
					}
					if got := res.Content[0].(*mcp.TextContent).Text; !strings.Contains(got, `"x":1`) {
						t.Errorf("the tool said %s", got)
					}
					if front == elder {
						srv.AddTool(backendtest.Tool{Name: "late"})
						<-changed
					}
					if n := srv.Executions("echo"); n != 1 {
						t.Errorf("%d executions, want 1", n)
					}
					_ = s.Close()
					_ = in.Close()
					go func() { _, _ = io.Copy(io.Discard, out) }()
					if err := <-ended; err != nil {
						t.Errorf("it ended with %v", err)
					}
					_ = fromServer.Close()
					if n := r.sessions.Len(); front == elder && n != 0 {
						t.Errorf("%d sessions are left", n)
					}
				})
			})
		}
	}
}

func TestStdioKeepsToLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pretty := "{\n\t\"jsonrpc\": \"2.0\",\r\n  \"id\": 7, \"result\": {\"content\": [], \"text\": \"a\\nb\"}\n}"
		srv := sample(t, "one", backendtest.WithTool("pretty", nil), backendtest.WithHandler(func(w http.ResponseWriter, _ *http.Request, m backendtest.Message) bool {
			if m.Name == "pretty" {
				w.Header().Set("Content-Type", "application/json")
				_, _ = io.WriteString(w, pretty)
			}
			return m.Name == "pretty"
		}))
		r := newRig(t, settings{gateway: func(o *gateway.Options) { o.Limits.RequestBytes = 1000 }}, srv)
		synctest.Wait()
		c := r.console("/mcp/a")
		c.say(t, "not json")
		if got := c.hear(t); !strings.Contains(got, "-32700") {
			t.Errorf("%s", got)
		}
		c.say(t, `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"x":"`+strings.Repeat("x", 2000)+`"}}`)
		if got := c.hear(t); !strings.Contains(got, "-32600") {
			t.Errorf("%s", got)
		}
		c.say(t, fmt.Sprintf(`{"jsonrpc":"2.0","id":"u","method":"tools/call","params":{"name":"echo","arguments":{"y":2},%s}}`, meta))
		if got := c.hear(t); !strings.HasPrefix(got, `{"jsonrpc":"2.0","id":"u","result":`) || !strings.Contains(got, `\"y\":2`) {
			t.Errorf("%s", got)
		}
		c.say(t, fmt.Sprintf(`{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"pretty",%s}}`, meta))
		if diff := cmp.Diff(strings.NewReplacer("\r", " ", "\n", " ").Replace(pretty), c.hear(t)); diff != "" {
			t.Error(diff)
		}
		c.leave(t)
	})
}

func TestStdioCancels(t *testing.T) {
	for _, front := range []string{modern, elder} {
		synctest.Test(t, func(t *testing.T) {
			srv, step, left := worker(t, elder)
			r := newRig(t, settings{}, srv)
			synctest.Wait()
			c := r.console("/mcp")
			own := ""
			if front == elder {
				c.say(t, `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}`)
				c.hear(t)
				c.say(t, `{"jsonrpc":"2.0","method":"notifications/initialized"}`)
			} else {
				own = "," + meta[len(`"_meta":{`):len(meta)-1]
			}
			c.say(t, `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"a_work","_meta":{"progressToken":"p"`+own+`}}}`)
			step <- struct{}{}
			if diff := cmp.Diff(1.0, progressOf(t, []byte(c.hear(t)))); diff != "" {
				t.Error(diff)
			}
			c.say(t, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}`)
			<-left
			c.leave(t)
			if n := r.g.InFlight(); n != 0 {
				t.Errorf("%d in flight", n)
			}
		})
	}
}
