// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package decision

import (
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
)

// conclude makes the new status, says when to look again, and notes what the process knows once the status is written.
// The order matters: the conditions are made from what is said of the target, and the events from the conditions.
func (s *State) conclude(f *facts, v *verdict, target Target) *Round {
	h := &v.history
	if v.deploy && target.Holds {
		h.deploy(v.entry, f.Endpoint.URL)
		f.next.deployed = f.provenOf(v.entry)
	}
	v.noteDeployedSource()
	status := f.status
	if !f.Resource.Spec.Suspend {
		status.Credentials = h.entries
		status.Deployed = withoutRepetition(h)
	}
	status.NextCheckTime = nextCheck(f, h)
	f.setTarget(&status, target)
	if v.checked {
		status.LastCheckTime = timestamp(f.Now)
	}
	v.acknowledge(&status)
	view := newView(v, target, &status)
	status.Conditions = view.conditions()

	round := &Round{Status: status, targetConflicts: s.countConflicts(target, h)}
	round.HasConflict = target.HasConflict && round.targetConflicts <= maxConflicts
	round.RequeueAt = earliest(view.wakeUp(v.nextRound(status.NextCheckTime)), target.RetryAt)
	round.RequeueAt = earliest(round.RequeueAt, f.retryAt())
	for i := range v.results {
		if !v.results[i].isDeferred() {
			round.Answers = append(round.Answers, v.results[i].Answer)
		}
	}
	if target.Status != nil {
		f.next.compared = compared{versionOf(target.Status), f.Resource.Generation}
	}
	f.noteChecks(v, &status)
	round.next = f.next
	written := s.writeEvent(f, v, target, &status)
	round.Events = f.events(target, written, &status)
	if target.IsWritten && versionOf(status.Target) == versionOf(target.Status) {
		round.write = &confirmedWrite{
			proof: f.next.deployed, replaced: versionOf(f.Resource.Status.Target), deployed: h.deployed, target: status.Target,
			event: written,
		}
	}
	return round
}

// countConflicts returns how many writes of the target in a row ended in a conflict. A round that wrote none, or only
// kept the last known good, ends no such row.
func (s *State) countConflicts(target Target, h *history) int {
	switch {
	case target.HasConflict:
		return s.targetConflicts + 1
	case target.IsWritten, target.Holds && !h.isDiverged():
		return 0
	default:
		return s.targetConflicts
	}
}

// noteDeployedSource says which bytes are in the target. A status of an earlier version does not say it; it is added
// with the next check, so that an upgrade does not write all statuses at once.
func (v *verdict) noteDeployedSource() {
	h := &v.history
	if h.active == deployedToken || h.entries[h.active].Source == nil {
		return
	}
	if h.deployed.Source != nil || v.checked || v.deploy {
		h.deployed.Source = h.entries[h.active].Source
	}
}

// setTarget says in the status what became of the target. If only labels, annotations and owners were compared, the
// data does not follow the spec yet, and a target that drifted is still wrong.
func (f *facts) setTarget(status *v1alpha1.JupicoCredentialStatus, target Target) {
	before, after := f.status.Target, target.Status
	isSame := before != nil && after != nil && before.Name == after.Name
	switch {
	case after == nil, !target.Holds && (f.targetDrifted || !isSame):
		return
	case target.Holds:
		after.ObservedGeneration = f.Resource.Generation
	default:
		after.ObservedGeneration = before.ObservedGeneration
	}
	if isSame && after.UpdatedTime == nil {
		after.UpdatedTime = before.UpdatedTime
	}
	status.Target = after
}

// retryAt is when something that could not be read, or was requested too often, is to be tried again.
func (f *facts) retryAt() time.Time {
	at := earliest(f.retryRequestAt, f.CA.RetryAt)
	for i := range f.Sources {
		at = earliest(at, f.Sources[i].RetryAt)
	}
	return at
}

func (f *facts) warnings() []Event {
	var warnings []Event
	for i := range f.Resource.Spec.Credentials {
		if f.candidates[i].candidate == nil || f.candidates[i].recordName != "" {
			continue // nothing new
		}
		for _, message := range f.Sources[i].Warnings {
			warnings = append(warnings, Event{
				Warning: true, Reason: v1alpha1.EventSourceCleaned, Message: message,
				Credential: f.Resource.Spec.Credentials[i].Name,
			})
		}
	}
	return warnings
}

// noteChecks notes what the records of the status are about.
func (f *facts) noteChecks(v *verdict, status *v1alpha1.JupicoCredentialStatus) {
	began := map[int]time.Time{}
	for i := range v.results {
		if r := &v.results[i]; !r.isDeferred() {
			began[r.entry] = r.Began
		}
	}
	if at, isChecked := began[v.history.active]; isChecked && f.next.deployed != nil {
		deployed := *f.next.deployed
		deployed.checkedAt = at
		f.next.deployed = &deployed
	}
	for i := range f.next.entries { // what was not read now is still about the same
		if known := &f.next.entries[i]; f.isRecord(known.name, known.record) {
			moved := *known.record
			moved.generation = status.ObservedGeneration
			known.record = &moved
		}
	}
	if !f.Resource.Spec.Suspend {
		f.noteCandidates(began, status.ObservedGeneration)
	}
}

// noteCandidates notes what the entries were seen to hold, and when each was checked.
func (f *facts) noteCandidates(began map[int]time.Time, generation int64) {
	for i := range f.Resource.Spec.Credentials {
		about, known := &f.candidates[i], f.next.entry(f.Resource.Spec.Credentials[i].Name)
		if about.candidate == nil {
			continue
		}
		record := about.record
		record.source, record.generation, record.candidate = f.Sources[i].Version, generation, about.candidate
		if at, isChecked := began[i]; isChecked {
			record.checkedAt, record.checkedFor = at, f.Resource.Generation
		}
		known.record = &record
	}
	f.next.retain(f.Resource.Spec.Credentials)
}

// acknowledge records what was done of what was asked for. What had to be deferred is not done, and so not forgotten.
func (v *verdict) acknowledge(status *v1alpha1.JupicoCredentialStatus) {
	resource, isDone := v.facts.Resource, v.retryAt.IsZero()
	if isDone || v.facts.status.ObservedGeneration < 0 {
		status.ObservedGeneration = resource.Generation
	}
	if isDone && v.facts.isCheckRequested() {
		status.LastHandledCheckRequest = CheckRequestOf(resource)
	}
}

// nextRound is when the next check can be made. One that is due and was deferred is not tried before its time.
func (v *verdict) nextRound(next *metav1.Time) time.Time {
	if v.retryAt.IsZero() || next != nil && next.After(v.facts.Now) && next.Time.Before(v.retryAt) {
		return timeOf(next)
	}
	return v.retryAt
}

// withoutRepetition leaves out of the deployed token's record what the active entry's says too.
func withoutRepetition(h *history) *v1alpha1.DeployedStatus {
	if h.deployed == nil || h.active == deployedToken {
		return h.deployed
	}
	deployed := *h.deployed
	deployed.CheckRecord = v1alpha1.CheckRecord{
		Verdict:          h.deployed.Verdict,
		Reason:           h.deployed.Reason,
		LastAcceptedTime: h.deployed.LastAcceptedTime,
	}
	return &deployed
}

// nextCheck is the nearest of all. While the resource is suspended, there is none.
func nextCheck(f *facts, h *history) *metav1.Time {
	if f.Resource.Spec.Suspend {
		return nil
	}
	var next time.Time
	for i := range h.entries {
		if f.Sources[i].Problem == "" {
			next = earliest(next, timeOf(h.entries[i].NextCheckTime))
		}
	}
	if h.isDiverged() && f.isDeployedKnown() {
		next = earliest(next, timeOf(h.deployed.NextCheckTime))
	}
	if next.IsZero() {
		return nil
	}
	return timestamp(next)
}

// wakeUp is the nearest of the next check, the moment at which the acceptance becomes stale, and the end of the wait
// for a standby.
func (w *view) wakeUp(next time.Time) time.Time {
	var at time.Time
	if !w.Resource.Spec.Suspend {
		at = earliest(next, w.failoverHeldUntil(&w.history))
	}
	if w.subject.Verdict == v1alpha1.VerdictAccepted && !w.isStale(w.subject) {
		at = earliest(at, scheduleOf(w.Resource).staleAt(w.subject))
	}
	return at
}

// conditions brings the old conditions up to date, and leaves out those that are not the operator's. A condition's
// lastTransitionTime changes with its status alone.
func (w *view) conditions() []metav1.Condition {
	var conditions []metav1.Condition
	set := func(conditionType string, c condition) {
		if last := w.previous(conditionType); last != nil {
			conditions = append(conditions, *last)
		}
		meta.SetStatusCondition(&conditions, metav1.Condition{
			Type: conditionType, Status: c.status, Reason: c.reason, Message: c.message,
			ObservedGeneration: w.Resource.Generation, LastTransitionTime: *timestamp(w.Now),
		})
	}
	ready := w.ready()
	if !w.retryRequestAt.IsZero() {
		ready.message += " " + w.requestedTooOftenMessage()
	}
	set(v1alpha1.ConditionReady, ready)
	set(v1alpha1.ConditionCredentialAccepted, w.credentialAccepted())
	set(v1alpha1.ConditionSecretSynced, w.secretSynced())
	set(v1alpha1.ConditionEndpointAvailable, w.endpointAvailable())
	if len(w.history.entries) > 1 {
		set(v1alpha1.ConditionRedundant, w.redundant())
	}
	progress := condition{status: metav1.ConditionTrue, reason: ready.reason, message: ready.message}
	switch ready.progress {
	case reconciling:
		set(v1alpha1.ConditionReconciling, progress)
	case stalled:
		set(v1alpha1.ConditionStalled, progress)
	case settled:
	}
	return conditions
}
