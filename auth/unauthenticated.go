package auth

import "context"

// NewUnauthenticated makes the strategy "unauthenticated": requests go out as they
// are. It is for servers that want no credential, and has to be asked for by name,
// so that a forgotten setting is not taken for it.
func NewUnauthenticated() Strategy { return unauthenticated{} }

type unauthenticated struct{}

func (unauthenticated) Fetch(context.Context) (Material, error) { return Material{}, nil }
