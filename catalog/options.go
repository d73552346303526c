package catalog

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"strings"
)

// Options are the settings of a catalogue. The zero value means the defaults.
type Options struct {
	// Conflicts says how names of several backends are kept apart where all
	// backends are listed together. Default Prefix.
	Conflicts Conflicts `yaml:"conflicts,omitempty" json:"conflicts,omitempty"`
	// Separator stands between a backend's slug and a name. It begins with a
	// character that no slug holds, so that its first occurrence always ends the
	// slug. Default "_".
	Separator string `yaml:"separator,omitempty" json:"separator,omitempty"`
	// MaxNameLength bounds public names of tools and prompts, in bytes, from 24
	// to 128; longer ones are shortened. Default 64, which the model providers
	// that clients pass tools to accept.
	MaxNameLength int `yaml:"maxNameLength,omitempty" json:"maxNameLength,omitempty"`

	// Logger gets one line for each thing that changed; nil discards them.
	Logger *slog.Logger `yaml:"-" json:"-"`

	page int // bytes of definitions on a page
}

// Conflicts is a way to keep the names of several backends apart.
type Conflicts string

// The ways to keep names apart.
const (
	// Prefix puts the backend's slug before every name. A public name never
	// depends on which other backends there are.
	Prefix Conflicts = "prefix"
	// Auto puts the slug only before names that more than one backend has, and
	// keeps it there as long as anybody has such a name.
	Auto Conflicts = "auto"
)

const (
	defaultSeparator = "_"
	defaultMaxName   = 64
	minMaxName       = 24
	maxMaxName       = 128
)

// Validate reports every value that is out of range, each with the fix.
func (o Options) Validate() error {
	var errs []error
	if o.Conflicts != "" && o.Conflicts != Prefix && o.Conflicts != Auto {
		errs = append(errs, fmt.Errorf("conflicts is %q: use %q or %q", o.Conflicts, Prefix, Auto))
	}
	if s := o.Separator; s != "" {
		if strings.ContainsFunc(s, func(r rune) bool { return !nameRune(r) }) {
			errs = append(errs, fmt.Errorf("separator is %q: use letters, digits, _ . and - only", s))
		} else if slugByte(s[0]) {
			errs = append(errs, fmt.Errorf(`separator %q begins with a character that slugs hold: begin it with "_" or "."`, s))
		}
	}
	if n := o.MaxNameLength; n != 0 && (n < minMaxName || n > maxMaxName) {
		errs = append(errs, fmt.Errorf("maxNameLength is %d: use %d to %d", n, minMaxName, maxMaxName))
	}
	return errors.Join(errs...)
}

func (o Options) withDefaults() Options {
	o.Conflicts = cmp.Or(o.Conflicts, Prefix)
	o.Separator = cmp.Or(o.Separator, defaultSeparator)
	o.MaxNameLength = cmp.Or(o.MaxNameLength, defaultMaxName)
	o.page = cmp.Or(o.page, defaultPage)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}
