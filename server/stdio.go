package server

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/recloser-mcp/recloser/caller"
	"github.com/recloser-mcp/recloser/status"
)

// settleTime is how long a client over standard input waits for the first lists: it
// asks once, at its start, and many never ask again.
const settleTime = 5 * time.Second

// RunStdio runs the server for one client that speaks over a pair of streams, at
// path, until in ends or ctx does. Give Options.Listen NoListener, so that many of
// them can run side by side. The client has started this process, so it need not
// authenticate itself.
func (s *Server) RunStdio(ctx context.Context, path string, in io.Reader, out io.Writer) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	ran := make(chan error, 1)
	go func() {
		ran <- s.Run(ctx)
		end()
	}()
	s.settle(ctx)
	err := s.gateway.ServeStdio(context.WithValue(ctx, ownKey{}, true), path, in, out)
	end()
	return errors.Join(err, <-ran)
}

// settle waits until every backend was asked once.
func (s *Server) settle(ctx context.Context) {
	limit := time.NewTimer(settleTime)
	defer limit.Stop()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for s.Status().Phase == status.PhasePending {
		select {
		case <-look.C:
		case <-limit.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// ownKey marks the requests of the client that started the process.
type ownKey struct{}

// ownClient lets that client in without a credential.
func ownClient(next func(*http.Request) (caller.Identity, error)) func(*http.Request) (caller.Identity, error) {
	return func(r *http.Request) (caller.Identity, error) {
		if own, _ := r.Context().Value(ownKey{}).(bool); own {
			return caller.Anonymous, nil
		}
		return next(r)
	}
}

// NoListener is for Options.Listen: nobody can connect.
func NoListener(_, address string) (net.Listener, error) {
	return &nobody{address: address, closed: make(chan struct{})}, nil
}

type nobody struct {
	address string
	closed  chan struct{}
	once    sync.Once
}

func (n *nobody) Accept() (net.Conn, error) {
	<-n.closed
	return nil, net.ErrClosed
}

func (n *nobody) Close() error {
	n.once.Do(func() { close(n.closed) })
	return nil
}

func (n *nobody) Addr() net.Addr { return nowhere(n.address) }

type nowhere string

func (nowhere) Network() string  { return "none" }
func (n nowhere) String() string { return string(n) }
