package catalog

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
)

// Options are the settings of a catalogue. The zero value means the defaults.
type Options struct {
	// Conflicts says how names of several backends are kept apart where all
	// backends are listed together. Default Prefix.
	Conflicts Conflicts `yaml:"conflicts,omitempty" json:"conflicts,omitempty"`
	// Priority names backends, those first that get a name which several have.
	// Backends that it does not name follow in the order of the configuration.
	// For Conflicts: Priority only.
	Priority []string `yaml:"priority,omitempty" json:"priority,omitempty"`
	// Separator stands between a backend's slug and a name. It begins with a
	// character that no slug holds, so that its first occurrence always ends the
	// slug. Default "_". For Conflicts: Prefix and Auto only.
	Separator string `yaml:"separator,omitempty" json:"separator,omitempty"`
	// MaxNameLength bounds public names of tools and prompts, in bytes, from 24
	// to 128; longer ones are shortened. Default 64, which the model providers
	// that clients pass tools to accept.
	MaxNameLength int `yaml:"maxNameLength,omitempty" json:"maxNameLength,omitempty"`

	// Own are resources of the gateway itself, listed before those of the backends
	// where all are served together. Their entries have no backend.
	Own []Own `yaml:"-" json:"-"`
	// Notice is told what the owner of a backend should know of: a list that shrank
	// or a definition that changed under its name. It must not block. Nil: nobody is.
	Notice func(backend, text string) `yaml:"-" json:"-"`
	// Logger gets one line for each thing that changed; nil discards them.
	Logger *slog.Logger `yaml:"-" json:"-"`

	page int // bytes of definitions on a page
}

// Own is a resource of the gateway itself.
type Own struct {
	URI        string
	Definition []byte // the protocol's Resource object
}

// Conflicts is a way to keep the names of several backends apart.
type Conflicts string

// The ways to keep names apart.
const (
	// Prefix puts the backend's slug before every name. A public name never
	// depends on which other backends there are.
	Prefix Conflicts = "prefix"
	// Auto puts the slug only before names that more than one backend has, and
	// keeps it there as long as anybody has such a name. A name that begins like
	// the slug of another backend always gets it.
	Auto Conflicts = "auto"
	// Priority puts it nowhere: a name belongs to the first backend in the order
	// of priority that has it, and those of the others are left out. After the
	// start, names of a backend wait for those before it to be listed, 5 s at
	// most. A backend that comes later does not get a name that another has got
	// by then.
	Priority Conflicts = "priority"
	// Manual puts it nowhere and decides nothing: what more than one backend has
	// is left out until the rules for the backends settle it.
	Manual Conflicts = "manual"
)

var strategies = []Conflicts{Prefix, Auto, Priority, Manual}

const (
	defaultSeparator = "_"
	defaultMaxName   = 64
	minMaxName       = 24
	maxMaxName       = 128
)

// Validate reports every value that is out of range, each with the fix.
func (o Options) Validate() error {
	var errs []error
	conflicts := cmp.Or(o.Conflicts, Prefix)
	if !slices.Contains(strategies, conflicts) {
		errs = append(errs, fmt.Errorf("conflicts is %q: use %q, %q, %q or %q", conflicts, Prefix, Auto, Priority, Manual))
	}
	if len(o.Priority) > 0 && conflicts != Priority {
		errs = append(errs, fmt.Errorf("priority has no effect with conflicts %q: set conflicts to %q, or remove it", conflicts, Priority))
	}
	for i, name := range o.Priority {
		if slices.Contains(o.Priority[:i], name) {
			errs = append(errs, fmt.Errorf("priority[%d] is %q once more: remove it", i, name))
		}
	}
	if o.Separator != "" && (conflicts == Priority || conflicts == Manual) {
		errs = append(errs, fmt.Errorf("separator has no effect with conflicts %q, which puts nothing before a name: remove it", conflicts))
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
