package auth

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/textproto"
	"slices"
)

// HeaderOptions are the settings of the strategy "header".
type HeaderOptions struct {
	// Headers maps names to values. Names that belong to the connection, to the
	// message or to MCP are refused. At least one is required.
	Headers map[string]Value `yaml:"headers" json:"headers"`
}

// NewHeader makes the strategy "header": given values in given headers, such as
// API keys. Values from files are watched; see [Watcher].
func NewHeader(o HeaderOptions) (Strategy, error) {
	if len(o.Headers) == 0 {
		return nil, errors.New("headers is empty: name at least one header")
	}
	h := &header{}
	var errs []error
	var values []Value
	for _, name := range slices.Sorted(maps.Keys(o.Headers)) { // sorted: equal bytes stay equal
		canonical := textproto.CanonicalMIMEHeaderKey(name)
		if err := checkHeaderName(name); err != nil {
			errs = append(errs, err)
			continue
		}
		if slices.Contains(h.names, canonical) {
			errs = append(errs, fmt.Errorf("header %s is set twice", canonical))
			continue
		}
		v := o.Headers[name]
		if err := checkLiteral(v, checkHeaderValue); err != nil {
			errs = append(errs, fmt.Errorf("header %s: %w", canonical, err))
			continue
		}
		h.names = append(h.names, canonical)
		values = append(values, v)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	h.watchedValues.values = values
	return h, nil
}

type header struct {
	names []string
	watchedValues
}

func (h *header) Fetch(context.Context) (Material, error) {
	secrets, err := h.resolve()
	if err != nil {
		return Material{}, err
	}
	var m Material
	for i, name := range h.names {
		m.Headers = append(m.Headers, Header{name, secrets[i]})
	}
	return m, nil
}

// checkLiteral checks a value that no file can change.
func checkLiteral(v Value, check func(Secret) error) error {
	if len(v.Files()) > 0 {
		return nil
	}
	s, err := v.Resolve()
	if err != nil {
		return err
	}
	return check(s)
}
