package backendtest

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
)

// errQuit is why a server over stdio ends that was asked what it does not know.
var errQuit = errors.New("backendtest: the server ends, as LegacyExit says")

// ServeStdio serves one connection of lines: in is the server's standard input,
// out its standard output. It returns when in has ended and nothing of the
// connection runs any more, or soon after ctx has ended, and closes both. Each
// connection is a server of its own with the tools that the Server was started
// with; AddTool and its like reach those that are open. Faults, middleware,
// handlers and credentials are HTTP's and work here on nothing. Revisions are
// limited as over HTTP, [WithLegacyAnswer] included.
//
// With [WithMCPGo] there may be one connection at a time, and none in a bubble of
// testing/synctest: that SDK has one session over stdio in a program, which is
// made with the program.
func (s *Server) ServeStdio(ctx context.Context, in io.ReadCloser, out io.WriteCloser) error {
	l := &Server{cfg: s.cfg, counts: s.counts, gate: s.gate, host: newHost(true, nil)}
	l.engine = l.newEngine()
	ctx, cancel := s.host.bound(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		l.host.cancel() // ends tools
		_ = in.Close()
		_ = out.Close()
	})()
	s.mu.Lock()
	s.lines[l] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.lines, l)
		s.mu.Unlock()
		l.host.cancel()
	}()

	shared := &sharedWriter{w: out}
	passed, pass := io.Pipe()
	var wg sync.WaitGroup
	var served error
	wg.Go(func() {
		served = l.engine.serve(ctx, passed, shared)
		_ = passed.Close()
	})
	err := l.filter(in, pass, shared)
	_ = in.Close()
	if err != nil {
		cancel()
	}
	_ = pass.Close() // the end of input
	wg.Wait()
	_ = out.Close()
	if err == nil && !errors.Is(served, io.EOF) {
		err = served
	}
	return err
}

// filter counts what comes, answers what the server's revisions exclude, and
// passes the rest on.
func (s *Server) filter(in io.Reader, pass, out io.Writer) error {
	r := bufio.NewReader(in)
	for {
		text, err := r.ReadBytes('\n')
		if len(text) > 1 {
			m := &Message{Body: text}
			m.parse()
			x := s.counts.begin(&http.Request{Method: http.MethodPost, Header: http.Header{}}, m)
			s.counts.answered(x, m, http.StatusOK, "")
			s.counts.end(x)
			answer, final, quit := s.gate.line(m)
			switch {
			case quit:
				return errQuit
			case answer != nil:
				_, _ = out.Write(append(answer, '\n'))
			}
			if !final {
				if _, err := pass.Write(m.Body); err != nil {
					return nil //nolint:nilerr // the server has ended
				}
			}
		}
		if err != nil {
			return nil //nolint:nilerr // the end of input, however it comes
		}
	}
}

// line answers a message that the server's revisions exclude; final: it goes no
// further.
func (g gate) line(m *Message) (answer []byte, final, quit bool) {
	switch {
	case g.revisions == nil || len(m.ID) == 0:
		return nil, false, false
	case g.onlyModern():
		if m.Method != "initialize" {
			return nil, false, false
		}
		return m.RPCError(codeUnsupportedVersion, "Unsupported protocol version", g.versionData(initializeRevision(m.Params))), true, false
	case !g.servesModern() && (m.Modern() || m.Method == "server/discover"):
		return g.lineOfTomorrow(m)
	case m.Method == "initialize":
		r := &http.Request{}
		if g.negotiate(r, m); r.Body != nil {
			m.Body, _ = io.ReadAll(r.Body)
			m.Body = append(m.Body, '\n')
		}
	}
	return nil, false, false
}

// lineOfTomorrow is how a server of an elder revision meets a message of
// 2026-07-28.
func (g gate) lineOfTomorrow(m *Message) (answer []byte, final, quit bool) {
	switch g.legacy {
	case LegacySilent:
		return nil, true, false
	case LegacyExit:
		return nil, true, true
	case LegacyUnsupported:
		w := newDiscard()
		g.refuseKnowingly(w, m)
		return w.body.Bytes(), true, false
	case LegacyJSON:
		return m.RPCError(codeLegacyRefusal, g.unsupportedText(), nil), true, false
	}
	return m.RPCError(codeMethodNotFound, "Method not found", nil), true, false
}

// sharedWriter keeps the lines of several writers apart.
type sharedWriter struct {
	mu sync.Mutex
	w  io.WriteCloser
}

func (s *sharedWriter) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(p)
}

// Close implements io.Closer: the SDK's end is not the end of the connection.
func (s *sharedWriter) Close() error { return nil }
