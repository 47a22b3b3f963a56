// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
)

// patience is how long work may be overdue, without any being finished, before the work queue is taken for stuck. It is
// twice the longest wait that Jupico can ask for, and many times the longest that a check may take.
const patience = 10 * time.Minute

// heartbeat tells whether the work queue moves. Whatever Jupico or the API server do, a reconcile ends, be it with an
// error, and is a beat; only a process that needs to be restarted has work and does none.
type heartbeat struct {
	list  lister
	clock clock.PassiveClock
	// elected is closed once this process is to work. Another replica's cache shows the same resources, and it may wait
	// for years.
	elected <-chan struct{}
	last    atomic.Pointer[time.Time]
}

// of has each reconcile that ends be a beat.
func (h *heartbeat) of(reconciler reconcile.Reconciler) reconcile.Reconciler {
	return reconcile.Func(func(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
		defer func() { h.last.Store(new(h.clock.Now())) }()
		return reconciler.Reconcile(ctx, request)
	})
}

// check is a healthz.Checker.
func (h *heartbeat) check(request *http.Request) error {
	select {
	case <-h.elected:
	default:
		return nil
	}
	last := h.last.Load()
	if last == nil { // elected just now, and perhaps with much to do
		h.last.CompareAndSwap(nil, new(h.clock.Now()))
		return nil
	}
	idle := h.clock.Since(*last)
	if idle <= patience {
		return nil
	}
	resources, err := h.list(request.Context())
	if err != nil {
		return nil //nolint:nilerr // the cache is stopping with the process, or nobody waits for the answer
	}
	now := h.clock.Now()
	isLate := func(resource v1alpha1.JupicoCredential) bool { return isOverdue(&resource, patience, now) }
	if late := slices.IndexFunc(resources, isLate); late >= 0 {
		return fmt.Errorf("the work queue is stuck: %s/%s is overdue, and nothing was finished for %s",
			resources[late].Namespace, resources[late].Name, idle.Round(time.Second))
	}
	return nil
}
