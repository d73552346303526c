package backend_test

import (
	"bytes"
	"fmt"
	"net/http"

	"github.com/recloser-mcp/recloser/backendtest"
)

// carries matches requests that were sent with a token.
func carries(token string) func(*http.Request, backendtest.Message) bool {
	return func(_ *http.Request, m backendtest.Message) bool { return m.Credential == token }
}

// answers serves results by hand, by method; the SDK serves the rest.
func answers(results map[string]string) backendtest.Option {
	return backendtest.WithHandler(func(w http.ResponseWriter, _ *http.Request, m backendtest.Message) bool {
		result, ok := results[m.Method]
		if !ok {
			return false
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":%s}`, m.ID, result)
		return true
	})
}

func contains(b []byte, s string) bool { return bytes.Contains(b, []byte(s)) }
