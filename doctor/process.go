package doctor

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/status"
)

// command makes the client of a process. Nothing is started yet.
func (p *patient) command(context.Context) (string, *broken) {
	found, err := backend.Locate(p.b.Options)
	if err != nil {
		return breaks(Unreachable, "Install it, or correct "+p.key("command")+"; a PATH in "+p.key("env")+" counts instead of that of the gateway.",
			"There is no program %s: %s.", clean(p.b.Options.Command), clean(err.Error()))
	}
	o := p.b.Options
	o.ClientInfo = backend.ClientInfo{Name: "recloser-doctor", Version: p.o.Version}
	client, err := backend.NewStdioBackendClient(o)
	if err != nil {
		return breaks(Configuration, "Correct "+p.key("")+".", "It cannot be started: %s.", clean(err.Error()))
	}
	p.client = client
	return found, nil
}

// start starts the process and lets it introduce itself.
func (p *patient) start(ctx context.Context) (string, *broken) {
	err := p.client.Ping(ctx)
	if err == nil || errors.As(err, new(*backend.RPCError)) {
		return fmt.Sprintf("It starts and answers initialize; revision %s", p.client.Revision()), nil
	}
	var exit *backend.ExitError
	switch f := p.client.Facts().Process; {
	case errors.As(err, &exit):
	case f != nil && f.LastExit != nil:
		exit = f.LastExit
	}
	byHand := "Run it by hand and read what it prints: " + p.b.CommandLine + ". It gets little of the gateway's environment: what it needs stands in " + p.key("env") + "."
	switch {
	case exit == nil && ctx.Err() != nil:
		return breaks(Unreachable, byHand, "It starts, and does not answer initialize.")
	case exit == nil:
		return breaks(Unreachable, byHand, "It does not speak MCP: %s.", clean(err.Error()))
	case exit.PID == 0:
		return breaks(Unreachable, byHand, "It could not be started: %s.", clean(exit.Status))
	}
	said := fmt.Sprintf("It ended after %s with %s", status.Duration(exit.Lived), clean(exit.Status))
	if n := len(exit.Stderr); n > 0 {
		said += "; the last that it printed: " + clean(strings.Join(exit.Stderr[max(0, n-3):], " | "))
	}
	return breaks(Unreachable, byHand, "%s.", said)
}
