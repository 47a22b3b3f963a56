// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package process runs programs beside a program of hack, and ends them.
package process

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

// Process is a program that runs in a process group of its own, so that Ctrl-C reaches only who started it, and that
// one reaches everything that the program starts. A nil Process was not started.
type Process struct {
	Name string
	Log  string // the file that its output goes to
	// Exited is closed when it has ended.
	Exited chan struct{}

	cmd *exec.Cmd
	err error // once Exited is closed
}

// Start runs a program until Stop. Its environment is ours, and more.
func Start(name, log string, more []string, path string, args ...string) (*Process, error) {
	file, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer file.Close()                 //nolint:errcheck // the program has a descriptor of its own
	cmd := exec.Command(path, args...) //nolint:noctx // Stop ends it, gently
	cmd.Env = append(os.Environ(), more...)
	cmd.Stdout, cmd.Stderr = file, file
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("could not start %s: %w", name, err)
	}
	p := &Process{Name: name, Log: log, Exited: make(chan struct{}), cmd: cmd}
	go func() {
		p.err = cmd.Wait()
		close(p.Exited)
	}()
	return p, nil
}

// Failure is the error of a process that ended by itself, or nil while it runs.
func (p *Process) Failure() error {
	if p == nil {
		return nil
	}
	select {
	case <-p.Exited:
		return fmt.Errorf("%s ended by itself: %v", p.Name, p.err) //nolint:errorlint // nil where the exit code was 0
	default:
		return nil
	}
}

// ID is the process's number.
func (p *Process) ID() int { return p.cmd.Process.Pid }

// Stop ends the process, and whatever it started.
func (p *Process) Stop() error {
	if p == nil {
		return nil
	}
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGTERM) // it may have ended by itself
	select {
	case <-p.Exited:
	case <-time.After(stopTimeout):
	}
	err := syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.Exited
	if err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("could not end %s: %w", p.Name, err)
	}
	return nil
}

// Tail returns the last lines of the log.
func (p *Process) Tail(lines int) []byte {
	content, err := os.ReadFile(p.Log)
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
