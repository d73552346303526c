package gateway_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/recloser-mcp/recloser/backendtest"
)

// asker is a backend by hand that asks one thing, and keeps what it is answered.
type asker struct {
	id, method, params, state string // raw JSON; of the question and of requestState
	answered                  chan string
}

// brought is what came back: the id or the state, and the result.
func brought(id, result json.RawMessage) string { return string(id) + " " + string(result) }

func (a *asker) option(back string) backendtest.Option {
	const done = `{"content":[{"type":"text","text":"done"}],"resultType":"complete"}`
	if back == modern {
		return byHand(func(m backendtest.Message) string {
			var p struct {
				State     json.RawMessage            `json:"requestState"`
				Responses map[string]json.RawMessage `json:"inputResponses"`
			}
			switch err := json.Unmarshal(m.Params, &p); {
			case m.Method != "tools/call" || err != nil:
				return ""
			case p.Responses != nil:
				a.answered <- brought(p.State, p.Responses["k y"])
				return done
			}
			return `{"inputRequests":{"k y":{"method":"` + a.method + `","params":` + a.params + `}},"resultType":"input_required","requestState":` + a.state + `}`
		})
	}
	return backendtest.WithHandler(func(w http.ResponseWriter, r *http.Request, m backendtest.Message) bool {
		switch m.Method {
		case backendtest.MethodResponse:
			var p message
			_ = json.Unmarshal(m.Body, &p)
			a.answered <- brought(p.ID, p.Result)
			w.WriteHeader(http.StatusAccepted)
			return true
		case "tools/call":
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, "data: "+`{"jsonrpc":"2.0","id":`+a.id+`,"method":"`+a.method+`","params":`+a.params+"}\n\n")
			_ = http.NewResponseController(w).Flush()
			select {
			case got := <-a.answered:
				a.answered <- got
				_, _ = io.WriteString(w, "data: "+string(m.RPCResult(json.RawMessage(done)))+"\n\n")
			case <-r.Context().Done():
			}
			return true
		}
		return false
	})
}

// got is what the backend was answered.
func (a *asker) got(t rapid.TB) string {
	select {
	case got := <-a.answered:
		return got
	case <-time.After(time.Hour):
		t.Fatal("the backend was not answered")
		return ""
	}
}

func TestQuestionsAndAnswersPassByteForByte(t *testing.T) {
	eachPair(t, func(t *testing.T, c cell) {
		a := &asker{answered: make(chan string, 1)}
		_, r := c.serve(t, settings{}, a.option(c.back))
		h := c.hand(r, `{"sampling":{},"elicitation":{},"roots":{}}`)
		check(t, func(rt *rapid.T) {
			a.id = rapid.SampledFrom([]string{`1`, `0`, `-3`, `12345678901234567890`, `"a"`, `""`, `"x \" \u00e9 \\ \/ é"`, `"1"`}).Draw(rt, "id")
			a.method = rapid.SampledFrom([]string{"sampling/createMessage", "elicitation/create", "roots/list"}).Draw(rt, "method")
			a.params = line(rt, `"message":`+text(rt), `"requestedSchema":`+line(rt))
			a.state = text(rt)
			result := line(rt, `"action":"accept"`, `"content":`+line(rt))
			var asked string
			var last message
			if c.front == modern {
				all := h.exchange(h.call(`"c1"`, "echo", ""))
				in := all[len(all)-1].inputs(t)
				for key, q := range in.InputRequests {
					asked = q.Method + " " + string(q.Params)
					// The state goes back in other words: what it says is what counts.
					state, _ := json.Marshal(in.RequestState)
					all = h.exchange(h.call(`"c2"`, "echo", fmt.Sprintf(`"requestState":%s,"inputResponses":{%q:%s}`, state, key, result)))
				}
				last = all[len(all)-1]
			} else {
				all := h.converse(h.call(`"c2"`, "echo", ""), func(m message) string {
					asked = m.Method + " " + string(m.Params)
					return `"result":` + result
				})
				last = all[len(all)-1]
			}
			if diff := cmp.Diff(a.method+" "+a.params, asked); diff != "" {
				rt.Errorf("question: %s", diff)
			}
			want := brought(json.RawMessage(a.id), json.RawMessage(result))
			got := a.got(rt)
			if c.back == modern {
				// Between two of 2026-07-28 the state is what the client made of it.
				state, rest, _ := strings.Cut(got, ` {`)
				if !same(state, a.state) {
					rt.Errorf("state %s, want %s", state, a.state)
				}
				got, want = "{"+rest, result
			}
			if diff := cmp.Diff(want, got); diff != "" {
				rt.Errorf("answer: %s", diff)
			}
			if string(last.ID) != `"c2"` || last.text(t) != "done" {
				rt.Error(last.raw)
			}
		})
	})
}

// same reports whether two strings of JSON say the same.
func same(a, b string) bool {
	var x, y string
	return errors.Join(json.Unmarshal([]byte(a), &x), json.Unmarshal([]byte(b), &y)) == nil && x == y
}

// TestResultsPassByteForByte draws the members of a tool's result, as a document
// and as an event, and errors as a document.
func TestResultsPassByteForByte(t *testing.T) {
	for _, sse := range []bool{false, true} {
		t.Run(fmt.Sprint("sse ", sse), func(t *testing.T) {
			eachPair(t, func(t *testing.T, c cell) {
				var member string
				_, r := c.serve(t, settings{}, backendtest.WithHandler(func(w http.ResponseWriter, _ *http.Request, m backendtest.Message) bool {
					if m.Method != "tools/call" {
						return false
					}
					doc := `{"id":` + string(m.ID) + `,` + member + `,"jsonrpc":"2.0"}`
					w.Header().Set("Content-Type", "application/json")
					if sse {
						w.Header().Set("Content-Type", "text/event-stream")
						doc = "data: " + doc + "\n\n"
					}
					_, _ = io.WriteString(w, doc)
					return true
				}))
				h := c.hand(r, `{}`)
				check(t, func(rt *rapid.T) {
					var kind, body string
					if rapid.Bool().Draw(rt, "fails") {
						kind, body = "error", line(rt, `"message":`+text(rt), `"data":`+value(rt), `"code":-31234`)
					} else {
						kind, body = "result", line(rt, `"content":[`+line(rt, `"type":"text"`, `"text":`+text(rt))+`]`, `"_meta":`+line(rt),
							`"structuredContent":`+line(rt, `"big":12345678901234567890`), `"isError":false`)
					}
					member = `"` + kind + `":` + body
					all := h.exchange(h.call(`"id"`, "echo", ""))
					var doc map[string]json.RawMessage
					if err := json.Unmarshal([]byte(all[0].raw), &doc); err != nil {
						rt.Fatal(err)
					}
					want := body
					if kind == "result" && c.front == modern && c.back == elder {
						want = body[:len(body)-1] + `,"resultType":"complete"}`
					}
					if diff := cmp.Diff(want, string(doc[kind])); diff != "" {
						rt.Errorf("%s: %s", kind, diff)
					}
				})
			})
		})
	}
}
