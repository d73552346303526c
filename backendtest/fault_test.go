package backendtest_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/recloser-mcp/recloser/backendtest"
)

const (
	ping = `{"jsonrpc":"2.0","id":1,"method":"ping"}`
	call = `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"echo","arguments":{"x":1},` +
		`"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",` +
		`"io.modelcontextprotocol/clientInfo":{"name":"t","version":"1"},` +
		`"io.modelcontextprotocol/clientCapabilities":{}}}}`
)

var modernHeaders = []string{
	"MCP-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/call", "Mcp-Name", "echo",
}

// callEcho sends one tools/call of revision 2026-07-28.
func callEcho(t *testing.T, srv *backendtest.Server, c *http.Client) (*http.Response, string, error) {
	t.Helper()
	return post(t, srv, c, call, modernHeaders...)
}

func mustCall(t *testing.T, srv *backendtest.Server, c *http.Client) {
	t.Helper()
	res, body, err := callEcho(t, srv, c)
	if err != nil || res.StatusCode != http.StatusOK || !strings.Contains(body, `{\"x\":1}`) {
		t.Fatalf("call: %v %q %v", res, body, err)
	}
}

func TestStatus(t *testing.T) {
	eachFlavour(t, func(t *testing.T, start func(...backendtest.Option) *backendtest.Server) {
		srv := start()
		c := srv.Client()
		i := srv.Inject(backendtest.Status(http.StatusUnauthorized, 2).
			Challenge("invalid_token").Header("Retry-After", "3").Body("no").ForMethod("tools/call"))
		for range 2 {
			res, body, err := callEcho(t, srv, c)
			if err != nil || res.StatusCode != http.StatusUnauthorized || body != "no" {
				t.Fatalf("%v %q %v", res, body, err)
			}
			got := []string{res.Header.Get("WWW-Authenticate"), res.Header.Get("Retry-After")}
			if d := cmp.Diff([]string{`Bearer error="invalid_token"`, "3"}, got); d != "" {
				t.Error(d)
			}
		}
		mustCall(t, srv, c)
		got := map[string]int{
			"refused": srv.Refused("tools/call"), "requests": srv.Requests("tools/call"),
			"executions": srv.Executions("echo"), "hits": i.Hits(), "most in flight": srv.MaxInFlight(),
		}
		want := map[string]int{"refused": 2, "requests": 3, "executions": 1, "hits": 2, "most in flight": 1}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
	})
}

func TestStatusAnswers(t *testing.T) {
	srv := backendtest.NewServer(t)
	c := srv.Client()
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for _, tt := range []struct {
		name   string
		fault  backendtest.Fault
		status int
		header map[string]string
		body   string
	}{
		{"scope", backendtest.Status(403, 1).Challenge("insufficient_scope", "a", "b"), 403,
			map[string]string{"WWW-Authenticate": `Bearer error="insufficient_scope", scope="a b"`}, ""},
		{"policy", backendtest.Status(403, 1).RPCError(-32000, "origin", nil), 403,
			map[string]string{"Content-Type": "application/json"},
			`{"jsonrpc":"2.0","id":7,"error":{"code":-32000,"message":"origin"}}`},
		{"redirect", backendtest.Status(307, 1).Header("Location", "http://127.0.0.1:1/x"), 307,
			map[string]string{"Location": "http://127.0.0.1:1/x"}, ""},
		{"page", backendtest.Status(200, 1).Header("Content-Type", "text/html").Body("<p>"), 200,
			map[string]string{"Content-Type": "text/html"}, "<p>"},
		{"size", backendtest.Status(500, 1).Body("ab").BodySize(5), 500, nil, "abxxx"},
		{"header", backendtest.Status(401, 1).HeaderSize("X-Huge", 3), 401, map[string]string{"X-Huge": "xxx"}, ""},
		{"no content", backendtest.Status(204, 1).Body("dropped"), 204, nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv.Inject(tt.fault)
			res, body, err := callEcho(t, srv, c)
			if err != nil || res.StatusCode != tt.status || body != tt.body {
				t.Fatalf("%v %q %v", res, body, err)
			}
			for name, want := range tt.header {
				if got := res.Header.Get(name); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
		})
	}
	if got := srv.Executions(""); got != 0 {
		t.Errorf("executions %d", got)
	}
}

func TestEndlessBodyCostsNoMemory(t *testing.T) {
	srv := backendtest.NewServer(t, backendtest.WithFault(backendtest.Status(401, 1).BodySize(10<<30)))
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL, strings.NewReader(ping))
	res, err := srv.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if n, err := io.CopyN(io.Discard, res.Body, 8<<20); n != 8<<20 {
		t.Fatal(n, err)
	}
}

func TestResetPeer(t *testing.T) {
	eachFlavour(t, func(t *testing.T, start func(...backendtest.Option) *backendtest.Server) {
		srv := start()
		c := srv.Client()
		srv.Inject(backendtest.ResetPeer(1))
		srv.Inject(backendtest.ResetPeer(1).AfterExecution())
		for i := range 2 {
			_, _, err := callEcho(t, srv, c)
			if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.EOF) {
				t.Errorf("error %v", err)
			}
			if got := srv.Executions("echo"); got != i {
				t.Errorf("executions %d, want %d", got, i)
			}
		}
		mustCall(t, srv, c)
		if got := srv.Connections(); got != 3 {
			t.Errorf("connections %d", got)
		}
	})
}

func TestResetIsARealReset(t *testing.T) {
	srv := backendtest.NewServer(t, backendtest.WithFault(backendtest.ResetPeer(1)))
	if _, _, err := callEcho(t, srv, srv.Client()); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("error %v", err)
	}
}

func TestLimitData(t *testing.T) {
	eachFlavour(t, func(t *testing.T, start func(...backendtest.Option) *backendtest.Server) {
		srv := start()
		c := srv.Client()
		srv.Inject(backendtest.LimitData(10).Times(1))
		_, body, err := callEcho(t, srv, c)
		if err == nil || len(body) != 10 {
			t.Errorf("%q %v", body, err)
		}
		mustCall(t, srv, c)
		srv.Inject(backendtest.LimitData(1 << 20))
		mustCall(t, srv, c)
		if got := srv.Executions("echo"); got != 3 {
			t.Errorf("executions %d", got)
		}
	})
}

func TestTruncateStream(t *testing.T) {
	eachFlavour(t, func(t *testing.T, start func(...backendtest.Option) *backendtest.Server) {
		srv := start(backendtest.WithTool("echo", func(ctx context.Context, args json.RawMessage) (any, error) {
			return string(args), backendtest.Progress(ctx, 1, 2, "half")
		}))
		c := srv.Client()
		withProgress := strings.Replace(call, `"_meta":{`, `"_meta":{"progressToken":"p",`, 1)
		i := srv.Inject(backendtest.TruncateStream(1))
		res, body, err := post(t, srv, c, withProgress, modernHeaders...)
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("%v %v", res, err)
		}
		if strings.Contains(body, `"result"`) && strings.HasSuffix(strings.TrimSpace(body), "}") {
			t.Errorf("the response came: %q", body)
		}
		if strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") && !strings.Contains(body, "notifications/progress") {
			t.Errorf("events before the response are missing: %q", body)
		}
		if i.Hits() != 1 || srv.Executions("echo") != 1 {
			t.Errorf("hits %d, executions %d", i.Hits(), srv.Executions("echo"))
		}
		mustCall(t, srv, c)
	})
}

func TestHang(t *testing.T) {
	eachFlavour(t, func(t *testing.T, start func(...backendtest.Option) *backendtest.Server) {
		srv := start()
		c := srv.Client()
		i := srv.Inject(backendtest.Hang(2))

		ctx, cancel := context.WithCancel(t.Context())
		left := make(chan error, 1)
		go func() {
			req, _ := http.NewRequestWithContext(ctx, http.MethodPost, srv.URL, strings.NewReader(ping))
			_, err := c.Do(req)
			left <- err
		}()
		if err := i.Wait(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		cancel()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if err := srv.WaitInFlight(t.Context(), 0); err != nil {
			t.Fatal(err)
		}

		answered := make(chan string, 1)
		go func() {
			_, body, _ := callEcho(t, srv, c)
			answered <- body
		}()
		if err := i.Wait(t.Context(), 2); err != nil {
			t.Fatal(err)
		}
		if got := srv.Executions("echo"); got != 0 {
			t.Errorf("executed while held: %d", got)
		}
		srv.Heal()
		if body := <-answered; !strings.Contains(body, `{\"x\":1}`) {
			t.Errorf("after healing: %q", body)
		}
	})
}

func TestCloseEndsWhatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, err := backendtest.StartServer(backendtest.WithPipe(), backendtest.WithFault(backendtest.Hang(backendtest.Forever)))
		if err != nil {
			t.Fatal(err)
		}
		c := srv.Client()
		failed := make(chan error, 1)
		go func() {
			_, _, err := callEcho(t, srv, c)
			failed <- err
		}()
		synctest.Wait()
		srv.Close()
		if err := <-failed; err == nil {
			t.Error("a request survived the server")
		}
		srv.Close() // once more does nothing
	})
}

func TestDelaysTakeVirtualTime(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fault backendtest.Fault
		took  time.Duration
		fails bool
	}{
		{"latency", backendtest.Latency(time.Minute), time.Minute, false},
		{"late latency", backendtest.Latency(time.Minute).AfterExecution(), time.Minute, false},
		{"timeout", backendtest.Timeout(time.Hour), time.Hour, true},
		{"slow close", backendtest.SlowClose(time.Minute), time.Minute, false},
	} {
		for _, f := range flavours {
			t.Run(tt.name+"/"+f.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					srv := backendtest.NewServer(t, append(f.opts, backendtest.WithPipe(), backendtest.WithFault(tt.fault.Times(1)))...)
					c := srv.Client()
					begin := time.Now()
					res, body, err := callEcho(t, srv, c)
					if took := time.Since(begin); took != tt.took {
						t.Errorf("took %v, want %v", took, tt.took)
					}
					if tt.fails != (err != nil) {
						t.Errorf("error %v", err)
					}
					if err == nil && (res.StatusCode != http.StatusOK || !strings.Contains(body, `{\"x\":1}`)) {
						t.Errorf("%v %q", res, body)
					}
					mustCall(t, srv, c)
				})
			})
		}
	}
}

func TestWhichRequestsAFaultHits(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fault backendtest.Fault
		want  string // a letter for each of six calls: x is hit
	}{
		{"count", backendtest.Status(500, 2), "xx...."},
		{"forever", backendtest.Status(500, backendtest.Forever), "xxxxxx"},
		{"never", backendtest.Status(500, 0), "......"},
		{"times", backendtest.Status(500, 1).Times(3), "xxx..."},
		{"skip", backendtest.Status(500, 2).Skip(1), ".xx..."},
		{"other method", backendtest.Status(500, 1).ForMethod("ping", "tools/list"), "......"},
		{"this method", backendtest.Status(500, 1).ForMethod("ping", "tools/call"), "x....."},
		{"other name", backendtest.Status(500, 1).ForName("x"), "......"},
		{"this name", backendtest.Status(500, 1).ForName("echo"), "x....."},
		{"condition", backendtest.Status(500, 1).When(func(_ *http.Request, m backendtest.Message) bool {
			return m.Credential != ""
		}), "......"},
		{"impossible", backendtest.Status(500, 3).WithProbability(0, 1), "......"},
		{"certain", backendtest.Status(500, 3).WithProbability(1, 1), "xxx..."},
		{"by chance", backendtest.Status(500, backendtest.Forever).WithProbability(0.5, 1), "x...x."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := backendtest.NewServer(t, backendtest.WithFault(tt.fault))
			c := srv.Client()
			var got strings.Builder
			for range 6 {
				res, _, err := callEcho(t, srv, c)
				switch {
				case err != nil:
					t.Fatal(err)
				case res.StatusCode == http.StatusOK:
					got.WriteByte('.')
				default:
					got.WriteByte('x')
				}
			}
			if got.String() != tt.want {
				t.Errorf("%s, want %s", got.String(), tt.want)
			}
		})
	}
}

func TestFaultsActInTheirOrder(t *testing.T) {
	srv := backendtest.NewServer(t)
	first, second := srv.Inject(backendtest.Status(500, 1)), srv.Inject(backendtest.Status(502, 1))
	var got []int
	for range 3 {
		res, _, err := callEcho(t, srv, srv.Client())
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, res.StatusCode)
	}
	if d := cmp.Diff([]int{500, 502, 200}, got); d != "" {
		t.Error(d)
	}
	if first.Hits() != 1 || second.Hits() != 1 {
		t.Error(first.Hits(), second.Hits())
	}
}

func TestAnInjectionIsHealedAlone(t *testing.T) {
	srv := backendtest.NewServer(t)
	bad := srv.Inject(backendtest.Status(500, backendtest.Forever))
	srv.Inject(backendtest.Status(502, backendtest.Forever))
	bad.Heal()
	bad.Heal()
	if res, _, err := callEcho(t, srv, srv.Client()); err != nil || res.StatusCode != 502 {
		t.Error(res, err)
	}
	srv.Heal()
	mustCall(t, srv, srv.Client())
}

func TestHeldAfterExecution(t *testing.T) {
	eachFlavour(t, func(t *testing.T, start func(...backendtest.Option) *backendtest.Server) {
		srv := start()
		c := srv.Client()
		for name, tt := range map[string]struct {
			fault  backendtest.Fault
			answer bool
			ran    int
		}{
			"hang":         {backendtest.Hang(1).AfterExecution(), true, 1},
			"timeout":      {backendtest.Timeout(0), false, 0},
			"late timeout": {backendtest.Timeout(0).AfterExecution(), false, 1},
		} {
			before := srv.Executions("echo")
			i := srv.Inject(tt.fault)
			answered := make(chan bool, 1)
			go func() {
				_, body, err := callEcho(t, srv, c)
				answered <- err == nil && strings.Contains(body, `{\"x\":1}`)
			}()
			if err := i.Wait(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
			if err := srv.WaitInFlight(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
			i.Heal()
			if got := <-answered; got != tt.answer {
				t.Errorf("%s: answered %v", name, got)
			}
			if got := srv.Executions("echo") - before; got != tt.ran {
				t.Errorf("%s: %d executions", name, got)
			}
		}
	})
}

func TestFaultsHaveNames(t *testing.T) {
	got := []string{
		backendtest.Status(401, 3).String(), backendtest.Latency(time.Second).String(),
		backendtest.LimitData(9).Times(1).String(), backendtest.DropSession(2).String(),
	}
	want := []string{"status 401 x 3", "latency 1s x -1", "limit data 9 x 1", "drop session x 2"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}
