// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package process starts and stops the programs that the commands in hack need.
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

// stopTimeout is how long a process may take to exit before it is killed.
const stopTimeout = 10 * time.Second

// Process is a running program. It has its own process group, so that Ctrl-C reaches only the command that started it,
// and Stop reaches all its children. A nil Process was never started.
type Process struct {
	Name string
	Log  string // the file with its output
	// Exited is closed when the process has exited.
	Exited chan struct{}

	cmd *exec.Cmd
	err error // set before Exited is closed
}

// Start starts a program, which runs until Stop. Its environment is that of this process, plus extraEnv.
func Start(name, log string, extraEnv []string, path string, args ...string) (*Process, error) {
	file, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer file.Close()                 //nolint:errcheck // the program has its own descriptor
	cmd := exec.Command(path, args...) //nolint:noctx // Stop lets it shut down, a context would kill it
	cmd.Env = append(os.Environ(), extraEnv...)
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

// Failure returns an error if the process exited, and nil while it runs.
func (p *Process) Failure() error {
	if p == nil {
		return nil
	}
	select {
	case <-p.Exited:
		return fmt.Errorf("%s exited unexpectedly: %v", p.Name, p.err) //nolint:errorlint // it is nil if the exit code was 0
	default:
		return nil
	}
}

// ID returns the process ID.
func (p *Process) ID() int { return p.cmd.Process.Pid }

// Stop ends the process and its children.
func (p *Process) Stop() error {
	if p == nil {
		return nil
	}
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGTERM) // it may have exited already
	select {
	case <-p.Exited:
	case <-time.After(stopTimeout):
	}
	err := syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.Exited
	if err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("could not stop %s: %w", p.Name, err)
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
