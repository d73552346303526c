package doctor

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"
)

const defaultConnect = 5 * time.Second

// dial opens a connection as the backend's client would.
func (p *patient) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(p.b.Options.Timeouts.Connect, defaultConnect))
	defer cancel()
	if p.b.Options.Dial != nil {
		return p.b.Options.Dial(ctx, network, addr)
	}
	return (&net.Dialer{}).DialContext(ctx, network, addr)
}

// target is what is dialled: the backend, or the proxy before it.
func (p *patient) target() (*url.URL, error) {
	p.direct = true
	if p.b.Options.Proxy == "none" {
		return p.url, nil
	}
	find := http.ProxyFromEnvironment
	if p.b.Options.Proxy != "" {
		u, err := url.Parse(p.b.Options.Proxy)
		if err != nil {
			return nil, err
		}
		find = http.ProxyURL(u)
	}
	proxy, err := find(&http.Request{URL: p.url})
	if err != nil || proxy == nil {
		return p.url, err
	}
	p.direct = false
	return proxy, nil
}

func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80", "socks5": "1080", "socks5h": "1080"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// place is where the address at hand is configured.
func (p *patient) place() string {
	switch {
	case p.direct:
		return p.key("url")
	case p.b.Options.Proxy != "":
		return p.key("proxy")
	}
	return "the variable HTTPS_PROXY or HTTP_PROXY"
}

func (p *patient) dns(ctx context.Context) (string, *broken) {
	u, err := p.target()
	if err != nil {
		return breaks(Configuration, "Correct "+p.place()+".", "The proxy is no URL.")
	}
	host := u.Hostname()
	if _, err := netip.ParseAddr(host); err == nil {
		return "", nil // there is nothing to look up
	}
	found, err := p.o.Lookup(ctx, host)
	if err == nil {
		return fmt.Sprintf("%s is %s", host, strings.Join(found[:min(3, len(found))], ", ")), nil
	}
	var e *net.DNSError
	if errors.As(err, &e) && e.IsNotFound {
		return breaks(Unreachable, "Correct the host in "+p.place()+", or have the name made known to the resolver of this machine.",
			"There is no host %s.", host)
	}
	return breaks(Unreachable, "Check that this machine reaches its name server; then ask again.", "The host %s could not be looked up: %s.", host, reasonOf(err))
}

func (p *patient) tcp(ctx context.Context) (string, *broken) {
	u, err := p.target()
	if err != nil {
		return "", nil // said already
	}
	addr := hostPort(u)
	began := time.Now()
	c, err := p.dial(ctx, "tcp", addr)
	if err == nil {
		_ = c.Close()
		via := ""
		if !p.direct {
			via = "the proxy at "
		}
		return fmt.Sprintf("%s%s accepts connections (%s)", via, addr, time.Since(began).Round(100*time.Microsecond)), nil
	}
	fix := "Check that the host is up and that no firewall is between, and correct host and port in " + p.place() + "."
	if errors.Is(err, syscall.ECONNREFUSED) {
		fix = "Start the server, or correct the port in " + p.place() + "."
	}
	return breaks(Unreachable, fix, "No connection to %s: %s.", addr, reasonOf(err))
}

// tls makes the handshake. Behind a proxy the first request makes it.
func (p *patient) tls(ctx context.Context) (string, *broken) {
	config, err := p.b.Options.TLS.Config()
	if err != nil {
		return breaks(Configuration, "Give files in PEM that belong together in "+p.key("tls")+".", "The TLS settings cannot be used: %s.", err)
	}
	p.connect(config)
	if p.url.Scheme != "https" || !p.direct {
		return "", nil
	}
	raw, err := p.dial(ctx, "tcp", hostPort(p.url))
	if err != nil {
		return breaks(Unreachable, "Ask again: the server accepted a connection a moment ago.", "No connection to %s: %s.", hostPort(p.url), reasonOf(err))
	}
	defer func() { _ = raw.Close() }()
	config = config.Clone()
	config.ServerName = p.url.Hostname()
	c := tls.Client(raw, config)
	if err := c.HandshakeContext(ctx); err != nil {
		if b := p.secured(err); b != nil {
			return "", b
		}
		return breaks(Unreachable, "Check what listens at "+hostPort(p.url)+", and correct "+p.key("url")+".", "The TLS handshake did not end: %s.", reasonOf(err))
	}
	s := c.ConnectionState()
	leaf := s.PeerCertificates[0]
	return fmt.Sprintf("%s, certificate of %s, valid until %s", tls.VersionName(s.Version), nameOf(leaf), leaf.NotAfter.UTC().Format(time.DateOnly)), nil
}

// connect makes the transport of the requests that follow.
func (p *patient) connect(config *tls.Config) {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	p.transport = &http.Transport{
		DialContext: p.dial, TLSClientConfig: config, Protocols: &protocols,
		TLSHandshakeTimeout: cmp.Or(p.b.Options.Timeouts.Connect, defaultConnect), MaxResponseHeaderBytes: 1 << 20,
	}
	if u, err := p.target(); err == nil && !p.direct {
		p.transport.Proxy = http.ProxyURL(u)
	}
}

// secured explains a failed handshake; nil when err is of another kind.
func (p *patient) secured(err error) *broken {
	host := p.url.Hostname()
	say := func(fix, evidence string, args ...any) *broken {
		_, b := breaks(Unreachable, fix, evidence, args...)
		return b
	}
	var (
		unknown x509.UnknownAuthorityError
		name    x509.HostnameError
		invalid x509.CertificateInvalidError
		record  tls.RecordHeaderError
		alert   tls.AlertError
	)
	switch {
	case errors.As(err, &unknown):
		return say("If that authority is yours, name the file with its certificate in "+p.key("tls.caFile")+"; else find out who answers for "+host+".",
			"The certificate of %s was issued by %s, which this machine does not trust.", host, issuerOf(unknown.Cert))
	case errors.As(err, &name):
		return say("Use one of these names in "+p.key("url")+", or have the server present a certificate for "+host+".",
			"The certificate is not for %s but for %s.", host, namesOf(name.Certificate))
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		c, now := invalid.Cert, time.Now()
		if now.Before(c.NotBefore) {
			return say("Set the clock of this machine.", "The certificate is valid from %s on, and here it is %s.", c.NotBefore.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
		}
		return say("Have the certificate of the server renewed.", "The certificate of %s expired on %s.", host, c.NotAfter.UTC().Format(time.RFC3339))
	case errors.As(err, &invalid):
		return say("Have the server present another certificate.", "The certificate of %s cannot be used: %s.", host, clean(invalid.Error()))
	case errors.As(err, &record):
		return say("Correct the port in "+p.key("url")+", or write http:// if the server really has no TLS.", "What answers at %s does not speak TLS.", hostPort(p.url))
	case errors.As(err, &alert):
		fix := "Set " + p.key("tls.certFile") + " and " + p.key("tls.keyFile") + " to a client certificate that the server accepts."
		if p.b.Options.TLS.CertFile != "" {
			fix = "Put a client certificate that the server accepts into the files of " + p.key("tls") + "."
		}
		return say(fix, "The server ended the handshake: %s.", clean(alert.Error()))
	}
	return nil
}

func nameOf(c *x509.Certificate) string {
	return clean(cmp.Or(c.Subject.CommonName, strings.Join(c.DNSNames, ", "), "no name"))
}

func issuerOf(c *x509.Certificate) string {
	if c == nil {
		return "somebody"
	}
	return clean(cmp.Or(c.Issuer.CommonName, c.Issuer.String(), "nobody that it names"))
}

func namesOf(c *x509.Certificate) string {
	names := c.DNSNames
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		return "no name at all"
	}
	return clean(strings.Join(names[:min(5, len(names))], ", "))
}

// reasonOf is the cause of a failed connection in few words, without addresses.
func reasonOf(err error) string {
	var (
		dns  *net.DNSError
		errn syscall.Errno
		n    net.Error
	)
	switch {
	case errors.As(err, &dns):
		return clean(dns.Err)
	case errors.As(err, &errn):
		return errn.Error()
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &n) && n.Timeout():
		return "no answer in time"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection was closed without an answer"
	case errors.Is(err, context.Canceled):
		return "interrupted"
	}
	return clean(err.Error())
}

// clean keeps what others wrote short and on one line.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	if r := []rune(s); len(r) > 300 {
		s = string(r[:300]) + "…"
	}
	return strings.TrimSuffix(s, ".")
}
