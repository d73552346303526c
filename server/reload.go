package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/recloser-mcp/recloser/auth"
	"github.com/recloser-mcp/recloser/status"
)

// ErrNoFile is the error of Reload where there is no configuration to read again.
var ErrNoFile = errors.New("this gateway was not started from a configuration file: there is nothing to read again")

var errEnding = errors.New("the gateway is about to end")

// Reload reads the configuration again and puts it into effect. What did not change
// keeps its connections, sessions and breakers; calls in flight end at the backends
// they were sent to. On an error, config.Problems where the configuration is wrong,
// everything stays as it is. It returns a line that says what changed.
func (s *Server) Reload(ctx context.Context) (summary string, err error) {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	summary, err = s.reload(ctx)
	if err != nil {
		s.log.Error("configuration refused, the one in use stays", "error", err)
		s.journal.Add(status.Event{Kind: status.EventReload, Level: status.LevelError, Message: "configuration refused, the one in use stays: " + firstLine(err)})
		return "", err
	}
	s.log.Info("configuration taken up", "changes", summary)
	s.journal.Add(status.Event{Kind: status.EventReload, Level: status.LevelInfo, Message: "configuration taken up: " + summary})
	return summary, nil
}

func (s *Server) reload(ctx context.Context) (string, error) {
	switch {
	case s.o.Load == nil:
		return "", ErrNoFile
	case s.draining.Load():
		return "", errEnding
	}
	doc, warnings, err := s.o.Load()
	for _, w := range warnings {
		s.log.Warn("configuration", "warning", w.String())
	}
	if err != nil {
		return "", err
	}
	before := s.live.Load()
	if err := doc.CanFollow(before.doc); err != nil {
		return "", err
	}
	next, err := s.assemble(doc, before, s.paused)
	if err != nil {
		return "", err
	}
	if s.o.Level != nil {
		s.o.Level.Set(doc.Log.SlogLevel())
	}
	s.enact(ctx, next)
	return next.compare(before), nil
}

// enact puts a configuration in the place of the one before. s.reloading is held.
func (s *Server) enact(ctx context.Context, next *live) {
	before := s.live.Swap(next)
	wait := s.gateway.Replace(next.routed(), int64(next.doc.Limits.RequestBytes))
	s.catalog.Replace(s.catalogOptions(next.doc), next.listed())
	s.monitor.Replace(next.doc.Health, next.probed())
	s.journal.Keep(func(name string) bool { return next.byName[name] != nil || slices.Contains(next.disabled, name) })
	for _, name := range next.disabled {
		if b := before.byName[name]; b != nil {
			was, off := s.see(b), next.disabledStatus(name)
			s.tellStatus(&was, &off)
		}
	}
	s.lookAll()
	s.retire(context.WithoutCancel(ctx), before.without(next), before.doc.DrainTimeout, wait)
}

// retire closes what is no longer in use when the calls that are on their way there
// have ended, or limit is over.
func (s *Server) retire(ctx context.Context, old *live, limit time.Duration, wait func(context.Context) error) {
	s.retiring.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		_ = wait(ctx) // what is still on its way then is cut off
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for old.busy() && ctx.Err() == nil && !s.draining.Load() {
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
		s.gateway.EndSessions()
		old.close()
	})
}

// busy reports whether calls are in flight.
func (l *live) busy() bool {
	for _, b := range l.backends {
		if b.client.Facts().InFlight > 0 {
			return true
		}
	}
	return false
}

// compare says in a line what is different from before.
func (l *live) compare(before *live) string {
	var added, changed, removed []string
	same := 0
	for _, b := range l.backends {
		switch was := before.byName[b.Name]; {
		case was == nil:
			added = append(added, b.Name)
		case was.client != b.client:
			changed = append(changed, b.Name)
		default:
			same++
		}
	}
	for _, b := range before.backends {
		if l.byName[b.Name] == nil {
			removed = append(removed, b.Name)
		}
	}
	var parts []string
	for _, p := range []struct {
		what  string
		names []string
	}{{"added", added}, {"changed", changed}, {"removed", removed}} {
		if n := len(p.names); n > 10 {
			parts = append(parts, fmt.Sprintf("%s %d backends", p.what, n))
		} else if n > 0 {
			parts = append(parts, p.what+" "+strings.Join(p.names, ", "))
		}
	}
	return strings.Join(append(parts, fmt.Sprintf("%d as before", same)), "; ")
}

// Pause takes a backend out of service, or puts it back. It returns false for an
// unknown name.
func (s *Server) Pause(ctx context.Context, name string, paused bool) bool {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	before := s.live.Load()
	b := before.byName[name]
	if b == nil || s.draining.Load() {
		return false
	}
	if s.paused[name] = paused; !paused {
		delete(s.paused, name)
	}
	if b.paused == paused {
		return true
	}
	next := *before
	next.backends, next.byName = nil, maps.Clone(before.byName)
	for _, b := range before.backends {
		if b.Name == name {
			other := *b
			other.paused = paused
			b = &other
			next.byName[name] = b
		}
		next.backends = append(next.backends, b)
	}
	s.enact(ctx, &next)
	return true
}

// watchFile reloads when the file of the configuration changes.
func (s *Server) watchFile(ctx context.Context) {
	var refused []byte
	for ctx.Err() == nil {
		err := auth.WatchFiles(ctx, []string{s.o.Watch}, func() {
			text, err := os.ReadFile(s.o.Watch)
			if err != nil || s.live.Load().doc.From(text) || refused != nil && bytes.Equal(text, refused) {
				return // an editor is about to put it back, or nothing changed
			}
			refused = nil
			if _, err := s.Reload(ctx); err != nil { // it says what became of it
				refused = text
			}
		})
		if ctx.Err() == nil {
			s.log.Warn("the configuration cannot be watched, this is tried again", "file", s.o.Watch, "error", err)
			select {
			case <-time.After(rewatch):
			case <-ctx.Done():
			}
		}
	}
}

// rewatch is the time between two attempts to watch the file.
const rewatch = 10 * time.Second

func firstLine(err error) string {
	text, _, _ := strings.Cut(err.Error(), "\n")
	return text
}
