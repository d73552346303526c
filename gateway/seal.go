package gateway

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"
)

// sealer makes the values of requestState that the gateway hands out itself, and
// knows them again: each names a moment, a caller and a request, and cannot be made
// by anybody else (basic/patterns/mrtr, "Server Requirements"). The key lives as
// long as the process, as what the values stand for does.
type sealer struct{ key [32]byte }

func newSealer() (s sealer) {
	rand.Read(s.key[:]) // never fails: it ends the program instead
	return s
}

const (
	nonceSize = 16
	stateSize = nonceSize + 8 + sha256.Size
)

// state is what a value stands for.
type state struct {
	nonce   [nonceSize]byte
	expires time.Time
}

// issue makes a value for a caller and a request.
func (s *sealer) issue(owner, about string, ttl time.Duration) (st state, text string) {
	rand.Read(st.nonce[:])
	st.expires = time.Now().Add(ttl)
	b := append(make([]byte, 0, stateSize), st.nonce[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(st.expires.Unix())) //nolint:gosec // a time after 1970
	return st, base64.RawURLEncoding.EncodeToString(s.sum(b, owner, about))
}

// open checks a value that a caller brought for a request.
func (s *sealer) open(text, owner, about string) (st state, ok bool) {
	// The decoder passes over line ends: a value is the text that was handed out.
	if len(text) != base64.RawURLEncoding.EncodedLen(stateSize) {
		return st, false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) != stateSize {
		return st, false
	}
	head := b[: nonceSize+8 : nonceSize+8]
	if !hmac.Equal(s.sum(head, owner, about), b) {
		return st, false
	}
	copy(st.nonce[:], head)
	st.expires = time.Unix(int64(binary.BigEndian.Uint64(head[nonceSize:])), 0) //nolint:gosec // we wrote it
	return st, time.Now().Before(st.expires)
}

// sum appends the authentication of head, a caller and a request.
func (s *sealer) sum(head []byte, owner, about string) []byte {
	m := hmac.New(sha256.New, s.key[:])
	m.Write(head)
	m.Write(binary.BigEndian.AppendUint64(nil, uint64(len(owner))))
	m.Write([]byte(owner))
	m.Write([]byte(about))
	return m.Sum(head)
}
