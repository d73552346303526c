package backend_test

import (
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/backendtest"
)

// A request that never left is sent again, twice at most.
func TestUnsentRequestIsSentAgain(t *testing.T) {
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	unknown := &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "weather", IsNotFound: true}}
	for _, row := range []struct {
		name  string
		err   error
		times int64
		dials int64
		kind  backend.Kind
	}{
		{"refused once", refused, 1, 2, 0},
		{"refused twice", refused, 2, 3, 0},
		{"refused for good", refused, 1000, 3, backend.KindUnreachable},
		{"no name twice", unknown, 2, 3, 0},
		{"no name for good", unknown, 1000, 3, backend.KindUnreachable},
		{"timeout is not repeated", &net.OpError{Op: "dial", Err: timeoutError{}}, 1000, 1, backend.KindUnreachable},
	} {
		t.Run(row.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				var dials atomic.Int64
				r := newRig(t, fixed(), rich(backendtest.WithRevision(modern)), func(o *backend.Options) {
					real := o.Dial
					o.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
						if dials.Add(1) <= row.times {
							return nil, row.err
						}
						return real(ctx, network, addr)
					}
				})
				err := r.call(t.Context())
				want(t, "dials", dials.Load(), row.dials)
				if row.kind == 0 {
					if err != nil {
						t.Fatal(err)
					}
					want(t, "executions", r.srv.Executions("echo"), 1)
					return
				}
				e := wantKind(t, err, row.kind)
				want(t, "sentinel", errors.Is(err, backend.ErrBackendUnavailable), true)
				want(t, "outcome known", e.OutcomeUnknown, false)
				want(t, "breaker untouched", r.c.Facts().Guard.Count, 0)
			})
		})
	}
}

type timeoutError struct{}

func (timeoutError) Error() string { return "i/o timeout" }
func (timeoutError) Timeout() bool { return true }

func TestUnsentPausesEndWithTheDeadline(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, fixed(), rich(backendtest.WithRevision(modern), backendtest.WithDown()))
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		took := elapsed()
		err := r.call(ctx)
		want(t, "waited", took(), 20*time.Millisecond)
		want(t, "an error of ours", errors.Is(err, backend.ErrBackendUnavailable) || errors.Is(err, context.DeadlineExceeded), true)
	})
}

// mortal is a connection that dies at a chosen request.
type mortal struct {
	net.Conn
	writes  *atomic.Int64 // of all connections
	deadly  int64
	swallow bool // the deadly write is taken, and no answer comes
	dead    chan struct{}
}

func (c *mortal) Write(p []byte) (int, error) {
	if c.writes.Add(1) != c.deadly {
		return c.Conn.Write(p)
	}
	close(c.dead)
	_ = c.Conn.Close()
	if c.swallow {
		return len(p), nil
	}
	return 0, syscall.EPIPE
}

func (c *mortal) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	select {
	case <-c.dead:
		return 0, io.EOF
	default:
		return n, err
	}
}

// The keep-alive race: the peer closes an idle connection while a request goes
// out on it. Nothing written: another connection. Something written: the caller
// learns that nobody knows.
func TestIdleConnectionThatDiesUnderARequest(t *testing.T) {
	for name, swallow := range map[string]bool{"nothing written": false, "written": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				var writes, dials atomic.Int64
				r := newRig(t, fixed(), rich(backendtest.WithRevision(modern)), func(o *backend.Options) {
					real := o.Dial
					o.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
						dials.Add(1)
						c, err := real(ctx, network, addr)
						return &mortal{Conn: c, writes: &writes, deadly: 3, swallow: swallow, dead: make(chan struct{})}, err
					}
				})
				r.mustCall() // probe and call: two writes on one connection
				synctest.Wait()
				want(t, "writes", writes.Load(), 2)
				executions := r.executions()
				err := r.call(t.Context())
				if !swallow {
					if err != nil {
						t.Fatal(err)
					}
					want(t, "executions", executions(), 1)
					want(t, "connections", dials.Load(), 2)
					return
				}
				e := wantKind(t, err, backend.KindUnreachable)
				want(t, "outcome unknown", e.OutcomeUnknown, true)
				want(t, "executions", executions(), 0)
				want(t, "writes", writes.Load(), 3)
				want(t, "connections", dials.Load(), 1)
			})
		})
	}
}

// Whatever breaks after the request was written, it is executed once.
func TestBrokenAnswerIsNeverAskedForAgain(t *testing.T) {
	for name, fault := range map[string]backendtest.Fault{
		"reset":             backendtest.ResetPeer(backendtest.Forever).AfterExecution(),
		"closed":            backendtest.Timeout(time.Second).AfterExecution(),
		"502":               backendtest.Status(502, backendtest.Forever).AfterExecution(),
		"cut head to body":  backendtest.LimitData(0),
		"cut in the middle": backendtest.LimitData(20),
		"cut stream":        backendtest.TruncateStream(backendtest.Forever),
	} {
		for _, op := range operations(modern)[:4] {
			t.Run(name+"/"+op.name, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					r := newRig(t, fixed(), rich(backendtest.WithRevision(modern)))
					r.mustCall()
					sends, executions := r.sends(op.request), r.executions()
					r.srv.Inject(fault.ForMethod(op.request))
					if op.run(t.Context(), r.c) == nil {
						t.Fatal("no error")
					}
					want(t, "sends", sends(), 1)
					want(t, "executions", executions(), 1)
				})
			})
		}
	}
}

func TestDeadBackendIsUnreachableAndComesBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, fixed(), rich(backendtest.WithDown()))
		for range 3 {
			wantKind(t, r.call(t.Context()), backend.KindUnreachable)
		}
		if err := r.srv.Up(); err != nil {
			t.Fatal(err)
		}
		r.mustCall()
		want(t, "executions", r.srv.Executions("echo"), 1)
	})
}
