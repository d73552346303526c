package gateway

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"
)

const (
	// trusted is how much memory a declared length gets before its bytes come.
	trusted = 256 << 10
	// bodyTime bounds reading a body. A client that sends slower costs a
	// goroutine no longer.
	bodyTime = time.Minute
	// drainTime bounds reading on in a body that is too large, which keeps the
	// connection usable.
	drainTime = 5 * time.Second
)

var errTooLarge = errors.New("request body too large")

// readBody reads a body of at most limit bytes into a buffer of its size. The
// buffer belongs to the request: a transport may still read it when everybody
// else is done, so it is not used again.
func readBody(r *http.Request, limit int64) ([]byte, error) {
	n := r.ContentLength
	switch {
	case n > limit:
		return nil, errTooLarge
	case n >= 0 && n <= trusted:
		b := make([]byte, n)
		if _, err := io.ReadFull(r.Body, b); err != nil {
			return nil, err
		}
		_ = r.Body.Close() // read to its end: the server need not look for more
		return b, nil
	}
	room := int64(trusted)
	if n < 0 {
		room = 4 << 10
	}
	b := make([]byte, 0, room)
	for {
		if len(b) == cap(b) {
			grown := make([]byte, len(b), min(2*int64(cap(b)), max(limit, n)+1))
			copy(grown, b)
			b = grown
		}
		got, err := r.Body.Read(b[len(b):cap(b)])
		b = b[:len(b)+got]
		switch {
		case int64(len(b)) > limit:
			return nil, errTooLarge
		case errors.Is(err, io.EOF):
			return b, nil
		case err != nil:
			return nil, err
		}
	}
}

// readTimed is readBody with a limit of time, where the connection knows limits.
func readTimed(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	conn := http.NewResponseController(w)
	if conn.SetReadDeadline(time.Now().Add(bodyTime)) == nil {
		// Else the end of the deadline would look like the client leaving.
		defer func() { _ = conn.SetReadDeadline(time.Time{}) }()
	}
	return readBody(r, limit)
}

// drain reads on in a body that nobody wants, so that the connection can be used
// again; what is larger still or does not come costs the client its connection.
// A client that waits for 100 Continue has not sent it and need not.
func drain(w http.ResponseWriter, r *http.Request, limit int64) {
	if r.Header["Expect"] != nil {
		return
	}
	if http.NewResponseController(w).SetReadDeadline(time.Now().Add(drainTime)) != nil {
		return // nothing bounds the time then
	}
	_, _ = io.CopyN(io.Discard, r.Body, limit)
}

// isJSON reports whether a request's body says that it is JSON.
func isJSON(h http.Header) bool {
	values := h["Content-Type"]
	if len(values) != 1 {
		return false
	}
	if values[0] == "application/json" {
		return true
	}
	t, _, err := mime.ParseMediaType(values[0])
	return err == nil && t == "application/json"
}

// accepts reports whether an Accept header lets every wanted type through. A
// request without one takes anything (RFC 9110, section 12.5.1).
func accepts(h http.Header, wanted ...string) bool {
	values := h["Accept"]
	if len(values) == 0 {
		return true
	}
	for _, w := range wanted {
		if !acceptsType(values, w) {
			return false
		}
	}
	return true
}

func acceptsType(values []string, wanted string) bool {
	kind, _, _ := strings.Cut(wanted, "/")
	for _, value := range values {
		for entry := range strings.SplitSeq(value, ",") {
			name, params, _ := strings.Cut(entry, ";")
			name = strings.TrimSpace(name)
			if refused(params) {
				continue
			}
			if strings.EqualFold(name, wanted) || name == "*/*" || strings.HasSuffix(name, "/*") && strings.EqualFold(name[:len(name)-2], kind) {
				return true
			}
		}
	}
	return false
}

// refused reports whether the parameters of an entry give it no weight at all.
func refused(params string) bool {
	for p := range strings.SplitSeq(params, ";") {
		if q, ok := strings.CutPrefix(strings.ReplaceAll(p, " ", ""), "q="); ok {
			return strings.Trim(q, "0.") == ""
		}
	}
	return false
}
