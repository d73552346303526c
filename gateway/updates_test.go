package gateway_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/recloser-mcp/recloser/backendtest"
)

// announcer says by hand that the resource was updated, on every stream that may
// say so.
type announcer struct {
	mu      sync.Mutex
	streams []chan string
}

func (a *announcer) say(params string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range a.streams {
		s <- params
	}
}

// option takes standing streams, and subscriptions of 2026-07-28 to the resource.
// @ID@ in what is said is that of the subscription.
func (a *announcer) option() backendtest.Option {
	return backendtest.WithHandler(func(w http.ResponseWriter, r *http.Request, m backendtest.Message) bool {
		listens := m.Method == "subscriptions/listen" && strings.Contains(string(m.Params), watched)
		switch {
		case m.Method == "resources/subscribe":
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(m.RPCResult(json.RawMessage(`{}`)))
			return true
		case m.Method != backendtest.MethodGet && !listens:
			return false
		}
		say := make(chan string)
		a.mu.Lock()
		a.streams = append(a.streams, say)
		a.mu.Unlock()
		w.Header().Set("Content-Type", "text/event-stream")
		if listens {
			_, _ = io.WriteString(w, `data: {"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":`+
				string(m.ID)+`},"notifications":{"resourceSubscriptions":["`+watched+`"]}}}`+"\n\n")
		}
		_ = http.NewResponseController(w).Flush()
		for {
			select {
			case params := <-say:
				_, _ = io.WriteString(w, `data: {"jsonrpc":"2.0","method":"notifications/resources/updated","params":`+strings.Replace(params, "@ID@", string(m.ID), 1)+"}\n\n")
				_ = http.NewResponseController(w).Flush()
			case <-r.Context().Done():
				a.mu.Lock()
				defer a.mu.Unlock()
				for i := range a.streams {
					if a.streams[i] == say {
						a.streams = append(a.streams[:i], a.streams[i+1:]...)
						break
					}
				}
				return true
			}
		}
	})
}

// TestUpdatesPassByteForByte draws what stands beside the URI. Only the id of the
// subscription is each side's own.
func TestUpdatesPassByteForByte(t *testing.T) {
	const id = "io.modelcontextprotocol/subscriptionId"
	eachPair(t, func(t *testing.T, c cell) {
		a := &announcer{}
		srv, r := c.serve(t, settings{}, a.option(), backendtest.WithSubscriptions())
		h := c.hand(r, `{}`)
		var s *stream
		if c.front == modern {
			s = r.stream(h.request(`"mine"`, "subscriptions/listen", "", `"notifications":{"resourceSubscriptions":["mem://one"]}`))
			s.message(t)
		} else {
			s = h.standing()
			if got := r.do(h.request(`1`, "resources/subscribe", "", `"uri":"mem://one"`)); got.rpc(t).Error != nil {
				t.Fatal(got.body)
			}
		}
		synctest.Wait()
		if n := srv.Requests("resources/subscribe") + srv.Requests("subscriptions/listen"); n == 0 {
			t.Fatal("the backend was not asked")
		}
		check(t, func(rt *rapid.T) {
			own := ""
			if c.back == modern {
				own = `"` + id + `":@ID@`
			}
			inner := line(rt, own, `"k":`+value(rt))
			params := line(rt, `"uri":"mem://one"`, `"_meta":`+inner, `"n":12345678901234567890`)
			a.say(params)
			synctest.Wait()
			got := s.message(t)
			if c.front == elder && c.back == elder {
				if diff := cmp.Diff(params, string(got.Params)); diff != "" {
					rt.Error(diff)
				}
				return
			}
			want, have := split(rt, params), split(rt, string(got.Params))
			wantMeta, haveMeta := split(rt, want["_meta"]), split(rt, have["_meta"])
			delete(want, "_meta")
			delete(have, "_meta")
			delete(wantMeta, id)
			if c.front == modern {
				wantMeta[id] = `"mine"`
			}
			if diff := cmp.Diff(want, have) + cmp.Diff(wantMeta, haveMeta); diff != "" {
				rt.Errorf("%s: %s", got.raw, diff)
			}
		})
	})
}

// split returns the members of an object as they are written.
func split(t rapid.TB, object string) map[string]string {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal([]byte(strings.Replace(object, "@ID@", "0", 1)), &raw); err != nil {
		t.Fatalf("%v: %s", err, object)
	}
	out := map[string]string{}
	for k, v := range raw {
		out[k] = string(v)
	}
	return out
}
