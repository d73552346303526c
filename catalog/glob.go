package catalog

import (
	"fmt"
	"path"
	"regexp"
	"strings"
)

// glob is a pattern as path.Match has it, in which a slash is a character like
// any other.
type glob struct {
	text    string
	pattern *regexp.Regexp // nil: the text is no glob
}

func newGlob(text string) glob {
	g := glob{text: text}
	if _, err := path.Match(text, ""); err == nil {
		g.pattern = regexp.MustCompile(`(?s)\A` + expression(text) + `\z`)
	}
	return g
}

func newGlobs(texts []string) []glob {
	list := make([]glob, len(texts))
	for i, text := range texts {
		list[i] = newGlob(text)
	}
	return list
}

// literal returns the one name that the glob stands for.
func (g glob) literal() (name string, ok bool) {
	if strings.ContainsAny(g.text, `*?[`) {
		return "", false
	}
	return strings.ReplaceAll(g.text, `\`, ""), !strings.Contains(g.text, `\\`)
}

// Literal returns the glob that stands for one name, whatever characters it has.
func Literal(name string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(name)
}

// expression translates a sound glob into a regular expression.
func expression(glob string) string {
	var b strings.Builder
	for rest := []rune(glob); len(rest) > 0; {
		c := rest[0]
		rest = rest[1:]
		switch c {
		case '*':
			b.WriteString(`.*`)
		case '?':
			b.WriteString(`.`)
		case '[':
			rest = class(&b, rest)
		case '\\':
			c, rest = rest[0], rest[1:]
			fallthrough
		default:
			b.WriteString(regexp.QuoteMeta(string(c)))
		}
	}
	return b.String()
}

// class translates what stands behind a [ and returns what follows the ]. A
// range that runs backwards holds nothing.
func class(b *strings.Builder, rest []rune) []rune {
	negated := rest[0] == '^'
	if negated {
		rest = rest[1:]
	}
	next := func() (c rune) {
		if rest[0] == '\\' {
			rest = rest[1:]
		}
		c, rest = rest[0], rest[1:]
		return c
	}
	ranges := ""
	for first := true; first || rest[0] != ']'; first = false {
		low := next()
		high := low
		if rest[0] == '-' {
			rest = rest[1:]
			high = next()
		}
		if low <= high {
			ranges += fmt.Sprintf(`\x{%x}-\x{%x}`, low, high)
		}
	}
	switch {
	case ranges == "" && negated:
		b.WriteString(`.`)
	case ranges == "":
		b.WriteString(`[^\x{0}-\x{10ffff}]`)
	case negated:
		b.WriteString(`[^` + ranges + `]`)
	default:
		b.WriteString(`[` + ranges + `]`)
	}
	return rest[1:]
}
