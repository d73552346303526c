package gateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/recloser-mcp/recloser/backendtest"
)

// parked begins a call of a client of 2026-07-28 at an elder backend, up to its
// question.
func parked(t *testing.T, tool backendtest.ToolFunc, params ...string) (*backendtest.Server, *rig, *hand, inputs) {
	t.Helper()
	c := cell{modern, elder, "/mcp"}
	srv, r := c.serve(t, settings{}, backendtest.WithTool("tool", tool))
	h := c.hand(r, `{"elicitation":{}}`)
	all := h.exchange(h.call(`"first"`, "tool", "", params...))
	return srv, r, h, all[len(all)-1].inputs(t)
}

const yes = `{"action":"accept","content":{"said":"yes"}}`

// TestTheSecondRoundIsARequestOfItsOwn has another id, another progress token and
// no log level: what the first one had is past.
func TestTheSecondRoundIsARequestOfItsOwn(t *testing.T) {
	for _, token := range []string{`"second"`, `2`, ""} {
		t.Run(token, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv, _, h, in := parked(t, func(ctx context.Context, _ json.RawMessage) (any, error) {
					e, err := backendtest.Elicit(ctx, "?", form)
					return string(e.Content), errors.Join(err, backendtest.Progress(ctx, 1, 2, "on"), backendtest.Log(ctx, "error", "l", "said"))
				}, `"progressToken":"first"`, `"io.modelcontextprotocol/logLevel":"debug"`)
				var meta []string
				if token != "" {
					meta = []string{`"progressToken":` + token}
				}
				all := h.exchange(h.call(`"next"`, "tool", in.answered(yes), meta...))
				var progress []string
				for _, m := range all[:len(all)-1] {
					switch m.Method {
					case "notifications/progress":
						var p struct{ ProgressToken json.RawMessage }
						_ = json.Unmarshal(m.Params, &p)
						progress = append(progress, string(p.ProgressToken))
					default:
						t.Errorf("nobody asked for %s", m.raw)
					}
				}
				var want []string
				if token != "" {
					want = []string{token}
				}
				if diff := cmp.Diff(want, progress); diff != "" {
					t.Errorf("progress: %s", diff)
				}
				if last := all[len(all)-1]; string(last.ID) != `"next"` || last.text(t) != `{"said":"yes"}` {
					t.Error(last.raw)
				}
				if n := srv.Executions("tool"); n != 1 {
					t.Errorf("%d executions, want 1", n)
				}
			})
		})
	}
}

func TestACallIsCancelledInItsSecondRound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan struct{})
		srv, r, h, in := parked(t, func(ctx context.Context, _ json.RawMessage) (any, error) {
			if _, err := backendtest.Elicit(ctx, "?", form); err != nil {
				return nil, err
			}
			_ = backendtest.Progress(ctx, 1, 2, "on")
			<-ctx.Done()
			close(ended)
			return nil, ctx.Err()
		}, `"progressToken":1`)
		call, _ := srv.Last("tools/call")
		s := r.stream(h.call(`"next"`, "tool", in.answered(yes), `"progressToken":2`))
		s.message(t)
		s.close()
		<-ended
		synctest.Wait()
		var sent struct{ ID json.RawMessage }
		var n struct {
			Params struct{ RequestID json.RawMessage }
		}
		note, _ := srv.Last("notifications/cancelled")
		if err := errors.Join(json.Unmarshal(call.Body, &sent), json.Unmarshal(note.Body, &n)); err != nil || string(n.Params.RequestID) != string(sent.ID) {
			t.Errorf("the backend was told %q for its request %s", note.Body, sent.ID)
		}
		if srv.InFlight() != 0 || r.g.InFlight() != 0 {
			t.Errorf("in flight: %d at the backend, %d at the gateway", srv.InFlight(), r.g.InFlight())
		}
	})
}

// TestOneOfManyComesBack sends the same answers many times at once.
func TestOneOfManyComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, _, h, in := parked(t, func(ctx context.Context, _ json.RawMessage) (any, error) {
			e, err := backendtest.Elicit(ctx, "?", form)
			return string(e.Content), err
		})
		var good, bad atomic.Int32
		var wg sync.WaitGroup
		for i := range 20 {
			q := h.call(fmt.Sprint(i), "tool", in.answered(yes))
			wg.Go(func() {
				switch all := h.exchange(q); {
				case all[0].Error != nil && all[0].Error.Code == -32602:
					bad.Add(1)
				case all[len(all)-1].text(t) == `{"said":"yes"}`:
					good.Add(1)
				}
			})
		}
		wg.Wait()
		if good.Load() != 1 || bad.Load() != 19 {
			t.Errorf("%d were served and %d refused, want 1 and 19", good.Load(), bad.Load())
		}
		if n, m := srv.Executions("tool"), srv.Requests(backendtest.MethodResponse); n != 1 || m != 1 {
			t.Errorf("%d executions, %d answers at the backend, want 1 and 1", n, m)
		}
	})
}

// TestQuestionsOfTwoBackendsWithOneID are told apart: both servers count from 1.
func TestQuestionsOfTwoBackendsWithOneID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := cell{elder, elder, "/mcp"}
		var servers []*backendtest.Server
		for _, name := range []string{"ann", "bob"} {
			servers = append(servers, sample(t, name, backendtest.WithRevision(elder), backendtest.WithTool("ask", func(ctx context.Context, _ json.RawMessage) (any, error) {
				e, err := backendtest.Elicit(ctx, "for "+name, form)
				return name + string(e.Content), err
			})))
		}
		r := newRig(t, settings{}, servers...)
		synctest.Wait()
		h := c.hand(r, `{"elicitation":{}}`)
		streams := map[string]*stream{}
		asked := map[string]json.RawMessage{}
		for slug, name := range map[string]string{"a": "ann", "b": "bob"} {
			s := r.stream(h.request(`"`+slug+`"`, "tools/call", "", `"name":"`+slug+`_ask"`))
			m := s.message(t)
			if !strings.Contains(string(m.Params), "for "+name) {
				t.Error(m.raw)
			}
			streams[slug], asked[slug] = s, m.ID
		}
		if string(asked["a"]) == string(asked["b"]) {
			t.Fatalf("both are %s", asked["a"])
		}
		for slug, id := range asked {
			h.reply(id, fmt.Sprintf(`"result":{"action":"accept","content":{"said":%q}}`, slug))
		}
		for slug, want := range map[string]string{"a": `ann{"said":"a"}`, "b": `bob{"said":"b"}`} {
			if _, last := streams[slug].until(t, `"`+slug+`"`); last.text(t) != want {
				t.Error(last.raw)
			}
		}
	})
}

// TestABackendThatAsksForEver is given up.
func TestABackendThatAsksForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := cell{elder, modern, "/mcp"}
		srv, r := c.serve(t, settings{}, byHand(func(m backendtest.Message) string {
			if m.Method != "tools/call" {
				return ""
			}
			return `{"resultType":"input_required","inputRequests":{"k":{"method":"elicitation/create","params":{"message":"more?"}}},"requestState":"s"}`
		}))
		h := c.hand(r, `{"elicitation":{}}`)
		asked := 0
		all := h.converse(h.call(`"c"`, "echo", ""), func(message) string { asked++; return `"result":` + yes })
		if last := all[len(all)-1]; last.Error == nil || string(last.ID) != `"c"` {
			t.Error(last.raw)
		}
		if n := srv.Requests("tools/call"); n != asked+1 || asked < 3 || asked > 100 {
			t.Errorf("%d requests, %d questions", n, asked)
		}
	})
}

// TestABusyBackendIsAskedAgain is one that hands out a state and wants nothing.
func TestABusyBackendIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := cell{elder, modern, "/mcp"}
		srv, r := c.serve(t, settings{}, byHand(func(m backendtest.Message) string {
			switch {
			case m.Method != "tools/call":
				return ""
			case strings.Contains(string(m.Params), `"requestState":"s2"`):
				return `{"resultType":"complete","content":[{"type":"text","text":"done"}]}`
			case strings.Contains(string(m.Params), `"requestState":"s1"`):
				return `{"resultType":"input_required","requestState":"s2"}`
			}
			return `{"resultType":"input_required","requestState":"s1"}`
		}))
		h := c.hand(r, `{}`)
		all := h.exchange(h.call(`"c"`, "echo", `"arguments":{"n":1}`))
		if last := all[len(all)-1]; last.text(t) != "done" {
			t.Error(last.raw)
		}
		if n := srv.Requests("tools/call"); n != 3 {
			t.Errorf("%d requests, want 3", n)
		}
		ids := map[string]bool{}
		for _, x := range srv.Exchanges() {
			if x.Method == "tools/call" {
				m := parse(t, x.Body)
				if ids[string(m.ID)] = true; !strings.Contains(string(m.Params), `"arguments":{"n":1}`) {
					t.Errorf("%s", m.raw)
				}
			}
		}
		if len(ids) != 3 {
			t.Errorf("the requests have the ids %v: each has its own", ids)
		}
	})
}

// TestAClientRefusesAQuestion with an error, which is the end of the call where
// the backend cannot be told.
func TestAClientRefusesAQuestion(t *testing.T) {
	for _, back := range []string{modern, elder} {
		t.Run(back, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := cell{elder, back, "/mcp"}
				srv, r := c.serve(t, settings{}, asking()...)
				h := c.hand(r, `{"elicitation":{}}`)
				all := h.converse(h.call(`"c"`, "form", ""), func(message) string { return `"error":{"code":-32098,"message":"I will not"}` })
				last := all[len(all)-1]
				if last.Error == nil || last.Error.Code != -32098 || !strings.Contains(last.Error.Message, "I will not") || string(last.ID) != `"c"` {
					t.Error(last.raw)
				}
				if n := srv.Executions("form"); n != 1 {
					t.Errorf("%d executions, want 1", n)
				}
			})
		})
	}
}

// TestAServerThatPings gets its answer, whoever gives it.
func TestAServerThatPings(t *testing.T) {
	for _, front := range []string{modern, elder} {
		t.Run(front, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := cell{front, elder, "/mcp"}
				a := &asker{id: `"p 1"`, method: "ping", params: `{}`, answered: make(chan string, 1)}
				_, r := c.serve(t, settings{}, a.option(elder))
				h := c.hand(r, `{}`)
				all := h.converse(h.call(`1`, "echo", ""), func(message) string { return `"result":{}` })
				if last := all[len(all)-1]; last.text(t) != "done" {
					t.Error(last.raw)
				}
				if got := a.got(t); got != `"p 1" {}` {
					t.Errorf("answered %s", got)
				}
			})
		})
	}
}

// TestProgressOfAnAnswer goes to the server that asked, with its own token.
func TestProgressOfAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := cell{elder, elder, "/mcp"}
		a := &asker{id: `1`, method: "sampling/createMessage", params: `{"_meta":{"progressToken":"q"},"messages":[]}`, answered: make(chan string, 1)}
		srv, r := c.serve(t, settings{}, a.option(elder))
		h := c.hand(r, `{"sampling":{}}`)
		h.converse(h.call(`1`, "echo", ""), func(m message) string {
			for _, token := range []string{`"q"`, `"other"`} {
				if a := h.say(`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":` + token + `,"progress":1}}`); a.status != 202 {
					t.Errorf("%d %s", a.status, a.body)
				}
			}
			return `"result":{}`
		})
		note, _ := srv.Last("notifications/progress")
		if n := srv.Requests("notifications/progress"); n != 1 || !strings.Contains(string(note.Body), `"progressToken":"q"`) {
			t.Errorf("%d at the backend, last %s", n, note.Body)
		}
	})
}

// TestWhatIsSaidWhileACallWaits reaches nobody: the request that wanted it has its
// answer, and the next one says for itself what it wants.
func TestWhatIsSaidWhileACallWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, _, h, in := parked(t, func(ctx context.Context, _ json.RawMessage) (any, error) {
			said := make(chan error, 1)
			go func() {
				time.Sleep(time.Second)
				said <- errors.Join(backendtest.Progress(ctx, 1, 2, "waiting"), backendtest.Log(ctx, "error", "l", "waiting"))
			}()
			e, err := backendtest.Elicit(ctx, "?", form)
			return string(e.Content), errors.Join(err, <-said, backendtest.Progress(ctx, 2, 2, "on"))
		}, `"progressToken":"first"`, `"io.modelcontextprotocol/logLevel":"debug"`)
		time.Sleep(time.Minute)
		all := h.exchange(h.call(`"next"`, "tool", in.answered(yes), `"progressToken":"second"`))
		for _, m := range all[:len(all)-1] {
			if m.Method != "notifications/progress" || !strings.Contains(string(m.Params), `"second"`) {
				t.Errorf("nobody asked for %s", m.raw)
			}
		}
		if last := all[len(all)-1]; len(all) < 2 || last.text(t) != `{"said":"yes"}` {
			t.Error(all)
		}
	})
}

// TestAnAnswerIsDeliveredThoughItsSenderLeaves is one whose request the client gives
// up while the backend is slow to take it: the call goes on.
func TestAnAnswerIsDeliveredThoughItsSenderLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := cell{elder, elder, "/mcp"}
		srv, r := c.serve(t, settings{}, append(asking(),
			backendtest.WithFault(backendtest.Latency(5*time.Second).ForMethod(backendtest.MethodResponse)))...)
		h := c.hand(r, `{"elicitation":{}}`)
		s := r.stream(h.call(`1`, "form", ""))
		q := s.message(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		answer := r.request("POST", c.path, fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":%s}`, q.ID, yes), h.in()...)
		resp, err := r.http.Do(answer.WithContext(ctx))
		if err == nil {
			_ = resp.Body.Close()
			t.Error("the backend was quick")
		}
		if _, last := s.until(t, `1`); last.Error != nil {
			t.Error(last.raw)
		}
		if n := srv.Executions("form"); n != 1 {
			t.Errorf("%d executions, want 1", n)
		}
	})
}
