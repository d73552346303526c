package backend_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/recloser-mcp/recloser/backend"
	"github.com/recloser-mcp/recloser/wire"
)

// Whatever a process writes: what a reader gets are messages, a response is in the
// name of its own request and the last of its stream, and no number of ours is
// taken for a client's.
func FuzzReceive(f *testing.F) {
	for _, seed := range []string{
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n",
		"{\"result\":{\"_meta\":{\"io.modelcontextprotocol/subscriptionId\":3}},\"jsonrpc\":\"2.0\",\"id\":3}\r\n",
		"{\"jsonrpc\":\"2.0\",\"id\":\"2\",\"error\":{\"code\":-32022,\"message\":\"\"}}\n{\"jsonrpc\":\"2.0\",\"error\":{\"code\":1,\"message\":\"\"}}\n",
		"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":2,\"progress\":1}}\n",
		"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":3}}\n{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"roots/list\"}\n",
		"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\",\"params\":{\"_meta\":{\"io.modelcontextprotocol/subscriptionId\":3}}}\n",
		"banner\n[]\n{}\n\n{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":[\r1]}\n" + strings.Repeat("x", 600) + "\n{\"jsonrpc\":\"2.0\",\"id\":2,",
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\"" + strings.Repeat("x", 600) + "\"}\n{\"result\":\"" + strings.Repeat("x", 600) + "\",\"id\":2}\n",
	} {
		f.Add(true, []byte(seed))
		f.Add(false, []byte(seed))
	}
	f.Fuzz(func(t *testing.T, session bool, lines []byte) {
		for name, text := range backend.Receive(session, lines, 512) {
			responses := 0
			events := wire.NewEventReader(strings.NewReader(text), 0)
			for {
				ev, err := events.Next()
				if err != nil {
					break
				}
				if !json.Valid(ev.Data) {
					t.Fatalf("%s got what is no JSON: %q", name, ev.Data)
				}
				e, err := wire.Scan(ev.Data)
				if err != nil {
					t.Fatalf("%s got what is no message: %q: %v", name, ev.Data, err)
				}
				if responses > 0 {
					t.Fatalf("%s got more behind its response: %q", name, ev.Data)
				}
				if e.Kind == wire.Response {
					responses++
					if want := `"` + name + `"`; string(e.ID.Of(ev.Data)) != want {
						t.Fatalf("%s got the response of another: %q", name, ev.Data)
					}
				}
				if e.Method == wire.NoteProgress && string(e.ProgressToken.Of(ev.Data)) != `"p"` {
					t.Fatalf("%s got progress of another: %q", name, ev.Data)
				}
			}
		}
	})
}
