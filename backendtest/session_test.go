package backendtest_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/recloser-mcp/recloser/backendtest"
)

const initialize = `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25",` +
	`"capabilities":{},"clientInfo":{"name":"t","version":"1"}}}`

const legacyCall = `{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"echo","arguments":{}}}`

// openSession does the handshake of the elder revisions by hand.
func openSession(t *testing.T, srv *backendtest.Server, c *http.Client) (id string) {
	t.Helper()
	res, body, err := post(t, srv, c, initialize)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("initialize: %v %q %v", res, body, err)
	}
	id = res.Header.Get("Mcp-Session-Id")
	if id == "" {
		t.Fatal("no session id")
	}
	res, _, err = post(t, srv, c, `{"jsonrpc":"2.0","method":"notifications/initialized"}`, "Mcp-Session-Id", id)
	if err != nil || res.StatusCode != http.StatusAccepted {
		t.Fatalf("initialized: %v %v", res, err)
	}
	return id
}

func sessionCall(t *testing.T, srv *backendtest.Server, c *http.Client, id string) int {
	t.Helper()
	res, _, err := post(t, srv, c, legacyCall, "Mcp-Session-Id", id, "MCP-Protocol-Version", "2025-11-25")
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode
}

// standing opens the GET stream of a session.
func standing(t *testing.T, srv *backendtest.Server, c *http.Client, id string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "text/event-stream")
	req.Header.Set("Mcp-Session-Id", id)
	res, err := c.Do(req)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("GET: %v %v", res, err)
	}
	return res
}

func TestSessions(t *testing.T) {
	eachFlavour(t, func(t *testing.T, start func(...backendtest.Option) *backendtest.Server) {
		srv := start(backendtest.WithRevision("2025-11-25"))
		c := srv.Client()
		first, second := openSession(t, srv, c), openSession(t, srv, c)
		var got []int
		got = append(got, sessionCall(t, srv, c, first))
		del, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, srv.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		del.Header.Set("Mcp-Session-Id", first)
		res, err := c.Do(del)
		if err != nil || res.StatusCode/100 != 2 {
			t.Fatalf("DELETE: %v %v", res, err)
		}
		_ = res.Body.Close()
		got = append(got, sessionCall(t, srv, c, first), sessionCall(t, srv, c, second))
		if d := cmp.Diff([]int{200, 404, 200}, got); d != "" {
			t.Error(d)
		}
		if srv.Sessions() != 2 || srv.SessionsClosed() != 1 {
			t.Errorf("opened %d, closed %d", srv.Sessions(), srv.SessionsClosed())
		}
		if got := srv.Requests(backendtest.MethodDelete); got != 1 {
			t.Errorf("DELETE %d", got)
		}
	})
}

func TestDropSession(t *testing.T) {
	eachFlavour(t, func(t *testing.T, start func(...backendtest.Option) *backendtest.Server) {
		srv := start(backendtest.WithRevision("2025-11-25"))
		c := srv.Client()
		first, second := openSession(t, srv, c), openSession(t, srv, c)
		stream := standing(t, srv, c, first)
		srv.Inject(backendtest.DropSession(1).ForMethod("tools/call"))
		got := []int{
			sessionCall(t, srv, c, first), sessionCall(t, srv, c, first), sessionCall(t, srv, c, second),
		}
		if d := cmp.Diff([]int{404, 404, 200}, got); d != "" {
			t.Error(d)
		}
		if _, err := io.ReadAll(stream.Body); err != nil {
			t.Errorf("the standing stream broke: %v", err)
		}
		_ = stream.Body.Close()
		if srv.Executions("echo") != 1 || srv.SessionsClosed() != 1 {
			t.Errorf("executions %d, closed %d", srv.Executions("echo"), srv.SessionsClosed())
		}
		srv.DropSessions()
		if got := sessionCall(t, srv, c, second); got != 404 {
			t.Error(got)
		}
		if got := sessionCall(t, srv, c, openSession(t, srv, c)); got != 200 {
			t.Error(got)
		}
	})
}

func TestAServerListensWhereAnotherDid(t *testing.T) {
	first, err := backendtest.StartServer()
	if err != nil {
		t.Fatal(err)
	}
	first.Close()
	again := backendtest.NewServer(t, backendtest.WithAddr(first.Addr()))
	if again.URL != first.URL {
		t.Errorf("at %s, want %s", again.URL, first.URL)
	}
	c := again.Client()
	if got := sessionCall(t, again, c, openSession(t, again, c)); got != 200 {
		t.Error(got)
	}
}

func TestDownAndUp(t *testing.T) {
	eachFlavour(t, func(t *testing.T, start func(...backendtest.Option) *backendtest.Server) {
		srv := start(backendtest.WithDown(), backendtest.WithRevision("2025-11-25"))
		c := srv.Client()
		down := func() {
			t.Helper()
			if _, _, err := post(t, srv, c, ping); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("while down: %v", err)
			}
		}
		down()
		for range 2 {
			if err := srv.Up(); err != nil {
				t.Fatal(err)
			}
		}
		id := openSession(t, srv, c)
		stream := standing(t, srv, c, id)
		srv.Down()
		if _, err := io.ReadAll(stream.Body); err == nil {
			t.Error("the standing stream ended well")
		}
		_ = stream.Body.Close()
		down()
		if err := srv.Up(); err != nil {
			t.Fatal(err)
		}
		if got := sessionCall(t, srv, c, id); got != 200 {
			t.Errorf("the session did not survive: %d", got)
		}
	})
}

func TestEndStreams(t *testing.T) {
	eachFlavour(t, func(t *testing.T, start func(...backendtest.Option) *backendtest.Server) {
		srv := start()
		c := srv.Client()
		id := openSession(t, srv, c)
		stream := standing(t, srv, c, id)
		listening := make(chan string, 1)
		go func() {
			body := `{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{` +
				`"notifications":{"toolsListChanged":true},` + meta + `}}`
			_, got, _ := post(t, srv, c, body, "MCP-Protocol-Version", "2026-07-28", "Mcp-Method", "subscriptions/listen")
			listening <- got
		}()
		if err := srv.WaitStreams(t.Context(), 2); err != nil || srv.Streams() != 2 {
			t.Fatal(err, srv.Streams())
		}
		srv.EndStreams()
		if _, err := io.ReadAll(stream.Body); err != nil {
			t.Error(err)
		}
		_ = stream.Body.Close()
		if got := <-listening; !strings.Contains(got, "acknowledged") {
			t.Errorf("%q", got)
		}
		if err := srv.WaitStreams(t.Context(), 0); err != nil {
			t.Error(err)
		}
		if got := sessionCall(t, srv, c, id); got != http.StatusOK {
			t.Errorf("the session went with its stream: %d", got)
		}
		if srv.MaxInFlight() != 1 {
			t.Errorf("streams count as in flight: %d", srv.MaxInFlight())
		}
	})
}

func TestOnlyItsOwnAddressIsReached(t *testing.T) {
	eachFlavour(t, func(t *testing.T, start func(...backendtest.Option) *backendtest.Server) {
		one, two := start(), start()
		if one.Addr() == two.Addr() {
			t.Fatal("one address for two servers")
		}
		if _, _, err := post(t, two, one.Client(), ping); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("error %v", err)
		}
		transport := &http.Transport{DialContext: backendtest.Dialer(one, two)}
		defer transport.CloseIdleConnections()
		for _, srv := range []*backendtest.Server{one, two} {
			mustCall(t, srv, &http.Client{Transport: transport})
		}
		if one.Requests("") != 1 || two.Requests("") != 1 {
			t.Error(one.Requests(""), two.Requests(""))
		}
		_, err := backendtest.Dialer(one)(t.Context(), "tcp", "example.com:80")
		if !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("error %v", err)
		}
	})
}

func TestClientsAreToldOfChangedTools(t *testing.T) {
	for name, dial := range clients {
		for _, revision := range []string{"2026-07-28", "2025-11-25"} {
			t.Run(name+"/"+revision, func(t *testing.T) {
				eachFlavour(t, func(t *testing.T, start func(...backendtest.Option) *backendtest.Server) {
					srv := start(backendtest.WithRevision(revision), backendtest.WithTool("a", backendtest.Text("a")))
					changed := make(chan struct{}, 10)
					c, err := dial(t.Context(), srv, srv.Client(), func() { changed <- struct{}{} })
					if err != nil {
						t.Fatal(err)
					}
					defer c.close()
					stream := "subscriptions/listen"
					if revision != "2026-07-28" {
						stream = backendtest.MethodGet
					}
					waitStream(t, srv, stream)
					for _, step := range []struct {
						change func()
						want   []string
					}{
						{func() { srv.AddTool(backendtest.Tool{Name: "b"}) }, []string{"a", "b"}},
						{func() { srv.RemoveTool("a") }, []string{"b"}},
						{func() { srv.SetTools(backendtest.Tool{Name: "c"}, backendtest.Tool{Name: "d"}) }, []string{"c", "d"}},
					} {
						step.change()
						<-changed
						tools, err := c.tools(t.Context())
						if d := cmp.Diff(step.want, tools); d != "" || err != nil {
							t.Error(d, err)
						}
					}
				})
			})
		}
	}
}

// waitStream waits until a standing stream has begun to answer.
func waitStream(t *testing.T, srv *backendtest.Server, method string) {
	t.Helper()
	if err := srv.WaitStreams(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if x, ok := srv.Last(method); !ok || x.Status != http.StatusOK {
		t.Fatalf("%s: %+v", method, x)
	}
}

func TestMessagesThatAreNone(t *testing.T) {
	srv := backendtest.NewServer(t)
	c := srv.Client()
	for body, want := range map[string]string{
		`{`:                                    backendtest.MethodInvalid,
		``:                                     backendtest.MethodInvalid,
		`{"jsonrpc":"2.0"}`:                    backendtest.MethodInvalid,
		` [` + ping + `]`:                      backendtest.MethodBatch,
		`{"jsonrpc":"2.0","id":1,"result":{}}`: backendtest.MethodResponse,
	} {
		before := srv.Requests(want)
		if _, _, err := post(t, srv, c, body); err != nil {
			t.Fatal(err)
		}
		if got := srv.Requests(want) - before; got != 1 {
			t.Errorf("%q counted %d times as %s", body, got, want)
		}
	}
	mustCall(t, srv, c)
}

func TestExchangesTellWhatHappened(t *testing.T) {
	srv := backendtest.NewServer(t, backendtest.WithToken("s3cret"))
	c := withToken(srv.Client(), func() string { return "s3cret" })
	mustCall(t, srv, c)
	x, ok := srv.Last("tools/call")
	if !ok {
		t.Fatal("no exchange")
	}
	got := []string{x.HTTPMethod, x.Method, x.Name, x.Credential, x.Revision, x.Header.Get("Mcp-Name"), string(x.Body)}
	want := []string{"POST", "tools/call", "echo", "s3cret", "2026-07-28", "echo", call}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if x.Status != http.StatusOK || len(srv.Exchanges()) != 1 {
		t.Errorf("status %d of %d", x.Status, len(srv.Exchanges()))
	}
	if _, ok := srv.Last("tools/list"); ok {
		t.Error("a request that never came")
	}
}

func TestWaitingEndsWithTheContext(t *testing.T) {
	srv := backendtest.NewServer(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	i := srv.Inject(backendtest.Hang(1))
	for name, err := range map[string]error{
		"requests": srv.WaitRequests(ctx, "", 1), "in flight": srv.WaitInFlight(ctx, 1),
		"streams": srv.WaitStreams(ctx, 1), "hits": i.Wait(ctx, 1),
		"issuer": backendtest.NewIssuer(t).WaitRequests(ctx, 1),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := errors.Join(srv.WaitRequests(ctx, "", 0), srv.WaitInFlight(ctx, 0), i.Wait(ctx, 0)); err != nil {
		t.Error(err)
	}
}

func TestBadOptions(t *testing.T) {
	issuer := backendtest.NewIssuer(t)
	for name, opts := range map[string][]backendtest.Option{
		"unknown revision": {backendtest.WithRevision("2020-01-01")},
		"exclude":          {backendtest.WithBearer(issuer), backendtest.WithToken("x")},
		"without a name":   {backendtest.WithTools(backendtest.Tool{})},
		"schema":           {backendtest.WithTools(backendtest.Tool{Name: "x", InputSchema: []byte(`{"type":"array"}`)})},
	} {
		srv, err := backendtest.StartServer(opts...)
		if err == nil {
			srv.Close()
		}
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
