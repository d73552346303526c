package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/recloser-mcp/recloser/status"
)

func newStatus() *cobra.Command {
	var (
		at     access
		asJSON bool
		watch  bool
	)
	c := &cobra.Command{
		Use:   "status [BACKEND]",
		Short: "Say how the gateway and its backends are: trouble first, with its reason and its fix",
		Long: "Says how the running gateway and its backends are. What is in trouble comes first, with since when,\n" +
			"what the gateway tried, what to do about it, and what clients see of it now.\n\n" +
			accessHelp + "\n\n" +
			"Exit codes: 0 when all is well or still starting, 1 when a backend that is asked for is in trouble,\n" +
			"3 when the gateway wants a token, 4 when there is no gateway. With -w it is 0 when it is interrupted.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			only := ""
			if len(args) > 0 {
				only = args[0]
			}
			client, err := at.client()
			if err != nil {
				return err
			}
			v := &view{screen: newScreen(c.OutOrStdout()), only: only, json: asJSON}
			if watch {
				return v.watch(c.Context(), client, c.ErrOrStderr())
			}
			ctx, cancel := within(c, askLimit)
			defer cancel()
			st, err := client.Status(ctx)
			if err != nil {
				return refused(err)
			}
			return v.once(st)
		},
	}
	at.flags(c)
	c.Flags().BoolVarP(&watch, "watch", "w", false, "go on, and show what changes")
	c.Flags().BoolVar(&asJSON, "json", false, "print as JSON, as GET /api/v1/status has it")
	return c
}

// view shows a status.
type view struct {
	*screen
	only string // one backend; empty: all
	json bool
}

// once shows the status; its error has the exit code for scripts.
func (v *view) once(st *status.Status) error {
	shown, err := v.chosen(st)
	if err != nil {
		return err
	}
	var b strings.Builder
	if v.json {
		err = v.encode(&b, st, shown)
	} else {
		v.render(&b, st, shown, time.Now())
	}
	if err != nil {
		return err
	}
	if _, err := io.WriteString(v, b.String()); err != nil {
		return err
	}
	well := st.Phase == status.PhaseReady || st.Phase == status.PhasePending
	if v.only != "" {
		well = shown[0].Status == status.BackendStatusReady || shown[0].Status == status.BackendStatusUnknown
	}
	if !well {
		return &exitError{code: exitFailed}
	}
	return nil
}

// chosen returns the backends that are asked for, trouble first.
func (v *view) chosen(st *status.Status) ([]status.Backend, error) {
	if v.only == "" {
		return troubleFirst(st.Backends), nil
	}
	var names []string
	for _, b := range st.Backends {
		if b.Name == v.only {
			return []status.Backend{b}, nil
		}
		names = append(names, b.Name)
	}
	return nil, noSuchBackend(v.only, names)
}

func noSuchBackend(name string, names []string) error {
	hint := meant(name, names)
	if hint == "" && len(names) > 0 {
		hint = "; there are " + strings.Join(names, ", ")
	}
	return &exitError{exitUsage, fmt.Errorf("recloser: there is no backend %q%s", name, hint)}
}

func (v *view) encode(b *strings.Builder, st *status.Status, shown []status.Backend) error {
	var what any = st
	if v.only != "" {
		what = shown[0]
	}
	text, err := json.MarshalIndent(what, "", "  ")
	b.Write(append(text, '\n'))
	return err
}

// urgency orders the states of a backend for somebody who is woken by one.
func urgency(b *status.Backend) int {
	return slices.Index([]bool{
		b.Status == status.BackendStatusUnavailable,
		b.Status == status.BackendStatusDegraded,
		b.Status == status.BackendStatusUnknown && b.Reason != status.ReasonDisabled,
		b.Status == status.BackendStatusReady,
		true,
	}, true)
}

func troubleFirst(all []status.Backend) []status.Backend {
	sorted := slices.Clone(all)
	slices.SortStableFunc(sorted, func(a, b status.Backend) int { return urgency(&a) - urgency(&b) })
	return sorted
}

// signs are a shape and a color for each state; its word stands beside them.
var signs = map[status.BackendStatus]struct{ shape, color string }{
	status.BackendStatusUnavailable: {"✗", red},
	status.BackendStatusDegraded:    {"▲", yellow},
	status.BackendStatusUnknown:     {"○", faint},
	status.BackendStatusReady:       {"●", green},
}

// render writes the headline, the table, and a paragraph for each backend that is
// not as it should be.
func (v *view) render(b *strings.Builder, st *status.Status, shown []status.Backend, now time.Time) {
	if st.Headline != "" {
		b.WriteString(v.paint(bold, printable(st.Headline)) + "\n\n")
	}
	columns := []column{
		{head: " "}, {head: "BACKEND"}, {head: "STATUS"}, {head: "REASON"}, {head: "FOR", right: true, drop: 1},
		{head: "CREDENTIAL", drop: 3}, {head: "CALLS", right: true, drop: 4}, {head: "SAVED", right: true, drop: 5},
		{head: "P95", right: true, drop: 6}, {head: "TOOLS", right: true, drop: 2},
	}
	var rows [][]cell
	for i := range shown {
		rows = append(rows, v.row(&shown[i], now))
	}
	v.table(b, columns, rows)
	for i := range shown {
		if shown[i].Status != status.BackendStatusReady && shown[i].Reason != status.ReasonDisabled || v.only != "" || shown[i].Paused {
			b.WriteString("\n")
			v.explain(b, &shown[i], now)
		}
	}
}

func (v *view) row(b *status.Backend, now time.Time) []cell {
	sign := signs[b.Status]
	word := string(b.Status)
	if b.Paused {
		word += " (paused)"
	}
	return []cell{
		{sign.shape, sign.color}, {text: printable(b.Name)}, {printable(word), sign.color}, {text: printable(string(b.Reason))},
		{text: lasted(b.Since, now)}, {text: credential(&b.Credential, now)},
		{text: strconv.FormatUint(b.Counters.Calls, 10)}, {text: strconv.FormatUint(b.Counters.SavedByRenewal, 10)},
		{text: latency(b.Latency.P95)}, {text: strconv.Itoa(b.Tools)},
	}
}

// explain writes what is the case with one backend, in the words of the API.
func (v *view) explain(b *strings.Builder, s *status.Backend, now time.Time) {
	sign := signs[s.Status]
	fmt.Fprintf(b, "%s %s: %s / %s", v.paint(sign.color, sign.shape), v.paint(bold, printable(s.Name)), s.Status, printable(string(s.Reason)))
	if !s.Since.IsZero() {
		fmt.Fprintf(b, " since %s (%s)", s.Since.Format(time.RFC3339Nano), lasted(s.Since, now))
	}
	b.WriteString("\n")
	for _, p := range []struct{ label, text string }{
		{"what", s.Message}, {"tried", s.Tried}, {"fix", s.Fix}, {"clients", s.ClientsSee}, {"next", next(s, now)},
	} {
		if p.text != "" {
			v.paragraph(b, p.label, printable(p.text))
		}
	}
	if s.Affected > 0 {
		v.paragraph(b, "calls", fmt.Sprintf("%d failed since then", s.Affected))
	}
}

// next says when the gateway tries again by itself.
func next(s *status.Backend, now time.Time) string {
	at, what := s.NextProbe, "it is probed again"
	if s.Breaker.State != "" && s.Breaker.State != status.BreakerClosed && !s.Breaker.NextProbe.IsZero() {
		at, what = s.Breaker.NextProbe, "the breaker lets one call try it"
	}
	switch {
	case at.IsZero() || s.Paused:
		return ""
	case !at.After(now):
		return what + " now"
	}
	return what + " in " + span(at.Sub(now))
}

func lasted(since, now time.Time) string {
	if since.IsZero() {
		return "-"
	}
	return span(now.Sub(since))
}

// credential is the type with what is left of its life.
func credential(c *status.Credential, now time.Time) string {
	switch {
	case c.Type == "" || c.Type == "unauthenticated":
		return "none"
	case c.Generation == 0:
		return printable(c.Type) + ", none yet"
	case c.Expires.IsZero():
		return printable(c.Type)
	case !c.Expires.After(now):
		return printable(c.Type) + ", expired " + span(now.Sub(c.Expires)) + " ago"
	}
	return printable(c.Type) + ", " + span(c.Expires.Sub(now)) + " left"
}

func latency(d status.Duration) string {
	if d == 0 {
		return "-"
	}
	return d.String()
}
