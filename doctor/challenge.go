package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/recloser-mcp/recloser/auth"
	"github.com/recloser-mcp/recloser/backend"
)

// maxMetadata bounds what is read of resource metadata.
const maxMetadata = 64 << 10

// metadata is what a server says about its authorization (RFC 9728 section 2).
type metadata struct {
	Resource string   `json:"resource"`
	Servers  []string `json:"authorization_servers"`
	Scopes   []string `json:"scopes_supported"`
}

// ask makes one request without the credential: what the backend says to that is
// what it wants.
func (p *patient) ask(ctx context.Context) (string, *broken) {
	resp, err := p.bare(ctx, p.url.String(), p.b.Options.Transport == backend.TransportSSE)
	if err != nil {
		if b := p.secured(err); b != nil { // TLS 1.3 tells of client certificates late
			return "", b
		}
		return breaks(Unreachable, "Look into the log of the server, and at what stands between.", "It accepts connections and gives no answer: %s.", reasonOf(err))
	}
	_ = resp.Body.Close()
	p.forget(resp)
	switch code := resp.StatusCode; {
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		return p.challenged(ctx, resp)
	case code >= 400 && code < 500 && p.older(ctx):
		return breaks(Unreachable, "Set "+p.key("type")+" to sse.", "It speaks the older HTTP+SSE: it refuses a POST with %d and answers a GET with a stream.", code)
	case code == http.StatusNotFound || code == http.StatusMethodNotAllowed || code == http.StatusGone:
		return p.misplaced(ctx, code)
	case code >= 300 && code < 400:
		return p.redirected(resp)
	case code >= 500 || code == http.StatusTooManyRequests:
		return breaks(Unreachable, "Look into the log of the server.", "It answers %d %s.", code, http.StatusText(code))
	case code >= 200 && code < 300 && code != http.StatusAccepted && !isMCP(resp):
		return breaks(Unreachable, "Correct "+p.key("url")+": it has to be the address of the MCP endpoint itself, often one that ends in /mcp.",
			"What answers at %s is no MCP server: it sends %s.", p.url, contentType(resp))
	case code >= 400:
		return fmt.Sprintf("It answers %d to a request without a credential", code), nil
	}
	p.open = true
	return "It answers without a credential", nil
}

// bare makes the first request that a client would, without a credential.
func (p *patient) bare(ctx context.Context, address string, stream bool) (*http.Response, error) {
	method, body, accept := http.MethodPost, "", "application/json, text/event-stream"
	if stream {
		method, accept = http.MethodGet, "text/event-stream"
	} else {
		body = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},` +
			`"clientInfo":{"name":"recloser-doctor","version":` + quoted(p.o.Version) + `}}}`
	}
	r, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, value := range p.b.Options.Headers {
		r.Header.Set(name, value)
	}
	r.Header.Set("Accept", accept)
	if !stream {
		r.Header.Set("Content-Type", "application/json")
	}
	return p.transport.RoundTrip(r) // no redirect is followed
}

func quoted(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		return `""`
	}
	return string(b)
}

// forget ends the session that an open server made for the request.
func (p *patient) forget(resp *http.Response) {
	id := resp.Header.Get("Mcp-Session-Id")
	if id == "" || resp.Request == nil {
		return
	}
	r, err := http.NewRequestWithContext(resp.Request.Context(), http.MethodDelete, p.url.String(), nil)
	if err != nil {
		return
	}
	r.Header.Set("Mcp-Session-Id", id)
	if done, err := p.transport.RoundTrip(r); err == nil {
		_ = done.Body.Close()
	}
}

func isMCP(resp *http.Response) bool {
	switch contentType(resp) {
	case "application/json", "text/event-stream":
		return true
	}
	return false
}

func contentType(resp *http.Response) string {
	typ, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil || typ == "" {
		return "nothing that has a type"
	}
	return clean(typ)
}

// challenged reads a refusal, which is as it should be where a credential is
// configured.
func (p *patient) challenged(ctx context.Context, resp *http.Response) (string, *broken) {
	seen := fmt.Sprintf("It answers %d", resp.StatusCode)
	all := auth.ParseChallenges(resp.Header.Values("WWW-Authenticate"))
	c, ok := auth.Bearer(all)
	if !ok && len(all) > 0 {
		c, ok = all[0], true
	}
	if ok {
		p.challenge = &c
		seen += " and asks for " + clean(c.Scheme)
		if c.Scope != "" {
			seen += " with the scopes " + clean(c.Scope)
		}
		if c.ResourceMetadata != "" {
			seen += p.readMetadata(ctx, c.ResourceMetadata)
		}
	} else {
		seen += " without saying what it wants"
	}
	if p.b.Credential != "" {
		return seen, nil
	}
	want := `auth: {type: bearer, token: "${file:PATH}"}`
	if p.meta != nil && len(p.meta.Servers) > 0 {
		want += ", with a token of " + clean(p.meta.Servers[0])
	}
	return breaks(Authentication, "Give it a credential: add to "+p.key("")+" "+want+".", "%s, and no credential is configured.", seen)
}

// readMetadata fetches what the challenge names, and says in words what it says.
func (p *patient) readMetadata(ctx context.Context, address string) string {
	u, err := url.Parse(address)
	if err != nil || u.User != nil || u.Scheme != "https" && (u.Scheme != "http" || u.Host != p.url.Host) {
		return "; its resource metadata is not at an address to ask"
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return ""
	}
	r.Header.Set("Accept", "application/json")
	t := p.transport
	if u.Host != p.url.Host { // the client certificate is for the backend
		t = &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true}
	}
	resp, err := t.RoundTrip(r)
	if err != nil {
		return "; its resource metadata cannot be had: " + reasonOf(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var m metadata
	if resp.StatusCode != http.StatusOK || json.NewDecoder(io.LimitReader(resp.Body, maxMetadata)).Decode(&m) != nil {
		return fmt.Sprintf("; its resource metadata cannot be read (status %d)", resp.StatusCode)
	}
	p.meta = &m
	said := "; its resource metadata names the resource " + clean(m.Resource)
	if len(m.Servers) > 0 {
		said += ", tokens of " + clean(strings.Join(m.Servers, " "))
	}
	if len(m.Scopes) > 0 {
		said += ", the scopes " + clean(strings.Join(m.Scopes, " "))
	}
	return said
}

// older reports whether an endpoint that refuses a POST is one of HTTP+SSE.
func (p *patient) older(ctx context.Context) bool {
	if p.b.Options.Transport == backend.TransportSSE {
		return false
	}
	resp, err := p.bare(ctx, p.url.String(), true)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK && contentType(resp) == "text/event-stream"
}

// misplaced looks whether the endpoint is where it often is.
func (p *patient) misplaced(ctx context.Context, code int) (string, *broken) {
	seen := fmt.Sprintf("There is nothing at %s: it answers %d %s.", p.url, code, http.StatusText(code))
	guess := *p.url
	guess.Path, guess.RawPath, guess.RawQuery = "/mcp", "", ""
	if guess.Path != p.url.Path && p.b.Options.Transport != backend.TransportSSE {
		if resp, err := p.bare(ctx, guess.String(), false); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusOK && isMCP(resp) {
				return breaks(Unreachable, "Set "+p.key("url")+" to "+guess.String()+".", "%s %s answers as an MCP server does.", seen, guess.String())
			}
		}
	}
	return breaks(Unreachable, "Correct the path in "+p.key("url")+": it has to be the address of the MCP endpoint itself, often one that ends in /mcp.", "%s", seen)
}

func (p *patient) redirected(resp *http.Response) (string, *broken) {
	to, err := resp.Location()
	if err != nil || to.User != nil {
		err = errors.Join(err, errors.New("no address"))
	}
	seen := fmt.Sprintf("It answers %d and sends clients elsewhere", resp.StatusCode)
	if err != nil {
		return breaks(Unreachable, "Correct "+p.key("url")+": redirects are not followed, so that no credential goes to another host.", "%s.", seen)
	}
	to.RawQuery, to.Fragment = "", ""
	return breaks(Unreachable, "If you trust that address, set "+p.key("url")+" to it: redirects are not followed, so that no credential goes to another host.",
		"%s, to %s.", seen, clean(to.String()))
}
