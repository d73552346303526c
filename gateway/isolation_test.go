package gateway_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/backendtest"
)

// counting is a tool with state: it counts the calls in a session.
func counting() backendtest.Option {
	var mu sync.Mutex
	calls := map[string]int{}
	return backendtest.WithTool("count", func(ctx context.Context, _ json.RawMessage) (any, error) {
		m, _ := backendtest.MessageFrom(ctx)
		mu.Lock()
		defer mu.Unlock()
		calls[m.Session]++
		return fmt.Sprint(calls[m.Session]), nil
	})
}

// couples runs a test with two clients that know nothing of each other, of all
// eras, on one elder backend and one credential.
func couples(t *testing.T, test func(t *testing.T, ann, bob cell)) {
	for _, fronts := range [][2]string{{elder, elder}, {modern, elder}, {elder, modern}, {modern, modern}} {
		t.Run(strings.Join(fronts[:], " and "), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				test(t, cell{fronts[0], elder, "/mcp"}, cell{fronts[1], elder, "/mcp"})
			})
		})
	}
}

func TestCapabilitiesAreKeptApart(t *testing.T) {
	couples(t, func(t *testing.T, a, b cell) {
		srv, r := a.serve(t, settings{}, asking()...)
		var ann *party
		ann = a.join(t, r, &mcp.ClientOptions{ElicitationHandler: answers(&ann, "accept")}, "file:///ann")
		bob := b.join(t, r, &mcp.ClientOptions{}, "file:///bob")
		for range 2 {
			if got, err := ann.call(t.Context(), "form", nil); err != nil || got != `accept{"said":"name?!"}` {
				t.Errorf("ann: %q, %v", got, err)
			}
			if got, err := bob.call(t.Context(), "form", nil); err == nil {
				t.Errorf("bob: %q", got)
			}
			for name, p := range map[string]*party{"ann": ann, "bob": bob} {
				if got, err := p.call(t.Context(), "roots", nil); err != nil || got != "file:///"+name {
					t.Errorf("%s has the roots %q, %v", name, got, err)
				}
			}
		}
		if got := ann.told(); len(got) != 2 {
			t.Errorf("ann was asked %q", got)
		}
		// The backend was told of two clients, of each what it can do.
		var declared []string
		for _, x := range srv.Exchanges() {
			var m struct {
				Params struct {
					ClientInfo   struct{ Name string }
					Capabilities map[string]json.RawMessage
				}
			}
			if x.Method != "initialize" || json.Unmarshal(x.Body, &m) != nil || m.Params.ClientInfo.Name != "party" {
				continue
			}
			var names []string
			for name := range m.Params.Capabilities {
				names = append(names, name)
			}
			slices.Sort(names)
			declared = append(declared, strings.Join(names, " "))
		}
		slices.Sort(declared)
		if diff := cmp.Diff([]string{"elicitation roots", "roots"}, declared); diff != "" {
			t.Error(diff)
		}
	})
}

func TestChangedRootsAreToldInTheirSessionOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := cell{elder, elder, "/mcp"}
		srv, r := c.serve(t, settings{}, asking()...)
		ann, bob := c.join(t, r, &mcp.ClientOptions{}, "file:///ann"), c.join(t, r, &mcp.ClientOptions{}, "file:///bob")
		var sessions []string
		for _, p := range []*party{ann, bob} {
			if _, err := p.call(t.Context(), "roots", nil); err != nil {
				t.Fatal(err)
			}
			last, _ := srv.Last("tools/call")
			sessions = append(sessions, last.Session)
		}
		ann.client.AddRoots(&mcp.Root{URI: "file:///more"})
		synctest.Wait()
		note, _ := srv.Last("notifications/roots/list_changed")
		if n := srv.Requests("notifications/roots/list_changed"); n != 1 || note.Session != sessions[0] || sessions[0] == sessions[1] {
			t.Errorf("told %d times, in %q; sessions %q", n, note.Session, sessions)
		}
	})
}

func TestLogLevelsAreKeptApart(t *testing.T) {
	couples(t, func(t *testing.T, a, b cell) {
		_, r := a.serve(t, settings{}, logging()...)
		ann, bob := a.join(t, r, &mcp.ClientOptions{}), b.join(t, r, &mcp.ClientOptions{})
		all := []string{"log debug d", "log info i", "log warning w", "log error e"}
		for range 2 {
			if diff := cmp.Diff(all, ann.logs(t, "log", "debug")); diff != "" {
				t.Errorf("ann: %s", diff)
			}
			if diff := cmp.Diff(all[3:], bob.logs(t, "log", "error")); diff != "" {
				t.Errorf("bob: %s", diff)
			}
		}
		if got := slices.Concat(ann.told(), bob.told()); got != nil {
			t.Errorf("told of another's call: %q", got)
		}
		if b.front == modern {
			if got := bob.logs(t, "log", ""); got != nil {
				t.Errorf("bob asked for nothing and got %q", got)
			}
		}
	})
}

func TestSubscriptionsAreKeptApart(t *testing.T) {
	couples(t, func(t *testing.T, a, b cell) {
		srv, r := a.serve(t, settings{}, backendtest.WithSubscriptions())
		ann, bob := a.join(t, r, &mcp.ClientOptions{}), b.join(t, r, &mcp.ClientOptions{})
		if _, err := bob.call(t.Context(), "who", nil); err != nil { // he is there
			t.Fatal(err)
		}
		ann.watch(t)
		update(t, srv, "second")
		if diff := cmp.Diff([]string{"updated " + watched}, ann.told()); diff != "" {
			t.Errorf("ann: %s", diff)
		}
		if got := bob.told(); got != nil {
			t.Errorf("bob was told %q", got)
		}
		bob.watch(t)
		ann.unwatch(t)
		update(t, srv, "third")
		if got := ann.told(); got != nil {
			t.Errorf("ann was told %q", got)
		}
		if diff := cmp.Diff([]string{"updated " + watched}, bob.told()); diff != "" {
			t.Errorf("bob: %s", diff)
		}
	})
}

// TestQuestionsReachWhoeverCalled has both ask at the same time, many times over.
func TestQuestionsReachWhoeverCalled(t *testing.T) {
	couples(t, func(t *testing.T, a, b cell) {
		srv, r := a.serve(t, settings{}, backendtest.WithTool("me", func(ctx context.Context, args json.RawMessage) (any, error) {
			e, err := backendtest.Elicit(ctx, "who are you, "+string(args), form)
			return string(e.Content), err
		}))
		join := func(c cell, name string) *party {
			return c.join(t, r, &mcp.ClientOptions{ElicitationHandler: func(_ context.Context, q *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
				if !strings.Contains(q.Params.Message, name) {
					t.Errorf("%s was asked %q", name, q.Params.Message)
				}
				return &mcp.ElicitResult{Action: "accept", Content: map[string]any{"said": q.Params.Message}}, nil
			}})
		}
		ann, bob := join(a, "ann"), join(b, "bob")
		var wg sync.WaitGroup
		for name, p := range map[string]*party{"ann": ann, "bob": bob} {
			for i := range 10 {
				wg.Go(func() {
					me := fmt.Sprint(name, i)
					res, err := p.CallTool(t.Context(), &mcp.CallToolParams{Name: "a_me", Arguments: map[string]any{"me": me}})
					if err != nil || res.IsError || !strings.Contains(res.Content[0].(*mcp.TextContent).Text, me+`\"`) {
						t.Errorf("%s: %v, %v", me, res, err)
					}
				})
			}
		}
		wg.Wait()
		if n := srv.Executions("me"); n != 20 {
			t.Errorf("%d executions, want 20", n)
		}
	})
}

func TestToolsWithStateAreKeptApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := cell{elder, elder, "/mcp"}
		_, r := c.serve(t, settings{gateway: byName}, counting())
		count := func(h *hand) string {
			all := h.exchange(h.call(`1`, "count", ""))
			return all[len(all)-1].text(t)
		}
		stateless := cell{modern, elder, "/mcp"}
		// Sessions of one caller, requests of two callers that have none.
		clients := []*hand{c.hand(r, `{}`, "X-Who", "ann"), c.hand(r, `{}`, "X-Who", "ann"),
			stateless.hand(r, `{}`, "X-Who", "ann"), stateless.hand(r, `{}`, "X-Who", "bob")}
		for want := 1; want <= 3; want++ {
			for i, h := range clients {
				if got := count(h); got != fmt.Sprint(want) {
					t.Errorf("client %d counts %s, want %d", i, got, want)
				}
			}
		}
	})
}

// shared makes the backend one without isolation.
func shared(_ int, o *backend.Options) { o.Isolation = backend.Shared }

func TestASharedSessionAsksNobody(t *testing.T) {
	for _, front := range []string{modern, elder} {
		for _, method := range []string{"sampling/createMessage", "roots/list"} {
			t.Run(strings.ReplaceAll(method, "/", ".")+" "+front, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c := cell{front, elder, "/mcp"}
					srv, r := c.serve(t, settings{backend: shared}, backendtest.WithTool("bold", func(ctx context.Context, _ json.RawMessage) (any, error) {
						_, err := backendtest.Ask(ctx, backendtest.Question{Method: method, Params: json.RawMessage(`{"maxTokens":1,"messages":[]}`)})
						return fmt.Sprint("refused: ", err), nil
					}))
					h := c.hand(r, `{"elicitation":{},"sampling":{},"roots":{}}`)
					all := h.converse(h.call(`1`, "bold", ""), func(m message) string {
						t.Errorf("asked %s", m.raw)
						return `"result":{}`
					})
					last := all[len(all)-1]
					if !strings.Contains(last.text(t), "isolation: shared") {
						t.Errorf("the error does not say why: %s", last.raw)
					}
					if n := srv.Executions("bold"); n != 1 {
						t.Errorf("%d executions, want 1", n)
					}
				})
			})
		}
	}
}

func TestProgressInASharedSessionReachesItsOwnClient(t *testing.T) {
	couples(t, func(t *testing.T, a, b cell) {
		both := make(chan struct{})
		var once sync.WaitGroup
		once.Add(2)
		go func() { once.Wait(); close(both) }()
		srv, r := a.serve(t, settings{backend: shared}, backendtest.WithTool("work", func(ctx context.Context, args json.RawMessage) (any, error) {
			once.Done()
			<-both // until both run
			for i := range 5 {
				if err := backendtest.Progress(ctx, float64(i+1), 5, string(args)); err != nil {
					return nil, err
				}
			}
			return string(args), nil
		}))
		before := srv.Sessions()
		ann, bob := a.join(t, r, &mcp.ClientOptions{}), b.join(t, r, &mcp.ClientOptions{})
		var wg sync.WaitGroup
		for name, p := range map[string]*party{"ann": ann, "bob": bob} {
			wg.Go(func() {
				res, err := p.CallTool(t.Context(), &mcp.CallToolParams{Name: "a_work", Arguments: map[string]any{"me": name}, Meta: mcp.Meta{"progressToken": "same"}})
				if err != nil || res.Content[0].(*mcp.TextContent).Text != `{"me":"`+name+`"}` {
					t.Errorf("%s: %v, %v", name, res, err)
				}
			})
		}
		wg.Wait()
		for name, p := range map[string]*party{"ann": ann, "bob": bob} {
			var want []string
			for i := range 5 {
				want = append(want, fmt.Sprintf(`progress same %d {"me":"%s"}`, i+1, name))
			}
			if diff := cmp.Diff(want, p.told()); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
		}
		if n := srv.Sessions() - before; n != 0 {
			t.Errorf("%d sessions were opened for the clients", n)
		}
	})
}

func TestWhatASharedSessionIsNotToldOfOneClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := cell{elder, elder, "/mcp"}
		srv, r := c.serve(t, settings{backend: shared}, append(logging(), backendtest.WithSubscriptions())...)
		ann, bob := c.join(t, r, &mcp.ClientOptions{}, "file:///ann"), c.join(t, r, &mcp.ClientOptions{})
		ann.logs(t, "log", "debug")
		if got := bob.logs(t, "log", ""); got != nil {
			t.Errorf("bob set no level and got %q", got)
		}
		ann.client.AddRoots(&mcp.Root{URI: "file:///more"})
		synctest.Wait()
		for _, method := range []string{"logging/setLevel", "notifications/roots/list_changed"} {
			if n := srv.Requests(method); n != 0 {
				t.Errorf("%d of %s in the session of all", n, method)
			}
		}
		ann.watch(t)
		bob.watch(t)
		update(t, srv, "second")
		for _, p := range []*party{ann, bob} {
			if diff := cmp.Diff([]string{"updated " + watched}, p.told()); diff != "" {
				t.Error(diff)
			}
		}
		ann.unwatch(t)
		update(t, srv, "third")
		if got := ann.told(); got != nil {
			t.Errorf("ann was told %q", got)
		}
		if n := srv.SubscriptionsMade(watched); n != 1 {
			t.Errorf("%d subscriptions in the session of all, want 1", n)
		}
	})
}
