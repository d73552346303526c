//go:build console

// Package console looks at the console in a real browser: a fake of the admin API
// on one side, a script that clicks, types and reads on the other. The scripts are
// in visits.mjs, a function for each test; what they show stays as pictures in
// test-artifacts/console.
package console

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

func TestCardsComeAndGo(t *testing.T)             { visit(t, "cards", newFake(t).some()) }
func TestTableShowsEveryBackend(t *testing.T)     { visit(t, "table", newFake(t).some()) }
func TestDrawer(t *testing.T)                     { visit(t, "drawer", newFake(t).some()) }
func TestTryATool(t *testing.T)                   { visit(t, "tools", newFake(t).some()) }
func TestActions(t *testing.T)                    { visit(t, "actions", newFake(t).some()) }
func TestTokenIsAskedFor(t *testing.T)            { visit(t, "token", newFake(t).some()) }
func TestConnectionLostIsSaid(t *testing.T)       { visit(t, "lost", newFake(t).some()) }
func TestSilentStreamIsAskedForAnew(t *testing.T) { visit(t, "silent", newFake(t).some()) }
func TestEventsAndConfiguration(t *testing.T)     { visit(t, "events", newFake(t).some()) }
func TestNoBackend(t *testing.T)                  { visit(t, "empty", newFake(t)) }
func TestKeyboard(t *testing.T)                   { visit(t, "keyboard", newFake(t).some()) }
func TestAccessibility(t *testing.T)              { visit(t, "accessibility", newFake(t).some()) }
func TestPhone(t *testing.T)                      { visit(t, "phone", newFake(t).some()) }
func TestAThousandBackends(t *testing.T)          { visit(t, "thousand", newFake(t).many(1000)) }
func TestOneEventRendersOneBackend(t *testing.T)  { visit(t, "sparing", newFake(t).many(40)) }

// visit runs a function of visits.mjs against the fake.
func visit(t *testing.T, name string, f *fake) {
	t.Helper()
	dir := filepath.Join(os.Getenv("RECLOSER_ARTIFACTS"), "console")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", "visits.mjs", name, f.srv.URL, dir)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // it closes its browser
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	if len(out) > 0 {
		t.Logf("%s", out)
	}
}
