package caller

import "context"

// Identity says who makes a request. It holds no credential, nor anything made
// from one. Identities are comparable.
type Identity struct {
	// ID is unique among the callers of one configuration and stays the same
	// while that does. What belongs to a caller, a session for one, belongs to
	// its ID.
	ID string
	// Name is for people to read, in logs and on the status page.
	Name string
}

// Anonymous is everybody, where nobody has to say who they are.
var Anonymous = Identity{ID: "anonymous", Name: "anonymous"}

type contextKey struct{}

// WithIdentity returns a context that carries the identity of a request.
func WithIdentity(ctx context.Context, id Identity) context.Context {
	return context.WithValue(ctx, contextKey{}, id)
}

// FromContext returns the identity that the context carries, and Anonymous when it
// carries none.
func FromContext(ctx context.Context) Identity {
	if id, ok := ctx.Value(contextKey{}).(Identity); ok {
		return id
	}
	return Anonymous
}
