package gateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/recloser-mcp/recloser/backendtest"
)

// form is what the questions ask for.
var form = json.RawMessage(`{"type":"object","properties":{"said":{"type":"string"}}}`)

func question(message string) backendtest.Question {
	return backendtest.Question{Method: "elicitation/create",
		Params: json.RawMessage(fmt.Sprintf(`{"mode":"form","message":%q,"requestedSchema":%s}`, message, form))}
}

// answers is a client's user: what is asked is noted, and answered by the words
// of the question.
func answers(p **party, action string) func(context.Context, *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
	return func(_ context.Context, q *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
		(*p).note("%s %s %s", q.Params.Mode, q.Params.Message, q.Params.URL)
		res := &mcp.ElicitResult{Action: action}
		if action == "accept" && q.Params.Mode == "form" {
			res.Content = map[string]any{"said": q.Params.Message + "!"}
		}
		if q.Params.Mode == "url" && (*p).cell.front == elder && q.Params.ElicitationID == "" {
			return nil, errors.New("an elicitation without an id")
		}
		return res, nil
	}
}

// asking are tools that ask in every way.
func asking() []backendtest.Option {
	return []backendtest.Option{
		backendtest.WithTool("form", func(ctx context.Context, _ json.RawMessage) (any, error) {
			e, err := backendtest.Elicit(ctx, "name?", form)
			return e.Action + string(e.Content), err
		}),
		backendtest.WithTool("url", func(ctx context.Context, _ json.RawMessage) (any, error) {
			e, err := backendtest.ElicitURL(ctx, "sign in", "https://example.com/in", "e-1")
			return e.Action, err
		}),
		backendtest.WithTool("twice", func(ctx context.Context, _ json.RawMessage) (any, error) {
			first, err := backendtest.Elicit(ctx, "first?", form)
			if err != nil {
				return nil, err
			}
			second, err := backendtest.Elicit(ctx, "second after "+string(first.Content), form)
			return string(first.Content) + string(second.Content), err
		}),
		backendtest.WithTool("both", func(ctx context.Context, _ json.RawMessage) (any, error) {
			got, err := backendtest.Ask(ctx, question("one"), question("two"))
			if err != nil {
				return nil, err
			}
			var e [2]backendtest.Elicited
			err = errors.Join(json.Unmarshal(got[0], &e[0]), json.Unmarshal(got[1], &e[1]))
			return string(e[0].Content) + string(e[1].Content), err
		}),
		backendtest.WithTool("sample", func(ctx context.Context, _ json.RawMessage) (any, error) {
			return backendtest.Sample(ctx, "hello")
		}),
		backendtest.WithTool("roots", func(ctx context.Context, _ json.RawMessage) (any, error) {
			uris, err := backendtest.Roots(ctx)
			return strings.Join(uris, " "), err
		}),
	}
}

func TestQuestionsReachTheUserAndAnswersTheTool(t *testing.T) {
	for _, c := range []struct {
		tool, action, want string
		asked              []string
		rounds             int
	}{
		{"form", "accept", `accept{"said":"name?!"}`, []string{"form name? "}, 1},
		{"form", "decline", `decline`, []string{"form name? "}, 1},
		{"form", "cancel", `cancel`, []string{"form name? "}, 1},
		{"url", "accept", `accept`, []string{"url sign in https://example.com/in"}, 1},
		{"url", "decline", `decline`, []string{"url sign in https://example.com/in"}, 1},
		{"url", "cancel", `cancel`, []string{"url sign in https://example.com/in"}, 1},
		{"twice", "accept", `{"said":"first?!"}{"said":"second after {\"said\":\"first?!\"}!"}`,
			[]string{"form first? ", `form second after {"said":"first?!"} `}, 2},
		{"both", "accept", `{"said":"one!"}{"said":"two!"}`, []string{"form one ", "form two "}, 1},
	} {
		t.Run(c.tool+" "+c.action, func(t *testing.T) {
			eachCell(t, func(t *testing.T, cell cell) {
				srv, r := cell.serve(t, settings{}, asking()...)
				var p *party
				p = cell.join(t, r, &mcp.ClientOptions{ElicitationHandler: answers(&p, c.action)})
				got, err := p.call(t.Context(), c.tool, nil)
				if err != nil || got != c.want {
					t.Errorf("%v %s", err, cmp.Diff(c.want, got))
				}
				asked := p.told()
				if len(asked) == 2 && c.tool == "both" && asked[0] > asked[1] {
					asked[0], asked[1] = asked[1], asked[0] // two at once come in any order
				}
				if diff := cmp.Diff(c.asked, asked); diff != "" {
					t.Errorf("asked: %s", diff)
				}
				if n := srv.Executions(c.tool); n != cell.runs(c.rounds) {
					t.Errorf("%d executions, want %d", n, cell.runs(c.rounds))
				}
				if srv.InFlight() != 0 || r.g.InFlight() > 1 { // its standing stream
					t.Errorf("%d in flight at the backend, %d at the gateway", srv.InFlight(), r.g.InFlight())
				}
			})
		})
	}
}

func TestTheModelOfTheClientAnswers(t *testing.T) {
	eachCell(t, func(t *testing.T, c cell) {
		srv, r := c.serve(t, settings{}, asking()...)
		var p *party
		p = c.join(t, r, &mcp.ClientOptions{CreateMessageHandler: func(_ context.Context, q *mcp.CreateMessageRequest) (*mcp.CreateMessageResult, error) {
			text := q.Params.Messages[0].Content.(*mcp.TextContent).Text
			p.note("sample %s %d", text, q.Params.MaxTokens)
			return &mcp.CreateMessageResult{Model: "m", Role: "assistant", Content: &mcp.TextContent{Text: text + " yourself"}}, nil
		}})
		if got, err := p.call(t.Context(), "sample", nil); err != nil || got != "hello yourself" {
			t.Errorf("%q, %v", got, err)
		}
		if diff := cmp.Diff([]string{"sample hello 100"}, p.told()); diff != "" {
			t.Error(diff)
		}
		if n := srv.Executions("sample"); n != c.runs(1) {
			t.Errorf("%d executions, want %d", n, c.runs(1))
		}
	})
}

func TestTheRootsOfTheClientAreTold(t *testing.T) {
	eachCell(t, func(t *testing.T, c cell) {
		srv, r := c.serve(t, settings{}, asking()...)
		p := c.join(t, r, &mcp.ClientOptions{}, "file:///one")
		if got, err := p.call(t.Context(), "roots", nil); err != nil || got != "file:///one" {
			t.Errorf("%q, %v", got, err)
		}
		if n := srv.Executions("roots"); n != c.runs(1) {
			t.Errorf("%d executions, want %d", n, c.runs(1))
		}
		// Roots that change: the server of a session is told, and asks again.
		p.client.AddRoots(&mcp.Root{URI: "file:///two"})
		synctest.Wait()
		if n := srv.Requests("notifications/roots/list_changed"); c.front == elder && c.back == elder && n != 1 {
			t.Errorf("told %d times, want once", n)
		}
		if got, err := p.call(t.Context(), "roots", nil); err != nil || !strings.Contains(got, "file:///one") || !strings.Contains(got, "file:///two") {
			t.Errorf("%q, %v", got, err)
		}
	})
}

func TestAPromptAndAResourceMayAskToo(t *testing.T) {
	for method, q := range map[string][2]string{
		"prompts/get":    {`"name":"%sgreet"`, `"messages":[]`},
		"resources/read": {`"uri":"mem://one"`, `"contents":[]`},
	} {
		t.Run(method, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := cell{modern, modern, "/mcp"}
				_, r := c.serve(t, settings{}, byHand(func(m backendtest.Message) string {
					switch {
					case m.Method != method:
						return ""
					case strings.Contains(string(m.Params), `"inputResponses":{"k":{"action":"decline"}}`) && strings.Contains(string(m.Params), `"requestState":"s"`):
						return `{"resultType":"complete",` + q[1] + `}`
					}
					return `{"resultType":"input_required","inputRequests":{"k":{"method":"elicitation/create","params":{"mode":"form","message":"?","requestedSchema":{"type":"object"}}}},"requestState":"s"}`
				}))
				params := strings.Replace(q[0], "%s", "a_", 1)
				name := strings.Split(params, `"`)[3]
				for _, front := range []string{modern, elder} {
					c.front = front
					h := c.hand(r, `{"elicitation":{}}`)
					if front == modern {
						in := h.exchange(h.request(`1`, method, name, params))[0].inputs(t)
						got := h.exchange(h.request(`2`, method, name, params+","+in.answered(`{"action":"decline"}`)))
						if want := `{"resultType":"complete",` + q[1] + `}`; string(got[0].Result) != want {
							t.Error(got[0].raw)
						}
						continue
					}
					s := r.stream(h.request(`1`, method, name, params))
					m := s.message(t)
					if m.Method != "elicitation/create" {
						t.Fatal(m.raw)
					}
					h.reply(m.ID, `"result":{"action":"decline"}`)
					if _, last := s.until(t, `1`); !strings.Contains(string(last.Result), q[1]) {
						t.Error(last.raw)
					}
				}
			})
		})
	}
}
