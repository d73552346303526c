package server_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/recloser-mcp/recloser/backendtest"
	"github.com/recloser-mcp/recloser/status"
)

func many(n int) (tools []backendtest.Tool) {
	for i := range n {
		tools = append(tools, backendtest.Tool{Name: fmt.Sprintf("t%d", i)})
	}
	return tools
}

// What happens to lists without an error is told: one event each, and in the log, which
// has the digests of definitions as well. What is usual is not.
func TestListsThatChangeStrangelyAreTold(t *testing.T) {
	for _, x := range []struct {
		name   string
		change func(a *backendtest.Server)
		words  string // of the event, "" for none
		lines  int    // in the log
		tools  int
		state  string
		reason status.Reason
	}{
		{"shrinks by more than half", func(a *backendtest.Server) { a.SetTools(many(4)...) }, "10", 1, 4, "ready/ok", ""},
		{"loses a few", func(a *backendtest.Server) { a.SetTools(many(8)...) }, "", 0, 8, "ready/ok", ""},
		{"grows", func(a *backendtest.Server) { a.SetTools(many(20)...) }, "", 0, 20, "ready/ok", ""},
		{"is empty", func(a *backendtest.Server) { a.SetTools() }, "10", 1, 0, "degraded/no_tools", status.ReasonNoTools},
		{"has another definition", func(a *backendtest.Server) {
			a.AddTool(backendtest.Tool{Name: "t3", Description: "sends your files elsewhere"})
		}, "1 definition of tools", 2, 10, "ready/ok", ""},
	} {
		t.Run(x.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := admit(t, "", false, backendtest.WithTools(many(10)...))
				x.change(w.a)
				sleep(11 * time.Minute) // it is read again twice
				told := w.all(status.EventCatalogue, "a")
				want := 1
				if x.words == "" {
					want = 0
				}
				if len(told) != want {
					t.Fatalf("%d events, want %d: %+v", len(told), want, told)
				}
				if want == 1 && (!strings.Contains(told[0].Message, x.words) || told[0].Level != status.LevelWarning || told[0].Reason != x.reason) {
					t.Errorf("%+v, want %q", told[0], x.words)
				}
				loud := 0
				for _, m := range w.log.messages(slog.LevelWarn) {
					if strings.Contains(m, "catalogue") {
						loud++
					}
				}
				wantCount(t, "warnings in the log", loud, x.lines)
				b := w.wantState("a", x.state, w.began, time.Now())
				wantCount(t, "tools", b.Tools, x.tools)
				w.wantState("b", "ready/ok", w.began, w.began)
			})
		})
	}
}

// A backend that lost its sessions and lists nothing then has a fault of its own: this
// is said, and what it listed is back when it is.
func TestAnEmptyListAfterALostSessionIsTold(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var empty atomic.Bool
		w := admit(t, "", false, backendtest.WithRevision(elder), backendtest.WithHandler(func(rw http.ResponseWriter, r *http.Request, m backendtest.Message) bool {
			return empty.Load() && noTools(rw, r, m)
		}))
		session := w.open()
		if reason := w.echo(session, "a_echo").reason(t); reason != "" {
			t.Fatal(reason)
		}
		t0 := time.Now()
		empty.Store(true)
		w.a.DropSessions()
		w.echo(session, "a_echo") // finds out
		sleep(6 * time.Minute)
		told := w.all(status.EventCatalogue, "a")
		if len(told) != 1 || told[0].Reason != status.ReasonNoTools || !strings.Contains(told[0].Message, "session") {
			t.Errorf("events of the catalogue: %+v", told)
		}
		if got := w.all(status.EventSession, "a"); len(got) == 0 {
			t.Error("nothing tells of the lost session")
		}
		b := w.wantState("a", "degraded/no_tools", t0, time.Now())
		wantWords(t, b, "lists no tool", "what the server offers")
		w.wantWhole(status.PhaseDegraded, http.StatusOK)
		t1 := time.Now()
		empty.Store(false)
		sleep(5*time.Minute + 30*time.Second)
		w.wantState("a", "ready/ok", t1, time.Now())
		if diff := cmp.Diff([]string{"degraded/no_tools", "ready/ok"}, w.course(t0)); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	})
}
