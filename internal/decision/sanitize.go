// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package decision

import (
	"cmp"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

// sanitize makes the status consistent, whoever edited it, and whatever clock it was written by.
func (f *facts) sanitize() {
	status := &f.status
	for i := range status.Conditions {
		at := &status.Conditions[i].LastTransitionTime
		*at = *cmp.Or(f.past(at), timestamp(f.Now))
	}
	status.LastCheckTime = f.past(status.LastCheckTime)
	if target := status.Target; target != nil {
		target.UpdatedTime = f.past(target.UpdatedTime)
	}
	if deployed := status.Deployed; deployed != nil {
		f.sanitizeRecord(&deployed.CheckRecord)
		if deployed.Credential == "" || deployed.Endpoint == "" {
			status.Deployed = nil
		}
	}
	for i := range status.Credentials {
		entry := &status.Credentials[i]
		f.sanitizeRecord(&entry.CheckRecord)
		if otherForm[entry.TokenForm] == "" {
			entry.TokenForm = ""
		}
	}
}

// past is when something happened. What is said to happen later than clocks differ happened now, and is checked anew.
func (f *facts) past(at *metav1.Time) *metav1.Time {
	switch {
	case at.IsZero():
		return nil
	case f.isAhead(at):
		return timestamp(f.Now)
	default:
		return at
	}
}

func (f *facts) isAhead(at *metav1.Time) bool { return !at.IsZero() && at.Sub(f.Now) > clockSkew }

func (f *facts) sanitizeRecord(record *v1alpha1.CheckRecord) {
	isAhead := f.isAhead(record.LastCheckTime) || f.isAhead(record.LastAcceptedTime)
	record.LastCheckTime, record.LastAcceptedTime = f.past(record.LastCheckTime), f.past(record.LastAcceptedTime)
	if rejected := record.LastRejected; rejected != nil {
		isAhead = isAhead || f.isAhead(&rejected.Time)
		rejected.Time = *cmp.Or(f.past(&rejected.Time), timestamp(f.Now))
		rejected.Reason = cmp.Or(rejected.Reason, string(outcome.Rejected))
	}
	sanitizeVerdict(record)
	sanitizeReason(record)
	f.sanitizeNextCheck(record, isAhead)
}

// sanitizeNextCheck makes a check due whose record has a time that is ahead, or that would be later than is planned in
// that state.
func (f *facts) sanitizeNextCheck(record *v1alpha1.CheckRecord, isAhead bool) {
	longest, next := scheduleOf(f.Resource).longestWait(record), record.NextCheckTime
	isTooFar := !next.IsZero() && next.Sub(f.Now) > longest+clockSkew
	switch {
	case next.IsZero():
		record.NextCheckTime = nil
	case isTooFar && !isAhead && f.isSpecEdited() && record.LastCheckTime != nil: // planned with a longer interval
		record.NextCheckTime = timestamp(record.LastCheckTime.Add(longest))
	case isTooFar, isAhead:
		record.NextCheckTime = timestamp(f.Now)
	}
	if isUnconfirmed(record) { // and no rejection confirms itself
		soonest := record.LastCheckTime.Add(leastConfirmation)
		if timeOf(record.NextCheckTime).Before(soonest) {
			record.NextCheckTime = timestamp(soonest)
		}
	}
}

// sanitizeVerdict makes a verdict fit its times and its counters.
func sanitizeVerdict(record *v1alpha1.CheckRecord) {
	record.ConsecutiveAccepted = min(max(record.ConsecutiveAccepted, 0), 2)
	record.ConsecutiveRejected = max(record.ConsecutiveRejected, 0)
	switch {
	case record.Verdict == v1alpha1.VerdictRejected:
	case record.Verdict != v1alpha1.VerdictAccepted || record.LastAcceptedTime == nil:
		record.Verdict = v1alpha1.VerdictUnknown
	case record.LastCheckTime == nil:
		record.ConsecutiveRejected = 0
	default:
		record.ConsecutiveRejected = min(record.ConsecutiveRejected, 1) // which is to be confirmed
	}
}

// sanitizeReason makes a reason fit its verdict. Without evidence, it may be a word of another version. That edits come
// too often is said anew while it holds.
func sanitizeReason(record *v1alpha1.CheckRecord) {
	isNoLetter := func(r rune) bool { return (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') }
	result := outcome.Outcome(record.Reason)
	isWord := !strings.ContainsFunc(record.Reason, isNoLetter) && result != v1alpha1.ReasonEditedTooOften
	switch class := result.Class(); {
	case record.Verdict == v1alpha1.VerdictAccepted && class != outcome.Acceptance:
		record.Reason = string(outcome.Accepted)
	case record.Verdict == v1alpha1.VerdictRejected && class != outcome.Rejection:
		record.Reason = string(outcome.Rejected)
	case record.Verdict == v1alpha1.VerdictUnknown && (result.IsEvidence() || !isWord):
		record.Reason = ""
	}
}
