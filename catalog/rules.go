package catalog

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"strings"
)

// Selection says what of one backend is served, and under which names. The zero
// value is everything, as the backend calls it.
type Selection struct {
	Tools     Rules    `yaml:"tools,omitempty" json:"tools,omitzero"`
	Prompts   Rules    `yaml:"prompts,omitempty" json:"prompts,omitzero"`
	Resources URIRules `yaml:"resources,omitempty" json:"resources,omitzero"`
}

// Rules select tools or prompts by the names that the backend uses. What they
// leave out is not listed and cannot be called, at no endpoint.
//
// Globs are written as for path.Match, but * and ? stand for a slash too: a name
// is no path, and a rule that denies must not stop at one.
type Rules struct {
	// Allow has globs; without any, everything is allowed.
	Allow []string `yaml:"allow,omitempty" json:"allow,omitempty"`
	// Deny has globs and wins over Allow.
	Deny []string `yaml:"deny,omitempty" json:"deny,omitempty"`
	// Rename maps names of the backend to those that clients see instead. A
	// prefix still comes before them.
	Rename map[string]string `yaml:"rename,omitempty" json:"rename,omitempty"`
	// Pin maps names of the backend to the definition that is accepted under
	// them. Another one is left out and reported with its digest.
	Pin map[string]Digest `yaml:"pin,omitempty" json:"pin,omitempty"`
}

// URIRules select resources by their URIs and resource templates by their text.
// URIs are locators and cannot be renamed. A URI that is not listed but that a
// template can have made, or that has only one possible owner, is judged as well.
type URIRules struct {
	// Allow has globs; without any, everything is allowed.
	Allow []string `yaml:"allow,omitempty" json:"allow,omitempty"`
	// Deny has globs and wins over Allow.
	Deny []string `yaml:"deny,omitempty" json:"deny,omitempty"`
}

// Validate reports every glob that is none, each with the fix.
func (r Rules) Validate() error { return URIRules{r.Allow, r.Deny}.Validate() }

// Validate reports every glob that is none, each with the fix.
func (r URIRules) Validate() error {
	var errs []error
	if r.Allow != nil && len(r.Allow) == 0 {
		errs = append(errs, errors.New(`allow is empty: remove it to serve everything, or deny ["*"] to serve nothing`))
	}
	for _, list := range []struct {
		key   string
		globs []string
	}{{"allow", r.Allow}, {"deny", r.Deny}} {
		for i, g := range list.globs {
			if g == "" {
				errs = append(errs, fmt.Errorf(`%s[%d] is empty: write a name, or a glob such as "get_*"`, list.key, i))
			} else if _, err := path.Match(g, ""); err != nil {
				errs = append(errs, fmt.Errorf(`%s[%d] is %q, which is no glob: close each [ with a ], or put \ before a character that stands for itself`, list.key, i, g))
			}
		}
	}
	return errors.Join(errs...)
}

// Digest is the SHA-256 of a definition in the form that wire.Canonical gives it:
// without white space, members in order, so that a server which writes them in
// another order after a restart has not changed anything.
type Digest [sha256.Size]byte

const digestPrefix = "sha256:"

// String returns "sha256:" and 64 hexadecimal digits.
func (d Digest) String() string { return digestPrefix + hex.EncodeToString(d[:]) }

// MarshalText implements encoding.TextMarshaler.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Digest) UnmarshalText(text []byte) error {
	digits, ok := strings.CutPrefix(string(text), digestPrefix)
	raw, err := hex.DecodeString(digits)
	if !ok || err != nil || len(raw) != len(d) {
		return errors.New(`is no digest of a definition: write "sha256:" and 64 hexadecimal digits`)
	}
	copy(d[:], raw)
	return nil
}
