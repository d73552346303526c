package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/spf13/cobra"

	"github.com/recloser-mcp/recloser/config"
	"github.com/recloser-mcp/recloser/server"
)

func newDemo() *cobra.Command {
	var (
		length time.Duration
		asJSON bool
		listen string
	)
	c := &cobra.Command{
		Use:   "demo",
		Short: "See it work: three sample backends, one of them losing its credential all the time",
		Long: "Runs a gateway in front of three sample backends inside this process and calls their tools:\n\n" +
			"  clock    is healthy\n" +
			"  weather  has tokens that live 10 s and are revoked every 7 s\n" +
			"  vault    lists its tools to everybody and answers 401 to every call\n\n" +
			"Nothing is needed: no account, no network. Point an MCP client at the printed address to join in.\n" +
			"The exit code is 1 when a client saw an error of weather or clock.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx := c.Context()
			if length > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, length)
				defer cancel()
			}
			return runDemo(ctx, listen, asJSON, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	c.Flags().DurationVar(&length, "for", 0, "end after this time (default: until interrupted)")
	c.Flags().BoolVar(&asJSON, "json", false, "print only the counts, as JSON, at the end")
	c.Flags().StringVar(&listen, "listen", "127.0.0.1:8484", "address of the gateway; a free one is taken when it is in use")
	return c
}

func runDemo(ctx context.Context, listen string, asJSON bool, out, errOut io.Writer) error {
	w, err := newWorld()
	if err != nil {
		return &exitError{exitFailed, fmt.Errorf("demo: start the sample backends: %w", err)}
	}
	defer w.close()
	story := newStory(out, asJSON, isTerminal(out))
	doc, _, err := config.Parse("demo.yaml", []byte(w.config(usable(listen), "127.0.0.1:0")), config.LoadOptions{Env: w.env})
	if err != nil {
		return &exitError{exitFailed, fmt.Errorf("demo: %w", err)}
	}
	level := slog.LevelError
	if asJSON {
		level = slog.LevelWarn // a log beside the counts, for whom they surprise
	}
	s, err := server.New(ctx, doc, server.Options{
		Version: version, Observe: story.observer(),
		Logger: slog.New(slog.NewTextHandler(errOut, &slog.HandlerOptions{Level: level})),
	})
	if err != nil {
		return &exitError{exitFailed, err}
	}
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	var serveErr error
	wg.Go(func() { serveErr = s.Run(serving) })

	t := &tally{}
	story.begin(s, w, t)
	began := time.Now()
	wg.Go(func() { w.revoke(ctx, story.revoked) })
	wg.Go(func() { story.table(ctx, s, w, t) })
	loadErr := t.load(ctx, "http://"+s.Addr()+"/mcp")
	if loadErr == nil {
		<-ctx.Done()
	}
	report := t.report(w, story, time.Since(began))
	stop()
	wg.Wait()
	if err := errors.Join(loadErr, serveErr, w.keepTokens()); err != nil {
		return &exitError{exitFailed, fmt.Errorf("demo: %w", err)}
	}
	if err := report.print(out, asJSON); err != nil {
		return &exitError{exitFailed, err}
	}
	if !report.OK {
		return &exitError{code: exitFailed}
	}
	return nil
}

// usable returns addr, or a free address when it is in use.
func usable(addr string) string {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return "127.0.0.1:0"
	}
	_ = l.Close()
	return addr
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// tally is what the demo's clients have seen.
type tally struct {
	mu      sync.Mutex
	clients sync.WaitGroup
	seen    map[string]*seen
	tools   map[string]int // listed, by backend
}

type seen struct {
	calls, answered, explained int
	last                       string // an error's text
	reason, hint               string
}

// load starts the light load of the demo: one client for each backend, so that
// what each of them sees is plain. It ends with ctx; clients.Wait waits for that.
func (t *tally) load(ctx context.Context, url string) error {
	t.seen, t.tools = map[string]*seen{}, map[string]int{}
	for _, b := range []struct {
		name, tool string
		every      time.Duration
	}{{"clock", "clock_now", 50 * time.Millisecond}, {"weather", "weather_forecast", 50 * time.Millisecond}, {"vault", "vault_open", time.Second}} {
		// Calls under way when the demo ends are let end: they live longer than ctx.
		session, err := connect(context.WithoutCancel(ctx), url)
		if err != nil {
			return fmt.Errorf("connect to the gateway: %w", err)
		}
		s := &seen{}
		t.seen[b.name] = s
		t.clients.Go(func() {
			defer func() { _ = session.Close() }()
			t.count(ctx, session, b.name)
			tick := time.NewTicker(b.every)
			defer tick.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
					t.call(context.WithoutCancel(ctx), session, b.tool, s)
				}
			}
		})
	}
	return nil
}

func connect(ctx context.Context, url string) (*mcp.ClientSession, error) {
	c := mcp.NewClient(&mcp.Implementation{Name: "recloser-demo", Version: version}, nil)
	return c.Connect(ctx, &mcp.StreamableClientTransport{Endpoint: url, MaxRetries: -1}, nil)
}

// count waits until the backend's tools are listed, and counts them.
func (t *tally) count(ctx context.Context, session *mcp.ClientSession, backend string) {
	for tick := time.NewTicker(20 * time.Millisecond); ; {
		n := 0
		if list, err := session.ListTools(ctx, nil); err == nil {
			for _, tool := range list.Tools {
				if len(tool.Name) > len(backend) && tool.Name[:len(backend)+1] == backend+"_" {
					n++
				}
			}
		}
		if n > 0 {
			t.mu.Lock()
			t.tools[backend] = n
			t.mu.Unlock()
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (t *tally) call(ctx context.Context, session *mcp.ClientSession, tool string, s *seen) {
	res, err := session.CallTool(ctx, &mcp.CallToolParams{Name: tool, Arguments: map[string]any{}})
	t.mu.Lock()
	defer t.mu.Unlock()
	s.calls++
	if err == nil && !res.IsError {
		s.answered++
		return
	}
	if err == nil {
		s.last = "the tool reported an error"
		return
	}
	s.last = err.Error()
	var data struct{ Reason, Hint string }
	if raw := errorData(err); raw != nil && json.Unmarshal(raw, &data) == nil && data.Reason != "" && data.Hint != "" {
		s.explained++
		s.reason, s.hint = data.Reason, data.Hint
	}
}

func (t *tally) of(backend string) seen {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.seen[backend]; s != nil {
		return *s
	}
	return seen{}
}
