// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command pause keeps the namespaces of a pod alive until it gets a signal to end.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	end := make(chan os.Signal, 1)
	signal.Notify(end, os.Interrupt, syscall.SIGTERM)
	<-end
}
