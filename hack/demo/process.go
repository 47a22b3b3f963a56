// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// stopTimeout is how long a process may take to end before it is killed.
const stopTimeout = 10 * time.Second

// process is a program that runs in a process group of its own, so that Ctrl-C reaches the demo alone, and the demo
// reaches everything that the program starts.
type process struct {
	name   string
	log    string
	cmd    *exec.Cmd
	exited chan struct{}
	err    error // once exited is closed
}

// start runs a program until stop. Its output goes to a file.
func start(name, log, path string, args ...string) (*process, error) {
	file, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer file.Close()                 //nolint:errcheck // the program has a descriptor of its own
	cmd := exec.Command(path, args...) //nolint:noctx // stop ends it, gently
	cmd.Stdout, cmd.Stderr = file, file
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("could not start %s: %w", name, err)
	}
	p := &process{name: name, log: log, cmd: cmd, exited: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.exited)
	}()
	return p, nil
}

// failure is the error of a process that ended by itself, or nil while it runs.
func (p *process) failure() error {
	if p == nil {
		return nil
	}
	select {
	case <-p.exited:
		return fmt.Errorf("%s ended by itself: %v", p.name, p.err) //nolint:errorlint // nil where the exit code was 0
	default:
		return nil
	}
}

// stop ends the process, and whatever it started.
func (p *process) stop() error {
	if p == nil {
		return nil
	}
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGTERM) // it may have ended by itself
	select {
	case <-p.exited:
	case <-time.After(stopTimeout):
	}
	err := syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.exited
	if err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("could not end %s: %w", p.name, err)
	}
	return nil
}

// tail returns the last lines of the log.
func (p *process) tail(lines int) []byte {
	content, err := os.ReadFile(p.log)
	if err != nil {
		return []byte(err.Error() + "\n")
	}
	end := len(bytes.TrimRight(content, "\n"))
	begin := end
	for ; lines > 0 && begin > 0; lines-- {
		begin = bytes.LastIndexByte(content[:begin], '\n')
		if begin < 0 {
			return content
		}
	}
	return content[begin:]
}
