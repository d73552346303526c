package gateway_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	mcpgo "github.com/mark3labs/mcp-go/client"
	mcpgotransport "github.com/mark3labs/mcp-go/client/transport"
	mcpgotypes "github.com/mark3labs/mcp-go/mcp"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/recloser-mcp/recloser/backendtest"
)

// peer is what the tests need of an SDK's client.
type peer interface {
	revision() string
	list(ctx context.Context, kind string) ([]string, error)
	call(ctx context.Context, tool string, args map[string]any) (string, error)
	read(ctx context.Context, uri string) (string, error)
	prompt(ctx context.Context, name string, args map[string]string) (string, error)
	complete(ctx context.Context, prompt, template, argument, value string) ([]string, error)
	close()
}

type dial func(ctx context.Context, r *rig, path, revision string, changed func()) (peer, error)

var dials = map[string]dial{"official": dialOfficial, "mcp-go": dialMCPGo}

type official struct{ *mcp.ClientSession }

func dialOfficial(ctx context.Context, r *rig, path, revision string, changed func()) (peer, error) {
	o := &mcp.ClientOptions{}
	if changed != nil {
		o.ToolListChangedHandler = func(context.Context, *mcp.ToolListChangedRequest) { changed() }
	}
	s, err := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, o).Connect(ctx,
		&mcp.StreamableClientTransport{Endpoint: "http://127.0.0.1" + path, HTTPClient: r.http, MaxRetries: -1},
		&mcp.ClientSessionOptions{ProtocolVersion: revision})
	if err != nil {
		return nil, err
	}
	return official{s}, nil
}

func (c official) revision() string { return c.InitializeResult().ProtocolVersion }
func (c official) close()           { _ = c.Close() }

func (c official) list(ctx context.Context, kind string) (names []string, err error) {
	switch kind {
	case "tools":
		for x, e := range c.Tools(ctx, nil) {
			if err = e; err == nil {
				names = append(names, x.Name)
			}
		}
	case "prompts":
		for x, e := range c.Prompts(ctx, nil) {
			if err = e; err == nil {
				names = append(names, x.Name)
			}
		}
	case "resources":
		for x, e := range c.Resources(ctx, nil) {
			if err = e; err == nil {
				names = append(names, x.URI)
			}
		}
	case "templates":
		for x, e := range c.ResourceTemplates(ctx, nil) {
			if err = e; err == nil {
				names = append(names, x.URITemplate)
			}
		}
	}
	return names, err
}

func (c official) call(ctx context.Context, tool string, args map[string]any) (string, error) {
	res, err := c.CallTool(ctx, &mcp.CallToolParams{Name: tool, Arguments: args})
	if err != nil {
		return "", err
	}
	return res.Content[0].(*mcp.TextContent).Text, nil
}

func (c official) read(ctx context.Context, uri string) (string, error) {
	res, err := c.ReadResource(ctx, &mcp.ReadResourceParams{URI: uri})
	if err != nil {
		return "", err
	}
	return res.Contents[0].Text, nil
}

func (c official) prompt(ctx context.Context, name string, args map[string]string) (string, error) {
	res, err := c.GetPrompt(ctx, &mcp.GetPromptParams{Name: name, Arguments: args})
	if err != nil {
		return "", err
	}
	return res.Messages[0].Content.(*mcp.TextContent).Text, nil
}

func (c official) complete(ctx context.Context, prompt, template, argument, value string) ([]string, error) {
	ref := &mcp.CompleteReference{Type: "ref/prompt", Name: prompt}
	if template != "" {
		ref = &mcp.CompleteReference{Type: "ref/resource", URI: template}
	}
	res, err := c.Complete(ctx, &mcp.CompleteParams{Ref: ref, Argument: mcp.CompleteParamsArgument{Name: argument, Value: value}})
	if err != nil {
		return nil, err
	}
	return res.Completion.Values, nil
}

type mcpGo struct {
	*mcpgo.Client
	stop func()
}

func dialMCPGo(ctx context.Context, r *rig, path, revision string, changed func()) (peer, error) {
	o := []mcpgotransport.StreamableHTTPCOption{mcpgotransport.WithHTTPBasicClient(r.http),
		mcpgotransport.WithHTTPLogger(slog.New(slog.DiscardHandler))}
	if changed != nil && revision < modern {
		o = append(o, mcpgotransport.WithContinuousListening())
	}
	c, err := mcpgo.NewStreamableHttpClient("http://127.0.0.1"+path, o...)
	if err != nil {
		return nil, err
	}
	if err := c.Start(ctx); err != nil {
		return nil, err
	}
	var init mcpgotypes.InitializeRequest
	init.Params.ProtocolVersion = revision
	init.Params.ClientInfo = mcpgotypes.Implementation{Name: "test", Version: "1"}
	if _, err := c.Initialize(ctx, init); err != nil {
		_ = c.Close()
		return nil, err
	}
	p := &mcpGo{Client: c}
	if changed == nil {
		return p, nil
	}
	c.OnNotification(func(n mcpgotypes.JSONRPCNotification) {
		if n.Method == "notifications/tools/list_changed" {
			changed()
		}
	})
	if revision >= modern {
		p.stop, err = c.ListenAsync(ctx, mcpgotypes.SubscriptionFilter{ToolsListChanged: true}, nil)
	}
	return p, err
}

func (c *mcpGo) revision() string { return c.ProtocolVersion() }

func (c *mcpGo) close() {
	if c.stop != nil {
		c.stop()
	}
	_ = c.Close()
}

func (c *mcpGo) list(ctx context.Context, kind string) (names []string, err error) {
	switch kind {
	case "tools":
		res, e := c.ListTools(ctx, mcpgotypes.ListToolsRequest{})
		if err = e; err == nil {
			for _, x := range res.Tools {
				names = append(names, x.Name)
			}
		}
	case "prompts":
		res, e := c.ListPrompts(ctx, mcpgotypes.ListPromptsRequest{})
		if err = e; err == nil {
			for _, x := range res.Prompts {
				names = append(names, x.Name)
			}
		}
	case "resources":
		res, e := c.ListResources(ctx, mcpgotypes.ListResourcesRequest{})
		if err = e; err == nil {
			for _, x := range res.Resources {
				names = append(names, x.URI)
			}
		}
	case "templates":
		res, e := c.ListResourceTemplates(ctx, mcpgotypes.ListResourceTemplatesRequest{})
		if err = e; err == nil {
			for _, x := range res.ResourceTemplates {
				raw, _ := json.Marshal(x.URITemplate)
				names = append(names, strings.Trim(string(raw), `"`))
			}
		}
	}
	return names, err
}

func (c *mcpGo) call(ctx context.Context, tool string, args map[string]any) (string, error) {
	var q mcpgotypes.CallToolRequest
	q.Params.Name, q.Params.Arguments = tool, args
	res, err := c.CallTool(ctx, q)
	if err != nil {
		return "", err
	}
	return res.Content[0].(mcpgotypes.TextContent).Text, nil
}

func (c *mcpGo) read(ctx context.Context, uri string) (string, error) {
	var q mcpgotypes.ReadResourceRequest
	q.Params.URI = uri
	res, err := c.ReadResource(ctx, q)
	if err != nil {
		return "", err
	}
	return res.Contents[0].(mcpgotypes.TextResourceContents).Text, nil
}

func (c *mcpGo) prompt(ctx context.Context, name string, args map[string]string) (string, error) {
	var q mcpgotypes.GetPromptRequest
	q.Params.Name, q.Params.Arguments = name, args
	res, err := c.GetPrompt(ctx, q)
	if err != nil {
		return "", err
	}
	return res.Messages[0].Content.(mcpgotypes.TextContent).Text, nil
}

func (c *mcpGo) complete(ctx context.Context, prompt, template, argument, value string) ([]string, error) {
	var q mcpgotypes.CompleteRequest
	q.Params.Ref = mcpgotypes.PromptReference{Type: "ref/prompt", Name: prompt}
	if template != "" {
		q.Params.Ref = mcpgotypes.ResourceReference{Type: "ref/resource", URI: template}
	}
	q.Params.Argument = mcpgotypes.CompleteArgument{Name: argument, Value: value}
	res, err := c.Complete(ctx, q)
	if err != nil {
		return nil, err
	}
	return res.Completion.Values, nil
}

// sample is a server with one of everything.
func sample(t *testing.T, name string, o ...backendtest.Option) *backendtest.Server {
	return backendtest.NewServer(t, append([]backendtest.Option{
		backendtest.WithPipe(), backendtest.WithName(name),
		backendtest.WithTool("echo", backendtest.Echo),
		backendtest.WithTool("who", backendtest.Text(name)),
		backendtest.WithPrompt("greet", "hello {who} of "+name),
		backendtest.WithResource("mem://"+name, "text of "+name),
		backendtest.WithResourceTemplate("tpl://"+name+"/{id}", "matched "+name),
		backendtest.WithCompletion(func(_ context.Context, ref, argument, value string) ([]string, error) {
			return []string{name + " " + ref + " " + argument + " " + value}, nil
		}),
	}, o...)...)
}

func TestEveryClientMeetsEveryBackend(t *testing.T) {
	kinds := map[string][]backendtest.Option{
		"official sse":  {backendtest.WithSDK()},
		"official json": {backendtest.WithSDK(), backendtest.WithJSON()},
		"mcp-go":        {backendtest.WithMCPGo()},
	}
	for sdk, dial := range dials {
		for kind, opts := range kinds {
			for _, front := range []string{modern, elder, "2025-06-18", "2025-03-26"} {
				for _, back := range []string{modern, elder, "2025-03-26"} {
					t.Run(fmt.Sprintf("%s %s to %s %s", sdk, front, kind, back), func(t *testing.T) {
						synctest.Test(t, func(t *testing.T) {
							o := append([]backendtest.Option{backendtest.WithRevision(back)}, opts...)
							meet(t, dial, front, sample(t, "one", o...), sample(t, "two", o...))
						})
					})
				}
			}
		}
	}
}

// meet does everything plain that a client can do, at the joint endpoint and at
// that of one backend.
func meet(t *testing.T, dial dial, front string, one, two *backendtest.Server) {
	r := newRig(t, settings{}, one, two)
	synctest.Wait()
	ctx := t.Context()
	c, err := dial(ctx, r, "/mcp", front, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	if c.revision() != front {
		t.Fatalf("speaks %s, want %s", c.revision(), front)
	}
	got := map[string]any{}
	put := func(what string, v any, err error) {
		if err != nil {
			v = err
		}
		got[what] = v
	}
	for _, kind := range []string{"tools", "prompts", "resources", "templates"} {
		names, err := c.list(ctx, kind)
		put(kind, names, err)
	}
	for _, tool := range []string{"a_who", "b_who"} {
		text, err := c.call(ctx, tool, nil)
		put("call "+tool, text, err)
	}
	text, err := c.call(ctx, "b_echo", map[string]any{"n": 1, "s": "ß"})
	put("echo", text, err)
	text, err = c.prompt(ctx, "b_greet", map[string]string{"who": "you"})
	put("prompt", text, err)
	text, err = c.read(ctx, "mem://two")
	put("read", text, err)
	text, err = c.read(ctx, "tpl://one/7")
	put("read by template", text, err)
	values, err := c.complete(ctx, "a_greet", "", "who", "y")
	put("complete", values, err)
	values, err = c.complete(ctx, "", "tpl://two/{id}", "id", "4")
	put("complete a template", values, err)
	if diff := cmp.Diff(map[string]any{
		"tools":     []string{"a_echo", "a_who", "b_echo", "b_who"},
		"prompts":   []string{"a_greet", "b_greet"},
		"resources": []string{"mem://one", "mem://two"}, "templates": []string{"tpl://one/{id}", "tpl://two/{id}"},
		"call a_who": "one", "call b_who": "two", "echo": `{"n":1,"s":"ß"}`,
		"prompt": "hello you of two", "read": "text of two", "read by template": "matched one",
		"complete": []string{"one greet who y"}, "complete a template": []string{"two tpl://two/{id} id 4"},
	}, got, cmp.Transformer("error", func(e error) string { return e.Error() })); diff != "" {
		t.Error(diff)
	}
	if n := one.Executions("who") + two.Executions("who") + two.Executions("echo"); n != 3 {
		t.Errorf("%d executions, want 3", n)
	}

	alone, err := dial(ctx, r, "/mcp/b", front, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer alone.close()
	if names, err := alone.list(ctx, "tools"); err != nil || cmp.Diff([]string{"echo", "who"}, names) != "" {
		t.Errorf("alone: %v, %v", names, err)
	}
	if text, err := alone.call(ctx, "who", nil); err != nil || text != "two" {
		t.Errorf("alone: %q, %v", text, err)
	}
}

func TestChangedListsReachOpenClients(t *testing.T) {
	for sdk, dial := range dials {
		for _, front := range []string{modern, elder} {
			for _, back := range []string{modern, elder} {
				t.Run(fmt.Sprintf("%s %s, backend %s", sdk, front, back), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						srv := sample(t, "one", backendtest.WithRevision(back))
						r := newRig(t, settings{}, srv)
						synctest.Wait()
						told := make(chan struct{}, 10)
						c, err := dial(t.Context(), r, "/mcp", front, func() { told <- struct{}{} })
						if err != nil {
							t.Fatal(err)
						}
						defer c.close()
						synctest.Wait() // the streams are there
						srv.AddTool(backendtest.Tool{Name: "new", Func: backendtest.Text("fresh")})
						<-told
						names, err := c.list(t.Context(), "tools")
						if diff := cmp.Diff([]string{"a_echo", "a_new", "a_who"}, names); diff != "" || err != nil {
							t.Errorf("%v %s", err, diff)
						}
						if text, err := c.call(t.Context(), "a_new", nil); err != nil || text != "fresh" {
							t.Errorf("%q, %v", text, err)
						}
					})
				})
			}
		}
	}
}
