// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"testing"
	"time"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
)

func TestWhatWasNeverDeliveredGoesFirst(t *testing.T) {
	t.Parallel()
	fresh, delivered := &v1alpha1.JupicoCredential{}, &v1alpha1.JupicoCredential{}
	delivered.Status.Deployed = &v1alpha1.DeployedStatus{}
	first, then := requeueAfter(fresh, time.Second), requeueAfter(delivered, time.Second)
	if *first.Priority <= *then.Priority {
		t.Errorf("in the work queue it has the priority %d beside %d", *first.Priority, *then.Priority)
	}
}
