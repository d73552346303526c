package gateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/recloser-mcp/recloser/backendtest"
)

// logging are tools that say something at every other level.
func logging() []backendtest.Option {
	speak := func(ctx context.Context) error {
		return errors.Join(backendtest.Log(ctx, "debug", "l", "d"), backendtest.Log(ctx, "info", "l", "i"),
			backendtest.Log(ctx, "warning", "l", "w"), backendtest.Log(ctx, "error", "l", "e"))
	}
	return []backendtest.Option{
		backendtest.WithTool("log", func(ctx context.Context, _ json.RawMessage) (any, error) { return "done", speak(ctx) }),
		backendtest.WithTool("aside", func(ctx context.Context, _ json.RawMessage) (any, error) {
			_ = speak(backendtest.Aside(ctx)) // an error where the session has no stream
			return "done", nil
		}),
	}
}

// logs calls the tool as a client that wants messages of a level, and returns
// those that it was told.
func (p *party) logs(t *testing.T, tool, level string) []string {
	t.Helper()
	var meta mcp.Meta
	switch {
	case level == "":
	case p.cell.front == modern:
		meta = mcp.Meta{"io.modelcontextprotocol/logLevel": level}
	default:
		if err := p.SetLoggingLevel(t.Context(), &mcp.SetLoggingLevelParams{Level: mcp.LoggingLevel(level)}); err != nil {
			t.Fatal(err)
		}
	}
	if text, err := p.call(t.Context(), tool, meta); err != nil || text != "done" {
		t.Errorf("%q, %v", text, err)
	}
	return p.told()
}

func TestMessagesOfTheLevelThatTheClientSet(t *testing.T) {
	eachCell(t, func(t *testing.T, c cell) {
		_, r := c.serve(t, settings{}, logging()...)
		p := c.join(t, r, &mcp.ClientOptions{})
		if c.front == modern {
			if got := p.logs(t, "log", ""); got != nil {
				t.Errorf("nobody asked for %q", got)
			}
		}
		for _, step := range []struct {
			level string
			want  []string
		}{
			{"warning", []string{"log warning w", "log error e"}},
			{"debug", []string{"log debug d", "log info i", "log warning w", "log error e"}},
			{"emergency", nil},
			{"info", []string{"log info i", "log warning w", "log error e"}},
		} {
			if diff := cmp.Diff(step.want, p.logs(t, "log", step.level)); diff != "" {
				t.Errorf("%s: %s", step.level, diff)
			}
		}
		if c.front == modern { // what an earlier request asked for is past
			if got := p.logs(t, "log", ""); got != nil {
				t.Errorf("nobody asked for %q", got)
			}
		}
	})
}

func TestMessagesThatBelongToNoCall(t *testing.T) {
	for _, front := range []string{modern, elder} {
		t.Run(front, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := cell{front, elder, "/mcp"}
				_, r := c.serve(t, settings{}, logging()...)
				p := c.join(t, r, &mcp.ClientOptions{})
				p.logs(t, "log", "warning") // the session at the backend is open, and has a stream
				var want []string           // a client of 2026-07-28 has no stream for them
				if front == elder {
					want = []string{"log warning w", "log error e"}
				}
				if diff := cmp.Diff(want, p.logs(t, "aside", "warning")); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

func TestLevelsThatAreNone(t *testing.T) {
	eachCell(t, func(t *testing.T, c cell) {
		srv, r := c.serve(t, settings{}, logging()...)
		h := c.hand(r, `{}`)
		q := h.call(`1`, "log", "", `"io.modelcontextprotocol/logLevel":"loud"`)
		if c.front == elder {
			q = h.request(`1`, "logging/setLevel", "", `"level":"loud"`)
		}
		all := h.exchange(q)
		if last := all[len(all)-1]; last.Error == nil || last.Error.Code != -32602 {
			t.Errorf("%s", last.raw)
		}
		if n := srv.Executions("log"); n != 0 {
			t.Errorf("%d executions, want 0", n)
		}
	})
}

// TestALevelOutlivesTheSessionAtTheBackend drops the session that was told the
// level: the next one is told too.
func TestALevelOutlivesTheSessionAtTheBackend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := cell{elder, elder, "/mcp"}
		srv, r := c.serve(t, settings{}, logging()...)
		p := c.join(t, r, &mcp.ClientOptions{})
		want := []string{"log warning w", "log error e"}
		if diff := cmp.Diff(want, p.logs(t, "log", "warning")); diff != "" {
			t.Error(diff)
		}
		srv.DropSessions()
		if diff := cmp.Diff(want, p.logs(t, "log", "")); diff != "" {
			t.Error(diff)
		}
		if n := srv.Executions("log"); n != 2 {
			t.Errorf("%d executions, want 2", n)
		}
	})
}

func TestLoggingIsDeclaredWhereItIsServed(t *testing.T) {
	eachCell(t, func(t *testing.T, c cell) {
		_, r := c.serve(t, settings{}, backendtest.WithSubscriptions())
		method, params := "initialize", `"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}`
		if c.front == modern {
			method, params = "server/discover", ""
		}
		h := &hand{r: r, cell: c, capabilities: `{}`}
		m := h.exchange(h.request(`1`, method, "", params))
		var result struct{ Capabilities map[string]json.RawMessage }
		if err := json.Unmarshal(m[0].Result, &result); err != nil {
			t.Fatal(err)
		}
		if _, ok := result.Capabilities["logging"]; !ok {
			t.Errorf("no logging: %s", m[0].Result)
		}
		if !strings.Contains(string(result.Capabilities["resources"]), `"subscribe":true`) {
			t.Errorf("no subscriptions: %s", m[0].Result)
		}
	})
}
