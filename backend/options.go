package backend

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/recloser-mcp/recloser/auth"
	"github.com/recloser-mcp/recloser/guard"
	"github.com/recloser-mcp/recloser/wire"
)

// The transports of a backend.
const (
	TransportHTTP  = "http"  // streamable HTTP
	TransportSSE   = "sse"   // HTTP+SSE, of revision 2024-11-05
	TransportStdio = "stdio" // a process
)

// Options describe one backend. Name and one of URL and Command are required; the
// zero value of everything else is useful. Options are read once, by the
// constructor.
type Options struct {
	// Name of the backend in errors, traces and facts.
	Name string `yaml:"-" json:"-"`
	// Transport is how messages reach the backend. Default: what Command and URL
	// imply, TransportStdio or TransportHTTP.
	Transport string `yaml:"-" json:"-"`
	// Command is a program that speaks the protocol over its standard streams. It
	// is started without a shell, found in the PATH of Env if that has one, and
	// has a process for each session, or one under Shared and 2026-07-28.
	Command string `yaml:"command,omitempty" json:"command,omitempty"`
	// Args are the arguments of Command.
	Args []string `yaml:"args,omitempty" json:"args,omitempty"`
	// Env is added to the environment of Command, which has little else: HOME,
	// PATH, the language and the like. What it holds is kept out of what the
	// process writes to stderr before that is shown, apart from paths and words of
	// less than eight characters.
	Env map[string]string `yaml:"env,omitempty" json:"env,omitempty"`
	// Cwd is the folder in which Command runs. Default: that of this program.
	Cwd string `yaml:"cwd,omitempty" json:"cwd,omitempty"`
	// Secrets are further texts that must not be shown, such as arguments.
	Secrets []string `yaml:"-" json:"-"`
	// URL of the MCP endpoint, http or https, without user information and
	// fragment.
	URL string `yaml:"url,omitempty" json:"url,omitempty"`
	// Headers are sent with every request. They are shown in status and
	// configuration dumps: secrets belong into Auth.
	Headers map[string]string `yaml:"headers,omitempty" json:"headers,omitempty"`
	// Auth is the credential to send. Nil: one of the type AuthSpec names; with
	// neither, none. A source given here is not closed by the client.
	Auth *auth.Source `yaml:"-" json:"-"`
	// AuthSpec makes a credential of the client's own through its registry.
	AuthSpec auth.Spec `yaml:"-" json:"-"`
	// AuthRetry are the settings of the guard.
	AuthRetry guard.Options `yaml:"authRetry,omitempty" json:"authRetry,omitzero"`
	// Timeouts bound connecting and silence. There is no limit on how long a
	// call takes while bytes arrive.
	Timeouts Timeouts `yaml:"timeouts,omitempty" json:"timeouts,omitzero"`
	// TLS adds a trusted authority and a client certificate.
	TLS TLS `yaml:"tls,omitempty" json:"tls,omitzero"`
	// Isolation says whether the sessions of several clients at this backend are
	// kept apart. Default Isolated.
	Isolation Isolation `yaml:"isolation,omitempty" json:"isolation,omitempty"`
	// PassthroughHeaders names headers of a client's request that are copied to
	// the backend. Credentials and headers of the protocol are refused here.
	PassthroughHeaders []string `yaml:"passthroughHeaders,omitempty" json:"passthroughHeaders,omitempty"`
	// AllowInsecure lets a credential go over plain http to a host that is not
	// this machine.
	AllowInsecure bool `yaml:"allowInsecure,omitempty" json:"allowInsecure,omitempty"`
	// Proxy is the URL of an HTTP proxy. Empty: HTTPS_PROXY, HTTP_PROXY and
	// NO_PROXY say; "none": no proxy.
	Proxy string `yaml:"proxy,omitempty" json:"proxy,omitempty"`
	// Limits bound what a backend may cost.
	Limits Limits `yaml:"-" json:"-"`

	// ClientInfo is how the client introduces itself. Default recloser.
	ClientInfo ClientInfo `yaml:"-" json:"-"`
	// Trace is told what happens. Nil: nobody is.
	Trace *Trace `yaml:"-" json:"-"`
	// Logger gets debug records of sessions and streams. Nil: nobody does.
	Logger *slog.Logger `yaml:"-" json:"-"`
	// Dial replaces the network, for tests and tunnels.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error) `yaml:"-" json:"-"`
}

// Timeouts of a backend.
type Timeouts struct {
	// Connect bounds dialling and, apart from it, the TLS handshake. Default 5 s.
	Connect time.Duration `yaml:"connect,omitempty" json:"connect,omitempty"`
	// Idle is how long an answer may stay silent, before its first byte and
	// between two. Nil is 10 minutes, 0 is no limit. Standing streams have none.
	Idle *time.Duration `yaml:"idle,omitempty" json:"idle,omitempty"`
}

// TLS settings of a backend. Files are PEM. The certificate and its key are read
// at each handshake, so they rotate by being replaced.
type TLS struct {
	CAFile   string `yaml:"caFile,omitempty" json:"caFile,omitempty"`
	CertFile string `yaml:"certFile,omitempty" json:"certFile,omitempty"`
	KeyFile  string `yaml:"keyFile,omitempty" json:"keyFile,omitempty"`
}

// Isolation of sessions.
type Isolation string

// The isolations.
const (
	Isolated Isolation = "session" // a backend session per client session
	Shared   Isolation = "shared"  // one backend session for all, for servers without state
)

// Limits of a backend. Zero means the default.
type Limits struct {
	RequestBytes  int64 // one request body; default 8 MiB
	ResponseBytes int64 // one answer; default 100 MiB
	InFlight      int   // requests, and processes, at a time, beyond which ErrNoCapacity; default 1024
}

// ClientInfo is the Implementation object of the protocol.
type ClientInfo struct{ Name, Version string }

func (i ClientInfo) json() []byte {
	b := wire.Quote([]byte(`{"name":`), i.Name)
	return append(wire.Quote(append(b, `,"version":`...), i.Version), '}')
}

const (
	defaultConnect  = 5 * time.Second
	defaultIdle     = 10 * time.Minute
	defaultRequest  = 8 << 20
	defaultResponse = 100 << 20
	defaultInFlight = 1024
)

func (o Options) withDefaults() Options {
	o.Timeouts = o.Timeouts.withDefaults()
	o.Limits = o.Limits.withDefaults()
	o.Isolation = cmp.Or(o.Isolation, Isolated)
	o.ClientInfo.Name = cmp.Or(o.ClientInfo.Name, "recloser")
	o.ClientInfo.Version = cmp.Or(o.ClientInfo.Version, "dev")
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	if o.Trace == nil {
		o.Trace = &Trace{}
	}
	return o
}

func (t Timeouts) withDefaults() Timeouts {
	t.Connect = cmp.Or(t.Connect, defaultConnect)
	if t.Idle == nil {
		idle := defaultIdle
		t.Idle = &idle
	}
	return t
}

func (l Limits) withDefaults() Limits {
	l.RequestBytes = cmp.Or(l.RequestBytes, defaultRequest)
	l.ResponseBytes = cmp.Or(l.ResponseBytes, defaultResponse)
	l.InFlight = cmp.Or(l.InFlight, defaultInFlight)
	return l
}

// Validate reports everything that is wrong with the options, each with the fix.
// It reads no file and opens no connection.
func (o Options) Validate() error {
	var errs []error
	if o.Name == "" {
		errs = append(errs, errors.New("name is empty: give the backend a name"))
	}
	switch o.transport() {
	case TransportStdio:
		errs = append(errs, o.validateProcess()...)
	case TransportHTTP, TransportSSE:
		if _, err := parseEndpoint(o.URL); err != nil {
			errs = append(errs, fmt.Errorf("url: %w", err))
		}
		if o.Command != "" {
			errs = append(errs, errors.New("command is given beside url: keep one of the two"))
		}
	default:
		errs = append(errs, fmt.Errorf("type is %q: use %q, %q or %q", o.Transport, TransportHTTP, TransportSSE, TransportStdio))
	}
	errs = append(errs, o.validateHeaders()...)
	if err := o.AuthRetry.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("authRetry: %w", err))
	}
	if o.Timeouts.Connect < 0 {
		errs = append(errs, fmt.Errorf("timeouts.connect is %s: use a positive duration", o.Timeouts.Connect))
	}
	if i := o.Timeouts.Idle; i != nil && *i < 0 {
		errs = append(errs, fmt.Errorf("timeouts.idle is %s: use a positive duration, or 0 for no limit", *i))
	}
	if o.Isolation != "" && o.Isolation != Isolated && o.Isolation != Shared {
		errs = append(errs, fmt.Errorf("isolation is %q: use %q or %q", o.Isolation, Isolated, Shared))
	}
	if _, err := proxyFunc(o.Proxy); err != nil {
		errs = append(errs, err)
	}
	if (o.TLS.CertFile == "") != (o.TLS.KeyFile == "") {
		errs = append(errs, errors.New("tls.certFile and tls.keyFile go together: give both or neither"))
	}
	return errors.Join(errs...)
}

func (o Options) validateHeaders() (errs []error) {
	for name := range o.Headers {
		err := checkHeader(name, "headers")
		if http.CanonicalHeaderKey(name) == "Authorization" {
			err = errors.New("headers: Authorization is a credential: give it to auth, as type header or bearer")
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
	for _, name := range o.PassthroughHeaders {
		if err := checkPassthrough(name); err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

// transport is Transport with its default.
func (o Options) transport() string {
	switch {
	case o.Transport != "":
		return o.Transport
	case o.Command != "" && o.URL == "":
		return TransportStdio
	}
	return TransportHTTP
}

// validateProcess checks what a process needs, and that there is nothing that only
// a connection has.
func (o Options) validateProcess() (errs []error) {
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if o.Command == "" {
		bad("command is empty: name the program to start")
	}
	if o.URL != "" {
		bad("url is given beside command: keep one of the two")
	}
	const instead = "a process has no use for it: give the process what it needs with env"
	if o.Auth != nil || o.AuthSpec.Type != "" && o.AuthSpec.Type != "unauthenticated" {
		bad("auth: %s", instead)
	}
	for key, given := range map[string]bool{"headers": len(o.Headers) > 0, "passthroughHeaders": len(o.PassthroughHeaders) > 0,
		"tls": o.TLS != TLS{}, "proxy": o.Proxy != "", "allowInsecure": o.AllowInsecure} {
		if given {
			bad("%s: %s", key, instead)
		}
	}
	for name, value := range o.Env {
		if name == "" || strings.ContainsAny(name, "=\x00") || strings.Contains(value, "\x00") {
			bad("env: %q cannot be a variable: take out = and NUL", name)
		}
	}
	for i, arg := range append([]string{o.Command, o.Cwd}, o.Args...) {
		if strings.Contains(arg, "\x00") {
			bad("%s has a NUL, which no program can be given: take it out", []string{"command", "cwd", "args"}[min(i, 2)])
		}
	}
	return errs
}

// parseEndpoint checks the URL of an MCP endpoint. Its errors never quote what
// may be a password.
func parseEndpoint(raw string) (*url.URL, error) {
	if raw == "" {
		return nil, errors.New("is empty: give the address of the MCP endpoint")
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return nil, errors.New("is not a URL: use http://host/path or https://host/path")
	case u.User != nil:
		return nil, errors.New("holds credentials: move them to auth")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("has scheme %q: use http or https", u.Scheme)
	case u.Hostname() == "":
		return nil, errors.New("has no host: use http://host/path or https://host/path")
	}
	u.Fragment, u.RawFragment = "", ""
	return u, nil
}

// insecure reports whether a credential sent to u could be read on the way.
func insecure(u *url.URL) bool {
	host := u.Hostname()
	ip := net.ParseIP(host)
	local := host == "localhost" || strings.HasSuffix(host, ".localhost") || ip != nil && ip.IsLoopback()
	return u.Scheme != "https" && !local
}

func proxyFunc(proxy string) (func(*http.Request) (*url.URL, error), error) {
	switch proxy {
	case "":
		return http.ProxyFromEnvironment, nil
	case "none":
		return nil, nil
	}
	u, err := url.Parse(proxy)
	if err != nil || u.Host == "" {
		return nil, errors.New("proxy is not a URL: use http://host:port, or none")
	}
	return http.ProxyURL(u), nil
}

// ours are the headers that the client sets itself.
var ours = map[string]bool{
	"Host": true, "Content-Length": true, "Content-Type": true, "Accept": true, "Transfer-Encoding": true,
	"Connection": true, "Upgrade": true, "Te": true, "Trailer": true, "Keep-Alive": true, "Expect": true,
	"Proxy-Authorization": true, "Proxy-Connection": true, "Accept-Encoding": true, "Content-Encoding": true,
	"Idempotency-Key": true, "X-Idempotency-Key": true,
	wire.HeaderSession: true, wire.HeaderProtocol: true, wire.HeaderMethod: true, wire.HeaderName: true,
	wire.HeaderLastEventID: true,
}

func checkHeader(name, where string) error {
	canonical := http.CanonicalHeaderKey(name)
	if name == "" || strings.ContainsAny(name, " \t\r\n:") {
		return fmt.Errorf("%s: %q is no header name", where, name)
	}
	if ours[canonical] || strings.HasPrefix(canonical, wire.HeaderParamPrefix) {
		return fmt.Errorf("%s: %s is set by the client itself: take it out", where, canonical)
	}
	return nil
}

func checkPassthrough(name string) error {
	switch http.CanonicalHeaderKey(name) {
	case "Authorization", "Cookie":
		return fmt.Errorf("passthroughHeaders: %s is a credential of the caller and must not be handed on: use auth", name)
	}
	return checkHeader(name, "passthroughHeaders")
}
