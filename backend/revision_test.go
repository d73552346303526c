package backend_test

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"testing"

	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/backendtest"
	"github.com/recloser-mcp/recloser/wire"
)

func TestRevisionIsFoundOnce(t *testing.T) {
	for _, row := range []struct {
		name    string
		options []backendtest.Option
		want    wire.Revision
	}{
		{"modern only", []backendtest.Option{backendtest.WithRevision(modern)}, wire.Rev20260728},
		{"both eras", nil, wire.Rev20260728},
		{"both eras, mcp-go", []backendtest.Option{backendtest.WithMCPGo()}, wire.Rev20260728},
		{"elder, plain text", []backendtest.Option{backendtest.WithRevision(elder)}, wire.Rev20251125},
		{"elder, JSON", []backendtest.Option{backendtest.WithRevision(elder), backendtest.WithLegacyAnswer(backendtest.LegacyJSON)}, wire.Rev20251125},
		{"elder, method not found", []backendtest.Option{backendtest.WithRevision(elder), backendtest.WithLegacyAnswer(backendtest.LegacyMethodNotFound)}, wire.Rev20251125},
		{"elder, 404", []backendtest.Option{backendtest.WithRevision(elder), backendtest.WithLegacyAnswer(backendtest.LegacyNoSession)}, wire.Rev20251125},
		{"elder that knows of modern", []backendtest.Option{backendtest.WithRevision(elder), backendtest.WithLegacyAnswer(backendtest.LegacyUnsupported)}, wire.Rev20251125},
		{"elder, mcp-go", []backendtest.Option{backendtest.WithRevision(elder), backendtest.WithMCPGo()}, wire.Rev20251125},
	} {
		for _, op := range operations(string(row.want)) {
			t.Run(row.name+"/"+op.name, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					r := newRig(t, nil, rich(row.options...))
					for range 3 {
						if err := op.run(t.Context(), r.c); err != nil {
							t.Fatal(err)
						}
					}
					want(t, "revision", r.c.Facts().Revision, row.want)
					if row.want == wire.Rev20260728 {
						want(t, "initialize", r.srv.Requests("initialize"), 0)
						return
					}
					want(t, "probes", r.srv.Requests("server/discover"), 1)
					want(t, "initialize", r.srv.Requests("initialize"), 1)
				})
			})
		}
	}
}

// What is wrong with the server or the credential says nothing about the
// revision: the call fails or recovers, and a later one finds the right one.
func TestTroubleOnTheProbeDecidesNothing(t *testing.T) {
	for _, revision := range []string{elder, modern} {
		for name, row := range map[string]struct {
			fault backendtest.Fault
			kind  backend.Kind // 0: answered all the same
		}{
			"401":              {backendtest.Status(401, 1).Challenge("invalid_token"), 0},
			"403":              {backendtest.Status(403, 1), 0},
			"403 JSON-RPC":     {backendtest.Status(403, 1).RPCError(-32000, "forbidden host", nil), backend.KindProtocolError},
			"407":              {backendtest.Status(407, 1), backend.KindProtocolError},
			"408":              {backendtest.Status(408, 1), backend.KindProtocolError},
			"429":              {backendtest.Status(429, 1).Header("Retry-After", "7"), backend.KindServerError},
			"500":              {backendtest.Status(500, 1), backend.KindServerError},
			"502":              {backendtest.Status(502, 1), backend.KindServerError},
			"503 JSON-RPC":     {backendtest.Status(503, 1).RPCError(-32603, "starting", nil), backend.KindServerError},
			"302":              {backendtest.Status(302, 1).Header("Location", "https://login.example.com/"), backend.KindProtocolError},
			"sign-in page":     {backendtest.Status(200, 1).Header("Content-Type", "text/html").Body("<title>Sign in</title>"), backend.KindProtocolError},
			"reset":            {backendtest.ResetPeer(1), backend.KindUnreachable},
			"cut in its body":  {backendtest.LimitData(9).Times(1), backend.KindProtocolError},
			"JSON of no kind":  {backendtest.Status(200, 1).Header("Content-Type", "application/json").Body(`{"hello":1}`), backend.KindProtocolError},
			"JSON that breaks": {backendtest.Status(200, 1).Header("Content-Type", "application/json").Body(`{"jsonrpc":`), backend.KindProtocolError},
		} {
			if name == "cut in its body" && revision == elder {
				continue // its refusal has no body that matters
			}
			t.Run(revision+"/"+name, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					r := newRig(t, minting(), rich(backendtest.WithRevision(revision)))
					r.srv.Inject(row.fault.ForMethod("server/discover"))
					err := r.call(t.Context())
					if row.kind == 0 {
						if err != nil {
							t.Fatal(err)
						}
					} else {
						e := wantKind(t, err, row.kind)
						want(t, "method", e.Method, "server/discover")
						want(t, "revision", r.c.Facts().Revision, "")
						want(t, "initialize", r.srv.Requests("initialize"), 0)
						want(t, "executions", r.srv.Executions(""), 0)
						want(t, "retry after", e.RetryAfter > 0, name == "429")
					}
					r.mustCall()
					want(t, "revision", string(r.c.Facts().Revision), revision)
					want(t, "probes", r.srv.Requests("server/discover"), 2)
				})
			})
		}
	}
}

// A server that was replaced by one of the other era costs one failed call.
func TestRevisionIsFoundAgainWhenTheServerChanges(t *testing.T) {
	answersOf := map[string]backendtest.LegacyAnswer{"text": backendtest.LegacyText, "JSON": backendtest.LegacyJSON, "unsupported": backendtest.LegacyUnsupported}
	for _, row := range []struct{ from, to, legacy string }{
		{modern, elder, "text"}, {modern, elder, "JSON"}, {modern, elder, "unsupported"}, {elder, modern, "text"},
	} {
		t.Run(fmt.Sprint(row), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				legacy := backendtest.WithLegacyAnswer(answersOf[row.legacy])
				next := backendtest.NewServer(t, rich(backendtest.WithPipe(), backendtest.WithRevision(row.to), legacy)...)
				var moved atomic.Bool
				r := newRig(t, nil, rich(backendtest.WithRevision(row.from), legacy), func(o *backend.Options) {
					first := o.Dial
					o.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
						if moved.Load() {
							return next.Dial(ctx, network, next.Addr())
						}
						return first(ctx, network, addr)
					}
				})
				r.mustCall()
				moved.Store(true)
				r.srv.Down()
				failed := 0
				for failed < 3 && r.call(t.Context()) != nil {
					failed++
				}
				want(t, "failed calls", failed <= 1, true)
				want(t, "revision", string(r.c.Facts().Revision), row.to)
				caps, err := r.c.ListCapabilities(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				want(t, "described as", string(caps.Revision), row.to)
				want(t, "executions", next.Executions(""), 1)
			})
		})
	}
}

func TestServerOfNoCommonRevision(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, nil, []backendtest.Option{answers(map[string]string{
			"server/discover": `{"supportedVersions":["2031-01-01"],"capabilities":{}}`})})
		e := wantKind(t, r.call(t.Context()), backend.KindProtocolError)
		want(t, "says so", e.Detail, "the backend speaks no protocol version that is spoken here")
	})
}

func TestListCapabilitiesReadsEveryPage(t *testing.T) {
	for _, revision := range []string{elder, modern} {
		for name, flavour := range map[string]backendtest.Option{"sdk": backendtest.WithSDK(), "sdk, json": backendtest.WithJSON(), "mcp-go": backendtest.WithMCPGo()} {
			t.Run(revision+"/"+name, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					opts := rich(flavour, backendtest.WithRevision(revision), backendtest.WithPageSize(3), backendtest.WithName("pages"), backendtest.WithInstructions("read me"))
					for i := range 9 {
						opts = append(opts, backendtest.WithTool(fmt.Sprint("tool", i), backendtest.Echo))
					}
					r := newRig(t, nil, opts)
					caps, err := r.c.ListCapabilities(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					want(t, "tools", len(caps.Tools), 10)
					want(t, "prompts", len(caps.Prompts), 1)
					want(t, "resources", len(caps.Resources), 1)
					want(t, "revision", string(caps.Revision), revision)
					want(t, "instructions", caps.Instructions, "read me")
					want(t, "names itself", contains(caps.Server, "pages"), true)
					want(t, "pages", r.srv.Requests("tools/list"), 4)
				})
			})
		}
	}
}

func TestEndlessListIsAnError(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, nil, []backendtest.Option{answers(map[string]string{
			"tools/list": `{"tools":[],"nextCursor":"again"}`})})
		_, err := r.c.ListCapabilities(t.Context())
		wantKind(t, err, backend.KindProtocolError)
		want(t, "requests", r.srv.Requests("tools/list"), 2)
	})
}
