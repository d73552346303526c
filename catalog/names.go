package catalog

import (
	"crypto/sha256"
	"encoding/base32"
	"strings"
)

// namer makes public names. What it makes depends on its arguments only, so a
// name is the same after every restart and whoever else is there.
type namer struct {
	separator string
	max       int
}

// prefixed returns the public name of a backend's name among those of others.
func (n namer) prefixed(slug, name string) string { return n.fit(slug + n.separator + name) }

// bare returns the public name of a backend's name where it stands alone.
func (n namer) bare(name string) string { return n.fit(name) }

// split takes a public name apart that was made by prefixed and not changed by
// fit.
func (n namer) split(public string) (slug, name string, ok bool) {
	slug, name, ok = strings.Cut(public, n.separator)
	return slug, name, ok && slug != "" && name != ""
}

// hashed is the length of the suffix of names that had to be changed.
const hashed = 9

// fit returns full if it can be a public name. If not, characters that cannot
// stand in one become "_", the end is cut off, and a suffix made from the whole
// name keeps it apart from others that now look alike.
func (n namer) fit(full string) string {
	clean := strings.Map(func(r rune) rune {
		if nameRune(r) {
			return r
		}
		return '_'
	}, full)
	if clean == full && len(full) <= n.max {
		return full
	}
	sum := sha256.Sum256([]byte(full))
	suffix := "_" + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:5]))
	return clean[:min(len(clean), n.max-hashed)] + suffix
}

// nameRune reports whether r may stand in a public name.
func nameRune(r rune) bool {
	return r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '_' || r == '.' || r == '-'
}

// slugByte reports whether c may stand in a slug.
func slugByte(c byte) bool { return c-'0' < 10 || c-'a' < 26 || c == '-' }
