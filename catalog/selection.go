package catalog

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// selector is the rules for one kind of one backend, ready to be applied.
type selector struct {
	key         string // under which the rules stand in a configuration
	allow, deny []glob
	rename      map[string]string
	pin         map[string]Digest
	misnamed    map[string]string // renames to what can be no public name; not applied
}

// selectors are those of one backend, by kind.
type selectors [kinds]selector

func newSelectors(s Selection) *selectors {
	located := selector{key: "resources", allow: newGlobs(s.Resources.Allow), deny: newGlobs(s.Resources.Deny)}
	return &selectors{
		Tool: newSelector("tools", s.Tools), Prompt: newSelector("prompts", s.Prompts),
		Resource: located, Template: located,
	}
}

func newSelector(key string, r Rules) selector {
	s := selector{
		key: key, allow: newGlobs(r.Allow), deny: newGlobs(r.Deny), pin: maps.Clone(r.Pin),
		rename: make(map[string]string), misnamed: make(map[string]string),
	}
	for from, to := range r.Rename {
		if to == "" || strings.ContainsFunc(to, func(r rune) bool { return !nameRune(r) }) {
			s.misnamed[from] = to
		} else {
			s.rename[from] = to
		}
	}
	return s
}

// permits reports whether a name or URI that a backend lists is served. A glob
// that is none allows nothing and denies everything: a rule that cannot be read
// must not open a door.
func (s *selector) permits(name string) bool {
	for _, g := range s.deny {
		if g.pattern == nil || g.pattern.MatchString(name) {
			return false
		}
	}
	return len(s.allow) == 0 || slices.ContainsFunc(s.allow, func(g glob) bool {
		return g.pattern != nil && g.pattern.MatchString(name)
	})
}

// permitsUnlisted reports whether a URI that no backend lists may be asked for.
// The backend may read it otherwise than it is written, so it is judged without
// its escapes and with a scheme and host in lower case too, and one that climbs
// is refused.
func (s *selector) permitsUnlisted(uri string) bool {
	if len(s.allow)+len(s.deny) == 0 {
		return true
	}
	plain, err := url.PathUnescape(uri)
	if err != nil || !s.permits(uri) || !s.permits(plain) || !s.permits(lowerOrigin(plain)) {
		return false
	}
	for step := range strings.FieldsFuncSeq(plain, func(r rune) bool { return strings.ContainsRune(`:/\?#`, r) }) {
		if step == "." || step == ".." {
			return false
		}
	}
	return true
}

// lowerOrigin returns a URI with its scheme and authority in lower case.
func lowerOrigin(uri string) string {
	scheme, rest, ok := strings.Cut(uri, ":")
	if !ok {
		return uri
	}
	authority, path := "", rest
	if after, ok := strings.CutPrefix(rest, "//"); ok {
		end := strings.IndexAny(after, "/?#")
		if end < 0 {
			end = len(after)
		}
		authority, path = "//"+after[:end], after[end:]
	}
	return strings.ToLower(scheme) + ":" + strings.ToLower(authority) + path
}

// own returns what a backend calls the entry that clients know under a name,
// when the backend has not been listed and its rules are all there is to go by.
// A pinned name is not served before its definition was seen.
func (s *selector) own(public string) (name string, ok bool) {
	name = public
	if _, renamed := s.rename[public]; renamed {
		name = ""
	}
	for from, to := range s.rename {
		if to != public {
			continue
		}
		if name != "" && name != public {
			return "", false // either may have become this one
		}
		name = from
	}
	if _, pinned := s.pin[name]; pinned || name == "" {
		return "", false
	}
	return name, s.permits(name)
}

// unmatched reports the names in the rules that have nothing to work on.
func (s *selector) unmatched(backend string, k Kind, listed map[string]bool) (reports []Report) {
	check := func(rule, name string) {
		var text string
		switch {
		case !listed[name]:
			text = "and the backend does not have it: correct the name, or remove it there"
		case rule != "allow" && rule != "deny" && !s.permits(name):
			text = "but allow and deny leave it out: remove it there"
		default:
			return
		}
		reports = append(reports, Report{Backend: backend, Kind: k, Name: shortened(name),
			Text: setting(backend, s.key, rule) + " names it, " + text})
	}
	for rule, globs := range map[string][]glob{"allow": s.allow, "deny": s.deny} {
		for _, g := range globs {
			if name, ok := g.literal(); ok {
				check(rule, name)
			}
		}
	}
	for name := range s.rename {
		check("rename", name)
	}
	for name := range s.misnamed {
		check("rename", name)
	}
	for name := range s.pin {
		check("pin", name)
	}
	slices.SortFunc(reports, func(a, b Report) int { return strings.Compare(a.Name+a.Text, b.Name+b.Text) })
	return reports
}

// setting returns the path of a rule in a configuration.
func setting(backend, key, rule string) string { return entryPath(backend) + "." + key + "." + rule }

func entryPath(backend string) string {
	if backend == "" || strings.ContainsFunc(backend, func(r rune) bool { return !nameRune(r) || r == '.' }) {
		return fmt.Sprintf("mcpServers[%q]", backend)
	}
	return "mcpServers." + backend
}

// writeIn begins a sentence that ends with a line of a backend's configuration.
func writeIn(backend string) string { return "in " + entryPath(backend) + " write " }

// ruleLine returns a line of a backend's configuration, as it can be pasted.
func ruleLine(key, rule, body string) string { return fmt.Sprintf("%s: {%s: %s}", key, rule, body) }

// pinning tells how to accept a definition as it is now, and no other.
func pinning(backend, key string, it *item) string {
	return writeIn(backend) + ruleLine(key, "pin", fmt.Sprintf("{%s: %q}", word(it.name), it.digest))
}

// word writes a text so that YAML reads it as that text.
func word(s string) string {
	switch strings.ToLower(s) {
	case "", "true", "false", "null", "yes", "no", "on", "off", "y", "n":
		return fmt.Sprintf("%q", s)
	}
	if letter := s[0] | 0x20; letter < 'a' || letter > 'z' || strings.ContainsFunc(s, func(r rune) bool { return !nameRune(r) }) {
		return fmt.Sprintf("%q", s)
	}
	return s
}
