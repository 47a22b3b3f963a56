// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package decision

import (
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

// Transition is a change of state that is worth an event.
type Transition struct {
	// Warning: something is amiss. Else all is well again.
	Warning bool
	// Reason and Message are those of the condition.
	Reason, Message string
	// Credential is the name of the entry that is deployed or, before there is one, of the first.
	Credential string
}

// FindTransition compares two statuses. It returns nil when nothing changed that is worth an event, as on a first
// acceptance and in the states on the way to it.
func FindTransition(before, after *v1alpha1.JupicoCredentialStatus) *Transition {
	for _, conditionType := range []string{
		v1alpha1.ConditionReady, v1alpha1.ConditionEndpointAvailable, v1alpha1.ConditionRedundant,
	} {
		was := meta.FindStatusCondition(before.Conditions, conditionType)
		is := meta.FindStatusCondition(after.Conditions, conditionType)
		changed := is != nil && (was == nil || was.Reason != is.Reason || was.Status != is.Status)
		if !changed || is.Status == metav1.ConditionUnknown {
			continue
		}
		first := before.Deployed == nil || was == nil || was.Status == metav1.ConditionUnknown
		if isWell(is) && first {
			continue
		}
		return &Transition{Warning: !isWell(is), Reason: is.Reason, Message: is.Message, Credential: entryOf(after)}
	}
	return nil
}

func entryOf(status *v1alpha1.JupicoCredentialStatus) string {
	switch {
	case status.Deployed != nil:
		return status.Deployed.Credential
	case len(status.Credentials) > 0:
		return status.Credentials[0].Name
	default:
		return ""
	}
}

func isWell(c *metav1.Condition) bool {
	switch c.Reason {
	case v1alpha1.ReasonSuspended, v1alpha1.ReasonBothAccepted:
		return true
	case string(outcome.Accepted), string(outcome.LimitedPermissions), v1alpha1.ReasonAvailable:
		return c.Status == metav1.ConditionTrue
	default:
		return false
	}
}
