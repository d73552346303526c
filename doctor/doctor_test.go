package doctor_test

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/recloser-mcp/recloser/backendtest"
	"github.com/recloser-mcp/recloser/doctor"
	"github.com/recloser-mcp/recloser/status"
)

// sick is a backend with a fault, and what its fix says to do about it.
type sick struct {
	document string
	rung     string
	fault    doctor.Fault
	evidence string // begins with it, or has it in it
	fix      string
	mend     func() string // does what the fix says; returns the document afterwards
	secrets  []string
	options  doctor.Options
}

// Every fault is found at its rung and not before, and doing what the fix says
// mends it.
func TestTheFirstBrokenRungIsNamedAndItsFixWorks(t *testing.T) {
	hour := time.Now().Add(time.Hour)
	for name, make := range map[string]func(t *testing.T) sick{
		"no such host": func(t *testing.T) sick {
			s := backendtest.NewServer(t)
			lookup := func(_ context.Context, host string) ([]string, error) {
				if host == "localhost" {
					return []string{"127.0.0.1"}, nil
				}
				return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
			}
			return sick{entry("url: https://nowhere.example/mcp"), "dns", doctor.Unreachable, "There is no host nowhere.example.", "Correct the host in mcpServers.b.url",
				func() string { return entry("url: %s", strings.Replace(s.URL, "127.0.0.1", "localhost", 1)) }, nil, doctor.Options{Lookup: lookup}}
		},
		"nobody listens": func(t *testing.T) sick {
			addr := free(t)
			document := entry("url: http://%s/mcp", addr)
			return sick{document, "tcp", doctor.Unreachable, "No connection to " + addr + ": connection refused.", "Start the server, or correct the port in mcpServers.b.url.",
				func() string { backendtest.NewServer(t, backendtest.WithAddr(addr)); return document }, nil, doctor.Options{}}
		},
		"unknown authority": func(t *testing.T) sick {
			s := backendtest.NewServer(t, backendtest.WithTLS())
			ca := file(t, string(s.CertPEM()))
			return sick{entry("url: %s", s.URL), "tls", doctor.Unreachable, "The certificate of 127.0.0.1 was issued by backendtest, which this machine does not trust.", "tls.caFile",
				func() string { return entry("url: %s, tls: {caFile: %s}", s.URL, ca) }, nil, doctor.Options{}}
		},
		"certificate for another": func(t *testing.T) sick {
			cert, ca := certificate(t, "other.example", time.Now().Add(-time.Hour), hour)
			right, _ := certificate(t, "127.0.0.1", time.Now().Add(-time.Hour), hour)
			present := &cert
			s := backendtest.NewServer(t, backendtest.WithTLS(func(c *tls.Config) {
				c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return present, nil }
				c.Certificates = nil
			}))
			return sick{entry("url: %s, tls: {caFile: %s}", s.URL, ca), "tls", doctor.Unreachable, "The certificate is not for 127.0.0.1 but for other.example.", "have the server present a certificate for 127.0.0.1",
				func() string {
					present = &right
					return entry("url: %s, tls: {caFile: %s}", s.URL, pemOf(t, right))
				}, nil, doctor.Options{}}
		},
		"expired certificate": func(t *testing.T) sick {
			cert, ca := certificate(t, "127.0.0.1", time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour))
			fresh, _ := certificate(t, "127.0.0.1", time.Now().Add(-2*time.Hour), hour)
			present := &cert
			s := backendtest.NewServer(t, backendtest.WithTLS(func(c *tls.Config) {
				c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return present, nil }
				c.Certificates = nil
			}))
			return sick{entry("url: %s, tls: {caFile: %s}", s.URL, ca), "tls", doctor.Unreachable, "The certificate of 127.0.0.1 expired on ", "Have the certificate of the server renewed.",
				func() string {
					present = &fresh
					return entry("url: %s, tls: {caFile: %s}", s.URL, pemOf(t, fresh))
				}, nil, doctor.Options{}}
		},
		"no TLS there": func(t *testing.T) sick {
			s := backendtest.NewServer(t)
			return sick{entry("url: %s", strings.Replace(s.URL, "http:", "https:", 1)), "tls", doctor.Unreachable, "does not speak TLS", "write http:// if the server really has no TLS",
				func() string { return entry("url: %s", s.URL) }, nil, doctor.Options{}}
		},
		"wrong path": func(t *testing.T) sick {
			s := backendtest.NewServer(t, onlyAt("/mcp"))
			return sick{entry("url: %s/api", s.URL), "challenge", doctor.Unreachable, "/api: it answers 404 Not Found. " + s.URL + " answers as an MCP server does.", "Set mcpServers.b.url to " + s.URL + ".",
				func() string { return entry("url: %s", s.URL) }, nil, doctor.Options{}}
		},
		"wrong path, and nobody knows which is right": func(t *testing.T) sick {
			s := backendtest.NewServer(t, onlyAt("/mcp/deep"))
			return sick{entry("url: %s", s.URL), "challenge", doctor.Unreachable, "it answers 404 Not Found.", "Correct the path in mcpServers.b.url",
				func() string { return entry("url: %s/deep", s.URL) }, nil, doctor.Options{}}
		},
		"redirect": func(t *testing.T) sick {
			s := backendtest.NewServer(t, backendtest.WithHTTPMiddleware(func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/old" {
						http.Redirect(w, r, "/mcp?code=s3cr3t-code-value", http.StatusPermanentRedirect)
						return
					}
					next.ServeHTTP(w, r)
				})
			}))
			return sick{entry("url: %s", strings.Replace(s.URL, "/mcp", "/old", 1)), "challenge", doctor.Unreachable, "sends clients elsewhere, to " + s.URL + ".", "set mcpServers.b.url to it",
				func() string { return entry("url: %s", s.URL) }, []string{"s3cr3t-code-value"}, doctor.Options{}}
		},
		"a web page": func(t *testing.T) sick {
			page := true
			s := backendtest.NewServer(t, backendtest.WithHTTPMiddleware(func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if page {
						w.Header().Set("Content-Type", "text/html; charset=utf-8")
						_, _ = w.Write([]byte("<html>"))
						return
					}
					next.ServeHTTP(w, r)
				})
			}))
			return sick{entry("url: %s", s.URL), "challenge", doctor.Unreachable, "is no MCP server: it sends text/html.", "it has to be the address of the MCP endpoint itself",
				func() string { page = false; return entry("url: %s", s.URL) }, nil, doctor.Options{}}
		},
		"out of order": func(t *testing.T) sick {
			s := backendtest.NewServer(t, backendtest.WithFault(backendtest.Status(503, 1)))
			return sick{entry("url: %s", s.URL), "challenge", doctor.Unreachable, "It answers 503 Service Unavailable.", "Look into the log of the server.",
				func() string { return entry("url: %s", s.URL) }, nil, doctor.Options{}}
		},
		"older transport": func(t *testing.T) sick {
			s := backendtest.NewServer(t, backendtest.WithLegacySSE())
			return sick{entry("url: %s", s.URL), "challenge", doctor.Unreachable, "It speaks the older HTTP+SSE", "Set mcpServers.b.type to sse.",
				func() string { return entry("url: %s, type: sse", s.URL) }, nil, doctor.Options{}}
		},
		"hung": func(t *testing.T) sick {
			hang := make(chan struct{})
			s := backendtest.NewServer(t, backendtest.WithHTTPMiddleware(func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					select {
					case <-hang:
						next.ServeHTTP(w, r)
					case <-r.Context().Done():
					}
				})
			}))
			return sick{entry("url: %s", s.URL), "challenge", doctor.Unreachable, "It accepts connections and gives no answer: no answer in time.", "Look into the log of the server",
				func() string { close(hang); return entry("url: %s", s.URL) }, nil, doctor.Options{Timeout: 300 * time.Millisecond}}
		},
		"no credential": func(t *testing.T) sick {
			k := &keeper{audience: "https://b.example"}
			s := backendtest.NewServer(t, backendtest.WithHTTPMiddleware(k.guard))
			jwt := token(t, map[string]any{"aud": k.audience, "exp": hour.Unix()})
			return sick{entry("url: %s", s.URL), "challenge", doctor.Authentication,
				"It answers 401 and asks for Bearer; its resource metadata names the resource https://b.example, tokens of https://login.example, the scopes read write, and no credential is configured.",
				`add to mcpServers.b auth: {type: bearer, token: "${file:PATH}"}, with a token of https://login.example.`,
				func() string {
					return entry(`url: %s, auth: {type: bearer, token: "${file:%s}"}`, s.URL, file(t, jwt))
				}, []string{jwt}, doctor.Options{}}
		},
		"expired": func(t *testing.T) sick {
			k := &keeper{audience: "https://b.example"}
			s := backendtest.NewServer(t, backendtest.WithHTTPMiddleware(k.guard))
			old := token(t, map[string]any{"iss": "https://login.example", "aud": k.audience, "exp": time.Now().Add(-time.Hour).Unix()})
			fresh := token(t, map[string]any{"aud": k.audience, "exp": hour.Unix()})
			f := file(t, old)
			document := entry(`url: %s, auth: {type: bearer, token: "${file:%s}"}`, s.URL, f)
			return sick{document, "credential", doctor.Authentication, "It has expired: bearer: a JWT of https://login.example for https://b.example, valid until ",
				"Put a new one into the file " + f + ": it is taken up by itself.",
				func() string { write(t, f, fresh); return document }, []string{old, fresh}, doctor.Options{}}
		},
		"wrong audience": func(t *testing.T) sick {
			k := &keeper{audience: "https://b.example"}
			s := backendtest.NewServer(t, backendtest.WithHTTPMiddleware(k.guard))
			wrong := token(t, map[string]any{"aud": "https://other.example", "exp": hour.Unix()})
			right := token(t, map[string]any{"aud": k.audience, "exp": hour.Unix()})
			f := file(t, wrong)
			document := entry(`url: %s, auth: {type: bearer, token: "${file:%s}"}`, s.URL, f)
			return sick{document, "call", doctor.Authentication, "The credential is refused with 401 invalid_token: the token is for https://other.example, and this backend is https://b.example.",
				"Get a token that is issued for https://b.example, and put it into the file " + f + ".",
				func() string { write(t, f, right); return document }, []string{wrong, right}, doctor.Options{}}
		},
		"insufficient scope of a given token": func(t *testing.T) sick {
			k := &keeper{audience: "https://b.example", scope: "write"}
			s := backendtest.NewServer(t, backendtest.WithHTTPMiddleware(k.guard))
			less := token(t, map[string]any{"aud": k.audience, "exp": hour.Unix(), "scope": "read"})
			more := token(t, map[string]any{"aud": k.audience, "exp": hour.Unix(), "scope": "read write"})
			f := file(t, less)
			document := entry(`url: %s, auth: {type: bearer, token: "${file:%s}"}`, s.URL, f)
			return sick{document, "call", doctor.Authentication, "insufficient_scope: it has the scopes read, and the server wants write.", "Get a token with the scopes write, and put it into the file " + f + ".",
				func() string { write(t, f, more); return document }, []string{less, more}, doctor.Options{}}
		},
		"insufficient scope of a fetched token": func(t *testing.T) sick {
			secret := rand.Text()
			i := backendtest.NewIssuer(t, backendtest.WithClient("recloser", secret))
			s := backendtest.NewServer(t, backendtest.WithBearer(i), backendtest.WithRequiredScope("tools/list", "read", "list"))
			document := func(more string) string {
				return entry("url: %s, auth: {type: client_credentials, tokenURL: %s, clientID: recloser, clientSecret: %s%s}", s.URL, i.TokenURL, secret, more)
			}
			return sick{document(""), "tools", doctor.Authentication, "the server wants read list.", "Set mcpServers.b.auth.scopes to [read, list].",
				func() string { return document(", scopes: [read, list]") }, []string{secret}, doctor.Options{}}
		},
		"revoked": func(t *testing.T) sick {
			old, fresh := rand.Text(), rand.Text()
			s := backendtest.NewServer(t, backendtest.WithToken(fresh))
			document := func(token string) string { return entry("url: %s, auth: {type: bearer, token: %s}", s.URL, token) }
			return sick{document(old), "call", doctor.Authentication, "The credential is refused with 401 invalid_token.", "Put a new one into mcpServers.b, or the variable that it takes it from",
				func() string { return document(fresh) }, []string{old, fresh}, doctor.Options{}}
		},
		"wrong client secret": func(t *testing.T) sick {
			secret, wrong := rand.Text(), rand.Text()
			i := backendtest.NewIssuer(t, backendtest.WithClient("recloser", secret))
			s := backendtest.NewServer(t, backendtest.WithBearer(i))
			document := func(secret string) string {
				return entry("url: %s, auth: {type: client_credentials, tokenURL: %s, clientID: recloser, clientSecret: %s}", s.URL, i.TokenURL, secret)
			}
			return sick{document(wrong), "credential", doctor.Authentication, "invalid_client", "Correct clientID and clientSecret of mcpServers.b",
				func() string { return document(secret) }, []string{secret, wrong}, doctor.Options{}}
		},
		"token server down": func(t *testing.T) sick {
			secret := rand.Text()
			i := backendtest.NewIssuer(t, backendtest.WithClient("recloser", secret))
			s := backendtest.NewServer(t, backendtest.WithBearer(i))
			i.Down()
			document := entry("url: %s, auth: {type: client_credentials, tokenURL: %s, clientID: recloser, clientSecret: %s}", s.URL, i.TokenURL, secret)
			return sick{document, "credential", doctor.Authentication, "connection refused", "Check that the token server runs",
				func() string {
					if err := i.Up(); err != nil {
						t.Fatal(err)
					}
					return document
				}, []string{secret}, doctor.Options{}}
		},
		"no tools": func(t *testing.T) sick {
			s := backendtest.NewServer(t)
			s.SetTools()
			return sick{entry("url: %s", s.URL), "tools", doctor.Other, "It answers, and lists no tool, resource or prompt.", "Check the settings of the server",
				func() string {
					s.AddTool(backendtest.Tool{Name: "t", Func: backendtest.Text("x")})
					return entry("url: %s", s.URL)
				}, nil, doctor.Options{}}
		},
		"switched off": func(t *testing.T) sick {
			s := backendtest.NewServer(t)
			return sick{entry("url: %s, disabled: true", s.URL), "configuration", doctor.Configuration, "It is switched off.", "remove disabled from mcpServers.b",
				func() string { return entry("url: %s", s.URL) }, nil, doctor.Options{}}
		},
		"no such program": func(t *testing.T) sick {
			p := backendtest.NewProgram(t, "sound")
			return sick{entry("command: no-such-program-anywhere"), "command", doctor.Unreachable, "There is no program no-such-program-anywhere", "Install it, or correct mcpServers.b.command",
				func() string { return process(p) }, nil, doctor.Options{}}
		},
		"a program that ends": func(t *testing.T) sick {
			p, sound := backendtest.NewProgram(t, "broken"), backendtest.NewProgram(t, "sound")
			return sick{process(p), "start", doctor.Unreachable, "exit status 1; the last that it printed: no data base at /data/x.", "Run it by hand and read what it prints: " + p.Command,
				func() string { return process(sound) }, nil, doctor.Options{}}
		},
		"a program that ends in between": func(t *testing.T) sick {
			p, sound := backendtest.NewProgram(t, "short"), backendtest.NewProgram(t, "sound")
			return sick{process(p), "tools", doctor.Unreachable, "process ended", "Run `recloser doctor b`, or the command of mcpServers.b by hand",
				func() string { return process(sound) }, nil, doctor.Options{}}
		},
		"a program that says nothing": func(t *testing.T) sick {
			sound := backendtest.NewProgram(t, "sound")
			return sick{entry("command: sleep, args: ['600']"), "start", doctor.Unreachable, "It starts, and does not answer initialize.", "Run it by hand and read what it prints: sleep 600.",
				func() string { return process(sound) }, nil, doctor.Options{Timeout: time.Second}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := make(t)
			r := examine(t, s.document, s.options, s.secrets...)
			b := r.Broken()
			if b == nil || b.Name != s.rung || r.Fault != s.fault {
				t.Fatalf("found %q, want %s at %s:\n%+v", r.Fault, s.fault, s.rung, r.Rungs)
			}
			if !strings.Contains(b.Evidence, s.evidence) {
				t.Errorf("evidence %q, want %q in it", b.Evidence, s.evidence)
			}
			if !strings.Contains(b.Fix, s.fix) {
				t.Errorf("fix %q, want %q in it", b.Fix, s.fix)
			}
			if r := examine(t, s.mend(), doctor.Options{Lookup: s.options.Lookup}, s.secrets...); r.Fault != doctor.Sound || r.Broken() != nil || len(r.NotReached) > 0 {
				t.Errorf("what the fix says does not mend it: %+v", r)
			}
		})
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func onlyAt(path string) backendtest.Option {
	return backendtest.WithHTTPMiddleware(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != path {
				http.NotFound(w, r)
				return
			}
			r.URL.Path = "/mcp"
			next.ServeHTTP(w, r)
		})
	})
}

func process(p *backendtest.Program) string {
	var env []string
	for name, value := range p.Env {
		env = append(env, fmt.Sprintf("%s: %q", name, value))
	}
	return entry("command: %s, env: {%s}", p.Command, strings.Join(env, ", "))
}

// A sound ladder says what it saw on every rung.
func TestASoundLadder(t *testing.T) {
	k := &keeper{audience: "https://b.example"}
	s := backendtest.NewServer(t, backendtest.WithHTTPMiddleware(k.guard))
	r := examine(t, entry(`url: %s, auth: {type: bearer, token: "${file:%s}"}`, s.URL, file(t, token(t, map[string]any{
		"iss": "https://login.example", "aud": "https://b.example", "exp": time.Now().Add(90*time.Minute + time.Second).Unix(), "scope": "read"}))), doctor.Options{})
	var names []string
	said := map[string]string{}
	for _, rung := range r.Rungs {
		names = append(names, rung.Name)
		said[rung.Name] = rung.Evidence
	}
	if d := cmp.Diff([]string{"configuration", "tcp", "challenge", "credential", "call", "tools"}, names); d != "" {
		t.Errorf("rungs (-want +got):\n%s", d)
	}
	for rung, want := range map[string]string{
		"challenge":  "It answers 401 and asks for Bearer; its resource metadata names the resource https://b.example",
		"credential": "bearer: a JWT of https://login.example for https://b.example with the scopes read, valid until ",
		"call":       "It answers a request with the credential; revision ",
		"tools":      "1 tool, 0 resources, 0 prompts",
	} {
		if !strings.HasPrefix(said[rung], want) {
			t.Errorf("%s: %q, want %q", rung, said[rung], want)
		}
	}
	if !strings.Contains(said["credential"], "(for 1h30m") || !strings.Contains(said["credential"], " was written ") {
		t.Errorf("credential: %q", said["credential"])
	}
}

// A backend that lists to everybody says nothing about its credential; the gateway,
// which has seen calls, does.
func TestWhatTheGatewayKnows(t *testing.T) {
	wrong := rand.Text()
	s := backendtest.NewServer(t, backendtest.WithToken("the-right-token-of-b"), backendtest.WithGuardedCallsOnly())
	r := examine(t, entry("url: %s, auth: {type: bearer, token: %s}", s.URL, wrong), doctor.Options{}, wrong)
	if r.Fault != doctor.Sound || !strings.Contains(r.Rungs[len(r.Rungs)-1].Evidence, "It lists to everybody") {
		t.Fatalf("%+v", r)
	}
	if n := s.Requests("tools/call"); n != 0 {
		t.Errorf("%d calls were made: an examination makes none", n)
	}
	r.Compare(status.Backend{Status: status.BackendStatusUnavailable, Reason: status.ReasonAuthRefused, Message: "It refuses.", Fix: "Mend it."})
	if b := r.Broken(); r.Fault != doctor.Authentication || b == nil || b.Name != "gateway" || !strings.HasSuffix(b.Evidence, "It refuses.") || b.Fix != "Mend it." {
		t.Errorf("%+v", r)
	}
	for _, sound := range []status.Backend{{Status: status.BackendStatusReady}, {Status: status.BackendStatusUnknown}} {
		r := doctor.Report{}
		if r.Compare(sound); r.Fault != doctor.Sound || r.Gateway == nil {
			t.Errorf("%+v", r)
		}
	}
	broken := doctor.Report{Fault: doctor.Unreachable, Rungs: []doctor.Rung{{Name: "tcp"}}}
	if broken.Compare(status.Backend{Status: status.BackendStatusUnavailable, Reason: status.ReasonAuthRefused}); broken.Fault != doctor.Unreachable || len(broken.Rungs) != 1 {
		t.Errorf("the gateway's opinion stands over what was seen: %+v", broken)
	}
}

// An examination leaves nothing behind: no session, no process.
func TestNothingIsLeftBehind(t *testing.T) {
	s := backendtest.NewServer(t)
	examine(t, entry("url: %s", s.URL), doctor.Options{})
	if opened, ended := s.Sessions(), s.Requests(backendtest.MethodDelete); opened == 0 || opened != ended {
		t.Errorf("%d sessions were opened and %d ended", opened, ended)
	}
	p := backendtest.NewProgram(t, "sound")
	examine(t, process(p), doctor.Options{})
	if err := p.Wait(t.Context(), func() bool { return len(p.Live()) == 0 }); err != nil {
		t.Error(err)
	}
	if len(p.Started()) == 0 {
		t.Error("no process was started")
	}
}
