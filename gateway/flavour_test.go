package gateway_test

import (
	"context"
	"log/slog"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	mcpgo "github.com/mark3labs/mcp-go/client"
	mcpgotransport "github.com/mark3labs/mcp-go/client/transport"
	mcpgotypes "github.com/mark3labs/mcp-go/mcp"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/recloser-mcp/recloser/backendtest"
)

// able is a client that answers whatever it is asked.
func (c cell) able(t *testing.T, r *rig) *party {
	t.Helper()
	var p *party
	p = c.join(t, r, &mcp.ClientOptions{
		ElicitationHandler: answers(&p, "accept"),
		CreateMessageHandler: func(context.Context, *mcp.CreateMessageRequest) (*mcp.CreateMessageResult, error) {
			return &mcp.CreateMessageResult{Model: "m", Role: "assistant", Content: &mcp.TextContent{Text: "model"}}, nil
		},
	}, "file:///r")
	return p
}

// TestAServerOfAnotherFamilyAsks has mcp-go for a backend. It asks on the stream
// of a call for elicitation only, and else on the standing stream of the session,
// which clients of 2026-07-28 have none of.
func TestAServerOfAnotherFamilyAsks(t *testing.T) {
	eachPair(t, func(t *testing.T, c cell) {
		srv, r := c.serve(t, settings{}, append(asking(), backendtest.WithMCPGo())...)
		p := c.able(t, r)
		want := map[string]string{"form": `accept{"said":"name?!"}`, "url": "accept"}
		if c.front == elder || c.back == modern {
			want["sample"] = "model"
		}
		if c.front == elder { // the official client cannot read the question without params
			want["roots"] = "file:///r"
		}
		for tool, want := range want {
			if got, err := p.call(t.Context(), tool, nil); err != nil || got != want {
				t.Errorf("%s: %q, %v", tool, got, err)
			}
			if n := srv.Executions(tool); n != c.runs(1) {
				t.Errorf("%s: %d executions, want %d", tool, n, c.runs(1))
			}
		}
	})
}

// stranger is a client of mcp-go that answers whatever it is asked.
type stranger struct{}

func (stranger) Elicit(_ context.Context, q mcpgotypes.ElicitationRequest) (*mcpgotypes.ElicitationResult, error) {
	res := &mcpgotypes.ElicitationResult{}
	res.Action = mcpgotypes.ElicitationResponseActionAccept
	if q.Params.Mode != mcpgotypes.ElicitationModeURL {
		res.Content = map[string]any{"said": q.Params.Message + "!"}
	}
	return res, nil
}

func (stranger) CreateMessage(context.Context, mcpgotypes.CreateMessageRequest) (*mcpgotypes.CreateMessageResult, error) {
	return &mcpgotypes.CreateMessageResult{Model: "m", SamplingMessage: mcpgotypes.SamplingMessage{
		Role: mcpgotypes.RoleAssistant, Content: mcpgotypes.NewTextContent("model")}}, nil
}

func (stranger) ListRoots(context.Context, mcpgotypes.ListRootsRequest) (*mcpgotypes.ListRootsResult, error) {
	return &mcpgotypes.ListRootsResult{Roots: []mcpgotypes.Root{{URI: "file:///r"}}}, nil
}

func TestAClientOfAnotherFamilyIsAsked(t *testing.T) {
	eachPair(t, func(t *testing.T, c cell) {
		srv, r := c.serve(t, settings{}, asking()...)
		// This client gives up the requests that carry its answers when the call is
		// over. net/http can then fail a request that has the same connection next.
		once := &http.Client{Transport: &http.Transport{DialContext: r.trips.dial, DisableKeepAlives: true}}
		o := []mcpgotransport.StreamableHTTPCOption{mcpgotransport.WithHTTPBasicClient(once), mcpgotransport.WithHTTPLogger(slog.New(slog.DiscardHandler))}
		if c.front == elder {
			o = append(o, mcpgotransport.WithContinuousListening())
		}
		trip, err := mcpgotransport.NewStreamableHTTP("http://127.0.0.1/mcp", o...)
		if err != nil {
			t.Fatal(err)
		}
		p := mcpgo.NewClient(trip, mcpgo.WithElicitationHandler(stranger{}), mcpgo.WithSamplingHandler(stranger{}), mcpgo.WithRootsHandler(stranger{}))
		defer func() { _ = p.Close() }()
		if err := p.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		var init mcpgotypes.InitializeRequest
		init.Params.ProtocolVersion = c.front
		init.Params.ClientInfo = mcpgotypes.Implementation{Name: "stranger", Version: "1"}
		if _, err := p.Initialize(t.Context(), init); err != nil || p.ProtocolVersion() != c.front {
			t.Fatalf("%v, %s", err, p.ProtocolVersion())
		}
		synctest.Wait()
		for tool, want := range map[string]string{
			"form": `accept{"said":"name?!"}`, "sample": "model", "roots": "file:///r", "both": `{"said":"one!"}{"said":"two!"}`,
			"twice": `{"said":"first?!"}{"said":"second after {\"said\":\"first?!\"}!"}`,
		} {
			var q mcpgotypes.CallToolRequest
			q.Params.Name = c.public(tool)
			res, err := p.CallTool(t.Context(), q)
			if err != nil || len(res.Content) != 1 || res.Content[0].(mcpgotypes.TextContent).Text != want {
				t.Errorf("%s: %+v, %v", tool, res, err)
			}
			rounds := 1
			if tool == "twice" {
				rounds = 2
			}
			if n := srv.Executions(tool); n != c.runs(rounds) {
				t.Errorf("%s: %d executions, want %d", tool, n, c.runs(rounds))
			}
		}
	})
}

// TestAQuestionOnNoStreamHangsNobody has an elder server ask on the standing
// stream of the session (mcp-go does for sampling and roots) for the call of a
// client that has no session. Whether the client is asked or the server is
// refused, the call goes on.
func TestAQuestionOnNoStreamHangsNobody(t *testing.T) {
	for _, tool := range []string{"sample", "roots"} {
		t.Run(tool, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := cell{modern, elder, "/mcp"}
				srv, r := c.serve(t, settings{}, append(asking(), backendtest.WithMCPGo())...)
				p := c.able(t, r)
				start := time.Now()
				got, err := p.call(t.Context(), tool, nil)
				if took := time.Since(start); took > time.Minute {
					t.Errorf("%q, %v after %s", got, err, took)
				}
				if n := srv.Executions(tool); n != 1 {
					t.Errorf("%d executions, want 1", n)
				}
			})
		})
	}
}
