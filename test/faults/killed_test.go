package faults

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"go.uber.org/goleak"

	"github.com/recloser-mcp/recloser/auth"
	"github.com/recloser-mcp/recloser/backendtest"
)

// bystander is a client that notes what it is told.
type bystander struct {
	*mcp.ClientSession
	t                         *testing.T
	ctx                       context.Context
	listed, updated, progress chan struct{}
}

func (g *gateway) bystander(ctx context.Context, revision string) *bystander {
	g.t.Helper()
	b := &bystander{t: g.t, ctx: ctx, listed: make(chan struct{}, 100), updated: make(chan struct{}, 100), progress: make(chan struct{}, 100)}
	c := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, &mcp.ClientOptions{
		ToolListChangedHandler:      func(context.Context, *mcp.ToolListChangedRequest) { b.listed <- struct{}{} },
		ResourceUpdatedHandler:      func(context.Context, *mcp.ResourceUpdatedNotificationRequest) { b.updated <- struct{}{} },
		ProgressNotificationHandler: func(context.Context, *mcp.ProgressNotificationClientRequest) { b.progress <- struct{}{} },
	})
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	s, err := c.Connect(ctx, &mcp.StreamableClientTransport{Endpoint: "http://" + g.Addr() + "/mcp",
		HTTPClient: &http.Client{Transport: transport}, MaxRetries: -1}, &mcp.ClientSessionOptions{ProtocolVersion: revision})
	if err != nil {
		g.t.Fatal(err)
	}
	b.ClientSession = s
	g.t.Cleanup(func() { _ = s.Close(); transport.CloseIdleConnections() })
	return b
}

// told waits to be told.
func (b *bystander) told(what string, c <-chan struct{}) {
	b.t.Helper()
	select {
	case <-c:
	case <-b.ctx.Done():
		b.t.Fatalf("never told of %s", what)
	}
}

// appear waits until the tools are listed, and asks only when told of a change.
func (b *bystander) appear(tools ...string) {
	b.t.Helper()
	for {
		list, err := b.ListTools(b.ctx, nil)
		if err != nil {
			b.t.Fatal(err)
		}
		if !slices.ContainsFunc(tools, func(name string) bool {
			return !slices.ContainsFunc(list.Tools, func(tool *mcp.Tool) bool { return tool.Name == name })
		}) {
			return
		}
		b.told(fmt.Sprintf("a list with %q", tools), b.listed)
	}
}

// TestAKilledBackendCostsNobodyElseAnythingAndIsBackByItself kills -9 a backend
// that is in a call, in a call that reports progress, and has a subscription. How
// long the callers wait is logged, and bound by the test's own deadline: neither
// call would ever end by itself.
func TestAKilledBackendCostsNobodyElseAnythingAndIsBackByItself(t *testing.T) {
	for _, back := range []string{"2025-11-25", "2026-07-28"} {
		for _, front := range []string{"2025-11-25", "2026-07-28"} {
			t.Run(fmt.Sprintf("backend %s, client %s", back, front), func(t *testing.T) {
				running, open := goleak.IgnoreCurrent(), descriptors(t)
				t.Run("killed", func(t *testing.T) { killed(t, back, front) })
				http.DefaultClient.CloseIdleConnections()
				if err := goleak.Find(running); err != nil {
					t.Error(err)
				}
				if now := descriptors(t); len(now) > len(open) {
					t.Errorf("%d descriptors are open, %d were before:\n%q\n%q", len(now), len(open), now, open)
				}
			})
		}
	}
}

func killed(t *testing.T, back, front string) {
	const calls = 20
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	b := newRemote(ctx, t, back)
	well := backendtest.NewServer(t, backendtest.WithRevision(back))
	g := serveProbing(t, time.Second, auth.NewRegistry(), fmt.Sprintf("\n  b: {url: %q}\n  well: {url: %q}", "http://"+b.addr+"/mcp", well.URL), nil)
	c := g.bystander(ctx, front)
	c.appear("b_echo", "b_hang", "b_report", "well_echo")
	asked := 0
	if back == front && back == "2025-11-25" {
		// The gateway follows a session of the client's own as soon as the client
		// has its standing stream: before that an update reaches nobody.
		wantAnswer(t, g.call(ctx, c.ClientSession, "well_echo"))
		if asked++; well.WaitStreams(ctx, 2) != nil {
			t.Fatal("the client's session at the other backend has no standing stream")
		}
	}
	if err := c.Subscribe(ctx, &mcp.SubscribeParams{URI: watched}); err != nil {
		t.Fatal(err)
	}
	b.tell("subscriptions", 1)
	if back == "2026-07-28" || asked > 0 {
		b.tell("streams", 2) // for lists, and for the subscription
	}
	b.tell("update", "second")
	c.told("an update", c.updated)

	held := well.Inject(backendtest.Hang(1).ForMethod(call))
	spared := make(chan answer, 1)
	go func() { spared <- g.call(ctx, c.ClientSession, "well_echo") }()
	if err := held.Wait(ctx, 1); err != nil {
		t.Fatal(err)
	}
	ended := make(chan answer, 2)
	for _, tool := range []string{"b_hang", "b_report"} {
		go func() {
			p := &mcp.CallToolParams{Name: tool}
			p.SetProgressToken(tool)
			a := g.callWith(ctx, c.ClientSession, p)
			a.text = tool
			ended <- a
		}()
	}
	b.await("hang", 1)
	b.await("report", 1)
	c.told("progress", c.progress)

	b.kill()
	dead := time.Now()
	var took []string
	// An answer that had begun, with the progress, is one that was cut off.
	reasons := map[string]string{"b_hang": "unreachable", "b_report": "protocol_error"}
	for range cap(ended) {
		a := <-ended
		took = append(took, ms(time.Since(dead)))
		wantError(t, a, reasons[a.text], 1)
		if !a.data.OutcomeUnknown {
			t.Errorf("%v does not say that the outcome is unknown", a.err)
		}
	}
	for range calls {
		wantAnswer(t, g.call(ctx, c.ClientSession, "well_echo"))
	}
	held.Heal()
	wantAnswer(t, <-spared)
	wantCount(t, "calls at the other backend", well.Requests(call), asked+calls+1)
	wantCount(t, "executions at the other backend", well.Executions("echo"), asked+calls+1)
	down := g.call(ctx, c.ClientSession, "b_echo")
	if down.err == nil || down.data.Reason != "unreachable" || down.data.OutcomeUnknown || down.data.Hint == "" {
		t.Errorf("a call while nobody listens: %v, %+v", down.err, down.data)
	}

	restarted := time.Now()
	b.start("new")
	c.appear("b_new")
	listed := time.Since(restarted)
	b.tell("subscriptions", 1)
	subscribed := time.Since(restarted)
	wantAnswer(t, g.call(ctx, c.ClientSession, "b_echo"))
	// What may have been missed is told once or twice, as a stream comes back. To
	// be told more often takes updates.
	c.told("what may have been missed", c.updated)
	for _, text := range []string{"third", "fourth", "fifth"} {
		b.tell("update", text)
		c.told("an update after the restart", c.updated)
	}
	b.tell("streams", 2)
	b.tell("add", "later")
	c.appear("b_later")

	for tool, n := range map[string]int{"hang": 1, "report": 1, "echo": 1, "new": 0} {
		wantCount(t, "executions of "+tool, b.executions(tool), n)
	}
	// A call that finds its session lost is sent again in a new one; it ran once.
	if n := b.ask("requests %s", call); n != "1" && (n != "2" || back != "2025-11-25") {
		t.Errorf("%s calls arrived after the restart, want 1", n)
	}
	t.Logf("errors after %s, while down after %s; after the restart listed after %s, subscribed after %s", took, ms(down.took), ms(listed), ms(subscribed))
}

// descriptors are those that the program has open, but for those of the runtime,
// which opens them once.
func descriptors(t *testing.T) (open []string) {
	t.Helper()
	const dir = "/proc/self/fd"
	all, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range all {
		to, err := os.Readlink(filepath.Join(dir, fd.Name()))
		if err == nil && to != "anon_inode:[eventpoll]" && to != "anon_inode:[eventfd]" {
			open = append(open, to)
		}
	}
	return open
}
