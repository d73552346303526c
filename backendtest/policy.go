package backendtest

import (
	"net/http"
	"slices"
	"sync"
)

// WithBearer accepts only tokens that the issuer minted and that are neither
// expired nor revoked nor of the wrong audience. Others are refused with 401
// and a challenge: error="invalid_token", or none when no token came at all.
func WithBearer(i *Issuer) Option { return serverOption(func(c *config) { c.issuer = i }) }

// WithToken accepts only these static tokens. [Server.SetTokens] changes them.
func WithToken(tokens ...string) Option {
	return serverOption(func(c *config) { c.tokens = append(c.tokens, tokens...) })
}

// WithCredentialHeader says which header carries the credential. Default
// Authorization; for others, such as X-Api-Key, WithToken compares the whole
// value.
func WithCredentialHeader(name string) Option {
	return serverOption(func(c *config) { c.credential = name })
}

// WithChallenge replaces the WWW-Authenticate header of refusals by 401, for
// instance to name resource metadata; with an empty value they have none.
func WithChallenge(value string) Option {
	return serverOption(func(c *config) { c.challenge = &value })
}

// WithRefuse asks a function about every request. It is given the JSON-RPC
// method (or a Method constant) and returns the status to refuse with, zero to
// accept. It comes before WithBearer and WithToken.
func WithRefuse(fn func(r *http.Request, method string) int) Option {
	return serverOption(func(c *config) { c.refuse = fn })
}

// WithGuardedCallsOnly asks no credential of lists, initialize, discover, ping,
// notifications, GET and DELETE, as many real servers do: only tools/call,
// resources/read, prompts/get and completion/complete are guarded.
func WithGuardedCallsOnly() Option { return serverOption(func(c *config) { c.callsOnly = true }) }

// WithRequiredScope refuses calls of a method whose token lacks a scope: 403
// with error="insufficient_scope". It needs WithBearer.
func WithRequiredScope(method string, scopes ...string) Option {
	return serverOption(func(c *config) { c.scopes[method] = append(c.scopes[method], scopes...) })
}

// Calls are the methods that WithGuardedCallsOnly guards.
func Calls() []string {
	return []string{"tools/call", "resources/read", "prompts/get", "completion/complete"}
}

// policy decides about credentials.
type policy struct {
	cfg    *config
	mu     sync.Mutex
	tokens []string // nil: no static tokens
}

func newPolicy(cfg *config) *policy { return &policy{cfg: cfg, tokens: cfg.tokens} }

// SetTokens replaces the static tokens of WithToken; requests already being
// served are not affected. Without tokens every request is refused.
func (s *Server) SetTokens(tokens ...string) {
	s.policy.mu.Lock()
	defer s.policy.mu.Unlock()
	s.policy.tokens = append([]string{}, tokens...)
}

// refusal returns the answer for a request that must not be served.
func (p *policy) refusal(r *http.Request, m *Message) (a answer, refused bool) {
	if p.cfg.refuse != nil {
		if status := p.cfg.refuse(r, m.Method); status != 0 {
			return refusalOf(status, ""), true
		}
	}
	if p.cfg.callsOnly && !slices.Contains(Calls(), m.Method) {
		return answer{}, false
	}
	p.mu.Lock()
	tokens := p.tokens
	p.mu.Unlock()
	var valid bool
	switch {
	case p.cfg.issuer != nil:
		valid = p.cfg.issuer.Valid(m.Credential)
	case tokens != nil:
		valid = slices.Contains(tokens, m.Credential)
	default:
		return answer{}, false
	}
	switch {
	case valid:
		return p.scopeRefusal(m)
	case p.cfg.challenge != nil:
		return refusalOf(http.StatusUnauthorized, *p.cfg.challenge), true
	case m.Credential == "":
		return refusalOf(http.StatusUnauthorized, bearerChallenge("")), true
	default:
		return refusalOf(http.StatusUnauthorized, bearerChallenge("invalid_token")), true
	}
}

func (p *policy) scopeRefusal(m *Message) (a answer, refused bool) {
	need := p.cfg.scopes[m.Method]
	if len(need) == 0 || p.cfg.issuer == nil {
		return answer{}, false
	}
	granted := p.cfg.issuer.Scopes(m.Credential)
	for _, scope := range need {
		if !slices.Contains(granted, scope) {
			return refusalOf(http.StatusForbidden, bearerChallenge("insufficient_scope", need...)), true
		}
	}
	return answer{}, false
}

func refusalOf(status int, challenge string) answer {
	a := answer{status: status, body: []byte(http.StatusText(status) + "\n")}
	if challenge != "" {
		a.header = http.Header{"Www-Authenticate": {challenge}}
	}
	return a
}
