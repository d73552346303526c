package backendtest

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
)

// Peer is anything that can be dialled: a [Server] or an [Issuer].
type Peer interface {
	// Addr is the host and port that the peer's URL names.
	Addr() string
	// Dial connects to the peer.
	Dial(ctx context.Context, network, addr string) (net.Conn, error)
}

// Dialer returns a dial function for http.Transport.DialContext that reaches
// each of the peers under its own address. Any other address is refused, as a
// closed port is: nothing leaves the test.
func Dialer(peers ...Peer) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		for _, p := range peers {
			if p.Addr() == addr {
				return p.Dial(ctx, network, addr)
			}
		}
		return nil, refused(network, addr)
	}
}

// refused is the error of a port that nobody listens on.
func refused(network, addr string) error {
	tcp, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		tcp = &net.TCPAddr{}
	}
	return &net.OpError{Op: "dial", Net: network, Addr: tcp, Err: syscall.ECONNREFUSED}
}

// endpoint is a listening place that can go away and come back under the same
// address: a loopback port, or pipes in memory.
type endpoint interface {
	net.Listener
	dial(ctx context.Context, network, addr string) (net.Conn, error)
}

// place is where a server lives. It outlives its endpoints.
type place struct {
	pipe bool
	addr string // fixed once it was opened
	mu   sync.Mutex
	now  endpoint // nil while down
}

// pipePorts numbers the addresses of servers in memory, so that two of them in
// one process never share one.
var pipePorts atomic.Uint32

func newPlace(pipe bool) *place {
	p := &place{pipe: pipe}
	if pipe {
		// Loopback, so that rules about plain http and about DNS rebinding
		// treat a server in memory as they treat one on a port.
		p.addr = fmt.Sprintf("127.0.0.1:%d", 1024+pipePorts.Add(1)%64000)
	}
	return p
}

// open starts listening, again under the same address after the first time.
func (p *place) open() (endpoint, error) {
	var e endpoint
	if p.pipe {
		e = newPipeListener(p.addr)
	} else {
		addr := p.addr
		if addr == "" {
			addr = "127.0.0.1:0"
		}
		l, err := net.Listen("tcp", addr)
		if err != nil {
			return nil, fmt.Errorf("backendtest: listen: %w", err)
		}
		e = portListener{l}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = e
	if p.addr == "" {
		p.addr = e.Addr().String()
	}
	return e, nil
}

func (p *place) shut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.now != nil {
		_ = p.now.Close()
		p.now = nil
	}
}

func (p *place) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	p.mu.Lock()
	e := p.now
	p.mu.Unlock()
	if e == nil || addr != p.addr {
		return nil, refused(network, addr)
	}
	return e.dial(ctx, network, addr)
}

type portListener struct{ net.Listener }

func (portListener) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, network, addr)
}

// pipeListener accepts the server ends of pipes that dial makes. Its channels
// belong to the bubble it was made in, so waiting on them is durable.
type pipeListener struct {
	addr  net.Addr
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipeListener(addr string) *pipeListener {
	tcp, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		tcp = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}
	}
	return &pipeListener{addr: tcp, conns: make(chan net.Conn), done: make(chan struct{})}
}

// Addr implements net.Listener.
func (l *pipeListener) Addr() net.Addr { return l.addr }

// Accept implements net.Listener.
func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *pipeListener) Close() error {
	err := net.ErrClosed
	l.once.Do(func() { close(l.done); err = nil })
	return err
}

func (l *pipeListener) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	client, server := net.Pipe()
	remote := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}
	select {
	case l.conns <- &pipeConn{Conn: server, local: l.addr, remote: remote}:
		return &pipeConn{Conn: client, local: remote, remote: l.addr}, nil
	case <-l.done:
		_, _ = client.Close(), server.Close()
		return nil, refused(network, addr)
	case <-ctx.Done():
		_, _ = client.Close(), server.Close()
		return nil, &net.OpError{Op: "dial", Net: network, Addr: l.addr, Err: ctx.Err()}
	}
}

// pipeConn gives a pipe the addresses of a TCP connection.
type pipeConn struct {
	net.Conn
	local, remote net.Addr
}

// LocalAddr implements net.Conn.
func (c *pipeConn) LocalAddr() net.Addr { return c.local }

// RemoteAddr implements net.Conn.
func (c *pipeConn) RemoteAddr() net.Addr { return c.remote }

// reset ends a connection without a goodbye: RST on TCP, a close on a pipe.
func reset(c net.Conn) {
	inner := c
	if tls, ok := c.(interface{ NetConn() net.Conn }); ok {
		inner = tls.NetConn()
	}
	if tcp, ok := inner.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = inner.Close()
}
