package gateway_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/recloser-mcp/recloser/gateway"
)

// TestAnAnswerThatCannotBeDelivered is one to a backend that has forgotten the
// session (404) and keeps the stream of the call: it waits for what cannot come.
func TestAnAnswerThatCannotBeDelivered(t *testing.T) {
	for _, front := range []string{modern, elder} {
		t.Run(front, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := cell{front, elder, "/mcp"}
				srv, r := c.serve(t, settings{}, asking()...)
				h := c.hand(r, `{"elicitation":{}}`)
				var last message
				start := time.Now()
				if front == modern {
					all := h.exchange(h.call(`1`, "form", ""))
					in := all[len(all)-1].inputs(t)
					srv.DropSessions()
					all = h.exchange(h.call(`2`, "form", in.answered(yes)))
					last = all[len(all)-1]
				} else {
					s := r.stream(h.call(`1`, "form", ""))
					q := s.message(t)
					srv.DropSessions()
					h.reply(q.ID, `"result":`+yes)
					_, last = s.until(t, `1`)
				}
				if last.Error == nil || last.Error.Code != gateway.CodeBackend {
					t.Error(last.raw)
				}
				if took := time.Since(start); took > time.Minute {
					t.Errorf("it took %s", took)
				}
				if n := srv.Executions("form"); n != 1 {
					t.Errorf("%d executions, want 1", n)
				}
			})
		})
	}
}
