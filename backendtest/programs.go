package backendtest

import (
	"cmp"
	"context"
	"maps"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
)

// Program is one of [Programs] from the side of the test: a command that a client
// can start as often as it likes, and what is known of its processes. It is
// safe for concurrent use.
type Program struct {
	// Command and Env start the program. Env may be added to.
	Command string
	Env     map[string]string

	mu       sync.Mutex
	live     map[int]Process
	started  []Process
	executed map[string]int
	requests map[string]int
	changed  chan struct{}
}

// Process is a process of a program.
type Process struct {
	PID     int
	Program string // by its name in Programs
}

// NewProgram makes a command of this test binary's program of that name. When the
// test ends, its processes must have.
func NewProgram(t testing.TB, name string) *Program {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &Program{
		Command: self, Env: map[string]string{envProgram: name, envReport: l.Addr().String()},
		live: map[int]Process{}, executed: map[string]int{}, requests: map[string]int{}, changed: make(chan struct{}),
	}
	var wg sync.WaitGroup
	wg.Go(func() { p.serveReports(l) })
	t.Cleanup(func() {
		_ = l.Close()
		wg.Wait()
	})
	return p
}

// note changes what is known and wakes whoever waits.
func (p *Program) note(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	close(p.changed)
	p.changed = make(chan struct{})
}

func programGet[T any](p *Program, read func() T) T {
	p.mu.Lock()
	defer p.mu.Unlock()
	return read()
}

// Live are the processes that run, in no order: a process is gone when the system
// has closed what it held open.
func (p *Program) Live() []Process {
	return programGet(p, func() []Process {
		return slices.SortedFunc(maps.Values(p.live), func(a, b Process) int { return cmp.Compare(a.PID, b.PID) })
	})
}

// Started are all processes that there ever were, in the order of their start.
func (p *Program) Started() []Process {
	return programGet(p, func() []Process { return slices.Clone(p.started) })
}

// Executions is how often a tool, prompt or resource was used, in all processes.
func (p *Program) Executions(name string) int {
	return programGet(p, func() int { return p.executed[name] })
}

// Requests is how many messages of a method arrived, in all processes.
func (p *Program) Requests(method string) int {
	return programGet(p, func() int { return p.requests[method] })
}

// Wait blocks until cond is true, which may ask the program anything, or ctx ends.
func (p *Program) Wait(ctx context.Context, cond func() bool) error {
	for {
		changed := programGet(p, func() chan struct{} { return p.changed })
		if cond() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Kill ends a process as nothing else can, and waits until it is gone.
func (p *Program) Kill(ctx context.Context, pid int) error {
	process, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	if err := process.Kill(); err != nil {
		return err
	}
	return p.Wait(ctx, func() bool {
		return !slices.ContainsFunc(p.Live(), func(live Process) bool { return live.PID == pid })
	})
}
