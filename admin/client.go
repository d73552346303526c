package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/recloser-mcp/recloser/auth"
	"github.com/recloser-mcp/recloser/status"
)

// maxAnswer bounds what is read of one answer, and maxComplaint of one that is an
// error.
const (
	maxAnswer    = 64 << 20
	maxComplaint = 1 << 20
)

// Client asks the admin listener of a running gateway. Its fields are not changed
// while it is used; its methods are safe for concurrent use. Their errors are of
// type [*Error].
type Client struct {
	// URL is the address of the admin listener, such as http://127.0.0.1:8485.
	URL string
	// Token is the token of admin.token, empty where none is set.
	Token auth.Secret
	// HTTPClient makes the requests; redirects are not followed. Default: one
	// that takes its proxy from the environment and has no timeout: use contexts.
	HTTPClient *http.Client
}

// Kind says which kind of fault an [Error] is.
type Kind uint8

// The kinds of errors.
const (
	Failed       Kind = iota // the gateway could not do it, or did not understand
	Unreachable              // nobody answered, or somebody who is no gateway
	Unauthorized             // 401 or 403: the token is missing or wrong, or the Host is foreign
	NotFound                 // 404: there is no such backend or tool
	Refused                  // 409: it cannot be done as things are
)

// Error is the one error type of [Client].
type Error struct {
	Kind   Kind
	URL    string // of the admin listener
	Status int    // of the HTTP answer, 0 when there was none
	// Message is what the gateway said, which names what to do, or what happened
	// on the way.
	Message string
	// Problems are those of a refused configuration.
	Problems []Problem
	Err      error
}

// Error says what happened and where.
func (e *Error) Error() string { return fmt.Sprintf("admin API at %s: %s", e.URL, e.Message) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Status asks for the status of the gateway and of all backends.
func (c *Client) Status(ctx context.Context) (*status.Status, error) {
	return get[status.Status](ctx, c, "/api/v1/status")
}

// Backend asks for all that is known of one backend.
func (c *Client) Backend(ctx context.Context, name string) (*status.Detail, error) {
	return get[status.Detail](ctx, c, "/api/v1/backends/"+url.PathEscape(name))
}

// History asks for the last hour of every backend, and under the empty name of
// the whole gateway.
func (c *Client) History(ctx context.Context) (map[string]status.History, error) {
	h, err := get[map[string]status.History](ctx, c, "/api/v1/history")
	if err != nil {
		return nil, err
	}
	return *h, nil
}

// Config asks for the configuration in effect.
func (c *Client) Config(ctx context.Context) (*Loaded, error) {
	return get[Loaded](ctx, c, "/api/v1/config")
}

// Act does something to one backend and waits for its end.
func (c *Client) Act(ctx context.Context, backend string, a Action) (*Done, error) {
	return post[Done](ctx, c, "/api/v1/backends/"+url.PathEscape(backend)+"/"+string(a), struct{}{})
}

// Reload has the gateway read its configuration again. An error of kind Refused
// has the problems of one that it did not take up; then nothing has changed.
func (c *Client) Reload(ctx context.Context) (*Done, error) {
	return post[Done](ctx, c, "/api/v1/reload", struct{}{})
}

// CallTool calls a tool by its public name, as a client of the gateway would.
// arguments is a JSON object; nil is the empty one. An error that such a client
// would get is in the answer.
func (c *Client) CallTool(ctx context.Context, name string, arguments json.RawMessage) (*Called, error) {
	if arguments == nil {
		arguments = json.RawMessage("{}")
	}
	return post[Called](ctx, c, "/api/v1/tools/call", map[string]any{"name": name, "arguments": arguments})
}

func get[T any](ctx context.Context, c *Client, path string) (*T, error) {
	return answer[T](ctx, c, http.MethodGet, path, nil)
}

func post[T any](ctx context.Context, c *Client, path string, body any) (*T, error) {
	b, err := json.Marshal(body)
	if err != nil {
		return nil, c.fault(Failed, 0, err, "the request cannot be written as JSON: %v", err)
	}
	return answer[T](ctx, c, http.MethodPost, path, b)
}

func answer[T any](ctx context.Context, c *Client, method, path string, body []byte) (*T, error) {
	resp, err := c.send(ctx, method, path, body, "application/json", nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, c.fault(Unreachable, resp.StatusCode, err, "the answer broke off: %v", err)
	case len(b) > maxAnswer:
		return nil, c.fault(Failed, resp.StatusCode, nil, "the answer is larger than %d MiB", maxAnswer>>20)
	}
	out := new(T)
	if err := json.Unmarshal(b, out); err != nil {
		return nil, c.fault(Unreachable, resp.StatusCode, err, "what answers is no gateway: %s is not JSON of the expected form", path)
	}
	return out, nil
}

// send makes one request. What it returns without an error was answered 200.
func (c *Client) send(ctx context.Context, method, path string, body []byte, accept string, header http.Header) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(c.URL, "/")+path, bytes.NewReader(body))
	if err != nil {
		return nil, c.fault(Unreachable, 0, err, "the address is no URL: write it as http://host:port")
	}
	if header != nil {
		r.Header = header
	}
	r.Header.Set("Accept", accept)
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/json")
	}
	if !c.Token.IsZero() {
		r.Header.Set("Authorization", "Bearer "+c.Token.Reveal())
	}
	resp, err := c.http().Do(r)
	if err != nil {
		var u *url.Error // its text repeats the URL
		if errors.As(err, &u) {
			err = u.Err
		}
		return nil, c.fault(Unreachable, 0, err, "%v", err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer func() { _ = resp.Body.Close() }()
	return nil, c.complaint(resp)
}

func (c *Client) http() *http.Client {
	h := &http.Client{}
	if c.HTTPClient != nil {
		*h = *c.HTTPClient
	}
	h.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return h
}

// complaint makes an error of an answer that is one.
func (c *Client) complaint(resp *http.Response) *Error {
	var said struct {
		Error    string    `json:"error"`
		Problems []Problem `json:"problems"`
	}
	b, _ := io.ReadAll(io.LimitReader(resp.Body, maxComplaint))
	if json.Unmarshal(b, &said) != nil || said.Error == "" {
		// A gateway says what is the matter, so this is none, or one of another
		// version.
		kind := Unreachable
		if resp.StatusCode == http.StatusUnauthorized {
			kind = Unauthorized
		}
		return c.fault(kind, resp.StatusCode, nil, "what answers with status %d is no gateway's admin listener, or one of another version", resp.StatusCode)
	}
	kind := Failed
	switch resp.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		kind = Unauthorized
	case http.StatusNotFound:
		kind = NotFound
	case http.StatusConflict:
		kind = Refused
	}
	e := c.fault(kind, resp.StatusCode, nil, "%s", said.Error)
	e.Problems = said.Problems
	return e
}

func (c *Client) fault(kind Kind, code int, err error, format string, args ...any) *Error {
	shown := c.URL
	if u, err := url.Parse(c.URL); err == nil {
		shown = u.Redacted()
	}
	return &Error{Kind: kind, URL: shown, Status: code, Err: err, Message: fmt.Sprintf(format, args...)}
}
