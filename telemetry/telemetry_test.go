package telemetry

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"

	"github.com/recloser-mcp/recloser/auth"
	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/backendtest"
	"github.com/recloser-mcp/recloser/guard"
	"github.com/recloser-mcp/recloser/status"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// traced runs test over a client of a bearer-protected server, in virtual time,
// and returns the spans.
func traced(t *testing.T, o backend.Options, faults []backendtest.Fault, test func(*testing.T, *backend.Client)) (spans tracetest.SpanStubs, scrape string) {
	t.Helper()
	exporter := tracetest.NewInMemoryExporter()
	tel := newTelemetry(sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter)))
	synctest.Test(t, func(t *testing.T) {
		s := backendtest.NewServer(t, backendtest.WithPipe(), backendtest.WithRevision("2026-07-28"), backendtest.WithFault(faults...))
		o.Name, o.URL, o.Dial, o.Trace = "weather", s.URL, s.Dial, tel.Backend()
		c, err := backend.NewHTTPBackendClient(auth.NewRegistry(), o)
		if err != nil {
			t.Fatal(err)
		}
		test(t, c)
		_ = c.Close()
	})
	w := httptest.NewRecorder()
	tel.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return exporter.GetSpans(), w.Body.String()
}

func named(spans tracetest.SpanStubs, name string) (out tracetest.SpanStubs) {
	for _, s := range spans {
		if s.Name == name {
			out = append(out, s)
		}
	}
	return out
}

func attr(s tracetest.SpanStub, key string) string {
	for _, kv := range s.Attributes {
		if string(kv.Key) == key {
			return kv.Value.String()
		}
	}
	return ""
}

func TestARecoveredCallHasOneRetrySpanWithItsAttempts(t *testing.T) {
	spans, scrape := traced(t, backend.Options{}, []backendtest.Fault{backendtest.Status(401, 2).ForMethod("tools/call")},
		func(t *testing.T, c *backend.Client) {
			if _, err := c.CallTool(t.Context(), "echo", []byte(`{}`)); err != nil {
				t.Fatal(err)
			}
		})
	retries := named(spans, "auth.retry")
	if len(retries) != 1 {
		t.Fatalf("%d auth.retry spans", len(retries))
	}
	r := retries[0]
	if r.SpanKind != trace.SpanKindInternal || r.Status.Code != codes.Unset || attr(r, "error.type") != "" {
		t.Errorf("kind %v status %v: a recovered call is no error", r.SpanKind, r.Status)
	}
	for key, want := range map[string]string{"backend.name": "weather", "auth.retry.attempts": "3",
		"auth.retry.outcome": "recovered", "auth.retry.coalesced": "false", "auth.circuit.state": "closed"} {
		if got := attr(r, key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	if len(r.Events) != 3 {
		t.Fatalf("%d attempt events, want 3: %+v", len(r.Events), r.Events)
	}
	wantDelay := []int64{0, 100, 200}
	for i, e := range r.Events {
		got := attribute.NewSet(e.Attributes...)
		delay, _ := got.Value("delay_ms")
		n, _ := got.Value("attempt")
		if e.Name != "auth.retry.attempt" || n.AsInt64() != int64(i+1) || delay.AsInt64() != wantDelay[i] {
			t.Errorf("event %d: %+v", i, e)
		}
	}
	sends := named(spans, "tools/call echo")
	if len(sends) != 3 {
		t.Fatalf("%d CLIENT spans, want one per send", len(sends))
	}
	for i, s := range sends {
		if s.SpanKind != trace.SpanKindClient || attr(s, "http.request.resend_count") != string(rune('0'+i)) {
			t.Errorf("send %d: kind %v resend_count %s", i, s.SpanKind, attr(s, "http.request.resend_count"))
		}
	}
	if want := `recloser_auth_retries_total{backend="weather",outcome="recovered"} 1`; !strings.Contains(scrape, want) {
		t.Errorf("metrics lack %s", want)
	}
}

func TestAnExhaustedCallIsAnError(t *testing.T) {
	spans, scrape := traced(t, backend.Options{}, []backendtest.Fault{backendtest.Status(401, backendtest.Forever).ForMethod("tools/call")},
		func(t *testing.T, c *backend.Client) {
			if _, err := c.CallTool(t.Context(), "echo", []byte(`{}`)); err == nil {
				t.Fatal("no error")
			}
		})
	r := named(spans, "auth.retry")
	if len(r) != 1 || r[0].Status.Code != codes.Error || attr(r[0], "auth.retry.outcome") != "exhausted" || len(r[0].Events) != 4 {
		t.Fatalf("%+v", r)
	}
	if !strings.Contains(scrape, `recloser_auth_retries_total{backend="weather",outcome="exhausted"} 1`) {
		t.Error("the exhausted call is not counted")
	}
}

func TestACallWithoutTroubleHasNoRetrySpan(t *testing.T) {
	spans, _ := traced(t, backend.Options{}, nil, func(t *testing.T, c *backend.Client) {
		if _, err := c.CallTool(t.Context(), "echo", []byte(`{}`)); err != nil {
			t.Fatal(err)
		}
	})
	if n := len(named(spans, "auth.retry")); n != 0 {
		t.Errorf("%d auth.retry spans", n)
	}
}

func TestARenewalIsOneSpanLinkedToItsWaiters(t *testing.T) {
	exporter := tracetest.NewInMemoryExporter()
	tel := newTelemetry(sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter)))
	tr := tel.Backend()
	info := backend.SendInfo{CallInfo: backend.CallInfo{Backend: "a", Method: "tools/call", Name: "x"}}
	ctx := tr.CallStart(context.Background(), info.CallInfo)
	tr.SendEnd(tr.SendStart(ctx, info), info, backend.SendResult{Status: 401, Verdict: guard.Refused})
	e := auth.Event{Kind: auth.Renewed, Outcome: auth.New, Generation: 2, At: time.Now(), Took: time.Millisecond}
	tr.Renewal("a", e)
	tr.Renewal("b", e) // the same renewal, heard of by another backend on that credential
	tr.CallEnd(ctx, info.CallInfo, backend.CallResult{Guard: guard.Result{Attempts: 2}})
	tr.Renewal("a", auth.Event{Kind: auth.Renewed, Outcome: auth.New, Generation: 3, At: time.Now().Add(time.Second)})

	renews, retries := named(exporter.GetSpans(), "auth.renew"), named(exporter.GetSpans(), "auth.retry")
	if len(renews) != 2 || len(retries) != 1 {
		t.Fatalf("%d renewals, %d retries", len(renews), len(retries))
	}
	if len(renews[0].Links) != 1 || renews[0].Links[0].SpanContext.SpanID() != retries[0].SpanContext.SpanID() {
		t.Errorf("links %+v", renews[0].Links)
	}
	if len(renews[1].Links) != 0 {
		t.Error("linked to a call that has ended")
	}
}

func TestTraceContextGoesOn(t *testing.T) {
	tel := newTelemetry(sdktrace.NewTracerProvider())
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	ctx := tel.StartOperation(context.Background(), http.Header{"Traceparent": {parent}}, "tools/call", "x")
	defer tel.EndOperation(ctx, "tools/call", time.Millisecond, "")
	tr := tel.Backend()
	h := http.Header{}
	tr.Inject(tr.SendStart(ctx, backend.SendInfo{}), h)
	if !strings.HasPrefix(h.Get("Traceparent"), parent[:36]) || h.Get("Traceparent") == parent {
		t.Errorf("traceparent %q does not continue %q", h.Get("Traceparent"), parent)
	}
	kvs := tr.Meta(ctx)
	if len(kvs) != 1 || kvs[0].Key != "traceparent" || !strings.Contains(string(kvs[0].Value), parent[3:35]) {
		t.Errorf("_meta %+v", kvs)
	}
}

func TestGaugesComeFromTheStatus(t *testing.T) {
	tel := newTelemetry(nil)
	expires := time.Unix(1_800_000_000, 0)
	tel.Watch(func() status.Status {
		return status.Status{Backends: []status.Backend{{Name: "a", Status: status.BackendStatusUnavailable, Tools: 3,
			Breaker: status.Breaker{State: status.BreakerOpen}, Credential: status.Credential{Expires: expires}},
			{Name: "off", Reason: status.ReasonDisabled}}}
	}, func() int { return 7 })
	w := httptest.NewRecorder()
	tel.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for _, want := range []string{
		`recloser_breaker_state{backend="a",state="open"} 1`, `recloser_breaker_state{backend="a",state="closed"} 0`,
		`recloser_backend_status{backend="a",status="unavailable"} 1`, `recloser_backend_status{backend="a",status="ready"} 0`,
		`recloser_tools{backend="a"} 3`, `recloser_sessions 7`, `recloser_credential_expiry_timestamp_seconds{backend="a"} 1.8e+09`,
		"go_goroutines", "process_open_fds",
	} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("metrics lack %s", want)
		}
	}
	if strings.Contains(w.Body.String(), `"off"`) {
		t.Error("a disabled backend has metrics")
	}
}

func TestOptions(t *testing.T) {
	for _, bad := range []string{"localhost:4318", "ftp://x", "http://u:p@h:4318", "http://"} {
		if (Options{OTLP: bad}).Validate() == nil {
			t.Errorf("otlp %q is accepted", bad)
		}
	}
	if err := (Options{OTLP: "http://127.0.0.1:4318"}).Validate(); err != nil {
		t.Error(err)
	}
}
