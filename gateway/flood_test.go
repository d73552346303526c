package gateway_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/recloser-mcp/recloser/backendtest"
	"github.com/recloser-mcp/recloser/gateway"
)

// warnings counts records that somebody should see.
type warnings struct{ n atomic.Int32 }

func (w *warnings) Enabled(context.Context, slog.Level) bool { return true }
func (w *warnings) WithAttrs([]slog.Attr) slog.Handler       { return w }
func (w *warnings) WithGroup(string) slog.Handler            { return w }
func (w *warnings) Handle(_ context.Context, r slog.Record) error {
	if r.Level >= slog.LevelWarn {
		w.n.Add(1)
	}
	return nil
}

// TestAStandingStreamThatNobodyReads has room for so many messages: those that
// wait are kept, later ones are dropped, and the backend notices nothing.
func TestAStandingStreamThatNobodyReads(t *testing.T) {
	for size, flood := range map[int]int{10: 3000, 100_000: 300} {
		t.Run(fmt.Sprint(size, " bytes"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := cell{elder, elder, "/mcp"}
				var logged warnings
				srv, r := c.serve(t, settings{gateway: func(o *gateway.Options) { o.Logger = slog.New(&logged) }},
					backendtest.WithTool("flood", func(ctx context.Context, _ json.RawMessage) (any, error) {
						for i := range flood {
							if err := backendtest.Log(backendtest.Aside(ctx), "info", "l", fmt.Sprint(i, strings.Repeat(".", size))); err != nil {
								return nil, err
							}
						}
						_, err := backendtest.Elicit(backendtest.Aside(ctx), strings.Repeat("?", size), form)
						return fmt.Sprint("answered: ", err == nil), nil
					}),
					backendtest.WithTool("log", func(ctx context.Context, _ json.RawMessage) (any, error) {
						return "done", backendtest.Log(backendtest.Aside(ctx), "info", "l", "after")
					}))
				h := c.hand(r, `{"elicitation":{}}`)
				s := h.standing()
				if a := r.do(h.request(`1`, "logging/setLevel", "", `"level":"info"`)); a.rpc(t).Error != nil {
					t.Fatal(a.body)
				}
				r.do(h.call(`2`, "who", "")).text(t) // opens the session, whose stream follows
				synctest.Wait()
				start := time.Now()
				if all := h.exchange(h.call(`3`, "flood", "")); all[len(all)-1].text(t) != "answered: false" {
					t.Errorf("a question found room: %s", all[len(all)-1].raw)
				}
				if took := time.Since(start); took > time.Second {
					t.Errorf("the backend was held up for %s", took)
				}
				if n := logged.n.Load(); n != 1 {
					t.Errorf("%d warnings about it, want 1", n)
				}
				if n := srv.Executions("flood"); n != 1 {
					t.Errorf("%d executions, want 1", n)
				}
				if a := r.do(h.call(`4`, "who", "")); a.text(t) != "one" {
					t.Errorf("the session is of no use: %s", a.body)
				}
				// What is there is the beginning, in order.
				read := make(chan message)
				go func() {
					for {
						raw, ok := s.next(t)
						if !ok {
							close(read)
							return
						}
						read <- parse(t, raw)
					}
				}()
				n, held := 0, 0
				for more := true; more; {
					select {
					case m := <-read:
						if want := fmt.Sprintf(`"data":"%d.`, n); !strings.Contains(string(m.Params), want) {
							t.Fatalf("message %d: %.200s", n, m.raw)
						}
						n, held = n+1, held+len(m.raw)
					case <-time.After(time.Second):
						more = false
					}
				}
				if n < 2 || n > 300 || held > 5<<20 {
					t.Errorf("%d messages of %d bytes in all were kept", n, held)
				}
				// There is room again.
				h.exchange(h.call(`5`, "log", ""))
				if m := <-read; !strings.Contains(m.raw, `"after"`) {
					t.Error(m.raw)
				}
				r.do(r.request(http.MethodDelete, "/mcp", "", h.in()...))
				for range read {
					t.Error("more")
				}
			})
		})
	}
}

// TestACallWhoseStreamNobodyReads holds its backend back: nothing piles up.
func TestACallWhoseStreamNobodyReads(t *testing.T) {
	const most = 8 << 20 // for a client that may come back it goes on without it
	eachCell(t, func(t *testing.T, c cell) {
		var wrote atomic.Int64
		ended := make(chan struct{})
		srv, r := c.serve(t, settings{}, backendtest.WithTool("script", nil), backendtest.WithHandler(
			func(w http.ResponseWriter, _ *http.Request, m backendtest.Message) bool {
				if m.Name != "script" {
					return false
				}
				defer close(ended)
				w.Header().Set("Content-Type", "text/event-stream")
				event := []byte("event: message\ndata: " + `{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"` + strings.Repeat("x", 10_000) + `"}}` + "\n\n")
				for wrote.Load() < most {
					n, err := w.Write(event)
					if wrote.Add(int64(n)); err != nil || http.NewResponseController(w).Flush() != nil {
						return true
					}
				}
				return true
			}))
		h := c.hand(r, `{}`)
		s := r.stream(h.call(`1`, "script", "", `"io.modelcontextprotocol/logLevel":"info"`))
		synctest.Wait()
		if n := wrote.Load(); n > 1<<20 {
			t.Errorf("the backend could write %d bytes that nobody read", n)
		}
		// Others are not held up, and when the client leaves all of it ends.
		if a := r.do(h.call(`2`, "who", "")); a.text(t) != "one" {
			t.Error(a.body)
		}
		s.close()
		<-ended
		synctest.Wait()
		if srv.InFlight() != 0 || r.g.InFlight() != 0 {
			t.Errorf("in flight: %d at the backend, %d at the gateway", srv.InFlight(), r.g.InFlight())
		}
	})
}

// TestUpdatesThatNobodyReads are as many as say something new.
func TestUpdatesThatNobodyReads(t *testing.T) {
	eachPair(t, func(t *testing.T, c cell) {
		srv, r := c.serve(t, settings{}, backendtest.WithSubscriptions())
		h := c.hand(r, `{}`)
		var s *stream
		if c.front == modern {
			s = r.stream(h.request(`1`, "subscriptions/listen", "", `"notifications":{"resourceSubscriptions":["mem://one"]}`))
			s.message(t)
		} else {
			s = h.standing()
			if a := r.do(h.request(`1`, "resources/subscribe", "", `"uri":"mem://one"`)); a.rpc(t).Error != nil {
				t.Fatal(a.body)
			}
		}
		if err := srv.WaitSubscriptions(soon(t), watched, 1); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		start := time.Now()
		for i := range 1000 {
			if err := srv.UpdateResource(watched, fmt.Sprint(i)); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("the backend was held up for %s", took)
		}
		synctest.Wait()
		told := make(chan int)
		go func() {
			n := 0
			for {
				if _, ok := s.next(t); !ok {
					told <- n
					return
				}
				n++
			}
		}()
		time.Sleep(10 * time.Second)
		s.close()
		if n := <-told; n < 1 || n > 10 {
			t.Errorf("%d messages waited", n)
		}
	})
}

// TestSessionsOfOthersAreUnknown answers a foreign session and one that never was
// alike, for every kind of message.
func TestSessionsOfOthersAreUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := cell{elder, elder, "/mcp"}
		srv, r := c.serve(t, settings{gateway: byName}, asking()...)
		ann := c.hand(r, `{"elicitation":{}}`, "X-Who", "ann")
		s := r.stream(ann.call(`"c"`, "form", ""))
		q := s.message(t)
		bob := *ann
		bob.headers = []string{"X-Who", "bob"}
		nobody := bob
		nobody.session = strings.Repeat("x", len(ann.session))
		for _, body := range []string{
			fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{"action":"accept"}}`, q.ID),
			`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"c"}}`,
			`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1}}`,
			`{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}`,
			`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a_who"}}`,
			`{"jsonrpc":"2.0","id":1,"method":"logging/setLevel","params":{"level":"debug"}}`,
			`{"jsonrpc":"2.0","id":1,"method":"resources/subscribe","params":{"uri":"mem://one"}}`,
			`{"jsonrpc":"2.0","id":1,"method":"ping"}`,
		} {
			foreign, unknown := bob.say(body), nobody.say(body)
			if foreign.status != 404 || unknown.status != 404 || foreign.body != unknown.body {
				t.Errorf("%s: a foreign one %d %s, an unknown one %d %s", body, foreign.status, foreign.body, unknown.status, unknown.body)
			}
		}
		for _, method := range []string{http.MethodGet, http.MethodDelete} {
			if a := r.do(r.request(method, "/mcp", "", bob.in()...)); a.status != 404 {
				t.Errorf("%s: %d", method, a.status)
			}
		}
		if srv.Requests(backendtest.MethodResponse) != 0 || srv.Executions("who") != 0 {
			t.Error("something of it reached the backend")
		}
		ann.reply(q.ID, `"result":{"action":"decline"}`)
		if _, last := s.until(t, `"c"`); last.text(t) != "decline" {
			t.Error(last.raw)
		}
	})
}
