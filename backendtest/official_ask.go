package backendtest

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// conversing lets a tool talk to the client that called it.
func (e *official) conversing(ctx context.Context, req *mcp.CallToolRequest) context.Context {
	c := &conversation{
		ask: func(ctx context.Context, q Question) (json.RawMessage, error) {
			ctx, done := placed(ctx)
			defer done()
			return officialAsk(ctx, req.Session, q)
		},
		log: func(ctx context.Context, level, logger string, data any) error {
			ctx, done := placed(ctx)
			defer done()
			return req.Session.Log(ctx, &mcp.LoggingMessageParams{
				Level: mcp.LoggingLevel(level), Logger: logger, Data: data,
			})
		},
	}
	if m, _ := MessageFrom(ctx); m.Modern() {
		c.rounds = roundsOf(m)
	}
	return context.WithValue(ctx, conversationKey{}, c)
}

// placed takes from a context what ties messages to the stream of a call, if
// they are said aside.
func placed(ctx context.Context) (context.Context, func()) {
	if ctx.Value(asideKey{}) == nil {
		return ctx, func() {}
	}
	aside, cancel := context.WithCancel(context.Background())
	stop := context.AfterFunc(ctx, cancel)
	return aside, func() { stop(); cancel() }
}

func officialAsk(ctx context.Context, s *mcp.ServerSession, q Question) (json.RawMessage, error) {
	r, err := officialRequest(q)
	if err != nil {
		return nil, err
	}
	var result any
	switch p := r.(type) {
	case *mcp.ElicitParams:
		result, err = s.Elicit(ctx, p)
	case *mcp.CreateMessageWithToolsParams:
		result, err = s.CreateMessageWithTools(ctx, p)
	case *mcp.ListRootsParams:
		result, err = s.ListRoots(ctx, p)
	}
	if rpc := new(jsonrpc.Error); errors.As(err, &rpc) {
		return nil, &RPCError{int(rpc.Code), rpc.Message, rpc.Data}
	}
	if err != nil {
		return nil, err
	}
	return json.Marshal(result)
}

// officialRequest makes the SDK's params of a question.
func officialRequest(q Question) (mcp.InputRequest, error) {
	var p mcp.InputRequest
	switch q.Method {
	case "elicitation/create":
		p = &mcp.ElicitParams{}
	case "sampling/createMessage":
		p = &mcp.CreateMessageWithToolsParams{}
	default:
		p = &mcp.ListRootsParams{}
	}
	return p, json.Unmarshal(q.Params, p)
}

// official is the result that asks for more.
func (e *inputRequired) official() (*mcp.CallToolResult, error) {
	out := &mcp.CallToolResult{InputRequests: mcp.InputRequestMap{}, RequestState: e.state}
	for key, q := range e.requests {
		r, err := officialRequest(q)
		if err != nil {
			return nil, err
		}
		out.InputRequests[key] = r
	}
	return out, nil
}
