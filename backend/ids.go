package backend

import (
	"strconv"
	"sync"
	"sync/atomic"
)

// ids are the request ids in flight in one session. Clients choose theirs
// without knowing of each other.
type ids struct {
	mu   sync.Mutex
	busy map[string]struct{}
}

// take reserves the id the client chose, or one of our own when it chose none or
// that one is in flight already. It returns the id to use.
func (s *ids) take(raw []byte, next *atomic.Int64) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy == nil {
		s.busy = map[string]struct{}{}
	}
	for id := raw; ; id = ownID(next) {
		if len(id) == 0 {
			continue
		}
		if _, taken := s.busy[string(id)]; !taken {
			s.busy[string(id)] = struct{}{}
			return id
		}
	}
}

func (s *ids) free(id []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.busy, string(id))
}

func ownID(next *atomic.Int64) []byte { return strconv.AppendInt(nil, next.Add(1), 10) }
