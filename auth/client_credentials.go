package auth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// ClientCredentialsOptions are the settings of the strategy "client_credentials".
type ClientCredentialsOptions struct {
	// TokenURL is the token endpoint. Required; http only on loopback.
	TokenURL string `yaml:"tokenURL" json:"tokenURL"`
	// ClientID and ClientSecret are the client's. Required; a file that holds the
	// secret is watched, and a change of it fetches a new token at once.
	ClientID     string `yaml:"clientID" json:"clientID"`
	ClientSecret Value  `yaml:"clientSecret" json:"clientSecret"`
	// Scopes are asked for; none leaves the choice to the issuer.
	Scopes []string `yaml:"scopes,omitempty" json:"scopes,omitempty"`
	// Resource is the server that the token is meant for (RFC 8707). Optional.
	Resource string `yaml:"resource,omitempty" json:"resource,omitempty"`
	// ClientAuth says how the client authenticates (RFC 6749 section 2.3.1):
	// "basic" (default) in a header, "post" in the form.
	ClientAuth string `yaml:"clientAuth,omitempty" json:"clientAuth,omitempty"`
	// AllowInsecure lets TokenURL be http on a host that is not loopback.
	AllowInsecure bool `yaml:"allowInsecure,omitempty" json:"allowInsecure,omitempty"`
}

// NewClientCredentials makes the strategy "client_credentials" (RFC 6749 section
// 4.4). Its errors name every wrong setting at once. client reaches the token
// endpoint; nil is the default of [Spec].
func NewClientCredentials(o ClientCredentialsOptions, client *http.Client) (Strategy, error) {
	var errs []error
	endpoint, err := checkTokenURL(o.TokenURL, o.AllowInsecure)
	if err != nil {
		errs = append(errs, err)
	}
	if o.ClientID == "" {
		errs = append(errs, errors.New("clientID is empty"))
	}
	if o.ClientSecret.IsZero() {
		errs = append(errs, errors.New("clientSecret is empty"))
	}
	for _, s := range o.Scopes {
		if s == "" || strings.ContainsAny(s, " \t\r\n\"\\") {
			errs = append(errs, fmt.Errorf("scope %q: a scope is one word", clean(s, 64)))
		}
	}
	c := &clientCredentials{endpoint: endpoint, client: tokenClient(client)}
	c.config = clientcredentials.Config{ClientID: o.ClientID, TokenURL: o.TokenURL, Scopes: o.Scopes}
	switch o.ClientAuth {
	case "", "basic":
		c.config.AuthStyle = oauth2.AuthStyleInHeader
	case "post":
		c.config.AuthStyle = oauth2.AuthStyleInParams
	default:
		errs = append(errs, fmt.Errorf(`clientAuth is %q: use "basic" or "post"`, clean(o.ClientAuth, 64)))
	}
	if o.Resource != "" {
		if u, err := url.Parse(o.Resource); err != nil || !u.IsAbs() || u.Fragment != "" {
			errs = append(errs, errors.New("resource is no absolute URI without a fragment"))
		}
		c.config.EndpointParams = url.Values{"resource": {o.Resource}}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	c.values = []Value{o.ClientSecret}
	return c, nil
}

// checkTokenURL returns the host for messages. Its errors do not repeat the URL,
// which may hold a password.
func checkTokenURL(raw string, allowInsecure bool) (string, error) {
	u, err := url.Parse(raw)
	switch {
	case raw == "":
		return "", errors.New("tokenURL is empty")
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return "", errors.New("tokenURL is no http or https URL")
	case u.User != nil:
		return "", errors.New("tokenURL has credentials in it: use clientID and clientSecret")
	case u.Fragment != "":
		return "", errors.New("tokenURL has a fragment")
	case u.Scheme == "http" && !allowInsecure && !loopback(u.Hostname()):
		return "", fmt.Errorf("tokenURL sends the client secret over http to %s: use https, or set allowInsecure", u.Host)
	}
	return u.Host, nil
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

type clientCredentials struct {
	watchedValues
	endpoint string // host of the token endpoint
	config   clientcredentials.Config
	client   *http.Client
}

// Fetch asks for a token. The library below keeps none: Token of a fresh
// configuration always goes to the issuer.
func (c *clientCredentials) Fetch(ctx context.Context) (Material, error) {
	secrets, err := c.resolve()
	if err != nil {
		return Material{}, fmt.Errorf("clientSecret: %w", err)
	}
	if secrets[0].IsZero() {
		return Material{}, errors.New("clientSecret: it is empty")
	}
	config := clientcredentials.Config{
		ClientID: c.config.ClientID, ClientSecret: secrets[0].Reveal(), TokenURL: c.config.TokenURL,
		Scopes: c.config.Scopes, EndpointParams: c.config.EndpointParams, AuthStyle: c.config.AuthStyle,
	}
	var answer exchange
	token, err := config.Token(context.WithValue(ctx, oauth2.HTTPClient, answer.through(c.client)))
	if err != nil {
		return Material{}, fmt.Errorf("token endpoint %s: %w", c.endpoint, answer.failure(ctx, err))
	}
	m, err := tokenMaterial(token)
	if err != nil {
		return Material{}, fmt.Errorf("token endpoint %s: %w", c.endpoint, &RenewError{Status: answer.status, Err: err})
	}
	return m, nil
}

// tokenMaterial turns a token answer (RFC 6749 section 5.1) into a bearer header.
func tokenMaterial(t *oauth2.Token) (Material, error) {
	if !strings.EqualFold(t.Type(), "Bearer") {
		return Material{}, errors.New("the token is of another type than Bearer")
	}
	access := NewSecret(t.AccessToken)
	if err := checkToken(access); err != nil {
		return Material{}, fmt.Errorf("access token: %w", err)
	}
	m := Material{Headers: []Header{bearerHeader(access)}, Renewable: true}
	if !t.Expiry.IsZero() {
		// Whole seconds came over the wire; some microseconds have passed since.
		// Zero would mean for ever.
		left := time.Until(t.Expiry)
		m.Lifetime = cmp.Or(left.Round(time.Second), left, -1)
	}
	return m, nil
}
