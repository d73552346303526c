package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/status"
)

// call makes the first request with the credential, through the very client that
// the gateway uses.
func (p *patient) call(ctx context.Context) (string, *broken) {
	o := p.b.Options
	o.Auth = p.source
	o.ClientInfo = backend.ClientInfo{Name: "recloser-doctor", Version: p.o.Version}
	client, err := backend.NewHTTPBackendClient(p.o.Registry, o)
	if err != nil {
		return breaks(Configuration, "Correct "+p.key("")+".", "No client can be made: %s.", clean(err.Error()))
	}
	p.client = client
	if b := p.judge(client.Ping(ctx)); b != nil {
		return "", b
	}
	with := "with the credential"
	if p.source == nil {
		with = "without a credential"
	}
	return fmt.Sprintf("It answers a request %s; revision %s", with, client.Revision()), nil
}

// tools reads the lists.
func (p *patient) tools(ctx context.Context) (string, *broken) {
	c, err := p.client.ListCapabilities(ctx)
	if b := p.judge(err); b != nil {
		return "", b
	}
	if c == nil { // it answered with an error of its own, which judge passes over
		return breaks(Other, "Look into the log of the server.", "It answers its lists with an error: %s.", clean(err.Error()))
	}
	seen := counted(len(c.Tools), "tool") + ", " + counted(len(c.Resources)+len(c.Templates), "resource") + ", " + counted(len(c.Prompts), "prompt")
	if len(c.Tools)+len(c.Resources)+len(c.Templates)+len(c.Prompts) == 0 {
		fix := "Check what the server offers to this credential: its owner may have to enable tools for the account."
		if p.source == nil {
			fix = "Check the settings of the server: it offers nothing."
		}
		return breaks(Other, fix, "It answers, and lists no tool, resource or prompt.")
	}
	if p.open && p.source != nil {
		seen += ". It lists to everybody, so whether it accepts the credential shows only when a tool is called: `recloser tools call NAME`"
	}
	return seen, nil
}

// judge explains a failed request; nil when the backend answered.
func (p *patient) judge(err error) *broken {
	var e *backend.Error
	switch {
	case err == nil, errors.As(err, new(*backend.RPCError)):
		return nil
	case !errors.As(err, &e):
		return &broken{Other, clean(err.Error()) + ".", "Look into the log of the server."}
	}
	if errors.Is(e, backend.ErrAuthenticationFailed) {
		return p.refusedFor(e)
	}
	if p.url != nil { // a process has no TLS
		if b := p.secured(err); b != nil {
			return b
		}
	}
	fault := Unreachable
	if !errors.Is(e, backend.ErrBackendUnavailable) && e.Kind.Reason() == "unknown" {
		fault = Other
	}
	x, _ := status.Explain(status.Reason(e.Kind.Reason()))
	return &broken{fault, clean(e.Error()) + ".", cmp.Or(x.For(p.b.Name).Do, e.Hint())}
}

// refusedFor finds out what is wrong with a credential that is refused.
func (p *patient) refusedFor(e *backend.Error) *broken {
	say := func(fix, evidence string, args ...any) *broken {
		return &broken{Authentication, fmt.Sprintf(evidence, args...), fix}
	}
	seen := "The credential is refused"
	if e.Status != 0 {
		seen += fmt.Sprintf(" with %d", e.Status)
	}
	if e.Challenge != nil && e.Challenge.Error != "" {
		seen += " " + clean(e.Challenge.Error)
	}
	spec, ok := p.doc.Credential(p.b.Credential)
	if !ok {
		return say("Give it a credential: add auth to "+p.key("")+".", "%s, and none is configured.", seen)
	}
	at := authOf(spec.Key)
	if e.Kind == backend.KindScopeMissing || e.Challenge != nil && e.Challenge.Error == "insufficient_scope" {
		return p.scopeMissing(e, at, seen)
	}
	if want := p.resource(); p.claims != nil && !p.claims.meantFor(want, p.url.String()) {
		fix := "Get a token that is issued for " + want + ", and put it into " + p.origin + "."
		if spec.Spec.Type == "client_credentials" {
			fix = "Set " + at + ".resource to " + want + "."
		}
		return say(fix, "%s: the token is for %s, and this backend is %s.", seen, clean(strings.Join(p.claims.audience, " ")), want)
	}
	if spec.Spec.Type == "client_credentials" {
		fix := "Look at the token server whether this client may call " + p.url.Host + "; set " + at + ".resource if the server wants tokens of its own."
		if p.meta != nil && len(p.meta.Servers) > 0 {
			fix = "Check that tokenURL of " + spec.Key + " belongs to " + clean(p.meta.Servers[0]) + ", whose tokens it accepts, and that this client may call it."
		}
		return say(fix, "%s, though the token server has just issued it.", seen)
	}
	return say(p.replace(spec, false), "%s.", seen)
}

// scopeMissing names the scopes that are wanted and those that are there.
func (p *patient) scopeMissing(e *backend.Error, at, seen string) *broken {
	want := ""
	if e.Challenge != nil {
		want = clean(e.Challenge.Scope)
	}
	if p.claims != nil && p.claims.scope != "" {
		seen += ": it has the scopes " + clean(p.claims.scope)
	}
	if want == "" {
		return &broken{Authentication, seen + ".", "Add the scopes that the server wants to " + at + ".scopes; its documentation names them."}
	}
	fix := "Get a token with the scopes " + want + ", and put it into " + p.origin + "."
	if spec, _ := p.doc.Credential(p.b.Credential); spec.Spec.Type == "client_credentials" {
		list := strings.Fields(want)
		if p.claims != nil {
			list = append(strings.Fields(p.claims.scope), list...)
		}
		fix = "Set " + at + ".scopes to [" + strings.Join(unique(list), ", ") + "]."
	}
	return &broken{Authentication, seen + ", and the server wants " + want + ".", fix}
}

// resource is what the backend calls itself: a token has to be meant for it.
func (p *patient) resource() string {
	if p.meta != nil && p.meta.Resource != "" {
		return clean(p.meta.Resource)
	}
	return p.url.String()
}

// authOf is where the settings of a credential stand: those of one that only one
// backend has are in its auth.
func authOf(key string) string {
	key, _, _ = strings.Cut(key, "[")
	if strings.HasPrefix(key, "mcpServers") {
		return key + ".auth"
	}
	return key
}

func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func unique(words []string) []string {
	var out []string
	for _, w := range words {
		if !slices.Contains(out, w) {
			out = append(out, w)
		}
	}
	return out
}
