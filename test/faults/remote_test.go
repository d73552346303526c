package faults

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
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/recloser-mcp/recloser/backendtest"
)

// remoteEnv makes the test's own program be a backend; see [beRemote]. Its value
// is an address, a revision and names of tools that only echo.
const remoteEnv = "RECLOSER_FAULTS_REMOTE"

// watched is the resource of a remote.
const watched = "mem://one"

// beRemote is a backend until its standard input ends. It says each execution
// of a tool before the tool begins ("ran echo"): what a process that is killed
// has counted would be lost with it. It is told what to do on standard input, and
// says when that is done.
func beRemote(spec string) {
	args := strings.Fields(spec)
	var mu sync.Mutex
	say := func(format string, a ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Printf(format+"\n", a...)
	}
	tool := func(name string, fn backendtest.ToolFunc) backendtest.Option {
		return backendtest.WithTool(name, func(ctx context.Context, args json.RawMessage) (any, error) {
			say("ran %s", name)
			return fn(ctx, args)
		})
	}
	hang := func(ctx context.Context, _ json.RawMessage) (any, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	options := []backendtest.Option{backendtest.WithAddr(args[0]), backendtest.WithRevision(args[1]),
		backendtest.WithSubscriptions(), backendtest.WithResource(watched, "first"),
		tool("echo", backendtest.Echo), tool("hang", hang),
		tool("report", func(ctx context.Context, args json.RawMessage) (any, error) {
			if err := backendtest.Progress(ctx, 1, 2, "half"); err != nil {
				return nil, err
			}
			return hang(ctx, args)
		})}
	for _, name := range args[2:] {
		options = append(options, tool(name, backendtest.Echo))
	}
	s, err := backendtest.StartServer(options...)
	if err != nil {
		say("did not start: %v", err)
		return
	}
	say("did start")
	ctx, cancel := context.WithCancel(context.Background())
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		verb, arg, _ := strings.Cut(in.Text(), " ")
		n, _ := strconv.Atoi(arg)
		switch verb {
		case "update":
			err = s.UpdateResource(watched, arg)
		case "add":
			s.AddTool(backendtest.Tool{Name: arg})
		case "subscriptions":
			err = s.WaitSubscriptions(ctx, watched, n)
		case "streams":
			err = s.WaitStreams(ctx, n)
		case "requests":
			say("did %d", s.Requests(arg))
			continue
		default:
			err = errors.New("what?")
		}
		if err != nil {
			say("did not %s: %v", in.Text(), err)
			continue
		}
		say("did %s", verb)
	}
	cancel()
	s.Close()
}

// remote is a backend over HTTP in a process of its own.
type remote struct {
	t        *testing.T
	ctx      context.Context
	addr     string
	revision string

	cmd  *exec.Cmd
	in   io.WriteCloser
	did  chan string
	read chan struct{} // closed when all that it said was read

	mu      sync.Mutex
	ran     map[string]int // executions, also of processes that are gone
	changed chan struct{}
}

// newRemote starts a backend of a revision.
func newRemote(ctx context.Context, t *testing.T, revision string) *remote {
	t.Helper()
	r := &remote{t: t, ctx: ctx, addr: reserve(t), revision: revision, ran: map[string]int{}, changed: make(chan struct{})}
	r.start()
	t.Cleanup(func() {
		if r.cmd != nil {
			r.kill()
		}
	})
	return r
}

// start starts it, again under its address, with tools beside its own.
func (r *remote) start(tools ...string) {
	r.t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %s", remoteEnv, r.addr, r.revision, strings.Join(tools, " ")))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.cmd, r.in, r.did, r.read = cmd, in, make(chan string, 1), make(chan struct{})
	go r.listen(out, r.did, r.read)
	r.want("start")
}

func (r *remote) listen(out io.Reader, did chan<- string, read chan<- struct{}) {
	defer close(read)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		verb, arg, _ := strings.Cut(lines.Text(), " ")
		if verb != "ran" {
			did <- arg
			continue
		}
		r.mu.Lock()
		r.ran[arg]++
		close(r.changed)
		r.changed = make(chan struct{})
		r.mu.Unlock()
	}
}

// kill is kill -9. Nothing of the process is left when it returns.
func (r *remote) kill() {
	r.t.Helper()
	if err := r.cmd.Process.Kill(); err != nil {
		r.t.Error(err)
	}
	<-r.read
	_ = r.in.Close()
	_ = r.cmd.Wait() // it says that it was killed
	if status, ok := r.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		r.t.Errorf("the backend ended by itself: %s", r.cmd.ProcessState)
	}
	r.cmd = nil
}

// ask has the process do something and returns what it says then.
func (r *remote) ask(format string, args ...any) string {
	r.t.Helper()
	if _, err := fmt.Fprintf(r.in, format+"\n", args...); err != nil {
		r.t.Fatal(err)
	}
	return r.answer()
}

func (r *remote) answer() string {
	r.t.Helper()
	select {
	case s := <-r.did:
		return s
	case <-r.read:
		r.t.Fatal("the backend has ended")
	case <-r.ctx.Done():
		r.t.Fatal("the backend does not do what it was told")
	}
	return ""
}

// tell has the process do something.
func (r *remote) tell(verb string, arg any) {
	r.t.Helper()
	if s := r.ask("%s %v", verb, arg); s != verb {
		r.t.Fatalf("%s %v: the backend did %s", verb, arg, s)
	}
}

func (r *remote) want(s string) {
	r.t.Helper()
	if got := r.answer(); got != s {
		r.t.Fatalf("the backend did %s, want %s", got, s)
	}
}

// await waits until a tool has run n times.
func (r *remote) await(tool string, n int) {
	r.t.Helper()
	for {
		r.mu.Lock()
		have, changed := r.ran[tool], r.changed
		r.mu.Unlock()
		if have >= n {
			return
		}
		select {
		case <-changed:
		case <-r.ctx.Done():
			r.t.Fatalf("%s ran %d times, want %d", tool, have, n)
		}
	}
}

// executions is how often each tool ran.
func (r *remote) executions(tool string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ran[tool]
}

// reserve takes a loopback port until the test ends, without listening: whoever
// is given the address can listen there, again and again, and the kernel gives
// the port to nobody else meanwhile. While nobody listens it refuses connections.
func reserve(t *testing.T) string {
	t.Helper()
	syscall.ForkLock.RLock()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	host := [4]byte{127, 0, 0, 1}
	if err := errors.Join(syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1),
		syscall.Bind(fd, &syscall.SockaddrInet4{Addr: host})); err != nil {
		t.Fatal(err)
	}
	at, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return (&net.TCPAddr{IP: host[:], Port: at.(*syscall.SockaddrInet4).Port}).String()
}
