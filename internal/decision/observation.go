// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package decision decides, without any I/O of its own, what becomes of a resource. A round observes, plans the
// checks that are due, asks, decides what their answers mean, delivers, and concludes the new status. State is what
// the process knows of a resource from one round to the next.
//
// Each entry of spec.credentials has a candidate: the credential that its source holds now, at the spec's endpoint. The
// deployed token is what the target holds. Usually it is the token of one of the candidates, whose entry is then called
// active. After an edit of the source or the endpoint it diverges from the candidates, until a candidate was accepted
// and written.
package decision

import (
	"time"

	"k8s.io/apimachinery/pkg/util/resourceversion"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/credential"
	"github.com/jupico-operator/jupico-operator/internal/jupico/endpoint"
	"github.com/jupico-operator/jupico-operator/internal/render"
)

// Observation is what is known before a round asks anything.
type Observation struct {
	// Resource as it was read, with the status of the last round. It is not changed.
	Resource *v1alpha1.JupicoCredential
	// Now is when the observation was made.
	Now time.Time

	// Endpoint that the spec asks for, with a canonical URL.
	Endpoint endpoint.Endpoint
	// CA is where the endpoint's certificates come from. Zero when they do not come from a ConfigMap.
	CA CA
	// Sources of the entries of spec.credentials, in order.
	Sources [v1alpha1.MaxCredentials]Source

	// Target is nil when it does not exist.
	Target *ObservedTarget
	// FormerTargets are the other Secrets of the namespace that are marked as this resource's, by name.
	FormerTargets []string
	// TargetProblem says why the target could not be observed. Else empty.
	TargetProblem string
	// TemplateProblem says what is wrong with the templates of the spec. Else empty.
	TemplateProblem string
}

// ObservedTarget is what is known of the target without its values.
type ObservedTarget struct {
	Version v1alpha1.SourceStatus
	// ManagedBy names the resource that the Secret belongs to. Empty when it belongs to none.
	ManagedBy string
	// Mark says which part of the Secret is the operator's. Zero when there is none, or an earlier version wrote it.
	Mark render.Mark
}

func (t *ObservedTarget) isManagedBy(resource *v1alpha1.JupicoCredential) bool {
	return t.ManagedBy == resource.Name && !t.Mark.IsCopy(resource.Spec.Target.Name)
}

// Source is what an entry of spec.credentials is read from.
type Source struct {
	// Version identifies the bytes. Zero when there are none.
	Version v1alpha1.SourceStatus
	// Credential that the bytes make. Zero when there is a problem.
	Credential credential.Credential
	// Problem is the reason why there is no candidate: SourceNotFound, SourceUnreadable, SourceKeyMissing, InvalidSource.
	// Else empty.
	Problem string
	// Detail is a sentence about the problem, with no value of the source in it.
	Detail string
	// Warnings are sentences about what was cut off the bytes.
	Warnings []string
	ReadBackoff
}

// CA is a ConfigMap with the certificates of an endpoint's authorities.
type CA struct {
	// Version of the ConfigMap. Zero when it was not read.
	Version v1alpha1.SourceStatus
	PEM     string
	// Problem is a clause that says why there are no certificates. Else empty.
	Problem string
	// IsMissing: the ConfigMap does not exist.
	IsMissing bool
	ReadBackoff
}

// ReadBackoff spaces out attempts to read an object that could not be read. The zero value means that it was read.
type ReadBackoff struct {
	failures int
	// RetryAt is when to read again. Zero when the last read succeeded.
	RetryAt time.Time
}

// The waits between two attempts to read an object.
const (
	shortestReadBackoff = time.Second
	longestReadBackoff  = time.Minute
)

// Next returns the backoff after one more attempt that failed.
func (b ReadBackoff) Next(now time.Time) ReadBackoff {
	wait := doubled(shortestReadBackoff, longestReadBackoff, b.failures)
	return ReadBackoff{failures: b.failures + 1, RetryAt: now.Add(wait)}
}

// Waits reports whether it is too early for the next attempt.
func (b ReadBackoff) Waits(now time.Time) bool {
	return now.Before(b.RetryAt) && b.RetryAt.Sub(now) <= longestReadBackoff // else the clock went back
}

// isOlder compares two resourceVersions. One that cannot be compared is not older.
func isOlder(version, than string) bool {
	order, err := resourceversion.CompareResourceVersion(version, than)
	return err == nil && order < 0
}

// isLeftAlone reports whether the target is as the status describes it. A watch that is behind our own write shows an
// older version.
func isLeftAlone(status *v1alpha1.TargetStatus, observed *ObservedTarget, name string) bool {
	if status == nil || observed == nil || status.Name != name || observed.Version.UID != status.UID {
		return false
	}
	order, err := resourceversion.CompareResourceVersion(observed.Version.ResourceVersion, status.ResourceVersion)
	return err == nil && order <= 0
}

func versionOf(status *v1alpha1.TargetStatus) v1alpha1.SourceStatus {
	if status == nil {
		return v1alpha1.SourceStatus{}
	}
	return v1alpha1.SourceStatus{UID: status.UID, ResourceVersion: status.ResourceVersion}
}
