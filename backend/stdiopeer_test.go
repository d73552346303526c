package backend_test

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/wire"
)

// What a server says on its own finds a reader, or an answer.

// talker is an elder server that says something after its handshake and beside
// each answer, and keeps the answers that it gets.
type talker struct {
	first, beside []string
	answers       []string
}

func (k *talker) program() func(*proc) string {
	return spoken(func(p *proc, e *wire.Envelope, line []byte) string {
		switch {
		case e.Method == wire.NoteInitialized:
			p.say(e, line, k.first...)
		case e.Kind == wire.Response:
			k.answers = append(k.answers, string(line))
		case !p.elderHandshake(e, line):
			p.say(e, line, append(k.beside, `{"jsonrpc":"2.0","id":%s,"result":{}}`)...)
		}
		return ""
	})
}

const (
	roots = `{"jsonrpc":"2.0","id":"s-1","method":"roots/list"}`
	ping  = `{"jsonrpc":"2.0","id":"s-2","method":"ping"}`
	note  = `{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"hello"}}`
)

func TestPingOfAProgramIsAnsweredAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := &talker{first: []string{ping}}
		r := newStdioRig(t, &machine{program: k.program()})
		r.mustCall()
		synctest.Wait()
		if diff := cmp.Diff([]string{`{"jsonrpc":"2.0","id":"s-2","result":{}}`}, k.answers); diff != "" {
			t.Error(diff)
		}
	})
}

// A request that a server makes before anybody calls goes with the next call.
func TestRequestOfAProgramWaitsForAStream(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := &talker{first: []string{roots, note}}
		r := newStdioRig(t, &machine{program: k.program()})
		s := r.c.NewSession(backend.SessionOptions{})
		got, err := r.do(t.Context(), &backend.Request{ID: []byte("1"), Session: s, ClientRevision: elder})
		if err != nil {
			t.Fatal(err)
		}
		want(t, "seen by its client", strings.Contains(got, `"roots/list"`), true)
		want(t, "answers", len(k.answers), 0) // that is the client's

		r.mustCall() // of ours: declined
		synctest.Wait()
		want(t, "answers", len(k.answers), 1)
		want(t, "declined", strings.Contains(k.answers[0], `"id":"s-1","error":{"code":-32601`), true)
	})
}

func TestStandingStreamGetsWhatBelongsToNoCall(t *testing.T) {
	bubble(t, func(t *testing.T) {
		changed := `{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`
		k := &talker{first: []string{note}, beside: []string{changed, note}}
		r := newStdioRig(t, &machine{program: k.program()})
		l := r.listen()
		if diff := cmp.Diff([]string{"", "notifications/message"}, l.heard()); diff != "" {
			t.Error(diff)
		}
		got, err := r.do(t.Context(), &backend.Request{ID: []byte("1"), ClientRevision: elder})
		if err != nil {
			t.Fatal(err)
		}
		want(t, "the call has its own", strings.Contains(got, "hello"), true)
		if diff := cmp.Diff([]string{toolsChanged}, l.heard()); diff != "" {
			t.Error(diff)
		}
		// Without one such stream it waits for it, once, and is in no call's answer.
		s := r.c.NewSession(backend.SessionOptions{})
		for range 3 {
			if got, err = r.do(t.Context(), &backend.Request{ID: []byte("1"), Session: s, ClientRevision: elder}); err != nil {
				t.Fatal(err)
			}
			want(t, "kept from the call", strings.Contains(got, "list_changed"), false)
		}
		// There is one such stream in a session.
		second := r.listen()
		want(t, "second", len(second.heard()), 0)
		l.stop()
		<-l.done
		time.Sleep(6 * time.Minute)
		want(t, "when the first is gone", count(second.heard(), ""), 1)
	})
}

// A server that says more than its reader takes loses what is old; what it asked
// then is declined.
func TestWhatIsNotReadIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := &talker{beside: []string{roots}}
		for range 3000 {
			k.beside = append(k.beside, note)
		}
		r := newStdioRig(t, &machine{program: k.program()})
		resp, err := r.c.Do(t.Context(), &backend.Request{Method: "tools/call", ID: []byte("1"), ClientRevision: elder, Params: []byte(`{"name":"x"}`)})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // everything has been said
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(body), "hello"); n < 1000 || n > 1100 {
			t.Errorf("%d notes", n)
		}
		want(t, "the answer comes on top", strings.Contains(string(body), `"result":{}`), true)
	})
	bubble(t, func(t *testing.T) {
		k := &talker{}
		for i := range 70 {
			k.first = append(k.first, fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"roots/list"}`, i))
		}
		r := newStdioRig(t, &machine{program: k.program()})
		l := r.listen()
		l.stop()
		<-l.done
		r.mustCall()
		synctest.Wait()
		want(t, "all are answered", len(k.answers), 70)
	})
}

func TestRequestsOfAStatelessProgramAreNotServed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var answers int
		m := &machine{program: spoken(func(p *proc, e *wire.Envelope, line []byte) string {
			switch {
			case e.Method == wire.MethodDiscover:
				p.say(e, line, `{"jsonrpc":"2.0","id":%s,"result":{"supportedVersions":["2026-07-28"],"capabilities":{}}}`)
			case e.Kind == wire.Response:
				answers++
			default:
				p.say(e, line, roots, `{"jsonrpc":"2.0","id":%s,"result":{}}`)
			}
			return ""
		})}
		r := newStdioRig(t, m)
		got, err := r.do(t.Context(), &backend.Request{ID: []byte("1"), ClientRevision: modern})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		want(t, "kept from the client", strings.Contains(got, "roots"), false)
		want(t, "answers", answers, 0)
		want(t, "noted", r.c.Facts().Process.Skipped, 1)
	})
}

// A subscription is known by its client's id, to its end.
func TestSubscriptionOfAProgramKeepsItsName(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := &machine{program: spoken(func(p *proc, e *wire.Envelope, line []byte) string {
			switch e.Method {
			case wire.MethodDiscover:
				p.say(e, line, `{"jsonrpc":"2.0","id":%s,"result":{"supportedVersions":["2026-07-28"],"capabilities":{}}}`)
			case wire.MethodListen:
				meta := `"_meta":{"io.modelcontextprotocol/subscriptionId":%s}`
				p.say(e, line, `{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{`+meta+`,"notifications":{}}}`,
					`{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{`+meta+`}}`,
					`{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":77}}}`,
					`{"jsonrpc":"2.0","id":%s,"result":{"resultType":"complete",`+meta+`}}`)
			}
			return ""
		})}
		r := newStdioRig(t, m)
		got, err := r.do(t.Context(), &backend.Request{Method: "subscriptions/listen", ID: []byte(`"sub"`), Params: []byte(`{"notifications":{"toolsListChanged":true}}`), ClientRevision: modern})
		if err != nil {
			t.Fatal(err)
		}
		want(t, "named", strings.Count(got, `subscriptionId":"sub"`), 3)
		want(t, "changes", strings.Count(got, toolsChanged), 1)
		want(t, "response", strings.Contains(got, `"id":"sub","result"`), true)
	})
}

// What a process writes to stderr is kept, bounded, without the secrets it was
// given.
func TestStderrIsKeptWithoutSecrets(t *testing.T) {
	const secret = "s3cr3t-canary-0123456789abcdef"
	bubble(t, func(t *testing.T) {
		m := &machine{program: func(p *proc) string {
			for i := range 40 {
				_, _ = fmt.Fprintf(p.stderr, "line %d\n", i)
			}
			_, _ = io.WriteString(p.stderr, "\x1b[31mkey "+secret+" refused\x1b[0m\n"+
				strings.Repeat("y", 20_000)+secret+"\nlong "+strings.Repeat("z", 20_000)+"\n/data/files: \tnot \x07found\nhalf "+secret[:8])
			return "exit status 1"
		}}
		r := newStdioRig(t, m, func(o *backend.Options) {
			o.Env = map[string]string{"API_KEY": secret, "DATA": "/data/files"}
			o.Args, o.Secrets = []string{"--other", "0ther-s3cret"}, []string{"0ther-s3cret"}
		})
		err := r.call(t.Context())
		wantExit(t, err, "exit status 1")
		exit := r.c.Facts().Process.LastExit
		want(t, "lines", len(exit.Stderr), 20)
		tail := exit.Stderr[14:]
		for i, line := range []string{"line 39", "[redacted]", strings.Repeat("y", 512), "long " + strings.Repeat("z", 507), "/data/files:  not found", "[redacted]"} {
			want(t, "line", tail[i], line)
		}
		shown := fmt.Sprintf("%v %+v %+v", err, err, r.c.Facts()) + strings.Join(exit.Stderr, " ")
		for _, part := range []string{secret, secret[:8], "0ther-s3c"} {
			want(t, "secret shown", strings.Contains(shown, part), false)
		}
	})
}
