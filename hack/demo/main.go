// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command demo shows the operator at work, on a machine with nothing but Go: it starts etcd and kube-apiserver, an
// emulator of Jupico's API and the operator as processes of their own, applies config/samples, and acts out what
// happens when the sandbox is reset and when the Secret is deleted. `make demo` builds what it needs and runs it.
//
// It stays up until Ctrl-C, or with --once ends by itself: with 0 only if every step was observed. Everything is under
// one temporary directory, on free ports, and gone at the end.
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

// errInterrupted says that somebody ended the demo before it had shown everything.
var errInterrupted = errors.New("interrupted")

func main() {
	once := flag.Bool("once", false, "end after the last step instead of staying up")
	flag.Parse()
	ctrl.SetLogger(logr.Discard()) // the demo tells by itself what happens
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *once)
	stop()
	if err != nil {
		_, _ = fmt.Fprintf(os.Stderr, "\ndemo: %v\n", err)
		os.Exit(1)
	}
}

// run plays the demo, and leaves nothing behind.
func run(ctx context.Context, once bool) (err error) {
	d, err := newDemo()
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
