package caller_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/recloser-mcp/recloser/caller"
)

func newGuard(t *testing.T, o caller.GuardOptions) *caller.Guard {
	t.Helper()
	g, err := caller.NewGuard(o)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func request(host string, origins ...string) *http.Request {
	r := httptest.NewRequest("POST", "/mcp", nil)
	r.Host = host
	for _, o := range origins {
		r.Header.Add("Origin", o)
	}
	return r
}

var configured = caller.GuardOptions{
	AllowedHosts: []string{"MCP.example.com", "10.0.0.5:8484", "2001:db8::7", "intern."},
	PublicURL:    "https://public.example.com:8443/mcp",
}

func TestHost(t *testing.T) {
	g := newGuard(t, configured)
	for host, allowed := range map[string]bool{
		"localhost":                true,
		"localhost:8484":           true,
		"LOCALHOST.:8484":          true,
		"127.0.0.1":                true,
		"127.0.0.1:8484":           true,
		"127.9.8.7:1":              true,
		"[::1]":                    true,
		"[::1]:8484":               true,
		"[0:0:0:0:0:0:0:1]:8484":   true,
		"[::ffff:127.0.0.1]:8484":  true,
		"mcp.example.com":          true,
		"mcp.example.com:443":      true,
		"Mcp.Example.Com.":         true,
		"10.0.0.5:8484":            true,
		"[2001:db8::7]:9":          true,
		"[2001:DB8:0:0:0:0:0:7]":   true,
		"intern:80":                true,
		"public.example.com":       true,
		"public.example.com:1":     true,
		"10.0.0.5":                 false, // allowed with its port only
		"10.0.0.5:80":              false,
		"evil.example":             false,
		"evil.example:8484":        false,
		"mcp.example.com.evil.io":  false,
		"notmcp.example.com":       false,
		"localhost.evil.example":   false,
		"evil.localhost":           false, // not every resolver keeps these at home
		"127.0.0.1.evil.example":   false,
		"0.0.0.0:8484":             false, // reaches loopback on some systems
		"[::]:8484":                false,
		"127.1":                    false, // resolvers differ on what this is
		"2130706433":               false,
		"0x7f000001":               false,
		"127.0.0.01":               false,
		"192.168.0.1":              false,
		"":                         false,
		".":                        false,
		":8484":                    false,
		"localhost:":               false,
		"localhost:0":              false,
		"localhost:99999":          false,
		"localhost:80:80":          false,
		"localhost@evil.example":   false,
		"localhost evil.example":   false,
		"localhost,evil.example":   false,
		"localhost/evil.example":   false,
		"loсalhost":                false, // the c is Cyrillic
		"[::1":                     false,
		"[::1]8484":                false,
		"[::1]:x":                  false,
		"[localhost]":              false,
		"[127.0.0.1]":              false,
		"[::1%25lo]":               false,
		"[fe80::1%lo]":             false,
		strings.Repeat("a", 99999): false,
	} {
		err := g.Check(request(host))
		if (err == nil) != allowed {
			t.Errorf("host %.60q: %v, want allowed: %v", host, err, allowed)
		}
		checkRefusal(t, err)
	}
}

func TestOrigin(t *testing.T) {
	for origin, allowed := range map[string]bool{
		"http://localhost":                 true,
		"http://localhost:6274":            true,
		"https://localhost:6274":           true,
		"http://127.0.0.1:3000":            true,
		"http://[::1]:3000":                true,
		"https://mcp.example.com":          true,
		"http://MCP.example.com:8080":      true,
		"http://10.0.0.5:8484":             true,
		"https://public.example.com":       true,
		"http://[2001:db8::7]":             true,
		"http://10.0.0.5":                  false, // that is port 80
		"https://10.0.0.5":                 false,
		"https://evil.example":             false,
		"http://evil.example:8484":         false,
		"https://mcp.example.com.evil.io":  false,
		"https://evil.io/mcp.example.com":  false,
		"https://mcp.example.com@evil.io":  false,
		"https://evil.io#.mcp.example.com": false,
		"http://localhost.evil.example":    false,
		"http://0.0.0.0:8484":              false,
		"null":                             false,
		"":                                 false,
		"file://":                          false,
		"localhost":                        false,
		"//localhost":                      false,
		"http://":                          false,
		"http:localhost":                   false,
		"chrome-extension://abcdefghijkl":  false,
		"javascript://localhost":           false,
		"http://localhost/":                false, // an origin has no path
		"http://localhost http://x":        false,
	} {
		// The header is checked with and without authentication.
		for _, authenticated := range []bool{false, true} {
			o := configured
			o.Authenticated = authenticated
			err := newGuard(t, o).Check(request("localhost:8484", origin))
			if (err == nil) != allowed {
				t.Errorf("origin %q: %v, want allowed: %v", origin, err, allowed)
			}
			checkRefusal(t, err)
		}
	}
	if err := newGuard(t, configured).Check(request("localhost", "http://localhost", "https://evil.example")); err == nil {
		t.Error("a second, foreign origin was overlooked")
	}
}

// checkRefusal looks at what every refusal has in common.
func checkRefusal(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	refusal, ok := err.(*caller.Error)
	if !ok || refusal.Status != http.StatusForbidden || refusal.Challenge != "" {
		t.Errorf("refused with %#v", err)
		return
	}
	if !strings.Contains(refusal.Message, "allowedHosts") {
		t.Errorf("message %q does not name the key that helps", refusal.Message)
	}
	if len(refusal.Message) > 400 {
		t.Errorf("the message has %d characters", len(refusal.Message))
	}
}

// A page at evil.example whose name now resolves to 127.0.0.1 is same-origin with
// the gateway as far as the browser can tell.
func TestReboundPage(t *testing.T) {
	open := newGuard(t, caller.GuardOptions{})
	for name, r := range map[string]*http.Request{
		"GET sends no Origin":      request("evil.example:8484"),
		"POST sends its own":       request("evil.example:8484", "http://evil.example:8484"),
		"host and origin disagree": request("127.0.0.1:8484", "http://evil.example:8484"),
		"forwarded headers are words": func() *http.Request {
			r := request("evil.example")
			r.Header.Set("X-Forwarded-Host", "localhost")
			return r
		}(),
	} {
		if err := open.Check(r); err == nil {
			t.Errorf("%s: let pass", name)
		}
	}
	// Behind authentication the page has no token, so any Host may be used; its
	// Origin still gives it away.
	protected := newGuard(t, caller.GuardOptions{Authenticated: true})
	if err := protected.Check(request("any.example")); err != nil {
		t.Errorf("a foreign host on an authenticated listener: %v", err)
	}
	if err := protected.Check(request("any.example", "https://any.example")); err == nil {
		t.Error("an origin that only equals the host was let pass")
	}
}

// The target of a request line outranks the header Host.
func TestAbsoluteTarget(t *testing.T) {
	text := "POST http://evil.example/mcp HTTP/1.1\r\nHost: localhost\r\n\r\n"
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
	if err != nil {
		t.Fatal(err)
	}
	if err := newGuard(t, caller.GuardOptions{}).Check(r); err == nil {
		t.Error("let pass")
	}
}

func TestProbesMayUseAnyHost(t *testing.T) {
	g := newGuard(t, caller.GuardOptions{AnyHost: []string{"/healthz", "/readyz"}})
	for _, test := range []struct {
		path, origin string
		allowed      bool
	}{
		{"/healthz", "", true},
		{"/readyz", "", true},
		{"/healthz", "https://evil.example", false},
		{"/healthz/more", "", false},
		{"/metrics", "", false},
	} {
		r := httptest.NewRequest("GET", test.path, nil)
		r.Host = "pod.cluster.internal:8485"
		if test.origin != "" {
			r.Header.Set("Origin", test.origin)
		}
		if err := g.Check(r); (err == nil) != test.allowed {
			t.Errorf("%s, origin %q: %v, want allowed: %v", test.path, test.origin, err, test.allowed)
		}
	}
}

func TestGuardAnswersOverHTTP(t *testing.T) {
	reached := 0
	g := newGuard(t, caller.GuardOptions{})
	srv := httptest.NewServer(g.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached++ })))
	defer srv.Close()

	send := func(host, origin string) (*http.Response, string) {
		t.Helper()
		r, err := http.NewRequest("POST", srv.URL+"/mcp", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		if host != "" {
			r.Host = host
		}
		if origin != "" {
			r.Header.Set("Origin", origin)
		}
		resp, err := srv.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp, string(body)
	}

	if resp, _ := send("", ""); resp.StatusCode != http.StatusOK || reached != 1 {
		t.Errorf("loopback: %s, reached %d times, want once", resp.Status, reached)
	}
	for _, test := range []struct{ host, origin string }{{"evil.example", ""}, {"", "https://evil.example"}, {"", "null"}} {
		resp, body := send(test.host, test.origin)
		if resp.StatusCode != http.StatusForbidden || resp.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%v: %s, %s", test, resp.Status, resp.Header.Get("Content-Type"))
		}
		var message map[string]json.RawMessage
		if err := json.Unmarshal([]byte(body), &message); err != nil {
			t.Fatalf("%v: %v in %q", test, err, body)
		}
		if _, has := message["id"]; has || string(message["jsonrpc"]) != `"2.0"` || !strings.Contains(string(message["error"]), "allowedHosts") {
			t.Errorf("%v: body %s", test, body)
		}
	}
	if reached != 1 {
		t.Errorf("reached %d times, want once", reached)
	}
}

func TestNewGuardNamesEveryDefect(t *testing.T) {
	_, err := caller.NewGuard(caller.GuardOptions{
		AllowedHosts: []string{"https://a.example", "good.example", "*.b.example", "c.example/path", "d.example:0", ""},
		PublicURL:    "mcp.example.com",
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"allowedHosts[0]", "allowedHosts[2]", "allowedHosts[3]", "allowedHosts[4]", "allowedHosts[5]", "publicURL"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
	if strings.Contains(err.Error(), "good.example") {
		t.Errorf("a good entry is in: %v", err)
	}
}

func TestIsLoopback(t *testing.T) {
	for address, want := range map[string]bool{
		"127.0.0.1:8484": true, "[::1]:8484": true, "localhost:0": true, "LocalHost:1": true, "127.3.2.1:1": true,
		":8484": false, "0.0.0.0:8484": false, "[::]:8484": false, "10.0.0.1:8484": false, "example.com:1": false,
		"127.0.0.1": false, "": false,
	} {
		if got := caller.IsLoopback(address); got != want {
			t.Errorf("%q: %v, want %v", address, got, want)
		}
	}
}

// FuzzHost: whatever is let pass as loopback is loopback for the standard library,
// too.
func FuzzHost(f *testing.F) {
	for _, s := range []string{"localhost:1", "[::1]:1", "127.0.0.1", "evil.example", "[::ffff:7f00:1]", "localhost.", "0x7f.1", "[fe80::1%25x]:2"} {
		f.Add(s)
	}
	g, err := caller.NewGuard(caller.GuardOptions{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, host string) {
		if g.Check(request(host)) != nil {
			return
		}
		name := host
		if h, _, err := net.SplitHostPort(host); err == nil {
			name = h
		}
		name = strings.TrimSuffix(strings.ToLower(strings.Trim(name, "[]")), ".")
		if ip := net.ParseIP(name); name != "localhost" && (ip == nil || !ip.IsLoopback()) {
			t.Errorf("%q was let pass", host)
		}
	})
}
