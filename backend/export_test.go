package backend

import "io"

// FakeProcess is a process that no operating system runs.
type FakeProcess struct {
	PID            int
	Stdin          io.WriteCloser
	Stdout, Stderr io.ReadCloser
	Wait           func() (status string)
	Signal         func(kill bool)
}

// NewFakeStdioClient is NewStdioBackendClient with another way to start a process.
func NewFakeStdioClient(o Options, start func(args, env []string) (FakeProcess, error)) (*Client, error) {
	return newProcessClient(o, func(c command) (*process, error) {
		p, err := start(c.args, c.env)
		if err != nil {
			return nil, err
		}
		return &process{pid: p.PID, stdin: p.Stdin, stdout: p.Stdout, stderr: p.Stderr, wait: p.Wait, signal: p.Signal}, nil
	})
}
