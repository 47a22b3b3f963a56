// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package decision

import (
	"context"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/check"
	"github.com/jupico-operator/jupico-operator/internal/jupico/endpoint"
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

// facts are an observation beside what the process knows.
type facts struct {
	Observation

	// next is what the process will know once the status of this round was written.
	next committed
	// status is the resource's, with a confirmed write of the target that it does not tell of yet.
	status v1alpha1.JupicoCredentialStatus
	// candidates of the entries of spec.credentials, in order.
	candidates [v1alpha1.MaxCredentials]candidateFacts
	// targetDrifted: the target exists no more, or may not be as it was last written or seen to be right.
	targetDrifted bool
	// requestedAt is when a check was requested that may be made now. Zero when none was.
	requestedAt time.Time
	// retryRequestAt is when a check that was requested too often may be made. Zero when none was.
	retryRequestAt time.Time
}

// candidateFacts are about an entry's candidate.
type candidateFacts struct {
	// candidate is nil when the source gives none.
	*candidate

	// recordName is the name under which status.credentials tells of this very candidate, which may be a former name of
	// the entry. Empty when it tells nothing.
	recordName string
	// record is what this process knows about that record. Zero when it did not make the last check.
	record record
	// editedAt is when the entry was edited to this candidate. Zero when it was not since the process began.
	editedAt time.Time
	// bothRejected: both forms of the login were Rejected since then.
	bothRejected bool
	// makesDeployed: the deployed token is one that this candidate makes too, in the form deployedForm (empty for an API
	// key).
	makesDeployed bool
	deployedForm  v1alpha1.TokenForm
	// heldUntil is when the candidate is tried, because too many edits came before it. Zero when it is not held.
	heldUntil time.Time
	// repeatsFirst: the first entry holds the same credential.
	repeatsFirst bool
}

// deployedToken stands, in place of an entry's index, for the deployed token that diverged from all candidates.
const deployedToken = -1

// checkResult is what came of a planned check.
type checkResult struct {
	check.Answer

	// entry is the index of the entry in spec.credentials, or deployedToken.
	entry int
	form  v1alpha1.TokenForm // empty for an API key
	// otherRejected: the other form was Rejected before, in the same round.
	otherRejected bool
	// bothRejected: both forms were Rejected.
	bothRejected bool
}

func (r *checkResult) isDeferred() bool { return !r.RetryAt.IsZero() }

func (r *checkResult) isAcceptance() bool {
	return !r.isDeferred() && r.Outcome.Class() == outcome.Acceptance
}

func (r *checkResult) isRejection() bool {
	return !r.isDeferred() && r.Outcome.Class() == outcome.Rejection
}

// factsOf puts an observation beside what the process knows.
func (s *State) factsOf(o Observation) *facts {
	f := &facts{Observation: o, next: s.committed, status: *o.Resource.Status.DeepCopy()}
	f.next.entries = slices.Clone(s.committed.entries)
	s.recallWrite(f)
	f.sanitize()
	f.targetDrifted = f.status.Deployed != nil && !isLeftAlone(f.status.Target, o.Target, o.Resource.Spec.Target.Name)
	for i := range o.Resource.Spec.Credentials {
		f.addCandidate(s, i)
	}
	if o.Resource.Spec.Suspend {
		return f
	}
	if value := CheckRequestOf(o.Resource); value != "" && value != f.status.LastHandledCheckRequest {
		f.requestedAt, f.retryRequestAt = s.sent.letThrough(value, o.Now)
	}
	return f
}

// recallWrite adds a confirmed write of the target to a status that does not tell of it yet. When the status names yet
// another target, somebody else wrote it, and the process does not know the deployed token any more.
func (s *State) recallWrite(f *facts) {
	told := versionOf(f.status.Target)
	switch {
	case s.write != nil && told == s.write.replaced:
		f.status.Deployed, f.status.Target = s.write.deployed.DeepCopy(), s.write.target.DeepCopy()
		f.next.deployed = s.write.proof
	case s.write != nil && told == versionOf(s.write.target):
		f.next.deployed = s.write.proof // the status was written, and the answer lost
	case s.write != nil || told != s.committed.targetVersion:
		f.next.deployed = nil
	}
}

func (f *facts) addCandidate(s *State, i int) {
	source, about, name := &f.Sources[i], &f.candidates[i], f.Resource.Spec.Credentials[i].Name
	switch {
	case f.Resource.Spec.Suspend:
		about.recordName = name // no source was read
		return
	case source.Problem == v1alpha1.ReasonSourceUnreadable && !f.isDeployedFrom(name) && !f.isSpecEdited():
		about.recordName = name // which is still about the same bytes and endpoint, as far as is known
		return
	case source.Problem != "":
		return
	}
	about.candidate = &candidate{credential: source.Credential, endpoint: f.Endpoint, lacksCA: f.CA.Problem != ""}
	about.recordName = f.findRecord(i)
	isEdited := about.recordName == "" && f.status.ObservedGeneration > 0 // a new resource edits nothing
	known := s.sent.noteCandidate(name, about.candidate, isEdited, f.Now)
	about.editedAt, about.bothRejected = known.at, known.bothRejected
	about.repeatsFirst = i > 0 && f.candidates[0].equal(about.candidate)
}

func (f *facts) isDeployedFrom(name string) bool {
	return f.status.Deployed != nil && f.status.Deployed.Credential == name
}

// findRecord returns the name under which the status is about a candidate: the entry's own, or a former one. It adds
// what the process knows of that record. What it does not know, only an unchanged source and spec tell.
func (f *facts) findRecord(i int) string {
	name, about := f.Resource.Spec.Credentials[i].Name, &f.candidates[i]
	if known := f.next.entry(name).record; f.isRecord(name, known) {
		if !known.candidate.equal(about.candidate) {
			return ""
		}
		about.record = *known
		return name
	}
	for _, former := range f.next.entries {
		known := former.record
		if f.isRecord(former.name, known) && !f.hasEntry(former.name) && known.candidate.equal(about.candidate) {
			about.record = *known
			return former.name
		}
	}
	status := recordOf(&f.status, name)
	if status != nil && status.Source != nil && *status.Source == f.Sources[i].Version &&
		f.status.ObservedGeneration == f.Resource.Generation {
		return name
	}
	return ""
}

// isRecord reports whether the status has the record of a name that this process knows about.
func (f *facts) isRecord(name string, known *record) bool {
	status := recordOf(&f.status, name)
	return known != nil && status != nil && status.Source != nil && *status.Source == known.source &&
		f.status.ObservedGeneration == known.generation
}

func (f *facts) hasEntry(name string) bool {
	return slices.ContainsFunc(f.Resource.Spec.Credentials, func(entry v1alpha1.Credential) bool {
		return entry.Name == name
	})
}

// recallToken reads the deployed token back from the target after a restart, when no candidate makes it any more. What
// somebody else put there is never taken for it.
func (f *facts) recallToken(ctx context.Context, calls Calls) error {
	deployed, target := f.status.Deployed, f.status.Target
	if f.next.deployed != nil || deployed == nil || target == nil || f.Resource.Spec.Suspend {
		return nil
	}
	isActive := slices.ContainsFunc(f.candidates[:], func(c candidateFacts) bool {
		return c.recordName == deployed.Credential
	})
	at, isKnown := f.deployedEndpoint()
	if deployed.LastCheckTime == nil && isActive || !isKnown {
		return nil
	}
	token, version, err := calls.ReadToken(ctx, target.Name)
	if err != nil {
		return err
	}
	if version == versionOf(target) && !token.IsZero() {
		f.next.deployed = &Proof{Token: token, Endpoint: at, Entry: deployed.Credential}
	}
	return nil
}

// deployedEndpoint returns the endpoint that the status names for the deployed token, as far as its certificates are
// still known. Another environment's is never one, whatever a status says.
func (f *facts) deployedEndpoint() (endpoint.Endpoint, bool) {
	if url := f.status.Deployed.Endpoint; url != f.Endpoint.URL {
		return endpoint.Endpoint{URL: url}, url == EnvironmentURL(f.Resource.Spec.Environment)
	}
	return f.Endpoint, f.CA.Problem == ""
}

// compareWithDeployed finds the candidates that make the deployed token.
func (f *facts) compareWithDeployed() {
	deployed := f.next.deployed
	var maker *Proof // of the entry that the token came from, if that makes it still, or else of another
	for i := range f.candidates {
		about := &f.candidates[i]
		form, isMade := deployed.form(about.candidate)
		if !isMade {
			continue
		}
		about.makesDeployed = true
		if about.credential.IsLogin() {
			about.deployedForm = v1alpha1.TokenForm(form)
		}
		name := f.Resource.Spec.Credentials[i].Name
		if maker == nil || name == deployed.Entry {
			made := *deployed
			made.Entry, made.Environment, made.Credential = name, f.Resource.Spec.Environment, about.credential
			maker = &made
		}
	}
	if maker != nil {
		f.next.deployed = maker
	}
}

// mayBeWritten reports whether a candidate's token may be put into a target that does not hold it: this process saw it
// accepted just now, shortly after the endpoint had refused a random token.
func (f *facts) mayBeWritten(entry int) bool { return !f.mayBeWrittenUntil(entry).IsZero() }

// mayBeWrittenUntil is when that ends. Zero when the token may not be written.
func (f *facts) mayBeWrittenUntil(entry int) time.Time {
	proven := f.provenOf(entry)
	if proven == nil || proven.controlledAt.After(f.Now) || f.Now.Sub(proven.controlledAt) > longestProofAge {
		return time.Time{}
	}
	return proven.controlledAt.Add(longestProofAge)
}

func (f *facts) isDeployedKnown() bool { return f.next.deployed != nil }

// isLogin reports whether an entry's candidate is a username and a password, which make tokens in two forms.
func (f *facts) isLogin(i int) bool {
	return f.candidates[i].candidate != nil && f.candidates[i].credential.IsLogin()
}

// isCheckRequested reports whether a check was requested that may be made now.
func (f *facts) isCheckRequested() bool { return !f.requestedAt.IsZero() }

// isSpecEdited reports whether the spec was edited since the last round.
func (f *facts) isSpecEdited() bool { return f.Resource.Generation != f.status.ObservedGeneration }

// wasSuspended reports whether the resource was suspended until now. What is checked is the same after that.
func (f *facts) wasSuspended() bool {
	ready := meta.FindStatusCondition(f.status.Conditions, v1alpha1.ConditionReady)
	return ready != nil && ready.Reason == v1alpha1.ReasonSuspended
}

// targetLagsSpec reports whether the target was not yet brought to what the spec now asks for.
func (f *facts) targetLagsSpec() bool {
	return f.status.Target == nil || f.status.Target.ObservedGeneration != f.Resource.Generation
}

// lastWriteFailed reports whether the target could not be written the last time, or the write did not last. The
// target then may be as the status describes it, and yet not as it should be.
func (f *facts) lastWriteFailed() bool {
	synced := meta.FindStatusCondition(f.status.Conditions, v1alpha1.ConditionSecretSynced)
	return synced != nil && slices.Contains([]string{
		v1alpha1.ReasonTargetWriteFailed, v1alpha1.ReasonTargetContested, v1alpha1.ReasonTargetConflict,
		v1alpha1.ReasonTemplateError,
	}, synced.Reason)
}

// CheckRequestOf returns the value of the annotation that requests a check, as status repeats it. It is empty when
// there is none.
func CheckRequestOf(resource *v1alpha1.JupicoCredential) string {
	value := []rune(resource.Annotations[v1alpha1.AnnotationCheckRequestedAt])
	return string(value[:min(len(value), v1alpha1.MaxCheckRequestLength)])
}
