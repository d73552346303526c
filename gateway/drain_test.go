package gateway_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/backendtest"
	"github.com/recloser-mcp/recloser/gateway"
)

func TestTraceSeesEveryRequestOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []string
		type key struct{}
		srv := sample(t, "one", backendtest.WithFault(backendtest.Status(503, backendtest.Forever).ForName("who")))
		r := newRig(t, settings{
			gateway: func(o *gateway.Options) {
				o.Trace.Start = func(ctx context.Context, h http.Header, _ gateway.Operation) context.Context {
					return context.WithValue(ctx, key{}, h.Get("Traceparent"))
				}
				o.Trace.End = func(ctx context.Context, o gateway.Operation, _ time.Duration, errorType string) {
					got = append(got, strings.TrimSpace(o.Method+" "+o.Name()+" "+errorType))
				}
			},
			backend: func(_ int, o *backend.Options) {
				o.Trace = &backend.Trace{CallStart: func(ctx context.Context, c backend.CallInfo) context.Context {
					if c.Method == "tools/call" {
						got = append(got, fmt.Sprint("call under ", ctx.Value(key{})))
					}
					return ctx
				}}
			},
		}, srv)
		synctest.Wait()
		id := r.open("/mcp", elder)
		in := []string{"Mcp-Session-Id", id, "Traceparent", "tp"}
		for _, body := range []string{
			`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a_echo"}}`,
			`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a_who"}}`,
			`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a_none"}}`,
			`{"jsonrpc":"2.0","id":1,"method":"made/up"}`,
			`{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"mem://one"}}`,
			`{"jsonrpc":"2.0","method":"notifications/whatever"}`,
		} {
			r.post("/mcp", body, in...)
		}
		if diff := cmp.Diff([]string{"initialize", "call under tp", "tools/call a_echo", "call under tp", "tools/call a_who server_error",
			"tools/call a_none -32602", "_OTHER  -32601", "resources/read mem://one"}, got); diff != "" {
			t.Error(diff)
		}
	})
}

func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := sample(t, "one", backendtest.WithTool("slow", backendtest.Slow(10*time.Second)))
		r := newRig(t, settings{}, srv)
		synctest.Wait()
		id := r.open("/mcp", elder)
		get := r.stream(r.request("GET", "/mcp", "", "Mcp-Session-Id", id))
		listen := r.stream(r.request("POST", "/mcp", `{"jsonrpc":"2.0","id":"L","method":"subscriptions/listen","params":{"notifications":{"toolsListChanged":true},`+meta+`}}`,
			modernHeaders("subscriptions/listen", "")...))
		listen.next(t)
		answered := make(chan answer)
		go func() { answered <- r.ask(elder, id, "/mcp", "tools/call", "", `"name":"a_slow"`) }()
		if err := srv.WaitInFlight(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		early, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := r.g.Shutdown(early); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown with a call in flight: %v", err)
		}
		if e, ok := get.next(t); ok {
			t.Errorf("the GET stream goes on: %s", e)
		}
		if e, _ := listen.next(t); string(e) != `{"jsonrpc":"2.0","id":"L","result":{"resultType":"complete","_meta":{"io.modelcontextprotocol/subscriptionId":"L"}}}` {
			t.Errorf("the subscription ended with %s", e)
		}
		if e, ok := listen.next(t); ok {
			t.Errorf("the subscription goes on: %s", e)
		}
		if time.Since(start) != time.Second {
			t.Errorf("standing streams ended after %s", time.Since(start))
		}
		a := r.ask(elder, id, "/mcp", "tools/list", "", "")
		if a.status != 503 || a.header.Get("Retry-After") == "" || !bytes.Contains([]byte(a.body), []byte("-31001")) {
			t.Errorf("a new request: %d %s", a.status, a.body)
		}
		if err := r.g.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if got := <-answered; got.status != 200 || got.rpc(t).Error != nil {
			t.Errorf("the call in flight: %s", got.body)
		}
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("drained after %s, want 10s", took)
		}
	})
}
