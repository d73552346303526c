//go:build !unix

package backend

import (
	"os"
	"os/exec"
)

// inherited are the variables that a process gets from our environment, as the
// official SDKs choose them.
var inherited = []string{"APPDATA", "HOMEDRIVE", "HOMEPATH", "LOCALAPPDATA", "PATH", "PATHEXT", "PROCESSOR_ARCHITECTURE",
	"PROGRAMDATA", "PROGRAMFILES", "SYSTEMDRIVE", "SYSTEMROOT", "TEMP", "TMP", "USERNAME", "USERPROFILE"}

// ownGroup: there are no groups of processes here.
func ownGroup(*exec.Cmd) {}

// signalGroup ends the process. It cannot be asked to end here but by the end of
// its input.
func signalGroup(p *os.Process, kill bool) {
	if kill {
		_ = p.Kill() // else it has ended already
	}
}
