package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// process is a server that was started.
type process struct {
	cmd  *exec.Cmd
	log  string
	quit syscall.Signal // what makes it end at once
	over chan struct{}  // closed when it has ended
}

// start starts a program in a process group of its own, which ends with this process.
func start(argv []string, dir string, env []string, log string) (*process, error) {
	out, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	p := &process{cmd: exec.Command(argv[0], argv[1:]...), log: log, quit: syscall.SIGTERM, over: make(chan struct{})}
	p.cmd.Dir, p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = dir, env, out, out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", argv[0], err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.over)
	}()
	return p, nil
}

// ended reports whether it has ended.
func (p *process) ended() bool {
	select {
	case <-p.over:
		return true
	default:
		return false
	}
}

// stop ends it, and what is left of its group after three seconds.
func (p *process) stop() {
	if p.ended() {
		return
	}
	_ = p.cmd.Process.Signal(p.quit)
	select {
	case <-p.over:
	case <-time.After(3 * time.Second):
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		<-p.over
	}
}

func (p *process) output() string {
	data, _ := os.ReadFile(p.log)
	return string(data)
}

func (p *process) name() string { return filepath.Base(p.cmd.Path) + " " + fmt.Sprint(p.cmd.Args[3:]) }
