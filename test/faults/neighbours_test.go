package faults

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/recloser-mcp/recloser/backendtest"
)

const list = "tools/list"

// neighbours is a gateway over five backends: one that hangs and one that is
// dead, from the start, and three that are well.
type neighbours struct {
	*gateway
	ctx        context.Context // ends with the test's own deadline
	hung, dead *backendtest.Server
	hang       *backendtest.Injection
	well       map[string]*backendtest.Server // by name
	servers    string                         // of the configuration
	t          *testing.T
}

func newNeighbours(t *testing.T) *neighbours {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	n := &neighbours{t: t, ctx: ctx, hung: backendtest.NewServer(t), dead: backendtest.NewServer(t, backendtest.WithDown()),
		well: map[string]*backendtest.Server{
			"elder":  backendtest.NewServer(t, backendtest.WithRevision("2025-11-25")),
			"modern": backendtest.NewServer(t, backendtest.WithRevision("2026-07-28")),
			"other":  backendtest.NewServer(t, backendtest.WithMCPGo()),
		}}
	n.hang = n.hung.Inject(backendtest.Hang(backendtest.Forever))
	n.servers = fmt.Sprintf("\n  hung: {url: %q}\n  dead: {url: %q}", n.hung.URL, n.dead.URL)
	for _, name := range n.names() {
		n.servers += fmt.Sprintf("\n  %s: {url: %q}", name, n.well[name].URL)
	}
	return n
}

// run starts the gateway.
func (n *neighbours) run() { n.gateway = serve(n.t, n.servers, nil) }

// names are those of the healthy backends.
func (n *neighbours) names() []string { return slices.Sorted(maps.Keys(n.well)) }

// listener is a session that is told when the list of tools changes.
type listener struct {
	*mcp.ClientSession
	told chan struct{}
}

// connect opens a session of a revision. An elder one begins with initialize.
func (n *neighbours) connect(revision string) listener {
	n.t.Helper()
	told := make(chan struct{}, 100)
	c := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, &mcp.ClientOptions{
		ToolListChangedHandler: func(context.Context, *mcp.ToolListChangedRequest) { told <- struct{}{} }})
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	s, err := c.Connect(n.ctx, &mcp.StreamableClientTransport{Endpoint: "http://" + n.Addr() + "/mcp",
		HTTPClient: &http.Client{Transport: transport}, MaxRetries: -1}, &mcp.ClientSessionOptions{ProtocolVersion: revision})
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { _ = s.Close(); transport.CloseIdleConnections() })
	return listener{s, told}
}

// tools lists what a client sees.
func (n *neighbours) tools(s listener) (names []string) {
	n.t.Helper()
	for tool, err := range s.Tools(n.ctx, nil) {
		if err != nil {
			n.t.Fatal(err)
		}
		names = append(names, tool.Name)
	}
	return names
}

// appear waits until a session lists the tools. As long as one is missing it
// does nothing but wait to be told of a change.
func (n *neighbours) appear(s listener, tools ...string) {
	n.t.Helper()
	for {
		have := n.tools(s)
		if !slices.ContainsFunc(tools, func(name string) bool { return !slices.Contains(have, name) }) {
			return
		}
		select {
		case <-s.told:
		case <-n.ctx.Done():
			n.t.Fatalf("%q are listed, want %q", have, tools)
		}
	}
}

// asked is how often each method was asked of each healthy backend.
func (n *neighbours) asked() map[string]int {
	all := map[string]int{}
	for name, s := range n.well {
		for _, x := range s.Exchanges() {
			all[name+" "+x.Method]++
		}
	}
	return all
}

// wantAsked compares what the healthy backends were asked since an earlier look.
func (n *neighbours) wantAsked(what string, since, want map[string]int) {
	n.t.Helper()
	got := n.asked()
	for key, before := range since {
		if got[key] -= before; got[key] == 0 {
			delete(got, key)
		}
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		n.t.Errorf("%s: asked of the healthy backends: %s", what, diff)
	}
}

// settle waits for the second refresh, which follows the standing stream: from
// then on nothing is asked of a healthy backend that no client asks for.
func (n *neighbours) settle() {
	n.t.Helper()
	for name, s := range n.well {
		err := s.WaitRequests(n.ctx, list, 2)
		if name != "elder" {
			err = cmp.Or(err, s.WaitRequests(n.ctx, "server/discover", 4))
		}
		if err != nil {
			n.t.Fatal(err)
		}
	}
	want := map[string]int{
		"elder server/discover": 1, "elder initialize": 1, "elder notifications/initialized": 1, "elder GET": 1, "elder tools/list": 2,
		"elder ping": n.well["elder"].Requests("ping"), // the probe's, and the refresh's if it is the one to open the session
	}
	for _, name := range []string{"modern", "other"} { // for the revision, for two refreshes and a probe
		want[name+" server/discover"], want[name+" subscriptions/listen"], want[name+" tools/list"] = 4, 1, 2
	}
	n.wantAsked("the start", nil, want)
}

// each makes calls to the healthy backends in turn, one after the other, and
// returns how long they took, sorted.
func (n *neighbours) each(s listener, calls int) []time.Duration {
	n.t.Helper()
	names := n.names()
	took := make([]time.Duration, 0, calls*len(names))
	for range calls {
		for _, name := range names {
			a := n.call(n.ctx, s.ClientSession, name+"_echo")
			wantAnswer(n.t, a)
			took = append(took, a.took)
		}
	}
	slices.Sort(took)
	return took
}

// deadline is a caller's own deadline, which passes when the test says so.
type deadline struct {
	context.Context
	passed chan struct{}
}

func (d deadline) Done() <-chan struct{} { return d.passed }

func (d deadline) Err() error {
	select {
	case <-d.passed:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

// TestAHungAndADeadBackendOfFiveDelayNobody logs how long everything took and
// insists on counts: what waits for the hung backend ends with the test's own
// deadline, as the backend never answers before it is told to.
func TestAHungAndADeadBackendOfFiveDelayNobody(t *testing.T) {
	const calls = 100 // to each healthy backend, alone and beside the hung one
	n := newNeighbours(t)

	watch := time.Now()
	lap := func() time.Duration { d := time.Since(watch); watch = time.Now(); return d }
	n.run()
	if !strings.Contains(n.get("/healthz"), "ok") {
		t.Fatal("the gateway does not serve")
	}
	start := lap()
	c := n.connect("2025-11-25")
	initialize := lap()
	n.tools(c)
	lists := lap()
	n.appear(c, "elder_echo", "modern_echo", "other_echo")
	wantCount(t, "lists at the hung backend", n.hung.Requests(list), 0)
	n.settle()
	quiet := n.asked()
	m := n.connect("2026-07-28")
	for range 10 {
		n.tools(c)
		n.tools(m)
	}
	n.wantAsked("a session and 20 lists", quiet, map[string]int{})
	alone := n.each(c, calls)

	// The hung backend lists now, and hangs in calls.
	stuck := n.hung.Inject(backendtest.Hang(backendtest.Forever).ForMethod(call))
	n.hang.Heal()
	n.appear(c, "hung_echo")
	d := deadline{n.ctx, make(chan struct{})}
	pass := sync.OnceFunc(func() { close(d.passed) })
	defer pass()
	left := make(chan answer, 1)
	go func() { left <- n.call(d, c.ClientSession, "hung_echo") }()
	if err := stuck.Wait(n.ctx, 1); err != nil {
		t.Fatal(err)
	}
	beside := n.each(c, calls)
	select {
	case a := <-left:
		t.Fatalf("a call to the hung backend ended by itself: %+v", a)
	default:
	}
	pass()
	if a := <-left; !errors.Is(a.err, context.DeadlineExceeded) {
		t.Errorf("a call to the hung backend ended with %v, want its caller's deadline", a.err)
	}
	if err := n.hung.WaitInFlight(n.ctx, 0); err != nil {
		t.Errorf("%d requests are held at the hung backend after their caller left", n.hung.InFlight())
	}
	wantCount(t, "sends of a call to the hung backend", n.hung.Requests(call), 1)

	lap()
	if err := n.dead.Up(); err != nil {
		t.Fatal(err)
	}
	n.appear(c, "dead_echo")
	dead := lap()
	n.appear(m, "dead_echo")
	wantAnswer(t, n.call(n.ctx, m.ClientSession, "dead_echo"))
	n.wantAsked("all calls", quiet, map[string]int{
		"elder tools/call": 2 * calls, "modern tools/call": 2 * calls, "other tools/call": 2 * calls,
		"elder initialize": 1, "elder notifications/initialized": 1, "elder GET": 1, // the client's session there
	})

	t.Logf("start %s, initialize %s, lists %s; p50 alone %s, beside the hung one %s; p99 alone %s, beside the hung one %s; dead backend's tools after %s",
		ms(start), ms(initialize), ms(lists), ms(quantile(alone, 50)), ms(quantile(beside, 50)), ms(quantile(alone, 99)), ms(quantile(beside, 99)), ms(dead))
}

// quantile returns the q-th percentile of sorted durations.
func quantile(sorted []time.Duration, q int) time.Duration { return sorted[(len(sorted)-1)*q/100] }

func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", d.Seconds()*1000) }
