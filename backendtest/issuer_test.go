package backendtest_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/recloser-mcp/recloser/backendtest"
)

// eachIssuer runs a test against an issuer on a port and in memory.
func eachIssuer(t *testing.T, test func(t *testing.T, start func(...backendtest.IssuerOption) *backendtest.Issuer)) {
	t.Helper()
	t.Run("port", func(t *testing.T) {
		test(t, func(opts ...backendtest.IssuerOption) *backendtest.Issuer { return backendtest.NewIssuer(t, opts...) })
	})
	t.Run("memory", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			test(t, func(opts ...backendtest.IssuerOption) *backendtest.Issuer {
				return backendtest.NewIssuer(t, append(opts, backendtest.WithPipe())...)
			})
		})
	})
}

// tokenAnswer is what the token endpoint said.
type tokenAnswer struct {
	status    int
	header    http.Header
	body      string
	Access    string `json:"access_token"`
	Type      string `json:"token_type"`
	ExpiresIn *int64 `json:"expires_in"`
	Refresh   string `json:"refresh_token"`
	Scope     string `json:"scope"`
	Error     string `json:"error"`
}

func ask(t *testing.T, i *backendtest.Issuer, basic bool, form url.Values) (tokenAnswer, error) {
	t.Helper()
	if !basic && form.Get("client_id") == "" {
		form.Set("client_id", i.ClientID)
		form.Set("client_secret", i.ClientSecret)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, i.TokenURL, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if basic {
		req.SetBasicAuth(url.QueryEscape(i.ClientID), url.QueryEscape(i.ClientSecret))
	}
	res, err := i.Client().Do(req)
	if err != nil {
		return tokenAnswer{}, err
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	a := tokenAnswer{status: res.StatusCode, header: res.Header, body: string(b)}
	_ = json.Unmarshal(b, &a) // a page is no JSON
	return a, err
}

func credentials() url.Values { return url.Values{"grant_type": {"client_credentials"}} }

func mustMint(t *testing.T, i *backendtest.Issuer) tokenAnswer {
	t.Helper()
	a, err := ask(t, i, true, credentials())
	if err != nil || a.status != http.StatusOK || a.Access == "" {
		t.Fatalf("%+v %v", a, err)
	}
	return a
}

func TestClientCredentials(t *testing.T) {
	eachIssuer(t, func(t *testing.T, start func(...backendtest.IssuerOption) *backendtest.Issuer) {
		i := start(backendtest.WithTTL(90*time.Second), backendtest.WithClient("a b:c", "s%e:c"))
		form := credentials()
		form.Set("scope", "x y")
		form["resource"] = []string{"https://one", "https://two"}
		for _, basic := range []bool{true, false} {
			a, err := ask(t, i, basic, form)
			if err != nil || a.status != 200 || a.Type != "Bearer" || *a.ExpiresIn != 90 || a.Scope != "x y" || a.Refresh != "" {
				t.Fatalf("%+v %v", a, err)
			}
			if !i.Valid(a.Access) || a.header.Get("Cache-Control") != "no-store" {
				t.Error("the token is not good, or may be stored")
			}
		}
		reqs := i.TokenRequests()
		for n, method := range []string{"client_secret_basic", "client_secret_post"} {
			got := []any{reqs[n].GrantType, reqs[n].ClientID, reqs[n].AuthMethod, reqs[n].Scopes, reqs[n].Resources, reqs[n].Status}
			want := []any{
				"client_credentials", "a b:c", method, []string{"x", "y"}, []string{"https://one", "https://two"}, 200,
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Error(d)
			}
		}
		if i.Mints() != 2 || i.Requests() != 2 || i.Token(1) == i.Token(2) || i.Token(3) != "" {
			t.Error(i.Mints(), i.Requests())
		}
		if d := cmp.Diff([]string{"x", "y"}, i.Scopes(i.Token(1))); d != "" {
			t.Error(d)
		}
	})
}

func TestTokenEndpointRefuses(t *testing.T) {
	i := backendtest.NewIssuer(t)
	wrong := credentials()
	wrong.Set("client_id", i.ClientID)
	wrong.Set("client_secret", "wrong")
	for _, tt := range []struct {
		name   string
		form   url.Values
		status int
		code   string
	}{
		{"secret", wrong, 401, "invalid_client"},
		{"grant type", url.Values{"grant_type": {"password"}}, 400, "unsupported_grant_type"},
		{"refresh token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"x"}}, 400, "invalid_grant"},
	} {
		a, err := ask(t, i, false, tt.form)
		if err != nil || a.status != tt.status || a.Error != tt.code {
			t.Errorf("%s: %+v %v", tt.name, a, err)
		}
	}
	res, err := i.Client().Get(i.TokenURL)
	if err != nil || res.StatusCode != http.StatusMethodNotAllowed {
		t.Error(res, err)
	}
	_ = res.Body.Close()
	if i.Mints() != 0 || i.Requests() != 4 {
		t.Error(i.Mints(), i.Requests())
	}
	open := backendtest.NewIssuer(t, backendtest.WithAnyClient(), backendtest.WithoutExpiresIn())
	if a, err := ask(t, open, false, wrong); err != nil || a.status != 200 || a.ExpiresIn != nil {
		t.Errorf("%+v %v", a, err)
	}
}

func TestTokenEndpointReadsNoBrokenForm(t *testing.T) {
	i := backendtest.NewIssuer(t)
	res, err := i.Client().Post(i.TokenURL, "application/x-www-form-urlencoded", strings.NewReader("a=%zz"))
	if err != nil || res.StatusCode != http.StatusBadRequest {
		t.Error(res, err)
	}
	_ = res.Body.Close()
	if i.Requests() != 1 || i.Mints() != 0 {
		t.Error(i.Requests(), i.Mints())
	}
}

func TestRefreshTokensRotate(t *testing.T) {
	eachIssuer(t, func(t *testing.T, start func(...backendtest.IssuerOption) *backendtest.Issuer) {
		i := start()
		redeem := func(token string) tokenAnswer {
			t.Helper()
			a, err := ask(t, i, true, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}})
			if err != nil {
				t.Fatal(err)
			}
			return a
		}
		first := i.Authorize("x")
		other := redeem(i.Authorize("y"))
		a := redeem(first)
		b := redeem(a.Refresh)
		if a.status != 200 || b.status != 200 || a.Refresh == first || b.Refresh == a.Refresh || b.Scope != "x" {
			t.Fatalf("%+v %+v", a, b)
		}
		if stolen := redeem(first); stolen.status != 400 || stolen.Error != "invalid_grant" || i.Reuses() != 1 {
			t.Errorf("%+v, reuses %d", stolen, i.Reuses())
		}
		if late := redeem(b.Refresh); late.Error != "invalid_grant" || i.Reuses() != 1 {
			t.Errorf("the grant survived the reuse: %+v", late)
		}
		got := []bool{i.Valid(a.Access), i.Valid(b.Access), i.Valid(other.Access)}
		if d := cmp.Diff([]bool{false, false, true}, got); d != "" {
			t.Error(d)
		}
		i.RevokeGrants()
		if i.Valid(other.Access) || redeem(other.Refresh).Error != "invalid_grant" {
			t.Error("a revoked grant works")
		}
	})
}

func TestWithoutRotation(t *testing.T) {
	i := backendtest.NewIssuer(t, backendtest.WithoutRotation())
	token := i.Authorize()
	for range 2 {
		a, err := ask(t, i, true, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}})
		if err != nil || a.status != 200 || a.Refresh != token {
			t.Errorf("%+v %v", a, err)
		}
	}
	if i.Reuses() != 0 {
		t.Error(i.Reuses())
	}
}

func TestTokenFailures(t *testing.T) {
	retry := backendtest.Unavailable()
	retry.RetryAfter = 7 * time.Second
	for _, tt := range []struct {
		name    string
		failure backendtest.TokenFailure
		status  int
		code    string
		kind    string
		retry   string
	}{
		{"invalid_grant", backendtest.InvalidGrant(), 400, "invalid_grant", "application/json", ""},
		{"invalid_client", backendtest.InvalidClient(), 401, "invalid_client", "application/json", ""},
		{"oauth", backendtest.OAuthError(400, "unauthorized_client"), 400, "unauthorized_client", "application/json", ""},
		{"unavailable", retry, 503, "", "text/plain", "7"},
		{"page", backendtest.HTML(200), 200, "", "text/html", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eachIssuer(t, func(t *testing.T, start func(...backendtest.IssuerOption) *backendtest.Issuer) {
				i := start()
				i.Fail(tt.failure, 2)
				for range 2 {
					a, err := ask(t, i, true, credentials())
					got := []any{a.status, a.Error, a.header.Get("Content-Type"), a.header.Get("Retry-After"), a.Access}
					want := []any{tt.status, tt.code, tt.kind, tt.retry, ""}
					if d := cmp.Diff(want, got); d != "" || err != nil {
						t.Error(d, err)
					}
				}
				mustMint(t, i)
				i.Fail(tt.failure, backendtest.Forever)
				i.Heal()
				mustMint(t, i)
				if i.Mints() != 2 || i.Requests() != 4 {
					t.Error(i.Mints(), i.Requests())
				}
			})
		})
	}
}

func TestIssuerHangsUntilItIsHealed(t *testing.T) {
	eachIssuer(t, func(t *testing.T, start func(...backendtest.IssuerOption) *backendtest.Issuer) {
		i := start()
		i.Hang(1)
		answered := make(chan error, 1)
		go func() {
			a, err := ask(t, i, true, credentials())
			if a.Access == "" && err == nil {
				err = errors.New("no token")
			}
			answered <- err
		}()
		if err := i.WaitRequests(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		mustMint(t, i)
		select {
		case err := <-answered:
			t.Fatalf("answered while held: %v", err)
		default:
		}
		i.Heal()
		if err := <-answered; err != nil {
			t.Error(err)
		}
		if i.Mints() != 2 {
			t.Error(i.Mints())
		}
	})
}

func TestIssuerDownAndUp(t *testing.T) {
	eachIssuer(t, func(t *testing.T, start func(...backendtest.IssuerOption) *backendtest.Issuer) {
		i := start()
		i.Down()
		if _, err := ask(t, i, true, credentials()); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Error(err)
		}
		if err := i.Up(); err != nil {
			t.Fatal(err)
		}
		mustMint(t, i)
		if i.Requests() != 1 {
			t.Error(i.Requests())
		}
	})
}

func TestIssuerLatencyIsVirtual(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := backendtest.NewIssuer(t, backendtest.WithPipe())
		i.Latency(time.Hour)
		begin := time.Now()
		mustMint(t, i)
		if took := time.Since(begin); took != time.Hour {
			t.Error(took)
		}
		i.Latency(0)
		mustMint(t, i)
		if took := time.Since(begin); took != time.Hour {
			t.Error(took)
		}
	})
}

// The whole of it in virtual time: a token dies of age after ten seconds, and
// the next one is asked for in the same bubble.
func TestTokensExpireInVirtualTime(t *testing.T) {
	for _, f := range flavours {
		t.Run(f.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				issuer := backendtest.NewIssuer(t, backendtest.WithPipe(), backendtest.WithTTL(10*time.Second))
				srv := backendtest.NewServer(t, append(f.opts, backendtest.WithPipe(), backendtest.WithBearer(issuer))...)
				token := mustMint(t, issuer).Access
				c := withToken(srv.Client(), func() string { return token })
				status := func() int {
					res, _, err := callEcho(t, srv, c)
					if err != nil {
						t.Fatal(err)
					}
					return res.StatusCode
				}
				begin := time.Now()
				got := []int{status()}
				time.Sleep(10*time.Second - time.Nanosecond)
				got = append(got, status())
				time.Sleep(time.Nanosecond)
				got = append(got, status())
				token = mustMint(t, issuer).Access
				got = append(got, status())
				issuer.Revoke()
				got = append(got, status())
				if d := cmp.Diff([]int{200, 200, 401, 200, 401}, got); d != "" {
					t.Error(d)
				}
				if took := time.Since(begin); took != 10*time.Second {
					t.Errorf("something waited: %v", took)
				}
				counts := []int{srv.ByToken(1), srv.ByToken(2), srv.Refused(""), srv.Executions("echo"), issuer.Mints()}
				if d := cmp.Diff([]int{3, 2, 2, 3, 2}, counts); d != "" {
					t.Error(d)
				}
				issuer.SetTTL(time.Second)
				if a := mustMint(t, issuer); *a.ExpiresIn != 1 {
					t.Error(*a.ExpiresIn)
				}
			})
		})
	}
}

func TestIssuerCloseEndsWhatHangs(t *testing.T) {
	i, err := backendtest.StartIssuer()
	if err != nil {
		t.Fatal(err)
	}
	i.Hang(backendtest.Forever)
	failed := make(chan error, 1)
	go func() {
		_, err := ask(t, i, true, credentials())
		failed <- err
	}()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if err := i.WaitRequests(ctx, 1); err != nil {
		t.Fatal(err)
	}
	i.Close()
	if err := <-failed; err == nil {
		t.Error("a request survived the issuer")
	}
}
