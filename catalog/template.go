package catalog

import (
	"regexp"
	"strings"
)

// matcher tells which URIs a URI template (RFC 6570) may have made. It errs on
// the side of yes: the backend has the last word about its own URIs.
type matcher struct {
	pattern *regexp.Regexp
	literal int // characters of the template that are no expression
}

// maxTemplate bounds the templates that are matched; longer ones are listed and
// never match.
const maxTemplate = 4096

// newMatcher reads a template. ok is false when its braces do not pair up.
func newMatcher(template string) (m matcher, ok bool) {
	if len(template) > maxTemplate {
		return matcher{}, false
	}
	var b strings.Builder
	b.WriteString(`(?s)\A`)
	for rest := template; ; {
		text, expression, found := strings.Cut(rest, "{")
		if strings.Contains(text, "}") {
			return matcher{}, false
		}
		b.WriteString(regexp.QuoteMeta(text))
		m.literal += len(text)
		if !found {
			break
		}
		expression, rest, found = strings.Cut(expression, "}")
		if !found || expression == "" || strings.Contains(expression, "{") {
			return matcher{}, false
		}
		b.WriteString(expanded(expression))
	}
	b.WriteString(`\z`)
	var err error
	m.pattern, err = regexp.Compile(b.String())
	return m, err == nil
}

// expanded returns the pattern of what an expression expands to. Plain variables
// cannot expand to reserved characters (section 3.2.2); with an operator almost
// anything can come out.
func expanded(expression string) string {
	switch expression[0] {
	case '+', '#', '.', '/', ';', '?', '&':
		return `.*`
	}
	return `[^/?#]*`
}

func (m matcher) match(uri string) bool { return m.pattern != nil && m.pattern.MatchString(uri) }
