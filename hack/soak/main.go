// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command soak runs the operator for long on a real control plane, with an emulator of Jupico's API, while sources
// change, accounts are revoked and restored, the API fails, and the operator and the API server are killed. At the end
// all heals, and each resource must be Ready with the right token in its target. Memory, goroutines and connections of
// the operator must not have grown. `make soak` builds what it needs and runs it.
//
// Its files are in one temporary directory, its processes listen on free ports, and both are gone at the end.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"
)

// settings are the flags.
type settings struct {
	duration     time.Duration
	resources    int
	seed         uint64
	managerPath  string
	emulatorPath string
}

// shortest is how long it takes at least until there are enough samples for a slope.
const shortest = 5 * time.Minute

func main() {
	var s settings
	flag.DurationVar(&s.duration, "duration", 20*time.Minute, "how long things happen, before all heals")
	flag.IntVar(&s.resources, "resources", 2000, "`number` of resources")
	seed := rand.Uint64() //nolint:gosec // it only decides what happens
	flag.Uint64Var(&s.seed, "seed", seed, "`number` that decides what happens")
	flag.StringVar(&s.managerPath, "manager", "bin/manager", "`path` of the operator")
	flag.StringVar(&s.emulatorPath, "emulator", "bin/jupico-emulator", "`path` of the emulator")
	flag.Parse()
	ctrl.SetLogger(logr.Discard())
	signal.Ignore(syscall.SIGPIPE) // when the reader of the output is gone, everything is still stopped and removed
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, s)
	stop()
	if err != nil {
		_, _ = fmt.Fprintf(os.Stderr, "\nsoak: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, s settings) (err error) {
	if s.duration < shortest || s.resources < namespaces {
		return fmt.Errorf("-duration must be %s or more, and -resources %d or more", shortest, namespaces)
	}
	k := newSoak(s)
	ctx, cancel := context.WithCancel(ctx)
	defer func() {
		cancel()
		if err != nil {
			k.printOperatorLog()
		}
		err = errors.Join(err, k.close())
	}()
	k.logf("Seed %d: starting etcd, kube-apiserver, the emulator and the operator", s.seed)
	if err := k.open(ctx); err != nil {
		return err
	}
	k.logf("Creating %d resources in %d namespaces", s.resources, namespaces)
	if err := k.createFleet(ctx); err != nil {
		return err
	}
	if err := k.waitUntilWhole(ctx); err != nil {
		return err
	}
	if err := k.soak(ctx); err != nil {
		return err
	}
	k.logf("All heals")
	if err := k.heal(ctx); err != nil {
		return err
	}
	if err := k.waitUntilWhole(ctx); err != nil {
		return err
	}
	k.logf("Nothing is lost: all %d resources are Ready, with the right tokens in their targets", s.resources)
	return k.judge(ctx)
}

// soak lets things happen for the time that was asked for. The operator is killed in the first third only, so that the
// samples after it tell how one process develops.
func (k *soak) soak(ctx context.Context) error {
	began := time.Now()
	sampling, cancel := context.WithCancel(ctx)
	sampled := make(chan struct{})
	go func() {
		defer close(sampled)
		k.sample(sampling)
	}()
	defer func() {
		cancel()
		<-sampled
	}()
	if err := k.happen(ctx, began.Add(k.duration/3), append(k.incidents(), k.killsOperator())); err != nil {
		return err
	}
	if err := k.happens(ctx, k.killsOperator()); err != nil {
		return err
	}
	if err := k.happen(ctx, began.Add(k.duration), k.incidents()); err != nil {
		return err
	}
	// On a busy machine, the disturbances may have taken most of the time. In so short a time as here, there are none.
	for until := time.Now().Add(wholeTimeout); k.countSamples() < leastSamples && time.Now().Before(until); {
		if err := k.happen(ctx, time.Now().Add(samplePeriod), k.incidents()); err != nil {
			return err
		}
	}
	return nil
}
