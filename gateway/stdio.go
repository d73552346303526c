package gateway

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"sync"

	"github.com/recloser-mcp/recloser/catalog"
	"github.com/recloser-mcp/recloser/wire"
)

// maxStdio bounds the requests of one client that are served at a time.
const maxStdio = 256

// ServeStdio serves one client that speaks over a pair of streams, one message a
// line (basic/transports, "stdio"): with a session of an elder revision, or without
// one as in 2026-07-28. path is /mcp, or /mcp/ and a slug. It returns when in ends,
// when out breaks, or when ctx does, and has ended everything by then.
func (g *Gateway) ServeStdio(ctx context.Context, path string, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &stdio{g: g, path: path, ctx: ctx, cancel: cancel, out: out, places: make(chan struct{}, maxStdio), calls: map[string]context.CancelFunc{}}
	defer context.AfterFunc(ctx, func() {
		if c, ok := in.(io.Closer); ok {
			_ = c.Close() // ends a read that waits
		}
	})()
	err := s.read(in)
	s.leave()
	cancel()
	s.work.Wait()
	switch broken := s.broken(); {
	case err == nil: // the client has left; it need not hear the rest
		return nil
	case broken != nil:
		return broken
	case ctx.Err() != nil:
		return nil
	}
	return err
}

// stdio is one such client.
type stdio struct {
	g      *Gateway
	path   string
	ctx    context.Context //nolint:containedctx // it is the client's, which this stands for
	cancel context.CancelFunc
	work   sync.WaitGroup
	places chan struct{}

	write sync.Mutex
	out   io.Writer
	fault error

	mu      sync.Mutex
	session string
	calls   map[string]context.CancelFunc // of a client without a session, by raw id
}

// read serves the messages of the client in the order in which they come; requests
// but the first run beside each other.
func (s *stdio) read(in io.Reader) error {
	lines := bufio.NewReaderSize(in, 64<<10)
	for {
		line, err := readLine(lines, s.g.requestBytes.Load())
		switch {
		case errors.Is(err, errTooLarge):
			s.send(wire.ErrorBody(nil, wire.InvalidRequest, "the message is larger than the gateway allows", nil))
			continue
		case len(line) > 0:
			s.take(line)
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if broken := s.broken(); broken != nil {
			return broken
		}
	}
}

// readLine reads a line without its end. One that is too long is skipped.
func readLine(r *bufio.Reader, limit int64) ([]byte, error) {
	var line []byte
	long := false
	for {
		part, err := r.ReadSlice('\n')
		if long = long || int64(len(line)+len(part)) > limit; long {
			line = nil
		} else {
			line = append(line, part...)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if long {
			return nil, errTooLarge
		}
		return bytes.TrimSpace(line), err
	}
}

// take serves one message.
func (s *stdio) take(line []byte) {
	e, err := wire.Scan(line)
	ctx, done := s.ctx, func() {}
	if err == nil && e.Kind == wire.Request && e.Method != wire.MethodInitialize {
		s.places <- struct{}{}
		ctx, done = s.begin(e.ID.Of(line))
		s.work.Go(func() {
			defer func() { <-s.places }()
			defer done()
			s.post(ctx, &e, line)
		})
		return
	}
	if err == nil && e.Kind == wire.Notification && e.Method == wire.NoteCancelled && s.sessionID() == "" {
		s.end(e.RequestID.Of(line)) // where there is no session, nobody else knows the request
		return
	}
	s.post(ctx, &e, line)
	if err == nil && e.Method == wire.NoteInitialized && s.sessionID() != "" {
		s.work.Go(s.listen)
	}
}

func (s *stdio) begin(id []byte) (context.Context, func()) {
	ctx, cancel := context.WithCancel(s.ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	key := string(id)
	s.calls[key] = cancel
	return ctx, func() {
		cancel()
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.calls, key)
	}
}

func (s *stdio) end(id []byte) {
	s.mu.Lock()
	cancel := s.calls[string(id)]
	s.mu.Unlock()
	if cancel != nil {
		cancel()
	}
}

func (s *stdio) sessionID() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.session
}

// post makes an HTTP request of a message.
func (s *stdio) post(ctx context.Context, e *wire.Envelope, line []byte) {
	r := s.request(ctx, http.MethodPost, line)
	r.Header["Content-Type"] = typeJSON
	r.Header["Accept"] = []string{typeJSON[0] + ", " + typeSSE[0]}
	if version := e.Revision(line); version != "" {
		r.Header[wire.HeaderProtocol] = []string{string(version)}
		r.Header[wire.HeaderMethod] = []string{e.Method}
		if name, ok := wire.Unquote(e.NameAt().Of(line)); ok {
			r.Header[wire.HeaderName] = []string{wire.EncodeHeaderValue(name)}
		}
		s.mirror(r, e, line)
	}
	w := newLines(s)
	s.g.ServeHTTP(w, r)
	w.finish()
	if id := w.header.Get(wire.HeaderSession); id != "" && e.Method == wire.MethodInitialize {
		s.mu.Lock()
		s.session = id
		s.mu.Unlock()
	}
}

// mirror adds the headers that stand for arguments, which HTTP wants and stdio has
// no place for.
func (s *stdio) mirror(r *http.Request, e *wire.Envelope, line []byte) {
	if e.Method != wire.MethodToolsCall {
		return
	}
	name, _ := wire.Unquote(e.Name.Of(line))
	slug, _ := s.g.scope(s.path)
	q := request{g: s.g, scope: slug}
	if tool, ok := q.view().Find(catalog.Tool, []byte(name)); ok {
		r.Header = withParams(r.Header, wire.HeaderValues(e.Arguments.Of(line), tool.Params))
	}
}

func (s *stdio) request(ctx context.Context, method string, body []byte) *http.Request {
	r, _ := http.NewRequestWithContext(ctx, method, "http://localhost"+s.path, bytes.NewReader(body))
	r.RemoteAddr = "stdio"
	if id := s.sessionID(); id != "" {
		r.Header[wire.HeaderSession] = []string{id}
	}
	return r
}

// listen passes on what is said outside of requests.
func (s *stdio) listen() {
	r := s.request(s.ctx, http.MethodGet, nil)
	r.Header["Accept"] = typeSSE
	w := newLines(s)
	s.g.ServeHTTP(w, r)
	w.finish()
}

// leave ends the client's session.
func (s *stdio) leave() {
	if s.sessionID() != "" {
		w := newLines(s)
		s.g.ServeHTTP(w, s.request(context.WithoutCancel(s.ctx), http.MethodDelete, nil))
		w.finish()
	}
}

// send writes one message as a line.
func (s *stdio) send(doc []byte) {
	if doc = bytes.TrimSpace(doc); len(doc) == 0 {
		return
	}
	if bytes.ContainsAny(doc, "\r\n") { // between values: strings hold no line breaks
		doc = bytes.ReplaceAll(bytes.ReplaceAll(doc, []byte("\r"), []byte(" ")), []byte("\n"), []byte(" "))
	}
	s.write.Lock()
	defer s.write.Unlock()
	if s.fault != nil {
		return
	}
	if _, s.fault = s.out.Write(append(bytes.Clone(doc), '\n')); s.fault != nil {
		s.cancel()
	}
}

func (s *stdio) broken() error {
	s.write.Lock()
	defer s.write.Unlock()
	return s.fault
}

// lines is the answer to one request, taken apart into messages.
type lines struct {
	s      *stdio
	header http.Header
	doc    bytes.Buffer   // of a JSON answer
	pipe   *io.PipeWriter // of a stream
	read   sync.WaitGroup
}

func newLines(s *stdio) *lines { return &lines{s: s, header: http.Header{}} }

// Header implements http.ResponseWriter.
func (l *lines) Header() http.Header { return l.header }

// WriteHeader implements http.ResponseWriter. A line has no status.
func (l *lines) WriteHeader(int) {}

// Flush implements http.Flusher.
func (l *lines) Flush() {}

// Write implements http.ResponseWriter.
func (l *lines) Write(p []byte) (int, error) {
	if l.header.Get("Content-Type") != typeSSE[0] {
		return l.doc.Write(p)
	}
	if l.pipe == nil {
		r, w := io.Pipe()
		l.pipe = w
		l.read.Go(func() {
			events := wire.NewEventReader(r, 0)
			for {
				ev, err := events.Next()
				if err != nil {
					_ = r.CloseWithError(err)
					return
				}
				l.s.send(ev.Data)
			}
		})
	}
	return l.pipe.Write(p)
}

// finish sends what is left when the request has been served.
func (l *lines) finish() {
	if l.pipe != nil {
		_ = l.pipe.Close()
		l.read.Wait()
	}
	if l.doc.Len() > 0 {
		l.s.send(l.doc.Bytes())
	}
}
