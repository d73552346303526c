package backend_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/backendtest"
	"github.com/recloser-mcp/recloser/wire"
)

// However an elder server takes the question for its revision, it is served as one.
func TestElderProgramIsFoundWhateverItSaysToTheProbe(t *testing.T) {
	for name, row := range map[string]struct {
		answer  backendtest.LegacyAnswer
		started int
		waited  time.Duration
	}{
		"method not found": {backendtest.LegacyMethodNotFound, 1, 0},
		"another error":    {backendtest.LegacyJSON, 1, 0},
		"elder revisions":  {backendtest.LegacyUnsupported, 2, 0}, // it may take the question for its handshake
		"nothing":          {backendtest.LegacySilent, 1, 5 * time.Second},
		"its end":          {backendtest.LegacyExit, 2, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r, m := newServedRig(t, rich(backendtest.WithRevision(elder), backendtest.WithLegacyAnswer(row.answer)))
				took := elapsed()
				r.mustCall()
				want(t, "waited", took(), row.waited)
				want(t, "started", m.started(), row.started)
				want(t, "revision", string(r.c.Facts().Revision), elder)
				want(t, "executions", r.srv.Executions("echo"), 1)
				r.mustCall()
				want(t, "waited", took(), row.waited)
				want(t, "probes", r.srv.Requests("server/discover"), 1)
			})
		})
	}
}

func TestProgramThatEndsAtItsStartIsHeldBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := &machine{program: func(p *proc) string {
			_, _ = io.WriteString(p.stderr, "starting\nno such file: data.db\n")
			return "exit status 3"
		}}
		r := newStdioRig(t, m)
		e := wantExit(t, r.call(t.Context()), "exit status 3")
		want(t, "outcome known", e.OutcomeUnknown, false)
		want(t, "words of ours alone", strings.Contains(e.Error(), "data.db"), false)
		exit, _ := errors.AsType[*backend.ExitError](e)
		if diff := cmp.Diff([]string{"starting", "no such file: data.db"}, exit.Stderr); diff != "" {
			t.Error(diff)
		}
		want(t, "started", m.started(), 2) // once more, to see whether it was the question

		// In an hour of one call a second it is started every 30 s at most.
		for range 3600 {
			time.Sleep(time.Second)
			took := elapsed()
			e = wantExit(t, r.call(t.Context()), "exit status 3")
			want(t, "waited", took() <= time.Second, true)
		}
		if n := m.started(); n > 130 || n < 100 {
			t.Errorf("%d starts in an hour", n)
		}
		f := r.c.Facts()
		want(t, "says when", !f.Process.LastExit.Next.IsZero() && e.RetryAfter > 0, true)
		want(t, "last error", f.LastError.Kind, backend.KindProcessExited)
		want(t, "reachable by nobody", f.LastAnswer.IsZero(), true)

		// It is mended: the next start is the last.
		srv := backendtest.NewServer(t, backendtest.WithPipe())
		m.mu.Lock()
		m.program = served(srv)
		m.mu.Unlock()
		time.Sleep(31 * time.Second)
		starts := m.started()
		r.mustCall()
		r.mustCall()
		want(t, "starts", m.started(), starts+1)
		m.running()[0].kill()
		synctest.Wait()
		r.mustCall() // a fresh count
	})
}

func TestProgramThatCannotBeStarted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := &machine{fail: errNoProgram}
		r := newStdioRig(t, m)
		e := wantKind(t, r.call(t.Context()), backend.KindProcessExited)
		want(t, "detail", strings.HasPrefix(e.Detail, "it cannot be started: there is no such program"), true)
		for range 600 {
			time.Sleep(time.Second)
			wantKind(t, r.call(t.Context()), backend.KindProcessExited)
		}
		if m.tries > 30 {
			t.Errorf("%d tries in ten minutes", m.tries)
		}
	})
	bubble(t, func(t *testing.T) {
		m := &machine{}
		r := newStdioRig(t, m, func(o *backend.Options) { o.Command = "no-such-program-anywhere" })
		wantKind(t, r.call(t.Context()), backend.KindProcessExited)
		want(t, "tries", m.tries, 0)
	})
}

func TestProgramThatNeverAnswersTimesOut(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := &machine{program: spoken(func(*proc, *wire.Envelope, []byte) string { return "" })}
		r := newStdioRig(t, m)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		took := elapsed()
		wantKind(t, r.call(ctx), backend.KindTimeout)
		want(t, "waited", took(), time.Minute)
		want(t, "no answer", r.c.Facts().Accepted.IsZero(), true)
		want(t, "kept trying with", m.started(), 1)
		wantKind(t, r.call(t.Context()), backend.KindTimeout)
		want(t, "waited", took(), time.Minute+10*time.Minute)
		time.Sleep(time.Minute)
		want(t, "processes of sessions that came to nothing", len(m.running()), 0)
	})
}

// A process that does not read keeps a message from being sent; its caller takes
// it along.
func TestMessageThatWasNotTakenIsNotSent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		block := make(chan struct{})
		m := &machine{program: spoken(func(p *proc, e *wire.Envelope, line []byte) string {
			switch {
			case p.elderHandshake(e, line):
			case e.Method == wire.MethodPing:
				<-block
			default:
				p.say(e, line, `{"jsonrpc":"2.0","id":%s,"result":{}}`)
			}
			return ""
		})}
		r := newStdioRig(t, m)
		r.mustCall()
		short := func(d time.Duration) context.Context {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			t.Cleanup(cancel)
			return ctx
		}
		wantKind(t, r.c.Ping(short(time.Second)), backend.KindTimeout) // read, and nothing behind it is
		e := wantKind(t, r.call(short(time.Second)), backend.KindTimeout)
		want(t, "in the pipe, perhaps", e.OutcomeUnknown, true)
		e = wantKind(t, r.call(short(time.Second)), backend.KindTimeout)
		want(t, "never left", e.OutcomeUnknown, false)
		close(block)
		r.mustCall()
	})
}

func TestLinesThatAreNoMessagesAreSkipped(t *testing.T) {
	huge := strings.Repeat("x", 2<<20)
	for name, row := range map[string]struct {
		lines []string // before the answer
		kind  backend.Kind
		odd   uint64
	}{
		"banner":                     {[]string{"Server v1 is running on stdio", "", "{not json}", "[]", `{"jsonrpc":"2.0"}`}, 0, 4},
		"late answers":               {[]string{`{"jsonrpc":"2.0","id":99,"result":{}}`, `{"jsonrpc":"2.0","id":"x","result":{}}`, `{"jsonrpc":"2.0","id":0,"error":{"code":1,"message":""}}`}, 0, 0},
		"progress of nobody":         {[]string{`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":5,"progress":1}}`}, 0, 0},
		"a huge line of nobody":      {[]string{`{"jsonrpc":"2.0","id":99,"result":"` + huge + `"}`}, 0, 1},
		"a huge answer":              {[]string{`{"jsonrpc":"2.0","id":%s,"result":"` + huge + `"}`}, backend.KindProtocolError, 1},
		"a huge answer, its id last": {[]string{`{"result":"` + huge + `","jsonrpc":"2.0","id":%s}`}, backend.KindProtocolError, 1},
		"a huge answer without id":   {[]string{huge}, backend.KindProtocolError, 1},
		"a broken answer":            {[]string{`{"jsonrpc":"2.0","id":%s,"result":{]}`}, backend.KindProtocolError, 1},
		"an answer that says twice":  {[]string{`{"jsonrpc":"2.0","id":%s,"result":{},"error":{"code":1,"message":"x"}}`}, backend.KindProtocolError, 1},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				m := &machine{program: spoken(func(p *proc, e *wire.Envelope, line []byte) string {
					if !p.elderHandshake(e, line) {
						p.say(e, line, append(row.lines, `{"jsonrpc":"2.0","id":%s,"result":{}}`)...)
					}
					return ""
				})}
				r := newStdioRig(t, m, func(o *backend.Options) { o.Limits.ResponseBytes = 1 << 20 })
				for i := range 2 {
					err := r.call(t.Context())
					if row.kind == 0 {
						if err != nil {
							t.Fatal(err)
						}
					} else {
						e := wantKind(t, err, row.kind)
						want(t, "outcome unknown", e.OutcomeUnknown, true)
					}
					synctest.Wait()
					want(t, "noted", r.c.Facts().Process.Skipped, row.odd*uint64(i+1))
				}
				want(t, "processes", m.started(), 1)
			})
		})
	}
}

func TestAnswersThatAreOnlyOddAreTaken(t *testing.T) {
	for name, line := range map[string]string{
		"an id made a string":     `{"jsonrpc":"2.0","id":"%s","result":{"a":1}}`,
		"white space":             "  {\"jsonrpc\" : \"2.0\",\t\"id\": %s, \"result\": {\"a\":1} }\r",
		"an error without id":     `{"jsonrpc":"2.0","error":{"code":-32700,"message":"what?"}}`,
		"an error of id null":     `{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"what?"}}`,
		"no line end, and an end": `{"jsonrpc":"2.0","id":%s,"result":{"a":1}}`,
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				m := &machine{program: spoken(func(p *proc, e *wire.Envelope, l []byte) string {
					if !p.elderHandshake(e, l) {
						p.say(e, l, line)
						if strings.HasPrefix(name, "no line") {
							return "exit status 0"
						}
					}
					return ""
				})}
				r := newStdioRig(t, m)
				got, err := r.do(t.Context(), &backend.Request{ID: []byte(`"mine"`)})
				if err != nil {
					t.Fatal(err)
				}
				want(t, "id", strings.Contains(got, `"mine"`), true)
				want(t, "rest", strings.Contains(got, `{"a":1}`) || strings.Contains(got, "what?"), true)
			})
		})
	}
}

// Whoever leaves has the request cancelled, once, by the number it went down with;
// what comes for it then is dropped, also when its id is in use again.
func TestCallOfAProgramThatIsLeftIsCancelled(t *testing.T) {
	eachEra(t, func(t *testing.T, revision string) {
		var numbers, cancelled []string
		m := &machine{program: spoken(func(p *proc, e *wire.Envelope, line []byte) string {
			switch {
			case e.Method == wire.NoteCancelled:
				cancelled = append(cancelled, string(e.RequestID.Of(line)))
			case revision == modern && e.Method == wire.MethodDiscover:
				p.say(e, line, `{"jsonrpc":"2.0","id":%s,"result":{"supportedVersions":["2026-07-28"],"capabilities":{}}}`)
			case revision == elder && p.elderHandshake(e, line):
			case e.Kind == wire.Request:
				numbers = append(numbers, string(e.ID.Of(line)))
				if len(numbers) == 2 { // the first one's answer comes late
					p.say(e, line, `{"jsonrpc":"2.0","id":`+numbers[0]+`,"result":{"whose":"first"}}`, `{"jsonrpc":"2.0","id":%s,"result":{"whose":"second"}}`)
				}
			}
			return ""
		})}
		r := newStdioRig(t, m)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		e := wantKind(t, errorOf(r.do(ctx, &backend.Request{ID: []byte(`"mine"`)})), backend.KindTimeout)
		want(t, "outcome unknown", e.OutcomeUnknown, true)
		synctest.Wait()
		got, err := r.do(t.Context(), &backend.Request{ID: []byte(`"mine"`)})
		if err != nil {
			t.Fatal(err)
		}
		want(t, "answer", strings.Contains(got, `"id":"mine"`) && strings.Contains(got, "second"), true)
		if diff := cmp.Diff(numbers[:1], cancelled); diff != "" {
			t.Error(diff)
		}
	})
}

// A process is asked to end, then made to, in bounded time.
func TestProcessIsEndedByStages(t *testing.T) {
	for stubborn, row := range []struct {
		signals []string
		took    time.Duration
	}{{nil, 0}, {[]string{"term"}, 2 * time.Second}, {[]string{"term", "kill"}, 4 * time.Second}} {
		t.Run(fmt.Sprint(stubborn), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				m := &machine{stubborn: stubborn, program: spoken(func(p *proc, e *wire.Envelope, line []byte) string {
					if !p.elderHandshake(e, line) {
						p.say(e, line, `{"jsonrpc":"2.0","id":%s,"result":{}}`)
					}
					return ""
				})}
				r := newStdioRig(t, m)
				r.mustCall()
				for range 3 { // they end side by side
					s := r.c.NewSession(backend.SessionOptions{})
					if _, err := r.do(t.Context(), &backend.Request{ID: []byte("1"), Session: s}); err != nil {
						t.Fatal(err)
					}
				}
				p := m.running()[0]
				took := elapsed()
				_ = r.c.Close()
				want(t, "took", took(), row.took)
				want(t, "running", len(m.running()), 0)
				if diff := cmp.Diff(row.signals, p.signals); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

// A session whose opener did not come to its end is nobody's to close.
func TestSessionThatIsNotConfirmedEnds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := &machine{program: spoken(func(p *proc, e *wire.Envelope, line []byte) string {
			if e.Method == wire.MethodInitialize {
				p.say(e, line, `{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":"1999-01-01"}}`)
				return ""
			}
			p.elderHandshake(e, line)
			return ""
		})}
		r := newStdioRig(t, m)
		for range 5 {
			wantKind(t, r.call(t.Context()), backend.KindProtocolError)
			time.Sleep(10 * time.Second)
		}
		time.Sleep(time.Minute)
		want(t, "running", len(m.running()), 0)
		want(t, "started", m.started(), 5)
	})
}

func TestRefusedHandshakeEndsItsProcess(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := &machine{program: spoken(func(p *proc, e *wire.Envelope, line []byte) string {
			p.say(e, line, `{"jsonrpc":"2.0","id":%s,"error":{"code":-32602,"message":"no"}}`)
			return ""
		})}
		r := newStdioRig(t, m)
		wantKind(t, r.call(t.Context()), backend.KindProtocolError)
		time.Sleep(time.Second)
		want(t, "running", len(m.running()), 0)
	})
}
