package caller

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/recloser-mcp/recloser/auth"
)

const (
	// lookEvery is how often the files of tokens are looked at, at most.
	lookEvery = time.Second
	// goneFor is how long the last token of a file goes on being accepted while
	// the file cannot be read, or holds no token: a file that is being written
	// must not turn every caller away, a deleted one must.
	goneFor = 10 * time.Second
)

// digest is the SHA-256 of a token. Tokens themselves are not kept.
type digest = [sha256.Size]byte

const digestPrefix = "sha256:"

// bearer holds the tokens of the static bearer scheme. Reading them is free of
// locks; a request that finds a second gone since the last look at the files looks
// again, alone, before it is judged.
type bearer struct {
	values []auth.Value
	log    *slog.Logger

	tokens atomic.Pointer[[]token]
	looked atomic.Int64 // when the files were last looked at, unix nanoseconds
	files  bool         // one of the values is read from a file

	mu   sync.Mutex // held while looking
	seen []sighting // per value
}

// token is one accepted token with its owner.
type token struct {
	digest digest
	owner  Identity
}

// sighting is what was last seen of one value.
type sighting struct {
	state string    // of its files, as stat tells it
	sum   digest    // of the token, zero when there is none
	since time.Time // when the value became unreadable, zero while it is readable
}

// newBearer reads every token. All defects are reported at once.
func newBearer(values []auth.Value, log *slog.Logger) (*bearer, error) {
	b := &bearer{values: values, log: log, seen: make([]sighting, len(values))}
	var errs []error
	if len(values) == 0 {
		errs = append(errs, errors.New(`tokens is empty: add "sha256:<hex>" or "${file:PATH}", else nobody can call`))
	}
	for i, v := range values {
		files := v.Files()
		b.files = b.files || len(files) > 0
		b.seen[i].state = stateOf(files)
		sum, err := digestOf(v)
		if err != nil {
			errs = append(errs, fmt.Errorf("tokens[%d]: %w", i, err))
		}
		b.seen[i].sum = sum
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	b.looked.Store(time.Now().UnixNano())
	b.publish()
	return b, nil
}

// publish makes what was seen what is accepted.
func (b *bearer) publish() {
	tokens := make([]token, 0, len(b.seen))
	for i, s := range b.seen {
		if s.sum != (digest{}) {
			// The position names the owner: a rotated token is the same
			// caller, and the name says nothing about the token.
			name := fmt.Sprintf("token-%d", i+1)
			tokens = append(tokens, token{s.sum, Identity{ID: "bearer:" + name, Name: name}})
		}
	}
	b.tokens.Store(&tokens)
}

// find returns the owner of a presented token.
func (b *bearer) find(presented string) (Identity, bool) {
	if b.files {
		b.look(time.Now())
	}
	sum := sha256.Sum256([]byte(presented))
	var owner Identity
	found := 0
	// Every token is compared, whole, so that the time taken tells nothing.
	for _, t := range *b.tokens.Load() {
		if equal := subtle.ConstantTimeCompare(sum[:], t.digest[:]); equal == 1 {
			found, owner = 1, t.owner
		}
	}
	return owner, found == 1
}

// look reads the files that changed, at most once a second. While one request
// looks the others go on with the tokens there are.
func (b *bearer) look(now time.Time) {
	if since := now.UnixNano() - b.looked.Load(); since >= 0 && since < int64(lookEvery) {
		return
	}
	if !b.mu.TryLock() {
		return
	}
	defer b.mu.Unlock()
	b.looked.Store(now.UnixNano())
	changed := false
	for i, v := range b.values {
		if files := v.Files(); len(files) > 0 && b.lookAt(i, v, stateOf(files), now) {
			changed = true
		}
	}
	if changed {
		b.publish()
	}
}

// lookAt brings one sighting up to date and says whether its token changed.
func (b *bearer) lookAt(i int, v auth.Value, state string, now time.Time) (changed bool) {
	s := &b.seen[i]
	if state == s.state && s.since.IsZero() {
		return false
	}
	s.state = state
	sum, err := digestOf(v)
	files := v.Files()
	switch {
	case err == nil:
		changed = sum != s.sum
		if changed || !s.since.IsZero() {
			b.log.Info("token for callers read again", "files", files, "changed", changed)
		}
		s.sum, s.since = sum, time.Time{}
	case s.since.IsZero():
		s.since = now
		b.log.Warn("token for callers cannot be read, the last one is accepted a little longer", "files", files, "error", err, "for", goneFor)
	case now.Sub(s.since) >= goneFor && s.sum != (digest{}):
		s.sum, changed = digest{}, true
		b.log.Error("token for callers is gone and no longer accepted", "files", files, "error", err)
	}
	return changed
}

// stateOf tells whether files changed since it last did: another inode, size or
// time of writing. It follows links, so that a swapped link is a change.
func stateOf(files []string) string {
	var b strings.Builder
	for _, name := range files {
		info, err := os.Stat(name)
		if err != nil {
			b.WriteString("gone;")
			continue
		}
		fmt.Fprintf(&b, "%d %d %v;", info.Size(), info.ModTime().UnixNano(), inode(info))
	}
	return b.String()
}

// digestOf reads a configured token: a digest, or the token itself. Its errors
// show neither.
func digestOf(v auth.Value) (sum digest, err error) {
	secret, err := v.Resolve()
	if err != nil {
		return sum, err
	}
	text := secret.Reveal()
	if encoded, ok := strings.CutPrefix(text, digestPrefix); ok {
		raw, err := hex.DecodeString(encoded)
		if err != nil || len(raw) != len(sum) || digest(raw) == (digest{}) {
			return sum, errors.New(`"sha256:" is not followed by the 64 hexadecimal digits of a digest: print one with printf %s "$TOKEN" | sha256sum`)
		}
		return digest(raw), nil
	}
	switch {
	case text == "":
		return sum, errors.New("is empty: put a token into it, or leave the entry out")
	case !validToken(text):
		return sum, errors.New("holds a character that no bearer token may have, a space or a line break perhaps: one entry is one token")
	}
	return sha256.Sum256([]byte(text)), nil
}

// validToken is true for what RFC 6750 section 2.1 calls a b64token.
func validToken(s string) bool {
	body := strings.TrimRight(s, "=")
	for _, c := range []byte(body) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case strings.IndexByte("-._~+/", c) >= 0:
		default:
			return false
		}
	}
	return body != ""
}
