package gateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/recloser-mcp/recloser/backendtest"
)

// patient is a tool that waits until it is let go, and counts its ends.
func patient(let chan struct{}) backendtest.Option {
	return backendtest.WithTool("patient", func(ctx context.Context, args json.RawMessage) (any, error) {
		_ = backendtest.Progress(ctx, 1, 2, "begun")
		select {
		case <-let:
			return string(args), nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})
}

func TestRequestIDsThatAreInFlightAlready(t *testing.T) {
	eachCell(t, func(t *testing.T, c cell) {
		let := make(chan struct{})
		srv, r := c.serve(t, settings{}, patient(let))
		h := c.hand(r, `{}`)
		first := r.stream(h.call(`"same"`, "patient", `"arguments":{"n":1}`, `"progressToken":1`))
		first.message(t)
		// Each has an answer of its own: nothing of one goes to the other.
		second := r.stream(h.call(`"same"`, "patient", `"arguments":{"n":2}`, `"progressToken":1`))
		second.message(t)
		close(let)
		for i, s := range []*stream{second, first} {
			before, last := s.until(t, `"same"`)
			if last.text(t) != fmt.Sprintf(`{"n":%d}`, 2-i) || len(before) > 0 {
				t.Error(before, last.raw)
			}
			if _, more := s.next(t); more {
				t.Error("something comes behind the response")
			}
		}
		if n := srv.Executions("patient"); n != 2 {
			t.Errorf("%d executions, want 2", n)
		}
		// What has ended is no hindrance.
		if all := h.exchange(h.call(`"same"`, "patient", `"arguments":{"n":3}`)); all[len(all)-1].text(t) != `{"n":3}` {
			t.Error(all[len(all)-1].raw)
		}
	})
}

func TestRepliesThatNobodyAskedFor(t *testing.T) {
	for _, back := range []string{modern, elder} {
		t.Run(back, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := cell{elder, back, "/mcp"}
				srv, r := c.serve(t, settings{}, asking()...)
				h := c.hand(r, `{"elicitation":{}}`)
				replies := func() {
					t.Helper()
					for _, id := range []string{`1`, `-7`, `0`, `""`, `"x"`, `12345678901234567890`, `"` + strings.Repeat("x", 10_000) + `"`} {
						h.reply(json.RawMessage(id), `"result":{"action":"accept"}`)
						h.reply(json.RawMessage(id), `"error":{"code":-32603,"message":"no"}`)
					}
				}
				replies()
				s := r.stream(h.call(`"c"`, "form", ""))
				q := s.message(t)
				for range 2 { // the second one is too late
					h.reply(q.ID, `"result":{"action":"accept","content":{"said":"me"}}`)
				}
				replies()
				if _, last := s.until(t, `"c"`); last.text(t) != `accept{"said":"me"}` {
					t.Error(last.raw)
				}
				replies()
				want := 1 // which a backend of 2026-07-28 gets with its request
				if back == modern {
					want = 0
				}
				if n := srv.Requests(backendtest.MethodResponse); n != want {
					t.Errorf("%d replies at the backend, want %d", n, want)
				}
				if n := srv.Executions("form"); n != c.runs(1) {
					t.Errorf("%d executions, want %d", n, c.runs(1))
				}
				if a := r.do(h.call(`2`, "who", "")); a.text(t) != "one" {
					t.Error(a.body)
				}
			})
		})
	}
}

func TestRepliesOfClientsThatSendNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := cell{modern, elder, "/mcp"}
		srv, r := c.serve(t, settings{}, asking()...)
		a := r.post("/mcp", `{"jsonrpc":"2.0","id":1,"result":{"action":"accept"}}`, modernHeaders("", "")...)
		if a.status != 400 {
			t.Errorf("%d %s", a.status, a.body)
		}
		if srv.Requests(backendtest.MethodResponse) != 0 {
			t.Error("it went on")
		}
	})
}

func TestProgressWithTokensThatAreNobodys(t *testing.T) {
	eachCell(t, func(t *testing.T, c cell) {
		srv, r := c.serve(t, settings{}, backendtest.WithTool("script", nil), scripted(
			`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"nobody's","progress":1}}`,
			`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progress":1}}`,
			`{"jsonrpc":"2.0","method":"notifications/progress"}`,
			`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":TOKEN,"progress":2}}`,
			`{"jsonrpc":"2.0","id":ID,"result":{"content":[{"type":"text","text":"done"}],"resultType":"complete"}}`))
		h := c.hand(r, `{}`)
		all := h.exchange(h.call(`1`, "script", "", `"progressToken":"mine"`))
		var mine []string
		for _, m := range all {
			if strings.Contains(string(m.Params), `"mine"`) {
				mine = append(mine, string(m.Params))
			}
			if c.front == modern && c.back == elder && strings.Contains(m.raw, "nobody's") {
				t.Errorf("a token of somebody else in the session that clients share: %s", m.raw)
			}
		}
		if len(mine) != 1 || mine[0] != `{"progressToken":"mine","progress":2}` || all[len(all)-1].text(t) != "done" {
			t.Errorf("%v", all)
		}
		all = h.exchange(h.call(`2`, "script", ""))
		if c.front == modern && c.back == elder && len(all) != 1 || all[len(all)-1].text(t) != "done" {
			t.Errorf("without a token: %v", all)
		}
		if c.front == elder {
			for _, params := range []string{`{"progressToken":"mine","progress":1}`, `{"progressToken":77,"progress":1}`, `{"progress":1}`} {
				if a := h.say(`{"jsonrpc":"2.0","method":"notifications/progress","params":` + params + `}`); a.status != 202 || a.body != "" {
					t.Errorf("%s: %d %s", params, a.status, a.body)
				}
			}
			if n := srv.Requests("notifications/progress"); n != 0 {
				t.Errorf("%d reached the backend", n)
			}
		}
		if a := r.do(h.call(`2`, "who", "")); a.text(t) != "one" {
			t.Error(a.body)
		}
	})
}

func TestAnswersAfterACancellation(t *testing.T) {
	for _, back := range []string{modern, elder} {
		t.Run(back, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := cell{elder, back, "/mcp"}
				srv, r := c.serve(t, settings{}, asking()...)
				h := c.hand(r, `{"elicitation":{}}`)
				s := r.stream(h.call(`"c"`, "form", ""))
				q := s.message(t)
				if a := h.say(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"c"}}`); a.status != 202 {
					t.Errorf("%d %s", a.status, a.body)
				}
				for more := true; more; { // it ends, with or without a word
					_, more = s.next(t)
				}
				synctest.Wait()
				h.reply(q.ID, `"result":{"action":"accept"}`)
				synctest.Wait()
				if n := srv.Requests(backendtest.MethodResponse); n != 0 {
					t.Errorf("%d answers reached the backend", n)
				}
				if srv.Executions("form") != 1 || srv.InFlight() != 0 || r.g.InFlight() != 0 {
					t.Errorf("%d executions; in flight: %d at the backend, %d at the gateway", srv.Executions("form"), srv.InFlight(), r.g.InFlight())
				}
				if a := r.do(h.call(`2`, "who", "")); a.text(t) != "one" {
					t.Error(a.body)
				}
			})
		})
	}
}

// TestAQuestionThatIsTakenBack is one of a server that does not want the answer
// any more: the client learns that under the id it was asked with.
func TestAQuestionThatIsTakenBack(t *testing.T) {
	for _, front := range []string{modern, elder} {
		t.Run(front, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := cell{front, elder, "/mcp"}
				srv, r := c.serve(t, settings{}, backendtest.WithTool("hasty", func(ctx context.Context, _ json.RawMessage) (any, error) {
					ask, cancel := context.WithTimeout(ctx, time.Minute)
					defer cancel()
					if _, err := backendtest.Elicit(ask, "quick!", form); errors.Is(err, context.DeadlineExceeded) {
						time.Sleep(5 * time.Minute) // the SDK says so by the by
						return "too late", nil
					}
					return "in time", nil
				}))
				h := c.hand(r, `{"elicitation":{}}`)
				if front == modern {
					all := h.exchange(h.call(`1`, "hasty", ""))
					in := all[len(all)-1].inputs(t)
					time.Sleep(2 * time.Minute)
					all = h.exchange(h.call(`2`, "hasty", in.answered(`{"action":"accept"}`)))
					if got := all[len(all)-1].text(t); got != "too late" {
						t.Error(got)
					}
				} else {
					s := r.stream(h.call(`"c"`, "hasty", ""))
					q, taken := s.message(t), s.message(t)
					var p struct{ RequestID json.RawMessage }
					if err := json.Unmarshal(taken.Params, &p); err != nil || taken.Method != "notifications/cancelled" || string(p.RequestID) != string(q.ID) {
						t.Errorf("asked with %s, taken back with %s", q.raw, taken.raw)
					}
					h.reply(q.ID, `"result":{"action":"accept"}`)
					if _, last := s.until(t, `"c"`); last.text(t) != "too late" {
						t.Error(last.raw)
					}
					if n := srv.Requests(backendtest.MethodResponse); n != 0 {
						t.Errorf("%d answers reached the backend", n)
					}
				}
				if n := srv.Executions("hasty"); n != 1 {
					t.Errorf("%d executions, want 1", n)
				}
			})
		})
	}
}

func TestAServerThatAsksWhatNobodyAnswers(t *testing.T) {
	for _, method := range []string{"elicitation/create", "sampling/createMessage", "roots/list"} {
		t.Run(strings.ReplaceAll(method, "/", "."), func(t *testing.T) {
			eachCell(t, func(t *testing.T, c cell) {
				params := map[string]string{"sampling/createMessage": `{"maxTokens":1,"messages":[]}`, "elicitation/create": string(question("?").Params)}[method]
				srv, r := c.serve(t, settings{}, backendtest.WithTool("bold", func(ctx context.Context, _ json.RawMessage) (any, error) {
					_, err := backendtest.Ask(ctx, backendtest.Question{Method: method, Params: json.RawMessage(params)})
					if c.back == modern {
						return nil, err // -32021
					}
					return fmt.Sprint("without it: ", err != nil), nil
				}))
				h := c.hand(r, `{}`)
				start := time.Now()
				// An elder client that is asked all the same says what clients say.
				all := h.exchange(h.call(`"c"`, "bold", ""))
				last := all[len(all)-1]
				if c.back == modern {
					if last.Error == nil || last.Error.Code != -32021 {
						t.Error(last.raw)
					}
				} else if last.text(t) != "without it: true" {
					t.Error(last.raw)
				}
				if took := time.Since(start); took > time.Second {
					t.Errorf("it took %s", took)
				}
				if n := srv.Executions("bold"); n != 1 {
					t.Errorf("%d executions, want 1", n)
				}
			})
		})
	}
}
