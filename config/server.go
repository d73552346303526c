package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"net/http"
	"net/url"
	"reflect"
	"time"

	"github.com/recloser-mcp/recloser/backend"
)

// checkServer checks one entry of mcpServers beyond its credential.
func (d *decoder) checkServer(s *server, c *credential) {
	e := &s.entry
	d.checkType(s, "type", e.Type)
	d.checkType(s, "transport", e.Transport)
	if a, b := transportOf(e.Type), transportOf(e.Transport); a != "" && b != "" && a != b {
		d.add(s.value.get("transport").mark, join(s.path, "transport"), "is given beside another type", "remove one of the two")
	}
	if e.Timeout > 0 && e.Timeouts.Idle != nil {
		d.add(s.value.get("timeout").mark, join(s.path, "timeout"), "is given beside timeouts.idle", "remove it")
	}
	if e.isProcess {
		d.checkProgram(s)
		return
	}
	d.unused(s)
	u := d.checkEndpoint(s)
	if u != nil && c != nil && c.typ != "unauthenticated" && !private(u) && !e.AllowInsecure {
		d.add(s.value.get(e.urlKey).value.mark, join(s.path, e.urlKey),
			"sends a credential over http to another machine", "use https, or set allowInsecure: true")
	}
	d.validate(section(s.value, "authRetry"), join(s.path, "authRetry"), s.mark, e.AuthRetry)
	d.noZeros(section(s.value, "timeouts"), join(s.path, "timeouts"), reflect.ValueOf(e.Timeouts))
	if m := s.value.get("proxy"); m != nil && !d.bad(join(s.path, "proxy")) {
		d.checkProxy(m.value, join(s.path, "proxy"), e.Proxy)
	}
	d.checkIsolation(s)
	d.checkHeaderNames(s)
	d.checkTLS(s, u)
	d.checkSelection(s)
}

// checkEndpoint checks the URL under whichever of its names it stands.
func (d *decoder) checkEndpoint(s *server) *url.URL {
	e := &s.entry
	if !e.hasURL {
		if !d.bad(join(s.path, "type")) && !d.bad(join(s.path, "transport")) { // else that has been reported
			d.add(s.mark, s.path, "has neither url nor command", "give the address of its MCP endpoint, url: https://host/path, or the program to start, command: npx")
		}
		return nil
	}
	path := join(s.path, e.urlKey)
	if d.bad(path) {
		return nil
	}
	return d.checkURL(s.value.get(e.urlKey).value, path, e.endpoint())
}

// endpoint is the URL.
func (e *entry) endpoint() string {
	switch e.urlKey {
	case "httpUrl":
		return e.HTTPURL
	case "serverUrl":
		return e.ServerURL
	}
	return e.URL
}

func (d *decoder) checkIsolation(s *server) {
	m := s.value.get("isolation")
	path := join(s.path, "isolation")
	if m == nil || d.bad(path) {
		return
	}
	switch s.entry.Isolation {
	case backend.Isolated, backend.Shared:
	default:
		d.add(m.value.mark, path, "unknown value "+quote(m.value), suggestion(m.value.text, []string{string(backend.Isolated), string(backend.Shared)}))
	}
}

// checkHeaderNames has package backend judge the names of headers, one by one so
// that each complaint has its place.
func (d *decoder) checkHeaderNames(s *server) {
	probe := backend.Options{Name: "x", URL: "http://localhost"}
	for _, h := range s.entry.Headers {
		probe.Headers = map[string]string{h.canonical: ""}
		if err := probe.Validate(); err != nil && !h.credential {
			d.add(h.mark, h.path, "is no header to set", "remove it: the name is malformed, or the gateway sets the header itself")
		}
	}
	probe.Headers = nil
	m := s.value.get("passthroughHeaders")
	path := join(s.path, "passthroughHeaders")
	if m == nil || d.bad(path) {
		return
	}
	for i, name := range s.entry.PassthroughHeaders {
		probe.PassthroughHeaders = []string{name}
		item := m.value.items[i]
		if probe.Validate() != nil {
			d.add(item.mark, index(path, i), "cannot be passed through: "+quote(item),
				"remove it: the name is malformed, a credential of the caller, or set by the gateway itself")
			continue
		}
		for _, h := range s.entry.Headers {
			if h.canonical == http.CanonicalHeaderKey(name) {
				d.add(item.mark, index(path, i), "is set in headers as well", "keep one of the two")
			}
		}
	}
}

// checkTLS reads the files once, so that a wrong one is found before a call is.
func (d *decoder) checkTLS(s *server, u *url.URL) {
	m := s.value.get("tls")
	path := join(s.path, "tls")
	if m == nil || m.value.kind != mapping || d.bad(path) {
		return
	}
	t := &s.entry.TLS
	if u != nil && u.Scheme == "http" {
		d.add(m.mark, path, "has no effect on an http URL", "use https or remove it")
	}
	text := map[string]string{}
	readable := true
	for key, file := range map[string]*string{"caFile": &t.CAFile, "certFile": &t.CertFile, "keyFile": &t.KeyFile} {
		f := m.value.get(key)
		if f == nil {
			continue
		}
		*file = d.x.abs(*file)
		s, err := readRegular(*file)
		if err != nil {
			fix := "correct the path"
			if errors.Is(err, fs.ErrPermission) {
				fix = "make it readable"
			}
			d.add(f.value.mark, join(path, key), "the file cannot be read: "+cause(err).Error(), fix)
			readable = false
		}
		text[key] = s
	}
	cert, key := m.value.get("certFile"), m.value.get("keyFile")
	switch {
	case cert != nil && key == nil:
		d.add(cert.mark, join(path, "certFile"), "has no keyFile beside it", "add the file of its key")
	case cert == nil && key != nil:
		d.add(key.mark, join(path, "keyFile"), "has no certFile beside it", "add the file of the certificate")
	case cert != nil && readable:
		if _, err := tls.X509KeyPair([]byte(text["certFile"]), []byte(text["keyFile"])); err != nil {
			d.add(cert.value.mark, join(path, "certFile"), "is no certificate in PEM that belongs to keyFile", "give a matching pair")
		}
	}
	if ca := m.value.get("caFile"); ca != nil && readable && !x509.NewCertPool().AppendCertsFromPEM([]byte(text["caFile"])) {
		d.add(ca.value.mark, join(path, "caFile"), "has no certificate in PEM", "give a file with the authority's certificate")
	}
}

// options makes the options of a backend from its entry and the document's
// limits.
func (d *decoder) options(s *server, f *file) backend.Options {
	e := &s.entry
	o := e.Options
	o.Name, o.URL = s.key, e.endpoint()
	for _, h := range e.Headers {
		if !h.credential {
			if o.Headers == nil {
				o.Headers = map[string]string{}
			}
			o.Headers[h.canonical] = h.text
		}
	}
	if e.isProcess {
		s.program.options(&o)
	} else if transportOf(e.Type) == backend.TransportSSE || transportOf(e.Transport) == backend.TransportSSE {
		o.Transport = backend.TransportSSE
	}
	if e.Timeout > 0 {
		idle := time.Duration(e.Timeout)
		o.Timeouts.Idle = &idle
	}
	o.Limits = backend.Limits{
		RequestBytes:  int64(f.Limits.RequestBytes),
		ResponseBytes: int64(f.Limits.ResponseBytes),
		InFlight:      f.Limits.InFlightPerBackend,
	}
	return o
}
