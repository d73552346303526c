package caller

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
)

// Error is the refusal of a request. It holds nothing that the request brought
// along but a host or an origin, cut to a bearable length.
type Error struct {
	// Status is the HTTP status: 400, 401 or 403.
	Status int
	// Challenge is the value of WWW-Authenticate, empty where the answer has
	// none.
	Challenge string
	// Message says what is wrong and what to do.
	Message string
}

func (e *Error) Error() string { return e.Message }

// invalidRequest is JSON-RPC's code for a message that is not acceptable as such.
// MCP has no code of its own for a refused caller, and asks that none be made up
// in the range that JSON-RPC reserves.
const invalidRequest = -32600

// WriteError answers a request with the error, as HTTP status, challenge and a
// JSON-RPC error that has no id, since the request's body was not read. An error
// that is no *Error is answered 500 without a word about it.
func WriteError(w http.ResponseWriter, err error) {
	var refusal *Error
	if !errors.As(err, &refusal) {
		refusal = &Error{Status: http.StatusInternalServerError, Message: "the gateway could not check this request"}
	}
	type rpcError struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	}
	body, err := json.Marshal(struct {
		Version string   `json:"jsonrpc"`
		Error   rpcError `json:"error"`
	}{"2.0", rpcError{invalidRequest, refusal.Message}})
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	h := w.Header()
	if refusal.Challenge != "" {
		h.Set("WWW-Authenticate", refusal.Challenge)
	}
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(refusal.Status)
	_, _ = w.Write(body) // a client that left does not read it, and nobody else wants to know
}
