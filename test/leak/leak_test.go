package leak_test

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/recloser-mcp/recloser/test/leak"
)

const token = "q7Zk+9/xW2=mB4vT~eL8s"

func TestFindSeesEveryDisguise(t *testing.T) {
	for name, text := range map[string]string{
		"plain":            "Authorization: Bearer " + token,
		"inside":           "x" + token + "y",
		"prefix":           "token " + token[:leak.PrefixLen] + "…",
		"hex":              hex.EncodeToString([]byte(token)),
		"upper-case hex":   strings.ToUpper(hex.EncodeToString([]byte(token))),
		"bytes in a dump":  fmt.Sprintf("%x", "Bearer "+token),
		"query":            "access_token=" + url.QueryEscape(token),
		"path":             "/" + url.PathEscape(token),
		"base64":           base64.StdEncoding.EncodeToString([]byte(token)),
		"raw url base64":   base64.RawURLEncoding.EncodeToString([]byte(token)),
		"basic, shift 1":   base64.StdEncoding.EncodeToString([]byte("me:x" + token)),
		"basic, shift 2":   base64.StdEncoding.EncodeToString([]byte("me:xy" + token)),
		"base64, followed": base64.StdEncoding.EncodeToString([]byte(token + "\n")),
	} {
		t.Run(name, func(t *testing.T) {
			hits := leak.Find([]byte("first line\n"+text+"\n"), token)
			if len(hits) == 0 {
				t.Fatalf("not found in %q", text)
			}
			if hits[0].Line != 2 {
				t.Errorf("found at line %d, want 2", hits[0].Line)
			}
			if s := fmt.Sprint(hits); strings.Contains(s, token[:4]) {
				t.Errorf("the report shows the token: %s", s)
			}
		})
	}
}

func TestFindSeesNothingInOrdinaryText(t *testing.T) {
	text := `time=2026-01-02T03:04:05Z level=WARN msg="breaker open" backend=weather status=401 token=[redacted]`
	if hits := leak.Find([]byte(text), token, "0123456789abcdef0123"); len(hits) != 0 {
		t.Errorf("found %v", hits)
	}
}

func TestFindNamesTheToken(t *testing.T) {
	hits := leak.Find([]byte("a 0123456789abcdef0123 b"), token, "0123456789abcdef0123")
	for _, h := range hits {
		if h.Token != 1 {
			t.Errorf("hit %+v is of token %d, want 1", h, h.Token)
		}
	}
	if len(hits) == 0 {
		t.Error("not found")
	}
}
