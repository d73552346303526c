package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/recloser-mcp/recloser/admin"
	"github.com/recloser-mcp/recloser/wire"
)

// tryTime bounds a call that somebody makes to try a tool.
const tryTime = time.Minute

// maxTried bounds the answer to it.
const maxTried = 4 << 20

// tryTool calls a tool at /mcp just as a client would.
func (s *Server) tryTool(ctx context.Context, name string, arguments json.RawMessage) (admin.Called, error) {
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, ownKey{}, true), tryTime)
	defer cancel()
	began := time.Now()
	hello, err := s.ask(ctx, http.MethodPost, "", wire.InitializeRequest([]byte("1"), wire.Rev20251125, nil, []byte(`{"name":"recloser-admin","version":"`+s.version+`"}`)))
	if err != nil {
		return admin.Called{}, err
	}
	session := hello.head.Get(wire.HeaderSession)
	if session == "" {
		return admin.Called{}, fmt.Errorf("the gateway opened no session: HTTP %d", hello.code)
	}
	defer func() { _, _ = s.ask(context.WithoutCancel(ctx), http.MethodDelete, session, nil) }()
	params := append(wire.Quote([]byte(`{"name":`), name), `,"arguments":`...)
	if len(arguments) == 0 {
		arguments = json.RawMessage(`{}`)
	}
	answer, err := s.ask(ctx, http.MethodPost, session, wire.RequestBody([]byte("2"), wire.MethodToolsCall, append(append(params, arguments...), '}')))
	if err != nil {
		return admin.Called{}, err
	}
	doc, err := answer.response()
	if err != nil {
		return admin.Called{}, err
	}
	return admin.Called{Result: doc.Result, Error: doc.Error, Took: float64(time.Since(began).Microseconds()) / 1000}, nil
}

// ask puts a request to the gateway's own front, without a connection.
func (s *Server) ask(ctx context.Context, method, session string, body []byte) (*kept, error) {
	r, err := http.NewRequestWithContext(ctx, method, "http://"+s.Addr()+"/mcp", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json, text/event-stream")
	r.Header[wire.HeaderProtocol] = []string{string(wire.Rev20251125)}
	if session != "" {
		r.Header[wire.HeaderSession] = []string{session}
	}
	k := &kept{head: http.Header{}, code: http.StatusOK}
	s.gateway.ServeHTTP(k, r)
	if ctx.Err() != nil {
		return nil, errors.New("the tool gave no answer within " + tryTime.String())
	}
	return k, nil
}

// kept is an answer in memory.
type kept struct {
	head http.Header
	code int
	body bytes.Buffer
}

func (k *kept) Header() http.Header  { return k.head }
func (k *kept) WriteHeader(code int) { k.code = code }
func (k *kept) Flush()               {}

func (k *kept) Write(p []byte) (int, error) {
	if k.body.Len()+len(p) > maxTried {
		return 0, errors.New("the answer is too large to be shown")
	}
	return k.body.Write(p)
}

type response struct {
	ID     json.RawMessage `json:"id"`
	Result json.RawMessage `json:"result"`
	Error  json.RawMessage `json:"error"`
}

// response finds the answer in a body or in a stream of events.
func (k *kept) response() (*response, error) {
	doc := k.body.Bytes()
	if k.head.Get("Content-Type") == "text/event-stream" {
		events := wire.NewEventReader(&k.body, maxTried)
		doc = nil
		for {
			e, err := events.Next()
			if err != nil {
				break
			}
			var r response
			if json.Unmarshal(e.Data, &r) == nil && (r.Result != nil || r.Error != nil) {
				return &r, nil
			}
		}
	}
	var r response
	if err := json.Unmarshal(doc, &r); err != nil || r.Result == nil && r.Error == nil {
		return nil, fmt.Errorf("the gateway gave no answer that can be shown: HTTP %d", k.code)
	}
	return &r, nil
}
