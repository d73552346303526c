package auth

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
)

// Header is one header that a credential sets.
type Header struct {
	Name  string
	Value Secret
}

// Material is what a [Strategy] obtained: the raw matter of a [Credential].
type Material struct {
	Headers []Header
	// Lifetime counts from now on; zero means that the credential does not
	// expire by itself.
	Lifetime time.Duration
	// Renewable says that another Fetch may mint a new credential. False marks
	// a given value (a file, a configured token): fetching only reads it again,
	// and a change of it is a rotation.
	Renewable bool
}

// Credential is one generation of a credential. It is immutable and safe for
// concurrent use.
type Credential struct {
	generation uint64
	rotation   uint64
	issued     time.Time
	expires    time.Time
	renewable  bool
	names      []string
	fields     func() []field // behind a func for the reason given at Secret
	before     func() []field // of the credential that this one replaced; nil: none
}

// field is a header as http.Header holds it, so that Apply allocates nothing.
type field struct {
	name  string
	value []string
}

// Generation numbers the credentials of a source from 1 on. It grows only when
// the bytes change.
func (c *Credential) Generation() uint64 { return c.generation }

// Rotation grows when the credential was changed from outside: a file, a
// configuration, a sign-in. A renewal leaves it as it is.
func (c *Credential) Rotation() uint64 { return c.rotation }

// Issued is when the credential was obtained, or last confirmed by its issuer.
func (c *Credential) Issued() time.Time { return c.issued }

// Expires is when the credential ends; zero means never. It keeps its monotonic
// reading, so a jump of the wall clock neither expires nor prolongs it.
func (c *Credential) Expires() time.Time { return c.expires }

// Renewable says whether the issuer may mint a successor.
func (c *Credential) Renewable() bool { return c.renewable }

// Apply sets the credential's headers in h, replacing what is there. The value
// slices are shared: replace them if need be, never write into them.
func (c *Credential) Apply(h http.Header) {
	for _, f := range c.fields() {
		h[f.name] = f.value
	}
}

// HeaderNames lists the headers that Apply sets, in canonical form.
func (c *Credential) HeaderNames() []string { return slices.Clone(c.names) }

// String names the generation only.
func (c *Credential) String() string { return fmt.Sprintf("credential generation %d", c.generation) }

// Scrub returns text unless it holds a piece of the credential, or of the one that
// it replaced and that may be valid still (as it is, in base64, hex or URL form, or
// its first 8 characters): then "[redacted]". Servers repeat what they were sent;
// use it on any text of theirs before it is shown.
func (c *Credential) Scrub(text string) string {
	if holds(text, c.fields()) || c.before != nil && holds(text, c.before()) {
		return redacted
	}
	return text
}

func holds(text string, fields []field) bool {
	for _, f := range fields {
		for _, word := range append(strings.Fields(f.value[0]), f.value[0]) {
			if echoes(text, word) {
				return true
			}
		}
	}
	return false
}

// Scrub does for any secrets what [Credential.Scrub] does for a credential.
// Those shorter than 8 characters are not looked for.
func Scrub(text string, secrets ...string) string {
	for _, s := range secrets {
		if echoes(text, s) {
			return redacted
		}
	}
	return text
}

// SecretName reports whether a header, a variable or a parameter of that name
// holds a credential.
func SecretName(name string) bool {
	name = strings.ToLower(name)
	for _, part := range []string{"token", "secret", "key", "password", "passwd", "credential", "cookie", "authorization", "signature"} {
		if strings.Contains(name, part) {
			return true
		}
	}
	for _, word := range strings.FieldsFunc(name, func(r rune) bool { return !unicode.IsLetter(r) }) {
		switch word {
		case "auth", "sig", "jwt", "pat", "pwd":
			return true
		}
	}
	return false
}

// minEcho is the length below which a word is too common to be searched for:
// schemes, "token", short numbers.
const minEcho = 8

func echoes(text, secret string) bool {
	if len(secret) < minEcho {
		return false
	}
	// A prefix stands for the whole. Base64 of a prefix of a multiple of three
	// bytes is a prefix of the base64 of the whole.
	pre := secret[:minEcho]
	lower := strings.ToLower(text)
	return strings.Contains(text, pre) ||
		strings.Contains(text, base64.StdEncoding.EncodeToString([]byte(secret[:6]))) ||
		strings.Contains(text, base64.URLEncoding.EncodeToString([]byte(secret[:6]))) ||
		strings.Contains(lower, hex.EncodeToString([]byte(pre))) ||
		strings.Contains(lower, strings.ToLower(url.QueryEscape(pre)))
}

// newCredential checks the material and makes an unnumbered credential of it.
// Errors name headers, never values.
func newCredential(m Material, now time.Time) (*Credential, error) {
	if m.Lifetime < 0 {
		return nil, errors.New("the credential had expired when it arrived")
	}
	c := &Credential{issued: now, renewable: m.Renewable}
	if m.Lifetime > 0 {
		c.expires = now.Add(m.Lifetime)
	}
	fields := make([]field, 0, len(m.Headers))
	for _, h := range m.Headers {
		if err := checkHeaderName(h.Name); err != nil {
			return nil, err
		}
		name := textproto.CanonicalMIMEHeaderKey(h.Name)
		if slices.Contains(c.names, name) {
			return nil, fmt.Errorf("header %s is set twice", name)
		}
		if err := checkHeaderValue(h.Value); err != nil {
			return nil, fmt.Errorf("header %s: %w", name, err)
		}
		c.names = append(c.names, name)
		fields = append(fields, field{name, []string{h.Value.Reveal()}})
	}
	c.fields = func() []field { return fields }
	return c, nil
}

// same reports whether both credentials put the same bytes on the wire.
func (c *Credential) same(o *Credential) bool {
	if c.renewable != o.renewable || !slices.Equal(c.names, o.names) {
		return false
	}
	return slices.EqualFunc(c.fields(), o.fields(), func(a, b field) bool { return a.value[0] == b.value[0] })
}

// reserved headers belong to the connection (RFC 9110 section 7.6.1), to the
// message, or to MCP; a credential in one of them would break the request.
var reserved = map[string]bool{
	"Connection": true, "Keep-Alive": true, "Proxy-Authenticate": true, "Proxy-Authorization": true,
	"Proxy-Connection": true, "Te": true, "Trailer": true, "Transfer-Encoding": true, "Upgrade": true,
	"Host": true, "Content-Length": true, "Content-Type": true, "Content-Encoding": true, "Expect": true,
	"Accept": true, "Accept-Encoding": true, "Last-Event-Id": true,
	"Mcp-Session-Id": true, "Mcp-Protocol-Version": true, "Mcp-Method": true, "Mcp-Name": true,
}

func checkHeaderName(name string) error {
	if name == "" {
		return errors.New("a header name is empty")
	}
	for i := range len(name) {
		if !isTokenChar(name[i]) {
			return fmt.Errorf("header name %q: characters that a header name cannot have", clean(name, 64))
		}
	}
	canonical := textproto.CanonicalMIMEHeaderKey(name)
	if reserved[canonical] || strings.HasPrefix(canonical, "Mcp-Param-") {
		return fmt.Errorf("header %s belongs to the connection or the protocol: a credential cannot set it", canonical)
	}
	return nil
}

func checkHeaderValue(s Secret) error {
	v := s.Reveal()
	if v == "" {
		return errors.New("the value is empty")
	}
	for i := range len(v) {
		if v[i] < ' ' && v[i] != '\t' || v[i] == 0x7f {
			return errors.New("the value has a line break or another control character")
		}
	}
	if v != strings.Trim(v, " \t") {
		return errors.New("the value starts or ends with white space")
	}
	return nil
}

// isTokenChar is tchar of RFC 9110 section 5.6.2.
func isTokenChar(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	return strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}
