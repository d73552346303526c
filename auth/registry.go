package auth

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// Spec says which strategy to make, and with what settings.
type Spec struct {
	// Type is the name of a registered strategy.
	Type string
	// Decode fills the strategy's own option struct from the configuration. Nil
	// leaves it at its zero value.
	Decode func(into any) error
	// HTTPClient reaches token endpoints; its Transport and Timeout are used. Nil
	// is a client that takes its proxy from the environment, as net/http does.
	HTTPClient *http.Client
}

// DecodeOptions decodes the settings of a spec into an option struct, for factories.
func DecodeOptions[T any](s Spec) (T, error) {
	var o T
	if s.Decode == nil {
		return o, nil
	}
	err := s.Decode(&o)
	return o, err
}

// Factory makes a strategy from its settings. It checks them without doing I/O.
type Factory func(Spec) (Strategy, error)

// OutgoingAuthRegistry maps type names to factories. It is safe for concurrent use.
type OutgoingAuthRegistry struct {
	mu        sync.RWMutex
	factories map[string]Factory
}

// NewRegistry makes a registry of the built-in strategies: unauthenticated, header,
// bearer and client_credentials.
func NewRegistry() *OutgoingAuthRegistry {
	return &OutgoingAuthRegistry{factories: map[string]Factory{
		"unauthenticated": func(s Spec) (Strategy, error) {
			_, err := DecodeOptions[struct{}](s) // so that a strict Decode refuses settings
			return NewUnauthenticated(), err
		},
		"header": func(s Spec) (Strategy, error) {
			o, err := DecodeOptions[HeaderOptions](s)
			if err != nil {
				return nil, err
			}
			return NewHeader(o)
		},
		"bearer": func(s Spec) (Strategy, error) {
			o, err := DecodeOptions[BearerOptions](s)
			if err != nil {
				return nil, err
			}
			return NewBearer(o)
		},
		"client_credentials": func(s Spec) (Strategy, error) {
			o, err := DecodeOptions[ClientCredentialsOptions](s)
			if err != nil {
				return nil, err
			}
			return NewClientCredentials(o, s.HTTPClient)
		},
	}}
}

// Register adds a strategy under a name of its own; a name that is taken is an
// error, so that no package replaces another's strategy unseen.
func (r *OutgoingAuthRegistry) Register(typ string, f Factory) error {
	if typ == "" || f == nil {
		return errors.New("a strategy needs a type name and a factory")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, taken := r.factories[typ]; taken {
		return fmt.Errorf("auth type %q is registered already", typ)
	}
	r.factories[typ] = f
	return nil
}

// New makes the source of a credential. The error of an unknown type suggests the
// nearest name and lists all; errors of settings come from the factory. Nothing is
// fetched yet.
func (r *OutgoingAuthRegistry) New(spec Spec, o SourceOptions) (*Source, error) {
	r.mu.RLock()
	f, ok := r.factories[spec.Type]
	r.mu.RUnlock()
	if !ok {
		return nil, r.unknown(spec.Type)
	}
	s, err := f(spec)
	if err != nil {
		return nil, fmt.Errorf("auth type %s: %w", spec.Type, err)
	}
	if s == nil {
		return nil, fmt.Errorf("auth type %s: its factory made no strategy", spec.Type)
	}
	return NewSource(spec.Type, s, o), nil
}

// Types lists the registered names, sorted.
func (r *OutgoingAuthRegistry) Types() []string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Sorted(maps.Keys(r.factories))
}

func (r *OutgoingAuthRegistry) unknown(typ string) error {
	types := r.Types()
	list := strings.Join(types, ", ")
	if typ == "" {
		return fmt.Errorf("auth has no type: use one of %s", list)
	}
	asked := strings.ReplaceAll(strings.ToLower(typ), "-", "_")
	best, least := "", 4 // farther names are not meant
	for _, t := range types {
		if d := distance(asked, t); d < least && d < len(t) {
			best, least = t, d
		}
	}
	if best != "" {
		return fmt.Errorf("unknown auth type %q: did you mean %q? known are %s", clean(typ, 64), best, list)
	}
	return fmt.Errorf("unknown auth type %q: known are %s", clean(typ, 64), list)
}

// distance is the number of single-byte edits between two short names.
func distance(a, b string) int {
	if len(a) > 64 {
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
