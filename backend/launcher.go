package backend

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/recloser-mcp/recloser/wire"
)

const (
	restartFirst = time.Second // wait before a start after a second failure; it doubles
	restartMost  = 30 * time.Second
)

// launcher starts the processes of one backend and remembers how they ended.
//
// A process that ends before it has answered anything but the handshake has
// failed, unless it was told to end. After one failure the next start is made at
// once, after more in a row they are spaced.
type launcher struct {
	start   func(command) (*process, error)
	command command
	name    string // of the program, as it was given
	locate  func() (string, error)
	log     *slog.Logger

	mu       sync.Mutex
	failures int
	next     time.Time // no start before
	last     *ExitError
	owed     uint64 // ended by themselves and not replaced yet
	running  int
	restarts uint64
	logged   string
}

// launch starts a process. Its error is an *ExitError.
func (l *launcher) launch() (*process, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := time.Now(); now.Before(l.next) {
		held := *l.last
		held.Next, held.held = l.next, true
		return nil, &held
	}
	path, err := l.locate()
	var p *process
	if err == nil {
		c := l.command
		c.path = path
		p, err = l.start(c)
	}
	if err != nil {
		exit := &ExitError{Command: l.name, Status: startFault(err), At: time.Now()}
		l.failed(exit)
		return nil, exit
	}
	l.running++
	if l.owed > 0 {
		l.owed--
		l.restarts++
	}
	return p, nil
}

// ended notes the end of a process. told: we ended it; proven: it had answered.
func (l *launcher) ended(exit *ExitError, told, proven bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running--
	switch {
	case told:
	case proven:
		l.owed++
		l.note(exit)
	default:
		l.owed++
		l.failed(exit)
	}
}

// failed counts a failure, with the lock held.
func (l *launcher) failed(exit *ExitError) {
	if l.failures++; l.failures > 1 {
		l.next = exit.At.Add(min(restartFirst<<min(l.failures-2, 5), restartMost))
		exit.Next = l.next
	}
	l.note(exit)
}

// note remembers an end and logs it, the same one once in a row.
func (l *launcher) note(exit *ExitError) {
	l.last = exit
	line := ""
	if n := len(exit.Stderr); n > 0 {
		line = exit.Stderr[n-1]
	}
	level := slog.LevelWarn
	if text := exit.Status + "\n" + line; text != l.logged {
		l.logged = text
	} else {
		level = slog.LevelDebug
	}
	l.log.Log(context.Background(), level, "process ended", "command", exit.Command, "pid", exit.PID, "status", exit.Status, "lived", exit.Lived, "stderr", line)
}

// answered notes that a process has answered a request.
func (l *launcher) answered(method string) bool {
	if method == wire.MethodInitialize || method == wire.MethodDiscover {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failures, l.next = 0, time.Time{}
	return true
}

// facts are for status pages.
func (l *launcher) facts() *ProcessFacts {
	l.mu.Lock()
	defer l.mu.Unlock()
	return &ProcessFacts{Command: l.name, Running: l.running, Restarts: l.restarts, LastExit: l.last}
}

// full reports whether as many processes run as may.
func (l *launcher) full(most int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.running >= most
}
