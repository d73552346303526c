package backend_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/recloser-mcp/recloser/auth"
	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/backendtest"
	"github.com/recloser-mcp/recloser/wire"
)

// A JSON-RPC error is an answer, whatever status it came with.
func TestRPCErrorsReachTheClientAsTheyAre(t *testing.T) {
	for _, status := range []int{200, 400, 403, 404} {
		for _, client := range []wire.Revision{elder, modern} {
			bubble(t, func(t *testing.T) {
				r := newRig(t, fixed(), rich(backendtest.WithRevision(modern)))
				r.mustCall()
				r.srv.Inject(backendtest.Status(status, 1).ForMethod("tools/call").Header("Content-Type", "application/json").
					Body(`{"jsonrpc":"2.0","id":"c-1","error":{"code":-32602,"message":"no such tool","data":{"x":[1, 2]}}}`))
				got, err := r.do(t.Context(), &backend.Request{ID: []byte(`"c-1"`), ClientRevision: client})
				if err != nil {
					t.Fatal(err)
				}
				want(t, "bytes", got, `{"jsonrpc":"2.0","id":"c-1","error":{"code":-32602,"message":"no such tool","data":{"x":[1, 2]}}}`)
				last := r.traced.calls[len(r.traced.calls)-1]
				rpc, ok := last.Err.(*backend.RPCError)
				want(t, "told as what it is", ok && rpc.Code == -32602 && rpc.Error() == "json-rpc error -32602: no such tool", true)
				want(t, "no fault of the backend", r.c.Facts().LastError == nil, true)
				want(t, "revision kept", string(r.c.Facts().Revision), modern)
			})
		}
	}
}

// Whoever stops reading ends the call; whoever cannot write is told by the writer.
func TestReaderWhoStopsEndsTheCall(t *testing.T) {
	big := strings.Repeat("x", 1<<20)
	for typ, body := range map[string]string{
		"application/json":  `{"jsonrpc":"2.0","id":%s,"result":{"a":"` + big + `"}}`,
		"text/event-stream": "data: {\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":{\"a\":\"" + big + "\"}}\n\n",
	} {
		t.Run(typ, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, nil, []backendtest.Option{backendtest.WithRevision(modern), script(typ, say(body))})
				q := &backend.Request{Method: "tools/call", Name: "echo", ID: []byte("1"), Params: []byte(`{"name":"echo"}`)}
				resp, err := r.c.Do(t.Context(), q)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := resp.Body.Read(make([]byte, 100)); err != nil {
					t.Fatal(err)
				}
				want(t, "in flight", r.c.Facts().InFlight, 1)
				want(t, "close", resp.Body.Close(), nil)
				want(t, "close again", resp.Body.Close(), nil)
				want(t, "in flight", r.c.Facts().InFlight, 0)

				resp, err = r.c.Do(t.Context(), q)
				if err != nil {
					t.Fatal(err)
				}
				full := errors.New("the disk is full")
				_, err = resp.Body.(io.WriterTo).WriteTo(writer(func([]byte) (int, error) { return 0, full }))
				want(t, "the writer's error", errors.Is(err, full), true)
				want(t, "in flight", r.c.Facts().InFlight, 0)
				synctest.Wait()
			})
		})
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

func TestRequestBeyondItsLimitIsNotSent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, nil, rich(), func(o *backend.Options) { o.Limits.RequestBytes = 100 })
		_, err := r.c.CallTool(t.Context(), "echo", []byte(`{"a":"`+strings.Repeat("x", 100)+`"}`))
		wantKind(t, err, backend.KindProtocolError)
		want(t, "sends", r.srv.Requests(""), 0)
	})
}

func TestArgumentsThatAreNotJSONAreNotSent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, nil, rich())
		for _, bad := range []string{`{`, `{"a":1}},"name":"other"`, ``} {
			_, err := r.c.CallTool(t.Context(), "echo", []byte(bad))
			if bad == "" {
				bad = "nothing"
			}
			rpc, ok := err.(*backend.RPCError)
			want(t, bad, ok && rpc.Code == wire.InvalidParams, true)
		}
		want(t, "sends", r.srv.Requests(""), 0)
	})
}

// What a server may say wrong when a session is opened.
func TestBadHandshakeIsAnErrorAndIsTriedAgain(t *testing.T) {
	result := func(extra string) backendtest.Option {
		return backendtest.WithHTTPMiddleware(func(next http.Handler) http.Handler {
			done := false
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if m, _ := backendtest.MessageFrom(r.Context()); m.Method != "initialize" || done {
					next.ServeHTTP(w, r)
					return
				}
				done = true
				head, body, _ := strings.Cut(extra, "\n")
				if head != "" {
					w.Header().Set("Mcp-Session-Id", head)
				}
				w.Header().Set("Content-Type", "application/json")
				_, _ = io.WriteString(w, body)
			})
		})
	}
	const good = `{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"x","version":"1"}}}`
	for name, answer := range map[string]string{
		"session id with a blank": "a b\n" + good,
		"no response":             "\n{}",
		"not an object":           "\n" + `{"jsonrpc":"2.0","id":1,"result":[1]}`,
		"an error":                "\n" + `{"jsonrpc":"2.0","id":1,"error":{"code":-32600,"message":"go away"}}`,
		"not JSON":                "\nhello",
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, fixed(), rich(backendtest.WithRevision(elder), result(answer)))
				e := wantKind(t, r.call(t.Context()), backend.KindProtocolError)
				want(t, "method", e.Method, "initialize")
				want(t, "outcome known", e.OutcomeUnknown, false)
				r.mustCall()
				want(t, "executions", r.srv.Executions(""), 1)
			})
		})
	}
}

func TestListenerAnswersItsServer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, fixed(), []backendtest.Option{backendtest.WithRevision(elder),
			backendtest.WithHandler(func(w http.ResponseWriter, req *http.Request, m backendtest.Message) bool {
				if m.Method != backendtest.MethodGet {
					return false
				}
				w.Header().Set("Content-Type", "text/event-stream")
				_, _ = io.WriteString(w, "retry: 60000\ndata: {\"jsonrpc\":\"2.0\",\"id\":\"s-1\",\"method\":\"ping\"}\n\ndata: nonsense\n\n"+
					"data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\"}\n\n")
				return true
			})})
		l := r.listen()
		if diff := cmp.Diff([]string{"", "notifications/message"}, l.heard()); diff != "" {
			t.Error(diff)
		}
		want(t, "pong", len(r.bodies(backendtest.MethodResponse)), 1)
		time.Sleep(59 * time.Second)
		want(t, "waits as asked", r.srv.Requests(backendtest.MethodGet), 1)
		time.Sleep(20 * time.Second)
		want(t, "comes back", r.srv.Requests(backendtest.MethodGet), 2)
	})
}

func TestTransportSendsAgainWhatNeverLeft(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv := plainServer(t)
		var calls atomic.Int64
		base := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if calls.Add(1) <= 2 {
				return nil, &net.OpError{Op: "dial", Err: errors.New("refused")}
			}
			return srv.Dial(ctx, network, addr)
		}}
		defer base.CloseIdleConnections()
		tr := newTransport(t, srv, fixed(), backend.TransportOptions{Base: base})
		resp, err := post(t.Context(), tr, srv.URL, toolsCall)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		want(t, "requests", srv.Requests(""), 1)
		want(t, "dials", calls.Load(), 3)

		// A base that took the body and failed is believed to have sent it.
		boom := errors.New("boom")
		sent := 0
		tr = newTransport(t, srv, fixed(), backend.TransportOptions{Base: roundTripper(func(req *http.Request) (*http.Response, error) {
			sent++
			_, _ = io.ReadAll(req.Body)
			return nil, boom
		})})
		_, err = post(t.Context(), tr, srv.URL, toolsCall)
		want(t, "unchanged", err == boom, true)
		want(t, "sends", sent, 1)
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// certificate makes a self-signed certificate, as files.
func certificate(t *testing.T, name string) (certFile, keyFile string, pool *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: raw}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool = x509.NewCertPool()
	pool.AppendCertsFromPEM(pemOf(der))
	return certFile, keyFile, pool
}

func describe(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":1,"result":{"supportedVersions":["2026-07-28"],"capabilities":{}}}`)
}

func TestClientCertificateIsPresented(t *testing.T) {
	certFile, keyFile, pool := certificate(t, "client")
	srv := httptest.NewUnstartedServer(http.HandlerFunc(describe))
	srv.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}
	srv.Config.ErrorLog = discardLog
	srv.StartTLS()
	defer srv.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pemOf(srv.Certificate().Raw), 0o600); err != nil {
		t.Fatal(err)
	}
	ping := func(o backend.TLS) error {
		c, err := backend.NewHTTPBackendClient(auth.NewRegistry(), backend.Options{Name: "x", URL: srv.URL, TLS: o})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.Ping(t.Context())
	}
	if err := ping(backend.TLS{CAFile: ca, CertFile: certFile, KeyFile: keyFile}); err != nil {
		t.Error(err)
	}
	err := ping(backend.TLS{CAFile: ca})
	want(t, "without one", errors.Is(err, backend.ErrBackendUnavailable), true)
}

func TestProxyIsUsed(t *testing.T) {
	var asked []string
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.RequestURI)
		describe(w, r)
	}))
	defer proxy.Close()
	c, err := backend.NewHTTPBackendClient(auth.NewRegistry(), backend.Options{Name: "x", URL: "http://backend.example.com/mcp", Proxy: proxy.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"http://backend.example.com/mcp", "http://backend.example.com/mcp"}, asked); diff != "" {
		t.Error(diff)
	}
	for proxy, ok := range map[string]bool{"": true, "none": true, "http://proxy:1": true, "proxy": false} {
		err := backend.Options{Name: "x", URL: "http://a", Proxy: proxy}.Validate()
		want(t, fmt.Sprintf("proxy %q", proxy), err == nil, ok)
	}
}

func TestClassOfEveryMethod(t *testing.T) {
	got := map[string]string{}
	for _, m := range []string{"initialize", "server/discover", "ping", "tools/list", "resources/templates/list", "tools/call", "resources/read",
		"prompts/get", "completion/complete", "logging/setLevel", "subscriptions/listen", "notifications/cancelled", "vendor/method", ""} {
		got[m] = [...]string{"list", "call", "probe", "stream"}[backend.ClassOf(m)]
	}
	if diff := cmp.Diff(map[string]string{"initialize": "list", "server/discover": "list", "ping": "list", "tools/list": "list",
		"resources/templates/list": "list", "tools/call": "call", "resources/read": "call", "prompts/get": "call", "completion/complete": "call",
		"logging/setLevel": "list", "subscriptions/listen": "stream", "notifications/cancelled": "stream", "vendor/method": "call", "": "call"}, got); diff != "" {
		t.Error(diff)
	}
}
