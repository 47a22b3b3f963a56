// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command bench measures the operator as a process, on a control plane and beside an emulator of Jupico's API that are
// processes too, against the limit that the same machine gives in the same run. `make bench` builds what it needs and
// runs it. Everything is under one temporary directory, on free ports, and gone at the end.
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

// settings are what the command line says.
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
	flag.BoolVar(&s.quick, "quick", false, "only what 1,000 resources show, in about 5 minutes")
	flag.StringVar(&s.only, "only", "", "comma-separated `parts`: sync, steady, reaction, growth, scale, restart, "+
		"crowd, storm")
	flag.StringVar(&s.output, "output", "bench.json", "`file` for the rows")
	flag.StringVar(&s.plots, "plots", "", "`directory` for the plots; none without it")
	flag.StringVar(&s.profiles, "profiles", "", "`directory` for profiles of the operator; none without it")
	flag.StringVar(&s.managerPath, "manager", "bin/manager", "`path` of the operator")
	flag.StringVar(&s.emulatorPath, "emulator", "bin/jupico-emulator", "`path` of the emulator")
	flag.Parse()
	ctrl.SetLogger(logr.Discard()) // the rows tell what happened
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, s)
	stop()
	if err != nil {
		_, _ = fmt.Fprintf(os.Stderr, "\nbench: %v\n", err)
		os.Exit(1)
	}
}

// errMissed says that the figures are there, and not all as they should be.
var errMissed = errors.New("not every target was reached")

// measure goes through the parts, as far as it comes: what was measured before a failure counts.
func (b *bench) measure(ctx context.Context, parts []part) error {
	for _, p := range parts {
		b.say("%s", p.title)
		if err := p.measure(ctx, b); err != nil {
			b.explain()
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return nil
}

// run measures all parts, and leaves nothing behind but the rows.
func run(ctx context.Context, s settings) (err error) {
	parts, err := chooseParts(s)
	if err != nil {
		return err
	}
	b := &bench{settings: s, began: time.Now()}
	ctx, cancel := context.WithCancel(ctx)
	defer func() {
		cancel() // the API server waits for those who watch
		err = errors.Join(err, b.close())
	}()
	if err := b.open(ctx); err != nil {
		return err
	}
	b.report.Machine = describeMachine(b.assets)
	failure := b.measure(ctx, parts)
	b.say("Measured in %s", time.Since(b.began).Round(time.Second))
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
