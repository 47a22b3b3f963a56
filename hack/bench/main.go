// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command bench measures the operator on a real control plane, with an emulator of Jupico's API. It compares the
// operator with bare loops that make the same calls on the same machine in the same run. `make bench` builds and runs
// it. Its files are in one temporary directory, its processes listen on free ports, and both are gone at the end.
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

// settings are the flags.
type settings struct {
	quick        bool
	only         string
	output       string
	plots        string
	profiles     string
	managerPath  string
	emulatorPath string
}

func main() {
	var s settings
	flag.BoolVar(&s.quick, "quick", false, "measure only what 1,000 resources show, in 5 to 6 minutes")
	flag.StringVar(&s.only, "only", "", "comma-separated `parts`: "+partNames())
	flag.StringVar(&s.output, "output", "bench.json", "`file` for the rows")
	flag.StringVar(&s.plots, "plots", "", "`directory` for the plots (default none)")
	flag.StringVar(&s.profiles, "profiles", "", "`directory` for profiles of the operator (default none)")
	flag.StringVar(&s.managerPath, "manager", "bin/manager", "`path` of the operator")
	flag.StringVar(&s.emulatorPath, "emulator", "bin/jupico-emulator", "`path` of the emulator")
	ctrl.SetLogger(logr.Discard()) // the rows say enough
	signal.Ignore(syscall.SIGPIPE) // when the reader of the output is gone, everything is still stopped and removed
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	var err error
	if len(os.Args) > 1 && os.Args[1] == checkLoopCommand {
		err = runCheckLoop(ctx, os.Args[2:])
	} else {
		flag.Parse()
		err = run(ctx, s)
	}
	stop()
	if err != nil {
		_, _ = fmt.Fprintf(os.Stderr, "\nbench: %v\n", err)
		os.Exit(1)
	}
}

// errMissed means that everything was measured.
var errMissed = errors.New("not every target was reached")

// measure runs the parts up to the first failure, and keeps the rows from before it.
func (b *bench) measure(ctx context.Context, parts []part) error {
	for _, p := range parts {
		b.logf("%s", p.title)
		if err := p.measure(ctx, b); err != nil {
			b.printOperatorLog()
			return errors.Join(fmt.Errorf("%s: %w", p.name, err), b.emulator.Failure())
		}
	}
	return nil
}

// run measures the parts, and removes everything but the rows and plots.
func run(ctx context.Context, s settings) (err error) {
	parts, err := chooseParts(s)
	if err != nil {
		return err
	}
	b := &bench{settings: s, began: time.Now()}
	ctx, cancel := context.WithCancel(ctx)
	defer func() {
		cancel() // the API server does not stop while somebody watches
		err = errors.Join(err, b.close())
	}()
	if err := b.open(ctx); err != nil {
		return err
	}
	b.report.Machine = describeMachine(b.assets)
	failure := b.measure(ctx, parts)
	b.logf("Measured in %s", time.Since(b.began).Round(time.Second))
	b.report.print()
	if err := errors.Join(failure, b.report.write(s.output)); err != nil {
		return err
	}
	if s.plots != "" {
		if err := b.series.plot(s.plots); err != nil {
			return err
		}
	}
	if !b.report.passes() {
		return errMissed
	}
	return nil
}
