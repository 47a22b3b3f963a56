// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package decision

import (
	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

// history is what the status says, brought in line with the facts.
type history struct {
	// entries tell of the candidates. One has the verdict Unknown and no times until it was checked.
	entries []v1alpha1.CredentialStatus
	// deployed is nil before the first delivery. Its record is the active entry's, if there is one.
	deployed *v1alpha1.DeployedStatus
	// active is the index of the entry whose candidate the deployed token is. Deployed when it is none's.
	active int
}

func (h *history) parted() bool { return h.deployed != nil && h.active == Deployed }

// recall reads the status in the light of the facts: where a source or the endpoint was edited, the candidate begins
// anew, and the record goes on with the deployed token; when the edit is taken back, they meet again.
func recall(f Facts) history {
	h := history{active: Deployed}
	for i := range f.Resource.Spec.Credentials {
		h.entries = append(h.entries, f.recallEntry(i))
	}
	h.recallDeployed(f)
	if f.Resource.Spec.Suspend {
		return h // nothing was looked at
	}
	if h.parted() {
		h.meet(f)
	}
	for i := range h.entries {
		entry, source := &h.entries[i], &f.Sources[i]
		entry.Source = source.Status
		if source.Problem != "" {
			entry.Reason = source.Problem
			entry.NextCheckTime = nil
		}
	}
	return h
}

// recordName is the name under which the status tells of an entry's candidate.
func (f Facts) recordName(entry int) string {
	if f.Resource.Spec.Suspend {
		return f.Resource.Spec.Credentials[entry].Name
	}
	return f.Sources[entry].Record
}

func (f Facts) recallEntry(i int) v1alpha1.CredentialStatus {
	entry := v1alpha1.CredentialStatus{}
	entry.Verdict = v1alpha1.VerdictUnknown
	if recorded := recordOf(&f.Resource.Status, f.recordName(i)); recorded != nil {
		entry = *recorded.DeepCopy()
		f.makeGood(&entry.CheckRecord)
	}
	entry.Name = f.Resource.Spec.Credentials[i].Name // which is but a label, and may have been changed
	return entry
}

func (h *history) recallDeployed(f Facts) {
	status := &f.Resource.Status
	if status.Deployed == nil {
		return
	}
	h.deployed = status.Deployed.DeepCopy()
	f.makeGood(&h.deployed.CheckRecord)
	recorded := recordOf(status, h.deployed.Credential)
	if h.deployed.LastCheckTime != nil || recorded == nil {
		return
	}
	h.deployed.CheckRecord = recorded.DeepCopy().CheckRecord
	f.makeGood(&h.deployed.CheckRecord)
	for i := range h.entries {
		if f.recordName(i) == h.deployed.Credential {
			h.active = i
		}
	}
}

// meet finds the entry whose source makes the deployed token again.
func (h *history) meet(f Facts) {
	for i := range h.entries {
		entry, source := &h.entries[i], &f.Sources[i]
		switch {
		case !source.MakesDeployed:
			continue
		case source.Record == "":
			entry.CheckRecord = h.deployed.CheckRecord
			entry.TokenForm = source.DeployedForm
			if entry.Verdict == v1alpha1.VerdictRejected { // the edit asks for another try at once
				entry.NextCheckTime, entry.ConsecutiveRejected = nil, 0
			}
		case entry.TokenForm == source.DeployedForm:
			if h.deployed.LastCheckTime != nil && entry.LastCheckTime.Before(h.deployed.LastCheckTime) {
				entry.CheckRecord = h.deployed.CheckRecord // the later one holds
			}
			h.deployed.CheckRecord = entry.CheckRecord
		default: // of another form, and so another token
			continue
		}
		h.active, h.deployed.Endpoint = i, f.Endpoint
		return
	}
}

// deploy notes that an entry's candidate is in the target now.
func (h *history) deploy(entry int, endpoint string) {
	h.deployed = &v1alpha1.DeployedStatus{Credential: h.entries[entry].Name, Endpoint: endpoint}
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

// makeGood sees to it that a record holds together, whoever edited the status, and whatever clock it was written by.
func (f Facts) makeGood(record *v1alpha1.CheckRecord) {
	if accepted := record.LastAcceptedTime; accepted != nil && accepted.After(f.Now) {
		record.LastAcceptedTime = timestamp(f.Now)
	}
	if next := record.NextCheckTime; next != nil && next.Sub(f.Now) > scheduleOf(f.Resource).longestWait() {
		record.NextCheckTime = timestamp(f.Now)
	}
	isAccepted := record.Verdict == v1alpha1.VerdictAccepted && record.LastAcceptedTime != nil
	isRejected := record.Verdict == v1alpha1.VerdictRejected && record.Reason != ""
	if !isAccepted && !isRejected {
		record.Verdict = v1alpha1.VerdictUnknown
	}
	if isAccepted && record.Reason == "" {
		record.Reason = string(outcome.Accepted)
	}
}

// rank is the place of the deployed token among the entries: that of the entry that it came from, or the last when that
// has left the spec.
func (h *history) rank() int {
	if h.active != Deployed {
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
// there is any of these, the best.
func (h *history) focus(sources *[v1alpha1.MaxCredentials]Source) int {
	if h.deployed != nil {
		if rank := h.rank(); rank < len(h.entries) {
			return rank
		}
	}
	best := 0
	for i := range h.entries {
		if h.promise(i, sources) > h.promise(best, sources) {
			best = i
		}
	}
	return best
}

// promise tells how far a candidate is on the way to a delivery.
func (h *history) promise(i int, sources *[v1alpha1.MaxCredentials]Source) int {
	switch {
	case sources[i].Problem != "":
		return 0
	case h.entries[i].Verdict == v1alpha1.VerdictRejected:
		return 1
	case h.entries[i].Verdict == v1alpha1.VerdictUnknown:
		return 2
	default:
		return 3
	}
}
