package peers

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// Gateway is the product, running.
type Gateway struct {
	URL   string // of all backends; append "/" and a slug for one
	Admin string

	cmd *exec.Cmd
	log Output
}

// Status is what a test looks at of the gateway's status.
type Status struct {
	Phase         string `json:"phase"`
	ReadyBackends int    `json:"readyBackends"`
}

// StartGateway serves a JSON document that lacks its closing brace and its
// addresses, and returns once that many backends are ready. exe is the program's
// path, env what stands in its environment besides the test's own.
func StartGateway(t testing.TB, exe, document string, backends int, env ...string) *Gateway {
	t.Helper()
	listen, admin := FreeAddr(t), FreeAddr(t)
	document += fmt.Sprintf(`, "listen": %q, "admin": {"listen": %q}}`, listen, admin)
	file := filepath.Join(t.TempDir(), "mcp.json")
	if err := os.WriteFile(file, []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	g := &Gateway{URL: "http://" + listen + "/mcp", Admin: "http://" + admin}
	g.cmd = exec.Command(exe, "serve", "--config", file)
	g.cmd.Env = append(os.Environ(), env...)
	g.cmd.Stdout, g.cmd.Stderr = &g.log, &g.log
	Run(t, g.cmd)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("gateway's output:\n%s", &g.log)
		}
	})
	WaitFor(t, func() bool { return g.Status().ReadyBackends == backends })
	return g
}

// Get returns what the admin listener answers.
func (g *Gateway) Get(path string) string {
	resp, err := http.Get(g.Admin + path)
	if err != nil {
		return ""
	}
	defer func() { _ = resp.Body.Close() }()
	b, _ := io.ReadAll(resp.Body)
	return string(b)
}

// Status returns the state of the gateway; its zero value while it does not
// answer.
func (g *Gateway) Status() (s Status) {
	_ = json.Unmarshal([]byte(g.Get("/api/v1/status")), &s)
	return s
}

// Stop drains the gateway and returns everything it has shown.
func (g *Gateway) Stop(t testing.TB) map[string]string {
	t.Helper()
	out := map[string]string{"status": g.Get("/api/v1/status"), "metrics": g.Get("/metrics")}
	if err := g.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := g.cmd.Wait(); err != nil {
		t.Errorf("serve ended with %v after SIGTERM", err)
	}
	out["log"] = g.log.String()
	return out
}
