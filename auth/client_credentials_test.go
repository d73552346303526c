package auth_test

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/recloser-mcp/recloser/auth"
)

// roundTripper answers with a handler, without a network, so that virtual time
// works.
func roundTripper(h http.HandlerFunc) http.RoundTripper { return handlerTripper(h) }

type handlerTripper http.HandlerFunc

func (h handlerTripper) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	w := httptest.NewRecorder()
	h(w, r)
	return w.Result(), nil
}

func writeJSON(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

const aToken = `{"access_token":"at-1","token_type":"bearer","expires_in":600}`

func options() auth.ClientCredentialsOptions {
	return auth.ClientCredentialsOptions{TokenURL: "https://issuer.test/token", ClientID: "me:é", ClientSecret: auth.NewValue("p@ss word/+")}
}

func strategy(t *testing.T, o auth.ClientCredentialsOptions, tr http.RoundTripper) auth.Strategy {
	t.Helper()
	s, err := auth.NewClientCredentials(o, &http.Client{Transport: tr})
	must(t, err)
	return s
}

func TestTokenRequest(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*auth.ClientCredentialsOptions)
		basic  string
		form   url.Values
	}{
		"basic is the default": {func(*auth.ClientCredentialsOptions) {}, "me%3A%C3%A9:p%40ss+word%2F%2B",
			url.Values{"grant_type": {"client_credentials"}}},
		"scopes and resource": {func(o *auth.ClientCredentialsOptions) {
			o.ClientAuth, o.Scopes, o.Resource = "basic", []string{"a", "b"}, "https://mcp.test/mcp"
		}, "me%3A%C3%A9:p%40ss+word%2F%2B",
			url.Values{"grant_type": {"client_credentials"}, "scope": {"a b"}, "resource": {"https://mcp.test/mcp"}}},
		"post": {func(o *auth.ClientCredentialsOptions) { o.ClientAuth = "post" }, "",
			url.Values{"grant_type": {"client_credentials"}, "client_id": {"me:é"}, "client_secret": {"p@ss word/+"}}},
	} {
		t.Run(name, func(t *testing.T) {
			o := options()
			c.change(&o)
			requests := 0
			s := strategy(t, o, roundTripper(func(w http.ResponseWriter, r *http.Request) {
				requests++
				must(t, r.ParseForm())
				user, pass, _ := r.BasicAuth()
				if got := strings.TrimPrefix(user+":"+pass, ":"); got != c.basic {
					t.Errorf("basic %q", got)
				}
				if diff := cmp.Diff(c.form, r.PostForm); diff != "" {
					t.Error(diff)
				}
				if r.Method != "POST" || r.URL.String() != o.TokenURL || r.Header.Get("Accept") != "application/json" || !r.Close {
					t.Errorf("%s %s %v", r.Method, r.URL, r.Header)
				}
				writeJSON(w, 200, aToken)
			}))
			for range 2 { // nothing is kept below
				m, err := s.Fetch(t.Context())
				must(t, err)
				if len(m.Headers) != 1 || m.Headers[0].Name != "Authorization" || m.Headers[0].Value.Reveal() != "Bearer at-1" ||
					m.Lifetime != 10*time.Minute || !m.Renewable {
					t.Errorf("%+v", m)
				}
			}
			if requests != 2 {
				t.Errorf("%d requests", requests)
			}
		})
	}
}

func TestTokenAnswers(t *testing.T) {
	const canary = "echo-of-the-secret"
	oauthError := func(code string) string {
		return `{"error":"` + code + `","error_description":"` + canary + `","error_uri":"https://` + canary + `"}`
	}
	for name, c := range map[string]struct {
		status     int
		header     map[string]string
		body       string
		want       auth.Outcome
		code       string
		retryAfter time.Duration
	}{
		"invalid_grant":              {status: 400, body: oauthError("invalid_grant"), want: auth.Permanent, code: "invalid_grant"},
		"invalid_client":             {status: 401, body: oauthError("invalid_client"), want: auth.Permanent, code: "invalid_client"},
		"unauthorized_client":        {status: 400, body: oauthError("unauthorized_client"), want: auth.Permanent, code: "unauthorized_client"},
		"invalid_client with 200":    {status: 200, body: oauthError("invalid_client"), want: auth.Permanent, code: "invalid_client"},
		"invalid_scope":              {status: 400, body: oauthError("invalid_scope"), want: auth.Passing, code: "invalid_scope"},
		"invalid_target":             {status: 400, body: oauthError("invalid_target"), want: auth.Passing, code: "invalid_target"},
		"temporarily_unavailable":    {status: 400, body: oauthError("temporarily_unavailable"), want: auth.Passing, code: "temporarily_unavailable"},
		"a code of its own":          {status: 400, body: oauthError(canary), want: auth.Passing},
		"invalid_client while down":  {status: 503, body: oauthError("invalid_client"), want: auth.Passing, code: "invalid_client"},
		"invalid_client, but 429":    {status: 429, body: oauthError("invalid_client"), want: auth.Passing, code: "invalid_client"},
		"500":                        {status: 500, body: canary, want: auth.Passing},
		"503 with Retry-After":       {status: 503, header: map[string]string{"Retry-After": "7"}, body: canary, want: auth.Passing, retryAfter: 7 * time.Second},
		"429 with a date":            {status: 429, header: map[string]string{"Retry-After": "Sat, 01 Jan 2000 00:01:00 GMT"}, want: auth.Passing, retryAfter: time.Minute},
		"Retry-After in the past":    {status: 429, header: map[string]string{"Retry-After": "Fri, 31 Dec 1999 00:01:00 GMT"}, want: auth.Passing},
		"Retry-After of a century":   {status: 429, header: map[string]string{"Retry-After": "4000000000"}, want: auth.Passing, retryAfter: 24 * time.Hour},
		"Retry-After out of order":   {status: 429, header: map[string]string{"Retry-After": canary}, want: auth.Passing},
		"401 with HTML":              {status: 401, header: map[string]string{"Content-Type": "text/html"}, body: "<html>" + canary, want: auth.Passing},
		"200 with HTML":              {status: 200, header: map[string]string{"Content-Type": "text/html"}, body: "<html>" + canary, want: auth.Passing},
		"200 with a number as text":  {status: 200, body: `{"access_token":"x","expires_in":"` + canary + `"}`, want: auth.Passing},
		"200 without a token":        {status: 200, body: `{"token":"` + canary + `"}`, want: auth.Passing},
		"token of another type":      {status: 200, body: `{"access_token":"` + canary + `","token_type":"mac"}`, want: auth.Passing},
		"token with a line break":    {status: 200, body: `{"access_token":"` + canary + `\r\nHost: x"}`, want: auth.Passing},
		"token that has expired":     {status: 200, body: `{"access_token":"` + canary + `","expires_in":-5}`, want: auth.Passing},
		"redirect":                   {status: 307, header: map[string]string{"Location": "https://evil.test/" + canary}, want: auth.Passing},
		"broken form-encoded answer": {status: 200, header: map[string]string{"Content-Type": "text/plain"}, body: "%zz" + canary, want: auth.Passing},
		"a token":                    {status: 200, body: aToken, want: auth.New},
		"a token, form-encoded":      {status: 200, header: map[string]string{"Content-Type": "text/plain"}, body: "access_token=at-1&expires_in=600", want: auth.New},
		"a token without a type":     {status: 200, body: `{"access_token":"at-1"}`, want: auth.New},
		"a token of no known end":    {status: 200, body: `{"access_token":"at-1","expires_in":0}`, want: auth.New},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				requests := 0
				src := auth.NewSource("client_credentials", strategy(t, options(), roundTripper(func(w http.ResponseWriter, r *http.Request) {
					requests++
					for k, v := range c.header {
						w.Header().Set(k, v)
					}
					if c.header["Content-Type"] != "" {
						w.WriteHeader(c.status)
						_, _ = io.WriteString(w, c.body)
						return
					}
					writeJSON(w, c.status, c.body)
				})), auth.SourceOptions{})
				defer src.Close()
				o, err := src.Renew(t.Context(), 0, false)
				if o != c.want || requests != 1 {
					t.Fatalf("%v (%v) after %d requests", o, err, requests)
				}
				if o == auth.New {
					if got := sent(t, src); got != "Bearer at-1" {
						t.Error(got)
					}
					return
				}
				if msg := err.Error(); strings.Contains(msg, canary) || !strings.HasPrefix(msg, "token endpoint issuer.test: ") && name != "token that has expired" {
					t.Error(msg)
				}
				if r, ok := errors.AsType[*auth.RenewError](err); ok {
					want := auth.RenewError{Permanent: c.want == auth.Permanent, Code: c.code, Status: c.status, RetryAfter: c.retryAfter, Err: r.Err}
					if *r != want {
						t.Errorf("%+v, want %+v", *r, want)
					}
				} else if name != "token that has expired" {
					t.Errorf("%T", err)
				}
			})
		})
	}
}

func TestTokenEndpointErrorTexts(t *testing.T) {
	for want, answer := range map[string]http.HandlerFunc{
		"token endpoint issuer.test: answered 400 invalid_client":              func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, 400, `{"error":"invalid_client"}`) },
		"token endpoint issuer.test: answered 200: the answer is no token":     func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, 200, `<`) },
		"token endpoint issuer.test: answered 302: redirects are not followed": func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, 302, `<`) },
		"token endpoint issuer.test: answered 502":                             func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, 502, `<`) },
		"token endpoint issuer.test: answered 200: the token is of another type than Bearer": func(w http.ResponseWriter, _ *http.Request) {
			writeJSON(w, 200, `{"access_token":"x","token_type":"N_A"}`)
		},
	} {
		_, err := strategy(t, options(), roundTripper(answer)).Fetch(t.Context())
		if err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// endless is a body without an end that counts what is taken of it.
type endless struct{ taken int }

func (e *endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = ' '
	}
	e.taken += len(b)
	return len(b), nil
}

func (e *endless) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(e)}, nil
}

func TestTokenAnswerIsBounded(t *testing.T) {
	e := &endless{}
	if _, err := strategy(t, options(), e).Fetch(t.Context()); err == nil || e.taken > 64<<10 {
		t.Errorf("%d bytes were taken: %v", e.taken, err)
	}
}

// Over a real connection: what a hostile or broken server can do.
func TestTokenEndpointOverTheNetwork(t *testing.T) {
	const secret = "p@ss word/+"
	var elsewhere atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	var served atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/redirect":
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
		case "/endless":
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"access_token":"`)
			for chunk := strings.Repeat("x", 32<<10); ; {
				n, err := io.WriteString(w, chunk)
				served.Add(int64(n))
				if err != nil {
					return
				}
			}
		case "/head":
			w.Header().Set("X-Huge", strings.Repeat("x", 1<<20))
		case "/garbage":
			c, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				_, pass, _ := r.BasicAuth()
				_, _ = io.WriteString(c, "HTTP/1.1 "+pass+" "+secret+"\r\n"+secret+"\r\n\r\n")
				c.Close()
			}
		case "/hang":
			_, _ = io.Copy(io.Discard, r.Body) // only then does the server notice that the client left
			<-r.Context().Done()
		default:
			writeJSON(w, 200, aToken)
		}
	}))
	defer srv.Close()
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0) // it would tell of our bad handshake
	secure.StartTLS()
	defer secure.Close()
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	gone.Close()

	fetch := func(ctx context.Context, tokenURL string) error {
		o := options()
		o.TokenURL = tokenURL
		s, err := auth.NewClientCredentials(o, nil)
		must(t, err)
		_, err = s.Fetch(ctx)
		if err != nil && (strings.Contains(err.Error(), "ss word") || strings.Contains(err.Error(), "word%2F")) {
			t.Errorf("%s: %v", tokenURL, err)
		}
		if r, ok := errors.AsType[*auth.RenewError](err); err != nil && (!ok || r.Permanent) {
			t.Errorf("%s: %v is not a passing failure", tokenURL, err)
		}
		return err
	}
	must(t, fetch(t.Context(), srv.URL))
	for _, path := range []string{"/redirect", "/endless", "/head", "/garbage"} {
		if fetch(t.Context(), srv.URL+path) == nil {
			t.Errorf("%s: no error", path)
		}
	}
	if elsewhere.Load() != 0 {
		t.Error("the redirect was followed")
	}
	if n := served.Load(); n > 16<<20 { // socket buffers, not the answer
		t.Errorf("%d bytes were taken", n)
	}
	if err := fetch(t.Context(), "http://"+gone.Addr().String()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("refused: %v", err)
	}
	if err := fetch(t.Context(), secure.URL); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("certificate: %v", err)
	}
	if err := fetch(t.Context(), "https"+strings.TrimPrefix(srv.URL, "http")); err == nil || !strings.Contains(err.Error(), "TLS") {
		t.Errorf("no TLS: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := fetch(ctx, srv.URL+"/hang"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("hang: %v", err)
	}
}

func TestClientCredentialsSettings(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*auth.ClientCredentialsOptions)
		want   string // in the error; empty: fine
	}{
		"fine":             {func(*auth.ClientCredentialsOptions) {}, ""},
		"no URL":           {func(o *auth.ClientCredentialsOptions) { o.TokenURL = "" }, "tokenURL is empty"},
		"no absolute URL":  {func(o *auth.ClientCredentialsOptions) { o.TokenURL = "issuer.test/token" }, "tokenURL is no http"},
		"other scheme":     {func(o *auth.ClientCredentialsOptions) { o.TokenURL = "ftp://issuer.test" }, "tokenURL is no http"},
		"broken URL":       {func(o *auth.ClientCredentialsOptions) { o.TokenURL = "https://sesame:%zz" }, "tokenURL is no http"},
		"userinfo":         {func(o *auth.ClientCredentialsOptions) { o.TokenURL = "https://me:sesame@issuer.test" }, "credentials in it"},
		"http":             {func(o *auth.ClientCredentialsOptions) { o.TokenURL = "http://issuer.test" }, "allowInsecure"},
		"http, allowed":    {func(o *auth.ClientCredentialsOptions) { o.TokenURL, o.AllowInsecure = "http://issuer.test", true }, ""},
		"http to loopback": {func(o *auth.ClientCredentialsOptions) { o.TokenURL = "http://localhost:1/t" }, ""},
		"http to ::1":      {func(o *auth.ClientCredentialsOptions) { o.TokenURL = "http://[::1]:1/t" }, ""},
		"http to 127.x":    {func(o *auth.ClientCredentialsOptions) { o.TokenURL = "http://127.1.2.3/t" }, ""},
		"loopback in name": {func(o *auth.ClientCredentialsOptions) { o.TokenURL = "http://127.0.0.1.evil.test" }, "allowInsecure"},
		"no client":        {func(o *auth.ClientCredentialsOptions) { o.ClientID = "" }, "clientID is empty"},
		"no secret":        {func(o *auth.ClientCredentialsOptions) { o.ClientSecret = auth.Value{} }, "clientSecret is empty"},
		"other style":      {func(o *auth.ClientCredentialsOptions) { o.ClientAuth = "jwt" }, `"basic" or "post"`},
		"two scopes":       {func(o *auth.ClientCredentialsOptions) { o.Scopes = []string{"a b"} }, "one word"},
		"relative":         {func(o *auth.ClientCredentialsOptions) { o.Resource = "/mcp" }, "resource"},
		"fragment":         {func(o *auth.ClientCredentialsOptions) { o.Resource = "https://x/#y" }, "resource"},
	} {
		o := options()
		c.change(&o)
		_, err := auth.NewClientCredentials(o, nil)
		switch {
		case c.want == "" && err != nil, c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v", name, err)
		case err != nil && strings.Contains(err.Error(), "sesame"):
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := auth.NewClientCredentials(auth.ClientCredentialsOptions{}, nil)
	for _, want := range []string{"tokenURL", "clientID", "clientSecret"} { // all at once
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %s", err, want)
		}
	}
}
