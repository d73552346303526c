package backend_test

import (
	"net/http"

	"github.com/recloser-mcp/recloser/backendtest"
)

// carries matches requests that were sent with a token.
func carries(token string) func(*http.Request, backendtest.Message) bool {
	return func(_ *http.Request, m backendtest.Message) bool { return m.Credential == token }
}
