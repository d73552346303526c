package session

import (
	"context"
	"strconv"
)

// maxQuestions bounds the requests of servers that wait for one client.
const maxQuestions = 256

// maxHeld bounds what one session can hold.
const maxHeld = 1024

// Question is a request of a server that the client has to answer. Servers choose
// their ids without knowing of each other, so the client is told another.
type Question struct {
	ID    []byte // the server's own, as raw JSON
	Token []byte // the progress token that came with it, as raw JSON; nil without one
	From  Replier
	// Undelivered is told when the client's answer could not be delivered, so that
	// what waits for it can end. Nil: nothing does.
	Undelivered func(err error)
}

// Replier is whoever asked.
type Replier interface {
	// Send delivers the client's message: a response that has the server's own id,
	// or a notification about the question.
	Send(ctx context.Context, body []byte) error
}

// Ask notes a question and returns the id under which the client is asked. It
// fails when too many wait or the session has ended. Withdraw or the client's
// answer ends it.
func (s *Session) Ask(q Question) (id []byte, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || len(s.questions) >= maxQuestions {
		return nil, false
	}
	if s.questions == nil {
		s.questions = make(map[string]Question)
	}
	s.asked++
	id = strconv.AppendInt(nil, s.asked, 10)
	s.questions[string(id)] = q
	return id, true
}

// Answer takes the question that the client answers; ok is false for an answer
// that nobody waits for.
func (s *Session) Answer(id []byte) (q Question, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, ok = s.questions[string(id)]
	delete(s.questions, string(id))
	return q, ok
}

// Withdraw forgets a question that nobody wants answered any more.
func (s *Session) Withdraw(id []byte) { s.Answer(id) }

// Asked returns the id under which the client was asked what a server asked with
// its own id, nil when that is not open.
func (s *Session) Asked(from Replier, own []byte) (id []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, q := range s.questions {
		if q.From == from && string(q.ID) == string(own) {
			return []byte(key)
		}
	}
	return nil
}

// Progressing returns who asked the question that came with a progress token, nil
// when none is open.
func (s *Session) Progressing(token []byte) Replier {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range s.questions {
		if len(token) > 0 && string(q.Token) == string(token) {
			return q.From
		}
	}
	return nil
}

// Upstreams returns the sessions at the backends that were opened so far, by the
// backend's name.
func (s *Session) Upstreams() map[string]Upstream {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[string]Upstream, len(s.upstreams))
	for name, u := range s.upstreams {
		all[name] = u
	}
	return all
}

// Listens reports whether the client has opened a standing stream.
func (s *Session) Listens() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.listened
}

// SetLogLevel notes the level of the messages that the client wants.
func (s *Session) SetLogLevel(level string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.level = level
}

// LogLevel returns the level that the client has set, "" when it has not.
func (s *Session) LogLevel() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.level
}

// Hold keeps something for the client under a key, a subscription say, until Drop
// or the session's end calls release. What hold returns is kept; hold is not
// called when there is something under that key already. Hold returns false when
// the session holds too much or has ended.
func (s *Session) Hold(key string, hold func() (release func())) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, twice := s.held[key]; twice {
		return true
	}
	if s.ended || len(s.held) >= maxHeld {
		return false
	}
	if s.held == nil {
		s.held = make(map[string]func())
	}
	s.held[key] = hold()
	return true
}

// Drop releases what is held under the key.
func (s *Session) Drop(key string) {
	s.mu.Lock()
	release := s.held[key]
	delete(s.held, key)
	s.mu.Unlock()
	if release != nil {
		release()
	}
}
