package backend_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/backendtest"
	"github.com/recloser-mcp/recloser/wire"
)

// script answers every tools/call by hand.
func script(contentType string, write func(w http.ResponseWriter, m backendtest.Message)) backendtest.Option {
	return backendtest.WithHandler(func(w http.ResponseWriter, _ *http.Request, m backendtest.Message) bool {
		if m.Method != "tools/call" {
			return false
		}
		w.Header().Set("Content-Type", contentType)
		write(w, m)
		return true
	})
}

// say writes a format in which %s is the id of the request.
func say(format string) func(http.ResponseWriter, backendtest.Message) {
	return func(w http.ResponseWriter, m backendtest.Message) {
		_, _ = io.WriteString(w, strings.ReplaceAll(format, "%s", string(m.ID)))
	}
}

// What an elder or a modern client gets of an answer, byte for byte.
func TestAnswersKeepTheirBytes(t *testing.T) {
	const sse = "text/event-stream"
	for _, row := range []struct {
		name             string
		backend, client  wire.Revision
		typ, sent, given string
	}{
		{"unknown members, spacing, numbers", elder, elder, "application/json",
			`{ "jsonrpc":"2.0","id":%s , "result":{"x":1.50e+3,"ü":"\u00fc", "content":[]}, "extra":null}`, ""},
		{"the same, modern", modern, modern, "application/json; charset=utf-8",
			`{ "jsonrpc":"2.0","id":%s , "result":{"x":1.50e+3, "content":[]}, "extra":null}`, ""},
		{"result type added", elder, modern, "application/json",
			`{"jsonrpc":"2.0","id":%s,"result":{"content":[]}}`,
			`{"jsonrpc":"2.0","id":"c-1","result":{"content":[],"resultType":"complete"}}`},
		{"result type kept", elder, modern, "application/json",
			`{"jsonrpc":"2.0","id":%s,"result":{"resultType":"other"}}`, ""},
		{"error needs none", elder, modern, "application/json",
			`{"jsonrpc":"2.0","id":%s,"error":{"code":-32602,"message":"no","data":[1, 2]}}`, ""},
		{"modern answer for an elder client", modern, elder, "application/json",
			`{"jsonrpc":"2.0","id":%s,"result":{"resultType":"complete","content":[]}}`, ""},
		{"error without an id", modern, modern, "application/json",
			`{"jsonrpc":"2.0","error":{"code":-32603,"message":"no"}}`,
			`{"jsonrpc":"2.0","error":{"code":-32603,"message":"no"},"id":"c-1"}`},
		{"somebody else's id", modern, modern, "application/json",
			`{"jsonrpc":"2.0","id":99,"result":{}}`, `{"jsonrpc":"2.0","id":"c-1","result":{}}`},
		{"stream", elder, elder, sse,
			": hello\n\nevent: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progress\":1}}\n\n" +
				"event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":{\"content\":[ ]}}\n\n", ""},
		{"stream for a modern client", elder, modern, sse,
			"data: {\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":{}}\n\n",
			"data: {\"jsonrpc\":\"2.0\",\"id\":\"c-1\",\"result\":{\"resultType\":\"complete\"}}\n\n"},
		{"no way to resume", elder, elder, sse,
			"id: 7\nretry: 10\ndata:\n\nid: 8\ndata: {\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":{}}\n\n",
			"data: {\"jsonrpc\":\"2.0\",\"id\":\"c-1\",\"result\":{}}\n\n"},
	} {
		t.Run(row.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, nil, []backendtest.Option{backendtest.WithRevision(string(row.backend)), script(row.typ, say(row.sent))})
				got, err := r.do(t.Context(), &backend.Request{ID: []byte(`"c-1"`), ClientRevision: row.client})
				if err != nil {
					t.Fatal(err)
				}
				given := row.given
				if given == "" {
					given = strings.ReplaceAll(row.sent, "%s", `"c-1"`)
				}
				if diff := cmp.Diff(given, got); diff != "" {
					t.Errorf("(-want +got)\n%s", diff)
				}
			})
		})
	}
}

func TestLargeAnswersPassThrough(t *testing.T) {
	text := strings.Repeat("lorem ipsum ", 1<<20/12)
	doc := `{"jsonrpc":"2.0","id":%s,"result":{"content":[{"type":"text","text":"` + text + `"}]}}`
	for _, client := range []wire.Revision{elder, modern} {
		for typ, body := range map[string]string{"application/json": doc, "text/event-stream": "data: " + doc + "\n\n"} {
			for _, length := range []bool{true, false} {
				t.Run(fmt.Sprint(client, typ, length), func(t *testing.T) {
					bubble(t, func(t *testing.T) {
						r := newRig(t, nil, []backendtest.Option{backendtest.WithRevision(elder), script(typ, func(w http.ResponseWriter, m backendtest.Message) {
							out := strings.ReplaceAll(body, "%s", string(m.ID))
							if length {
								w.Header().Set("Content-Length", fmt.Sprint(len(out)))
							}
							_, _ = io.WriteString(w, out)
						})})
						got, err := r.do(t.Context(), &backend.Request{ID: []byte(`"c-1"`), ClientRevision: client})
						if err != nil {
							t.Fatal(err)
						}
						want(t, "text kept", strings.Contains(got, text), true)
						want(t, "id", strings.Contains(got, `"id":"c-1"`), true)
						want(t, "result type", strings.Contains(got, `"resultType":"complete"`), client == modern)
						raw, err := r.c.CallTool(t.Context(), "echo", nil)
						if err != nil {
							t.Fatal(err)
						}
						want(t, "length", len(raw) > 1<<20, true)
					})
				})
			}
		}
	}
}

// A bad answer is an error of its own call: the next one is answered, on whatever
// connection.
func TestBadAnswersAreErrorsOfTheirCallAlone(t *testing.T) {
	big := strings.Repeat("x", 3<<20)
	for name, option := range map[string]backendtest.Option{
		"wrong type":             script("text/html", say("<title>hello</title>")),
		"no type":                script("", say(`{}`)),
		"no body":                script("application/json", say("")),
		"not JSON":               script("application/json", say(`{"jsonrpc":"2.0","id":%s,"result":{"a":tru}}`)),
		"two documents":          script("application/json", say(`{"jsonrpc":"2.0","id":%s,"result":{}}{}`)),
		"no response":            script("application/json", say(`{"jsonrpc":"2.0","id":%s}`)),
		"a request":              script("application/json", say(`{"jsonrpc":"2.0","id":%s,"method":"ping"}`)),
		"a batch":                script("application/json", say(`[{"jsonrpc":"2.0","id":%s,"result":{}}]`)),
		"cut JSON":               script("application/json", say(`{"jsonrpc":"2.0","id":%s,"result":{"a":`)),
		"large cut JSON":         script("application/json", say(`{"jsonrpc":"2.0","id":%s,"result":{"a":"`+big[:1<<20])),
		"large JSON with a flaw": script("application/json", say(`{"jsonrpc":"2.0","id":%s,"result":{"a":"`+big[:1<<20]+"\x01\"}}")),
		"too large, announced": script("application/json", func(w http.ResponseWriter, m backendtest.Message) {
			w.Header().Set("Content-Length", fmt.Sprint(3<<20))
			_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":1,"result":"`+big[:3<<20-36]+`"}`)
		}),
		"too large":             script("application/json", say(`{"jsonrpc":"2.0","id":%s,"result":{"a":"`+big+`"}}`)),
		"empty stream":          script("text/event-stream", say("")),
		"stream of nothing":     script("text/event-stream", say(": ping\n\n")),
		"cut stream":            script("text/event-stream", say("data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\"}\n\ndata: {\"json")),
		"stream ends early":     script("text/event-stream", say("data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\"}\n\n")),
		"stream of broken JSON": script("text/event-stream", say("data: {\"jsonrpc\"\n\n")),
		"too large an event":    script("text/event-stream", say("data: {\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":{\"a\":\""+big+"\"}}\n\n")),
		"202":                   script("", func(w http.ResponseWriter, _ backendtest.Message) { w.WriteHeader(202) }),
	} {
		for _, client := range []wire.Revision{elder, modern} {
			t.Run(name+"/"+string(client), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					r := newRig(t, fixed(), []backendtest.Option{backendtest.WithRevision(elder), option},
						func(o *backend.Options) { o.Limits.ResponseBytes = 2 << 20 })
					_, err := r.do(t.Context(), &backend.Request{ID: []byte("1"), ClientRevision: client})
					e := wantKind(t, err, backend.KindProtocolError)
					want(t, "outcome unknown", e.OutcomeUnknown, true)
					want(t, "sends", r.srv.Requests("tools/call"), 1)
					_, err = r.c.CallTool(t.Context(), "echo", nil)
					wantKind(t, err, backend.KindProtocolError)
					want(t, "sends", r.srv.Requests("tools/call"), 2)
					if err := r.c.Ping(t.Context()); err != nil {
						t.Errorf("the next request: %v", err)
					}
					want(t, "in flight", r.c.Facts().InFlight, 0)
					want(t, "count", r.c.Facts().Guard.Count, 0)
				})
			})
		}
	}
}

// What was cut off after a part had been passed on is told at the end of the body.
func TestCutStreamEndsWithAnError(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const note = "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{}}\n\n"
		r := newRig(t, nil, []backendtest.Option{backendtest.WithRevision(elder), script("text/event-stream", say(note))})
		resp, err := r.c.Do(t.Context(), &backend.Request{Method: "tools/call", Name: "echo", ID: []byte("1"), Params: []byte(`{"name":"echo"}`)})
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var got strings.Builder
		_, err = io.Copy(&got, resp.Body)
		e := wantKind(t, err, backend.KindProtocolError)
		want(t, "outcome unknown", e.OutcomeUnknown, true)
		want(t, "passed on", got.String(), note)
	})
}

func TestSilenceEndsACallAndBytesProlongIt(t *testing.T) {
	trickle := func(gap time.Duration) backendtest.Option {
		return script("text/event-stream", func(w http.ResponseWriter, m backendtest.Message) {
			for range 5 {
				time.Sleep(gap)
				_, _ = io.WriteString(w, ": still working\n\n")
				_ = http.NewResponseController(w).Flush()
			}
			_, _ = fmt.Fprintf(w, "data: {\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":{}}\n\n", m.ID)
		})
	}
	run := func(t *testing.T, gap time.Duration, opts ...rigOption) (*rig, time.Duration, error) {
		r := newRig(t, nil, []backendtest.Option{backendtest.WithRevision(modern), trickle(gap)}, opts...)
		took := elapsed()
		_, err := r.do(t.Context(), &backend.Request{ID: []byte("1")})
		return r, took(), err
	}
	t.Run("9 minutes between bytes", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			_, took, err := run(t, 9*time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			want(t, "took", took, 45*time.Minute)
		})
	})
	t.Run("11 minutes between bytes", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			r, took, err := run(t, 11*time.Minute)
			e := wantKind(t, err, backend.KindTimeout)
			want(t, "took", took, 10*time.Minute)
			want(t, "outcome unknown", e.OutcomeUnknown, true)
			want(t, "sends", r.srv.Requests("tools/call"), 1)
		})
	})
	t.Run("no limit", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			none := time.Duration(0)
			if _, _, err := run(t, 5*time.Hour, func(o *backend.Options) { o.Timeouts.Idle = &none }); err != nil {
				t.Fatal(err)
			}
		})
	})
	t.Run("silent in the middle of JSON", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			r := newRig(t, nil, []backendtest.Option{backendtest.WithRevision(modern),
				script("application/json", func(w http.ResponseWriter, m backendtest.Message) {
					_, _ = io.WriteString(w, `{"jsonrpc":"2.0",`)
					_ = http.NewResponseController(w).Flush()
					time.Sleep(time.Hour)
				})})
			_, err := r.do(t.Context(), &backend.Request{ID: []byte("1")})
			e := wantKind(t, err, backend.KindTimeout)
			want(t, "outcome unknown", e.OutcomeUnknown, true)
		})
	})
}

// A server that leaves a stream open behind its response delays its client by a
// moment only.
func TestStreamLeftOpenBehindItsResponseEnds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, nil, []backendtest.Option{backendtest.WithRevision(modern),
			script("text/event-stream", func(w http.ResponseWriter, m backendtest.Message) {
				_, _ = fmt.Fprintf(w, "data: {\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":{}}\n\n", m.ID)
				_ = http.NewResponseController(w).Flush()
				time.Sleep(time.Hour)
			})})
		if err := r.c.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
		took := elapsed()
		if _, err := r.do(t.Context(), &backend.Request{ID: []byte("1")}); err != nil {
			t.Fatal(err)
		}
		if _, err := r.c.CallTool(t.Context(), "echo", nil); err != nil {
			t.Fatal(err)
		}
		want(t, "took", took(), 200*time.Millisecond)
	})
}

func TestCallerWhoLeavesFreesTheCall(t *testing.T) {
	for name, prepare := range map[string]backendtest.Fault{
		"before the answer": backendtest.Hang(backendtest.Forever).ForMethod("tools/call"),
		"within the answer": backendtest.SlowClose(time.Hour).ForMethod("tools/call"),
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, nil, rich(backendtest.WithRevision(modern), backendtest.WithJSON()))
				r.mustCall()
				r.srv.Inject(prepare)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				err := r.call(ctx)
				e := wantKind(t, err, backend.KindTimeout)
				want(t, "context error", errors.Is(err, context.DeadlineExceeded), true)
				want(t, "no authentication failure", errors.Is(err, backend.ErrAuthenticationFailed), false)
				want(t, "outcome unknown", e.OutcomeUnknown, true)
				synctest.Wait()
				want(t, "in flight", r.c.Facts().InFlight, 0)
			})
		})
	}
}

func TestTooManyCallsInFlightFailAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, nil, rich(backendtest.WithRevision(modern)), func(o *backend.Options) { o.Limits.InFlight = 3 })
		r.mustCall()
		held := r.srv.Inject(backendtest.Hang(backendtest.Forever).ForMethod("tools/call"))
		var done []chan error
		for range 3 {
			ch := make(chan error, 1)
			go func() { ch <- r.call(t.Context()) }()
			done = append(done, ch)
		}
		synctest.Wait()
		took := elapsed()
		err := r.call(t.Context())
		wantKind(t, err, backend.KindNoCapacity)
		want(t, "sentinel", errors.Is(err, backend.ErrNoCapacity), true)
		want(t, "waited", took(), 0)
		if err := r.c.Probe(t.Context()); err != nil {
			t.Errorf("a probe needs no place: %v", err)
		}
		held.Heal()
		for _, ch := range done {
			if err := <-ch; err != nil {
				t.Error(err)
			}
		}
		want(t, "sends", r.srv.Requests("tools/call"), 4)
		r.mustCall()
	})
}

// Requests between the eras: what is put in, what is taken out, what stays.
func TestRequestsAreShapedForTheBackendsRevision(t *testing.T) {
	const own = `"_meta":{"progressToken":"p","vendor/key":1`
	const says = `,"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"them","version":"9"},"io.modelcontextprotocol/clientCapabilities":{"roots":{}}`
	for _, row := range []struct {
		client, backend wire.Revision
		params, sent    string
	}{
		{elder, elder, `{"name":"echo",` + own + `}}`, `{"name":"echo",` + own + `}}`},
		{modern, modern, `{"name":"echo",` + own + says + `}}`, `{"name":"echo",` + own + says + `}}`},
		{modern, elder, `{"name":"echo",` + own + says + `}}`, `{"name":"echo",` + own + `}}`},
	} {
		t.Run(fmt.Sprint(row.client, " to ", row.backend), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, nil, rich(backendtest.WithRevision(string(row.backend))))
				_, err := r.do(t.Context(), &backend.Request{Method: "tools/call", Name: "echo", ID: []byte("5"),
					Params: []byte(row.params), ClientRevision: row.client,
					Session: r.c.NewSession(backend.SessionOptions{}),
					Header:  http.Header{"Mcp-Param-Region": {"eu"}, "X-Request-Id": {"r-1"}}})
				if err != nil {
					t.Fatal(err)
				}
				last, _ := r.srv.Last("tools/call")
				want(t, "body", string(last.Body), `{"jsonrpc":"2.0","id":5,"method":"tools/call","params":`+row.sent+`}`)
				want(t, "param header", last.Header.Get("Mcp-Param-Region"), "eu")
				want(t, "other header", last.Header.Get("X-Request-Id"), "r-1")
				want(t, "trace header", last.Header.Get("Traceparent"), "00-1-1-01")
				name := ""
				if row.backend == modern {
					name = "echo"
				}
				want(t, "Mcp-Name", last.Header.Get("Mcp-Name"), name)
				want(t, "revision", last.Header.Get("Mcp-Protocol-Version"), string(row.backend))
			})
		})
	}
	t.Run("elder to modern", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			r := newRig(t, nil, rich(backendtest.WithRevision(modern)))
			s := r.c.NewSession(backend.SessionOptions{ClientInfo: json.RawMessage(`{"name":"them","version":"9"}`), Capabilities: json.RawMessage(`{"roots":{}}`)})
			if _, err := r.do(t.Context(), &backend.Request{Session: s, Method: "tools/call", Name: "echo", ID: []byte("5"),
				Params: []byte(`{"name":"echo",` + own + `}}`), ClientRevision: elder}); err != nil {
				t.Fatal(err)
			}
			last, _ := r.srv.Last("tools/call")
			var got struct {
				Params struct {
					Meta map[string]any `json:"_meta"`
				} `json:"params"`
			}
			if err := json.Unmarshal(last.Body, &got); err != nil {
				t.Fatal(err)
			}
			wantMeta := map[string]any{"progressToken": "p", "vendor/key": 1.0, wire.MetaProtocolVersion: modern,
				wire.MetaClientInfo: map[string]any{"name": "them", "version": "9"}, wire.MetaClientCapabilities: map[string]any{"roots": map[string]any{}}}
			if diff := cmp.Diff(wantMeta, got.Params.Meta); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	})
}

// A re-send carries the very bytes of the first send.
func TestResendCarriesTheSameBytes(t *testing.T) {
	for _, revision := range []string{elder, modern} {
		bubble(t, func(t *testing.T) {
			r := newRig(t, minting(), rich(backendtest.WithRevision(revision)))
			r.mustCall()
			r.refuse("tools/call", 1)
			from := len(r.srv.Exchanges())
			r.mustCall()
			both := r.srv.Exchanges()[from:]
			want(t, "sends", len(both), 2)
			want(t, "bytes", string(both[1].Body), string(both[0].Body))
			want(t, "credential changed", both[1].Credential != both[0].Credential, true)
		})
	}
}

func TestNameThatIsNoHeaderValueIsEncoded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, nil, []backendtest.Option{backendtest.WithRevision(modern), answers(map[string]string{"resources/read": `{"contents":[]}`})})
		if _, err := r.c.ReadResource(t.Context(), "file:///grüße"); err != nil {
			t.Fatal(err)
		}
		last, _ := r.srv.Last("resources/read")
		want(t, "encoded", strings.HasPrefix(last.Header.Get("Mcp-Name"), "=?base64?"), true)
	})
}
