// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command demo shows the operator at work, on a machine that needs nothing but Go. It starts etcd, kube-apiserver, an
// emulator of Jupico's API and the operator, each as a process, and applies config/samples. Then it shows what happens
// when the sandbox is reset and when the Secret is deleted. `make demo` builds what it needs and runs it.
//
// It stays up until Ctrl-C. With --once, it exits after the last step. The exit code is 0 only if every step was
// observed. It uses free ports and one temporary directory, which it removes at the end.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"
)

// errInterrupted says that the user stopped the demo before it had shown everything.
var errInterrupted = errors.New("interrupted")

func main() {
	once := flag.Bool("once", false, "exit after the last step instead of staying up")
	flag.Parse()
	ctrl.SetLogger(logr.Discard()) // the demo prints its own messages
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *once)
	stop()
	if err != nil {
		_, _ = fmt.Fprintf(os.Stderr, "\ndemo: %v\n", err)
		os.Exit(1)
	}
}

// run runs the demo and cleans up after it.
func run(ctx context.Context, once bool) (err error) {
	d, err := newDemo("bin")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	start := time.Now()
	for i, step := range d.steps() {
		fmt.Printf("\n%d. %s\n", i+1, step.title)
		err := step.do(ctx)
		if ctx.Err() != nil {
			return errInterrupted
		}
		if err != nil {
			d.explain(ctx)
			return fmt.Errorf("step %d (%s) failed: %w", i+1, step.title, err)
		}
	}
	fmt.Printf("\nAll of this was observed, in %.0f s.\n", time.Since(start).Seconds())
	if once {
		return nil
	}
	return d.stayUp(ctx)
}
