// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
)

// stuckAfter is how long work may be overdue, without any being finished, before the work queue counts as stuck. It is
// twice the longest wait that Jupico can ask for, and many times the longest that a check may take.
const stuckAfter = 10 * time.Minute

// checkHealth is a healthz.Checker that tells whether the work queue moves. Whatever Jupico or the API server do, each
// reconcile ends, be it with an error. Only a process that needs to be restarted has work and finishes none.
func (r *Reconciler) checkHealth(request *http.Request) error {
	select {
	case <-r.elected:
	default:
		return nil // another replica does the work, while this one may wait for years
	}
	now := r.clock.Now()
	r.lastFinished.CompareAndSwap(nil, &now) // elected just now, and perhaps with much to do
	idle := now.Sub(*r.lastFinished.Load())
	if idle <= stuckAfter {
		return nil
	}
	resources, err := list(request.Context(), r.cache)
	if err != nil {
		return nil //nolint:nilerr // the cache is stopping with the process, or nobody waits for the answer
	}
	isLate := func(resource v1alpha1.JupicoCredential) bool { return isOverdue(&resource, stuckAfter, now) }
	if late := slices.IndexFunc(resources, isLate); late >= 0 {
		return fmt.Errorf("the work queue is stuck: %s/%s is overdue, and nothing was finished for %s",
			resources[late].Namespace, resources[late].Name, idle.Round(time.Second))
	}
	return nil
}
