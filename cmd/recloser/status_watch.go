package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/recloser-mcp/recloser/admin"
	"github.com/recloser-mcp/recloser/status"
)

// asksApart is the least time between two questions.
const asksApart = 250 * time.Millisecond

// watch shows the status again and again: in place on a terminal, and else what
// changed, a line each. It ends with ctx.
func (v *view) watch(ctx context.Context, client *admin.Client, errOut io.Writer) error {
	st, err := v.ask(ctx, client)
	if err != nil {
		return err
	}
	w := &watching{view: v, errOut: errOut, dirty: make(chan struct{}, 1)}
	if err := w.first(st); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	mark := func() error {
		select {
		case w.dirty <- struct{}{}:
		default:
		}
		return nil
	}
	ended := make(chan error, 1)
	var following sync.WaitGroup
	defer following.Wait() // after cancel: deferred calls run backwards
	defer cancel()
	following.Go(func() {
		// What happened before is in the status already: only that something
		// happens is of interest.
		ended <- client.Events(ctx, admin.Watcher{
			Event:   func(status.Event) error { return mark() },
			Changed: mark,
			Lost:    func(err error) { w.lose(err) },
		})
	})
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	pause := time.NewTimer(0) // between two questions, however much happens
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-ended:
			if err != nil {
				return refused(err)
			}
			return nil
		case <-tick.C:
			if err := w.redraw(); err != nil { // durations go on
				return err
			}
			continue
		case <-w.dirty:
		}
		select {
		case <-pause.C:
			pause.Reset(asksApart)
		case <-ctx.Done():
			return nil
		}
		st, err := v.ask(ctx, client)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			w.lose(err)
		default:
			if err := w.next(st); err != nil {
				return err
			}
		}
	}
}

// ask fetches the status once.
func (v *view) ask(ctx context.Context, client *admin.Client) (*status.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	st, err := client.Status(ctx)
	if err != nil {
		return nil, refused(err)
	}
	_, err = v.chosen(st)
	return st, err
}

// watching is a view that goes on.
type watching struct {
	*view
	errOut io.Writer
	dirty  chan struct{} // something happened

	mu   sync.Mutex
	last *status.Status
	lost time.Time // since when the gateway does not answer; zero: it does
}

func (w *watching) first(st *status.Status) error {
	w.last = st
	switch {
	case w.json:
		return w.line(st)
	case w.terminal:
		_, _ = io.WriteString(w, "\x1b[2J")
		return w.redraw()
	}
	shown, err := w.chosen(st)
	if err != nil {
		return err
	}
	var b strings.Builder
	w.render(&b, st, shown, time.Now())
	_, err = io.WriteString(w, b.String()+"\n")
	return err
}

// next takes a new status.
func (w *watching) next(st *status.Status) error {
	w.mu.Lock()
	before, was := w.last, w.lost
	w.last, w.lost = st, time.Time{}
	w.mu.Unlock()
	switch {
	case w.json:
		return w.line(st)
	case w.terminal:
		return w.redraw()
	}
	if !was.IsZero() {
		_, _ = fmt.Fprintln(w.errOut, "recloser: the gateway answers again")
	}
	return w.changes(before, st)
}

// line prints the status as one line of JSON.
func (w *watching) line(st *status.Status) error {
	shown, err := w.chosen(st)
	if err != nil {
		return err
	}
	var what any = st
	if w.only != "" {
		what = shown[0]
	}
	return json.NewEncoder(w).Encode(what)
}

// changes prints a line for each backend that is in another state, and for the
// phase.
func (w *watching) changes(before, st *status.Status) error {
	was := map[string]status.Backend{}
	for _, b := range before.Backends {
		was[b.Name] = b
	}
	var b strings.Builder
	now := time.Now().UTC().Format(time.RFC3339)
	for i := range st.Backends {
		s := &st.Backends[i]
		old, known := was[s.Name]
		if w.only != "" && w.only != s.Name || known && old.Status == s.Status && old.Reason == s.Reason && old.Paused == s.Paused {
			continue
		}
		fmt.Fprintf(&b, "%s %s %s: %s / %s: %s\n", now, signs[s.Status].shape, printable(s.Name), s.Status, printable(string(s.Reason)), printable(s.Message))
	}
	if before.Phase != st.Phase && w.only == "" {
		fmt.Fprintf(&b, "%s the gateway is %s: %s\n", now, st.Phase, printable(st.Headline))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// lose notes that the gateway does not answer.
func (w *watching) lose(err error) {
	w.mu.Lock()
	first := w.lost.IsZero()
	if first {
		w.lost = time.Now()
	}
	w.mu.Unlock()
	if first && !w.terminal {
		_, _ = fmt.Fprintf(w.errOut, "%v\nrecloser: asking again until it answers\n", err)
	}
}

// redraw shows the last status where the one before stood.
func (w *watching) redraw() error {
	if !w.terminal || w.json {
		return nil
	}
	w.mu.Lock()
	st, lost := w.last, w.lost
	w.mu.Unlock()
	shown, err := w.chosen(st)
	if err != nil {
		return err
	}
	w.measure()
	var b strings.Builder
	now := time.Now()
	if !lost.IsZero() {
		b.WriteString(w.paint(red, "The gateway does not answer any more, for "+span(now.Sub(lost))+" now. This is how it was:") + "\n")
	}
	w.render(&b, st, shown, now)
	_, err = io.WriteString(w, "\x1b[H"+strings.ReplaceAll(b.String(), "\n", "\x1b[K\n")+"\x1b[J")
	return err
}
