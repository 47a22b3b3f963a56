// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package decision

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

// Event is something that a user should notice.
type Event struct {
	// Warning: something is wrong.
	Warning bool
	Reason  string
	// Credential is the name of the entry of spec.credentials that the event is about.
	Credential string
	Message    string
}

// events are what a user should notice of a round: what was cut off the sources, which conditions changed, and what was
// done to the target.
func (f *facts) events(target Target, written Event, after *v1alpha1.JupicoCredentialStatus) []Event {
	changes := transitions(&f.Resource.Status, after)
	isFailover := slices.ContainsFunc(changes, func(e Event) bool { return e.Reason == v1alpha1.ReasonFailedOver })
	isSaid := isFailover && written.Reason == v1alpha1.EventDelivered // by the event FailedOver
	if written.Reason != "" && !isSaid {
		changes = append(changes, written)
	}
	if len(target.Released) > 0 { // in one event, as events of one reason become one
		changes = append(changes, Event{Reason: v1alpha1.EventReleased, Message: strings.Join(target.Released, " ")})
	}
	credential := f.Resource.Spec.Credentials[0].Name
	if after.Deployed != nil {
		credential = after.Deployed.Credential
	}
	for i := range changes {
		changes[i].Credential = credential
	}
	return append(f.warnings(), changes...)
}

// writeEvent is about a write of the target that no status tells of yet: of this round, or of one whose status could
// not be written.
func (s *State) writeEvent(f *facts, v *verdict, target Target, after *v1alpha1.JupicoCredentialStatus) Event {
	written := f.targetEvent(v, target)
	if written.Reason == "" && s.write != nil && versionOf(s.write.target) == versionOf(after.Target) {
		return s.write.event
	}
	return written
}

// targetEvent says what was written to the target. It has no reason when nothing was, or only what an edit of the spec
// asks for.
func (f *facts) targetEvent(v *verdict, target Target) Event {
	before, name := f.Resource.Status.Target, f.Resource.Spec.Target.Name
	switch {
	case !target.IsWritten || !target.Holds || target.Altered != "" || f.isUneventful():
		return Event{}
	case target.Recreated != "":
		message := fmt.Sprintf("Secret %q %s. So it was deleted, and made anew.", name, target.Recreated)
		return Event{Reason: v1alpha1.EventRecreated, Message: message}
	case v.deploy || before == nil || before.Name != name:
		return Event{Reason: v1alpha1.EventDelivered, Message: f.deliveredMessage(v)}
	case f.Target == nil:
		message := fmt.Sprintf("Secret %q was gone, and was made again.", name)
		return Event{Reason: v1alpha1.EventRecreated, Message: message}
	case f.targetDrifted && target.Problem == "":
		message := fmt.Sprintf("Secret %q was put right, after %s had changed it.",
			name, describeManager(target.OtherManager))
		return Event{Reason: v1alpha1.EventRestored, Message: message}
	default:
		return Event{}
	}
}

// isUneventful reports whether a resource is new and nothing was wrong with it, so that its delivery is what anybody
// expects. An event for each would cost as much as another write.
func (f *facts) isUneventful() bool {
	ready := meta.FindStatusCondition(f.Resource.Status.Conditions, v1alpha1.ConditionReady)
	return f.Resource.Status.Deployed == nil && (ready == nil || ready.Status == metav1.ConditionUnknown)
}

// deliveredMessage is about the deployed token, which the target did not hold before.
func (f *facts) deliveredMessage(v *verdict) string {
	now, before := v.history.deployed.Credential, f.Resource.Status.Deployed
	message := fmt.Sprintf("Secret %q holds the token of credential %q, which Jupico accepted",
		f.Resource.Spec.Target.Name, now)
	switch {
	case before == nil:
		return message + "."
	case before.Credential != now:
		return fmt.Sprintf("%s. Before, that of %q was delivered.", message, before.Credential)
	case v.deploy:
		return message + ". Before, another token of that credential was delivered."
	default:
		return message + "."
	}
}

// describeManager names a field manager, if it is known.
func describeManager(manager string) string {
	if manager == "" {
		return "somebody"
	}
	return fmt.Sprintf("the field manager %q", manager)
}

// transitions compares two statuses. A first acceptance, and the states on the way to it, are not worth an event. If
// several conditions changed, only the most important one is reported. Beside it, so are a former target that remains,
// and what is wrong with the credential that a standby took over from.
func transitions(before, after *v1alpha1.JupicoCredentialStatus) []Event {
	var events []Event
	isTold := false
	for _, conditionType := range []string{
		v1alpha1.ConditionReady, v1alpha1.ConditionEndpointAvailable, v1alpha1.ConditionRedundant,
	} {
		was := meta.FindStatusCondition(before.Conditions, conditionType)
		is := meta.FindStatusCondition(after.Conditions, conditionType)
		if !isTold && hasChanged(was, is) && isWorthAnEvent(was, is, before.Deployed == nil) {
			events = append(events, transition(was, is))
			isTold = !isFailedOver(is)
		}
	}
	was := meta.FindStatusCondition(before.Conditions, v1alpha1.ConditionSecretSynced)
	is := meta.FindStatusCondition(after.Conditions, v1alpha1.ConditionSecretSynced)
	if hasChanged(was, is) && (hasFormerTarget(is) || hasFormerTarget(was) && is.Reason == v1alpha1.ReasonSynced) {
		events = append(events, transition(was, is))
	}
	return events
}

// isWorthAnEvent reports whether a user should notice that a condition changed. Where a delivery makes it well, such as
// the way back from a standby, the delivery is noticed instead.
func isWorthAnEvent(was, is *metav1.Condition, isFirst bool) bool {
	switch {
	case is.Status == metav1.ConditionUnknown:
		return false
	case !isWell(is):
		return true
	case isFirst, was == nil, was.Status == metav1.ConditionUnknown:
		return false
	default:
		return !isFailedOver(was) || is.Reason == v1alpha1.ReasonSuspended
	}
}

// transition is the event about a condition that changed.
func transition(was, is *metav1.Condition) Event {
	event := Event{Reason: is.Reason, Message: is.Message}
	switch {
	case !isWell(is):
		event.Warning = true
	case was != nil && !isWell(was):
		event.Reason = v1alpha1.EventRecovered
	}
	return event
}

func hasChanged(was, is *metav1.Condition) bool {
	return is != nil && (was == nil || was.Reason != is.Reason || was.Status != is.Status)
}

func isFailedOver(c *metav1.Condition) bool {
	return c.Reason == v1alpha1.ReasonFailedOver && c.Status == metav1.ConditionTrue
}

func hasFormerTarget(c *metav1.Condition) bool {
	return c != nil && c.Reason == v1alpha1.ReasonFormerTargetRemains
}

// isWell reports whether a condition says nothing that a user has to act on.
func isWell(c *metav1.Condition) bool {
	switch c.Reason {
	case v1alpha1.ReasonSuspended, v1alpha1.ReasonBothAccepted:
		return true
	case string(outcome.Accepted), string(outcome.LimitedPermissions), v1alpha1.ReasonAvailable, v1alpha1.ReasonSynced,
		v1alpha1.ReasonFailedOver:
		return c.Status == metav1.ConditionTrue
	default:
		return false
	}
}
