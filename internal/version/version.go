// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package version says which build of this project runs.
package version

import (
	"flag"
	"fmt"
	"runtime"
)

// The linker sets both.
var (
	version = "dev"
	commit  = "unknown"
)

// Version is the version that was built, such as v1.2.3.
func Version() string { return version }

// Text describes a program in one line.
func Text(program string) string {
	return fmt.Sprintf("%s %s, commit %s, %s %s/%s", program, version, commit, runtime.Version(), runtime.GOOS,
		runtime.GOARCH)
}

// Flag adds --version to a program that has only flags. Call asked when they are parsed: it says whether the user asks
// for the version, with the flag or with the word version. It refuses every other argument.
func Flag(flags *flag.FlagSet) (asked func() (bool, error)) {
	isSet := flags.Bool("version", false, "Print the version, the commit and the version of Go, and exit.")
	return func() (bool, error) {
		isAsked, arguments := *isSet, flags.Args()
		if len(arguments) > 0 && arguments[0] == "version" {
			isAsked, arguments = true, arguments[1:]
		}
		if len(arguments) > 0 {
			return false, fmt.Errorf("unexpected argument %q: there are only flags, and the word version", arguments[0])
		}
		return isAsked, nil
	}
}
