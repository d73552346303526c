//go:build npm

package conformance

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/recloser-mcp/recloser/test/peers"
)

const (
	product   = "github.com/recloser-mcp/recloser/cmd/recloser"
	theServer = "github.com/modelcontextprotocol/go-sdk/conformance/everything-server"

	scenarioLimit = "20000" // ms
	suiteLimit    = 10 * time.Minute
)

// other returns the revision of the other era.
func other(revision string) string {
	if revision == revisions[0] {
		return revisions[1]
	}
	return revisions[0]
}

// resultsDir returns a new folder for what the suite writes about a run: one that
// stays, where RECLOSER_RESULTS says so.
func resultsDir(t *testing.T, r run) string {
	t.Helper()
	root := os.Getenv("RECLOSER_RESULTS")
	if root == "" {
		return t.TempDir()
	}
	dir := filepath.Join(root, r.suite, r.revision, r.way)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// conformance runs the suite's program. ok says that it was content.
func conformance(t *testing.T, args ...string) (output string, ok bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), suiteLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, peers.NPM("conformance"), args...)
	// The suite leaves a client running that takes too long.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil || ctx.Err() != nil {
		t.Fatalf("conformance %v: %v\n%s", args, err, out)
	}
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	return string(out), err == nil
}
