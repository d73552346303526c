package backend

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// command is a process to start.
type command struct {
	path string   // of the program, found already
	args []string // without the program itself
	env  []string
	dir  string
}

// process is one that was started, as the operating system has it.
type process struct {
	pid            int
	stdin          io.WriteCloser
	stdout, stderr io.ReadCloser
	wait           func() (status string) // until it has ended; called once
	signal         func(kill bool)        // asks, or makes, its whole group end
}

// startProcess starts a process that leads a group of its own. Its pipes are
// ours to close, not bound to the end of the process: what it wrote last is read.
func startProcess(c command) (*process, error) {
	var files [6]*os.File
	closeAll := func(list ...*os.File) {
		for _, f := range list {
			if f != nil {
				_ = f.Close()
			}
		}
	}
	for i := 0; i < len(files); i += 2 {
		r, w, err := os.Pipe()
		if err != nil {
			closeAll(files[:]...)
			return nil, err
		}
		files[i], files[i+1] = r, w
	}
	cmd := &exec.Cmd{Path: c.path, Args: append([]string{c.path}, c.args...), Env: c.env, Dir: c.dir,
		Stdin: files[0], Stdout: files[3], Stderr: files[5]}
	ownGroup(cmd)
	err := cmd.Start()
	closeAll(files[0], files[3], files[5])
	if err != nil {
		closeAll(files[1], files[2], files[4])
		return nil, err
	}
	return &process{
		pid: cmd.Process.Pid, stdin: files[1], stdout: files[2], stderr: files[4],
		wait: func() string {
			_ = cmd.Wait() // how it ended is in its state
			return cmd.ProcessState.String()
		},
		signal: func(kill bool) { signalGroup(cmd.Process, kill) },
	}, nil
}

// ExitError says how the process of a backend ended, or why there is none. It is
// found in the chain of an *[Error] of KindProcessExited.
type ExitError struct {
	Command string // the program, without its arguments
	PID     int    // 0 when it could not be started
	// Status is the exit status, the signal, or why it could not be started.
	Status string
	At     time.Time
	Lived  time.Duration
	// Stderr are the last lines that the process wrote there, in its own words,
	// apart from those that hold a piece of a secret of its environment. Error
	// does not have them.
	Stderr []string
	// Next is when the process may be started again; zero: at once.
	Next time.Time

	held bool // it was not tried, because Next is not reached
}

// Error names the program and its process.
func (e *ExitError) Error() string {
	if e.PID == 0 {
		return e.Command
	}
	return fmt.Sprintf("%s (process %d)", e.Command, e.PID)
}

// detail says what happened, in words of ours.
func (e *ExitError) detail() string {
	var b strings.Builder
	if e.PID == 0 {
		b.WriteString("it cannot be started: ")
	}
	b.WriteString(e.Status)
	if e.held {
		b.WriteString("; it ends again and again and is not started before " + e.Next.UTC().Format(time.RFC3339))
	}
	return b.String()
}
