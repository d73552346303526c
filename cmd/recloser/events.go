package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/recloser-mcp/recloser/admin"
	"github.com/recloser-mcp/recloser/status"
)

func newEvents() *cobra.Command {
	var (
		at             access
		follow, asJSON bool
		backend        string
	)
	c := &cobra.Command{
		Use:   "events",
		Short: "List what happened: refusals, renewals, breakers, reloads, actions",
		Long: "Lists the events that the running gateway still has, the oldest first: refusals, renewals, breakers,\n" +
			"changes of a status, reloads, actions. With -f it goes on with what happens.\n\n" + accessHelp,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := at.client()
			if err != nil {
				return err
			}
			s := newScreen(c.OutOrStdout())
			show := s.event
			if asJSON {
				show = func(e status.Event) error { return json.NewEncoder(s).Encode(e) }
			}
			if follow {
				err := client.Events(c.Context(), admin.Watcher{Backend: backend, Event: show, Lost: func(err error) {
					_, _ = fmt.Fprintf(c.ErrOrStderr(), "recloser: %v\nrecloser: asking again until it answers\n", err)
				}})
				if errors.As(err, new(*admin.Error)) {
					return refused(err)
				}
				return err
			}
			ctx, cancel := within(c, askLimit)
			defer cancel()
			events, err := client.Recent(ctx, backend)
			if err != nil {
				return refused(err)
			}
			for _, e := range events {
				if err := show(e); err != nil {
					return err
				}
			}
			return nil
		},
	}
	at.flags(c)
	c.Flags().BoolVarP(&follow, "follow", "f", false, "go on until interrupted")
	c.Flags().StringVar(&backend, "backend", "", "only the events of this backend")
	c.Flags().BoolVar(&asJSON, "json", false, "print as JSON, one event a line")
	return c
}

// levels are the colors of the levels of events.
var levels = map[status.Level]string{status.LevelError: red, status.LevelWarning: yellow}

// event prints one event on a line.
func (s *screen) event(e status.Event) error {
	var b strings.Builder
	who := e.Backend
	if who == "" {
		who = "gateway"
	}
	fmt.Fprintf(&b, "%s  %s  %s  %s: ", e.At.UTC().Format(time.RFC3339), s.paint(levels[e.Level], fmt.Sprintf("%-7s", printable(string(e.Level)))),
		printable(who), printable(string(e.Kind)))
	if e.Status != "" {
		fmt.Fprintf(&b, "%s / %s: ", printable(string(e.Status)), printable(string(e.Reason)))
	}
	b.WriteString(printable(e.Message))
	if e.Count > 1 {
		fmt.Fprintf(&b, " (%d times)", e.Count)
	}
	if e.TraceID != "" {
		b.WriteString(" trace " + printable(e.TraceID))
	}
	_, err := fmt.Fprintln(s, b.String())
	return err
}
