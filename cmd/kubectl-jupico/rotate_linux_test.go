// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"os"
	"syscall"
	"testing"
	"unsafe"

	"k8s.io/cli-runtime/pkg/genericiooptions"
)

// openTerminal returns the two ends of a terminal: what a user types into, and what a program reads from.
func openTerminal(t *testing.T) (user, program *os.File) {
	t.Helper()
	open := func(path string) *os.File {
		file, err := os.OpenFile(path, os.O_RDWR|syscall.O_NOCTTY, 0)
		if err != nil {
			t.Skipf("this machine has no terminals: %v", err)
		}
		t.Cleanup(func() { _ = file.Close() })
		return file
	}
	user = open("/dev/ptmx")
	var unlocked, number int32
	for request, value := range map[uintptr]*int32{syscall.TIOCSPTLCK: &unlocked, syscall.TIOCGPTN: &number} {
		argument := uintptr(unsafe.Pointer(value)) //nolint:gosec // as ioctl wants it
		_, _, failure := syscall.Syscall(syscall.SYS_IOCTL, user.Fd(), request, argument)
		if failure != 0 {
			t.Fatal(failure)
		}
	}
	return user, open(fmt.Sprintf("/dev/pts/%d", number))
}

func TestNothingIsChangedBeforeTheUserAgrees(t *testing.T) {
	for _, row := range []struct {
		typed string
		agree bool
	}{{"y\n", true}, {"Yes\n", true}, {"\n", false}, {"n\n", false}} {
		user, program := openTerminal(t)
		var output bytes.Buffer
		r := &rotator{cli: &cli{IOStreams: genericiooptions.IOStreams{In: program, Out: &output}}}
		if _, err := user.WriteString(row.typed); err != nil {
			t.Fatal(err)
		}
		if err := r.agree(t.Context()); (err == nil) != row.agree || output.String() != "Go on? [y/N] " {
			t.Errorf("%q: got %v and %q", row.typed, err, output.String())
		}
	}
}
