package backend

import (
	"bytes"
	"io"
	"mime"
	"net/http"
	"time"

	"github.com/recloser-mcp/recloser/auth"
	"github.com/recloser-mcp/recloser/guard"
	"github.com/recloser-mcp/recloser/wire"
)

const (
	// refusalBytes bounds what is read of a refusal's body: enough for any
	// JSON-RPC error, and to keep the connection for the next send.
	refusalBytes = 64 << 10
	// refusalTime bounds how long a refusal's body may keep a recovery waiting.
	refusalTime = time.Second
)

// judge says what an answer proves about the credential it was sent with. Only
// the status decides, and for 401 and 403 what RFC 6750 puts into the challenge
// and MCP into a JSON-RPC error.
//
// Refusals are read, bounded, and closed; the body of a 403 that is no refusal
// is put back as it was.
func judge(resp *http.Response) (guard.Verdict, *auth.Challenge) {
	switch {
	case resp.StatusCode/100 == 2:
		return guard.Accepted, nil
	case resp.StatusCode != http.StatusUnauthorized && resp.StatusCode != http.StatusForbidden:
		return guard.Neutral, nil
	}
	body := readRefusal(resp)
	challenge := challengeOf(resp.Header)
	code := ""
	if challenge != nil {
		code = challenge.Error
	}
	switch {
	case resp.StatusCode == http.StatusUnauthorized && code == "invalid_request":
		return guard.Invalid, challenge
	case resp.StatusCode == http.StatusUnauthorized:
		return guard.Refused, challenge
	case code == "insufficient_scope":
		return guard.Scope, challenge
	}
	if _, ok := rpcErrorIn(resp.Header, body); ok {
		resp.Body = io.NopCloser(bytes.NewReader(body))
		return guard.Neutral, nil
	}
	return guard.Denied, challenge
}

// readRefusal reads what it may of a refusal's body and closes it. A body that
// trickles is cut off: the verdict does not depend on its end.
func readRefusal(resp *http.Response) []byte {
	if resp.ContentLength == 0 || resp.Body == http.NoBody {
		_ = resp.Body.Close()
		return nil
	}
	cut := time.AfterFunc(refusalTime, func() { _ = resp.Body.Close() })
	defer cut.Stop()
	body, err := io.ReadAll(io.LimitReader(resp.Body, refusalBytes))
	_ = resp.Body.Close()
	if err != nil {
		return nil
	}
	return body
}

// challengeOf returns the Bearer challenge, else the first one, else nil.
func challengeOf(h http.Header) *auth.Challenge {
	all := auth.ParseChallenges(h.Values("Www-Authenticate"))
	if c, ok := auth.Bearer(all); ok {
		return &c
	}
	if len(all) > 0 {
		return &all[0]
	}
	return nil
}

// rpcErrorIn returns the parts of a document that is a JSON-RPC error. What only
// looks like one, as {"error":"forbidden"} does, is none.
func rpcErrorIn(h http.Header, doc []byte) (wire.Answer, bool) {
	if !isType(h, typeJSON) {
		return wire.Answer{}, false
	}
	e, err := wire.Scan(doc)
	if err != nil || e.Kind != wire.Response || !e.Error.Present() {
		return wire.Answer{}, false
	}
	a, err := wire.ScanAnswer(doc)
	return a, err == nil && doc[a.Error.Start] == '{'
}

const (
	typeJSON = "application/json"
	typeSSE  = "text/event-stream"
)

// isType compares the media type of an answer, without its parameters.
func isType(h http.Header, want string) bool {
	v := h.Get("Content-Type")
	if v == want {
		return true
	}
	got, _, err := mime.ParseMediaType(v)
	return err == nil && got == want
}
