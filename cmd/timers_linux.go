// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// timerSlack is how late the kernel may wake this process, so that it wakes less often. With the usual 50 µs,
// the monitor thread of Go's runtime looks about every 75 µs while anything runs, and a check takes a quarter more
// processor time.
const timerSlack = time.Millisecond

// keepTimers is the environment variable that leaves the timers as they are.
const keepTimers = "JUPICO_OPERATOR_KEEP_TIMERS"

// slackenTimers lets timers be late by timerSlack. A thread has the slack of the one that started it, and the runtime's
// monitor is older than any code of ours. So the program is started once more in the same process, by the thread that
// has the new slack. Where the system does not allow that, all goes on as before.
func slackenTimers() {
	if _, isSet := os.LookupEnv(keepTimers); isSet {
		return
	}
	program, err := os.Executable()
	if err != nil {
		return
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(timerSlack), 0, 0, 0) == nil {
		_ = syscall.Exec(program, os.Args, append(os.Environ(), keepTimers+"=1")) //nolint:gosec // this very program
	}
}
