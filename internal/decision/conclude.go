// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package decision

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
)

// Target is what came of the target after the decision.
type Target struct {
	// Problem is the reason why the target is not as it should be: TargetConflict, TemplateError, TargetWriteFailed,
	// TargetContested. Else empty.
	Problem string
	// Detail is a sentence about the problem.
	Detail string
	// Holds: the target was written, or seen to be as it should be.
	Holds bool
	// Status of the target. Nil when nothing new is known.
	Status *v1alpha1.TargetStatus
	// RetryAt is when to try again. Zero when something must happen first.
	RetryAt time.Time
}

// Conclude makes the new status, and says when to look again even if nothing happens. A zero time means never.
func Conclude(v Verdict, target Target) (v1alpha1.JupicoCredentialStatus, time.Time) {
	f := v.facts
	resource := f.Resource
	h := &v.history
	if v.Deploy && target.Holds {
		h.deploy(v.Entry, f.Endpoint)
	}

	status := resource.Status // what changes in it is replaced as a whole, since the rest is the cache's own
	if !resource.Spec.Suspend {
		status.Credentials = h.entries
		status.Deployed = compact(h)
		status.NextCheckTime = nextCheck(h, f.DeployedKnown)
	}
	if target.Status != nil {
		status.Target = target.Status
	}
	if v.checked {
		status.LastCheckTime = timestamp(f.Now)
	}
	v.acknowledge(&status)
	view := newView(v, target)
	status.Conditions = view.conditions(resource.Status.Conditions)
	if v.announced {
		return status, f.Now
	}
	return status, Earliest(view.wakeUp(v.nextLook(status.NextCheckTime)), target.RetryAt)
}

// acknowledge notes what was done of what was asked for. What had to be put off is not done, and so is not forgotten.
func (v *Verdict) acknowledge(status *v1alpha1.JupicoCredentialStatus) {
	resource, isDone := v.facts.Resource, v.retryAt.IsZero()
	if isDone || IsFirst(resource) {
		status.ObservedGeneration = resource.Generation
	}
	if isDone && v.facts.checkRequested() && !v.announced {
		status.LastHandledCheckRequest = CheckRequest(resource)
	}
}

// nextLook is when the next check can be made. One that is due and had to be put off is not tried before its time.
func (v *Verdict) nextLook(next *metav1.Time) time.Time {
	if v.retryAt.IsZero() || next != nil && next.After(v.facts.Now) && next.Time.Before(v.retryAt) {
		return scheduleOf(v.facts.Resource).moment(next)
	}
	return v.retryAt
}

// Rest reports whether a resource was left in order: its spec is what was evaluated last, its target was as it should
// be, nothing was asked for, and nothing is due. If so, it says until when.
func Rest(resource *v1alpha1.JupicoCredential, now time.Time) (time.Time, bool) {
	status := &resource.Status
	isSynced := meta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConditionSecretSynced)
	asked := CheckRequest(resource)
	if !isSynced || status.ObservedGeneration != resource.Generation || resource.Spec.Suspend ||
		status.NextCheckTime == nil || asked != "" && asked != status.LastHandledCheckRequest {
		return time.Time{}, false
	}
	facts := Facts{Resource: resource, Now: now}
	for i := range resource.Spec.Credentials {
		name := resource.Spec.Credentials[i].Name
		if recordOf(status, name) == nil {
			return time.Time{}, false
		}
		facts.Sources[i].Record = name
	}
	verdict := Decide(facts, Plan{}, nil)
	next := nextCheck(&verdict.history, false)
	view := newView(verdict, Target{})
	becameStale := view.stale && meta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConditionCredentialAccepted)
	wakeUp := view.wakeUp(view.schedule.moment(next))
	return wakeUp, next != nil && now.Before(wakeUp) && !becameStale
}

// compact leaves out of the deployed token's record what the active entry's says too.
func compact(h *history) *v1alpha1.DeployedStatus {
	if h.deployed == nil || h.active == Deployed {
		return h.deployed
	}
	deployed := *h.deployed
	deployed.Credential = h.entries[h.active].Name // which may have been renamed
	deployed.CheckRecord = v1alpha1.CheckRecord{
		Verdict:          h.deployed.Verdict,
		Reason:           h.deployed.Reason,
		LastAcceptedTime: h.deployed.LastAcceptedTime,
	}
	return &deployed
}

// nextCheck is the nearest of all.
func nextCheck(h *history, deployedIsKnown bool) *metav1.Time {
	var next *metav1.Time
	consider := func(t *metav1.Time) {
		if t != nil && (next == nil || t.Before(next)) {
			next = t
		}
	}
	for i := range h.entries {
		consider(h.entries[i].NextCheckTime)
	}
	if h.parted() && deployedIsKnown {
		consider(h.deployed.NextCheckTime)
	}
	return next
}

// CheckRequest returns the value of the annotation that asks for a check, as status repeats it. It is empty when there
// is none.
func CheckRequest(resource *v1alpha1.JupicoCredential) string {
	value := []rune(resource.Annotations[v1alpha1.AnnotationCheckRequestedAt])
	return string(value[:min(len(value), v1alpha1.MaxCheckRequestLength)])
}

// wakeUp is the nearer of the next check and the moment at which the acceptance becomes stale.
func (s view) wakeUp(next time.Time) time.Time {
	var at time.Time
	if !s.suspended {
		at = next
	}
	if s.subject.Verdict == v1alpha1.VerdictAccepted && !s.stale {
		at = Earliest(at, s.schedule.trustEnds(s.subject))
	}
	return at
}

// Earliest returns the earlier of two times, of which zero means never.
func Earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// conditions brings the old conditions up to date. A condition's lastTransitionTime changes with its status alone.
func (s view) conditions(old []metav1.Condition) []metav1.Condition {
	conditions := append([]metav1.Condition(nil), old...)
	set := func(conditionType string, c state) {
		meta.SetStatusCondition(&conditions, metav1.Condition{
			Type: conditionType, Status: c.status, Reason: c.reason, Message: c.message,
			ObservedGeneration: s.resource.Generation, LastTransitionTime: *timestamp(s.now),
		})
	}
	ready := s.ready()
	set(v1alpha1.ConditionReady, ready)
	set(v1alpha1.ConditionCredentialAccepted, s.credentialAccepted())
	set(v1alpha1.ConditionSecretSynced, s.secretSynced())
	set(v1alpha1.ConditionEndpointAvailable, s.endpointAvailable())
	if len(s.entries) > 1 {
		set(v1alpha1.ConditionRedundant, s.redundant())
	} else {
		conditions = without(conditions, v1alpha1.ConditionRedundant)
	}
	for conditionType, present := range map[string]bool{
		v1alpha1.ConditionReconciling: ready.progress == reconciling,
		v1alpha1.ConditionStalled:     ready.progress == stalled,
	} {
		if present {
			set(conditionType, state{status: metav1.ConditionTrue, reason: ready.reason, message: ready.message})
		} else {
			conditions = without(conditions, conditionType)
		}
	}
	return conditions
}

// without takes a condition away. The library's function copies all of them even where there is none to take away.
func without(conditions []metav1.Condition, conditionType string) []metav1.Condition {
	return slices.DeleteFunc(conditions, func(c metav1.Condition) bool { return c.Type == conditionType })
}
