// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package decision

import (
	"slices"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/types"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/credential"
	"github.com/jupico-operator/jupico-operator/internal/jupico/endpoint"
)

const (
	// repairsInARow is how often a target that somebody else changes is put right, and repairEvery how soon after that
	// another repair may follow.
	repairsInARow = 5
	repairEvery   = time.Minute

	// requestsInARow is how many checks in a row may be requested, or asked for by an edit of what is checked, and
	// requestEvery how soon after that another one may.
	requestsInARow = 10
	requestEvery   = time.Minute

	// The waits after a conflict with somebody else's write.
	shortestConflictBackoff = 50 * time.Millisecond
	longestConflictBackoff  = time.Minute
	// maxConflicts is how many writes of the target in a row may end in a conflict, in 13 s altogether, before the status
	// says so.
	maxConflicts = 8
)

// State is what the process knows of one resource beyond its status. A process begins with the zero State, from which
// everything still works. Run changes observed, observedAt and sent at once, and starts anew for another uid. Only
// Commit and Abandon change the rest.
type State struct {
	uid       types.UID
	committed committed
	// sent counts at once, whether or not a status tells of it.
	sent sent
	// write counts at once too: the last write of the target that the API server confirmed, while no status tells of it.
	write *confirmedWrite

	observed   observed
	observedAt time.Time // when the last round began
	// conflicts is how many rounds in a row came to nothing because somebody else had written.
	conflicts int
	// targetConflicts is how many writes of the target in a row ended in a conflict.
	targetConflicts int
}

// observed are the endpoint, sources and certificates as they were last read for a generation of the spec.
type observed struct {
	generation int64
	endpoint   endpoint.Endpoint
	sources    [v1alpha1.MaxCredentials]Source
	ca         CA
}

// committed is what the last status that this process wrote is about.
type committed struct {
	// statusVersion is the resourceVersion of that status. Empty before the first one.
	statusVersion string
	entries       []entry
	// deployed is the token in the target. Nil when it is not known.
	deployed *Proof
	// targetVersion is that of the target as the status names it.
	targetVersion v1alpha1.SourceStatus
	// compared is the target whose labels, annotations and owners were last compared with a spec.
	compared compared
}

// compared is a version of the target, and the generation of a spec.
type compared struct {
	target     v1alpha1.SourceStatus
	generation int64
}

// entry is what is known of one entry of spec.credentials.
type entry struct {
	name string
	// record says what the entry's record in the status is about. Nil when that is not known.
	record *record
	// proven is the candidate's token as the API accepted it.
	proven *Proof
}

// record ties an entry's record in a status to the candidate that it is about.
type record struct {
	// The status is the one meant only if it names the same source and generation.
	source     v1alpha1.SourceStatus
	generation int64
	candidate  *candidate
	// checkedAt is when the last check began that the record tells of, and checkedFor the generation of the spec that it
	// was made for.
	checkedAt  time.Time
	checkedFor int64
}

// candidate is a credential and where it is to be checked.
type candidate struct {
	credential credential.Credential
	endpoint   endpoint.Endpoint
	// lacksCA: the endpoint's certificates cannot be had, so it is not the endpoint that is trusted by the system's.
	lacksCA bool
}

func (c *candidate) equal(other *candidate) bool {
	return c != nil && other != nil && c.endpoint == other.endpoint && c.lacksCA == other.lacksCA &&
		c.credential.Equal(other.credential)
}

// Proof is a token, the endpoint that accepted it, and what it was made of.
type Proof struct {
	Token    credential.Token
	Endpoint endpoint.Endpoint
	// Entry of spec.credentials.
	Entry string
	// Environment and Credential are zero when the token was read back from the target.
	Environment v1alpha1.Environment
	Credential  credential.Credential

	// checkedAt is when the last check of the token began that the status tells of.
	checkedAt time.Time
	// controlledAt is when, before the token was accepted, the endpoint refused a random one.
	controlledAt time.Time
}

// form returns the form in which a candidate makes the same token at the same endpoint.
func (p *Proof) form(c *candidate) (credential.Form, bool) {
	if p == nil || c == nil || c.lacksCA || p.Endpoint != c.endpoint {
		return "", false
	}
	for _, form := range []credential.Form{credential.Standard, credential.TrailingNewline} {
		if c.credential.Token(form).Equal(p.Token) {
			return form, true
		}
	}
	return "", false
}

// sent is what went out for a resource, and what bounds it.
type sent struct {
	edits []edit
	// request is the last check request that was let through, and when.
	request struct {
		value string
		at    time.Time
	}
	requests *rate.Limiter // of check requests, and of edits that the API does not accept
	repairs  *rate.Limiter // of the target
	// otherManager is the field manager whose change was put right last.
	otherManager string
	// altered names what an admission policy changed of the last write, at alteredAt. Empty when it changed nothing.
	altered   string
	alteredAt time.Time
}

// edit is the candidate that an entry was last seen with, and since when. A rejection of an earlier check does not
// count for it.
type edit struct {
	entry     string
	candidate *candidate
	at        time.Time // zero: it was not edited since the process began
	// bothRejected: both forms of the login were Rejected since then, so that one is enough to try again.
	bothRejected bool
	// isTried: it was checked since then, or was no edit.
	isTried bool
}

// confirmedWrite is a write of the target that the API server confirmed.
type confirmedWrite struct {
	proof *Proof
	// replaced is the version of the target that the status named before.
	replaced v1alpha1.SourceStatus
	// deployed and target are what the status is to say.
	deployed *v1alpha1.DeployedStatus
	target   *v1alpha1.TargetStatus
	// event about the write, to be recorded with that status.
	event Event
}

// IsCacheBehind reports whether a resource that was read is older than the last status that this process wrote, or than
// somebody else's write that this process met. It then has to be read from the API server itself.
func (s *State) IsCacheBehind(resource *v1alpha1.JupicoCredential) bool {
	return s.conflicts > 0 || s.uid == resource.UID && isOlder(resource.ResourceVersion, s.committed.statusVersion)
}

// IsRestored reports whether a resource that the API server itself returned is older than one that was seen before: the
// cluster's state was restored from a backup, and nothing that this process knows can be trusted.
func (s *State) IsRestored(live, cached *v1alpha1.JupicoCredential) bool {
	return live.UID == cached.UID && isOlder(live.ResourceVersion, cached.ResourceVersion) ||
		live.UID == s.uid && isOlder(live.ResourceVersion, s.committed.statusVersion)
}

// Observed returns the sources and the certificates as they were last read, if the spec still asks for the same.
func (s *State) Observed(resource *v1alpha1.JupicoCredential) ([v1alpha1.MaxCredentials]Source, CA) {
	if s.uid != resource.UID || s.observed.generation != resource.Generation {
		return [v1alpha1.MaxCredentials]Source{}, CA{}
	}
	return s.observed.sources, s.observed.ca
}

// Commit makes a round's findings what the process knows, once its status was written. version is the resource's
// version after that.
func (s *State) Commit(r *Round, version string) {
	s.committed = r.next
	s.committed.statusVersion = version
	s.committed.targetVersion = versionOf(r.Status.Target)
	s.write = nil
	s.conflicts, s.targetConflicts = 0, r.targetConflicts
	s.sent.edits = slices.DeleteFunc(s.sent.edits, func(e edit) bool {
		return !slices.ContainsFunc(r.next.entries, func(known entry) bool { return known.name == e.entry })
	})
}

// Abandon drops a round whose status was not written, and returns how long to wait before the next one. isUnknown says
// that nobody knows whether it was written: then only what a status itself says is believed.
func (s *State) Abandon(r *Round, isUnknown bool) time.Duration {
	if r.write != nil {
		s.write = r.write
	}
	if isUnknown {
		for i := range s.committed.entries {
			s.committed.entries[i].record = nil
		}
	}
	s.conflicts++
	s.targetConflicts = r.targetConflicts
	return doubled(shortestConflictBackoff, longestConflictBackoff, s.conflicts-1)
}

// entry returns what is known of an entry, which may be nothing yet. It is valid until the next entry is added.
func (c *committed) entry(name string) *entry {
	for i := range c.entries {
		if c.entries[i].name == name {
			return &c.entries[i]
		}
	}
	c.entries = append(c.entries, entry{name: name})
	return &c.entries[len(c.entries)-1]
}

// retain keeps what is known of the entries of a spec, and drops the others.
func (c *committed) retain(credentials []v1alpha1.Credential) {
	entries := make([]entry, len(credentials))
	for i := range credentials {
		entries[i] = *c.entry(credentials[i].Name)
	}
	c.entries = entries
}

// noteCandidate returns since when an entry has had its candidate. isEdited says that the status is about another one.
// The result is valid until the next entry is added.
func (s *sent) noteCandidate(name string, c *candidate, isEdited bool, now time.Time) *edit {
	for i := range s.edits {
		known := &s.edits[i]
		switch {
		case known.entry != name:
			continue
		case !known.candidate.equal(c):
			*known = edit{entry: name, candidate: c, at: now}
		}
		return known
	}
	if !isEdited {
		now = time.Time{}
	}
	s.edits = append(s.edits, edit{entry: name, candidate: c, at: now, isTried: !isEdited})
	return &s.edits[len(s.edits)-1]
}

// holdEdits lets an edit of what is checked be tried at once, unless too many came in a row. Then the last one is tried
// when the next check may be requested, or is. One that is taken back needs no try.
func (s *sent) holdEdits(f *facts) {
	isGood := f.status.Deployed != nil && f.status.Deployed.Verdict == v1alpha1.VerdictAccepted
	for i := range f.Resource.Spec.Credentials {
		about := &f.candidates[i]
		if about.candidate == nil {
			continue
		}
		e := s.noteCandidate(f.Resource.Spec.Credentials[i].Name, about.candidate, true, f.Now)
		e.isTried = e.isTried || about.makesDeployed && isGood
		if e.isTried || s.requests.TokensAt(f.Now) >= 1 {
			continue
		}
		about.heldUntil = roundUp(refilledAt(s.requests, f.Now))
	}
}

// resetLimiters makes the limiters of a new process, or of one whose clock was set back.
func (s *sent) resetLimiters() {
	s.requests = rate.NewLimiter(rate.Every(requestEvery), requestsInARow)
	s.repairs = rate.NewLimiter(rate.Every(repairEvery), repairsInARow)
}

// resetTimes forgets waits when the clock was set back, since nobody is to wait until it has caught up.
func (s *sent) resetTimes(now time.Time) {
	s.resetLimiters()
	s.request.at, s.alteredAt = now, now
	for i := range s.edits {
		if s.edits[i].at.After(now) {
			s.edits[i].at = now
		}
	}
}

// noteResults counts the edits that were tried, but not those that the API accepts, which do no harm however often they
// come. Edits of two entries that are tried together count as one. It also notes the logins of which both forms were
// Rejected.
func (s *sent) noteResults(f *facts, results []checkResult) {
	isCounted := f.isCheckRequested() // as a request
	for i := range results {
		r := &results[i]
		if r.entry == deployedToken || r.isDeferred() {
			continue
		}
		e := s.noteCandidate(f.Resource.Spec.Credentials[r.entry].Name, f.candidates[r.entry].candidate, true, f.Now)
		if !e.isTried && !isCounted && !r.isAcceptance() {
			isCounted = s.requests.AllowN(f.Now, 1)
		}
		e.isTried = true
		e.bothRejected = e.bothRejected || r.bothRejected
	}
}

// letThrough returns since when a check request is answered, or when it may be, if there were too many.
func (s *sent) letThrough(value string, now time.Time) (requestedAt, retryAt time.Time) {
	if s.request.value != value && s.requests.AllowN(now, 1) {
		s.request.value, s.request.at = value, now
	}
	if s.request.value != value {
		return time.Time{}, refilledAt(s.requests, now)
	}
	return s.request.at, time.Time{} // and so it is tried until it is done
}

// refilledAt is when a limiter has its next token.
func refilledAt(limiter *rate.Limiter, now time.Time) time.Time {
	missing := 1 - limiter.TokensAt(now)
	return now.Add(time.Duration(missing / float64(limiter.Limit()) * float64(time.Second)))
}

// roundUp returns the next whole second, as a status tells it.
func roundUp(t time.Time) time.Time { return t.Add(time.Second - 1).Truncate(time.Second) }
