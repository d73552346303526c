package backendtest_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	mcpgo "github.com/mark3labs/mcp-go/client"
	mcpgotransport "github.com/mark3labs/mcp-go/client/transport"
	mcpgotypes "github.com/mark3labs/mcp-go/mcp"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"go.uber.org/goleak"

	"github.com/recloser-mcp/recloser/backendtest"
)

func TestMain(m *testing.M) {
	programs.Main()
	goleak.VerifyTestMain(m)
}

// flavour is one kind of server.
type flavour struct {
	name string
	opts []backendtest.Option
}

var flavours = []flavour{
	{"official", []backendtest.Option{backendtest.WithSDK()}},
	{"official json", []backendtest.Option{backendtest.WithSDK(), backendtest.WithJSON()}},
	{"mcp-go", []backendtest.Option{backendtest.WithMCPGo()}},
}

// eachFlavour runs a test against each flavour, on a port and in memory; in
// memory it runs in a bubble of virtual time.
func eachFlavour(t *testing.T, test func(t *testing.T, start func(...backendtest.Option) *backendtest.Server)) {
	t.Helper()
	for _, f := range flavours {
		t.Run(f.name+"/port", func(t *testing.T) {
			test(t, func(opts ...backendtest.Option) *backendtest.Server {
				return backendtest.NewServer(t, append(f.opts, opts...)...)
			})
		})
		t.Run(f.name+"/memory", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				test(t, func(opts ...backendtest.Option) *backendtest.Server {
					return backendtest.NewServer(t, append(append(f.opts, backendtest.WithPipe()), opts...)...)
				})
			})
		})
	}
}

// withToken is a client whose requests carry a bearer token.
func withToken(c *http.Client, token func() string) *http.Client {
	next := c.Transport
	return &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", "Bearer "+token())
		return next.RoundTrip(r)
	})}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// caller is what the tests need of an SDK's client.
type caller interface {
	revision() string
	tools(ctx context.Context) ([]string, error)
	call(ctx context.Context, tool string, args map[string]any) (string, error)
	close()
}

type officialClient struct{ *mcp.ClientSession }

func dialOfficial(ctx context.Context, srv *backendtest.Server, c *http.Client, changed func()) (caller, error) {
	opts := &mcp.ClientOptions{}
	if changed != nil {
		opts.ToolListChangedHandler = func(context.Context, *mcp.ToolListChangedRequest) { changed() }
	}
	client := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, opts)
	session, err := client.Connect(ctx, &mcp.StreamableClientTransport{
		Endpoint: srv.URL, HTTPClient: c, MaxRetries: -1,
	}, nil)
	if err != nil {
		return nil, err
	}
	return officialClient{session}, nil
}

func (c officialClient) revision() string { return c.InitializeResult().ProtocolVersion }

func (c officialClient) tools(ctx context.Context) ([]string, error) {
	var names []string
	for tool, err := range c.Tools(ctx, nil) {
		if err != nil {
			return nil, err
		}
		names = append(names, tool.Name)
	}
	return names, nil
}

func (c officialClient) call(ctx context.Context, tool string, args map[string]any) (string, error) {
	res, err := c.CallTool(ctx, &mcp.CallToolParams{Name: tool, Arguments: args})
	if err != nil {
		return "", err
	}
	text := res.Content[0].(*mcp.TextContent).Text
	if res.IsError {
		return text, errors.New("tool error")
	}
	return text, nil
}

func (c officialClient) close() { _ = c.Close() }

type mcpGoClient struct {
	*mcpgo.Client
	stop func() // of its listening, nil when it does not
}

func dialMCPGo(ctx context.Context, srv *backendtest.Server, c *http.Client, changed func()) (caller, error) {
	client, err := startMCPGo(ctx, srv, c)
	if err != nil || changed == nil {
		return client, err
	}
	if client.revision() < "2026-07-28" {
		// Only a client that was told so beforehand opens the GET stream.
		client.close()
		client, err = startMCPGo(ctx, srv, c,
			mcpgotransport.WithContinuousListening())
		if err != nil {
			return nil, err
		}
	}
	client.OnNotification(func(n mcpgotypes.JSONRPCNotification) {
		if n.Method == "notifications/tools/list_changed" {
			changed()
		}
	})
	if client.revision() >= "2026-07-28" {
		client.stop, err = client.ListenAsync(ctx, mcpgotypes.SubscriptionFilter{ToolsListChanged: true}, nil)
	}
	return client, err
}

func startMCPGo(
	ctx context.Context, srv *backendtest.Server, c *http.Client, opts ...mcpgotransport.StreamableHTTPCOption,
) (*mcpGoClient, error) {
	client, err := mcpgo.NewStreamableHttpClient(srv.URL, append(opts,
		mcpgotransport.WithHTTPBasicClient(c), mcpgotransport.WithHTTPLogger(slog.New(slog.DiscardHandler)))...)
	if err != nil {
		return nil, err
	}
	if err := client.Start(ctx); err != nil {
		return nil, err
	}
	var init mcpgotypes.InitializeRequest
	init.Params.ClientInfo = mcpgotypes.Implementation{Name: "test", Version: "1"}
	if _, err := client.Initialize(ctx, init); err != nil {
		_ = client.Close()
		return nil, err
	}
	return &mcpGoClient{Client: client}, nil
}

func (c *mcpGoClient) revision() string { return c.ProtocolVersion() }

func (c *mcpGoClient) tools(ctx context.Context) ([]string, error) {
	res, err := c.ListTools(ctx, mcpgotypes.ListToolsRequest{})
	if err != nil {
		return nil, err
	}
	var names []string
	for _, t := range res.Tools {
		names = append(names, t.Name)
	}
	return names, nil
}

func (c *mcpGoClient) call(ctx context.Context, tool string, args map[string]any) (string, error) {
	var req mcpgotypes.CallToolRequest
	req.Params.Name, req.Params.Arguments = tool, args
	res, err := c.CallTool(ctx, req)
	if err != nil {
		return "", err
	}
	text := res.Content[0].(mcpgotypes.TextContent).Text
	if res.IsError {
		return text, errors.New("tool error")
	}
	return text, nil
}

func (c *mcpGoClient) close() {
	if c.stop != nil {
		c.stop()
	}
	_ = c.Close()
}

var clients = map[string]func(context.Context, *backendtest.Server, *http.Client, func()) (caller, error){
	"official": dialOfficial, "mcp-go": dialMCPGo,
}

// post sends a JSON-RPC message of revision 2025-11-25 by hand.
func post(t *testing.T, srv *backendtest.Server, c *http.Client, body string, headers ...string) (*http.Response, string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := c.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	return res, string(b), err
}
