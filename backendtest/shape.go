package backendtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"
)

var errCut = errors.New("backendtest: the answer was cut by a fault")

// shaper writes an answer through the faults that work on answers. Servers
// write from several goroutines, one after the other; the lock makes that safe.
type shaper struct {
	w          http.ResponseWriter
	r          *http.Request
	m          *Message
	candidates []*Injection
	leave      func() // ends the request's context

	mu       sync.Mutex
	status   int
	limit    int64 // bytes still to pass, -1 without a limit
	slow     time.Duration
	truncate bool
	stream   bool
	pending  []byte // a stream's unfinished event, or a whole JSON answer
	ended    bool   // nothing more is written
	cut      bool   // and the connection is gone
}

func newShaper(w http.ResponseWriter, r *http.Request, m *Message, p plan, leave func()) *shaper {
	return &shaper{w: w, r: r, m: m, candidates: p.shapes, leave: leave, limit: -1}
}

// Header implements http.ResponseWriter.
func (s *shaper) Header() http.Header { return s.w.Header() }

// WriteHeader implements http.ResponseWriter.
func (s *shaper) WriteHeader(status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writeHeader(status)
}

func (s *shaper) writeHeader(status int) {
	if s.status >= 200 {
		return
	}
	s.status = status
	if status >= 200 && status < 300 {
		s.choose()
	}
	s.w.WriteHeader(status)
}

// choose takes the faults that hit this answer.
func (s *shaper) choose() {
	h := s.w.Header()
	s.stream = strings.HasPrefix(h.Get("Content-Type"), "text/event-stream")
	for _, i := range s.candidates {
		if !i.take(s.r, s.m) {
			continue
		}
		switch f := i.fault; f.kind {
		case faultLimitData:
			s.limit = f.limit
		case faultSlowClose:
			s.slow += f.delay
			h.Del("Content-Length")
		case faultTruncate:
			s.truncate = true
			h.Del("Content-Length")
		default: // the others do not work on answers
		}
	}
}

// Write implements http.ResponseWriter.
func (s *shaper) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.status < 200 {
		s.writeHeader(http.StatusOK)
	}
	switch {
	case s.ended:
		return 0, errCut
	case !s.truncate:
		return s.pass(p)
	case s.stream:
		return len(p), s.passEvents(p)
	default:
		s.pending = append(s.pending, p...)
		return len(p), nil
	}
}

// pass writes what the limit allows and cuts the connection after it.
func (s *shaper) pass(p []byte) (int, error) {
	if s.limit < 0 || int64(len(p)) <= s.limit {
		if s.limit >= 0 {
			s.limit -= int64(len(p))
		}
		return s.w.Write(p)
	}
	n, err := s.w.Write(p[:s.limit])
	if err == nil {
		err = http.NewResponseController(s.w).Flush()
	}
	s.ended, s.cut = true, true
	if c, ok := connOf(s.r.Context()); ok {
		_ = c.Close()
	}
	s.leave()
	return n, errors.Join(errCut, err)
}

// passEvents lets whole events through, up to the one that holds the response.
func (s *shaper) passEvents(p []byte) error {
	s.pending = append(s.pending, p...)
	for {
		end := bytes.Index(s.pending, []byte("\n\n"))
		if end < 0 {
			return nil
		}
		event := s.pending[:end+2]
		if isResponseEvent(event) {
			s.ended, s.pending = true, nil
			s.leave()
			return nil
		}
		if _, err := s.pass(event); err != nil {
			return err
		}
		s.pending = s.pending[end+2:]
	}
}

func isResponseEvent(event []byte) bool {
	var data []byte
	for line := range bytes.Lines(event) {
		if rest, ok := bytes.CutPrefix(line, []byte("data:")); ok {
			data = append(data, rest...)
		}
	}
	var m struct {
		Result json.RawMessage `json:"result"`
		Error  json.RawMessage `json:"error"`
	}
	return json.Unmarshal(data, &m) == nil && (m.Result != nil || m.Error != nil)
}

// Flush implements http.Flusher.
func (s *shaper) Flush() { _ = s.FlushError() }

// FlushError is what http.ResponseController asks for.
func (s *shaper) FlushError() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return errCut
	}
	if s.status < 200 {
		s.writeHeader(http.StatusOK)
	}
	return http.NewResponseController(s.w).Flush()
}

// finish ends the answer after its handler returned: late with SlowClose, and
// by breaking the connection when it was cut.
func (s *shaper) finish(wait func(time.Duration)) {
	s.mu.Lock()
	if s.truncate && !s.stream {
		_, _ = s.pass(s.pending[:len(s.pending)/2])
	}
	slow, cut := s.slow, s.cut
	s.mu.Unlock()
	if slow > 0 && !cut {
		_ = s.FlushError()
		wait(slow)
	}
	if cut {
		panic(http.ErrAbortHandler)
	}
}

// discard takes an answer that nobody will see.
type discard struct {
	mu     sync.Mutex
	header http.Header
	status int
	body   bytes.Buffer
}

func newDiscard() *discard { return &discard{header: http.Header{}} }

// Header implements http.ResponseWriter.
func (d *discard) Header() http.Header { return d.header }

// Flush implements http.Flusher.
func (d *discard) Flush() {}

// WriteHeader implements http.ResponseWriter.
func (d *discard) WriteHeader(status int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.status < 200 {
		d.status = status
	}
}

// Write implements http.ResponseWriter.
func (d *discard) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.status < 200 {
		d.status = http.StatusOK
	}
	return d.body.Write(p)
}

// deliver sends the answer after all.
func (d *discard) deliver(w http.ResponseWriter) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for name, values := range d.header {
		w.Header()[name] = values
	}
	if d.status > 0 {
		w.WriteHeader(d.status)
	}
	_, _ = w.Write(d.body.Bytes())
}
