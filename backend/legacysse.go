package backend

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"

	"github.com/recloser-mcp/recloser/wire"
)

// legacySSE is the edge of a backend that speaks the transport of 2024-11-05: a
// stream of events brings everything that the server says, and names the address
// to which messages are posted. There is such a stream for each session, and the
// session ends with it.
//
// Both kinds of requests carry the credential of the request that they are made
// for, and what they are refused with is its answer, so that the guard above sees
// a refusal like any other.
type legacySSE struct {
	sessions
	base   http.RoundTripper
	o      Options
	url    *url.URL
	origin origin
	life   context.Context // of the streams; ends with Close
	stop   context.CancelFunc
}

var (
	_ http.RoundTripper = (*legacySSE)(nil)
	_ io.Closer         = (*legacySSE)(nil)
)

// What a stream may begin with that cannot be used.
var (
	errNoStream   = &misfit{"the GET is not answered with a stream of events: is this address one of HTTP+SSE?"}
	errNoEndpoint = &misfit{"its stream names an address for messages that is not of the same origin, and nothing is sent there"}
)

// misfit is a server that does not keep to the protocol below the messages.
type misfit struct{ detail string }

func (m *misfit) Error() string { return m.detail }

func newLegacySSE(o Options, u *url.URL, base http.RoundTripper) *legacySSE {
	e := &legacySSE{base: base, o: o, url: u, origin: originOf(u)}
	e.life, e.stop = context.WithCancel(context.Background())
	e.open, e.dial, e.stateless = map[string]*session{}, e.connect, e.refuse
	return e
}

// refuse answers what belongs to a revision that this transport does not have.
func (e *legacySSE) refuse(req *http.Request, msg []byte, env *wire.Envelope) (*http.Response, error) {
	return respond(req, http.StatusNotFound, typeJSON,
		wire.ErrorBody(env.ID.Of(msg), wire.MethodNotFound, "HTTP+SSE has no requests without a session", nil)), nil
}

// Close ends every stream and waits for it.
func (e *legacySSE) Close() error {
	e.sessions.close()
	e.stop()
	e.work.Wait()
	return nil
}

// CloseIdleConnections implements what closeIdle looks for.
func (e *legacySSE) CloseIdleConnections() { closeIdle(e.base) }

// legacyStream is one stream and its session.
type legacyStream struct {
	e      *legacySSE
	mux    *mux
	stop   context.CancelFunc
	header atomic.Pointer[http.Header] // of the last request, for messages of our own
	posts  chan []byte
	target *url.URL      // where messages go, once ready is closed
	ready  chan struct{} // closed when the first event has come
	over   chan struct{} // closed when the stream has ended
	once   sync.Once
}

// connect opens a stream and waits for its first event.
func (e *legacySSE) connect(req *http.Request) (peer, *http.Response, error) {
	ctx, stop := context.WithCancel(e.life)
	left := context.AfterFunc(req.Context(), stop)
	fail := func(err error) (peer, *http.Response, error) {
		stop()
		if req.Context().Err() != nil {
			err = req.Context().Err()
		}
		return nil, nil, &unsentError{err} // the message is not
	}
	get := e.request(ctx, http.MethodGet, e.url, req.Header)
	get.Header["Accept"] = []string{typeSSE}
	delete(get.Header, "Content-Type")
	resp, err := e.base.RoundTrip(get)
	switch {
	case err != nil:
		return fail(err)
	case resp.StatusCode/100 != 2:
		resp.Body = &endingBody{resp.Body, stop}
		return nil, resp, nil
	case !isType(resp.Header, typeSSE):
		_ = resp.Body.Close()
		return fail(errNoStream)
	}
	s := &legacyStream{e: e, stop: stop, posts: make(chan []byte, maxPosted), ready: make(chan struct{}), over: make(chan struct{})}
	s.mux = newMux(s, func() {}, func(string) {})
	if !e.background(func() { s.read(resp.Body) }) {
		_ = resp.Body.Close()
		return fail(errEnded)
	}
	select {
	case <-s.ready:
	case <-s.over:
		return fail(s.mux.over())
	case <-req.Context().Done():
		return fail(req.Context().Err())
	}
	if !left() { // the caller left in the last moment, and took the stream along
		return fail(context.Canceled)
	}
	return s, nil, nil
}

// request makes a request of this transport: with the headers of the one that it
// is made for, but for what only streamable HTTP has.
func (e *legacySSE) request(ctx context.Context, method string, u *url.URL, h http.Header) *http.Request {
	h = h.Clone()
	delete(h, wire.HeaderSession)
	req := &http.Request{Method: method, URL: u, Host: u.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: h}
	return req.WithContext(ctx)
}

// read takes what the server says until the stream ends.
func (s *legacyStream) read(body io.ReadCloser) {
	defer body.Close()
	s.e.background(s.write)
	events := wire.NewEventReader(body, int(s.e.o.Limits.ResponseBytes))
	for {
		ev, err := events.Next()
		switch {
		case err != nil:
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			s.end(err)
			return
		case ev.Type == "endpoint":
			if !s.endpoint(string(bytes.TrimSpace(ev.Data))) {
				s.end(errNoEndpoint)
				return
			}
		case ev.Type == "" || ev.Type == "message":
			s.mux.receive(bytes.Clone(ev.Data))
		}
	}
}

// endpoint takes the address for messages; later ones are not for us. A credential
// goes to the configured origin and to no other.
func (s *legacyStream) endpoint(ref string) bool {
	if s.target != nil {
		return true
	}
	u, err := s.e.url.Parse(ref)
	if err != nil || u.User != nil || originOf(u) != s.e.origin {
		return false
	}
	u.Fragment, u.RawFragment = "", ""
	s.target = u
	close(s.ready)
	return true
}

// send implements link: it posts a message.
func (s *legacyStream) send(ctx context.Context, h http.Header, msg []byte) (*http.Response, error) {
	s.header.Store(&h)
	post := s.e.request(ctx, http.MethodPost, s.target, h)
	reader := bytes.NewReader(msg)
	post.Body, post.ContentLength = io.NopCloser(reader), int64(len(msg))
	post.GetBody = func() (io.ReadCloser, error) { // net/http asks for it only when it wrote nothing
		reader = bytes.NewReader(msg)
		return io.NopCloser(reader), nil
	}
	resp, err := s.e.base.RoundTrip(post)
	switch {
	case err != nil && ctx.Err() == nil && reader.Len() == len(msg):
		return nil, &unsentError{err}
	case err != nil:
		return nil, err
	case resp.StatusCode/100 == 2:
		readRefusal(resp) // nothing of it matters, but it keeps the connection
		return nil, nil
	case resp.StatusCode == http.StatusNotFound:
		s.end(io.ErrUnexpectedEOF) // the server has forgotten the session of this stream
	}
	return resp, nil
}

// post implements link.
func (s *legacyStream) post(msg []byte) {
	select {
	case s.posts <- msg:
	default:
	}
}

// write posts messages of our own until the stream ends.
func (s *legacyStream) write() {
	for {
		select {
		case msg := <-s.posts:
			h := s.header.Load()
			if h == nil {
				continue // nothing was ever sent here
			}
			ctx, cancel := context.WithTimeout(s.e.life, farewellTime)
			resp, _ := s.send(ctx, *h, msg)
			discard(resp)
			cancel()
		case <-s.over:
			return
		}
	}
}

func (s *legacyStream) channel() *mux { return s.mux }

// end implements peer.
func (s *legacyStream) end(reason error) {
	s.once.Do(func() {
		close(s.over) // first, so that who fails for it can see why
		s.mux.fail(reason)
		s.e.forget(s)
		s.stop()
	})
}

func (s *legacyStream) ending() bool {
	select {
	case <-s.over:
		return true
	default:
		return false
	}
}

func (s *legacyStream) cause(_ context.Context, err error) error { return err }

// endingBody is a body that ends something when it is closed.
type endingBody struct {
	io.ReadCloser
	end func()
}

// Close implements io.Closer.
func (b *endingBody) Close() error {
	defer b.end()
	return b.ReadCloser.Close()
}
