package backendtest

import (
	"context"
	"crypto/rand"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"
)

// Issuer is an OAuth 2.0 token endpoint (RFC 6749) for the grants
// client_credentials and refresh_token. Make one with [NewIssuer] or
// [StartIssuer]. It also tells the servers that use it (see [WithBearer]) which
// tokens are good.
type Issuer struct {
	// TokenURL is the token endpoint.
	TokenURL string
	// ClientID and ClientSecret are the client that the issuer knows.
	ClientID, ClientSecret string

	cfg  *issuerConfig
	host *host

	mu       sync.Mutex
	ttl      time.Duration
	wrong    bool // tokens minted now are for somebody else
	tokens   []*token
	byValue  map[string]*token
	grants   map[string]*grant // by every refresh token they ever had
	log      []*TokenRequest   // the latest
	requests int
	reuses   int
	script   tokenScript
	changed  chan struct{}
}

// token is one access token.
type token struct {
	value   string
	expires time.Time
	revoked bool
	wrong   bool
	scopes  []string
	grant   *grant // nil for client_credentials
}

// grant is a user's consent; its refresh token rotates.
type grant struct {
	current string
	scopes  []string
	revoked bool
}

type issuerConfig struct {
	pipe         bool
	ttl          time.Duration
	clientID     string
	clientSecret string
	anyClient    bool
	keepRefresh  bool
	hideExpiry   bool
}

type issuerOption func(*issuerConfig)

func (o issuerOption) applyIssuer(c *issuerConfig) { o(c) }

// WithTTL sets how long access tokens live. Default an hour. See
// [Issuer.SetTTL].
func WithTTL(d time.Duration) IssuerOption { return issuerOption(func(c *issuerConfig) { c.ttl = d }) }

// WithClient sets the client that the issuer knows. Default: the id
// "backendtest" and a random secret, found in the Issuer's fields.
func WithClient(id, secret string) IssuerOption {
	return issuerOption(func(c *issuerConfig) { c.clientID, c.clientSecret = id, secret })
}

// WithAnyClient accepts every client, with or without a secret.
func WithAnyClient() IssuerOption { return issuerOption(func(c *issuerConfig) { c.anyClient = true }) }

// WithoutRotation lets refresh tokens be redeemed again and again.
func WithoutRotation() IssuerOption {
	return issuerOption(func(c *issuerConfig) { c.keepRefresh = true })
}

// WithoutExpiresIn leaves expires_in out of the answers; tokens expire all the
// same.
func WithoutExpiresIn() IssuerOption {
	return issuerOption(func(c *issuerConfig) { c.hideExpiry = true })
}

// NewIssuer starts an issuer that ends with the test.
func NewIssuer(t testing.TB, opts ...IssuerOption) *Issuer {
	t.Helper()
	i, err := StartIssuer(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.Close)
	return i
}

// StartIssuer starts an issuer that runs until Close.
func StartIssuer(opts ...IssuerOption) (*Issuer, error) {
	cfg := &issuerConfig{ttl: time.Hour, clientID: "backendtest", clientSecret: rand.Text()}
	for _, o := range opts {
		o.applyIssuer(cfg)
	}
	i := &Issuer{
		ClientID: cfg.clientID, ClientSecret: cfg.clientSecret, cfg: cfg, ttl: cfg.ttl,
		byValue: map[string]*token{}, grants: map[string]*grant{}, changed: make(chan struct{}),
	}
	i.script.healed = make(chan struct{})
	i.host = newHost(cfg.pipe, http.HandlerFunc(i.ServeHTTP))
	if err := i.host.up(); err != nil {
		return nil, err
	}
	i.TokenURL = "http://" + i.Addr() + "/token"
	return i, nil
}

// Addr is the host and port of TokenURL.
func (i *Issuer) Addr() string { return i.host.place.addr }

// Dial connects to the issuer; see [Server.Dial].
func (i *Issuer) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	return i.host.place.dial(ctx, network, addr)
}

// Client returns a new http.Client that reaches this issuer and no other.
func (i *Issuer) Client() *http.Client { return i.host.client() }

// Close ends the endpoint and waits for its goroutines. Tokens stay as they are.
func (i *Issuer) Close() { i.host.close(i.Heal) }

// Down closes the port and every connection.
func (i *Issuer) Down() { i.host.down() }

// Up listens again, under the same address.
func (i *Issuer) Up() error { return i.host.up() }

// Valid reports whether servers accept the token: minted here, for them, not
// expired and not revoked.
func (i *Issuer) Valid(value string) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	t := i.byValue[value]
	return t != nil && !t.revoked && !t.wrong && time.Now().Before(t.expires) && (t.grant == nil || !t.grant.revoked)
}

// Scopes are those granted to a token.
func (i *Issuer) Scopes(value string) []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	if t := i.byValue[value]; t != nil {
		return slices.Clone(t.scopes)
	}
	return nil
}

// Mints is how many access tokens were minted.
func (i *Issuer) Mints() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.tokens)
}

// Token is the n-th access token minted, from 1; empty when there is none.
func (i *Issuer) Token(n int) string {
	i.mu.Lock()
	defer i.mu.Unlock()
	if n < 1 || n > len(i.tokens) {
		return ""
	}
	return i.tokens[n-1].value
}

// Mint makes an access token without a request, with the scopes given.
func (i *Issuer) Mint(scopes ...string) string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.mint(nil, scopes).value
}

// Authorize makes a grant, as a user's sign-in does, and returns its refresh
// token.
func (i *Issuer) Authorize(scopes ...string) (refreshToken string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	g := &grant{scopes: scopes}
	i.rotate(g)
	return g.current
}

// Revoke revokes all access tokens minted so far. Refresh tokens stay good.
func (i *Issuer) Revoke() {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, t := range i.tokens {
		t.revoked = true
	}
}

// RevokeToken revokes one access token.
func (i *Issuer) RevokeToken(value string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if t := i.byValue[value]; t != nil {
		t.revoked = true
	}
}

// RevokeGrants revokes all grants: their refresh tokens and access tokens.
func (i *Issuer) RevokeGrants() {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, g := range i.grants {
		g.revoked = true
	}
}

// Reuses is how often a refresh token was redeemed after it had been replaced.
// Each revoked its grant.
func (i *Issuer) Reuses() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.reuses
}

// SetTTL changes how long tokens minted from now on live.
func (i *Issuer) SetTTL(d time.Duration) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.ttl = d
}

// WrongAudience makes the issuer mint, until it is called with false, tokens
// that every server refuses.
func (i *Issuer) WrongAudience(on bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.wrong = on
}

// mint makes a token. The lock is held.
func (i *Issuer) mint(g *grant, scopes []string) *token {
	t := &token{
		value: "at-" + rand.Text(), expires: time.Now().Add(i.ttl),
		wrong: i.wrong, scopes: scopes, grant: g,
	}
	i.tokens = append(i.tokens, t)
	i.byValue[t.value] = t
	return t
}

// rotate gives a grant its next refresh token. The lock is held.
func (i *Issuer) rotate(g *grant) {
	g.current = "rt-" + rand.Text()
	i.grants[g.current] = g
}
