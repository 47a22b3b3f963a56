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
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

// The times of the schedule.
const (
	// DefaultCheckInterval stands in for a spec without one, which the schema's default does not let happen.
	DefaultCheckInterval = 5 * time.Minute

	// firstRetry is the wait after the first check without evidence. It doubles up to longestRetry.
	firstRetry   = 10 * time.Second
	longestRetry = 5 * time.Minute

	// shortestLatch is the shortest wait after a rejection. It doubles up to longestLatch, so that a wrong password cannot
	// lock an account out. The shared sandbox heals by itself, and is looked at more often.
	shortestLatch             = 5 * time.Minute
	longestLatch              = time.Hour
	longestLatchSharedSandbox = 15 * time.Minute

	// maxOpenRounds is how often both forms of a login are tried while one is rejected and the other meets no evidence.
	maxOpenRounds = 3

	// shortestWait is the least time between two evaluations for the sake of one record.
	shortestWait = time.Second

	// leastConfirmation is the least time after which a check confirms a rejection, whoever's it is.
	leastConfirmation = 2 * time.Second
	// shortestConfirmation and the two seconds beyond it are the wait before a first rejection is confirmed.
	shortestConfirmation = 3 * time.Second

	// shortestTrust is the least time for which an acceptance is vouched for without new evidence.
	shortestTrust = 15 * time.Minute
)

// schedule is what waits depend on.
type schedule struct {
	environment v1alpha1.Environment
	interval    time.Duration
	uid         types.UID
}

func scheduleOf(resource *v1alpha1.JupicoCredential) schedule {
	interval := resource.Spec.CheckInterval.Duration
	if interval <= 0 {
		interval = DefaultCheckInterval
	}
	return schedule{environment: resource.Spec.Environment, interval: interval, uid: resource.UID}
}

// advance enters a result into a record. now has whole seconds, as times in status do.
func (s schedule) advance(record *v1alpha1.CheckRecord, result outcome.Outcome, now time.Time) {
	var wait time.Duration
	switch result.Class() {
	case outcome.Acceptance:
		record.Verdict, record.Reason = v1alpha1.VerdictAccepted, string(result)
		record.ConsecutiveAccepted = min(record.ConsecutiveAccepted+1, 2)
		record.ConsecutiveRejected = 0
		record.LastAcceptedTime = timestamp(now)
		wait = s.early(s.interval)
	case outcome.Rejection:
		record.ConsecutiveRejected++
		if unconfirmed(record) {
			wait = s.confirmation()
			break
		}
		record.Verdict, record.Reason = v1alpha1.VerdictRejected, string(result)
		record.ConsecutiveAccepted = 0
		record.LastRejected = &v1alpha1.Rejection{Time: *timestamp(now), Reason: string(result)}
		wait = s.latch(record)
	case outcome.NoEvidence, outcome.Transient:
		switch record.Verdict {
		case v1alpha1.VerdictRejected:
			wait = s.latchOn(record)
		case v1alpha1.VerdictUnknown:
			record.Reason = string(result)
			wait = s.retry(record)
		case v1alpha1.VerdictAccepted:
			wait = s.retry(record)
		}
	}
	record.LastCheckTime = timestamp(now)
	record.NextCheckTime = timestamp(now.Add(wait))
}

// unconfirmed reports whether an accepted token met a single rejection, of which nothing is made before another.
func unconfirmed(record *v1alpha1.CheckRecord) bool {
	return record.Verdict == v1alpha1.VerdictAccepted && record.ConsecutiveRejected == 1
}

func (s schedule) confirmation() time.Duration {
	return shortestConfirmation + time.Duration(s.share()*3)*time.Second
}

// latch is the wait after a rejection: it never comes early, so that the number of attempts a day is bounded.
func (s schedule) latch(record *v1alpha1.CheckRecord) time.Duration {
	wait, longest := max(s.interval, shortestLatch), s.longestLatch()
	rejections := record.ConsecutiveRejected
	if record.LastAcceptedTime != nil {
		rejections-- // the first was only to be confirmed
	}
	for ; rejections > 1 && wait < longest; rejections-- {
		wait *= 2
	}
	return s.late(min(wait, longest))
}

// LongestLatch is the longest wait between two attempts at a rejected token.
func LongestLatch(resource *v1alpha1.JupicoCredential) time.Duration {
	return scheduleOf(resource).longestLatch()
}

func (s schedule) longestLatch() time.Duration {
	if s.environment == v1alpha1.EnvironmentSharedSandbox {
		return max(s.interval, longestLatchSharedSandbox)
	}
	return max(s.interval, longestLatch)
}

// latchOn is the wait of a rejected token after a check without evidence: it was sent, and so the wait goes on growing.
func (s schedule) latchOn(record *v1alpha1.CheckRecord) time.Duration {
	wait := s.latch(record)
	if record.LastCheckTime != nil && record.NextCheckTime != nil {
		wait = max(wait, 2*record.NextCheckTime.Sub(record.LastCheckTime.Time))
	}
	return min(wait, s.late(s.longestLatch()))
}

// retry is the wait after a check without evidence: twice the last one, if that was without evidence too.
func (s schedule) retry(record *v1alpha1.CheckRecord) time.Duration {
	wait := firstRetry
	if record.LastCheckTime != nil && record.NextCheckTime != nil && !lastCheckGaveEvidence(record) {
		last := record.NextCheckTime.Sub(record.LastCheckTime.Time)
		wait = max(wait, 2*time.Duration(float64(last)/(1-s.share()/10))) // as it was before early
	}
	return s.early(min(wait, s.interval, longestRetry))
}

func lastCheckGaveEvidence(record *v1alpha1.CheckRecord) bool {
	return record.LastCheckTime.Equal(record.LastAcceptedTime) ||
		record.LastRejected != nil && record.LastCheckTime.Equal(&record.LastRejected.Time)
}

// trustEnds is when an acceptance becomes stale without new evidence.
func (s schedule) trustEnds(record *v1alpha1.CheckRecord) time.Time {
	return record.LastAcceptedTime.Add(max(3*s.interval, shortestTrust))
}

// early takes 0 to 10 % off a wait, so that resources that began together part. The share is the resource's own, and so
// the same after a restart.
func (s schedule) early(wait time.Duration) time.Duration {
	return wait - time.Duration(s.share()*float64(wait)/10)
}

// late adds 0 to 10 % to a wait.
func (s schedule) late(wait time.Duration) time.Duration {
	return wait + time.Duration(s.share()*float64(wait)/10)
}

// moments is how many there are in a second at which checks are made. All that are due in a second would come at once,
// and more than there is room for would come again; but each alone would wake the process from its rest, which was
// measured to cost nearly as much as the check.
const moments = 2

// moment is when to make a check that a status tells of: within the whole second in which it is due.
func (s schedule) moment(due *metav1.Time) time.Time {
	if due == nil {
		return time.Time{}
	}
	_, part := math.Modf(s.share() * 1000) // other digits than those that spread the waits
	return due.Add(time.Duration(part*moments) * time.Second / moments)
}

// share is a number of the resource's own, from 0 to less than 1.
func (s schedule) share() float64 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(s.uid))
	return float64(h.Sum32()) / (1 << 32)
}

// longestWait is more than any wait that is planned. What is further off was planned by a clock that ran ahead.
func (s schedule) longestWait() time.Duration {
	return 2*max(s.interval, longestLatch) + longestRetry
}

func timestamp(t time.Time) *metav1.Time {
	return &metav1.Time{Time: t.Truncate(time.Second)}
}
