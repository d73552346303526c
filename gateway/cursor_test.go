package gateway_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/recloser-mcp/recloser/backendtest"
)

func TestACursorOfAnotherEndpointIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tools []backendtest.Tool
		for i := range 3 {
			tools = append(tools, backendtest.Tool{Name: fmt.Sprint("t", i), Description: strings.Repeat("d", 600_000), Func: backendtest.Text("x")})
		}
		r := newRig(t, settings{}, backendtest.NewServer(t, backendtest.WithPipe(), backendtest.WithTools(tools...)), sample(t, "two"))
		synctest.Wait()
		paths := []string{"/mcp", "/mcp/a", "/mcp/b"}
		for _, made := range paths[:2] {
			var page struct{ NextCursor string }
			if err := json.Unmarshal(r.ask(modern, "", made, "tools/list", "", "").rpc(t).Result, &page); err != nil || page.NextCursor == "" {
				t.Fatalf("no second page: %v", err)
			}
			for _, used := range paths {
				for _, method := range []string{"tools/list", "prompts/list", "resources/list", "resources/templates/list"} {
					out := r.ask(modern, "", used, method, "", fmt.Sprintf(`"cursor":%q`, page.NextCursor)).rpc(t)
					fits := made == used && method == "tools/list"
					if fits && out.Error != nil || !fits && (out.Error == nil || out.Error.Code != -32602) {
						t.Errorf("a cursor of %s for %s at %s: %+v", made, method, used, out.Error)
					}
				}
			}
		}
	})
}
