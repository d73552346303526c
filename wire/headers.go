package wire

import (
	"encoding/base64"
	"errors"
	"strings"
	"unicode/utf8"
)

// Header names of the streamable HTTP transport, in the canonical form of
// net/http.
const (
	HeaderSession     = "Mcp-Session-Id"       // up to 2025-11-25
	HeaderProtocol    = "Mcp-Protocol-Version" // since 2025-06-18
	HeaderMethod      = "Mcp-Method"           // since 2026-07-28
	HeaderName        = "Mcp-Name"             // since 2026-07-28
	HeaderParamPrefix = "Mcp-Param-"           // since 2026-07-28
	HeaderLastEventID = "Last-Event-Id"        // up to 2025-11-25
)

const (
	encodedPrefix = "=?base64?"
	encodedSuffix = "?="

	// maxSessionID leaves room for a signed token, which the specification
	// names as one way to make a session id.
	maxSessionID = 4096
)

// ErrHeaderValue is the error of a header value that is neither plain nor
// properly encoded.
var ErrHeaderValue = errors.New("header value is not in the form of the value encoding")

// EncodeHeaderValue returns s as the value of an Mcp-Name or Mcp-Param header:
// s itself when it can stand there, else its base64 form between =?base64? and
// ?= (streamable-http, "Value Encoding"). It allocates only to encode.
func EncodeHeaderValue(s string) string {
	if plainHeader(s) && !sentinel(s) {
		return s
	}
	return encodedPrefix + base64.StdEncoding.EncodeToString([]byte(s)) + encodedSuffix
}

// DecodeHeaderValue is the inverse of [EncodeHeaderValue]. Its error is
// ErrHeaderValue: characters that no header may hold, broken base64, or base64
// of something that is not UTF-8.
func DecodeHeaderValue(v string) (string, error) {
	if !plainHeader(v) {
		return "", ErrHeaderValue
	}
	if !sentinel(v) {
		return v, nil
	}
	// "=?base64?=" carries both markers only by letting them overlap.
	if len(v) < len(encodedPrefix)+len(encodedSuffix) {
		return "", ErrHeaderValue
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(v[len(encodedPrefix) : len(v)-len(encodedSuffix)])
	if err != nil || !utf8.Valid(raw) {
		return "", ErrHeaderValue
	}
	return string(raw), nil
}

func sentinel(s string) bool {
	return strings.HasPrefix(s, encodedPrefix) && strings.HasSuffix(s, encodedSuffix)
}

// plainHeader reports whether s is a field value of visible ASCII, spaces and
// tabs that no hop may trim.
func plainHeader(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < ' ' && c != '\t') || c > '~' {
			return false
		}
	}
	return s == "" || (!blank(s[0]) && !blank(s[len(s)-1]))
}

func blank(c byte) bool { return c == ' ' || c == '\t' }

// validToken reports whether s is a token of RFC 9110, section 5.6.2, as field
// names are.
func validToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		alnum := c-'0' < 10 || c-'a' < 26 || c-'A' < 26
		if !alnum && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}

// ValidSessionID reports whether s can be a session id: 1 to 4096 visible ASCII
// characters (basic/transports, "Session Management", 2025-11-25; the bound is
// ours).
func ValidSessionID(s string) bool {
	if s == "" || len(s) > maxSessionID {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
