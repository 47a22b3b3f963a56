// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package resilience

import (
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/jupico/jupicotest"
)

// scenario is what users and Jupico do, one step after the other.
type scenario struct {
	name  string
	end   end
	steps []step
	// late are other ends, which are right if the operator was away when the target was to be made, or could not tell of
	// it in the status any more, and missed the step that follows.
	late []end
}

// end is the condition Ready of the resource "payments", and the names of all Secrets, sorted.
type end struct{ ready, secrets string }

// step is one thing that happens. Nobody waits for the operator while it does.
type step struct {
	do func(w *world)
	// ready is the condition Ready of the resource "payments" after it, when nothing disturbs the operator. It may be
	// empty.
	ready string
}

// to says what the step leads to.
func (s step) to(ready string) step {
	s.ready = ready
	return s
}

type change = func(*v1alpha1.JupicoCredential)

func does(do ...func(w *world)) step {
	return step{do: func(w *world) {
		for _, one := range do {
			one(w)
		}
	}}
}

// after is a step after which so much time passes that all that is planned becomes due.
func after(do ...func(w *world)) step {
	return does(append(do, func(w *world) { w.clock.advance(long) })...)
}

// withGap is a step after which the target may be missing once.
func withGap(do func(w *world)) step {
	return does(func(w *world) { w.consumer.allowGap() }, do)
}

// rename changes the name of the target.
func rename(to string) func(w *world) {
	return func(w *world) {
		w.consumer.follow(to)
		edit(func(r *v1alpha1.JupicoCredential) { r.Spec.Target.Name = to })(w)
	}
}

// begin makes the source and the resource.
func begin(changes ...change) func(w *world) {
	return func(w *world) {
		w.write("source", first.data())
		w.create("payments", changes...)
	}
}

func rotate(l login) func(w *world) { return func(w *world) { w.write("source", l.data()) } }

func edit(changes ...change) func(w *world) {
	return func(w *world) {
		w.edit("payments", func(r *v1alpha1.JupicoCredential) {
			for _, change := range changes {
				change(r)
			}
		})
	}
}

// handOver gives the target to a resource.
func handOver(resource string) func(w *world) {
	return func(w *world) {
		w.change("target", func(s *corev1.Secret) {
			metav1.SetMetaDataAnnotation(&s.ObjectMeta, v1alpha1.AnnotationManagedBy, resource)
		})
	}
}

func deleteSecret(name string) func(w *world) {
	return func(w *world) { w.must(client.IgnoreNotFound(admin.Delete(ctx, w.secretNamed(name)))) }
}

func foreignTarget(w *world) { w.write("target", map[string][]byte{"theirs": []byte("kept")}) }

func withStandby(w *world) { w.write("standby", map[string][]byte{"apiKey": []byte(apiKey)}) }

func standby(r *v1alpha1.JupicoCredential) {
	r.Spec.Credentials = append(r.Spec.Credentials, v1alpha1.Credential{
		Name: "standby", APIKeySecretRef: &v1alpha1.APIKeySecretReference{Name: "standby"},
	})
}

func orphan(r *v1alpha1.JupicoCredential) {
	r.Spec.Target.CreationPolicy = v1alpha1.CreationPolicyOrphan
}
func owner(r *v1alpha1.JupicoCredential) { r.Spec.Target.CreationPolicy = v1alpha1.CreationPolicyOwner }

func suspended(on bool) change { return func(r *v1alpha1.JupicoCredential) { r.Spec.Suspend = on } }

func shared(r *v1alpha1.JupicoCredential) { r.Spec.Environment = v1alpha1.EnvironmentSharedSandbox }

// template is that of the target: its type, one key, and the value of a label and an annotation.
func template(secretType, key, value string) change {
	return func(r *v1alpha1.JupicoCredential) {
		r.Spec.Target.Template = &v1alpha1.TargetTemplate{
			Type:        secretType,
			Labels:      map[string]v1alpha1.LabelValue{"team": v1alpha1.LabelValue(value), value: "x"},
			Annotations: map[string]v1alpha1.AnnotationValue{"example.com/note": v1alpha1.AnnotationValue(value)},
			Data:        map[string]v1alpha1.DataTemplate{key: "A={{ .Authorization }}"},
		}
	}
}

func revoke(w *world)  { w.api.Revoke(first.username) }
func restore(w *world) { w.api.Restore(first.username) }

func breakAPI(w *world)  { w.api.Inject(jupicotest.Fault{Status: http.StatusServiceUnavailable}) }
func mendAPI(w *world)   { w.api.Clear() }
func resetAPI(w *world)  { w.api.Reset() }
func refillAPI(w *world) { w.api.open() }

func otherEndpoint(w *world) {
	w.edit("payments", func(r *v1alpha1.JupicoCredential) { r.Spec.Endpoint.URL = w.otherAPI.url })
}

// editAll changes source, template, entry and target in one moment.
func editAll(w *world) {
	rotate(second)(w)
	w.consumer.follow("renamed")
	edit(template("", "new.env", "new"), renameEntry, func(r *v1alpha1.JupicoCredential) {
		r.Spec.Target.Name = "renamed"
	})(w)
}

func tamper(w *world) { w.plant("target", "somebody") }

func createSecond(w *world) { w.create("second", template("", "second.env", "second")) }

func deleteResource(w *world) {
	w.must(client.IgnoreNotFound(admin.Delete(ctx, w.resourceNamed("payments"))))
}

func freezeTarget(w *world) { w.change("target", func(s *corev1.Secret) { s.Immutable = new(true) }) }

func renameEntry(r *v1alpha1.JupicoCredential) { r.Spec.Credentials[0].Name = "renamed-entry" }

func interval(r *v1alpha1.JupicoCredential) { r.Spec.CheckInterval.Duration = 10 * time.Minute }

const (
	usual       = "bystander source target"
	afterRename = "bystander renamed source"
	bothRemain  = "bystander renamed source target"

	accepted          = "True/Accepted"
	candidateRejected = "True/CandidateRejected"
	conflict          = "False/TargetConflict"

	otherType = "shop.example/login"
)

var (
	// neverReady: no status tells of a delivery, and the source is bad by now.
	neverReady = []end{{"False/Rejected", usual}, {"False/Rejected", "bystander source"}}
	// notTold: the last delivery was not made, or the status does not tell of it, and the source is bad by now.
	notTold = []end{{candidateRejected, usual}, {"False/CandidateRejected", usual}}
	// nothingLeft: the former target was never made.
	nothingLeft = []end{{accepted, afterRename}}
	// neverOwner: the second resource made the target.
	neverOwner = []end{{conflict, usual}}
)

// scenarios are those that RESILIENCE_SCENARIO names a part of, or all.
var scenarios = slices.DeleteFunc(slices.Clone(allScenarios), func(s scenario) bool {
	return !strings.Contains(s.name, os.Getenv("RESILIENCE_SCENARIO"))
})

var allScenarios = []scenario{
	{name: "a new resource", end: end{accepted, usual}, steps: []step{does(begin())}},
	{name: "a good rotation", end: end{accepted, usual}, steps: []step{does(begin()), does(rotate(second))}},
	{name: "a bad rotation", end: end{candidateRejected, usual}, late: neverReady, steps: []step{
		does(begin()), does(rotate(wrong)), after(),
	}},
	{name: "a good rotation and a bad one", end: end{candidateRejected, usual}, late: notTold, steps: []step{
		does(begin()), does(rotate(second)), does(rotate(wrong)).to(candidateRejected),
	}},
	{name: "a bad rotation that is put right", end: end{accepted, usual}, steps: []step{
		does(begin()), does(rotate(wrong)).to(candidateRejected), does(rotate(second)),
	}},
	{name: "a revocation that is taken back", end: end{accepted, usual}, steps: []step{
		does(begin()), after(revoke).to("False/Revoked"), after(restore),
	}},
	{name: "a sandbox that is reset and healed", end: end{accepted, usual}, steps: []step{
		does(begin(shared)), after(resetAPI).to("False/SandboxReset"), after(refillAPI),
	}},
	{name: "a failover and the way back", end: end{accepted, "bystander source standby target"}, steps: []step{
		does(withStandby, begin(standby)), after(revoke).to("True/FailedOver"), after(restore), after(),
	}},
	{name: "other keys and labels", end: end{accepted, usual}, steps: []step{
		does(begin(template("", "old.env", "old"))), does(edit(template("", "new.env", "new"))),
	}},
	{name: "another type", end: end{accepted, usual}, steps: []step{
		does(begin()), withGap(edit(template(otherType, "new.env", "new"))),
	}},
	{name: "another target", end: end{accepted, afterRename}, steps: []step{
		does(begin()), does(rename("renamed")),
	}},
	{name: "Orphan and Owner again", end: end{accepted, usual}, steps: []step{
		does(begin()), does(edit(orphan)), does(edit(owner)),
	}},
	{name: "a target that is deleted", end: end{accepted, usual}, steps: []step{
		does(begin()), withGap(deleteSecret("target")),
	}},
	{name: "a target that is tampered with", end: end{accepted, usual}, steps: []step{
		does(begin()), does(tamper),
	}},
	{name: "a target that is handed over and left", end: end{accepted, bothRemain}, steps: []step{
		does(foreignTarget, begin()).to(conflict), does(handOver("payments")).to(accepted), does(rename("renamed")),
	}},
	{name: "a suspension with a rotation in it", end: end{accepted, usual}, steps: []step{
		does(begin()), does(edit(suspended(true))), does(rotate(second)).to("True/Suspended"), does(edit(suspended(false))),
	}},
	{name: "another endpoint", end: end{accepted, usual}, steps: []step{does(begin()), does(otherEndpoint)}},
	{name: "spec and source at once", end: end{accepted, afterRename}, steps: []step{
		does(begin()), does(editAll),
	}},
	{name: "a conflict that is resolved", end: end{accepted, usual}, steps: []step{
		does(foreignTarget, begin()).to(conflict), does(deleteSecret("target")),
	}},
	{name: "two resources on one target", end: end{conflict, usual}, late: neverOwner, steps: []step{
		does(begin()), does(createSecond), does(handOver("second")),
	}},
	{name: "an outage", end: end{accepted, usual}, steps: []step{
		does(begin()), after(breakAPI).to("True/Stale"), after(mendAPI),
	}},
	{name: "a source that is deleted and comes back", end: end{accepted, usual}, steps: []step{
		does(begin()), after(deleteSecret("source")).to("True/SourceNotFound"), does(rotate(second)),
	}},
	{name: "an orphan that is left", late: nothingLeft, end: end{accepted, bothRemain}, steps: []step{
		does(begin(orphan)), does(rename("renamed")),
	}},
	{name: "a resource that is made again", end: end{accepted, usual}, steps: []step{
		does(begin(template("", "old.env", "old"))), does(deleteResource), does(begin(template("", "new.env", "new"))),
	}},
	{name: "an immutable target", end: end{accepted, usual}, steps: []step{
		does(begin()), does(freezeTarget), withGap(rotate(second)),
	}},
	{name: "another name of the entry and another interval", end: end{accepted, usual}, steps: []step{
		does(begin()), does(edit(renameEntry)), does(edit(interval)),
	}},
}
