package backendtest

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// TokenRequest is one request to the token endpoint and what became of it.
type TokenRequest struct {
	At         time.Time
	GrantType  string
	ClientID   string
	AuthMethod string // "client_secret_basic", "client_secret_post" or "none"
	Scopes     []string
	Resources  []string // RFC 8707
	Header     http.Header
	Form       url.Values // with all its secrets: this is a test server
	Status     int        // 0 while it runs
}

// maxForm bounds a request to the token endpoint.
const maxForm = 1 << 20

// Requests is how many requests the token endpoint got, failed ones included.
func (i *Issuer) Requests() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.requests
}

// TokenRequests are the latest requests to the token endpoint, oldest first; at
// most 10,000 are kept.
func (i *Issuer) TokenRequests() []TokenRequest {
	i.mu.Lock()
	defer i.mu.Unlock()
	all := make([]TokenRequest, len(i.log))
	for n, q := range i.log {
		all[n] = *q
	}
	return all
}

// WaitRequests blocks until n requests have arrived or ctx ends.
func (i *Issuer) WaitRequests(ctx context.Context, n int) error {
	for {
		i.mu.Lock()
		got, changed := i.requests, i.changed
		i.mu.Unlock()
		if got >= n {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// ServeHTTP is the token endpoint; every path of the issuer is one.
func (i *Issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	broken := r.ParseForm()
	q := readTokenRequest(r)
	i.note(q)
	rec := &recorder{ResponseWriter: w}
	defer func() {
		i.mu.Lock()
		defer i.mu.Unlock()
		q.Status = rec.status
	}()
	switch {
	case i.misbehave(rec, r):
	case r.Method != http.MethodPost:
		writeOAuthError(rec, http.StatusMethodNotAllowed, "invalid_request", "the token endpoint takes POST")
	case broken != nil:
		writeOAuthError(rec, http.StatusBadRequest, "invalid_request", "the form cannot be read")
	default:
		i.grantToken(rec, r, q)
	}
}

func (i *Issuer) note(q *TokenRequest) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.log) == maxExchanges {
		i.log = slices.Delete(i.log, 0, maxExchanges/10)
	}
	i.log = append(i.log, q)
	i.requests++
	close(i.changed)
	i.changed = make(chan struct{})
}

func readTokenRequest(r *http.Request) *TokenRequest {
	q := &TokenRequest{
		At: time.Now(), GrantType: r.PostForm.Get("grant_type"), ClientID: r.PostForm.Get("client_id"),
		AuthMethod: "none", Scopes: strings.Fields(r.PostForm.Get("scope")),
		Resources: r.PostForm["resource"], Header: r.Header.Clone(), Form: r.PostForm,
	}
	switch id, _, ok := r.BasicAuth(); {
	case ok:
		q.AuthMethod = "client_secret_basic"
		q.ClientID = formDecoded(id)
	case r.PostForm.Has("client_secret"):
		q.AuthMethod = "client_secret_post"
	}
	return q
}

// formDecoded undoes the encoding that RFC 6749 section 2.3.1 asks of basic
// credentials; clients that leave it out send what decodes to itself mostly.
func formDecoded(s string) string {
	if plain, err := url.QueryUnescape(s); err == nil {
		return plain
	}
	return s
}

func (i *Issuer) knows(r *http.Request, q *TokenRequest) bool {
	if i.cfg.anyClient {
		return true
	}
	secret := r.PostForm.Get("client_secret")
	if _, pass, ok := r.BasicAuth(); ok {
		secret = formDecoded(pass)
	}
	return q.ClientID == i.cfg.clientID && subtle.ConstantTimeCompare([]byte(secret), []byte(i.cfg.clientSecret)) == 1
}

func (i *Issuer) grantToken(w http.ResponseWriter, r *http.Request, q *TokenRequest) {
	if !i.knows(r, q) {
		if q.AuthMethod == "client_secret_basic" {
			w.Header().Set("WWW-Authenticate", `Basic realm="backendtest"`)
		}
		writeOAuthError(w, http.StatusUnauthorized, "invalid_client", "unknown client or wrong secret")
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	switch q.GrantType {
	case "client_credentials":
		i.respond(w, i.mint(nil, q.Scopes), "")
	case "refresh_token":
		i.refresh(w, r.PostForm.Get("refresh_token"), q.Scopes)
	default:
		writeOAuthError(w, http.StatusBadRequest, "unsupported_grant_type", "client_credentials or refresh_token")
	}
}

// refresh redeems a refresh token. One that was replaced before is stolen, or
// redeemed twice: the whole grant is revoked (RFC 9700 section 4.14.2). The
// lock is held.
func (i *Issuer) refresh(w http.ResponseWriter, value string, scopes []string) {
	g := i.grants[value]
	switch {
	case g != nil && !g.revoked && g.current != value:
		i.reuses++
		g.revoked = true
		fallthrough
	case g == nil || g.revoked:
		writeOAuthError(w, http.StatusBadRequest, "invalid_grant", "the refresh token is not valid")
		return
	}
	if len(scopes) == 0 {
		scopes = g.scopes
	}
	t := i.mint(g, scopes)
	if !i.cfg.keepRefresh {
		i.rotate(g)
	}
	i.respond(w, t, g.current)
}

// respond is the answer of RFC 6749 section 5.1. The lock is held.
func (i *Issuer) respond(w http.ResponseWriter, t *token, refresh string) {
	body := struct {
		AccessToken  string `json:"access_token"`
		TokenType    string `json:"token_type"`
		ExpiresIn    *int64 `json:"expires_in,omitempty"`
		RefreshToken string `json:"refresh_token,omitempty"`
		Scope        string `json:"scope,omitempty"`
	}{AccessToken: t.value, TokenType: "Bearer", RefreshToken: refresh, Scope: strings.Join(t.scopes, " ")}
	if !i.cfg.hideExpiry {
		seconds := int64(i.ttl / time.Second)
		body.ExpiresIn = &seconds
	}
	writeTokenJSON(w, http.StatusOK, body)
}

func writeOAuthError(w http.ResponseWriter, status int, code, text string) {
	writeTokenJSON(w, status, map[string]string{"error": code, "error_description": text})
}

func writeTokenJSON(w http.ResponseWriter, status int, body any) {
	b, err := json.Marshal(body)
	if err != nil {
		panic("backendtest: " + err.Error())
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(b)
}
