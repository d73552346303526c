package backend

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/recloser-mcp/recloser/wire"
)

const (
	exitTime  = 2 * time.Second // for a process to end with its input
	termTime  = 2 * time.Second // and when it was asked to
	killTime  = 5 * time.Second // and when it was made to, which nothing can refuse
	drainTime = time.Second     // for what it wrote last, while others hold its pipes
)

// child is a process with a connection to it.
type child struct {
	s       *stdio
	process *process
	mux     *mux
	outbox  *outbox
	stderr  *tail
	began   time.Time
	quit    chan struct{} // closed when it has to end
	gone    chan struct{} // closed when nothing of it is left
	once    sync.Once
	told    atomic.Bool // its end is ours
	proven  atomic.Bool // it has answered more than a handshake
	exit    *ExitError  // how it ended, once gone is closed

	refuse bool // it did not know server/discover; guarded by the edge
}

// launchChild starts a process. The caller holds the lock of the edge.
func (s *stdio) launchChild() (*child, error) {
	switch {
	case s.shut:
		return nil, errEnded
	case s.launcher.full(s.o.Limits.InFlight):
		return nil, errTooManyProcesses
	}
	p, err := s.launcher.launch()
	if err != nil {
		return nil, err
	}
	c := &child{s: s, process: p, began: time.Now(), quit: make(chan struct{}), gone: make(chan struct{})}
	c.outbox = newOutbox(p.stdin, func() { c.end(nil) })
	c.mux = newMux(c, s.odd, func(method string) {
		if s.launcher.answered(method) {
			c.proven.Store(true)
		}
	})
	c.stderr = &tail{secrets: s.secrets, told: func(line string) {
		s.o.Logger.Debug("stderr", "backend", s.o.Name, "pid", p.pid, "line", line)
	}}
	s.children[c] = struct{}{}
	s.work.Go(c.supervise)
	return c, nil
}

func (c *child) channel() *mux { return c.mux }

func (c *child) ending() bool {
	select {
	case <-c.quit:
		return true
	default:
		return false
	}
}

// cause waits for the end of a process that could not be written to, which says
// why.
func (c *child) cause(ctx context.Context, err error) error {
	if errors.Is(err, errNotWritten) && c.await(ctx, exitTime+termTime+killTime) {
		return &unsentError{c.exit}
	}
	return err
}

// await waits for a process to end. It reports whether it did within d.
func (c *child) await(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-c.gone:
		return true
	case <-t.C:
	case <-ctx.Done():
	}
	return false
}

// send implements link.
func (c *child) send(ctx context.Context, _ http.Header, msg []byte) (*http.Response, error) {
	err := c.outbox.send(ctx, msg)
	if _, unsent := errors.AsType[*unsentError](err); errors.Is(err, errNotWritten) && !unsent {
		return nil, nil // the process ends for it, and says more by how it does
	}
	return nil, err
}

// post implements link.
func (c *child) post(msg []byte) { c.outbox.post(msg) }

// end has the process end. With a reason requests in flight end at once, with it;
// with none it is a fault of the process, and they end with how it exits.
func (c *child) end(reason error) {
	c.once.Do(func() {
		c.told.Store(reason != nil)
		close(c.quit) // first, so that who fails for it can see why
		if reason != nil {
			c.mux.fail(reason)
			c.outbox.close(reason)
		}
	})
}

// supervise is the life of a process: it returns when nothing of it is left.
func (c *child) supervise() {
	defer close(c.gone)
	var readers, writer sync.WaitGroup
	readers.Go(c.read)
	readers.Go(func() { c.stderr.read(c.process.stderr) })
	writer.Go(c.outbox.run)
	exited := make(chan string, 1)
	go func() { exited <- c.process.wait() }() // ends with the process, whatever we do

	var status string
	select {
	case status = <-exited:
	case <-c.quit:
		status = c.shutdown(exited)
	}
	c.process.signal(true) // whom it left behind
	_ = c.process.stdin.Close()
	cut := time.AfterFunc(drainTime, c.closeOutput)
	readers.Wait()
	cut.Stop()
	c.closeOutput()

	c.end(nil)
	c.exit = &ExitError{Command: c.s.launcher.name, PID: c.process.pid, Status: status, At: time.Now(),
		Lived: time.Since(c.began), Stderr: c.stderr.last()}
	c.s.forget(c)
	c.s.launcher.ended(c.exit, c.told.Load(), c.proven.Load())
	c.mux.fail(c.exit)
	c.outbox.close(c.exit)
	writer.Wait()
}

func (c *child) closeOutput() {
	_ = c.process.stdout.Close()
	_ = c.process.stderr.Close()
}

// shutdown ends a process as basic/lifecycle asks: its input is closed, then it is
// asked to end, then made to, with all that belong to it.
func (c *child) shutdown(exited <-chan string) (status string) {
	_ = c.process.stdin.Close()
	for _, step := range []struct {
		within time.Duration
		then   func()
	}{
		{exitTime, func() { c.process.signal(false) }},
		{termTime, func() { c.process.signal(true) }},
		{killTime, func() {}},
	} {
		t := time.NewTimer(step.within)
		select {
		case status = <-exited:
			t.Stop()
			return status
		case <-t.C:
			step.then()
		}
	}
	return "it does not end"
}

// read takes the messages that the process writes. When it closes its output it
// has to end: nothing can come of it any more.
func (c *child) read() {
	defer c.end(nil)
	in := bufio.NewReaderSize(c.process.stdout, 64<<10)
	limit := int(c.s.o.Limits.ResponseBytes)
	for {
		line, tail, err := readLine(in, limit)
		switch {
		case tail != nil:
			c.mux.garbled(line, tail, wire.ErrTooLarge)
		case err == nil:
			c.mux.receive(bytes.TrimRight(line, "\r\n"))
		}
		if err != nil {
			return // what stands behind the last line end is half a message
		}
	}
}

// readLine reads one line. Of one beyond the limit it returns a part from the
// beginning and one from the end, which is not nil then.
func readLine(in *bufio.Reader, limit int) (line, tail []byte, err error) {
	const ends = 256
	for {
		part, err := in.ReadSlice('\n')
		switch {
		case tail != nil:
			tail = append(tail, part...)
			tail = tail[max(len(tail)-ends, 0):]
		case len(line)+len(part) > limit+1:
			line = append(line, part...)
			tail = append([]byte{}, line[max(len(line)-ends, 0):]...)
			line = line[:min(ends, len(line)):min(ends, len(line))]
		default:
			line = append(line, part...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, tail, err
		}
	}
}

var errTooManyProcesses = errors.New("as many processes run as may")
