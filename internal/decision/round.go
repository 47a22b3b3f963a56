// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package decision

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/check"
	"github.com/jupico-operator/jupico-operator/internal/credential"
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

// Calls are what a round needs from outside: the time, Jupico's API, and the target.
type Calls struct {
	Now func() time.Time
	// Check sends a token to an endpoint, or answers for one that was sent for another resource. It may defer the check.
	Check func(ctx context.Context, request check.Request) check.Answer
	// ReadToken returns the token in the target of a name and the target's version, both zero when there is none.
	ReadToken func(ctx context.Context, target string) (credential.Token, v1alpha1.SourceStatus, error)
	// Deliver brings the target to what is asked for. An error means trouble with Kubernetes, and may come beside a
	// Target.
	Deliver func(ctx context.Context, delivery Delivery) (Target, error)
}

// Delivery is what the target is to be.
type Delivery struct {
	// Proof is the token that the target is to hold. Nil: the data stays as it is, and only labels, annotations and owners
	// follow the spec.
	Proof *Proof
	// NotAfter is the last moment at which the write may begin: after it, the token has to be proven again. Zero: there is
	// none, since the token is the one that was delivered before.
	NotAfter time.Time
	// AcceptedNow: the token was accepted by a check of this very round.
	AcceptedNow bool
	// Judged is the target as it was observed. Another version must not be written over.
	Judged *ObservedTarget
	// MayWrite is false while repairs come too often: then the target is only compared.
	MayWrite bool
	// FormerTargets are to be cleaned up once the target is as it should be.
	FormerTargets []string
}

// Target is what came of a Delivery.
type Target struct {
	// Problem is the reason why the target is not as it should be: TargetConflict, TemplateError, TargetWriteFailed,
	// TargetContested. Else empty.
	Problem string
	// Detail is a sentence about the problem.
	Detail string
	// NeedsUser: nothing will change before a user acts.
	NeedsUser bool
	// Holds: the target holds what it should, because it was written or already did.
	Holds bool
	// Status of the target. Nil when nothing new is known.
	Status *v1alpha1.TargetStatus
	// IsWritten: the API server confirmed a write.
	IsWritten bool
	// Differed: the target was not as it should be, and OtherManager is the field manager who changed it last, if known.
	Differed     bool
	OtherManager string
	// Recreated is a clause that says why the target was deleted and made anew. Else empty.
	Recreated string
	// Released are sentences about the former targets that were cleaned up.
	Released []string
	// Altered names the part of what was written that an admission policy changed. Else empty.
	Altered string
	// IsAdopted: the Secret existed before the operator wrote it, and is not deleted with the resource.
	IsAdopted bool
	// HasConflict: somebody else wrote the target or the resource since they were observed. The round must begin anew. If
	// that happens again and again, the other fields count.
	HasConflict bool
	// FormerRemains says which former target could not be cleaned up, and why. Else empty.
	FormerRemains string
	// RetryAt is when to try again. Zero when something must happen first.
	RetryAt time.Time
}

// Round is what a round came to. Nothing of it counts before State.Commit, but what it sent and wrote.
type Round struct {
	Status v1alpha1.JupicoCredentialStatus
	// IsSilent: there is nothing to say yet, and Status is to be left alone.
	IsSilent bool
	// HasConflict: somebody else wrote meanwhile, and Status is no good.
	HasConflict bool
	// RequeueAt is when to look again even if nothing happens. Zero means never.
	RequeueAt time.Time
	// Answers to the checks that were made.
	Answers []check.Answer
	// Events to record once the status is written.
	Events []Event

	next            committed
	write           *confirmedWrite
	targetConflicts int // in a row, up to this round
}

// Run runs one round. An error means trouble with Kubernetes, or a context that ended; everything else is an outcome. A
// round that comes beside an error is to be committed all the same.
func (s *State) Run(ctx context.Context, o Observation, calls Calls) (*Round, error) {
	s.observe(&o)
	f := s.factsOf(o)
	readErr := f.recallToken(ctx, calls)
	f.compareWithDeployed()
	s.sent.holdEdits(f)

	plan := newPlan(f)
	results := f.ask(ctx, plan, calls)
	if ctx.Err() != nil {
		return nil, ctx.Err() // what was answered then says nothing
	}
	s.sent.noteResults(f, results)
	f.Now = calls.Now()
	v := decide(f, results)
	if retryAt := v.silentUntil(); readErr == nil && !retryAt.IsZero() {
		return &Round{IsSilent: true, RequeueAt: retryAt}, nil
	}
	target, deliverErr := s.deliver(ctx, f, v, calls)
	round := s.conclude(f, v, target)
	return round, errors.Join(readErr, deliverErr)
}

// observe drops everything that is known about an earlier resource of the same name, and keeps what was read.
func (s *State) observe(o *Observation) {
	if s.uid != o.Resource.UID {
		*s = State{uid: o.Resource.UID}
		s.sent.resetLimiters()
	}
	if s.observedAt.Sub(o.Now) > clockSkew {
		s.sent.resetTimes(o.Now)
	}
	s.observedAt = o.Now.Round(0) // by the clock that may be set, without the monotonic one
	if o.Resource.Spec.Suspend {
		return // no source was read
	}
	if o.Endpoint == s.observed.endpoint {
		o.Endpoint = s.observed.endpoint // the same in memory, so that all tokens share the certificates
	}
	s.observed = observed{generation: o.Resource.Generation, endpoint: o.Endpoint, sources: o.Sources, ca: o.CA}
}

// ask makes the checks of a plan, and those that their outcomes ask for.
func (f *facts) ask(ctx context.Context, plan []plannedCheck, calls Calls) []checkResult {
	var results []checkResult
	for _, c := range plan {
		if c.entry == deployedToken && replacesDeployed(f, results) {
			continue
		}
		results = append(results, f.runCheck(ctx, c, calls))
		f.Now = calls.Now()
	}
	for _, c := range followUp(f, results) {
		results = append(results, f.runCheck(ctx, c, calls))
	}
	return results
}

// runCheck checks one form of a login's token or, if bothForms is set and the first is Rejected, the other one too.
func (f *facts) runCheck(ctx context.Context, c plannedCheck, calls Calls) checkResult {
	if c.entry == deployedToken {
		return f.sendCheck(ctx, c, f.next.deployed, f.next.deployed.checkedAt, calls)
	}
	first := f.checkForm(ctx, c, calls)
	if !first.isDeferred() && first.Outcome == outcome.Rejected && c.bothForms {
		c.form, c.forDelivery = otherForm[c.form], true
		c.urgent = true // the two forms are one check, which is not broken up
		return moreSpecific(first, f.checkForm(ctx, c, calls))
	}
	return first
}

func (f *facts) checkForm(ctx context.Context, c plannedCheck, calls Calls) checkResult {
	candidate := &f.candidates[c.entry]
	if f.CA.Problem != "" {
		answer := check.Answer{Result: outcome.Result{Outcome: outcome.CAInvalid, Detail: f.CA.Problem}}
		return checkResult{entry: c.entry, form: c.form, Answer: answer}
	}
	proof := &Proof{
		Token:       candidate.credential.Token(credential.Form(c.form)),
		Endpoint:    candidate.endpoint,
		Entry:       f.Resource.Spec.Credentials[c.entry].Name,
		Environment: f.Resource.Spec.Environment,
		Credential:  candidate.credential,
	}
	result := f.sendCheck(ctx, c, proof, candidate.record.checkedAt, calls)
	result.form = c.form
	if result.isAcceptance() {
		proof.controlledAt = result.ControlledAt
		f.next.entry(proof.Entry).proven = proof
	}
	return result
}

func (f *facts) sendCheck(
	ctx context.Context, c plannedCheck, proof *Proof, known time.Time, calls Calls,
) checkResult {
	request := check.Request{
		Endpoint: proof.Endpoint, Token: proof.Token, Credential: proof.Credential,
		Namespace: f.Resource.Namespace, IsAwaited: f.isAwaited(c.entry),
		NotBefore: c.notBefore, AcceptedAfter: known,
		LongestBackoff: scheduleOf(f.Resource).longestBackoff(), ForDelivery: c.forDelivery, Urgent: c.urgent,
	}
	if c.entry != deployedToken {
		request.Edited = f.candidates[c.entry].editedAt
	}
	return checkResult{entry: c.entry, Answer: calls.Check(ctx, request)}
}

// isAwaited reports whether somebody waits for a check: it was requested, or the resource is new or was changed, or its
// target was.
func (f *facts) isAwaited(entry int) bool {
	if entry != deployedToken {
		record := recordOf(&f.status, f.candidates[entry].recordName)
		if record == nil || record.Verdict == v1alpha1.VerdictUnknown {
			return true
		}
	}
	return f.isCheckRequested() || f.status.Deployed == nil || f.targetDrifted || f.isSpecEdited()
}

var otherForm = map[v1alpha1.TokenForm]v1alpha1.TokenForm{
	v1alpha1.TokenFormStandard:        v1alpha1.TokenFormTrailingNewline,
	v1alpha1.TokenFormTrailingNewline: v1alpha1.TokenFormStandard,
}

// deliver brings the target to what the verdict allows, and touches it only for that.
func (s *State) deliver(ctx context.Context, f *facts, v *verdict, calls Calls) (Target, error) {
	switch {
	case f.TargetProblem != "":
		return Target{Problem: v1alpha1.ReasonTargetWriteFailed, Detail: f.TargetProblem}, nil
	case f.Target != nil && !f.Target.isManagedBy(f.Resource):
		return targetConflict(f), nil
	}
	delivery, isNeeded := f.desiredTarget(v)
	target, err := Target{Holds: delivery.Proof != nil}, error(nil)
	if isNeeded {
		target, err = s.writeTarget(ctx, f, v, delivery, calls)
	}
	if f.TemplateProblem != "" && !f.Resource.Spec.Suspend && target.Problem == "" {
		target.Problem, target.NeedsUser = v1alpha1.ReasonTemplateError, true
		target.Detail = TemplateErrorDetail(f.TemplateProblem)
	}
	return s.sent.contested(f, target), err
}

// writeTarget makes a delivery, and bounds how often it puts right what somebody else changed, or an admission policy.
func (s *State) writeTarget(ctx context.Context, f *facts, v *verdict, delivery Delivery, calls Calls) (Target, error) {
	isFirstOfSpec := f.targetLagsSpec() && f.next.compared.generation != f.Resource.Generation
	isRepair, isAltered := !v.deploy && !isFirstOfSpec, s.sent.altered != ""
	if isAltered {
		delivery.MayWrite = isFirstOfSpec || !f.Now.Before(s.sent.alteredAt.Add(repairEvery))
	} else {
		delivery.MayWrite = !isRepair || s.sent.repairs.TokensAt(f.Now) >= 1
	}
	target, err := calls.Deliver(ctx, delivery)
	if isRepair && target.Differed && !isAltered {
		s.sent.otherManager = target.OtherManager
		s.sent.repairs.AllowN(f.Now, 1)
	}
	if target.IsWritten || target.Holds || target.Altered != "" {
		s.sent.altered, s.sent.alteredAt = target.Altered, f.Now
	}
	return target, err
}

// desiredTarget says what the target is to be, and whether anything has to be done for it. It takes over the active
// candidate as the deployed token when that is not known.
func (f *facts) desiredTarget(v *verdict) (Delivery, bool) {
	delivery := Delivery{Judged: f.Target}
	if f.Resource.Spec.Suspend || f.TemplateProblem != "" || !v.deploy && !v.keep {
		return delivery, f.Target != nil && f.mayDiffer() &&
			f.next.compared != compared{f.Target.Version, f.Resource.Generation}
	}
	delivery.AcceptedNow, delivery.FormerTargets = v.acceptedNow, f.FormerTargets
	if v.deploy {
		delivery.Proof, delivery.NotAfter = f.provenOf(v.entry), f.mayBeWrittenUntil(v.entry)
		return delivery, true
	}
	if f.next.deployed == nil {
		f.next.deployed, delivery.NotAfter = f.provenOf(v.entry), f.mayBeWrittenUntil(v.entry)
	}
	delivery.Proof = f.next.deployed
	return delivery, f.mayDiffer() || f.lastWriteFailed() || f.isUnmarked(v) || len(f.FormerTargets) > 0
}

// mayDiffer reports whether the target may not be what the spec asks for.
func (f *facts) mayDiffer() bool { return f.targetDrifted || f.targetLagsSpec() }

// isUnmarked reports whether the target is to get its mark: with a check, so that not all do at the start of an
// upgrade.
func (f *facts) isUnmarked(v *verdict) bool {
	return f.Target != nil && f.Target.Mark.Secret == "" && v.checked
}

// provenOf returns an entry's token as this process saw it accepted. It is nil when the candidate is another one.
func (f *facts) provenOf(entry int) *Proof {
	proven := f.next.entry(f.Resource.Spec.Credentials[entry].Name).proven
	if _, isSame := proven.form(f.candidates[entry].candidate); !isSame {
		return nil
	}
	return proven
}

// TemplateErrorDetail is the sentence about a template that cannot be rendered. The problem holds nothing that was
// rendered.
func TemplateErrorDetail(problem string) string {
	return fmt.Sprintf("In spec.target.template.data, %s. Correct it; the operator acts on that at once.", problem)
}

func targetConflict(f *facts) Target {
	name := f.Resource.Spec.Target.Name
	conflict := Target{Problem: v1alpha1.ReasonTargetConflict, NeedsUser: true}
	handOver := fmt.Sprintf("kubectl annotate secret %s -n %s --overwrite %s=%s",
		name, f.Resource.Namespace, v1alpha1.AnnotationManagedBy, f.Resource.Name)
	switch {
	case f.Target.Mark.IsCopy(name):
		conflict.Detail = fmt.Sprintf("Secret %q is a copy of another target, so it is left alone. Delete it, choose "+
			"another spec.target.name, or hand it over with: %s %s-", name, handOver, v1alpha1.AnnotationOwnership)
	case f.Target.ManagedBy == "" && f.Target.Version == versionOf(f.status.Target): // nobody wrote it since
		conflict.Problem = v1alpha1.ReasonTargetContested
		conflict.Detail = fmt.Sprintf("An admission policy removed the annotation %s from Secret %q as the operator wrote "+
			"it, so it is left alone. Exempt the Secret from that policy, and then hand it over with: %s",
			v1alpha1.AnnotationManagedBy, name, handOver)
	case f.Target.ManagedBy != "":
		conflict.Detail = fmt.Sprintf("Secret %q belongs to the JupicoCredential %q, so it is left alone. A Secret can "+
			"serve one resource only: choose another spec.target.name, or delete the other resource first.",
			name, f.Target.ManagedBy)
	default:
		conflict.Detail = fmt.Sprintf("Secret %q exists and does not belong to this resource, so it is left alone. Delete "+
			"it, choose another spec.target.name, or hand it over with: %s", name, handOver)
	}
	return conflict
}

// contested says so when an admission policy changed what was written, and while repairs come too often: whatever was
// just repaired will not stay so.
func (s *sent) contested(f *facts, target Target) Target {
	name := f.Resource.Spec.Target.Name
	switch {
	case target.Problem != "":
		return target
	case s.altered != "" && target.Differed:
		target.RetryAt = s.alteredAt.Add(repairEvery)
		target.Detail = fmt.Sprintf("An admission policy changed %s of Secret %q as the operator wrote it. Exempt the "+
			"Secret from that policy, or choose another spec.target.name. The operator tries again once a minute.",
			s.altered, name)
	case s.repairs.TokensAt(f.Now) >= 1:
		return target
	default:
		target.RetryAt = refilledAt(s.repairs, f.Now)
		target.Detail = fmt.Sprintf("Secret %q was put right %d times in a row, and %s keeps changing it. Stop that, or "+
			"choose another spec.target.name. The operator now puts it right once a minute.", name, repairsInARow,
			describeManager(s.otherManager))
	}
	target.Problem, target.NeedsUser = v1alpha1.ReasonTargetContested, true
	return target
}
