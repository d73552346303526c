package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// BearerOptions are the settings of the strategy "bearer".
type BearerOptions struct {
	// Token goes into "Authorization: Bearer TOKEN". Required; a file that holds
	// it is watched.
	Token Value `yaml:"token" json:"token"`
}

// NewBearer makes the strategy "bearer" (RFC 6750 section 2.1): a given token. An
// empty one is refused: here when it is written so, else by Fetch.
func NewBearer(o BearerOptions) (Strategy, error) {
	if err := checkLiteral(o.Token, checkToken); err != nil {
		return nil, fmt.Errorf("token: %w", err)
	}
	return &bearer{watchedValues{values: []Value{o.Token}}}, nil
}

type bearer struct{ watchedValues }

func (b *bearer) Fetch(context.Context) (Material, error) {
	secrets, err := b.resolve()
	if err != nil {
		return Material{}, err
	}
	if err := checkToken(secrets[0]); err != nil {
		return Material{}, fmt.Errorf("token: %w", err)
	}
	return Material{Headers: []Header{bearerHeader(secrets[0])}}, nil
}

func bearerHeader(token Secret) Header {
	return Header{"Authorization", NewSecret("Bearer " + token.Reveal())}
}

// checkToken refuses what cannot be a token. Servers differ in the alphabet they
// use, so anything printable in ASCII passes.
func checkToken(s Secret) error {
	t := s.Reveal()
	switch {
	case t == "":
		return errors.New("it is empty")
	case len(t) > len("bearer ") && strings.EqualFold(t[:len("bearer ")], "bearer "):
		return errors.New(`it starts with "Bearer": give the token alone`)
	}
	for i := range len(t) {
		if t[i] <= ' ' || t[i] >= 0x7f {
			return errors.New("it has white space, a line break or characters outside ASCII")
		}
	}
	return nil
}
