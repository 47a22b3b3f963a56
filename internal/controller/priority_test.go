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
	fresh.Namespace, delivered.Namespace = "shop", "shop"
	delivered.Status.Deployed = &v1alpha1.DeployedStatus{}
	if first, then := *again(fresh, time.Second).Priority, *again(delivered, time.Second).Priority; first <= then {
		t.Errorf("in the work queue it has the priority %d beside %d", first, then)
	}
	if laneOf(fresh) == laneOf(delivered) {
		t.Error("for a slot it queues behind routine checks")
	}
	other := fresh.DeepCopy()
	other.Namespace = "other"
	if laneOf(fresh) == laneOf(other) {
		t.Error("two namespaces share a lane")
	}
}
