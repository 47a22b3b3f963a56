// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package decision

import (
	"cmp"
	"time"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
)

// history is what the status says, brought in line with the facts.
type history struct {
	// entries tell of the candidates. One has the verdict Unknown and no times until it was checked.
	entries []v1alpha1.CredentialStatus
	// deployed is nil before the first delivery. Its record is the active entry's, if there is one.
	deployed *v1alpha1.DeployedStatus
	// active is the index of the entry whose candidate makes the deployed token, or deployedToken when none does.
	active int
}

func (h *history) isDiverged() bool { return h.deployed != nil && h.active == deployedToken }

func (h *history) isDeployedRejected() bool {
	return h.deployed != nil && h.deployed.Verdict == v1alpha1.VerdictRejected
}

// recall reads the status in the light of the facts. Where a source or the endpoint was edited, the candidate begins
// anew, and the record goes on with the deployed token; when the edit is taken back, the two join again.
func recall(f *facts) history {
	h := history{active: deployedToken}
	for i := range f.Resource.Spec.Credentials {
		h.entries = append(h.entries, f.recallEntry(i))
	}
	h.recallDeployed(f)
	if f.Resource.Spec.Suspend {
		return h // no source was read
	}
	if h.isDiverged() {
		h.rejoin(f)
	}
	for i := range h.entries {
		entry, version, problem := &h.entries[i], f.Sources[i].Version, f.Sources[i].Problem
		switch {
		case problem == "":
			entry.Source = &version
		case problem != v1alpha1.ReasonSourceUnreadable, f.candidates[i].recordName == "": // otherwise what was known stays
			entry.Source, entry.Reason, entry.NextCheckTime = nil, problem, nil
		}
		h.hold(i, f.candidates[i].heldUntil)
	}
	return h
}

func (f *facts) recallEntry(i int) v1alpha1.CredentialStatus {
	entry := v1alpha1.CredentialStatus{}
	entry.Verdict = v1alpha1.VerdictUnknown
	if recorded := recordOf(&f.status, f.candidates[i].recordName); recorded != nil {
		entry = *recorded.DeepCopy()
	}
	entry.Name = f.Resource.Spec.Credentials[i].Name // only a label, which may have been changed
	return entry
}

func (h *history) recallDeployed(f *facts) {
	if f.status.Deployed == nil {
		return
	}
	h.deployed = f.status.Deployed.DeepCopy()
	if h.deployed.LastCheckTime != nil {
		return
	}
	if recorded := recordOf(&f.status, h.deployed.Credential); recorded != nil {
		h.deployed.CheckRecord = recorded.DeepCopy().CheckRecord
		for i := range h.entries {
			if f.candidates[i].recordName == h.deployed.Credential {
				h.active = i
				h.deployed.Credential = h.entries[i].Name
				return
			}
		}
	}
	// No entry's record is about the deployed token, so it has one of its own. LastCheckTime tells later rounds so.
	h.deployed.LastCheckTime = cmp.Or(h.deployed.LastCheckTime, h.deployed.LastAcceptedTime, timestamp(f.Now))
}

// rejoin finds the entry whose candidate makes the deployed token again.
func (h *history) rejoin(f *facts) {
	for i := range h.entries {
		entry, candidate := &h.entries[i], &f.candidates[i]
		switch {
		case !candidate.makesDeployed:
			continue
		case candidate.recordName == "":
			entry.CheckRecord = h.deployed.CheckRecord
			entry.TokenForm = candidate.deployedForm
			if entry.Verdict == v1alpha1.VerdictRejected { // the edit asks for another try at once
				entry.NextCheckTime, entry.ConsecutiveRejected = nil, 0
			}
		case entry.TokenForm == candidate.deployedForm:
			if h.deployed.LastCheckTime != nil && entry.LastCheckTime.Before(h.deployed.LastCheckTime) {
				entry.CheckRecord = h.deployed.CheckRecord // the later one holds
			}
			h.deployed.CheckRecord = entry.CheckRecord
		default: // of another form, and so another token
			continue
		}
		h.active, h.deployed.Endpoint, h.deployed.Credential = i, f.Endpoint.URL, entry.Name
		return
	}
}

// hold plans the check of an edit that came after too many others.
func (h *history) hold(i int, until time.Time) {
	if until.IsZero() {
		return
	}
	entry := &h.entries[i]
	entry.NextCheckTime = timestamp(until)
	if entry.Verdict == v1alpha1.VerdictUnknown {
		entry.Reason = v1alpha1.ReasonEditedTooOften
	}
	if i == h.active {
		h.deployed.CheckRecord = entry.CheckRecord
	}
}

// deploy records that an entry's candidate is in the target now.
func (h *history) deploy(entry int, endpoint string) {
	if h.deployed == nil {
		h.deployed = &v1alpha1.DeployedStatus{}
	}
	h.deployed.Credential, h.deployed.Endpoint = h.entries[entry].Name, endpoint
	h.deployed.CheckRecord = h.entries[entry].CheckRecord
	h.active = entry
}

func recordOf(status *v1alpha1.JupicoCredentialStatus, name string) *v1alpha1.CredentialStatus {
	for i := range status.Credentials {
		if status.Credentials[i].Name == name && name != "" {
			return &status.Credentials[i]
		}
	}
	return nil
}

// rank is the place of the deployed token among the entries: that of the entry that it came from, or the last when that
// entry has left the spec.
func (h *history) rank() int {
	if h.active != deployedToken {
		return h.active
	}
	for i := range h.entries {
		if h.entries[i].Name == h.deployed.Credential {
			return i
		}
	}
	return len(h.entries)
}

// focus is the entry that the conditions speak of: the active one, the one that the deployed token came from or, before
// there is any of these, the one that is closest to a delivery.
func (h *history) focus(f *facts) int {
	if h.deployed != nil {
		if rank := h.rank(); rank < len(h.entries) {
			return rank
		}
	}
	best := 0
	for i := range h.entries {
		if h.readiness(i, f) > h.readiness(best, f) {
			best = i
		}
	}
	return best
}

// readiness says how close a candidate is to a delivery.
func (h *history) readiness(i int, f *facts) int {
	if f.Sources[i].Problem != "" {
		return 0
	}
	return map[v1alpha1.Verdict]int{
		v1alpha1.VerdictRejected: 1, v1alpha1.VerdictUnknown: 2, v1alpha1.VerdictAccepted: 3,
	}[h.entries[i].Verdict]
}
