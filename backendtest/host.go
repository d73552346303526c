package backendtest

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// host serves a handler at a place that can go down and come up again.
type host struct {
	place   *place
	tls     *tls.Config // of the server; nil: plain
	trust   *tls.Config // of its own clients
	handler http.Handler
	ctx     context.Context // ends with close
	cancel  context.CancelFunc
	conns   atomic.Int64

	mu       sync.Mutex
	server   *http.Server // nil while down
	served   chan struct{}
	closed   bool
	handlers sync.WaitGroup
	clients  []*http.Transport
}

func newHost(pipe bool, handler http.Handler) *host {
	h := &host{place: newPlace(pipe), handler: handler}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	return h
}

type connKey struct{}

// up starts serving; it does nothing when it already serves.
func (h *host) up() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.server != nil || h.closed {
		return nil
	}
	var l net.Listener
	l, err := h.place.open()
	if err != nil {
		return err
	}
	if h.tls != nil {
		l = tls.NewListener(l, h.tls)
	}
	server := &http.Server{
		Handler:           http.HandlerFunc(h.serve),
		ReadHeaderTimeout: time.Minute,
		ErrorLog:          log.New(io.Discard, "", 0),
		BaseContext:       func(net.Listener) context.Context { return h.ctx },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			h.conns.Add(1)
			return context.WithValue(ctx, connKey{}, c)
		},
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(l) // ends with ErrServerClosed, from down
	}()
	h.server, h.served = server, served
	return nil
}

// reserve takes an address without serving it.
func (h *host) reserve() error {
	if _, err := h.place.open(); err != nil {
		return err
	}
	h.place.shut()
	return nil
}

// serve keeps count of the handlers, so that close can wait for them.
func (h *host) serve(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		panic(http.ErrAbortHandler)
	}
	h.handlers.Add(1)
	h.mu.Unlock()
	defer h.handlers.Done()
	h.handler.ServeHTTP(w, r)
}

// down closes the listener and every connection.
func (h *host) down() {
	h.mu.Lock()
	server, served := h.server, h.served
	h.server = nil
	h.mu.Unlock()
	h.place.shut()
	if server != nil {
		_ = server.Close()
		<-served
	}
}

// close ends everything and waits for it. The hook ends what handlers may be
// waiting for that does not look at the context.
func (h *host) close(hook func()) {
	h.mu.Lock()
	again := h.closed
	h.closed = true
	clients := h.clients
	h.mu.Unlock()
	if again {
		return
	}
	h.cancel()
	h.down()
	if hook != nil {
		hook()
	}
	h.handlers.Wait()
	for _, c := range clients {
		c.CloseIdleConnections()
	}
}

// client makes an http.Client that reaches this host, whose idle connections
// end with the host.
func (h *host) client() *http.Client {
	t := &http.Transport{DialContext: h.place.dial, TLSClientConfig: h.trust, DisableCompression: true}
	h.mu.Lock()
	h.clients = append(h.clients, t)
	h.mu.Unlock()
	return &http.Client{Transport: t}
}

// connOf returns the connection that carries the request.
func connOf(ctx context.Context) (net.Conn, bool) {
	c, ok := ctx.Value(connKey{}).(net.Conn)
	return c, ok
}

// bound returns a context that ends with ctx and with the host.
func (h *host) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(h.ctx, cancel)
	return ctx, func() { stop(); cancel() }
}

// sleep waits for d, for the fault's end or for the host's. It ends the handler
// when the client leaves.
func (h *host) sleep(ctx context.Context, d time.Duration, healed <-chan struct{}) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-healed:
	case <-ctx.Done():
		panic(http.ErrAbortHandler)
	}
}

// hold waits for the fault's end. It ends the handler when the client leaves or
// the host closes.
func (h *host) hold(ctx context.Context, healed <-chan struct{}) {
	select {
	case <-healed:
	case <-ctx.Done():
		panic(http.ErrAbortHandler)
	}
	if h.ctx.Err() != nil {
		panic(http.ErrAbortHandler)
	}
}
