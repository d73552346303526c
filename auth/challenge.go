package auth

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxChallengeBytes = 8 << 10 // of all header values together
	maxChallenges     = 16
	maxParams         = 32  // of one challenge
	maxParamName      = 64  // bytes, after cleaning
	maxParamValue     = 512 // bytes, after cleaning
)

// Challenge is one challenge of a WWW-Authenticate header. It comes from an
// untrusted server: every string is valid UTF-8 without control or other
// unprintable characters, at most 512 bytes long (names 64), and may be shown once
// Credential.Scrub has looked for echoes of the credential in it.
type Challenge struct {
	Scheme           string            `json:"scheme"`
	Realm            string            `json:"realm,omitempty"`
	Error            string            `json:"error,omitempty"`            // RFC 6750 section 3.1
	ErrorDescription string            `json:"errorDescription,omitempty"` // RFC 6750 section 3
	Scope            string            `json:"scope,omitempty"`            // RFC 6750 section 3
	ResourceMetadata string            `json:"resourceMetadata,omitempty"` // RFC 9728 section 5.1
	Params           map[string]string `json:"-"`                          // all of them, by name in lower case
}

// ParseChallenges reads the values of WWW-Authenticate headers (RFC 9110 section
// 11.6.1). It reads 8 KiB and 16 challenges at most, skips what it cannot read and
// never fails. Of a parameter that comes twice the first counts; a token68 is
// dropped, because it may hold a secret.
func ParseChallenges(values []string) []Challenge {
	var all []Challenge
	left := maxChallengeBytes
	for _, v := range values {
		if len(v) > left {
			v = v[:left]
		}
		left -= len(v)
		p := challengeParser{s: v}
		all = p.parse(all)
		if left == 0 || len(all) == maxChallenges {
			break
		}
	}
	return all
}

// Bearer picks the Bearer challenge that says most: the first one with an error
// code, else the first one.
func Bearer(all []Challenge) (Challenge, bool) {
	var found Challenge
	ok := false
	for _, c := range all {
		if !strings.EqualFold(c.Scheme, "Bearer") {
			continue
		}
		if c.Error != "" {
			return c, true
		}
		if !ok {
			found, ok = c, true
		}
	}
	return found, ok
}

type challengeParser struct {
	s string
	i int
}

// parse appends the challenges of one header value. Challenges and parameters are
// both separated by commas; only the "=" after a parameter's name tells them apart.
func (p *challengeParser) parse(all []Challenge) []Challenge {
	open := false // the last of all takes parameters
	for {
		p.skip(" \t,")
		if p.i == len(p.s) {
			return all
		}
		name := p.token()
		if name == "" {
			p.junk()
			continue
		}
		after := p.i
		p.skip(" \t")
		if p.peek() == '=' {
			p.i++
			p.skip(" \t")
			value, ok := p.value()
			if ok && open {
				all[len(all)-1].set(name, value)
			}
			if !ok {
				p.junk()
			}
			continue
		}
		if len(all) == maxChallenges {
			return all
		}
		all = append(all, Challenge{Scheme: clean(name, maxParamName)})
		open = true
		if p.i > after && p.token68() {
			open = false
		}
	}
}

func (c *Challenge) set(name, value string) {
	name = strings.ToLower(clean(name, maxParamName))
	if _, twice := c.Params[name]; twice || len(c.Params) == maxParams {
		return
	}
	if c.Params == nil {
		c.Params = make(map[string]string)
	}
	value = clean(value, maxParamValue)
	c.Params[name] = value
	switch name {
	case "realm":
		c.Realm = value
	case "error":
		c.Error = value
	case "error_description":
		c.ErrorDescription = value
	case "scope":
		c.Scope = value
	case "resource_metadata":
		c.ResourceMetadata = value
	}
}

func (p *challengeParser) peek() byte {
	if p.i < len(p.s) {
		return p.s[p.i]
	}
	return 0
}

func (p *challengeParser) skip(set string) {
	for p.i < len(p.s) && strings.IndexByte(set, p.s[p.i]) >= 0 {
		p.i++
	}
}

func (p *challengeParser) token() string {
	start := p.i
	for p.i < len(p.s) && isTokenChar(p.s[p.i]) {
		p.i++
	}
	return p.s[start:p.i]
}

// value is a token or a quoted string, whose end of the header may stand for its
// closing quote.
func (p *challengeParser) value() (string, bool) {
	if p.peek() != '"' {
		v := p.token()
		return v, v != ""
	}
	p.i++
	var b strings.Builder
	for p.i < len(p.s) {
		c := p.s[p.i]
		p.i++
		switch {
		case c == '"':
			return b.String(), true
		case c == '\\' && p.i < len(p.s):
			c = p.s[p.i]
			p.i++
		}
		b.WriteByte(c)
	}
	return b.String(), true
}

// token68 skips the single value of schemes such as Basic or Negotiate, when one
// stands here up to the next comma.
func (p *challengeParser) token68() bool {
	start := p.i
	for p.i < len(p.s) && (isTokenChar(p.s[p.i]) || p.s[p.i] == '/') {
		p.i++
	}
	body := p.i
	p.skip("=")
	p.skip(" \t")
	if body > start && (p.i == len(p.s) || p.s[p.i] == ',') {
		// "a=" cannot be a parameter: its value is missing.
		return true
	}
	p.i = start
	return false
}

// junk skips to the next comma outside quotes, past at least one byte.
func (p *challengeParser) junk() {
	quoted := false
	for p.i < len(p.s) {
		c := p.s[p.i]
		p.i++
		switch {
		case c == '"':
			quoted = !quoted
		case c == '\\' && quoted && p.i < len(p.s):
			p.i++
		case c == ',' && !quoted:
			return
		}
	}
}

// clean makes untrusted text fit to be shown: printable characters only, at most
// limit bytes, whole characters.
func clean(s string, limit int) string {
	var b strings.Builder
	for _, r := range s {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			continue
		}
		if b.Len()+utf8.RuneLen(r) > limit {
			break
		}
		b.WriteRune(r)
	}
	return b.String()
}
