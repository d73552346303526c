package backendtest

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

// conversing lets a tool talk to the client that called it. Mcp-go asks on the
// stream of the call for elicitation only, and else on the standing stream.
func (e *mcpGo) conversing(ctx context.Context) context.Context {
	c := &conversation{ask: e.ask, log: e.log}
	if m, _ := MessageFrom(ctx); m.Modern() {
		c.rounds = roundsOf(m)
	}
	return context.WithValue(ctx, conversationKey{}, c)
}

func (e *mcpGo) ask(ctx context.Context, q Question) (json.RawMessage, error) {
	r, err := mcpGoRequest(q)
	if err != nil {
		return nil, err
	}
	var result any
	switch {
	case r.Elicitation != nil:
		result, err = e.mcp.RequestElicitation(ctx, mcp.ElicitationRequest{Params: *r.Elicitation})
	case r.Sampling != nil:
		result, err = e.mcp.RequestSampling(ctx, mcp.CreateMessageRequest{CreateMessageParams: *r.Sampling})
	default:
		result, err = e.mcp.RequestRoots(ctx, mcp.ListRootsRequest{})
	}
	if err != nil {
		return nil, err
	}
	return json.Marshal(result)
}

// mcpGoRequest makes the SDK's params of a question.
func mcpGoRequest(q Question) (r mcp.InputRequest, err error) {
	return r, json.Unmarshal(mustJSON(map[string]any{"method": q.Method, "params": q.Params}), &r)
}

// mcpGo is the result that asks for more.
func (e *inputRequired) mcpGo() (*mcp.CallToolResult, error) {
	requests := mcp.InputRequests{}
	for key, q := range e.requests {
		r, err := mcpGoRequest(q)
		if err != nil {
			return nil, err
		}
		requests[key] = r
	}
	return &mcp.CallToolResult{
		Result:               mcp.Result{ResultType: mcp.ResultTypeInputRequired},
		MultiRoundTripResult: mcp.MultiRoundTripResult{InputRequests: requests, RequestState: e.state},
	}, nil
}

// log sends a message and waits until it is written, unless the SDK will keep it
// back.
func (e *mcpGo) log(ctx context.Context, level, logger string, data any) error {
	n := mcp.NewLoggingMessageNotification(mcp.LoggingLevel(level), logger, data)
	var wanted mcp.LoggingLevel
	if info := server.RequestProtocolInfoFromContext(ctx); info != nil && info.Modern {
		wanted = info.LogLevel
	} else if s, ok := server.ClientSessionFromContext(ctx).(server.SessionWithLogging); ok {
		wanted = s.GetLogLevel()
	}
	if wanted == "" || !n.Params.Level.ShouldSendTo(wanted) {
		return nil
	}
	events, ok := ctx.Value(eventsKey{}).(*eventWriter)
	if !ok {
		return fmt.Errorf("backendtest: no answer to write %q into", level)
	}
	return events.after(ctx, func() error {
		return e.mcp.SendLogMessageToClient(ctx, n)
	})
}
