// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// slackAtStart is the timer slack before any code of ours runs, and so that of the runtime's own threads.
var slackAtStart, _ = unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)

const asProgram = "TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) == "" {
		os.Exit(m.Run())
	}
	slackenTimers()
	fmt.Print(os.Getpid(), slackAtStart, os.Args[1:])
}

func TestTheRuntimesOwnTimersMayBeLateUnlessTheyAreToBeKept(t *testing.T) {
	for _, test := range []struct {
		environment []string
		want        int
	}{
		{nil, int(timerSlack.Nanoseconds())},
		{[]string{keepTimers + "=1"}, slackAtStart},
	} {
		program := exec.Command(os.Args[0], "--an-argument") //nolint:gosec // this test itself
		program.Env = slices.Concat(os.Environ(), test.environment, []string{asProgram + "=1"})
		said, err := program.Output()
		want := fmt.Sprint(program.Process.Pid, test.want, []string{"--an-argument"})
		if err != nil || string(said) != want {
			t.Errorf("with %q the program says %q, want %q (%v)", test.environment, said, want, err)
		}
	}
}
