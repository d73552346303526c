package gateway_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/recloser-mcp/recloser/backendtest"
)

// worker is a server whose tool reports progress each time it is let, and ends
// after the third.
func worker(t *testing.T, revision string) (srv *backendtest.Server, step chan struct{}, left chan struct{}) {
	t.Helper()
	step, left = make(chan struct{}), make(chan struct{}, 1)
	return sample(t, "one", backendtest.WithRevision(revision), backendtest.WithTool("work", func(ctx context.Context, _ json.RawMessage) (any, error) {
		for n := range 3 {
			select {
			case <-step:
			case <-ctx.Done():
				left <- struct{}{}
				return nil, ctx.Err()
			}
			if err := backendtest.Progress(ctx, float64(n+1), 3, ""); err != nil {
				return nil, err
			}
		}
		return "done", nil
	})), step, left
}

const work = `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"a_work","_meta":{"progressToken":"p"}}}`

// progressOf reads one progress notification and returns how far it says it is.
func progressOf(t *testing.T, data []byte) float64 {
	t.Helper()
	var note struct {
		Method string
		Params struct{ Progress float64 }
	}
	if err := json.Unmarshal(data, &note); err != nil || note.Method != "notifications/progress" {
		t.Fatalf("no progress: %s", data)
	}
	return note.Params.Progress
}

func TestACallOutlivesItsConnection(t *testing.T) {
	for _, back := range []string{modern, elder} {
		t.Run(back, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv, step, _ := worker(t, back)
				r := newRig(t, settings{}, srv)
				synctest.Wait()
				in := []string{"Mcp-Session-Id", r.open("/mcp", elder), "Mcp-Protocol-Version", elder}
				go func() { step <- struct{}{} }()
				s := r.stream(r.request("POST", "/mcp", work, in...))
				first, _ := s.event(t)
				if got := progressOf(t, first.Data); got != 1 {
					t.Errorf("progress %v, want 1", got)
				}
				s.close()
				synctest.Wait()
				step <- struct{}{} // while nobody is there
				time.Sleep(30 * time.Second)
				again := r.stream(r.request("GET", "/mcp", "", append(in, "Last-Event-ID", first.ID)...))
				missed, _ := again.next(t)
				if got := progressOf(t, missed); got != 2 {
					t.Errorf("progress %v, want 2", got)
				}
				step <- struct{}{}
				third, _ := again.next(t)
				if got := progressOf(t, third); got != 3 {
					t.Errorf("progress %v, want 3", got)
				}
				if got, _ := again.next(t); !strings.Contains(string(got), `"id":7`) || !strings.Contains(string(got), "done") {
					t.Errorf("the answer is %s", got)
				}
				if got, ok := again.next(t); ok {
					t.Errorf("the stream goes on: %s", got)
				}
				// Once more, from the beginning: what was said is not lost by being said.
				whole := r.stream(r.request("GET", "/mcp", "", append(in, "Last-Event-ID", first.ID)...))
				for range 2 {
					whole.next(t)
				}
				if got, _ := whole.next(t); !strings.Contains(string(got), "done") {
					t.Errorf("the answer again is %s", got)
				}
				if n := srv.Executions("work"); n != 1 {
					t.Errorf("%d executions, want 1", n)
				}
			})
		})
	}
}

func TestACallEndsWhenItsClientDoesNotComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, step, left := worker(t, elder)
		r := newRig(t, settings{}, srv)
		synctest.Wait()
		in := []string{"Mcp-Session-Id", r.open("/mcp", elder)}
		go func() { step <- struct{}{} }()
		s := r.stream(r.request("POST", "/mcp", work, in...))
		s.next(t)
		start := time.Now()
		s.close()
		<-left
		if took := time.Since(start); took != time.Minute {
			t.Errorf("the call ended after %s, want 1m", took)
		}
		synctest.Wait()
		if n := r.g.InFlight(); n != 0 {
			t.Errorf("%d in flight", n)
		}
	})
}

// A call of which the client has heard nothing cannot be resumed, so it ends with
// its connection.
func TestACallWithoutAnEventEndsWithItsConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, _, left := worker(t, elder)
		r := newRig(t, settings{}, srv)
		synctest.Wait()
		req := r.request("POST", "/mcp", work, "Mcp-Session-Id", r.open("/mcp", elder))
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			if resp, err := r.http.Do(req.WithContext(ctx)); err == nil {
				_ = resp.Body.Close()
				t.Error("there was an answer")
			}
		}()
		synctest.Wait() // the tool runs and has said nothing
		start := time.Now()
		cancel()
		<-left
		if took := time.Since(start); took > time.Second {
			t.Errorf("the call ended after %s", took)
		}
	})
}

// What a backend announces is told also where its list is the same as before: only
// the client knows what it makes of that.
func TestAnAnnouncementIsPassedOnWhateverTheListSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := sample(t, "one")
		srv.AddTool(backendtest.Tool{Name: "same"})
		r := newRig(t, settings{}, srv, sample(t, "two"))
		time.Sleep(5 * time.Second)
		in := []string{"Mcp-Session-Id", r.open("/mcp", elder)}
		own := []string{"Mcp-Session-Id", r.open("/mcp/a", elder)}
		all, one := r.stream(r.request("GET", "/mcp", "", in...)), r.stream(r.request("GET", "/mcp/a", "", own...))
		srv.AddTool(backendtest.Tool{Name: "same"})
		for _, s := range []*stream{all, one} {
			if got, _ := s.next(t); string(got) != listChanged {
				t.Errorf("%s", got)
			}
		}
	})
}

func TestAStandingStreamIsResumed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := sample(t, "one")
		r := newRig(t, settings{}, srv)
		synctest.Wait()
		in := []string{"Mcp-Session-Id", r.open("/mcp", elder), "Mcp-Protocol-Version", elder}
		s := r.stream(r.request("GET", "/mcp", "", in...))
		for n := range 2 {
			srv.AddTool(backendtest.Tool{Name: fmt.Sprint("n", n)})
			time.Sleep(2 * time.Second)
		}
		one, _ := s.event(t)
		s.event(t) // lost on its way, as the client will say
		s.close()
		synctest.Wait()
		srv.AddTool(backendtest.Tool{Name: "n2"})
		time.Sleep(2 * time.Second)
		again := r.stream(r.request("GET", "/mcp", "", append(in, "Last-Event-ID", one.ID)...))
		for range 2 {
			if got, ok := again.next(t); !ok || string(got) != listChanged {
				t.Errorf("%v %s", ok, got)
			}
		}
		// An id that nobody knows opens a stream like any other.
		other := r.stream(r.request("GET", "/mcp", "", append(in, "Last-Event-ID", "zz-9")...))
		again.close()
		synctest.Wait()
		srv.AddTool(backendtest.Tool{Name: "n3"})
		if got, ok := other.next(t); !ok || string(got) != listChanged {
			t.Errorf("%v %s", ok, got)
		}
	})
}
