package backendtest

import (
	"bytes"
	"net/http"
	"strings"
)

// recorder notes what goes out, just before it does.
type recorder struct {
	http.ResponseWriter
	status   int
	stream   bool
	begun    func(status int) // may be nil
	complete func()           // the response is about to be written; may be nil
}

// WriteHeader implements http.ResponseWriter.
func (r *recorder) WriteHeader(status int) {
	if r.status < 200 {
		r.status = status
		r.stream = strings.HasPrefix(r.Header().Get("Content-Type"), "text/event-stream")
		if r.begun != nil && status >= 200 {
			r.begun(status)
		}
	}
	r.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (r *recorder) Write(p []byte) (int, error) {
	if r.status < 200 {
		r.WriteHeader(http.StatusOK)
	}
	// A client may go on as soon as a stream has brought its response, before
	// the stream ends. Both SDKs write an event at a time.
	if r.stream && r.complete != nil && bytes.HasPrefix(p, []byte("event: message")) && isResponseEvent(p) {
		r.complete()
	}
	return r.ResponseWriter.Write(p)
}

// Flush implements http.Flusher, which mcp-go asks for.
func (r *recorder) Flush() { _ = r.FlushError() }

// FlushError is what http.ResponseController asks for.
func (r *recorder) FlushError() error {
	if r.status < 200 {
		r.WriteHeader(http.StatusOK)
	}
	return http.NewResponseController(r.ResponseWriter).Flush()
}

// Unwrap is what http.ResponseController asks for.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
