package backendtest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/recloser-mcp/recloser/backendtest"
)

// A server that refuses the first call and loses the answer of the second one,
// met by a client that does nothing about it. In a test, NewServer(t) does the
// closing.
func Example() {
	srv, err := backendtest.StartServer(
		backendtest.WithRevision("2026-07-28"),
		backendtest.WithTool("greet", func(_ context.Context, args json.RawMessage) (any, error) {
			return "hello " + string(args), nil
		}),
		backendtest.WithFault(
			backendtest.Status(http.StatusServiceUnavailable, 1).ForMethod("tools/call"),
			backendtest.ResetPeer(1).ForMethod("tools/call").AfterExecution(),
		),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer srv.Close()

	ctx := context.Background()
	for range 3 {
		// A fresh session for each call: failures end this client's sessions.
		client := mcp.NewClient(&mcp.Implementation{Name: "example", Version: "1"}, nil)
		session, err := client.Connect(ctx, &mcp.StreamableClientTransport{
			Endpoint: srv.URL, HTTPClient: srv.Client(), MaxRetries: -1,
		}, nil)
		if err != nil {
			fmt.Println(err)
			return
		}
		res, err := session.CallTool(ctx, &mcp.CallToolParams{Name: "greet", Arguments: map[string]any{"n": 1}})
		if err != nil {
			fmt.Println("no answer")
		} else {
			fmt.Println(res.Content[0].(*mcp.TextContent).Text)
		}
		_ = session.Close()
	}
	fmt.Println(srv.Requests("tools/call"), "requests,", srv.Executions("greet"), "executions")

	// Output:
	// no answer
	// no answer
	// hello {"n":1}
	// 3 requests, 2 executions
}

// An issuer whose tokens are revoked: the server's counters tell how often each
// token was used.
func ExampleIssuer() {
	issuer, err := backendtest.StartIssuer()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer issuer.Close()
	srv, err := backendtest.StartServer(backendtest.WithBearer(issuer))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer srv.Close()

	ask := func(token string) {
		req, _ := http.NewRequest(http.MethodGet, srv.URL, nil)
		req.Header.Set("Authorization", "Bearer "+token)
		res, err := srv.Client().Do(req)
		if err != nil {
			fmt.Println(err)
			return
		}
		_ = res.Body.Close()
		fmt.Printf("%v %q\n", res.StatusCode == http.StatusUnauthorized, res.Header.Get("WWW-Authenticate"))
	}
	first := issuer.Mint()
	ask(first)
	issuer.Revoke()
	ask(first)
	ask(issuer.Mint())
	fmt.Println(srv.ByToken(1), srv.ByToken(2), srv.Refused(backendtest.MethodGet))

	// Output:
	// false ""
	// true "Bearer error=\"invalid_token\""
	// false ""
	// 2 1 1
}
