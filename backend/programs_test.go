package backend_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/backendtest"
)

// What this binary is when it is started as a process of its own.
var programs = backendtest.Programs{
	"sdk 2025-11-25":    workshop(backendtest.WithSDK(), elder),
	"sdk 2026-07-28":    workshop(backendtest.WithSDK(), modern),
	"mcp-go 2025-11-25": workshop(backendtest.WithMCPGo(), elder),
	"mcp-go 2026-07-28": workshop(backendtest.WithMCPGo(), modern),
	"family": func(c *backendtest.Child) error { // starts another, that lives on by itself
		if err := c.Command("sleeper").Start(); err != nil {
			return err
		}
		return workshop(backendtest.WithSDK(), elder)(c)
	},
	"sleeper": func(c *backendtest.Child) error {
		signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
		c.Linger()
		return nil
	},
	"deaf": func(c *backendtest.Child) error { // ends with nothing but SIGKILL
		signal.Ignore(syscall.SIGTERM)
		err := workshop(backendtest.WithSDK(), elder)(c)
		c.Linger()
		return err
	},
	"quitter": func(*backendtest.Child) error {
		fmt.Fprintln(os.Stderr, "no configuration: data.db")
		os.Exit(3)
		return nil
	},
}

// workshop is a server with tools that tell of its process.
func workshop(flavour backendtest.Option, revision string) func(*backendtest.Child) error {
	return func(c *backendtest.Child) error {
		var srv *backendtest.Server
		var counter atomic.Int64
		tool := func(name string, fn func(ctx context.Context, args json.RawMessage) (any, error)) backendtest.Option {
			return backendtest.WithTool(name, fn)
		}
		text := func(fn func() string) backendtest.ToolFunc {
			return func(context.Context, json.RawMessage) (any, error) { return fn(), nil }
		}
		var err error
		srv, err = c.Server(rich(flavour, backendtest.WithRevision(revision),
			tool("hang", func(context.Context, json.RawMessage) (any, error) { select {} }),
			tool("steps", func(ctx context.Context, _ json.RawMessage) (any, error) { // one, then nothing
				_ = backendtest.Progress(ctx, 1, 2, "half")
				select {}
			}),
			tool("pid", text(func() string { return strconv.Itoa(os.Getpid()) })),
			tool("count", text(func() string { return strconv.FormatInt(counter.Add(1), 10) })),
			tool("env", text(func() string { return strings.Join(os.Environ(), "\n") })),
			tool("args", text(func() string { return strings.Join(os.Args[1:], "|") })),
			tool("cwd", text(func() string { dir, _ := os.Getwd(); return dir })),
			tool("grow", func(context.Context, json.RawMessage) (any, error) {
				srv.AddTool(backendtest.Tool{Name: "grown"})
				return "grown", nil
			}))...)
		if err != nil {
			return err
		}
		return srv.ServeStdio(context.Background(), os.Stdin, os.Stdout)
	}
}

// shop is a client of a program that runs as real processes.
type shop struct {
	*rig
	p     *backendtest.Program
	ended chan int64 // processes that the client saw end by themselves
}

func newShop(t testing.TB, program string, opts ...rigOption) *shop {
	t.Helper()
	p := backendtest.NewProgram(t, program)
	s := &shop{rig: &rig{t: t, traced: &recorder{}}, p: p, ended: make(chan int64, 100)}
	o := backend.Options{Name: "files", Command: p.Command, Env: p.Env, Trace: s.traced.trace(), Logger: slog.New(s)}
	for _, opt := range opts {
		opt(&o)
	}
	var err error
	if s.c, err = backend.NewStdioBackendClient(o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // before the program's own
		_ = s.c.Close()
		s.gone()
	})
	return s
}

// gone waits until no process of the program lives, other than by name.
func (s *shop) gone() {
	s.t.Helper()
	if err := s.p.Wait(context.Background(), func() bool { return len(s.p.Live()) == 0 }); err != nil {
		s.t.Error(err)
	}
}

// kill ends a process, and waits until the client knows it, too.
func (s *shop) kill(pid int) {
	s.t.Helper()
	if err := s.p.Kill(s.t.Context(), pid); err != nil {
		s.t.Fatal(err)
	}
	want(s.t, "ended", <-s.ended, int64(pid))
}

// Enabled, Handle, WithAttrs and WithGroup implement slog.Handler, which listens
// for the ends of processes.
func (s *shop) Enabled(context.Context, slog.Level) bool { return true }
func (s *shop) WithAttrs([]slog.Attr) slog.Handler       { return s }
func (s *shop) WithGroup(string) slog.Handler            { return s }
func (s *shop) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "process ended" {
		r.Attrs(func(a slog.Attr) bool {
			if a.Key == "pid" {
				s.ended <- a.Value.Int64()
			}
			return true
		})
	}
	return nil
}

// text calls a tool and returns its text.
func (s *shop) text(tool string) string {
	s.t.Helper()
	raw, err := s.c.CallTool(s.t.Context(), tool, nil)
	if err != nil {
		s.t.Fatalf("%s: %v", tool, err)
	}
	return textOf(s.t, raw)
}

// textIn is text in a session.
func (s *shop) textIn(session *backend.Session, tool string) string {
	s.t.Helper()
	got, err := s.do(s.t.Context(), &backend.Request{Method: "tools/call", Name: tool, ID: []byte("1"), Session: session,
		Params: []byte(`{"name":"` + tool + `"}`), ClientRevision: elder})
	if err != nil {
		s.t.Fatalf("%s: %v", tool, err)
	}
	var answer struct{ Result json.RawMessage }
	if err := json.Unmarshal([]byte(got), &answer); err != nil {
		s.t.Fatal(err)
	}
	return textOf(s.t, answer.Result)
}

func textOf(t testing.TB, result []byte) string {
	t.Helper()
	var r struct{ Content []struct{ Text string } }
	if err := json.Unmarshal(result, &r); err != nil || len(r.Content) != 1 {
		t.Fatalf("not one text: %s", result)
	}
	return r.Content[0].Text
}

func (s *shop) wait(cond func() bool) {
	s.t.Helper()
	if err := s.p.Wait(s.t.Context(), cond); err != nil {
		s.t.Fatal(err)
	}
}
