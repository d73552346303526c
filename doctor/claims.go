package doctor

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/recloser-mcp/recloser/auth"
)

// maxToken bounds what is decoded.
const maxToken = 64 << 10

// claims are those of a JWT that say for whom it is and for how long. They are
// read without looking at the signature: whether it counts is for the backend to
// say. Nothing else of the token is kept.
type claims struct {
	issuer          string
	audience        []string
	scope           string
	expires, begins time.Time
}

// claimsOf finds a JWT in a credential; nil when it is none.
func claimsOf(c *auth.Credential) *claims {
	h := http.Header{}
	c.Apply(h)
	for _, values := range h {
		for _, v := range values {
			words := strings.Fields(v)
			if len(words) == 0 || len(v) > maxToken {
				continue
			}
			if found := decode(words[len(words)-1]); found != nil {
				return found
			}
		}
	}
	return nil
}

func decode(token string) *claims {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil
	}
	var head struct {
		Alg string `json:"alg"`
	}
	var body struct {
		Iss   string          `json:"iss"`
		Aud   json.RawMessage `json:"aud"`
		Scope json.RawMessage `json:"scope"`
		Scp   json.RawMessage `json:"scp"`
		Exp   float64         `json:"exp"`
		Nbf   float64         `json:"nbf"`
	}
	for i, into := range []any{&head, &body} {
		b, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[i], "="))
		if err != nil || json.Unmarshal(b, into) != nil {
			return nil
		}
	}
	if head.Alg == "" {
		return nil
	}
	scopes := texts(body.Scope)
	if len(scopes) == 0 {
		scopes = texts(body.Scp)
	}
	return &claims{body.Iss, texts(body.Aud), strings.Join(scopes, " "), seconds(body.Exp), seconds(body.Nbf)}
}

// texts reads a text or a list of them.
func texts(raw json.RawMessage) []string {
	var one string
	if json.Unmarshal(raw, &one) == nil && one != "" {
		return []string{one}
	}
	var many []string
	_ = json.Unmarshal(raw, &many) // what is neither is as good as missing
	return many
}

func seconds(n float64) time.Time {
	if n <= 0 || n > math.MaxInt32*100 {
		return time.Time{}
	}
	return time.Unix(int64(n), 0).UTC()
}

// words describe the token.
func (c *claims) words(now time.Time) string {
	out := "a JWT"
	if c.issuer != "" {
		out += " of " + clean(c.issuer)
	}
	if len(c.audience) > 0 {
		out += " for " + clean(strings.Join(c.audience, " "))
	}
	if c.scope != "" {
		out += " with the scopes " + clean(c.scope)
	}
	if !c.expires.IsZero() {
		out += fmt.Sprintf(", valid until %s (%s)", c.expires.Format(time.RFC3339), left(c.expires.Sub(now)))
	}
	return out
}

func left(d time.Duration) string {
	if d < 0 {
		return short(-d) + " ago"
	}
	return "for " + short(d)
}

// short is a duration to the second, and to the minute when it is long.
func short(d time.Duration) string {
	if d >= time.Hour {
		return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
	}
	return d.Round(time.Second).String()
}

// meantFor reports whether the token is for a resource: the one that the server
// names, or its address. A token that does not say is for everybody.
func (c *claims) meantFor(resources ...string) bool {
	if len(c.audience) == 0 {
		return true
	}
	for _, r := range resources {
		u, err := url.Parse(r)
		if err != nil || r == "" {
			continue
		}
		for _, name := range []string{r, u.Scheme + "://" + u.Host, u.Host} {
			if slices.ContainsFunc(c.audience, func(a string) bool { return strings.TrimSuffix(a, "/") == strings.TrimSuffix(name, "/") }) {
				return true
			}
		}
	}
	return false
}
