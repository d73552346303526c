package session

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
)

// Common returns the session of all requests that agree in everything that i says
// and in the variant, opening it if there is none: clients of a revision without
// sessions need one at backends that have them. No client can name it. It is held,
// as if Get had returned it, and expires like any other. The error is ErrFull or
// ErrClosed.
func (s *Store) Common(variant string, i Info) (*Session, error) {
	id := commonID(variant, i)
	s.mu.RLock()
	sess := s.sessions[id]
	s.mu.RUnlock()
	if sess != nil && sess.hold() {
		return sess, nil
	}
	i.ClientInfo, i.Capabilities = bytes.Clone(i.ClientInfo), bytes.Clone(i.Capabilities) // they may share a whole request
	sess, err := s.create(id, i)
	if err != nil {
		return nil, err
	}
	return sess, nil
}

// commonID begins with a byte that no header can hold.
func commonID(variant string, i Info) string {
	h := sha256.New()
	for _, part := range []string{variant, i.Owner, i.Scope, string(i.Revision), string(i.ClientInfo), string(i.Capabilities)} {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		h.Write([]byte(part))
	}
	return "\x00" + string(h.Sum(nil))
}
