package gateway_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/recloser-mcp/recloser/backendtest"
)

func TestCalls(t *testing.T) {
	eachCell(t, func(t *testing.T, c cell) {
		srv, r := c.serve(t, settings{})
		p := c.join(t, r, &mcp.ClientOptions{})
		res, err := p.CallTool(t.Context(), &mcp.CallToolParams{Name: c.public("echo"), Arguments: json.RawMessage(`{"n":12345678901234567890}`)})
		if err != nil || res.Content[0].(*mcp.TextContent).Text != `{"n":12345678901234567890}` {
			t.Errorf("%v %v", res, err)
		}
		if n := srv.Executions("echo"); n != 1 {
			t.Errorf("%d executions, want 1", n)
		}
	})
}

// scripted answers calls of the tool "script" by hand: lines are messages of the
// stream, in which TOKEN is the progress token, if there is one, and ID the id of
// the request. The last one is the response.
func scripted(lines ...string) backendtest.Option {
	return backendtest.WithHandler(func(w http.ResponseWriter, _ *http.Request, m backendtest.Message) bool {
		if m.Name != "script" {
			return false
		}
		var p struct {
			Meta struct {
				Token json.RawMessage `json:"progressToken"`
			} `json:"_meta"`
		}
		_ = json.Unmarshal(m.Params, &p)
		w.Header().Set("Content-Type", "text/event-stream")
		for _, line := range lines {
			if p.Meta.Token == nil && strings.Contains(line, "TOKEN") {
				continue
			}
			_, _ = io.WriteString(w, "event: message\ndata: "+strings.NewReplacer("TOKEN", string(p.Meta.Token), "ID", string(m.ID)).Replace(line)+"\n\n")
			_ = http.NewResponseController(w).Flush()
		}
		return true
	})
}

func TestProgressArrivesInOrderAndAsItWas(t *testing.T) {
	params := []string{
		`{"progressToken":TOKEN,"progress":0.10,"total":1e2,"message":"caf\u00e9 \/ café"}`,
		`{ "x":{"b":[ ],"a":12345678901234567890} , "progress" : 2, "progressToken" : TOKEN }`,
		`{"progress":3,"_meta":{"k":"v","progressToken":"none of ours"},"progressToken":TOKEN,"z":null}`,
	}
	var lines []string
	for _, p := range params {
		lines = append(lines, `{"jsonrpc":"2.0","method":"notifications/progress","params":`+p+`}`)
	}
	lines = append(lines, `{"jsonrpc":"2.0","id":ID,"result":{"content":[{"type":"text","text":"done"}],"resultType":"complete"}}`)
	eachCell(t, func(t *testing.T, c cell) {
		_, r := c.serve(t, settings{}, scripted(lines...), backendtest.WithTool("script", nil))
		h := c.hand(r, `{}`)
		for _, token := range []string{`"p"`, `17`, `"a \"b\" \u00e9"`} {
			all := h.exchange(h.call(`"c1"`, "script", "", `"progressToken":`+token))
			if len(all) != 4 {
				t.Fatalf("%d messages, want 4: %v", len(all), all)
			}
			for i, m := range all[:3] {
				want := strings.Replace(params[i], "TOKEN", token, 1)
				if diff := cmp.Diff(want, string(m.Params)); m.Method != "notifications/progress" || diff != "" {
					t.Errorf("%s %s", m.Method, diff)
				}
			}
			if all[3].text(t) != "done" || string(all[3].ID) != `"c1"` {
				t.Error(all[3].raw)
			}
		}
	})
}

func TestProgressReachesTheHandlerOfAnSDK(t *testing.T) {
	eachCell(t, func(t *testing.T, c cell) {
		_, r := c.serve(t, settings{}, backendtest.WithTool("work", func(ctx context.Context, _ json.RawMessage) (any, error) {
			for i := range 5 {
				if err := backendtest.Progress(ctx, float64(i+1), 5, fmt.Sprint("step ", i)); err != nil {
					return nil, err
				}
			}
			return "done", nil
		}))
		p := c.join(t, r, &mcp.ClientOptions{})
		if text, err := p.call(t.Context(), "work", mcp.Meta{"progressToken": "mine"}); err != nil || text != "done" {
			t.Errorf("%q, %v", text, err)
		}
		want := []string{"progress mine 1 step 0", "progress mine 2 step 1", "progress mine 3 step 2", "progress mine 4 step 3", "progress mine 5 step 4"}
		if diff := cmp.Diff(want, p.told()); diff != "" {
			t.Error(diff)
		}
		if text, err := p.call(t.Context(), "work", nil); err != nil || text != "done" {
			t.Errorf("%q, %v", text, err)
		}
		if got := p.told(); got != nil {
			t.Errorf("progress that nobody asked for: %q", got)
		}
	})
}

func TestACancelledCallIsCancelledAtTheBackend(t *testing.T) {
	eachCell(t, func(t *testing.T, c cell) {
		ended := make(chan error, 1)
		srv, r := c.serve(t, settings{}, backendtest.WithTool("wait", func(ctx context.Context, _ json.RawMessage) (any, error) {
			_ = backendtest.Progress(ctx, 1, 2, "begun")
			<-ctx.Done()
			ended <- ctx.Err()
			return nil, ctx.Err()
		}))
		h := c.hand(r, `{}`)
		s := r.stream(h.call(`"mine"`, "wait", "", `"progressToken":"p"`))
		s.message(t)
		call, _ := srv.Last("tools/call")
		if c.front == modern {
			s.close()
		} else if a := h.say(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"mine","reason":"enough"}}`); a.status != 202 {
			t.Errorf("%d %s", a.status, a.body)
		}
		<-ended
		synctest.Wait()
		var sent struct{ ID json.RawMessage }
		if err := json.Unmarshal(call.Body, &sent); err != nil {
			t.Fatal(err)
		}
		note, found := srv.Last("notifications/cancelled")
		if c.back == modern {
			if found {
				t.Errorf("a backend of 2026-07-28 was told %s", note.Body)
			}
		} else {
			var n struct {
				Params struct{ RequestID json.RawMessage }
			}
			if err := json.Unmarshal(note.Body, &n); err != nil || string(n.Params.RequestID) != string(sent.ID) || note.Session != call.Session {
				t.Errorf("the backend was told %q for its request %s", note.Body, sent.ID)
			}
			if n := srv.Requests("notifications/cancelled"); n != 1 {
				t.Errorf("%d cancellations, want 1", n)
			}
		}
		if srv.Executions("wait") != 1 || srv.InFlight() != 0 {
			t.Errorf("%d executions, %d in flight", srv.Executions("wait"), srv.InFlight())
		}
		// Nothing comes behind a cancellation, and the next call is served.
		if a := r.do(h.call(`"next"`, "who", "")); a.text(t) != "one" {
			t.Error(a.body)
		}
	})
}

func TestChangedListsAreAnnounced(t *testing.T) {
	eachCell(t, func(t *testing.T, c cell) {
		srv, r := c.serve(t, settings{})
		changed := make(chan struct{}, 10)
		p := c.join(t, r, &mcp.ClientOptions{ToolListChangedHandler: func(context.Context, *mcp.ToolListChangedRequest) { changed <- struct{}{} }})
		srv.AddTool(backendtest.Tool{Name: "new", Func: backendtest.Text("fresh")})
		<-changed
		if text, err := p.call(t.Context(), "new", nil); err != nil || text != "fresh" {
			t.Errorf("%q, %v", text, err)
		}
		srv.RemoveTool("new")
		<-changed
		for tool, err := range p.Tools(t.Context(), nil) {
			if err != nil || tool.Name == c.public("new") {
				t.Errorf("%v, %v", tool, err)
			}
		}
	})
}

func TestLargeResultsArriveWhole(t *testing.T) {
	text := strings.Repeat("0123456789abcdef", 1<<17) // 2 MiB
	for name, o := range map[string]backendtest.Option{"sse": backendtest.WithSDK(), "json": backendtest.WithJSON()} {
		t.Run(name, func(t *testing.T) {
			eachCell(t, func(t *testing.T, c cell) {
				srv, r := c.serve(t, settings{}, o, backendtest.WithTool("big", backendtest.Text(text)))
				p := c.join(t, r, &mcp.ClientOptions{})
				if got, err := p.call(t.Context(), "big", nil); err != nil || got != text {
					t.Errorf("%d bytes, %v", len(got), err)
				}
				if n := srv.Executions("big"); n != 1 {
					t.Errorf("%d executions, want 1", n)
				}
			})
		})
	}
}
