// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package resilience

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/jupico-operator/jupico-operator/internal/checker"
	"github.com/jupico-operator/jupico-operator/internal/controller"
	"github.com/jupico-operator/jupico-operator/internal/jupico"
	"github.com/jupico-operator/jupico-operator/internal/jupico/endpoint"
)

// quiet is how many looks in a row, 3 ms apart, must find nothing done before an operator counts as idle. Looks are
// counted rather than time, since on a busy machine the operator gets as little of that as the one who looks.
const quiet = 8

// operator is one process of the operator. It has a manager of its own, and remembers nothing of an earlier one.
type operator struct {
	world *world
	name  string // its User-Agent at the endpoint
	line  *line
	stop  context.CancelFunc
	ended chan struct{}

	// rounds counts how often the controller looked at its clock, which it does at the end of each reconcile.
	rounds atomic.Int64
	// lastActive is when it last did something or was told something, in nanoseconds.
	lastActive atomic.Int64
	// running is how many calls are under way.
	running atomic.Int64
	// looks is how many in a row found nothing done since seenActive.
	looks      int
	seenActive int64
}

// putOnDuty makes an operator that does not run yet.
func (w *world) putOnDuty(trouble trouble, cancel context.CancelFunc) *operator {
	w.mu.Lock()
	defer w.mu.Unlock()
	name := fmt.Sprintf("operator-%d", len(w.operators)+1)
	o := &operator{world: w, name: name, stop: cancel, ended: make(chan struct{})}
	o.line = newLine(o, trouble)
	o.noteActive()
	w.operators = append(w.operators, o)
	w.onDuty = o
	return o
}

// startOperator starts an operator in the world's namespace, and puts it on duty. Trouble may be nil.
func (w *world) startOperator(trouble trouble) {
	running, cancel := context.WithCancel(ctx)
	o := w.putOnDuty(trouble, cancel)
	logger := zap.New(zap.WriteTo(&w.log), zap.UseDevMode(false)).WithValues("operator", o.name)
	connection := rest.CopyConfig(operatorConfig)
	connection.Wrap(func(next http.RoundTripper) http.RoundTripper {
		o.line.next = next
		return o.line
	})
	manager, err := ctrl.NewManager(connection, ctrl.Options{
		Scheme:         scheme,
		Logger:         logger,
		BaseContext:    func() context.Context { return logr.NewContext(ctx, logger) }, // for the client library
		Cache:          controller.CacheOptions(),
		Client:         controller.ClientOptions(),
		Metrics:        metricsserver.Options{BindAddress: "0"},
		Controller:     config.Controller{SkipNameValidation: new(true)},
		MapperProvider: func(*rest.Config, *http.Client) (meta.RESTMapper, error) { return mapper, nil },
	})
	w.must(err)
	allowed, err := endpoint.NewAllowList(w.api.url, w.otherAPI.url)
	w.must(err)
	checks := checker.New(allowed, jupico.Config{Timeout: 2 * time.Second, UserAgent: o.name},
		checker.Options{QPS: 100, Burst: 100, Workers: 8, Clock: &w.clock})
	w.must(controller.SetUp(running, manager, controller.Options{
		MaxConcurrentReconciles: 4,
		Namespaces:              []string{w.namespace},
		Checker:                 checks,
		Clock:                   observedClock{&w.clock, o},
		Metrics:                 prometheus.NewRegistry(),
	}))
	go func() {
		defer close(o.ended)
		if err := manager.Start(running); running.Err() == nil {
			w.violated("the operator ended by itself: %v", err)
		}
	}()
}

// kill makes an operator end as if it had lost its power: nothing that it does from now on reaches anybody.
func (o *operator) kill() {
	o.line.die()
	o.stop()
}

func (o *operator) isDead() bool {
	select {
	case <-o.ended:
		return true
	default:
		return o.line.isDead()
	}
}

func (o *operator) noteActive() { o.lastActive.Store(time.Now().UnixNano()) }

// begin and end are around whatever an operator waits for.
func (o *operator) begin() {
	o.running.Add(1)
	o.noteActive()
}

func (o *operator) end() {
	o.noteActive()
	o.running.Add(-1)
}

// isIdle is for one goroutine, which asks every 3 ms.
func (o *operator) isIdle() bool {
	active := o.lastActive.Load()
	if o.looks++; o.running.Load() != 0 || active != o.seenActive {
		o.looks, o.seenActive = 0, active
	}
	return o.looks >= quiet
}

// shiftedClock is the real clock, moved ahead when a test says so.
type shiftedClock struct{ offset atomic.Int64 }

func (c *shiftedClock) Now() time.Time                  { return time.Now().Add(time.Duration(c.offset.Load())) }
func (c *shiftedClock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }
func (c *shiftedClock) advance(d time.Duration)         { c.offset.Add(int64(d)) }

// observedClock tells an operator's activity by the looks at it.
type observedClock struct {
	*shiftedClock
	operator *operator
}

func (c observedClock) Now() time.Time {
	c.operator.noteActive()
	c.operator.rounds.Add(1)
	return c.shiftedClock.Now()
}
