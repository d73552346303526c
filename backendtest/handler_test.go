package backendtest_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/recloser-mcp/recloser/backendtest"
)

func TestHandlerAnswersByHand(t *testing.T) {
	eachFlavour(t, func(t *testing.T, start func(...backendtest.Option) *backendtest.Server) {
		srv := start(backendtest.WithHandler(func(w http.ResponseWriter, _ *http.Request, m backendtest.Message) bool {
			if m.Method != "tools/call" || m.Name != "odd" {
				return false
			}
			w.Header().Set("Content-Type", "text/html")
			_, _ = w.Write(m.RPCResult(json.RawMessage(`{"odd":true}`)))
			return true
		}))
		c := srv.Client()
		odd := strings.Replace(call, `"name":"echo"`, `"name":"odd"`, 1)
		res, body, err := post(t, srv, c, odd, "MCP-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/call", "Mcp-Name", "odd")
		if err != nil || res.Header.Get("Content-Type") != "text/html" || body != `{"jsonrpc":"2.0","id":7,"result":{"odd":true}}` {
			t.Errorf("%v %q %v", res, body, err)
		}
		mustCall(t, srv, c)
		if srv.Requests("tools/call") != 2 || srv.Executions("") != 1 {
			t.Error(srv.Requests("tools/call"), srv.Executions(""))
		}
	})
}

func TestMiddlewareWrapsTheServer(t *testing.T) {
	eachFlavour(t, func(t *testing.T, start func(...backendtest.Option) *backendtest.Server) {
		var order []string
		mw := func(name string) backendtest.Option {
			return backendtest.WithHTTPMiddleware(func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					m, ok := backendtest.MessageFrom(r.Context())
					order = append(order, name+" "+m.Method)
					if name == "inner" && ok && r.Header.Get("X-Stop") != "" {
						w.WriteHeader(http.StatusUnauthorized)
						return
					}
					next.ServeHTTP(w, r)
				})
			})
		}
		srv := start(mw("outer"), mw("inner"), backendtest.WithFault(backendtest.Status(500, 1)))
		c := srv.Client()
		res, _, err := post(t, srv, c, call, append(modernHeaders, "X-Stop", "1")...)
		if err != nil || res.StatusCode != http.StatusUnauthorized {
			t.Error(res, err)
		}
		res, _, err = callEcho(t, srv, c)
		if err != nil || res.StatusCode != http.StatusInternalServerError {
			t.Error(res, err)
		}
		mustCall(t, srv, c)
		want := strings.Repeat("outer tools/call,inner tools/call,", 3)
		if d := cmp.Diff(want, strings.Join(order, ",")+","); d != "" {
			t.Error(d)
		}
		if srv.Refused("tools/call") != 1 || srv.Requests("tools/call") != 3 {
			t.Error(srv.Refused("tools/call"), srv.Requests("tools/call"))
		}
	})
}

func TestMessageFromAnyContext(t *testing.T) {
	if _, ok := backendtest.MessageFrom(t.Context()); ok {
		t.Error("a message out of nothing")
	}
}

func TestTLS(t *testing.T) {
	eachFlavour(t, func(t *testing.T, start func(...backendtest.Option) *backendtest.Server) {
		srv := start(backendtest.WithTLS(func(c *tls.Config) { c.MinVersion = tls.VersionTLS13 }),
			backendtest.WithFault(backendtest.ResetPeer(1)))
		if !strings.HasPrefix(srv.URL, "https://") || len(srv.CertPEM()) == 0 {
			t.Error(srv.URL)
		}
		c := srv.Client()
		if _, _, err := callEcho(t, srv, c); err == nil {
			t.Error("no reset")
		}
		mustCall(t, srv, c)
		distrusting := &http.Transport{DialContext: srv.Dial}
		defer distrusting.CloseIdleConnections()
		_, _, err := callEcho(t, srv, &http.Client{Transport: distrusting})
		var untrusted *tls.CertificateVerificationError
		if !errors.As(err, &untrusted) {
			t.Errorf("error %v", err)
		}
	})
	if srv := backendtest.NewServer(t); srv.CertPool() != nil || srv.CertPEM() != nil {
		t.Error("a certificate without TLS")
	}
}

func TestResetUnderTLSIsARealReset(t *testing.T) {
	srv := backendtest.NewServer(t, backendtest.WithTLS(), backendtest.WithFault(backendtest.ResetPeer(1)))
	if _, _, err := callEcho(t, srv, srv.Client()); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("error %v", err)
	}
}

func TestInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := backendtest.NewServer(t, backendtest.WithPipe(), backendtest.WithTool("echo", backendtest.Slow(time.Minute)))
		c := srv.Client()
		var answers atomic.Int32
		for range 20 {
			go func() {
				if res, _, err := callEcho(t, srv, c); err == nil && res.StatusCode == http.StatusOK {
					answers.Add(1)
				}
			}()
		}
		synctest.Wait()
		if srv.InFlight() != 20 {
			t.Error(srv.InFlight())
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if srv.InFlight() != 0 || srv.MaxInFlight() != 20 || answers.Load() != 20 {
			t.Error(srv.InFlight(), srv.MaxInFlight(), answers.Load())
		}
		for range 5 {
			mustCallSlow(t, srv, c)
		}
		if srv.MaxInFlight() != 20 {
			t.Error(srv.MaxInFlight())
		}
	})
}

func mustCallSlow(t *testing.T, srv *backendtest.Server, c *http.Client) {
	t.Helper()
	begin := time.Now()
	mustCall(t, srv, c)
	if took := time.Since(begin); took != time.Minute {
		t.Errorf("took %v", took)
	}
}

// A client that leaves ends the tool on 2026-07-28, where the answer's stream is
// the request's life.
func TestLeavingEndsTheTool(t *testing.T) {
	for _, f := range flavours {
		t.Run(f.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ended := make(chan error, 1)
				srv := backendtest.NewServer(t, append(f.opts, backendtest.WithPipe(),
					backendtest.WithTool("echo", func(ctx context.Context, _ json.RawMessage) (any, error) {
						<-ctx.Done()
						ended <- ctx.Err()
						return nil, ctx.Err()
					}))...)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				req, _ := http.NewRequestWithContext(ctx, http.MethodPost, srv.URL, strings.NewReader(call))
				for i := 0; i+1 < len(modernHeaders); i += 2 {
					req.Header.Set(modernHeaders[i], modernHeaders[i+1])
				}
				req.Header.Set("Content-Type", "application/json")
				req.Header.Set("Accept", "application/json, text/event-stream")
				if res, err := srv.Client().Do(req); err == nil {
					_ = res.Body.Close()
					t.Error("answered")
				}
				if err := <-ended; !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
			})
		})
	}
}

func TestInputSchemaAndPages(t *testing.T) {
	eachFlavour(t, func(t *testing.T, start func(...backendtest.Option) *backendtest.Server) {
		schema := `{"type":"object","properties":{"region":{"type":"string","x-mcp-header":"Region"}}}`
		srv := start(backendtest.WithPageSize(1), backendtest.WithName("shop"), backendtest.WithInstructions("Buy."),
			backendtest.WithTools(
				backendtest.Tool{Name: "a", Title: "A", Description: "first", InputSchema: json.RawMessage(schema)},
				backendtest.Tool{Name: "b", OutputSchema: json.RawMessage(`{"type":"object"}`)}))
		c := srv.Client()
		list := func(cursor string) string {
			body := `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{` + cursor + meta + `}}`
			_, got, err := post(t, srv, c, body, "MCP-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/list")
			if err != nil {
				t.Fatal(err)
			}
			return got
		}
		page := list("")
		for _, want := range []string{`"name":"a"`, `"title":"A"`, `"description":"first"`, `"x-mcp-header":"Region"`, `"nextCursor"`} {
			if !strings.Contains(page, want) {
				t.Errorf("%s is not in %s", want, page)
			}
		}
		client, err := dialOfficial(t.Context(), srv, c, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer client.close()
		tools, err := client.tools(t.Context())
		if d := cmp.Diff([]string{"a", "b"}, tools); d != "" || err != nil {
			t.Error(d, err)
		}
		init := client.(officialClient).InitializeResult()
		if init.ServerInfo.Name != "shop" || init.Instructions != "Buy." {
			t.Error(init.ServerInfo, init.Instructions)
		}
	})
}

// A tool in a session is told of the request that called it, and not of the one
// that opened the session.
func TestAToolKnowsTheMessageThatCalledIt(t *testing.T) {
	for _, f := range flavours {
		t.Run(f.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := backendtest.NewServer(t, append(f.opts, backendtest.WithPipe(), backendtest.WithTool("echo", func(ctx context.Context, _ json.RawMessage) (any, error) {
					m, _ := backendtest.MessageFrom(ctx)
					return m.Method + " " + m.Session + " " + string(m.ID), nil
				}))...)
				c := srv.Client()
				first, second := openSession(t, srv, c), openSession(t, srv, c)
				for i, id := range []string{first, second, first} {
					body := strings.Replace(legacyCall, `"id":3`, fmt.Sprintf(`"id":%d`, i), 1)
					_, got, err := post(t, srv, c, body, "Mcp-Session-Id", id, "MCP-Protocol-Version", "2025-11-25")
					if want := fmt.Sprintf(`"text":"tools/call %s %d"`, id, i); err != nil || !strings.Contains(got, want) {
						t.Errorf("%s, %v; want %s", got, err, want)
					}
				}
			})
		})
	}
}
