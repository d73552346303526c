package backend_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/recloser-mcp/recloser/auth"
	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/backendtest"
)

// A program is served like any other backend. Time is virtual here, and processes
// are functions; process_test.go has real ones.

func TestProgramAnswersEveryMethod(t *testing.T) {
	eachEra(t, func(t *testing.T, revision string) {
		r, m := newServedRig(t, rich(backendtest.WithRevision(revision)))
		for _, op := range operations(revision) {
			sends := r.sends(op.request)
			if err := op.run(t.Context(), r.c); err != nil {
				t.Fatalf("%s: %v", op.name, err)
			}
			want(t, op.name, sends(), 1)
		}
		raw, err := r.c.CallTool(t.Context(), "echo", json.RawMessage("{\"a\":\r\n [1.50, \"\\u00e9\"]}"))
		if err != nil {
			t.Fatal(err)
		}
		want(t, "arguments keep their values", strings.Contains(string(raw), "1.5"), true)
		want(t, "revision", string(r.c.Facts().Revision), revision)
		want(t, "processes", m.started(), 1) // the one that was asked for its revision too
		want(t, "session", r.c.Facts().Session, revision == elder)
	})
}

func TestCatalogueOfAProgramIsComplete(t *testing.T) {
	eachEra(t, func(t *testing.T, revision string) {
		r, _ := newServedRig(t, rich(backendtest.WithRevision(revision), backendtest.WithPageSize(1), backendtest.WithTool("two", nil)))
		all, err := r.c.ListCapabilities(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		want(t, "tools", len(all.Tools), 2)
		want(t, "prompts", len(all.Prompts), 1)
		want(t, "resources", len(all.Resources), 1)
	})
}

func TestEachSessionHasAProcess(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, m := newServedRig(t, rich(backendtest.WithRevision(elder)))
		var sessions []*backend.Session
		for i := range 3 {
			s := r.c.NewSession(backend.SessionOptions{})
			sessions = append(sessions, s)
			want(t, "started", m.started(), i) // by the first request that needs it
			for range 3 {
				if _, err := r.do(t.Context(), &backend.Request{ID: []byte("1"), Session: s}); err != nil {
					t.Fatal(err)
				}
			}
		}
		want(t, "running", len(m.running()), 3)
		for i, s := range sessions {
			if err := s.Close(t.Context()); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Second)
			want(t, "running", len(m.running()), 2-i)
			wantKind(t, errorOf(r.do(t.Context(), &backend.Request{ID: []byte("1"), Session: s})), backend.KindClosed)
		}
		want(t, "executions", r.srv.Executions("echo"), 9)
		want(t, "restarts", r.c.Facts().Process.Restarts, 0)
		want(t, "none ended by itself", r.c.Facts().Process.LastExit == nil, true)
	})
}

func errorOf[T any](_ T, err error) error { return err }

func TestSharedAndStatelessProgramsHaveOneProcess(t *testing.T) {
	for _, revision := range []string{elder, modern} {
		t.Run(revision, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r, m := newServedRig(t, rich(backendtest.WithRevision(revision)), func(o *backend.Options) {
					if revision == elder {
						o.Isolation = backend.Shared
					}
				})
				errs := all(20, func(int) error {
					s := r.c.NewSession(backend.SessionOptions{})
					defer s.Close(t.Context())
					_, err := r.do(t.Context(), &backend.Request{ID: []byte("1"), Session: s})
					return err
				})
				if failed := failures(errs); failed != nil {
					t.Fatal(failed[0])
				}
				want(t, "started", m.started(), 1)
				want(t, "executions", r.srv.Executions("echo"), 20)
				want(t, "pid", r.c.Facts().Process.PID, 1)
			})
		})
	}
}

// Clients choose their ids and progress tokens without knowing of each other.
func TestClientsOfOneProcessGetTheirOwnAnswersAndProgress(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const callers = 10
		r, _ := newServedRig(t, []backendtest.Option{backendtest.WithRevision(modern),
			backendtest.WithTool("echo", func(ctx context.Context, args json.RawMessage) (any, error) {
				time.Sleep(time.Second)
				for i := range 3 {
					if err := backendtest.Progress(ctx, float64(i), 3, string(args)); err != nil {
						return nil, err
					}
				}
				return string(args), nil
			})})
		errs := all(callers, func(i int) error {
			got, err := r.do(t.Context(), &backend.Request{Method: "tools/call", Name: "echo", ID: []byte(`"same"`), ClientRevision: modern,
				Params: fmt.Appendf(nil, `{"name":"echo","arguments":{"caller":%d},"_meta":{"progressToken":"mine","io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}`, i)})
			mine := fmt.Sprintf(`caller\":%d`, i)
			switch {
			case err != nil:
				return err
			case strings.Count(got, `"progressToken":"mine"`) != 3, strings.Count(got, mine) != 4, strings.Count(got, "caller") != 4:
				return errors.New("somebody else's: " + got)
			case !strings.Contains(got, `"id":"same"`):
				return errors.New("another id: " + got)
			}
			return nil
		})
		if failed := failures(errs); failed != nil {
			t.Fatalf("%d failed: %v", len(failed), failed[0])
		}
	})
}

func TestListenerIsToldOfChangesOfAProgram(t *testing.T) {
	eachEra(t, func(t *testing.T, revision string) {
		r, m := newServedRig(t, rich(backendtest.WithRevision(revision)))
		l := r.listen()
		want(t, "established", count(l.heard(), ""), 1)
		r.srv.AddTool(backendtest.Tool{Name: "new"})
		time.Sleep(time.Second)
		if n := count(l.heard(), toolsChanged); n == 0 {
			t.Error("nothing was told of a new tool")
		}
		r.mustCall()
		want(t, "processes", m.started(), 1)
		l.stop()
		want(t, "ends with its context", errors.Is(<-l.done, context.Canceled), true)
		synctest.Wait()
		if revision == modern {
			want(t, "told to end", r.srv.Requests("notifications/cancelled"), 1)
		}
		r.mustCall()
	})
}

// A process that ends takes what is in flight with it, at once, and nothing else.
func TestProcessThatEndsFailsItsCallsAndIsReplaced(t *testing.T) {
	for _, revision := range []string{elder, modern} {
		t.Run(revision, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				const callers = 5
				r, m := newServedRig(t, []backendtest.Option{backendtest.WithRevision(revision),
					backendtest.WithTool("echo", backendtest.Echo), backendtest.WithTool("slow", backendtest.Slow(time.Hour))})
				l := r.listen()
				want(t, "established", count(l.heard(), ""), 1)
				other := r.c.NewSession(backend.SessionOptions{})
				if _, err := r.do(t.Context(), &backend.Request{ID: []byte("1"), Session: other}); err != nil {
					t.Fatal(err)
				}
				failed := make(chan []error, 1)
				go func() {
					failed <- all(callers, func(int) error { return errorOf(r.c.CallTool(t.Context(), "slow", nil)) })
				}()
				synctest.Wait()
				took := elapsed()
				m.running()[0].kill()
				for _, err := range <-failed {
					e := wantExit(t, err, "signal: killed")
					want(t, "outcome unknown", e.OutcomeUnknown, true)
					want(t, "sentinel", errors.Is(err, backend.ErrBackendUnavailable), true)
				}
				want(t, "waited", took(), 0)
				want(t, "executions", r.srv.Executions("slow"), callers)

				// The next call has a new process; the listener finds it by itself.
				r.mustCall()
				if _, err := r.do(t.Context(), &backend.Request{ID: []byte("1"), Session: other}); err != nil {
					t.Fatal(err)
				}
				time.Sleep(2 * time.Second)
				want(t, "established again", established(l.heard()), 1)
				want(t, "executions", r.srv.Executions("slow"), callers)
				want(t, "started", m.started(), map[string]int{elder: 3, modern: 2}[revision])
				f := r.c.Facts().Process
				want(t, "restarts", f.Restarts, 1)
				want(t, "last exit", f.LastExit.Status, "signal: killed")
				want(t, "running", f.Running, map[string]int{elder: 2, modern: 1}[revision])
			})
		})
	}
}

func TestIdleProcessThatEndsIsNotNoticed(t *testing.T) {
	for _, revision := range []string{elder, modern} {
		bubble(t, func(t *testing.T) {
			r, m := newServedRig(t, rich(backendtest.WithRevision(revision)))
			for i := range 5 {
				want(t, "started", m.started(), i)
				r.mustCall()
				m.running()[0].kill()
				synctest.Wait()
			}
			want(t, "executions", r.srv.Executions("echo"), 5)
			want(t, "no failure", r.c.Facts().LastError == nil, true)
			want(t, "restarts", r.c.Facts().Process.Restarts, 4)
		})
	}
}

func TestCloseEndsWhatIsInFlightAndAllProcesses(t *testing.T) {
	for _, revision := range []string{elder, modern} {
		bubble(t, func(t *testing.T) {
			r, m := newServedRig(t, []backendtest.Option{backendtest.WithRevision(revision), backendtest.WithTool("slow", backendtest.Slow(time.Hour))})
			failed := make(chan error, 1)
			go func() { failed <- errorOf(r.c.CallTool(t.Context(), "slow", nil)) }()
			synctest.Wait()
			_ = r.c.Close()
			wantKind(t, <-failed, backend.KindClosed)
			want(t, "running", len(m.running()), 0)
			wantKind(t, r.call(t.Context()), backend.KindClosed)
		})
	}
}

func TestNoMoreProcessesRunThanMay(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, m := newServedRig(t, rich(backendtest.WithRevision(elder)), func(o *backend.Options) { o.Limits.InFlight = 2 })
		var sessions []*backend.Session
		for range 3 {
			sessions = append(sessions, r.c.NewSession(backend.SessionOptions{}))
		}
		ask := func(i int) error {
			return errorOf(r.do(t.Context(), &backend.Request{ID: []byte("1"), Session: sessions[i]}))
		}
		for i := range 2 {
			if err := ask(i); err != nil {
				t.Fatal(err)
			}
		}
		err := ask(2)
		wantKind(t, err, backend.KindNoCapacity)
		want(t, "sentinel", errors.Is(err, backend.ErrNoCapacity), true)
		_ = sessions[0].Close(t.Context())
		time.Sleep(time.Second)
		if err := ask(2); err != nil {
			t.Fatal(err)
		}
		want(t, "running", len(m.running()), 2)
	})
}

func TestOptionsOfAProgramAreChecked(t *testing.T) {
	for name, row := range map[string]struct {
		o    backend.Options
		says string // "" when they are fine
	}{
		"command":               {backend.Options{Command: "npx", Args: []string{"-y", "x"}, Env: map[string]string{"A": ""}}, ""},
		"its transport":         {backend.Options{Transport: "stdio", Command: "npx"}, ""},
		"no command":            {backend.Options{Transport: "stdio"}, "command is empty"},
		"command and url":       {backend.Options{Command: "npx", URL: "http://localhost/mcp"}, "command is given beside url"},
		"url and stdio":         {backend.Options{Transport: "stdio", Command: "npx", URL: "http://localhost/mcp"}, "url is given beside command"},
		"command over http":     {backend.Options{Transport: "http", Command: "npx"}, "url: is empty"},
		"another transport":     {backend.Options{Transport: "ws", URL: "http://localhost/mcp"}, `type is "ws"`},
		"a header":              {backend.Options{Command: "npx", Headers: map[string]string{"X-A": "b"}}, "headers: a process has no use for it"},
		"a credential":          {backend.Options{Command: "npx", AuthSpec: auth.Spec{Type: "bearer"}}, "auth: a process has no use for it"},
		"a certificate":         {backend.Options{Command: "npx", TLS: backend.TLS{CAFile: "x"}}, "tls: a process has no use for it"},
		"a proxy":               {backend.Options{Command: "npx", Proxy: "none"}, "proxy: a process has no use for it"},
		"a variable of no name": {backend.Options{Command: "npx", Env: map[string]string{"A=B": "c"}}, `env: "A=B" cannot be a variable`},
		"an argument with NUL":  {backend.Options{Command: "npx", Args: []string{"a\x00b"}}, "args has a NUL"},
	} {
		row.o.Name = "files"
		err := row.o.Validate()
		if (row.says == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), row.says) {
			t.Errorf("%s: %v, want %q", name, err, row.says)
		}
		if _, err := backend.NewStdioBackendClient(row.o); (err == nil) != (row.says == "") {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := backend.NewHTTPBackendClient(auth.NewRegistry(), backend.Options{Name: "files", Command: "npx"})
	want(t, "names the other constructor", strings.Contains(err.Error(), "use NewStdioBackendClient"), true)
	_, err = backend.NewStdioBackendClient(backend.Options{Name: "files", URL: "http://localhost/mcp"})
	want(t, "names the other constructor", strings.Contains(err.Error(), "use NewHTTPBackendClient"), true)
}
