package auth

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/oauth2"
)

const (
	maxTokenBody   = 64 << 10
	maxTokenHead   = 64 << 10
	maxRetryAfter  = 24 * time.Hour // more is not believed
	tokenUserAgent = "recloser"
)

// oauthCodes are the error codes that may be shown and what they mean: RFC 6749
// sections 4.1.2.1 and 5.2, RFC 8628 section 3.5, RFC 8707 section 2. Any other
// word in an answer is the server's invention, or an echo of what we sent.
var oauthCodes = map[string]bool{ // value: permanent
	"invalid_grant":             true,
	"invalid_client":            true,
	"unauthorized_client":       true,
	"invalid_request":           false,
	"invalid_scope":             false,
	"invalid_target":            false,
	"unsupported_grant_type":    false,
	"access_denied":             false,
	"server_error":              false,
	"temporarily_unavailable":   false,
	"slow_down":                 false,
	"unsupported_response_type": false,
}

// tokenClient derives the client for token endpoints. It follows no redirect: the
// client's secret is for the configured endpoint alone.
func tokenClient(base *http.Client) *http.Client {
	c := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	if base != nil {
		c.Transport, c.Timeout = base.Transport, base.Timeout
	}
	if c.Transport == nil {
		t := &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true}
		if d, ok := http.DefaultTransport.(*http.Transport); ok {
			t = d.Clone()
		}
		t.MaxResponseHeaderBytes = maxTokenHead
		c.Transport = t
	}
	return c
}

// exchange is one request to a token endpoint, and what may be told of its answer.
type exchange struct {
	status     int
	retryAfter time.Duration
}

// through returns a client that notes the answer in e and bounds its body.
func (e *exchange) through(c *http.Client) *http.Client {
	d := *c
	d.Transport = exchangeTripper{e, c.Transport}
	return &d
}

type exchangeTripper struct {
	e    *exchange
	base http.RoundTripper
}

func (t exchangeTripper) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", tokenUserAgent)
	r.Close = true // one request in minutes: an idle connection would be two goroutines
	resp, err := t.base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	t.e.status = resp.StatusCode
	t.e.retryAfter = retryAfter(resp.Header.Get("Retry-After"), time.Now())
	resp.Body = &struct {
		io.Reader
		io.Closer
	}{io.LimitReader(resp.Body, maxTokenBody), resp.Body}
	return resp, nil
}

// failure makes the error of a fetch, of the status, the code and the kind of the
// cause. Texts are left behind: the body, the status line and even a decoder's
// message may hold what we sent, or a token.
func (e *exchange) failure(ctx context.Context, err error) *RenewError {
	r := &RenewError{Status: e.status, RetryAfter: e.retryAfter}
	if refused, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		permanent, known := oauthCodes[refused.ErrorCode]
		if known {
			r.Code = refused.ErrorCode
		}
		overloaded := e.status >= 500 || e.status == http.StatusTooManyRequests || e.status == http.StatusRequestTimeout
		r.Permanent = permanent && !overloaded
		if 300 <= e.status && e.status < 400 {
			r.Err = errors.New("redirects are not followed")
		}
		return r
	}
	switch {
	case ctx.Err() != nil:
		r.Err = ctx.Err()
	case e.status != 0:
		r.Err = errors.New("the answer is no token")
	default:
		r.Err = network(err)
	}
	return r
}

// network reduces an error of a connection to what is ours: its kind, never bytes
// that the other side sent.
func network(err error) error {
	if e, ok := errors.AsType[*net.DNSError](err); ok {
		return e
	}
	if e, ok := errors.AsType[syscall.Errno](err); ok {
		return e
	}
	_, certificate := errors.AsType[*tls.CertificateVerificationError](err)
	_, record := errors.AsType[tls.RecordHeaderError](err)
	_, alert := errors.AsType[tls.AlertError](err)
	switch {
	case certificate:
		return errors.New("its certificate cannot be verified")
	case record, alert, errors.Is(err, http.ErrSchemeMismatch):
		return errors.New("no TLS connection")
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		return context.DeadlineExceeded
	}
	if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
		return context.DeadlineExceeded
	}
	return errors.New("no answer")
}

// retryAfter reads a Retry-After header (RFC 9110 section 10.2.3), 0 when there is
// none to be believed.
func retryAfter(v string, now time.Time) time.Duration {
	v = strings.TrimSpace(v)
	var d time.Duration
	if n, err := strconv.ParseUint(v, 10, 32); err == nil {
		d = time.Duration(n) * time.Second
	} else if t, err := http.ParseTime(v); err == nil {
		d = t.Sub(now)
	}
	return min(max(d, 0), maxRetryAfter)
}
