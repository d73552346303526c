package gateway_test

import (
	"testing"
	"testing/synctest"

	"github.com/recloser-mcp/recloser/backendtest"
)

// TestAStateForABackendThatNobodyKnowsYet comes back to a gateway that was started
// anew, and has not asked the backend yet what it speaks. The tool ran once already:
// it does not run again for a state that nobody can vouch for.
func TestAStateForABackendThatNobodyKnowsYet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := cell{modern, elder, "/mcp/a"}
		srv, r := c.serve(t, settings{}, append(asking(), backendtest.WithDown())...)
		h := c.hand(r, `{"elicitation":{}}`)
		if err := srv.Up(); err != nil {
			t.Fatal(err)
		}
		a := r.do(h.call(`7`, "form", `"inputResponses":{},"requestState":"of the gateway before"`))
		if e := a.rpc(t).Error; e == nil || e.Code != -32602 {
			t.Errorf("accepted: %d %s", a.status, a.body)
		}
		synctest.Wait()
		if n := srv.Executions("form"); n != 0 {
			t.Errorf("%d executions, want 0", n)
		}
	})
}
