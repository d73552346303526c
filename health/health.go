// Package health asks every backend now and then whether it still answers. It
// is never on the path of a call: calls have the breaker. What it learns goes
// into the status and wakes the catalog after trouble.
package health

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// Options of the monitor. The zero value means the defaults.
type Options struct {
	// Interval between two probes of one backend. Default 30 s; every wait is
	// varied by up to a tenth, so that many backends are not asked at once.
	Interval time.Duration `yaml:"interval,omitempty" json:"interval,omitempty"`
	// Timeout of one probe. Default 10 s.
	Timeout time.Duration `yaml:"timeout,omitempty" json:"timeout,omitempty"`
	// UnavailableAfter is the number of probes in a row without an answer after
	// which a backend is unavailable. Default 3. A refused credential does not
	// wait for it.
	UnavailableAfter int `yaml:"unavailableAfter,omitempty" json:"unavailableAfter,omitempty"`
}

// Validate reports values out of range, with the fix.
func (o Options) Validate() error {
	switch {
	case o.Interval < 0 || o.Interval > 0 && o.Interval < time.Second:
		return fmt.Errorf("interval is %s: use 1s or more", o.Interval)
	case o.Timeout < 0:
		return fmt.Errorf("timeout is %s: use a positive duration", o.Timeout)
	case o.UnavailableAfter < 0:
		return fmt.Errorf("unavailableAfter is %d: use 1 or more", o.UnavailableAfter)
	}
	return nil
}

// WithDefaults returns the options with every default filled in.
func (o Options) WithDefaults() Options {
	o.Interval = cmp.Or(o.Interval, 30*time.Second)
	o.Timeout = cmp.Or(o.Timeout, 10*time.Second)
	o.UnavailableAfter = cmp.Or(o.UnavailableAfter, 3)
	return o
}

// Backend is what the monitor needs of one backend.
type Backend struct {
	Name string
	// Of tells this backend from another one that later has the name. It is
	// compared with ==.
	Of any
	// Probe sends the cheapest request that shows whether the backend answers
	// and accepts the credential.
	Probe func(context.Context) error
}

// Verdict is what the probes of one backend have shown.
type Verdict struct {
	Asked    bool      // at least one probe has ended
	Err      error     // of the last probe; nil: it was answered
	Failures int       // probes in a row that ended with an error
	At       time.Time // end of the last probe
	Next     time.Time // when the next one is due
	Took     time.Duration
}

// Monitor probes backends. Its methods are safe for concurrent use.
type Monitor struct {
	after func(name string, before, now Verdict)
	began time.Time

	mu       sync.Mutex
	o        Options
	backends map[string]*watch
	ctx      context.Context // of Run; nil before it and after it
	running  sync.WaitGroup
}

type watch struct {
	Backend
	kick chan struct{}
	stop func() // nil before it runs; the monitor's lock guards it

	probing sync.Mutex // one probe at a time
	mu      sync.Mutex
	v       Verdict
	asking  bool
}

// New returns a monitor of the given backends. after, when not nil, is told of
// the end of every probe.
func New(o Options, backends []Backend, after func(name string, before, now Verdict)) *Monitor {
	m := &Monitor{after: after, began: time.Now()}
	m.Replace(o, backends)
	return m
}

// Replace watches these backends from now on. What is known of a backend stays
// while its Of does; others are probed at once.
func (m *Monitor) Replace(o Options, backends []Backend) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.o = o.WithDefaults()
	before := m.backends
	m.backends = make(map[string]*watch, len(backends))
	for _, b := range backends {
		w := before[b.Name]
		if w == nil || w.Of != b.Of {
			w = &watch{Backend: b, kick: make(chan struct{}, 1)}
		}
		m.backends[b.Name] = w
		if w.stop == nil && m.ctx != nil {
			m.start(w)
		}
	}
	for name, w := range before {
		if m.backends[name] != w && w.stop != nil {
			w.stop()
		}
	}
}

// Run probes until ctx ends, and returns when the last probe has ended. The
// first probes start at once.
func (m *Monitor) Run(ctx context.Context) {
	m.mu.Lock()
	m.ctx = ctx
	for _, w := range m.backends {
		m.start(w)
	}
	m.mu.Unlock()
	<-ctx.Done()
	m.mu.Lock()
	m.ctx = nil // nothing is started from here on
	m.mu.Unlock()
	m.running.Wait()
}

// start watches a backend. m.mu is held.
func (m *Monitor) start(w *watch) {
	ctx, stop := context.WithCancel(m.ctx)
	w.stop = stop
	m.running.Go(func() {
		defer stop()
		m.watch(ctx, w)
	})
}

func (m *Monitor) options() Options {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.o
}

func (m *Monitor) find(name string) *watch {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.backends[name]
}

// Kick asks for a probe of the backend now, as when its breaker opens. Kicks
// during a probe are one more probe, however many.
func (m *Monitor) Kick(name string) {
	if w := m.find(name); w != nil {
		select {
		case w.kick <- struct{}{}:
		default:
		}
	}
}

// Probe probes the backend now and returns what that has shown. ok is false for
// an unknown name, and when ctx ended first.
func (m *Monitor) Probe(ctx context.Context, name string) (v Verdict, ok bool) {
	w := m.find(name)
	if w == nil {
		return Verdict{}, false
	}
	m.probe(ctx, w)
	return m.Verdict(name), ctx.Err() == nil
}

// Verdict returns what is known of a backend.
func (m *Monitor) Verdict(name string) Verdict {
	w := m.find(name)
	if w == nil {
		return Verdict{}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.v
}

// Probing is true while a probe of the backend is out: its end says more than what
// happens on the way.
func (m *Monitor) Probing(name string) bool {
	w := m.find(name)
	if w == nil {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asking
}

// UnavailableAfter is the configured number of failures in a row.
func (m *Monitor) UnavailableAfter() int { return m.options().UnavailableAfter }

func (m *Monitor) watch(ctx context.Context, w *watch) {
	for {
		m.probe(ctx, w)
		w.mu.Lock()
		next := w.v.Next
		w.mu.Unlock()
		t := time.NewTimer(time.Until(next))
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-w.kick:
			t.Stop()
		case <-t.C:
		}
	}
}

func (w *watch) ask(now bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asking = now
}

func (m *Monitor) probe(ctx context.Context, w *watch) {
	o := m.options()
	w.probing.Lock()
	defer w.probing.Unlock()
	w.ask(true)
	defer w.ask(false)
	began := time.Now()
	pctx, cancel := context.WithTimeout(ctx, o.Timeout)
	err := w.Probe(pctx)
	cancel()
	if ctx.Err() != nil {
		return // we are stopping: this says nothing about the backend
	}
	now := time.Now()
	w.mu.Lock()
	before := w.v
	v := Verdict{Asked: true, Err: err, At: now, Took: now.Sub(began), Next: m.slot(now.Add(vary(o.Interval)))}
	if err != nil {
		v.Failures = before.Failures + 1
	}
	w.v, w.asking = v, false
	w.mu.Unlock()
	if m.after != nil {
		m.after(w.Name, before, v)
	}
}

// slots is how long before a probe others may be due, to be made together with it:
// waking up for each costs more than the probe itself.
const slots = 250 * time.Millisecond

// slot returns the last common time before next.
func (m *Monitor) slot(next time.Time) time.Time {
	return next.Add(-(next.Sub(m.began) % slots))
}

// vary spreads a wait by a tenth to both sides.
func vary(d time.Duration) time.Duration {
	return d - d/10 + time.Duration(rand.Int64N(int64(d)/5+1))
}
