package backend_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/recloser-mcp/recloser/auth"
	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/backendtest"
)

// A client of a server whose token is revoked between two calls.
func ExampleNewHTTPBackendClient() {
	issuer, err := backendtest.StartIssuer()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer issuer.Close()
	server, err := backendtest.StartServer(backendtest.WithBearer(issuer), backendtest.WithTool("greet", backendtest.Text("hello")))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()

	client, err := backend.NewHTTPBackendClient(auth.NewRegistry(), backend.Options{
		Name: "greeter",
		URL:  server.URL,
		AuthSpec: auth.Spec{Type: "client_credentials", Decode: func(into any) error {
			o, ok := into.(*auth.ClientCredentialsOptions)
			if !ok {
				return errors.New("other options than expected")
			}
			o.TokenURL, o.ClientID, o.ClientSecret = issuer.TokenURL, issuer.ClientID, auth.NewValue(issuer.ClientSecret)
			return nil
		}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	for range 2 {
		raw, err := client.CallTool(context.Background(), "greet", nil)
		if err != nil {
			fmt.Println(err)
			return
		}
		var result struct{ Content []struct{ Text string } }
		if err := json.Unmarshal(raw, &result); err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(result.Content[0].Text)
		issuer.Revoke()
	}
	f := client.Facts()
	fmt.Println("saved by renewal:", f.Counters.SavedByRenewal, "executions:", server.Executions("greet"))
	// Output:
	// hello
	// hello
	// saved by renewal: 1 executions: 2
}
