package backend

import (
	"context"
	"encoding/json"
	"errors"
	"slices"

	"github.com/recloser-mcp/recloser/guard"
	"github.com/recloser-mcp/recloser/wire"
)

// BackendClient is what can be asked of a backend. Results are raw: the bytes of
// the result member as the backend wrote them. The error of each method is an
// *[Error], or an *[RPCError] when the backend answered with one.
type BackendClient interface {
	// CallTool calls a tool. args is a JSON object; nil stands for none.
	CallTool(ctx context.Context, name string, args json.RawMessage) (json.RawMessage, error)
	ReadResource(ctx context.Context, uri string) (json.RawMessage, error)
	GetPrompt(ctx context.Context, name string, args map[string]string) (json.RawMessage, error)
	// Complete completes an argument of a prompt or template. Both are the JSON
	// objects that the protocol calls ref and argument.
	Complete(ctx context.Context, ref, argument json.RawMessage) (json.RawMessage, error)
	// ListCapabilities asks for everything that the backend offers.
	ListCapabilities(ctx context.Context) (*Capabilities, error)
	// Ping asks whether the backend answers.
	Ping(ctx context.Context) error
	Close() error
}

var _ BackendClient = (*Client)(nil)

// Capabilities is what a backend offers.
type Capabilities struct {
	Revision     wire.Revision
	Server       json.RawMessage // serverInfo; nil when the backend keeps it to itself
	Capabilities json.RawMessage // the capabilities object
	Instructions string
	// All pages of each list, the definitions as the backend wrote them.
	Tools, Resources, Templates, Prompts []json.RawMessage
}

// maxPages bounds one list.
const maxPages = 1000

// CallTool implements [BackendClient].
func (c *Client) CallTool(ctx context.Context, name string, args json.RawMessage) (json.RawMessage, error) {
	p := wire.Quote([]byte(`{"name":`), name)
	if args != nil {
		p = append(append(p, `,"arguments":`...), args...)
	}
	return c.ask(ctx, wire.MethodToolsCall, name, append(p, '}'))
}

// ReadResource implements [BackendClient].
func (c *Client) ReadResource(ctx context.Context, uri string) (json.RawMessage, error) {
	return c.ask(ctx, wire.MethodRead, uri, append(wire.Quote([]byte(`{"uri":`), uri), '}'))
}

// GetPrompt implements [BackendClient].
func (c *Client) GetPrompt(ctx context.Context, name string, args map[string]string) (json.RawMessage, error) {
	p := wire.Quote([]byte(`{"name":`), name)
	if args != nil {
		values, err := json.Marshal(args)
		if err != nil {
			return nil, err
		}
		p = append(append(p, `,"arguments":`...), values...)
	}
	return c.ask(ctx, wire.MethodPromptsGet, name, append(p, '}'))
}

// Complete implements [BackendClient].
func (c *Client) Complete(ctx context.Context, ref, argument json.RawMessage) (json.RawMessage, error) {
	p := append([]byte(`{"ref":`), ref...)
	p = append(append(p, `,"argument":`...), argument...)
	return c.ask(ctx, wire.MethodComplete, "", append(p, '}'))
}

// Ping implements [BackendClient]. Towards 2026-07-28, which has no ping, it asks
// server/discover.
func (c *Client) Ping(ctx context.Context) error { return c.ping(ctx, guard.List) }

// Probe is Ping as a health probe: a refusal of it counts nowhere, though it may
// start a renewal.
func (c *Client) Probe(ctx context.Context) error { return c.ping(ctx, guard.Probe) }

func (c *Client) ping(ctx context.Context, class guard.Class) error {
	cl := c.newCall(ctx, &Request{Method: wire.MethodPing}, class)
	cl.standing = (*call).pinging
	_, err := cl.outcome(ctx)
	return err
}

// pinging shapes the cheapest request of the revision.
func (cl *call) pinging() {
	if !cl.revision.Stateless() {
		cl.msg.body = wire.PingRequest(cl.id)
		return
	}
	cl.msg.info.Method = wire.MethodDiscover
	cl.msg.protocolMethod[0] = wire.MethodDiscover
	cl.msg.body = wire.DiscoverRequest(cl.id, cl.c.meta)
}

// ListCapabilities implements [BackendClient]. A list that the backend does not
// know stays empty; every other fault fails the whole.
func (c *Client) ListCapabilities(ctx context.Context) (*Capabilities, error) {
	for again := false; ; again = true {
		about, session, err := c.describe(ctx)
		if err != nil {
			return nil, err
		}
		if err := c.lists(ctx, about); err != nil {
			return nil, err
		}
		if session == c.own.now.Load() || session == nil || again {
			return about, nil
		} // else the backend is another one now: what it offers may have changed
	}
}

func (c *Client) lists(ctx context.Context, about *Capabilities) (err error) {
	var has struct {
		Tools, Resources, Prompts json.RawMessage
	}
	if json.Unmarshal(about.Capabilities, &has) != nil {
		return &Error{Kind: KindProtocolError, Backend: c.o.Name, Method: wire.MethodDiscover,
			Detail: "its capabilities are not an object"}
	}
	for _, list := range []struct {
		has    json.RawMessage
		method string
		field  string
		into   *[]json.RawMessage
	}{
		{has.Tools, wire.MethodToolsList, "tools", &about.Tools},
		{has.Resources, wire.MethodResources, "resources", &about.Resources},
		{has.Resources, wire.MethodTemplates, "resourceTemplates", &about.Templates},
		{has.Prompts, wire.MethodPromptsList, "prompts", &about.Prompts},
	} {
		if list.has == nil {
			continue
		}
		if *list.into, err = c.pages(ctx, list.method, list.field); err != nil {
			return err
		}
	}
	return nil
}

// describe asks a backend who it is: with server/discover, or by what it said
// when the client's own session was opened, which is returned then. A ping opens
// it where there is none.
func (c *Client) describe(ctx context.Context) (about *Capabilities, session *backendSession, err error) {
	var raw json.RawMessage
	if r := c.revision.Load(); r != nil && !r.Stateless() {
		session = c.own.now.Load()
	}
	if session == nil {
		cl := c.newCall(ctx, &Request{Method: wire.MethodPing}, guard.List)
		cl.standing = (*call).pinging
		if raw, err = cl.outcome(ctx); err != nil {
			return nil, nil, err
		}
		session = cl.session
		about = &Capabilities{Revision: cl.revision}
	}
	if session != nil {
		raw, about = session.init, &Capabilities{Revision: session.revision}
	}
	var said struct {
		Capabilities json.RawMessage `json:"capabilities"`
		Instructions string          `json:"instructions"`
		ServerInfo   json.RawMessage `json:"serverInfo"`
		Meta         struct {
			ServerInfo json.RawMessage `json:"io.modelcontextprotocol/serverInfo"`
		} `json:"_meta"`
	}
	if json.Unmarshal(raw, &said) != nil || said.Capabilities == nil {
		return nil, nil, &Error{Kind: KindProtocolError, Backend: c.o.Name, Method: wire.MethodDiscover,
			Detail: "the answer does not describe a server"}
	}
	about.Capabilities, about.Instructions, about.Server = said.Capabilities, said.Instructions, said.ServerInfo
	if said.Meta.ServerInfo != nil {
		about.Server = said.Meta.ServerInfo
	}
	return about, session, nil
}

// pages reads a list to its end.
func (c *Client) pages(ctx context.Context, method, field string) (all []json.RawMessage, err error) {
	bad := func(detail string) error {
		return &Error{Kind: KindProtocolError, Backend: c.o.Name, Method: method, Detail: detail}
	}
	var params []byte
	left := c.o.Limits.ResponseBytes
	var seen []string
	for range maxPages {
		raw, err := c.ask(ctx, method, "", params)
		if rpc, ok := errors.AsType[*RPCError](err); ok && rpc.Code == wire.MethodNotFound {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		if left -= int64(len(raw)); left < 0 {
			return nil, bad("the list is larger than allowed")
		}
		var page map[string]json.RawMessage
		var items []json.RawMessage
		if json.Unmarshal(raw, &page) != nil || json.Unmarshal(cmpRaw(page[field]), &items) != nil {
			return nil, bad("the answer is not a list of " + field)
		}
		all = append(all, items...)
		var cursor string
		if json.Unmarshal(page["nextCursor"], &cursor) != nil || cursor == "" {
			return all, nil
		}
		if slices.Contains(seen, cursor) {
			return nil, bad("its pages go in a circle")
		}
		seen = append(seen, cursor)
		params = append(wire.Quote([]byte(`{"cursor":`), cursor), '}')
	}
	return nil, bad("the list has too many pages")
}

// cmpRaw stands in for a list that is absent.
func cmpRaw(raw json.RawMessage) json.RawMessage {
	if raw == nil {
		return json.RawMessage("[]")
	}
	return raw
}

// ask sends a request of our own in the client's own session.
func (c *Client) ask(ctx context.Context, method, name string, params []byte) (json.RawMessage, error) {
	if params != nil && !json.Valid(params) {
		return nil, &RPCError{Code: wire.InvalidParams, Message: "the arguments are not JSON"}
	}
	return c.newCall(ctx, &Request{Method: method, Name: name, Params: params}, ClassOf(method)).outcome(ctx)
}
