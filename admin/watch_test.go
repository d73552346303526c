package admin_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/recloser-mcp/recloser/admin"
	"github.com/recloser-mcp/recloser/status"
)

// line is a network on which each request meets the next of its answers.
type line struct {
	answers  []func(*http.Request) (*http.Response, error)
	requests []string // the ids after which events were asked for, with the time
	began    time.Time
}

func (l *line) RoundTrip(r *http.Request) (*http.Response, error) {
	l.requests = append(l.requests, fmt.Sprintf("%s after %q", time.Since(l.began), r.Header.Get("Last-Event-ID")))
	if len(l.answers) == 0 {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	a := l.answers[0]
	l.answers = l.answers[1:]
	return a(r)
}

// stream answers with a text and then breaks off, or says nothing more.
func stream(text string, hang bool) func(*http.Request) (*http.Response, error) {
	return func(r *http.Request) (*http.Response, error) {
		var body io.Reader = strings.NewReader(text)
		if hang {
			body = io.MultiReader(body, hung{r.Context()})
		}
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(body)}, nil
	}
}

type hung struct{ ctx context.Context }

func (h hung) Read([]byte) (int, error) {
	<-h.ctx.Done()
	return 0, h.ctx.Err()
}

func down(*http.Request) (*http.Response, error) { return nil, errors.New("connection refused") }

func code(n int, body string) func(*http.Request) (*http.Response, error) {
	return func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: n, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}, nil
	}
}

const event = "id: %d\nevent: event\ndata: {\"id\": %d, \"message\": \"m\"}\n\n"

// A broken stream is taken up again after the last event, ever more slowly, and
// also when it breaks without a sound.
func TestEventsGoOnAfterTheLastOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &line{began: time.Now()}
		l.answers = []func(*http.Request) (*http.Response, error){
			stream(fmt.Sprintf(event+event, 1, 1, 2, 2), false),
			down, code(502, ""), code(503, `{"error": "starting"}`), down, down, down,
			stream("event: status\ndata: {}\n\n: still here\n\n"+fmt.Sprintf(event, 3, 3), true),
		}
		ctx, cancel := context.WithCancel(t.Context())
		var seen []string
		w := admin.Watcher{
			After:   0,
			Event:   func(e status.Event) error { seen = append(seen, fmt.Sprint(e.ID)); return nil },
			Changed: func() error { seen = append(seen, "changed"); return nil },
			Lost:    func(error) { seen = append(seen, "lost") },
		}
		done := make(chan error)
		go func() {
			done <- (&admin.Client{URL: "http://gateway", HTTPClient: &http.Client{Transport: l}}).Events(ctx, w)
		}()
		time.Sleep(2 * time.Minute)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("ended with %v", err)
		}
		if d := cmp.Diff([]string{"1", "2", "lost", "changed", "changed", "3", "lost"}, seen); d != "" {
			t.Errorf("seen (-want +got):\n%s", d)
		}
		want := []string{
			`0s after ""`, `250ms after "2"`, `750ms after "2"`, `1.75s after "2"`, `3.75s after "2"`, `7.75s after "2"`, `12.75s after "2"`,
			`17.75s after "2"`, `1m3s after "3"`,
		}
		if d := cmp.Diff(want, l.requests); d != "" {
			t.Errorf("requests (-want +got):\n%s", d)
		}
	})
}

// What waiting does not mend ends the stream.
func TestEventsEnd(t *testing.T) {
	enough := errors.New("enough")
	for _, test := range []struct {
		name     string
		answers  []func(*http.Request) (*http.Response, error)
		watcher  admin.Watcher
		kind     admin.Kind
		err      error
		requests int
	}{
		{"never reached", []func(*http.Request) (*http.Response, error){down}, admin.Watcher{}, admin.Unreachable, nil, 1},
		{"no such backend", []func(*http.Request) (*http.Response, error){code(404, `{"error": "no backend"}`)}, admin.Watcher{Backend: "x"}, admin.NotFound, nil, 1},
		{"another token meanwhile", []func(*http.Request) (*http.Response, error){stream("", false), code(401, `{"error": "token"}`)}, admin.Watcher{}, admin.Unauthorized, nil, 2},
		{"the caller has seen enough", []func(*http.Request) (*http.Response, error){stream(fmt.Sprintf(event, 1, 1), true)},
			admin.Watcher{Event: func(status.Event) error { return enough }}, 0, enough, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &line{answers: test.answers, began: time.Now()}
				err := (&admin.Client{URL: "http://gateway", HTTPClient: &http.Client{Transport: l}}).Events(t.Context(), test.watcher)
				var e *admin.Error
				switch {
				case test.err != nil && !errors.Is(err, test.err), test.err == nil && (!errors.As(err, &e) || e.Kind != test.kind):
					t.Errorf("ended with %v", err)
				}
				if len(l.requests) != test.requests {
					t.Errorf("%d requests, want %d", len(l.requests), test.requests)
				}
			})
		})
	}
}
