package backend_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/backendtest"
)

// Real processes, real pipes, real time.

func eachWorkshop(t *testing.T, test func(t *testing.T, revision string, s *shop)) {
	for _, flavour := range []string{"sdk", "mcp-go"} {
		for _, revision := range []string{elder, modern} {
			t.Run(flavour+" "+revision, func(t *testing.T) {
				t.Parallel()
				test(t, revision, newShop(t, flavour+" "+revision))
			})
		}
	}
}

func TestProcessAnswersEveryMethod(t *testing.T) {
	eachWorkshop(t, func(t *testing.T, revision string, s *shop) {
		for _, op := range operations(revision) {
			if err := op.run(t.Context(), s.c); err != nil {
				t.Fatalf("%s: %v", op.name, err)
			}
		}
		want(t, "executions", s.p.Executions("echo"), 1)
		want(t, "processes", len(s.p.Started()), 1)
		want(t, "pid", strconv.Itoa(s.c.Facts().Process.PID), s.text("pid"))
		_ = s.c.Close()
		s.gone()
		want(t, "nothing ended by itself", s.c.Facts().Process.LastExit == nil, true)
	})
}

func TestListenerIsToldOfChangesOfAProcess(t *testing.T) {
	eachWorkshop(t, func(t *testing.T, _ string, s *shop) {
		ctx, stop := context.WithCancel(t.Context())
		told, done := make(chan string, 100), make(chan error, 1)
		go func() { done <- s.c.Listen(ctx, func(method string) { told <- method }) }()
		want(t, "established", <-told, "")
		if s.c.Facts().Revision == modern {
			s.text("grow") // one process for all
		} else {
			s.textIn(nil, "grow")
		}
		for m := range told {
			if m == toolsChanged {
				break
			}
		}
		stop()
		want(t, "ended", errors.Is(<-done, context.Canceled), true)
	})
}

// kill -9 in the middle of a call, a stream and a subscription.
func TestKilledProcessFailsWhatItHadAndIsReplaced(t *testing.T) {
	eachWorkshop(t, func(t *testing.T, revision string, s *shop) {
		told := make(chan string, 100)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.c.Listen(ctx, func(method string) { told <- method }) }()
		want(t, "established", <-told, "")

		call := make(chan error, 1)
		go func() { call <- errorOf(s.c.CallTool(t.Context(), "hang", nil)) }()
		s.wait(func() bool { return s.p.Executions("hang") == 1 })
		meta := `"_meta":{"progressToken":"p"}`
		if revision == modern {
			meta = `"_meta":{"progressToken":"p","io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}`
		}
		resp, err := s.c.Do(t.Context(), &backend.Request{Method: "tools/call", Name: "steps", ID: []byte("1"), ClientRevision: "",
			Params: []byte(`{"name":"steps",` + meta + `}`)})
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		buf := make([]byte, 4096)
		n, err := resp.Body.Read(buf)
		if err != nil || !strings.Contains(string(buf[:n]), `"progressToken":"p"`) {
			t.Fatalf("%s, %v", buf[:n], err)
		}

		pid := s.c.Facts().Process.PID
		if err := s.p.Kill(t.Context(), pid); err != nil {
			t.Fatal(err)
		}
		e := wantExit(t, <-call, "signal: killed")
		want(t, "outcome unknown", e.OutcomeUnknown, true)
		for err == nil {
			_, err = resp.Body.Read(buf)
		}
		wantExit(t, err, "signal: killed")
		want(t, "established again", established([]string{<-told}), 1) // by a process of its own
		s.text("echo")
		want(t, "executions", s.p.Executions("hang")+s.p.Executions("steps"), 2)
		want(t, "processes", len(s.p.Started()), 2)
		want(t, "restarts", s.c.Facts().Process.Restarts, 1)
		want(t, "another", s.c.Facts().Process.PID != pid, true)
		stop()
		<-done
	})
}

func TestProcessesOfSessionsShareNothing(t *testing.T) {
	t.Parallel()
	s := newShop(t, "sdk 2025-11-25")
	a, b := s.c.NewSession(backend.SessionOptions{}), s.c.NewSession(backend.SessionOptions{})
	for i := range 3 {
		want(t, "a counts", s.textIn(a, "count"), strconv.Itoa(i+1))
	}
	want(t, "b begins", s.textIn(b, "count"), "1")
	want(t, "processes", s.textIn(a, "pid") != s.textIn(b, "pid"), true)
	s.kill(s.pidOf(a))
	want(t, "b goes on", s.textIn(b, "count"), "2")
	want(t, "a begins again", s.textIn(a, "count"), "1")
	pid := s.pidOf(a)
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.wait(func() bool {
		return !slices.ContainsFunc(s.p.Live(), func(p backendtest.Process) bool { return p.PID == pid })
	})
	want(t, "b goes on", s.textIn(b, "count"), "3")

	shared := newShop(t, "sdk 2025-11-25", func(o *backend.Options) { o.Isolation = backend.Shared })
	for i := range 3 {
		one := shared.c.NewSession(backend.SessionOptions{})
		want(t, "one counts", shared.textIn(one, "count"), strconv.Itoa(i+1))
		_ = one.Close(t.Context())
	}
	want(t, "processes", len(shared.p.Started()), 1)
}

func (s *shop) pidOf(session *backend.Session) int {
	pid, err := strconv.Atoi(s.textIn(session, "pid"))
	if err != nil {
		s.t.Fatal(err)
	}
	return pid
}

// The environment of the gateway holds credentials of other backends.
func TestProcessGetsNoEnvironmentButItsOwn(t *testing.T) {
	t.Setenv("OTHER_BACKENDS_TOKEN", "t0p-s3cret-value")
	t.Setenv("LC_ALL", "C")
	s := newShop(t, "sdk 2025-11-25", func(o *backend.Options) { o.Env["OWN"] = "given=to it" })
	got := map[string]string{}
	for line := range strings.SplitSeq(s.text("env"), "\n") {
		name, value, _ := strings.Cut(line, "=")
		got[name] = value
	}
	want(t, "own", got["OWN"], "given=to it")
	want(t, "path", got["PATH"], os.Getenv("PATH"))
	want(t, "language", got["LC_ALL"], "C")
	for name := range got {
		_, given := s.p.Env[name]
		usual := slices.Contains([]string{"HOME", "LOGNAME", "PATH", "SHELL", "TERM", "USER", "LANG", "TZ", "TMPDIR"}, name)
		if !given && !usual && !strings.HasPrefix(name, "LC_") {
			t.Errorf("it has %s", name)
		}
	}
}

func TestProcessIsStartedWithoutAShell(t *testing.T) {
	t.Parallel()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(dir, "my server")); err != nil {
		t.Fatal(err)
	}
	for name, command := range map[string]string{"in the PATH of env": "my server", "from its folder": "./my server"} {
		t.Run(name, func(t *testing.T) {
			s := newShop(t, "sdk 2025-11-25", func(o *backend.Options) {
				o.Command, o.Args, o.Cwd = command, []string{"$HOME", "; exit 1", "a b", "*", ""}, dir
				o.Env["PATH"] = "/no/such/folder" + string(os.PathListSeparator) + dir
			})
			want(t, "arguments", s.text("args"), "$HOME|; exit 1|a b|*|")
			want(t, "folder", s.text("cwd"), dir)
		})
	}
}

// Programs like npx start others. All of them end with the process.
func TestWholeGroupEnds(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(t *testing.T, s *shop){
		"with its client": func(_ *testing.T, s *shop) { _ = s.c.Close() },
		"with its leader": func(t *testing.T, s *shop) {
			i := slices.IndexFunc(s.p.Live(), func(p backendtest.Process) bool { return p.Program == "family" })
			if err := s.p.Kill(t.Context(), s.p.Live()[i].PID); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShop(t, "family")
			s.text("echo")
			s.wait(func() bool { return len(s.p.Live()) == 2 })
			end(t, s)
			s.gone()
		})
	}
}

func TestProcessThatWillNotEndIsMadeTo(t *testing.T) {
	t.Parallel()
	s := newShop(t, "deaf")
	s.text("echo")
	_ = s.c.Close()
	s.gone()
	want(t, "told to", s.c.Facts().Process.LastExit == nil, true)
}

func TestProcessThatEndsAtItsStartSaysWhy(t *testing.T) {
	t.Parallel()
	s := newShop(t, "quitter")
	err := s.c.Ping(t.Context())
	wantExit(t, err, "exit status 3")
	exit, _ := errors.AsType[*backend.ExitError](err)
	want(t, "stderr", strings.Join(exit.Stderr, "\n"), "no configuration: data.db")
	want(t, "facts", s.c.Facts().Process.LastExit.Status, "exit status 3")
	want(t, "running", s.c.Facts().Process.Running, 0)
	want(t, "starts", len(s.p.Started()), 2)
}

func TestProcessesLeaveNothingOpen(t *testing.T) {
	open := func() int {
		entries, err := os.ReadDir("/dev/fd")
		if err != nil {
			return 0 // it is unknown here
		}
		return len(entries)
	}
	s := newShop(t, "sdk 2025-11-25")
	s.text("echo")
	before, routines := open(), runtime.NumGoroutine()
	for range 3 {
		session := s.c.NewSession(backend.SessionOptions{})
		s.textIn(session, "echo")
		s.kill(s.pidOf(session))
		s.textIn(session, "echo")
		_ = session.Close(t.Context())
	}
	s.wait(func() bool { return len(s.p.Live()) == 1 })
	_ = s.c.Close()
	s.gone()
	if after := open(); after > before {
		t.Errorf("%d descriptors are open, %d were", after, before)
	}
	if after := runtime.NumGoroutine(); after > routines {
		t.Errorf("%d goroutines, %d were", after, routines)
	}
}
