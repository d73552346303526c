package cluster

import (
	"errors"
	"io"
	"os/exec"
	"runtime"
	"syscall"
)

// starter starts processes from one thread that lives as long as it does: on Linux
// they die with the thread that started them.
type starter struct {
	work chan func()
}

func newStarter() *starter {
	s := &starter{work: make(chan func())}
	go func() {
		runtime.LockOSThread() // not unlocked: the thread ends with the goroutine
		for do := range s.work {
			do()
		}
	}()
	return s
}

// stop ends the thread. Nothing may be started any more.
func (s *starter) stop() { close(s.work) }

// process is a running command.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed when it has ended
	code  int           // of its exit, 128 and the signal's number after a signal
}

// start runs a command as the leader of its own group.
func (s *starter) start(argv, env []string, dir string, output io.Writer) (*process, error) {
	if len(argv) == 0 {
		return nil, errors.New("there is no command")
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env, cmd.Dir = env, dir
	cmd.Stdout, cmd.Stderr = output, output
	ownGroup(cmd)
	dieWithUs(cmd)
	started := make(chan error, 1)
	s.work <- func() { started <- cmd.Start() }
	if err := <-started; err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, ended: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // the state has it
		// As the other processes of a container end with its first one.
		p.signal(syscall.SIGKILL)
		p.code = cmd.ProcessState.ExitCode()
		if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			p.code = 128 + int(status.Signal())
		}
		close(p.ended)
	}()
	return p, nil
}

// signal reaches the whole group.
func (p *process) signal(sig syscall.Signal) { signalGroup(p.cmd.Process.Pid, sig) }
