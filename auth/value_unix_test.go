//go:build unix

package auth_test

import (
	"path/filepath"
	"syscall"
	"testing"

	"github.com/recloser-mcp/recloser/auth"
)

// Opening a pipe that nobody writes to would block for ever.
func TestSecretFileMayNotBeAPipe(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := auth.NewFileValue(pipe).Resolve(); err == nil || !s.IsZero() {
		t.Error("read a pipe")
	}
}
