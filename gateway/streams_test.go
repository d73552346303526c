package gateway_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/recloser-mcp/recloser/backendtest"
	"github.com/recloser-mcp/recloser/catalog"
	"github.com/recloser-mcp/recloser/gateway"
	"github.com/recloser-mcp/recloser/wire"
)

type changeOf = catalog.Change

// stream is an event stream that is being read.
type stream struct {
	resp   *http.Response
	events *wire.EventReader
	cancel context.CancelFunc
}

func (r *rig) stream(req *http.Request) *stream {
	r.t.Helper()
	ctx, cancel := context.WithCancel(r.t.Context())
	resp, err := r.http.Do(req.WithContext(ctx))
	if err != nil {
		r.t.Fatal(err)
	}
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" || resp.Header.Get("X-Accel-Buffering") != "no" {
		b, _ := io.ReadAll(resp.Body)
		r.t.Fatalf("no stream: %d %v %s", resp.StatusCode, resp.Header, b)
	}
	s := &stream{resp, wire.NewEventReader(resp.Body, 0), cancel}
	r.t.Cleanup(s.close)
	return s
}

func (s *stream) close() {
	s.cancel()
	_ = s.resp.Body.Close()
}

// next waits for the next message; ok is false at the end of the stream.
func (s *stream) next(t testing.TB) (data []byte, ok bool) {
	t.Helper()
	e, ok := s.event(t)
	return e.Data, ok
}

// event waits for the next event with a message.
func (s *stream) event(t testing.TB) (e wire.Event, ok bool) {
	t.Helper()
	for {
		e, err := s.events.Next()
		if err != nil {
			return e, false
		}
		if len(e.Data) > 0 { // else it only has an id to resume from
			e.Data = append([]byte(nil), e.Data...)
			return e, true
		}
	}
}

const listChanged = `{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`

func TestStandingStreamsOfASession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := sample(t, "one")
		r := newRig(t, settings{}, srv, sample(t, "two"))
		synctest.Wait()
		id := r.open("/mcp", elder)
		other := r.open("/mcp/b", elder) // sees nothing of a
		in := []string{"Mcp-Session-Id", id, "Mcp-Protocol-Version", elder}
		add := func(name string) {
			srv.AddTool(backendtest.Tool{Name: name})
			time.Sleep(2 * time.Second)
		}
		// What changes while no stream is open waits, and is said once.
		add("n1")
		add("n2")
		first := r.stream(r.request("GET", "/mcp", "", in...))
		quiet := r.stream(r.request("GET", "/mcp/b", "", "Mcp-Session-Id", other))
		if got, _ := first.next(t); string(got) != listChanged {
			t.Errorf("%s", got)
		}
		// A session with two streams gets each message on one of them.
		second := r.stream(r.request("GET", "/mcp", "", in...))
		synctest.Wait()
		told := make(chan string, 10)
		for _, s := range []*stream{first, second, quiet} {
			go func() {
				for {
					data, ok := s.next(t)
					if !ok {
						told <- "end"
						return
					}
					told <- string(data)
				}
			}()
		}
		add("n3")
		if got := <-told; got != listChanged {
			t.Errorf("%s", got)
		}
		time.Sleep(time.Minute)
		select {
		case got := <-told:
			t.Errorf("said twice: %s", got)
		default:
		}
		// A stream that nobody reads any more passes its messages on.
		first.close()
		<-told
		add("n4")
		if got := <-told; got != listChanged {
			t.Errorf("%s", got)
		}
		// The session's end is the streams' end.
		r.do(r.request("DELETE", "/mcp", "", in...))
		if got := <-told; got != "end" {
			t.Errorf("%s", got)
		}
	})
}

func TestAStandingStreamKeepsItsSessionAndIsKeptAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, settings{}, sample(t, "one"))
		synctest.Wait()
		id := r.open("/mcp", elder)
		resp, err := r.http.Do(r.request("GET", "/mcp", "", "Mcp-Session-Id", id))
		if err != nil {
			t.Fatal(err)
		}
		read := make(chan string)
		go func() {
			b, _ := io.ReadAll(resp.Body)
			read <- string(b)
		}()
		time.Sleep(45 * time.Minute) // longer than a session lives unused
		if a := r.post("/mcp", `{"jsonrpc":"2.0","id":1,"method":"ping"}`, "Mcp-Session-Id", id); a.status != 200 {
			t.Errorf("%d %s", a.status, a.body)
		}
		r.do(r.request("DELETE", "/mcp", "", "Mcp-Session-Id", id))
		if got, want := <-read, "id: 1-0\nretry: 1000\ndata: \n\n"+strings.Repeat(": keep-alive\n\n", 45*60/25); got != want {
			t.Errorf("%d comments in 45 minutes, want %d: %.100q", strings.Count(got, ": k"), strings.Count(want, ": k"), got)
		}
		_ = resp.Body.Close()
	})
}

func TestStreamsOfASessionAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, settings{}, sample(t, "one"))
		id := r.open("/mcp", elder)
		for range 4 {
			r.stream(r.request("GET", "/mcp", "", "Mcp-Session-Id", id))
		}
		if a := r.do(r.request("GET", "/mcp", "", "Mcp-Session-Id", id)); a.status != 409 {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
}

func TestSubscriptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := sample(t, "one")
		r := newRig(t, settings{gateway: func(o *gateway.Options) { o.Limits.Streams = 3 }}, srv, sample(t, "two"))
		synctest.Wait()
		listen := func(path, id, filter string) *http.Request {
			return r.request("POST", path, `{"jsonrpc":"2.0","id":`+id+`,"method":"subscriptions/listen","params":{"notifications":`+filter+`,`+meta+`}}`,
				modernHeaders("subscriptions/listen", "")...)
		}
		all := r.stream(listen("/mcp", `1`, `{"toolsListChanged":true,"promptsListChanged":true,"resourcesListChanged":true,"resourceSubscriptions":["mem://one"],"more":1}`))
		tools := r.stream(listen("/mcp/a", `"two"`, `{"toolsListChanged":true}`))
		none := r.stream(listen("/mcp/b", `3`, `{}`))
		for _, c := range []struct {
			s    *stream
			want string
		}{
			{all, `{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":1},"notifications":{"toolsListChanged":true,"promptsListChanged":true,"resourcesListChanged":true}}}`},
			{tools, `{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":"two"},"notifications":{"toolsListChanged":true}}}`},
			{none, `{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":3},"notifications":{}}}`},
		} {
			if got, _ := c.s.next(t); string(got) != c.want {
				t.Errorf("%s", cmp.Diff(c.want, string(got)))
			}
		}
		if a := r.do(listen("/mcp", `4`, `{}`)); a.status != 503 || a.rpc(t).Error.Code != gateway.CodeBackend {
			t.Errorf("a fourth: %d %s", a.status, a.body)
		}
		srv.AddTool(backendtest.Tool{Name: "new"})
		for _, c := range []struct {
			s  *stream
			id string
		}{{all, `1`}, {tools, `"two"`}} {
			want := `{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":` + c.id + `}}}`
			if got, _ := c.s.next(t); string(got) != want {
				t.Errorf("%s", cmp.Diff(want, string(got)))
			}
		}
		none.close()
		synctest.Wait()
		r.stream(listen("/mcp", `5`, `{}`)) // the place of a closed one is free
	})
}

func TestProgressPassesWhileACallRuns(t *testing.T) {
	for _, back := range []string{modern, elder} {
		synctest.Test(t, func(t *testing.T) {
			go1 := make(chan struct{})
			srv := sample(t, "one", backendtest.WithRevision(back), backendtest.WithTool("work", func(ctx context.Context, _ json.RawMessage) (any, error) {
				if err := backendtest.Progress(ctx, 1, 2, "half"); err != nil {
					return nil, err
				}
				<-go1
				return "done", nil
			}))
			r := newRig(t, settings{}, srv)
			synctest.Wait()
			id := r.open("/mcp", elder)
			s := r.stream(r.request("POST", "/mcp", `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"a_work","_meta":{"progressToken":"p"}}}`, "Mcp-Session-Id", id))
			got, _ := s.next(t)
			var note struct {
				Method string
				Params struct {
					ProgressToken string
					Progress      float64
				}
			}
			if err := json.Unmarshal(got, &note); err != nil || note.Method != "notifications/progress" || note.Params.ProgressToken != "p" || note.Params.Progress != 1 {
				t.Errorf("%s", got)
			}
			close(go1)
			if got, _ := s.next(t); !strings.Contains(string(got), `"done"`) {
				t.Errorf("%s", got)
			}
			if _, ok := s.next(t); ok {
				t.Error("the stream goes on behind the response")
			}
		})
	}
}

func TestASilentCallIsKeptAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const event = "event: message\r\ndata: {\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{}}\n\n"
		srv := sample(t, "one", backendtest.WithHandler(func(w http.ResponseWriter, _ *http.Request, m backendtest.Message) bool {
			if m.Name != "echo" {
				return false
			}
			w.Header().Set("Content-Type", "text/event-stream")
			_ = http.NewResponseController(w).Flush()
			time.Sleep(2 * time.Minute)
			_, _ = io.WriteString(w, event)
			return true
		}))
		r := newRig(t, settings{}, srv)
		synctest.Wait()
		start := time.Now()
		resp, err := r.http.Do(r.request("POST", "/mcp", `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"a_echo",`+meta+`}}`, modernHeaders("tools/call", "a_echo")...))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if took := time.Since(start); took != time.Second {
			t.Errorf("the head came after %s, want 1s", took)
		}
		b, err := io.ReadAll(resp.Body)
		if want := strings.Repeat(": keep-alive\n\n", 4) + event; err != nil || string(b) != want {
			t.Errorf("%v %s", err, cmp.Diff(want, string(b)))
		}
	})
}
