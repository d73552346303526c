package gateway_test

import (
	"context"
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/recloser-mcp/recloser/backendtest"
	"github.com/recloser-mcp/recloser/gateway"
)

// TestABackendLostWhileAQuestionWaits ends the call, once and soon, whenever the
// client comes with its answer. Nothing is made again: the tool had begun.
func TestABackendLostWhileAQuestionWaits(t *testing.T) {
	for name, lose := range map[string]func(*backendtest.Server){
		"down": (*backendtest.Server).Down,
		"restart": func(srv *backendtest.Server) {
			srv.Down()
			srv.DropSessions()
			_ = srv.Up()
		},
	} {
		for _, front := range []string{modern, elder} {
			t.Run(name+" "+front, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c := cell{front, elder, "/mcp"}
					srv, r := c.serve(t, settings{}, asking()...)
					h := c.hand(r, `{"elicitation":{}}`)
					var start time.Time
					var last message
					if front == modern {
						all := h.exchange(h.call(`1`, "form", ""))
						in := all[len(all)-1].inputs(t)
						lose(srv)
						synctest.Wait()
						start = time.Now()
						all = h.exchange(h.call(`2`, "form", in.answered(yes)))
						last = all[len(all)-1]
					} else {
						s := r.stream(h.call(`1`, "form", ""))
						q := s.message(t)
						lose(srv)
						start = time.Now()
						_, last = s.until(t, `1`)
						h.reply(q.ID, `"result":`+yes) // too late, and harmless
					}
					if last.Error == nil || last.Error.Code != gateway.CodeBackend {
						t.Error(last.raw)
					}
					if took := time.Since(start); took > 30*time.Second {
						t.Errorf("it took %s", took)
					}
					if n := srv.Executions("form"); n != 1 {
						t.Errorf("%d executions, want 1", n)
					}
					synctest.Wait()
					if n := r.g.InFlight(); n != 0 {
						t.Errorf("%d in flight", n)
					}
					// The neighbour never noticed.
					if a := r.ask(elder, r.open("/mcp", elder), "/mcp", "tools/call", "", `"name":"b_who"`); a.text(t) != "two" {
						t.Error(a.body)
					}
				})
			})
		}
	}
}

// TestCallsThatWaitAreBounded begins more than there is room for: those too many
// get an error and end at the backend, those that wait are kept.
func TestCallsThatWaitAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const many = 300
		c := cell{modern, elder, "/mcp"}
		srv, r := c.serve(t, settings{}, backendtest.WithTool("form", func(ctx context.Context, args json.RawMessage) (any, error) {
			e, err := backendtest.Elicit(ctx, "?", form)
			return string(e.Content), err
		}))
		h := c.hand(r, `{"elicitation":{}}`)
		var waiting []inputs
		refused := 0
		for range many {
			all := h.exchange(h.call(`1`, "form", ""))
			last := all[len(all)-1]
			if last.Error != nil {
				if last.Error.Code != gateway.CodeBackend {
					t.Fatal(last.raw)
				}
				refused++
				continue
			}
			waiting = append(waiting, last.inputs(t))
		}
		synctest.Wait()
		if len(waiting) < 10 || refused == 0 || srv.InFlight() != len(waiting) {
			t.Errorf("%d wait, %d were refused, %d are in flight at the backend", len(waiting), refused, srv.InFlight())
		}
		for _, in := range waiting {
			all := h.exchange(h.call(`2`, "form", in.answered(yes)))
			if last := all[len(all)-1]; last.text(t) != `{"said":"yes"}` {
				t.Fatal(last.raw)
			}
		}
		if n := srv.Executions("form"); n != many || srv.InFlight() != 0 {
			t.Errorf("%d executions, want %d; %d in flight", n, many, srv.InFlight())
		}
	})
}

// TestACallThatNobodyComesBackTo ends at the backend, which is told so.
func TestACallThatNobodyComesBackTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan error, 1)
		srv, r, _, _ := parked(t, func(ctx context.Context, _ json.RawMessage) (any, error) {
			_, err := backendtest.Elicit(ctx, "?", form)
			ended <- err
			return nil, err
		})
		if err := <-ended; err == nil {
			t.Error("somebody answered")
		}
		synctest.Wait()
		if n := srv.Requests("notifications/cancelled"); n != 1 {
			t.Errorf("%d cancellations, want 1", n)
		}
		if srv.InFlight() != 0 || r.g.InFlight() != 0 {
			t.Errorf("in flight: %d at the backend, %d at the gateway", srv.InFlight(), r.g.InFlight())
		}
	})
}

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
