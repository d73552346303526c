//go:build unix

package backend

import (
	"os"
	"os/exec"
	"syscall"
)

// inherited are the variables that a process gets from our environment, as the
// official SDKs choose them.
var inherited = []string{"HOME", "LOGNAME", "PATH", "SHELL", "TERM", "USER", "LANG", "LC_*", "TZ", "TMPDIR"}

// ownGroup has the process lead a group, which programs that only start others
// (npx, uvx) share with what they start. A Ctrl-C in our terminal is not theirs.
func ownGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// signalGroup signals the whole group. The number of a group is not given to
// another one while a member lives, so this may come after its leader's end.
func signalGroup(p *os.Process, kill bool) {
	sig := syscall.SIGTERM
	if kill {
		sig = syscall.SIGKILL
	}
	_ = syscall.Kill(-p.Pid, sig) // else nobody is left
}
