package gateway_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/recloser-mcp/recloser/backendtest"
)

// refusing answers a method with an error member and a status, by hand.
func refusing(method string, status int, sse bool, member string) backendtest.Option {
	return backendtest.WithHandler(func(w http.ResponseWriter, _ *http.Request, m backendtest.Message) bool {
		if m.Method != method {
			return false
		}
		doc := `{"jsonrpc":"2.0","id":` + string(m.ID) + `,"error":` + member + `}`
		w.Header().Set("Content-Type", "application/json")
		if sse {
			w.Header().Set("Content-Type", "text/event-stream")
			doc = "event: message\ndata: " + doc + "\n\n"
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, doc)
		return true
	})
}

func TestAnElderServersMissingResource(t *testing.T) {
	for _, sse := range []bool{false, true} {
		eachCell(t, func(t *testing.T, c cell) {
			if c.back == modern {
				c.back = "2025-06-18" // another elder one: those of 2026-07-28 do not say -32002
			}
			const data = `{ "uri" : "mem:\/\/one" , "n":12345678901234567890}`
			_, r := c.serve(t, settings{}, refusing("resources/read", 200, sse, `{"data":`+data+`,"message":"Resource \u006eot found","code":-32002}`))
			h := c.hand(r, `{}`)
			all := h.exchange(h.request(`1`, "resources/read", watched, `"uri":"mem://one"`))
			want := -32002
			if c.front == modern {
				want = -32602
			}
			e := all[len(all)-1].Error
			if e == nil || e.Code != want || e.Message != "Resource not found" || string(e.Data) != data {
				t.Errorf("%s", all[len(all)-1].raw)
			}
		})
	}
}

func TestAMissingCapabilityIsABadRequest(t *testing.T) {
	for _, sse := range []bool{false, true} {
		for _, front := range []string{modern, elder} {
			synctest.Test(t, func(t *testing.T) {
				c := cell{front, modern, "/mcp"}
				const member = `{"code":-32021,"message":"Missing required client capability","data":{"requiredCapabilities":{"sampling":{}}}}`
				status := http.StatusBadRequest
				if sse {
					status = http.StatusOK // a stream has begun before anybody knew
				}
				srv, r := c.serve(t, settings{}, refusing("tools/call", status, sse, member))
				h := c.hand(r, `{}`)
				a := r.do(h.call(`7`, "echo", ""))
				want := http.StatusOK // the elder revisions have errors of a request in an answer of 200
				if front == modern {
					want = http.StatusBadRequest
				}
				if sse {
					want = a.status // both will do
				}
				out := a.rpc(t)
				if a.status != want || out.Error == nil || out.Error.Code != -32021 || !strings.Contains(a.body, member) {
					t.Errorf("sse %v: %d %s", sse, a.status, a.body)
				}
				if n := srv.Requests("tools/call"); n != 1 {
					t.Errorf("%d sends, want 1", n)
				}
			})
		}
	}
}

// signIn is a tool of an elder server that has the user sign in first.
func signIn(signedIn *atomic.Bool) backendtest.Option {
	return backendtest.WithTool("mail", func(context.Context, json.RawMessage) (any, error) {
		if signedIn.Load() {
			return "you have mail", nil
		}
		return nil, &backendtest.RPCError{Code: -32042, Message: "This request requires more information.", Data: json.RawMessage(
			`{"elicitations":[{"mode":"url","elicitationId":"e-1","url":"https://example.com/connect?e=1","message":"Sign in to your mail"},` +
				`{"mode":"url","elicitationId":"e-2","url":"https://example.com/connect?e=2","message":"And to your files"}]}`)}
	})
}

func TestAnElderServerThatWantsAPageOpened(t *testing.T) {
	eachCell(t, func(t *testing.T, c cell) {
		if c.back == modern {
			c.back = "2025-06-18" // no server of 2026-07-28 says so; some of its elders do
		}
		var signedIn atomic.Bool
		srv, r := c.serve(t, settings{}, signIn(&signedIn))
		if c.front == elder {
			h := c.hand(r, `{"elicitation":{"url":{}}}`)
			all := h.exchange(h.call(`1`, "mail", ""))
			if e := all[len(all)-1].Error; e == nil || e.Code != -32042 || !strings.Contains(string(e.Data), `"elicitationId":"e-2"`) {
				t.Errorf("%s", all[len(all)-1].raw)
			}
			return
		}
		var p *party
		user := answers(&p, "accept")
		p = c.join(t, r, &mcp.ClientOptions{ElicitationHandler: func(ctx context.Context, q *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
			signedIn.Store(true)
			return user(ctx, q)
		}})
		if got, err := p.call(t.Context(), "mail", nil); err != nil || got != "you have mail" {
			t.Errorf("%q, %v", got, err)
		}
		asked := p.told()
		if len(asked) == 2 && asked[0] < asked[1] {
			asked[0], asked[1] = asked[1], asked[0]
		}
		if diff := cmp.Diff([]string{"url Sign in to your mail https://example.com/connect?e=1", "url And to your files https://example.com/connect?e=2"}, asked); diff != "" {
			t.Error(diff)
		}
		if n := srv.Executions("mail"); n != 2 {
			t.Errorf("%d executions, want 2: one refused, one after the answer", n)
		}
	})
}

// The user may say no, and the server may insist.
func TestAPageThatIsNotOpened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var signedIn atomic.Bool
		c := cell{modern, elder, "/mcp"}
		srv, r := c.serve(t, settings{}, signIn(&signedIn))
		h := c.hand(r, `{"elicitation":{"url":{}}}`)
		params := ""
		for round := range 3 {
			all := h.exchange(h.call(`1`, "mail", params))
			in := all[len(all)-1].inputs(t)
			if len(in.InputRequests) != 2 || in.RequestState == "" {
				t.Errorf("%s", all[0].raw)
			}
			params = in.answered(`{"action":"decline"}`)
			if n := srv.Executions("mail"); n != round+1 {
				t.Errorf("%d executions in round %d", n, round)
			}
		}
	})
}

func TestAPageForAClientThatOpensNone(t *testing.T) {
	for _, capabilities := range []string{`{}`, `{"elicitation":{}}`, `{"elicitation":{"form":{}}}`, `{"elicitation":null,"url":{}}`} {
		for name, o := range map[string]backendtest.Option{"sse": backendtest.WithSDK(), "json": backendtest.WithJSON()} {
			t.Run(name+" "+capabilities, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var signedIn atomic.Bool
					c := cell{modern, elder, "/mcp"}
					srv, r := c.serve(t, settings{}, signIn(&signedIn), o)
					h := c.hand(r, capabilities)
					a := r.do(h.call(`7`, "mail", ""))
					if e := a.rpc(t).Error; e == nil || e.Code != -32021 || a.status != http.StatusBadRequest || string(e.Data) != `{"requiredCapabilities":{"elicitation":{"url":{}}}}` {
						t.Errorf("%d %s", a.status, a.body)
					}
					if n := srv.Executions("mail"); n != 1 {
						t.Errorf("%d executions, want 1", n)
					}
				})
			})
		}
	}
}

func TestManyPagesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := cell{modern, elder, "/mcp"}
		var pages []string
		for i := range 25 {
			pages = append(pages, fmt.Sprintf(`{"mode":"url","elicitationId":"e%d","url":"https://example.com/%d","message":"m"}`, i, i))
		}
		_, r := c.serve(t, settings{}, refusing("tools/call", 200, false, `{"code":-32042,"message":"?","data":{"elicitations":[`+strings.Join(pages, ",")+`]}}`))
		h := c.hand(r, `{"elicitation":{"url":{}}}`)
		in := h.exchange(h.call(`7`, "echo", ""))[0].inputs(t)
		if len(in.InputRequests) != len(pages) {
			t.Errorf("%d pages are asked for, want %d", len(in.InputRequests), len(pages))
		}
	})
}
