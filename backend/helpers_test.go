package backend_test

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"

	"github.com/recloser-mcp/recloser/backend"
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

func pemOf(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// shownOf is everything of an error, the facts and the traces, under every verb.
func shownOf(err error, r *rig) string {
	var e *backend.Error
	hint := ""
	if errors.As(err, &e) {
		hint = e.Hint()
	}
	doc, _ := json.Marshal(r.c.Facts())
	return fmt.Sprintf("%v %+v %#v %s %+v %#v %s %+v %#v %+v %+v", err, err, err, hint, r.c.Facts(), r.c.Facts(), doc,
		r.c, r.source, r.traced.sends, r.traced.calls) + fmt.Sprintf("%+v", e.Challenge)
}

var discardLog = log.New(io.Discard, "", 0)
