package backend

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/recloser-mcp/recloser/wire"
)

const (
	// headBytes bounds the head of an answer. It is large so that an absurd
	// challenge is a refusal like any other and no broken connection.
	headBytes = 2 << 20
	// idleConnTime is below the five seconds after which the common servers of
	// Node and Python close an idle connection. Whoever writes a request at that
	// very moment cannot know whether it arrived, and a call is not sent twice.
	idleConnTime = 4 * time.Second
	keepAlive    = 15 * time.Second
)

// unsentError marks a failure before a byte of the request could be written.
type unsentError struct{ err error }

func (e *unsentError) Error() string { return e.err.Error() }
func (e *unsentError) Unwrap() error { return e.err }

// newEdge makes the connection pool of one backend. It speaks HTTP/1.1: each call
// has a connection of its own, so that a broken one costs one call, and nothing
// below us re-sends a request whose bytes may have left, as HTTP/2 does after
// some stream errors.
func newEdge(o Options) (*http.Transport, error) {
	config, err := tlsConfig(o.TLS)
	if err != nil {
		return nil, err
	}
	proxy, err := proxyFunc(o.Proxy)
	if err != nil {
		return nil, err
	}
	d := dialer{dial: o.Dial, tls: config, limit: o.Timeouts.Connect}
	if d.dial == nil {
		d.dial = (&net.Dialer{KeepAlive: keepAlive}).DialContext
	}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	return &http.Transport{
		Proxy:                  proxy,
		DialContext:            d.plain,
		DialTLSContext:         d.secure,
		TLSClientConfig:        config, // behind a proxy
		TLSHandshakeTimeout:    o.Timeouts.Connect,
		MaxIdleConnsPerHost:    o.Limits.InFlight,
		IdleConnTimeout:        idleConnTime,
		MaxResponseHeaderBytes: headBytes,
		DisableCompression:     true,
		Protocols:              &protocols,
	}, nil
}

// dialer opens connections and marks what fails meanwhile as unsent.
type dialer struct {
	dial  func(ctx context.Context, network, addr string) (net.Conn, error)
	tls   *tls.Config
	limit time.Duration
}

func (d dialer) plain(ctx context.Context, network, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.limit)
	defer cancel()
	c, err := d.dial(ctx, network, addr)
	if err != nil {
		return nil, &unsentError{err}
	}
	return c, nil
}

func (d dialer) secure(ctx context.Context, network, addr string) (net.Conn, error) {
	raw, err := d.plain(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	config := d.tls.Clone()
	if config.ServerName == "" {
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			host = addr
		}
		config.ServerName = host
	}
	ctx, cancel := context.WithTimeout(ctx, d.limit)
	defer cancel()
	c := tls.Client(raw, config)
	if err := c.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, &unsentError{&tlsError{err}}
	}
	return c, nil
}

// tlsError marks a failed handshake, whatever its cause.
type tlsError struct{ err error }

func (e *tlsError) Error() string { return "tls handshake: " + e.err.Error() }
func (e *tlsError) Unwrap() error { return e.err }

// Config is the configuration of connections with these settings.
func (t TLS) Config() (*tls.Config, error) { return tlsConfig(t) }

func tlsConfig(t TLS) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("tls.caFile: %w", err)
		}
		if config.RootCAs, err = x509.SystemCertPool(); err != nil {
			config.RootCAs = x509.NewCertPool()
		}
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls.caFile: %s holds no certificate in PEM form", t.CAFile)
		}
	}
	if t.CertFile == "" {
		return config, nil
	}
	load := func() (*tls.Certificate, error) {
		c, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("tls.certFile, tls.keyFile: %w", err)
		}
		return &c, nil
	}
	if _, err := load(); err != nil {
		return nil, err
	}
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return load() }
	return config, nil
}

// origin is where a credential may go: scheme, host and port.
type origin struct{ scheme, host string }

func originOf(u *url.URL) origin {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return origin{u.Scheme, net.JoinHostPort(lower(u.Hostname()), port)}
}

func (o origin) String() string { return o.scheme + "://" + o.host }

// lower is strings.ToLower for host names, which are ASCII on the wire.
func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// alertFromPeer is the operation of the error that crypto/tls makes of an alert from
// the other end. In TLS 1.3 that is how it refuses a client certificate, or that there
// is none: after the handshake, when the request may be written already. The type of
// the alert itself is not exported.
const alertFromPeer = "remote error"

// connectionKind tells apart why a transport failed.
func connectionKind(err error) Kind {
	var (
		handshake *tlsError
		cert      *tls.CertificateVerificationError
		record    tls.RecordHeaderError
		alert     tls.AlertError
		remote    *net.OpError
	)
	switch {
	case errors.Is(err, context.Canceled):
		return KindCanceled
	case errors.As(err, new(*ExitError)):
		return KindProcessExited
	case errors.Is(err, errTooManyProcesses):
		return KindNoCapacity
	case errors.Is(err, errEnded):
		return KindClosed
	case errors.As(err, new(*misfit)), errors.Is(err, wire.ErrInvalid), errors.Is(err, wire.ErrTooLarge):
		return KindProtocolError
	case errors.As(err, &handshake), errors.As(err, &cert), errors.As(err, &record), errors.As(err, &alert):
		return KindTLSFailed
	case errors.As(err, &remote) && remote.Op == alertFromPeer:
		return KindTLSFailed
	}
	return KindUnreachable
}
