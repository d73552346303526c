package caller

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"github.com/recloser-mcp/recloser/auth"
)

// The types of incoming authentication.
const (
	TypeNone   = "none"   // everybody may call
	TypeBearer = "bearer" // whoever shows one of the configured tokens
)

// Options say who may call.
type Options struct {
	// Type is "none" (the default) or "bearer".
	Type string `yaml:"type,omitempty" json:"type,omitempty"`
	// Tokens are the tokens that bearer accepts, each as "sha256:" and the
	// hexadecimal digest of the token, or as a reference to a file that holds
	// the token or its digest. A file is read again within a second of a
	// change; its position in the list is its owner's identity.
	Tokens []auth.Value `yaml:"tokens,omitempty" json:"tokens,omitempty"`

	// Logger is told when a file's token changed or cannot be read. Default:
	// nobody is told.
	Logger *slog.Logger `yaml:"-" json:"-"`
}

// Public is true when the options let everybody call, which only a listener that
// nobody else can reach may do.
func (o Options) Public() bool { return o.Type == "" || o.Type == TypeNone }

// Authenticator finds out who makes a request. It is safe for concurrent use, and
// holds no goroutine.
type Authenticator struct {
	bearer *bearer // nil: everybody may call
}

// New makes an authenticator. Its error names every option that is wrong, with the
// fix; tokens are read here for the first time.
func New(o Options) (*Authenticator, error) {
	switch o.Type {
	case "", TypeNone:
		if len(o.Tokens) > 0 {
			return nil, errors.New(`tokens has no effect with type "none": set type to "bearer"`)
		}
		return &Authenticator{}, nil
	case TypeBearer:
		log := o.Logger
		if log == nil {
			log = slog.New(slog.DiscardHandler)
		}
		b, err := newBearer(o.Tokens, log)
		if err != nil {
			return nil, err
		}
		return &Authenticator{bearer: b}, nil
	default:
		return nil, fmt.Errorf("type is %q: use %q or %q", o.Type, TypeNone, TypeBearer)
	}
}

// The challenges of RFC 6750 section 3. A request that showed no credential is told
// no error code. There is no resource_metadata: static tokens come from no
// authorization server that a client could be sent to.
const (
	challengeMissing = `Bearer realm="recloser"`
	challengeInvalid = `Bearer realm="recloser", error="invalid_token", error_description="the gateway does not know this token"`
	challengeUnclear = `Bearer realm="recloser", error="invalid_request", error_description="send one Authorization header with one bearer token"`
)

// Authenticate returns the maker of a request. Its error is an *[Error] with the
// status and the challenge to answer with: 401 without a credential or with one
// that is not known, 400 with one that cannot be read.
func (a *Authenticator) Authenticate(r *http.Request) (Identity, error) {
	if a.bearer == nil {
		return Anonymous, nil
	}
	headers := r.Header["Authorization"]
	if len(headers) > 1 {
		return Identity{}, unclear()
	}
	var presented string
	if len(headers) == 1 {
		scheme, rest, _ := strings.Cut(headers[0], " ")
		if strings.EqualFold(scheme, "Bearer") {
			if presented = strings.TrimSpace(rest); !validToken(presented) {
				return Identity{}, unclear()
			}
		}
	}
	if presented == "" {
		return Identity{}, &Error{
			Status: http.StatusUnauthorized, Challenge: challengeMissing,
			Message: "this gateway asks for a bearer token: send it in the Authorization header",
		}
	}
	id, ok := a.bearer.find(presented)
	if !ok {
		return Identity{}, &Error{
			Status: http.StatusUnauthorized, Challenge: challengeInvalid,
			Message: "the gateway does not know this bearer token",
		}
	}
	return id, nil
}

func unclear() *Error {
	return &Error{
		Status: http.StatusBadRequest, Challenge: challengeUnclear,
		Message: "the Authorization header cannot be read: send one, with one bearer token",
	}
}

// Wrap answers the requests of unknown callers itself, and hands the others to
// next with their identity in the context. A credential that was meant for the
// gateway goes no further: next does not see the Authorization header.
func (a *Authenticator) Wrap(next http.Handler) http.Handler {
	if a.bearer == nil {
		return next // FromContext says Anonymous without being told
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, err := a.Authenticate(r)
		if err != nil {
			WriteError(w, err)
			return
		}
		r = r.WithContext(WithIdentity(r.Context(), id))
		r.Header = r.Header.Clone()
		r.Header.Del("Authorization")
		next.ServeHTTP(w, r)
	})
}
