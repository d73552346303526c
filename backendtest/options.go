package backendtest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"slices"
)

// Option configures a [Server].
type Option interface{ applyServer(*config) }

// IssuerOption configures an [Issuer].
type IssuerOption interface{ applyIssuer(*issuerConfig) }

type serverOption func(*config)

func (o serverOption) applyServer(c *config) { o(c) }

// config is what the options build.
type config struct {
	name      string
	addr      string // empty: any
	pipe      bool
	down      bool
	mcpGo     bool
	json      bool
	legacySSE bool
	pageSize  int
	revisions []string
	legacy    LegacyAnswer
	tools     []Tool
	resources []resource
	templates []resource
	prompts   []prompt
	complete  CompletionFunc

	subscriptions bool

	issuer       *Issuer
	tokens       []string
	refuse       func(*http.Request, string) int
	callsOnly    bool
	credential   string // the header that carries it
	scopes       map[string][]string
	middleware   []func(http.Handler) http.Handler
	handler      func(http.ResponseWriter, *http.Request, Message) bool
	faults       []Fault
	instructions string
	challenge    *string
	tls          bool
	adjustTLS    []func(*tls.Config)
}

type resource struct{ uri, text string }

type prompt struct{ name, text string }

// knownRevisions are those that both SDKs speak over streamable HTTP, newest
// first.
var knownRevisions = []string{firstModern, "2025-11-25", "2025-06-18", "2025-03-26"}

func newConfig(opts []Option) (*config, error) {
	c := &config{name: "backendtest", credential: "Authorization", scopes: map[string][]string{}}
	for _, o := range opts {
		o.applyServer(c)
	}
	for _, r := range c.revisions {
		if !slices.Contains(knownRevisions, r) {
			return nil, fmt.Errorf("backendtest: unknown revision %q, known are %q", r, knownRevisions)
		}
	}
	if c.issuer != nil && len(c.tokens) > 0 {
		return nil, errors.New("backendtest: WithBearer and WithToken exclude each other")
	}
	if c.subscriptions && c.mcpGo {
		return nil, errors.New("backendtest: WithSubscriptions and WithMCPGo exclude each other")
	}
	if len(c.tools) == 0 {
		c.tools = []Tool{{Name: "echo", Description: "Returns its arguments.", Func: Echo}}
	}
	for _, t := range c.tools {
		if err := t.check(); err != nil {
			return nil, err
		}
	}
	return c, nil
}

type pipeOption struct{}

func (pipeOption) applyServer(c *config)       { c.pipe = true }
func (pipeOption) applyIssuer(c *issuerConfig) { c.pipe = true }

// PipeOption is an option of both servers and issuers.
type PipeOption interface {
	Option
	IssuerOption
}

// WithPipe keeps a server or an issuer in memory, reached through its Dial (or
// [Dialer], for several). Without it they listen on a loopback port.
func WithPipe() PipeOption { return pipeOption{} }

// WithName sets the name in the server's serverInfo. Default "backendtest".
func WithName(name string) Option { return serverOption(func(c *config) { c.name = name }) }

// WithInstructions sets the server's instructions. Default none.
func WithInstructions(text string) Option {
	return serverOption(func(c *config) { c.instructions = text })
}

// WithDown starts the server with nobody listening: dialling it is refused
// until [Server.Up].
func WithDown() Option { return serverOption(func(c *config) { c.down = true }) }

// WithAddr listens on this host and port, such as one that a server had which
// ended in another process. Default: a loopback port that is free.
func WithAddr(addr string) Option { return serverOption(func(c *config) { c.addr = addr }) }

// WithSDK serves with the official Go SDK, which is the default. It answers
// requests with event streams, or with JSON under WithJSON.
func WithSDK() Option { return serverOption(func(c *config) { c.mcpGo = false }) }

// WithMCPGo serves with mark3labs/mcp-go. It answers with JSON, and with an
// event stream once a tool has sent a notification.
func WithMCPGo() Option { return serverOption(func(c *config) { c.mcpGo = true }) }

// WithJSON makes the official SDK answer with application/json.
func WithJSON() Option { return serverOption(func(c *config) { c.json = true }) }

// WithPageSize makes lists have pages of n entries. Default: the SDK's.
func WithPageSize(n int) Option { return serverOption(func(c *config) { c.pageSize = n }) }

// WithRevision limits the server to these protocol revisions. Only elder ones:
// requests of 2026-07-28 meet a server that does not know them (see
// [WithLegacyAnswer]). Only 2026-07-28: initialize, sessions, GET and DELETE are
// refused. The default is all from 2025-03-26 to 2026-07-28 at one URL.
func WithRevision(revisions ...string) Option {
	return serverOption(func(c *config) { c.revisions = append(c.revisions, revisions...) })
}

// WithTool adds a tool that takes any object. Without a tool a server has
// "echo", which returns its arguments as text.
func WithTool(name string, fn ToolFunc) Option { return WithTools(Tool{Name: name, Func: fn}) }

// WithTools adds tools.
func WithTools(tools ...Tool) Option {
	return serverOption(func(c *config) { c.tools = append(c.tools, tools...) })
}

// WithResource adds a text resource.
func WithResource(uri, text string) Option {
	return serverOption(func(c *config) { c.resources = append(c.resources, resource{uri, text}) })
}

// WithResourceTemplate adds a template (RFC 6570); every resource that matches
// it has this text.
func WithResourceTemplate(template, text string) Option {
	return serverOption(func(c *config) { c.templates = append(c.templates, resource{template, text}) })
}

// WithPrompt adds a prompt of one user message. "{x}" in its text becomes the
// argument x.
func WithPrompt(name, text string) Option {
	return serverOption(func(c *config) { c.prompts = append(c.prompts, prompt{name, text}) })
}

// CompletionFunc completes an argument of a prompt (by name) or of a resource
// template (by URI).
type CompletionFunc func(ctx context.Context, ref, argument, value string) ([]string, error)

// WithCompletion answers completion/complete. Default: not supported.
func WithCompletion(fn CompletionFunc) Option {
	return serverOption(func(c *config) { c.complete = fn })
}

// WithFault injects faults from the start, as [Server.Inject] does.
func WithFault(faults ...Fault) Option {
	return serverOption(func(c *config) { c.faults = append(c.faults, faults...) })
}

// WithHTTPMiddleware wraps the server; the first one given is the outermost.
// Middleware sees every request after it was counted and before faults and
// policy, may read the body, and may answer itself. [MessageFrom] tells it what
// the request says.
func WithHTTPMiddleware(mw func(http.Handler) http.Handler) Option {
	return serverOption(func(c *config) { c.middleware = append(c.middleware, mw) })
}

// WithHandler answers requests by hand, for what no real server does: a wrong
// content type, broken JSON, an id of somebody else. It runs after faults and
// policy; when it returns false the SDK serves the request.
func WithHandler(h func(http.ResponseWriter, *http.Request, Message) bool) Option {
	return serverOption(func(c *config) { c.handler = h })
}
