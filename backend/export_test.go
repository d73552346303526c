package backend

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"

	"github.com/recloser-mcp/recloser/wire"
)

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

// Receive has lines come in on a connection of messages, while a call, a call with
// a progress token and a subscription wait. It returns what each of them, and the
// standing stream, got to read.
func Receive(session bool, lines []byte, limit int) (answers map[string]string) {
	m := newMux(nowhere{}, func() {}, func(string) {})
	m.session = session
	waiting := map[string]*flight{}
	for name, msg := range map[string]string{
		"call":   `{"jsonrpc":"2.0","id":"call","method":"tools/call","params":{}}`,
		"steps":  `{"jsonrpc":"2.0","id":"steps","method":"tools/call","params":{"_meta":{"progressToken":"p"}}}`,
		"listen": `{"jsonrpc":"2.0","id":"listen","method":"subscriptions/listen","params":{}}`,
	} {
		e, _ := wire.Scan([]byte(msg))
		waiting[name], _, _ = m.enroll(context.Background(), []byte(msg), &e, nil)
	}
	in := newInbox(context.Background(), m)
	m.standing = &in
	r := bufio.NewReaderSize(bytes.NewReader(lines), 16)
	for {
		line, tail, err := readLine(r, limit)
		switch {
		case tail != nil:
			m.garbled(line, tail, wire.ErrTooLarge)
		case err == nil:
			m.receive(bytes.TrimRight(line, "\r\n"))
		}
		if err != nil {
			break
		}
	}
	m.fail(io.ErrUnexpectedEOF)
	answers = map[string]string{}
	read := func(in *inbox) string {
		text, _ := io.ReadAll(&eventBody{in: in, leave: func() {}})
		return string(text)
	}
	for name, f := range waiting {
		answers[name] = read(&f.inbox)
	}
	answers[""] = read(&in)
	return answers
}

type nowhere struct{}

func (nowhere) send(context.Context, http.Header, []byte) (*http.Response, error) { return nil, nil }
func (nowhere) post([]byte)                                                       {}
