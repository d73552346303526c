package backendtest_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/recloser-mcp/recloser/backendtest"
)

const meta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",` +
	`"io.modelcontextprotocol/clientInfo":{"name":"t","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}`

const discover = `{"jsonrpc":"2.0","id":1,"method":"server/discover","params":{` + meta + `}}`

var discoverHeaders = []string{"MCP-Protocol-Version", "2026-07-28", "Mcp-Method", "server/discover"}

// rpc is what the tests look at in a JSON-RPC answer.
type rpc struct {
	Error struct {
		Code int `json:"code"`
		Data struct {
			Supported []string `json:"supported"`
			Requested string   `json:"requested"`
		} `json:"data"`
	} `json:"error"`
	Result struct {
		SupportedVersions []string `json:"supportedVersions"`
		ProtocolVersion   string   `json:"protocolVersion"`
		Tools             []struct {
			Name string `json:"name"`
		} `json:"tools"`
	} `json:"result"`
}

// parseRPC reads a JSON answer, or the only event of a stream.
func parseRPC(body string) (r rpc) {
	for line := range strings.Lines(body) {
		if data, ok := strings.CutPrefix(line, "data: "); ok {
			body = data
		}
	}
	_ = json.Unmarshal([]byte(body), &r) // no JSON at all is an empty answer
	return r
}

func TestAServerOf20260728Alone(t *testing.T) {
	eachFlavour(t, func(t *testing.T, start func(...backendtest.Option) *backendtest.Server) {
		srv := start(backendtest.WithRevision("2026-07-28"))
		c := srv.Client()
		supported := []string{"2026-07-28"}

		res, body, err := post(t, srv, c, initialize)
		got := parseRPC(body)
		if err != nil || res.StatusCode != 400 || got.Error.Code != -32022 || got.Error.Data.Requested != "2025-11-25" {
			t.Errorf("initialize: %v %q %v", res, body, err)
		}
		if d := cmp.Diff(supported, got.Error.Data.Supported); d != "" {
			t.Error(d)
		}
		res, body, err = post(t, srv, c, ping)
		if got = parseRPC(body); err != nil || res.StatusCode != 400 || got.Error.Code != -32020 {
			t.Errorf("no header: %v %q %v", res, body, err)
		}
		res, body, err = post(t, srv, c, ping, "MCP-Protocol-Version", "2025-11-25")
		if got = parseRPC(body); err != nil || res.StatusCode != 400 || got.Error.Code != -32022 {
			t.Errorf("elder header: %v %q %v", res, body, err)
		}
		for _, method := range []string{http.MethodGet, http.MethodDelete} {
			req, _ := http.NewRequestWithContext(t.Context(), method, srv.URL, nil)
			res, err := c.Do(req)
			if err != nil || res.StatusCode != 405 || res.Header.Get("Allow") != "POST" {
				t.Errorf("%s: %v %v", method, res, err)
			}
			_ = res.Body.Close()
		}
		res, body, err = post(t, srv, c, discover, discoverHeaders...)
		if err != nil || res.StatusCode != 200 {
			t.Fatalf("discover: %v %q %v", res, body, err)
		}
		if d := cmp.Diff(supported, parseRPC(body).Result.SupportedVersions); d != "" {
			t.Error(d)
		}
		if srv.Sessions() != 0 {
			t.Error("a session was opened")
		}
	})
}

func TestHowElderServersMeet20260728(t *testing.T) {
	for _, tt := range []struct {
		name     string
		answer   backendtest.LegacyAnswer
		discover int // status
		code     int // JSON-RPC error of discover
		call     int // status of a tools/call
	}{
		{"text", backendtest.LegacyText, 400, 0, 400},
		{"json", backendtest.LegacyJSON, 400, -32000, 400},
		{"no session", backendtest.LegacyNoSession, 404, 0, 404},
		{"unsupported", backendtest.LegacyUnsupported, 200, 0, 400},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eachFlavour(t, func(t *testing.T, start func(...backendtest.Option) *backendtest.Server) {
				srv := start(backendtest.WithRevision("2025-06-18", "2025-03-26"), backendtest.WithLegacyAnswer(tt.answer))
				c := srv.Client()
				res, body, err := post(t, srv, c, discover, discoverHeaders...)
				got := parseRPC(body)
				if err != nil || res.StatusCode != tt.discover || got.Error.Code != tt.code {
					t.Errorf("discover: %v %q %v", res, body, err)
				}
				if tt.discover == 200 {
					if d := cmp.Diff([]string{"2025-06-18", "2025-03-26"}, got.Result.SupportedVersions); d != "" {
						t.Error(d)
					}
				}
				res, body, err = callEcho(t, srv, c)
				if err != nil || res.StatusCode != tt.call {
					t.Errorf("call: %v %q %v", res, body, err)
				}
				if res.StatusCode == 400 && !strings.Contains(body, "2025-06-18") {
					t.Errorf("the answer does not say what is supported: %q", body)
				}
				// The SDK's client finds its way down from each of them.
				client, err := dialOfficial(t.Context(), srv, c, nil)
				if err != nil {
					t.Fatal(err)
				}
				defer client.close()
				if got := client.revision(); got != "2025-06-18" {
					t.Errorf("negotiated %q", got)
				}
			})
		})
	}
}

// A server that does not know the new method but looks at nothing else serves
// what it knows, as far as it can without a session.
func TestLegacyMethodNotFound(t *testing.T) {
	eachFlavour(t, func(t *testing.T, start func(...backendtest.Option) *backendtest.Server) {
		srv := start(backendtest.WithRevision("2025-11-25"), backendtest.WithLegacyAnswer(backendtest.LegacyMethodNotFound))
		c := srv.Client()
		res, body, err := post(t, srv, c, discover, discoverHeaders...)
		if err != nil || res.StatusCode != 200 || parseRPC(body).Error.Code != -32601 {
			t.Errorf("discover: %v %q %v", res, body, err)
		}
		_, body, err = callEcho(t, srv, c)
		if err != nil || parseRPC(body).Error.Code == -32022 {
			t.Errorf("the call met a server that knows 2026-07-28: %q %v", body, err)
		}
		id := openSession(t, srv, c)
		res, body, err = post(t, srv, c, call, append(modernHeaders, "Mcp-Session-Id", id)...)
		if err != nil || res.StatusCode != 200 || !strings.Contains(body, `{\"x\":1}`) {
			t.Errorf("in a session: %v %q %v", res, body, err)
		}
	})
}

func TestInitializeIsNegotiated(t *testing.T) {
	for _, tt := range []struct {
		served []string
		asked  string
		want   string
	}{
		{nil, "2025-06-18", "2025-06-18"},
		{[]string{"2025-06-18"}, "2025-11-25", "2025-06-18"},
		{[]string{"2025-06-18", "2025-11-25"}, "2025-03-26", "2025-11-25"},
		{[]string{"2026-07-28", "2025-03-26"}, "2025-11-25", "2025-03-26"},
		{[]string{"2025-11-25"}, "2099-01-01", "2025-11-25"},
	} {
		t.Run(strings.Join(tt.served, ",")+"/"+tt.asked, func(t *testing.T) {
			eachFlavour(t, func(t *testing.T, start func(...backendtest.Option) *backendtest.Server) {
				srv := start(backendtest.WithRevision(tt.served...))
				_, body, err := post(t, srv, srv.Client(), strings.Replace(initialize, "2025-11-25", tt.asked, 1))
				if err != nil {
					t.Fatal(err)
				}
				if got := parseRPC(body).Result.ProtocolVersion; got != tt.want {
					t.Errorf("negotiated %q, want %q: %s", got, tt.want, body)
				}
			})
		})
	}
}

func TestAnElderHeaderThatIsNotServed(t *testing.T) {
	eachFlavour(t, func(t *testing.T, start func(...backendtest.Option) *backendtest.Server) {
		srv := start(backendtest.WithRevision("2025-11-25"))
		c := srv.Client()
		id := openSession(t, srv, c)
		res, body, err := post(t, srv, c, legacyCall, "Mcp-Session-Id", id, "MCP-Protocol-Version", "2025-06-18")
		if err != nil || res.StatusCode != 400 || !strings.Contains(body, "2025-11-25") {
			t.Errorf("%v %q %v", res, body, err)
		}
	})
}
