// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
)

// queue is a work queue of a process that was elected at noon.
type queue struct {
	*Reconciler
	fake  *fakeCache
	clock *clocktesting.FakePassiveClock
	t     *testing.T
}

func newQueue(t *testing.T, resources ...v1alpha1.JupicoCredential) *queue {
	t.Helper()
	elected := make(chan struct{})
	close(elected)
	clock := clocktesting.NewFakePassiveClock(noon)
	cache := cacheOf(resources...)
	q := &queue{&Reconciler{cache: cache, clock: clock, elected: elected, isWorking: func() bool { return true }}, cache, clock, t}
	q.expect(true)
	return q
}

func (q *queue) wait(d time.Duration) { q.clock.SetTime(q.clock.Now().Add(d)) }

// finish has a reconcile end with an error, or with none because the resource is gone.
func (q *queue) finish(err error) {
	q.t.Helper()
	q.fake.getErr = err
	if err == nil {
		q.fake.getErr = apierrors.NewNotFound(v1alpha1.GroupVersion.WithResource("jupicocredentials").GroupResource(), "gone")
	}
	if _, got := q.Reconcile(q.t.Context(), reconcile.Request{}); !errors.Is(got, err) {
		q.t.Errorf("the reconcile ended with %v", got)
	}
}

// expect asks as the kubelet does.
func (q *queue) expect(healthy bool) {
	q.t.Helper()
	answer := httptest.NewRecorder()
	request := httptest.NewRequestWithContext(q.t.Context(), http.MethodGet, "/", nil)
	(healthz.CheckHandler{Checker: q.checkHealth}).ServeHTTP(answer, request)
	if got := answer.Code == http.StatusOK; got != healthy {
		q.t.Errorf("at %s, healthy is %t: %s", q.clock.Now().Format(time.TimeOnly), got, answer.Body)
	}
}

func TestALiveQueueFinishesWhatIsOverdue(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		sentence string
		resource v1alpha1.JupicoCredential
		want     bool
	}{
		{"a check is overdue", seen("True/Accepted", due(noon)), false},
		{"a new resource was never looked at", seen("", created(noon)), false},
		{"a check is not overdue for long", seen("True/Accepted", due(noon.Add(time.Minute))), true},
		{"nothing is due", seen("True/Accepted", due(noon.Add(24*time.Hour))), true},
		{"no check is planned", seen("False/SourceNotFound"), true},
		{"all is suspended", seen("True/Suspended", suspended, due(noon)), true},
	} {
		t.Run(row.sentence, func(t *testing.T) {
			t.Parallel()
			q := newQueue(t, row.resource)
			q.wait(stuckAfter)
			q.expect(true)
			q.wait(time.Second)
			q.expect(row.want)
			q.finish(nil)
			q.expect(true)
			q.wait(stuckAfter)
			q.expect(true)
		})
	}
}

func TestALiveQueueSaysWhatItIsStuckBefore(t *testing.T) {
	t.Parallel()
	q := newQueue(t, seen("True/Accepted", due(noon)))
	q.wait(stuckAfter + time.Second)
	err := q.checkHealth(httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
	if err == nil || !strings.Contains(err.Error(), "shop/payments is overdue, and nothing was finished for 10m1s") {
		t.Errorf("got %v", err)
	}
}

func TestAQueueIsAliveWhileItsWorkersFail(t *testing.T) {
	t.Parallel()
	q := newQueue(t, seen("False/Unreachable", due(noon)))
	for range 20 {
		q.wait(5 * time.Minute) // the longest wait that there is
		q.finish(errors.New("the API server does not answer"))
		q.expect(true)
	}
	q.wait(stuckAfter + time.Second)
	q.expect(false)
}

func TestAQueueIsAliveWhileItsNamespaceCannotBeWatched(t *testing.T) {
	t.Parallel()
	q := newQueue(t, seen("", created(noon)))
	isWorking := false
	q.isWorking = func() bool { return isWorking }
	for range 3 {
		q.wait(stuckAfter + time.Second)
		q.expect(true)
	}
	isWorking = true
	q.wait(stuckAfter)
	q.expect(true)
	q.wait(time.Second)
	q.expect(false)
}

func TestAReplicaThatWaitsToBeElectedIsAlive(t *testing.T) {
	t.Parallel()
	q := newQueue(t, seen("True/Accepted", due(noon)))
	elected := make(chan struct{})
	q.elected = elected
	q.lastFinished.Store(nil)
	q.wait(24 * time.Hour)
	q.expect(true)

	close(elected)
	q.expect(true) // for it has only just begun
	q.wait(stuckAfter + time.Second)
	q.expect(false)
}

func TestAProcessWithoutACacheIsAlive(t *testing.T) {
	t.Parallel()
	q := newQueue(t)
	q.cache = noCache
	q.wait(24 * time.Hour)
	q.expect(true)
}
