package doctor

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"
)

// A token is read as far as it is a JWT, and one that is none is nothing to talk
// about.
func TestClaims(t *testing.T) {
	b64 := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	jwt := func(body string) string { return b64(`{"alg":"none"}`) + "." + b64(body) + ".c2ln" }
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for token, want := range map[string]string{
		jwt(`{"iss":"i","aud":"a","scope":"r w","exp":1767323105}`): "a JWT of i for a with the scopes r w, valid until 2026-01-02T03:05:05Z (for 1m0s)",
		jwt(`{"aud":["a","b"],"scp":["r"],"exp":1767315845}`):       "a JWT for a b with the scopes r, valid until 2026-01-02T01:04:05Z (2h0m ago)",
		jwt(`{}`):                            "a JWT",
		jwt(`{"aud":{"x":1},"exp":1e300}`):   "a JWT",
		jwt(`{"iss":"\u001b[31mred\nline"}`): "a JWT of [31mredline",
		jwt(`{"iss":1}`):                     "",
		jwt(`[]`):                            "",
		"opaque":                             "",
		"a.b.c":                              "",
		b64(`{}`) + "." + b64(`{}`) + ".x":   "", // no alg: no JWT
	} {
		got := ""
		if c := decode(token); c != nil {
			got = c.words(now)
		}
		if got != want {
			t.Errorf("%s: %q, want %q", token, got, want)
		}
	}
}

func TestMeantFor(t *testing.T) {
	for _, test := range []struct {
		audience, resource string
		want               bool
	}{
		{"", "https://b.example/mcp", true},
		{"https://b.example/mcp", "https://b.example/mcp", true},
		{"https://b.example/mcp/", "https://b.example/mcp", true},
		{"https://b.example", "https://b.example/mcp", true},
		{"b.example", "https://b.example/mcp", true},
		{"x https://b.example", "https://b.example/mcp", true},
		{"https://c.example", "https://b.example/mcp", false},
		{"https://b.example.evil", "https://b.example/mcp", false},
	} {
		c := claims{audience: strings.Fields(test.audience)}
		if got := c.meantFor(test.resource); got != test.want {
			t.Errorf("aud %q for %s: %t", test.audience, test.resource, got)
		}
	}
}
