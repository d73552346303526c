// Command client is the client under test of the conformance suite's client
// scenarios. The suite starts it with the URL of its own server:
//
//	client [-gateway] [-revision 2025-11-25] URL
//
// With -gateway it starts the product in this process, with that server as its
// backend, and connects to the product instead. What the suite then judges is
// the product's outgoing edge. The client itself wants the right answers, so
// that it exits 1 when they get lost on their way back.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/recloser-mcp/recloser/config"
	"github.com/recloser-mcp/recloser/server"
)

// limit bounds a scenario. The suite has a longer one, which leaves the client
// running.
const limit = 20 * time.Second

func main() {
	gateway := flag.Bool("gateway", false, "connect through the gateway")
	revision := flag.String("revision", os.Getenv("MCP_CONFORMANCE_PROTOCOL_VERSION"), "revision of the protocol to ask for")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if err := run(ctx, flag.Arg(0), *revision, *gateway); err != nil {
		fmt.Fprintln(os.Stderr, "client:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, url, revision string, gateway bool) (err error) {
	name := os.Getenv("MCP_CONFORMANCE_SCENARIO")
	play, ok := scenarios[name]
	if !ok {
		return fmt.Errorf("scenario %q is not known", name)
	}
	var given struct {
		ToolCalls []mcp.CallToolParams `json:"toolCalls"`
	}
	if text := os.Getenv("MCP_CONFORMANCE_CONTEXT"); text != "" {
		if err := json.Unmarshal([]byte(text), &given); err != nil {
			return fmt.Errorf("MCP_CONFORMANCE_CONTEXT: %w", err)
		}
	}
	if gateway {
		var stop func() error
		if url, stop, err = serve(ctx, url); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, stop()) }()
	}
	s, err := connect(ctx, url, revision, play.elicit)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer func() { _ = s.Close() }()
	if err := play.run(ctx, s, given.ToolCalls); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func connect(ctx context.Context, url, revision string, content map[string]any) (*mcp.ClientSession, error) {
	o := &mcp.ClientOptions{Logger: slog.New(slog.NewTextHandler(os.Stderr, nil))}
	if content != nil {
		o.ElicitationHandler = func(context.Context, *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
			return &mcp.ElicitResult{Action: "accept", Content: content}, nil
		}
	}
	c := mcp.NewClient(&mcp.Implementation{Name: "conformance-client", Version: "1.0.0"}, o)
	return c.Connect(ctx, &mcp.StreamableClientTransport{Endpoint: url}, &mcp.ClientSessionOptions{ProtocolVersion: revision})
}

// serve starts the gateway in front of a backend and returns where that backend
// is served, once its lists have been fetched.
func serve(ctx context.Context, backend string) (url string, stop func() error, err error) {
	doc, _, err := config.Parse("mcp.json", fmt.Appendf(nil, `{
		"listen": "127.0.0.1:0", "admin": {"listen": "127.0.0.1:0"}, "drainTimeout": "2s",
		"mcpServers": {"suite": {"url": %q}}
	}`, backend), config.LoadOptions{})
	if err != nil {
		return "", nil, err
	}
	s, err := server.New(ctx, doc, server.Options{Logger: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err != nil {
		return "", nil, err
	}
	work, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- s.Run(work) }()
	stop = func() error { cancel(); return <-ended }

	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for s.Status().Backends[0].Catalogue.LastRefresh.IsZero() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return "", nil, errors.Join(fmt.Errorf("the gateway lists nothing: %s", s.Status().Backends[0].Message), stop())
		}
	}
	return "http://" + s.Addr() + "/mcp/suite", stop, nil
}
