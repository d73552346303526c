package backendtest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"sync"
)

// Programs are what a test binary can be, by name, when it is started as a
// process of its own: servers over stdio, above all.
//
//	var programs = backendtest.Programs{
//		"files": func(c *backendtest.Child) error { return c.Serve(backendtest.WithTool(...)) },
//	}
//
//	func TestMain(m *testing.M) {
//		programs.Main()
//		os.Exit(m.Run())
//	}
type Programs map[string]func(*Child) error

// Variables of the environment by which a test tells its binary what to be.
const (
	envProgram = "BACKENDTEST_PROGRAM"
	envReport  = "BACKENDTEST_REPORT"
)

// Main is called first in TestMain. In a process that was started with the
// command of a [Program] it runs that and exits, with status 1 when it fails; else
// it returns.
func (p Programs) Main() {
	name, ok := os.LookupEnv(envProgram)
	if !ok {
		return
	}
	run := p[name]
	if run == nil {
		fmt.Fprintf(os.Stderr, "backendtest: there is no program %q\n", name)
		os.Exit(2)
	}
	c, err := newChild(name)
	if err == nil {
		err = run(c)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// Child is the process of a program, as it sees itself.
type Child struct {
	mu     sync.Mutex
	report net.Conn
	acks   *bufio.Reader
}

// report is what a process tells the test that started it, one JSON object a
// line. Each is answered with a line when it has been noted.
type report struct {
	PID      int    `json:"pid,omitempty"`
	Program  string `json:"program,omitempty"`
	Executed string `json:"executed,omitempty"`
	Request  string `json:"request,omitempty"`
}

func newChild(name string) (*Child, error) {
	conn, err := net.Dial("tcp", os.Getenv(envReport))
	if err != nil {
		return nil, fmt.Errorf("backendtest: the test cannot be told: %w", err)
	}
	c := &Child{report: conn, acks: bufio.NewReader(conn)}
	return c, c.tell(report{PID: os.Getpid(), Program: name})
}

// tell reports to the test, and returns when it has been noted there.
func (c *Child) tell(r report) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := c.report.Write(append(mustJSON(r), '\n')); err != nil {
		return err
	}
	_, err := c.acks.ReadBytes('\n')
	return err
}

// Serve serves one MCP client on standard input and output until the input ends.
// The test counts requests and executions.
func (c *Child) Serve(opts ...Option) error {
	s, err := c.Server(opts...)
	if err != nil {
		return err
	}
	return s.ServeStdio(context.Background(), os.Stdin, os.Stdout)
}

// Server is what Serve serves with [Server.ServeStdio], for programs that change
// it while it runs. It has no URL.
func (c *Child) Server(opts ...Option) (*Server, error) {
	cfg, err := newConfig(opts)
	if err != nil {
		return nil, err
	}
	s := newServer(cfg)
	s.counts.told = func(r report) {
		if c.tell(r) != nil {
			os.Exit(3) // the test is gone
		}
	}
	return s, nil
}

// Linger does nothing until the test has ended: a process that nobody ends is not
// left behind for ever.
func (c *Child) Linger() { _, _ = c.acks.ReadByte() }

// Command is this binary as another program of the same test.
func (c *Child) Command(name string) *exec.Cmd {
	cmd := exec.Command(os.Args[0]) //nolint:gosec // itself
	cmd.Env = append(os.Environ(), envProgram+"="+name)
	return cmd
}

// serveReports notes what processes tell, until l is closed. It returns when all
// of their connections have ended.
func (p *Program) serveReports(l net.Listener) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		wg.Go(func() { p.listen(conn) })
	}
}

// listen follows one process. The connection ends with it.
func (p *Program) listen(conn net.Conn) {
	defer conn.Close()
	in := json.NewDecoder(conn)
	var who Process
	defer func() { p.note(func() { delete(p.live, who.PID) }) }()
	for {
		var r report
		if err := in.Decode(&r); err != nil {
			if !errors.Is(err, io.EOF) {
				_ = conn.Close()
			}
			return
		}
		p.note(func() {
			if r.PID != 0 {
				who = Process{PID: r.PID, Program: r.Program}
				p.live[who.PID] = who
				p.started = append(p.started, who)
			}
			if r.Executed != "" {
				p.executed[r.Executed]++
			}
			if r.Request != "" {
				p.requests[r.Request]++
			}
		})
		if _, err := conn.Write([]byte("\n")); err != nil {
			return
		}
	}
}
