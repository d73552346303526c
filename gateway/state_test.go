package gateway_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/recloser-mcp/recloser/backendtest"
	"github.com/recloser-mcp/recloser/caller"
	"github.com/recloser-mcp/recloser/gateway"
)

// byName takes the caller's word for who it is.
func byName(o *gateway.Options) {
	o.Authenticate = func(r *http.Request) (caller.Identity, error) {
		return caller.Identity{ID: r.Header.Get("X-Who")}, nil
	}
}

// stateful is a gateway in front of an elder backend, whose calls wait while
// their clients of 2026-07-28 answer.
type stateful struct {
	srv      *backendtest.Server
	r        *rig
	ann, bob *hand
}

func newStateful(t *testing.T) *stateful {
	t.Helper()
	c := cell{modern, elder, "/mcp"}
	var signedIn atomic.Bool
	srv, r := c.serve(t, settings{gateway: byName}, append(asking(), signIn(&signedIn))...)
	capabilities := `{"elicitation":{"form":{},"url":{}}}`
	return &stateful{srv, r, c.hand(r, capabilities, "X-Who", "ann"), c.hand(r, capabilities, "X-Who", "bob")}
}

// begin calls the tool and returns what is asked.
func (s *stateful) begin(t *testing.T, h *hand, tool string) inputs {
	t.Helper()
	all := h.exchange(h.call(`"begin"`, tool, ""))
	return all[len(all)-1].inputs(t)
}

// refused sends a request with a state that is no good, and returns the error as
// the client sees it.
func (s *stateful) refused(t *testing.T, h *hand, tool, params string) string {
	t.Helper()
	before := s.srv.Executions("")
	a := s.r.do(h.call(`7`, tool, params))
	out := a.rpc(t)
	if out.Error == nil || out.Error.Code != -32602 {
		t.Errorf("accepted: %d %s", a.status, a.body)
		return ""
	}
	synctest.Wait()
	if n := s.srv.Executions("") - before; n != 0 {
		t.Errorf("%d executions, want 0", n)
	}
	if n := s.srv.Requests(backendtest.MethodResponse); n != 0 {
		t.Errorf("%d answers reached the backend", n)
	}
	return fmt.Sprint(a.status, " ", a.header.Get("Content-Type"), " ", out.Error.Message, " ", string(out.Error.Data))
}

// TestStatesThatAreNoGood tries whatever a client may make up, and wants one
// answer for all of it: nothing tells how near it came.
func TestStatesThatAreNoGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStateful(t)
		good := s.begin(t, s.ann, "form")
		visit := s.begin(t, s.ann, "mail")
		forged := []byte(good.RequestState)
		seen := map[string]bool{}
		try := func(what string, h *hand, tool, params string) {
			t.Helper()
			answer := s.refused(t, h, tool, params)
			if seen[answer] = true; len(seen) > 1 {
				t.Errorf("%s is told apart: %v", what, seen)
				delete(seen, answer)
			}
		}
		with := func(state string) string {
			text, _ := json.Marshal(state)
			return `"inputResponses":{},"requestState":` + string(text)
		}
		for _, at := range []int{0, 1, len(forged) / 2, len(forged) - 2, len(forged) - 1} {
			bad := append([]byte(nil), forged...)
			if bad[at]++; bad[at] > 'z' || bad[at] == '[' || bad[at] == ':' {
				bad[at] = 'A'
			}
			try(fmt.Sprintf("one changed in byte %d", at), s.ann, "form", with(string(bad)))
		}
		for what, state := range map[string]string{
			"an empty one": "", "a short one": "x", "no base64": "%%%", "one cut": good.RequestState[:len(good.RequestState)-1],
			"one with more": good.RequestState + "A", "padding": good.RequestState + "=", "white space": good.RequestState + "\n",
			"zeros":       base64.RawURLEncoding.EncodeToString(make([]byte, 56)),
			"a large one": strings.Repeat("A", 100_000), "two in one": good.RequestState + good.RequestState, "odd text": "\u0000é",
		} {
			try(what, s.ann, "form", with(state))
		}
		for what, raw := range map[string]string{"a number": `7`, "null": `null`, "an object": `{"a":1}`, "a list": `["` + good.RequestState + `"]`} {
			try(what, s.ann, "form", `"requestState":`+raw)
		}
		try("of another caller", s.bob, "form", good.answered(`{"action":"accept"}`))
		try("of a visit of another caller", s.bob, "mail", visit.answered(`{"action":"accept"}`))
		try("of another tool", s.ann, "url", good.answered(`{"action":"accept"}`))
		try("of a visit for another tool", s.ann, "form", visit.answered(`{"action":"accept"}`))
		alone := *s.ann
		alone.cell.path = "/mcp/a"
		try("of another endpoint", &alone, "form", good.answered(`{"action":"accept"}`))

		// The one it was for is still good, and once only.
		all := s.ann.exchange(s.ann.call(`"again"`, "form", good.answered(`{"action":"accept","content":{"said":"yes"}}`)))
		if last := all[len(all)-1]; last.text(t) != `accept{"said":"yes"}` || string(last.ID) != `"again"` {
			t.Error(last.raw)
		}
		if n := s.srv.Executions("form"); n != 1 {
			t.Errorf("%d executions, want 1", n)
		}
	})
}

func TestAStateIsGoodOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStateful(t)
		first := s.begin(t, s.ann, "twice")
		all := s.ann.exchange(s.ann.call(`2`, "twice", first.answered(`{"action":"accept","content":{"said":"a"}}`)))
		second := all[len(all)-1].inputs(t)
		again := func(in inputs) {
			t.Helper()
			a := s.r.do(s.ann.call(`7`, "twice", in.answered(`{"action":"accept","content":{"said":"evil"}}`)))
			if e := a.rpc(t).Error; e == nil || e.Code != -32602 {
				t.Errorf("accepted: %s", a.body)
			}
		}
		again(first) // while the next question waits
		all = s.ann.exchange(s.ann.call(`3`, "twice", second.answered(`{"action":"accept","content":{"said":"b"}}`)))
		if got := all[len(all)-1].text(t); got != `{"said":"a"}{"said":"b"}` {
			t.Error(got)
		}
		again(first)
		again(second)
		if n, m := s.srv.Executions("twice"), s.srv.Requests(backendtest.MethodResponse); n != 1 || m != 2 {
			t.Errorf("%d executions, want 1; %d answers at the backend, want 2", n, m)
		}
	})
}

// TestAStateStaysSpent replays one after so many others that whatever remembers
// it may have had to forget.
func TestAStateStaysSpent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStateful(t)
		first := s.begin(t, s.ann, "form")
		s.ann.exchange(s.ann.call(`2`, "form", first.answered(`{"action":"decline"}`)))
		for range 1100 {
			in := s.begin(t, s.bob, "form")
			s.bob.exchange(s.bob.call(`2`, "form", in.answered(`{"action":"decline"}`)))
		}
		before := s.srv.Executions("form")
		a := s.r.do(s.ann.call(`7`, "form", first.answered(`{"action":"accept"}`)))
		if e := a.rpc(t).Error; e == nil || e.Code != -32602 {
			t.Errorf("accepted: %s", a.body)
		}
		if n := s.srv.Executions("form") - before; n != 0 {
			t.Errorf("%d executions, want 0", n)
		}
	})
}

func TestAStateExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStateful(t)
		form, visit := s.begin(t, s.ann, "form"), s.begin(t, s.ann, "mail")
		if s.srv.InFlight() != 1 {
			t.Errorf("%d calls are in flight at the backend, want the one that waits", s.srv.InFlight())
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		answer := s.refused(t, s.ann, "form", form.answered(`{"action":"accept"}`))
		if other := s.refused(t, s.ann, "mail", visit.answered(`{"action":"accept"}`)); other != answer {
			t.Errorf("%s and %s", answer, other)
		}
		if other := s.refused(t, s.ann, "form", `"requestState":"made up"`); other != answer {
			t.Errorf("%s and %s", answer, other)
		}
		// Nothing is left of the call, here or at the backend.
		if s.srv.InFlight() != 0 || s.r.g.InFlight() != 0 {
			t.Errorf("in flight: %d at the backend, %d at the gateway", s.srv.InFlight(), s.r.g.InFlight())
		}
	})
}

// TestAnswersThatAreMissing are asked for again (basic/patterns/mrtr, "Error
// Handling"); those that nobody asked for are not looked at.
func TestAnswersThatAreMissing(t *testing.T) {
	for _, back := range []string{modern, elder} {
		t.Run(back, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := cell{modern, back, "/mcp"}
				srv, r := c.serve(t, settings{}, asking()...)
				h := c.hand(r, `{"elicitation":{}}`)
				steps := 0
				step := func(params string) message {
					steps++
					all := h.exchange(h.call(`1`, "both", params))
					return all[len(all)-1]
				}
				first := step("").inputs(t)
				again := step(fmt.Sprintf(`"inputResponses":{"other":{"action":"accept"}},"requestState":%q`, first.RequestState)).inputs(t)
				if diff := cmp.Diff(first.InputRequests, again.InputRequests); diff != "" {
					t.Errorf("asked again: %s", diff)
				}
				// One answer at a time, whatever is asked.
				var m message
				answered := 0
				for in := again; ; in = m.inputs(t) {
					key := slices.Sorted(maps.Keys(in.InputRequests))[0]
					var q struct{ Message string }
					if err := json.Unmarshal(in.InputRequests[key].Params, &q); err != nil {
						t.Fatal(err)
					}
					answered++
					m = step(fmt.Sprintf(`"inputResponses":{%q:{"action":"accept","content":{"said":%q}},"other":{"action":"decline"}},"requestState":%q`, key, q.Message, in.RequestState))
					if !strings.Contains(string(m.Result), "input_required") {
						break
					}
				}
				if got := m.text(t); got != `{"said":"one"}{"said":"two"}` || answered != 2 {
					t.Errorf("%s after %d answers", got, answered)
				}
				want := 1
				if back == modern {
					want = steps
				}
				if n := srv.Executions("both"); n != want {
					t.Errorf("%d executions, want %d", n, want)
				}
			})
		})
	}
}

// TestACallThatWaitsEndsWithTheGateway proves that nothing outlives a shutdown.
func TestACallThatWaitsEndsWithTheGateway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStateful(t)
		s.begin(t, s.ann, "form")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		if err := s.r.g.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if took := time.Since(start); took > time.Second || s.srv.InFlight() != 0 {
			t.Errorf("it took %s, %d are in flight at the backend", took, s.srv.InFlight())
		}
	})
}
