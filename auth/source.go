package auth

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// SourceOptions are the settings of a [Source]. The zero value is usable.
type SourceOptions struct {
	// Name says whose credential it is, in log records.
	Name string
	// Logger is told when watching for changes fails, once per change of the
	// cause. Nil is silence.
	Logger *slog.Logger
}

// Source owns the generations of one credential identity and renews them. Every
// method is safe for concurrent use; Close ends it.
//
// A source works only while it is used. The last call of Current or Renew keeps
// it awake for a minute or two; then it is parked and holds neither a timer nor a
// goroutine, save the one of a [Watcher].
type Source struct {
	// cur is what Current hands out: nil when absent, expired or parked. It is
	// written under mu, by timers, so that the hot path never asks for the time.
	cur  atomic.Pointer[Credential]
	used atomic.Bool // set by use, cleared by tick

	typ      string
	strategy Strategy
	options  SourceOptions
	ctx      context.Context // ends with Close
	cancel   context.CancelFunc
	watchers sync.WaitGroup

	mu     sync.Mutex
	closed bool
	flight *flight // the renewal in flight

	// The newest credential, and what is known of it.
	cred       *Credential
	generation uint64
	rotation   uint64
	life       time.Duration // lifetime when its generation was first seen
	stop       time.Time     // when cred counts as expired; zero: never
	refused    uint64        // highest generation that a caller brought back

	// Rotations. A fetch that began in an older epoch is void.
	epoch    uint64
	rotating bool    // what is published next comes from outside
	queued   *flight // the fetch of a rotation that came during a flight
	watching bool

	trouble          // what the last failure forbids, see renew.go
	schedule         // what happens next without being asked, see ahead.go
	forced   limiter // renewals of refused credentials
	absent   limiter // renewals for want of a credential

	last LastRenewal

	listen    sync.Mutex // guards listeners
	listeners []*listener
}

// NewSource makes a source of the given strategy. typ is its type name in
// configuration and status. Nothing is fetched or watched before the first Renew
// or Rotate.
func NewSource(typ string, s Strategy, o SourceOptions) *Source {
	src := &Source{typ: typ, strategy: s, options: o}
	src.options.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	src.ctx, src.cancel = context.WithCancel(context.Background())
	return src
}

// Current returns the credential to send now. It is false when there is none,
// when it has expired and after Close: then Renew(ctx, 0, false) is the way to
// one. It does not block, and allocates nothing.
func (s *Source) Current() (*Credential, bool) {
	if !s.used.Load() { // a plain Store would bounce the cache line between cores
		s.used.Store(true)
	}
	if c := s.cur.Load(); c != nil {
		return c, true
	}
	return s.wake()
}

// Peek returns the credential at hand without using the source: it keeps nothing
// awake. It is false also when the source is parked and Current would find one.
func (s *Source) Peek() (*Credential, bool) {
	c := s.cur.Load()
	return c, c != nil
}

// Rotate fetches again now because something outside changed: a file, a sign-in.
// A renewal under way is void. If the bytes differ, what is published counts as a
// rotation, also when this fetch fails and a later one succeeds. It returns as
// Renew does; when ctx ends first, the fetch itself goes on.
func (s *Source) Rotate(ctx context.Context) (Outcome, error) {
	for f := s.rotate(); ; {
		if f == nil {
			return Passing, errHung
		}
		if o, err, ended := s.await(ctx, f); ended {
			return o, err
		}
		s.mu.Lock()
		o, err, void, next := f.outcome, f.err, f.void, f.next
		s.mu.Unlock()
		if !void {
			return o, err
		}
		f = next
	}
}

// rotate voids what is under way and starts a fetch, or queues one behind it:
// however many rotations come during a flight, one fetch follows. It returns the
// flight that answers this rotation, nil when the one before it hangs.
func (s *Source) rotate() *flight {
	s.used.Store(true)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.touch(now)
	s.epoch++
	s.rotating = true
	s.trouble = trouble{}
	s.retryAt = time.Time{}
	if s.flight == nil {
		return s.begin(now)
	}
	if s.queued == nil {
		s.queued = newFlight()
	}
	if s.flight.hung {
		return nil
	}
	return s.queued
}

// Close ends the source: waiters get [ErrClosed], Current finds nothing, and no
// goroutine or timer remains when it returns. It waits for a strategy that does
// not heed its context, and for a [Durable] one, until their limit of 10 s. It
// must not be called from a listener.
func (s *Source) Close() {
	s.mu.Lock()
	s.closed = true
	s.cur.Store(nil)
	s.disarm()
	f := s.flight
	s.mu.Unlock()
	s.cancel()
	if f != nil {
		<-f.done
	}
	s.watchers.Wait()
}

// EventKind says what an [Event] tells of.
type EventKind uint8

// The kinds of events.
const (
	Renewed   EventKind = iota // a new generation that we asked for
	Rotated                    // a new generation because something outside changed
	Unchanged                  // the issuer gave the same bytes again
	Failed                     // no credential: Outcome says whether for good
)

func (k EventKind) String() string {
	return [...]string{"renewed", "rotated", "unchanged", "failed"}[k]
}

// Event tells of one finished fetch.
type Event struct {
	Kind       EventKind
	Generation uint64 // current after it, 0 when there never was one
	Outcome    Outcome
	At         time.Time
	Took       time.Duration
	Err        error // of a failure; free of secrets
}

type listener struct{ on func(Event) }

// Watch calls on after every finished fetch, in order, one at a time, outside the
// source's lock and before the callers that wait for that fetch go on. on must
// not block and must not call Renew, Rotate or Close. A last call may be under way
// when stop returns. Nothing is told of fetches that a rotation voided, nor after
// Close.
func (s *Source) Watch(on func(Event)) (stop func()) {
	l := &listener{on}
	s.listen.Lock()
	s.listeners = append(slices.Clip(s.listeners), l)
	s.listen.Unlock()
	return func() {
		s.listen.Lock()
		defer s.listen.Unlock()
		s.listeners = slices.DeleteFunc(slices.Clone(s.listeners), func(o *listener) bool { return o == l })
	}
}

func (s *Source) emit(e Event) {
	s.listen.Lock()
	all := s.listeners // never written in place
	s.listen.Unlock()
	for _, l := range all {
		l.on(e)
	}
}

// Facts is what may be known of a credential without knowing it.
type Facts struct {
	Type        string      `json:"type"`
	Generation  uint64      `json:"generation"`
	Issued      time.Time   `json:"issued,omitzero"`
	Expires     time.Time   `json:"expires,omitzero"` // zero: never
	Renewable   bool        `json:"renewable"`
	LastRenewal LastRenewal `json:"lastRenewal,omitzero"`
}

// LastRenewal is the result of the last fetch.
type LastRenewal struct {
	At      time.Time `json:"at"`
	Outcome Outcome   `json:"outcome"`
	Code    string    `json:"code,omitempty"` // OAuth error code
}

// Facts describes the newest credential, expired or not. It is no use of the source.
func (s *Source) Facts() Facts {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := Facts{Type: s.typ, LastRenewal: s.last}
	if c := s.cred; c != nil {
		f.Generation, f.Issued, f.Expires, f.Renewable = c.generation, c.issued, c.expires, c.renewable
	}
	return f
}

// watch runs the strategy's Watcher until Close. It is started by the first
// fetch, so that a source nobody uses holds nothing.
func (s *Source) watch() {
	w, ok := s.strategy.(Watcher)
	if !ok || s.watching || s.closed {
		return
	}
	s.watching = true
	s.watchers.Go(func() {
		var told string
		for wait := backoffFirst; ; wait = min(2*wait, 30*time.Second) {
			err := s.watchOnce(w)
			if err == nil || s.ctx.Err() != nil {
				return
			}
			if told != err.Error() {
				told = err.Error()
				s.options.Logger.Warn("cannot watch a credential for changes",
					"credential", s.options.Name, "type", s.typ, "error", err)
			}
			t := time.NewTimer(wait)
			select {
			case <-t.C:
			case <-s.ctx.Done():
				t.Stop()
				return
			}
		}
	})
}

// watchOnce keeps a panic of a watcher from ending the process.
func (s *Source) watchOnce(w Watcher) (err error) {
	defer func() {
		if recover() != nil {
			err = errPanicked
		}
	}()
	return w.Watch(s.ctx, func() { s.rotate() })
}
