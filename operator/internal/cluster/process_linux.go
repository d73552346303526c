package cluster

import (
	"os/exec"
	"syscall"
)

// dieWithUs has the kernel end a process when the thread that started it ends, and
// so when we are killed. The thread must live as long as we do: see starter.
func dieWithUs(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
}
