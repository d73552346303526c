//go:build unix

package cluster

import (
	"os/exec"
	"syscall"
)

// ownGroup has a process lead a group, so that what it starts can be ended with
// it.
func ownGroup(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
}

// signalGroup signals a process and what it started.
func signalGroup(leader int, sig syscall.Signal) {
	_ = syscall.Kill(-leader, sig) // else nobody is left
}
