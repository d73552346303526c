package gateway_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/recloser-mcp/recloser/backendtest"
)

// TestQuestionsWhoseIDsLookAlike come at once from a server that counts in
// numbers and in strings: each has a name of its own, and its own answer.
func TestQuestionsWhoseIDsLookAlike(t *testing.T) {
	for _, front := range []string{modern, elder} {
		t.Run(front, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ids := []string{`1`, `"1"`, `"q1"`, `"\u0031 \" é"`, `-1`, `""`}
				var mu sync.Mutex
				answers := map[string]string{}
				all := make(chan struct{})
				c := cell{front, elder, "/mcp"}
				_, r := c.serve(t, settings{}, backendtest.WithHandler(func(w http.ResponseWriter, q *http.Request, m backendtest.Message) bool {
					switch m.Method {
					case backendtest.MethodResponse:
						mu.Lock()
						defer mu.Unlock()
						got := parse(t, m.Body)
						if answers[string(got.ID)] += string(got.Result); len(answers) == len(ids) {
							close(all)
						}
						w.WriteHeader(http.StatusAccepted)
						return true
					case "tools/call":
						w.Header().Set("Content-Type", "text/event-stream")
						for _, id := range ids {
							message, _ := json.Marshal("for " + id)
							_, _ = io.WriteString(w, `data: {"jsonrpc":"2.0","id":`+id+`,"method":"elicitation/create","params":{"message":`+string(message)+`,"requestedSchema":{}}}`+"\n\n")
						}
						_ = http.NewResponseController(w).Flush()
						select {
						case <-all:
						case <-q.Context().Done():
						}
						_, _ = io.WriteString(w, "data: "+string(m.RPCResult(json.RawMessage(`{"content":[{"type":"text","text":"done"}]}`)))+"\n\n")
						return true
					}
					return false
				}))
				h := c.hand(r, `{"elicitation":{}}`)
				answer := func(params json.RawMessage) string {
					var p struct{ Message string }
					if err := json.Unmarshal(params, &p); err != nil {
						t.Error(err)
					}
					said, _ := json.Marshal(p.Message)
					return `{"action":"accept","content":` + string(said) + `}`
				}
				var last message
				if front == elder {
					got := h.converse(h.call(`"c"`, "echo", ""), func(m message) string { return `"result":` + answer(m.Params) })
					last = got[len(got)-1]
				} else {
					params := ""
					for range len(ids) + 1 {
						got := h.exchange(h.call(`"c"`, "echo", params))
						if last = got[len(got)-1]; !strings.Contains(last.raw, "input_required") {
							break
						}
						in := last.inputs(t)
						if n := strings.Count(string(last.Result), `"method":"elicitation/create"`); n != len(in.InputRequests) {
							t.Fatalf("%d questions have %d names: %s", n, len(in.InputRequests), last.Result)
						}
						var responses []string
						for key, q := range in.InputRequests {
							name, _ := json.Marshal(key)
							responses = append(responses, string(name)+":"+answer(q.Params))
						}
						params = fmt.Sprintf(`"inputResponses":{%s},"requestState":%q`, strings.Join(responses, ","), in.RequestState)
					}
				}
				if last.text(t) != "done" {
					t.Error(last.raw)
				}
				want := map[string]string{}
				for _, id := range ids {
					said, _ := json.Marshal("for " + id)
					want[id] = `{"action":"accept","content":` + string(said) + `}`
				}
				if diff := cmp.Diff(want, answers); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

// TestAQuestionOnTheStandingStreamNeverReachesAnother has two clients without a
// session at one elder backend, which asks on the stream that both have in common.
// Whose call it is about nobody can tell: it is refused, or reaches its own.
func TestAQuestionOnTheStandingStreamNeverReachesAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := cell{modern, elder, "/mcp"}
		begun := make(chan struct{}, 2)
		ask := make(chan struct{})
		srv, r := c.serve(t, settings{}, backendtest.WithMCPGo(), backendtest.WithTool("me", func(ctx context.Context, args json.RawMessage) (any, error) {
			begun <- struct{}{}
			<-ask
			return backendtest.Sample(ctx, string(args))
		}))
		join := func(name string) *party {
			return c.join(t, r, &mcp.ClientOptions{CreateMessageHandler: func(_ context.Context, q *mcp.CreateMessageRequest) (*mcp.CreateMessageResult, error) {
				text := q.Params.Messages[0].Content.(*mcp.TextContent).Text
				if !strings.Contains(text, name) {
					t.Errorf("%s was asked %s", name, text)
				}
				return &mcp.CreateMessageResult{Model: "m", Role: "assistant", Content: &mcp.TextContent{Text: name}}, nil
			}})
		}
		parties := map[string]*party{"ann": join("ann"), "bob": join("bob")}
		start := time.Now()
		var wg sync.WaitGroup
		for _, name := range slices.Sorted(maps.Keys(parties)) {
			wg.Go(func() {
				res, err := parties[name].CallTool(t.Context(), &mcp.CallToolParams{Name: "a_me", Arguments: map[string]any{"me": name}})
				if err != nil || !res.IsError && res.Content[0].(*mcp.TextContent).Text != name {
					t.Errorf("%s: %+v, %v", name, res, err)
				}
			})
			<-begun
		}
		close(ask)
		wg.Wait()
		if took := time.Since(start); took > time.Minute {
			t.Errorf("it took %s", took)
		}
		if n := srv.Executions("me"); n != 2 {
			t.Errorf("%d executions, want 2", n)
		}
	})
}
