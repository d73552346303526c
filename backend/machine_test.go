package backend_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/backendtest"
	"github.com/recloser-mcp/recloser/wire"
)

// machine starts programs that are functions, and pipes in memory: a computer for
// use in a bubble.
type machine struct {
	program  func(p *proc) (status string)
	stubborn int // how many of the requests to end a process ignores: its input's end, then the signal

	mu    sync.Mutex
	procs []*proc
	fail  error // of the next starts
	tries int
}

// proc is one process, as it sees itself.
type proc struct {
	m      *machine
	pid    int
	stdin  *io.PipeReader
	stdout *io.PipeWriter
	stderr *io.PipeWriter
	ctx    context.Context // ends with its life
	cancel context.CancelFunc

	mu      sync.Mutex
	signals []string
	killed  bool
	done    chan struct{}
}

func (m *machine) start(args, env []string) (backend.FakeProcess, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tries++
	if m.fail != nil {
		return backend.FakeProcess{}, m.fail
	}
	p := &proc{m: m, pid: len(m.procs) + 1, done: make(chan struct{})}
	m.procs = append(m.procs, p)
	p.ctx, p.cancel = context.WithCancel(context.Background())
	var in *io.PipeWriter
	var out, errs *io.PipeReader
	p.stdin, in = io.Pipe()
	out, p.stdout = io.Pipe()
	errs, p.stderr = io.Pipe()
	exit := make(chan string, 1)
	go func() {
		defer close(p.done)
		status := m.program(p)
		p.mu.Lock()
		if p.killed {
			status = "signal: killed"
		}
		p.mu.Unlock()
		p.close()
		exit <- status
	}()
	return backend.FakeProcess{PID: p.pid, Stdin: in, Stdout: out, Stderr: errs, Wait: func() string { return <-exit }, Signal: p.signal}, nil
}

func (p *proc) close() {
	p.cancel()
	_, _, _ = p.stdin.Close(), p.stdout.Close(), p.stderr.Close()
}

func (p *proc) signal(kill bool) {
	select {
	case <-p.done:
		return
	default:
	}
	p.mu.Lock()
	p.signals = append(p.signals, map[bool]string{false: "term", true: "kill"}[kill])
	p.mu.Unlock()
	if kill || p.m.stubborn < 2 {
		p.kill()
	}
}

// kill ends the process at once.
func (p *proc) kill() {
	p.mu.Lock()
	p.killed = true
	p.mu.Unlock()
	p.close()
	<-p.done
}

func (m *machine) started() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.procs)
}

// running are the processes that have not ended, in the order of their start.
func (m *machine) running() (all []*proc) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.procs {
		select {
		case <-p.done:
		default:
			all = append(all, p)
		}
	}
	return all
}

// served is a program that is a real server.
func served(srv *backendtest.Server) func(*proc) string {
	return func(p *proc) string {
		if err := srv.ServeStdio(p.ctx, p.stdin, p.stdout); err != nil {
			return "exit status 1"
		}
		return "exit status 0"
	}
}

// spoken is a program that is written by hand: it is called for each line with
// what that is. It ends when its input does, or with a status.
func spoken(say func(p *proc, e *wire.Envelope, line []byte) (status string)) func(*proc) string {
	return func(p *proc) string {
		in := bufio.NewScanner(p.stdin)
		in.Buffer(nil, 1<<20)
		for in.Scan() {
			e, err := wire.Scan(in.Bytes())
			if err != nil {
				return "exit status 9"
			}
			if status := say(p, &e, in.Bytes()); status != "" {
				return status
			}
		}
		if p.m.stubborn > 0 {
			<-p.ctx.Done()
		}
		return "exit status 0"
	}
}

// say writes lines; %s in them is the id of the request.
func (p *proc) say(e *wire.Envelope, line []byte, lines ...string) {
	for _, l := range lines {
		_, _ = io.WriteString(p.stdout, strings.ReplaceAll(l, "%s", string(e.ID.Of(line)))+"\n")
	}
}

// elderHandshake answers what comes before the first call as a server of an elder
// revision does. It reports whether it did.
func (p *proc) elderHandshake(e *wire.Envelope, line []byte) bool {
	switch {
	case e.Method == wire.MethodDiscover:
		p.say(e, line, `{"jsonrpc":"2.0","id":%s,"error":{"code":-32601,"message":"what?"}}`)
	case e.Method == wire.MethodInitialize:
		p.say(e, line, `{"result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"x","version":"1"}},"jsonrpc":"2.0","id":%s}`)
	case e.Kind == wire.Notification:
	default:
		return false
	}
	return true
}

// newStdioRig is a client of a program in memory. It must be called inside a
// bubble.
func newStdioRig(t testing.TB, m *machine, opts ...rigOption) *rig {
	t.Helper()
	self, err := os.Executable() // something that exists
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, traced: &recorder{}}
	o := backend.Options{Name: "files", Command: self, Trace: r.traced.trace()}
	for _, opt := range opts {
		opt(&o)
	}
	if r.c, err = backend.NewFakeStdioClient(o, m.start); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = r.c.Close()
		want(t, "processes left", len(m.running()), 0)
	})
	return r
}

// newServedRig is a client of a real server that is a program in memory.
func newServedRig(t testing.TB, server []backendtest.Option, opts ...rigOption) (*rig, *machine) {
	t.Helper()
	srv := backendtest.NewServer(t, append([]backendtest.Option{backendtest.WithPipe()}, server...)...)
	m := &machine{program: served(srv)}
	r := newStdioRig(t, m, opts...)
	r.srv = srv
	return r, m
}

func wantExit(t testing.TB, err error, status string) *backend.Error {
	t.Helper()
	e := wantKind(t, err, backend.KindProcessExited)
	exit, ok := errors.AsType[*backend.ExitError](err)
	if !ok || exit.Status != status {
		t.Fatalf("got %v (%+v), want a process that ended with %q", err, exit, status)
	}
	return e
}

var errNoProgram = fmt.Errorf("fork/exec: %w", os.ErrNotExist)
