// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package decision

import (
	"hash/fnv"
	"math"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/check"
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

// The times of the schedule.
const (
	// defaultCheckInterval applies to a spec without an interval, which the schema's default rules out.
	defaultCheckInterval = 5 * time.Minute

	// firstRetry is the wait after the first check without evidence. It doubles up to longestRetry.
	firstRetry   = 10 * time.Second
	longestRetry = 5 * time.Minute

	// maxOpenRounds is how often both forms of a login are tried while one is rejected and the other meets no evidence.
	maxOpenRounds = 3

	// shortestWait is the least time between two rounds for the sake of one record.
	shortestWait = time.Second

	// leastConfirmation is the least time after which a check confirms a rejection, even one made for another resource.
	leastConfirmation = 2 * time.Second
	// shortestConfirmation, and up to two seconds more, is the wait before a first rejection is confirmed.
	shortestConfirmation = 3 * time.Second

	// shortestTrust is the least time for which an acceptance counts without new evidence.
	shortestTrust = 15 * time.Minute

	// longestProofAge is how long before a token is written the endpoint must have refused a random one.
	longestProofAge = time.Minute

	// clockSkew is how far apart two clocks may be. What is recorded further ahead is of a clock that was wrong.
	clockSkew = time.Minute

	// longestMassHold bounds how long a standby waits in a mass rejection, which mostly passes by itself.
	longestMassHold = 5 * time.Minute
)

// schedule is what waits depend on.
type schedule struct {
	environment environment
	interval    time.Duration
	uid         types.UID
}

func scheduleOf(resource *v1alpha1.JupicoCredential) schedule {
	interval := resource.Spec.CheckInterval.Duration
	if interval <= 0 {
		interval = defaultCheckInterval
	}
	return schedule{environment: environmentOf(resource.Spec.Environment), interval: interval, uid: resource.UID}
}

// advance enters a result into a record. now has whole seconds, as times in status do.
func (s schedule) advance(record *v1alpha1.CheckRecord, answer *check.Answer, now time.Time) {
	var wait time.Duration
	switch answer.Outcome.Class() {
	case outcome.Acceptance:
		record.Verdict, record.Reason = v1alpha1.VerdictAccepted, string(answer.Outcome)
		record.ConsecutiveAccepted = min(record.ConsecutiveAccepted+1, 2)
		record.ConsecutiveRejected = 0
		record.LastAcceptedTime = timestamp(now)
		wait = s.jitterDown(s.interval)
	case outcome.Rejection:
		countRejection(record)
		record.ConsecutiveAccepted = 0
		if isUnconfirmed(record) {
			wait = shortestConfirmation + time.Duration(s.spread()*3)*time.Second
			break
		}
		record.Verdict, record.Reason = v1alpha1.VerdictRejected, string(answer.Outcome)
		record.LastRejected = &v1alpha1.Rejection{
			Time: *timestamp(now), Reason: string(answer.Outcome), MassRejection: answer.MassRejection,
		}
		wait = s.backoff(record)
	case outcome.NoEvidence, outcome.Transient:
		switch record.Verdict {
		case v1alpha1.VerdictRejected:
			wait = s.nextBackoff(record)
		case v1alpha1.VerdictUnknown:
			record.Reason = string(answer.Outcome)
			wait = s.retry(record)
		case v1alpha1.VerdictAccepted:
			wait = s.retry(record)
		}
	}
	record.LastCheckTime = timestamp(now)
	record.NextCheckTime = timestamp(now.Add(wait))
}

// enter advances a record. A check request starts the waits after rejections from the beginning.
func (s schedule) enter(record *v1alpha1.CheckRecord, answer *check.Answer, resetBackoff bool, now time.Time) {
	if resetBackoff && record.Verdict != v1alpha1.VerdictAccepted {
		record.ConsecutiveRejected = 0
	}
	at := now
	if answer.Outcome.IsEvidence() {
		at = answer.Ended // of a shared request, so that equal tokens are checked together the next time too
	}
	s.advance(record, answer, at.Truncate(time.Second))
	notBefore := now.Add(max(min(answer.RetryAfter, longestRetry), shortestWait))
	if answer.BackoffUntil.After(notBefore) && record.Verdict == v1alpha1.VerdictRejected { // and so confirmed
		notBefore = answer.BackoffUntil
	}
	if record.NextCheckTime.Time.Before(notBefore) {
		record.NextCheckTime = timestamp(notBefore.Add(time.Second - 1)) // rounded up: never too early
	}
}

// applyForms enters a check of up to two forms. When one form was Rejected and the other met no evidence, there is no
// verdict yet, but a rejection that counts, so that both are tried again soon, and then less and less often.
func (s schedule) applyForms(record *v1alpha1.CheckRecord, result *checkResult, resetBackoff bool, now time.Time) {
	s.enter(record, &result.Answer, resetBackoff, now)
	if result.otherRejected && !result.Outcome.IsEvidence() && record.Verdict != v1alpha1.VerdictAccepted {
		countRejection(record)
		if record.ConsecutiveRejected > 1 {
			record.NextCheckTime = timestamp(now.Truncate(time.Second).Add(s.backoff(record)))
		}
	}
}

func countRejection(record *v1alpha1.CheckRecord) {
	record.ConsecutiveRejected = min(record.ConsecutiveRejected, math.MaxInt32-1) + 1
}

// isUnconfirmed reports whether an accepted token met a single rejection, which has no consequence before another.
func isUnconfirmed(record *v1alpha1.CheckRecord) bool {
	return record.Verdict == v1alpha1.VerdictAccepted && record.ConsecutiveRejected == 1
}

// backoff is the wait after a rejection. It is never cut short, so that the number of attempts a day is bounded.
func (s schedule) backoff(record *v1alpha1.CheckRecord) time.Duration {
	rejections := int(record.ConsecutiveRejected)
	if record.LastAcceptedTime != nil {
		rejections-- // the first one was only to be confirmed
	}
	return s.jitterUp(doubled(max(s.interval, check.ShortestBackoff), s.longestBackoff(), rejections-1))
}

func (s schedule) longestBackoff() time.Duration {
	return max(s.interval, s.environment.longestBackoff)
}

// nextBackoff is the wait of a rejected token after a check without evidence: it was sent, so the wait goes on growing.
func (s schedule) nextBackoff(record *v1alpha1.CheckRecord) time.Duration {
	wait := s.backoff(record)
	if record.LastCheckTime != nil && record.NextCheckTime != nil {
		wait = max(wait, 2*record.NextCheckTime.Sub(record.LastCheckTime.Time))
	}
	return min(wait, s.jitterUp(s.longestBackoff()))
}

// retry is the wait after a check without evidence: twice the last one, if that was without evidence too.
func (s schedule) retry(record *v1alpha1.CheckRecord) time.Duration {
	wait := firstRetry
	if record.LastCheckTime != nil && record.NextCheckTime != nil && !lastCheckGaveEvidence(record) {
		last := record.NextCheckTime.Sub(record.LastCheckTime.Time)
		wait = max(wait, 2*time.Duration(float64(last)/(1-s.spread()/10))) // before its jitter
	}
	return s.jitterDown(min(wait, s.interval, longestRetry))
}

// longestWait is the longest wait that is planned in the state that a record tells of. A longer one is of a clock that
// ran ahead, or of another interval.
func (s schedule) longestWait(record *v1alpha1.CheckRecord) time.Duration {
	longest := longestRetry // no evidence, a rejection that is to be confirmed, or no check yet
	switch {
	case record.Verdict == v1alpha1.VerdictRejected,
		record.Verdict == v1alpha1.VerdictUnknown && record.ConsecutiveRejected > 0:
		longest = s.jitterUp(s.longestBackoff())
	case record.Verdict == v1alpha1.VerdictAccepted && lastCheckGaveEvidence(record):
		longest = s.interval
	}
	return longest + time.Second // times in status have whole seconds, and are never too early
}

func lastCheckGaveEvidence(record *v1alpha1.CheckRecord) bool {
	return record.LastCheckTime.Equal(record.LastAcceptedTime) ||
		record.LastRejected != nil && record.LastCheckTime.Equal(&record.LastRejected.Time)
}

// staleAt is when an acceptance becomes stale without new evidence.
func (s schedule) staleAt(record *v1alpha1.CheckRecord) time.Time {
	return record.LastAcceptedTime.Add(max(3*s.interval, shortestTrust))
}

// jitterDown takes 0 to 10 % off a wait, so that resources that began together spread out.
func (s schedule) jitterDown(wait time.Duration) time.Duration {
	return wait - time.Duration(s.spread()*float64(wait)/10)
}

// jitterUp adds 0 to 10 % to a wait.
func (s schedule) jitterUp(wait time.Duration) time.Duration {
	return wait + time.Duration(s.spread()*float64(wait)/10)
}

// spread is a number from 0 to less than 1. It follows from the resource's uid, so that it is the same after a restart.
func (s schedule) spread() float64 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(s.uid))
	return float64(h.Sum32()) / (1 << 32)
}

// doubled is a wait that doubles with each failure, from the shortest to the longest.
func doubled(shortest, longest time.Duration, failures int) time.Duration {
	wait := shortest
	for ; failures > 0 && wait < longest; failures-- {
		wait *= 2
	}
	return min(wait, longest)
}

func timestamp(t time.Time) *metav1.Time {
	return &metav1.Time{Time: t.Truncate(time.Second)}
}

func timeOf(t *metav1.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.Time
}

// earliest returns the earlier of two times, of which zero means never.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
