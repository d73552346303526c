package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/recloser-mcp/recloser/admin"
	"github.com/recloser-mcp/recloser/admin/console"
	"github.com/recloser-mcp/recloser/auth"
	"github.com/recloser-mcp/recloser/catalog"
	"github.com/recloser-mcp/recloser/config"
	"github.com/recloser-mcp/recloser/status"
)

// adminOptions wires the admin listener.
func (s *Server) adminOptions() admin.Options {
	return admin.Options{
		Status: s.Status, Ready: s.ready, Metrics: s.telemetry.Handler(), Journal: s.journal,
		Detail: s.detail, History: s.history, Config: s.config,
		Act: s.act, Reload: s.reloadByHand, Call: s.tryTool, Done: s.over, Console: console.Handler(),
		Access: func() admin.Access {
			l := s.live.Load()
			return admin.Access{Check: l.adminCheck, Token: l.adminToken}
		},
	}
}

// detail returns all that is known of one backend.
func (s *Server) detail(name string) (status.Detail, bool) {
	l := s.live.Load()
	now := time.Now()
	d := status.Detail{Config: l.doc.BackendYAML(name), Catalog: []status.Entry{}, Requests: []status.Request{}, Events: []status.Event{}, History: status.History{Minutes: []status.Minute{}}}
	if slices.Contains(l.disabled, name) {
		d.Backend = l.disabledStatus(name)
		return d, true
	}
	b := l.byName[name]
	if b == nil {
		return d, false
	}
	d.Backend = s.see(b)
	d.Requests, d.History = b.record.Requests(), b.record.History(now)
	d.Events = s.journal.Events(0, name)
	slices.Reverse(d.Events)
	view := s.catalog.Snapshot().All()
	for _, k := range []catalog.Kind{catalog.Tool, catalog.Prompt, catalog.Resource, catalog.Template} {
		for _, e := range view.Entries(k) {
			if e.Backend == name {
				d.Catalog = append(d.Catalog, status.Entry{Kind: kindNames[k], Name: e.Name, Public: e.Public, Definition: e.Definition})
			}
		}
	}
	return d, true
}

var kindNames = map[catalog.Kind]string{catalog.Tool: "tool", catalog.Prompt: "prompt", catalog.Resource: "resource", catalog.Template: "template"}

// history returns the last hour of every backend, and that of all under "".
func (s *Server) history() map[string]status.History {
	now := time.Now()
	all := map[string]status.History{}
	var sum status.History
	for _, b := range s.live.Load().backends {
		h := b.record.History(now)
		all[b.Name] = h
		sum.Add(h)
	}
	all[""] = sum
	return all
}

func (s *Server) config() admin.Loaded {
	l := s.live.Load()
	return admin.Loaded{Config: l.doc.YAML(), File: l.doc.File, LoadedAt: l.loaded}
}

// act does something about a backend that somebody has asked for. by names who.
func (s *Server) act(ctx context.Context, name string, action admin.Action, by string) (admin.Done, error) {
	b := s.live.Load().byName[name]
	if b == nil {
		return admin.Done{}, &admin.Error{Kind: admin.NotFound}
	}
	message, err := s.actOn(ctx, b, action)
	e := status.Event{Kind: status.EventAction, Level: status.LevelInfo, Backend: name, Message: fmt.Sprintf("%s, asked for by %s: %s", action, by, message)}
	if err != nil {
		e.Level, e.Message = status.LevelWarning, fmt.Sprintf("%s, asked for by %s: %v", action, by, err)
	}
	s.journal.Add(e)
	s.log.Info("admin action", "action", action, "backend", name, "by", by, "error", err)
	if err != nil {
		return admin.Done{}, err
	}
	b = s.live.Load().byName[name]
	if b == nil {
		return admin.Done{Message: message}, nil
	}
	st := s.see(b)
	return admin.Done{Message: message, Backend: &st}, nil
}

func (s *Server) actOn(ctx context.Context, b *served, action admin.Action) (string, error) {
	if b.paused && action != admin.Resume && action != admin.Pause {
		return "", refused(fmt.Sprintf("%s is paused: resume it first, with `recloser backend resume %s`", b.Name, b.Name))
	}
	switch action {
	case admin.Probe:
		v, ok := s.monitor.Probe(ctx, b.Name)
		if !ok {
			return "", refused("the probe was not made: the backend has just changed, or the request was given up")
		}
		if v.Err != nil {
			return fmt.Sprintf("%s was probed in %s and fails: %v", b.Name, status.Duration(v.Took), v.Err), nil
		}
		return fmt.Sprintf("%s answered the probe in %s", b.Name, status.Duration(v.Took)), nil
	case admin.Renew:
		if b.source == nil {
			return "", refused(fmt.Sprintf("%s is called without a credential: give it one in mcpServers.%s.auth", b.Name, b.Name))
		}
		switch outcome, err := b.client.Renew(ctx); outcome {
		case auth.New:
			return fmt.Sprintf("the credential of %s is a new one", b.Name), nil
		case auth.Same:
			return fmt.Sprintf("the credential of %s is the same as before: nothing newer is to be had", b.Name), nil
		default:
			return "", fmt.Errorf("the credential of %s was not renewed: %w", b.Name, err)
		}
	case admin.Reset:
		b.client.Reset()
		s.monitor.Kick(b.Name)
		return fmt.Sprintf("the breaker of %s is closed", b.Name), nil
	case admin.Pause, admin.Resume:
		if !s.Pause(ctx, b.Name, action == admin.Pause) {
			return "", &admin.Error{Kind: admin.NotFound}
		}
		if action == admin.Pause {
			return fmt.Sprintf("%s is out of service until it is resumed: its tools are not listed", b.Name), nil
		}
		return b.Name + " is in service again", nil
	}
	return "", &admin.Error{Kind: admin.NotFound}
}

// refused is the error of what cannot be done as things are.
func refused(message string) error { return &admin.Error{Kind: admin.Refused, Message: message} }

// reloadByHand reloads because somebody asked for it.
func (s *Server) reloadByHand(ctx context.Context, by string) (admin.Done, error) {
	s.log.Info("admin action", "action", "reload", "by", by)
	s.journal.Add(status.Event{Kind: status.EventAction, Level: status.LevelInfo, Message: "reload, asked for by " + by})
	summary, err := s.Reload(ctx)
	if problems, ok := errors.AsType[config.Problems](err); ok {
		e := &admin.Error{Kind: admin.Refused, Message: "the configuration is refused, the one in use stays", Err: err}
		for _, p := range problems {
			e.Problems = append(e.Problems, admin.Problem{File: p.File, Line: p.Line, Column: p.Column, Path: p.Path, Message: p.Message, Fix: p.Fix})
		}
		return admin.Done{}, e
	}
	if err != nil {
		return admin.Done{}, refused(err.Error())
	}
	return admin.Done{Message: "configuration taken up: " + summary}, nil
}
