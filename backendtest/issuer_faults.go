package backendtest

import (
	"net/http"
	"strconv"
	"time"
)

// TokenFailure is an answer of a token endpoint that yields no token.
type TokenFailure struct {
	Status int
	// Code is the OAuth error code of a JSON answer (RFC 6749 section 5.2).
	Code string
	// Body and ContentType are the answer when there is no Code.
	Body, ContentType string
	// RetryAfter adds a Retry-After header, in whole seconds, when positive.
	RetryAfter time.Duration
}

// InvalidGrant is the answer to a grant that ended: 400 invalid_grant.
func InvalidGrant() TokenFailure { return OAuthError(http.StatusBadRequest, "invalid_grant") }

// InvalidClient is the answer to a client that is not known: 401 invalid_client.
func InvalidClient() TokenFailure { return OAuthError(http.StatusUnauthorized, "invalid_client") }

// OAuthError is an answer with an OAuth error code.
func OAuthError(status int, code string) TokenFailure {
	return TokenFailure{Status: status, Code: code}
}

// Unavailable is a token endpoint that is down behind its proxy: 503.
func Unavailable() TokenFailure {
	return TokenFailure{Status: http.StatusServiceUnavailable, Body: "upstream connect error", ContentType: "text/plain"}
}

// HTML is a page where a token should be, such as a sign-in page, with any
// status, 200 included.
func HTML(status int) TokenFailure {
	return TokenFailure{
		Status: status, ContentType: "text/html",
		Body: "<!DOCTYPE html><title>Sign in</title><p>Please sign in.</p>",
	}
}

// tokenScript is how the endpoint misbehaves.
type tokenScript struct {
	failure TokenFailure
	fails   int
	hangs   int
	latency time.Duration
	healed  chan struct{}
}

// Fail answers the next requests with a failure; [Forever] until Heal. It
// replaces what an earlier Fail left over.
func (i *Issuer) Fail(f TokenFailure, times int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.script.failure, i.script.fails = f, times
}

// Hang holds the next requests until their client leaves, Heal (they are then
// answered) or Close.
func (i *Issuer) Hang(times int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.script.hangs = times
}

// Latency holds every request for d before it is answered. Zero ends it.
func (i *Issuer) Latency(d time.Duration) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.script.latency = d
}

// Heal ends Fail, Hang, Latency and WrongAudience.
func (i *Issuer) Heal() {
	i.mu.Lock()
	defer i.mu.Unlock()
	close(i.script.healed)
	i.script = tokenScript{healed: make(chan struct{})}
	i.wrong = false
}

// take uses up a count.
func take(n *int) bool {
	if *n == 0 {
		return false
	}
	if *n > 0 {
		*n--
	}
	return true
}

// misbehave reports whether it answered the request.
func (i *Issuer) misbehave(w http.ResponseWriter, r *http.Request) bool {
	i.mu.Lock()
	s := i.script
	hang, fail := take(&i.script.hangs), false
	if !hang {
		fail = take(&i.script.fails)
	}
	i.mu.Unlock()
	if s.latency > 0 {
		i.host.sleep(r.Context(), s.latency, s.healed)
	}
	if hang {
		i.host.hold(r.Context(), s.healed)
	}
	if fail {
		s.failure.write(w)
	}
	return fail
}

func (f TokenFailure) write(w http.ResponseWriter) {
	if f.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.FormatInt(int64(f.RetryAfter/time.Second), 10))
	}
	if f.Code != "" {
		writeOAuthError(w, f.Status, f.Code, "the issuer was told to fail")
		return
	}
	w.Header().Set("Content-Type", f.ContentType)
	w.WriteHeader(f.Status)
	_, _ = w.Write([]byte(f.Body))
}
