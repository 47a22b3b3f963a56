// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/checker"
	"github.com/jupico-operator/jupico-operator/internal/credential"
	"github.com/jupico-operator/jupico-operator/internal/decision"
)

const (
	// repairsInARow is how often, and repairEvery how soon after another, a target that somebody else changes is put
	// right.
	repairsInARow = 5
	repairEvery   = time.Minute

	// requestsInARow is how many checks in a row may be asked for, and requestEvery how soon another is earned.
	requestsInARow = 10
	requestEvery   = time.Minute
)

// memory is what the process knows of one resource beyond its status, so that nothing is read again that did not
// change. The work queue sees to it that only one worker at a time uses it. After a restart it is empty, and all still
// works.
type memory struct {
	uid types.UID
	// evaluated: this process evaluated the resource.
	evaluated bool
	// statusVersion is the resourceVersion of the last status that was written.
	statusVersion string

	// generation of the spec that was looked at last.
	generation int64
	// entries of spec.credentials: few, so that a list is smaller than a map.
	entries []*entryMemory
	ca      *caMemory // nil without a ConfigMap
	// deployed is the token in the target.
	deployed *proof
	// untold are targets, and their keys, that were written while the status that tells of them could not be. They are
	// still to be tidied up.
	untold map[string][]string
	// readBack is the target that it was last tried to be read back from.
	readBack v1alpha1.SourceStatus
	// behindSince is since when the cache has been behind. Zero when it is not.
	behindSince time.Time

	repairs  *rate.Limiter
	rival    string // the field manager whose change was put right last
	requests *rate.Limiter
	// request is the last one that was let through.
	request struct {
		value string
		at    time.Time
	}
}

// entryMemory is what is known of one entry.
type entryMemory struct {
	name   string
	source sourceMemory
	// recorded is the candidate that the status is about.
	recorded *candidate
	// proven is the candidate's token as the API accepted it.
	proven *proof
	// editedAt is when the source or the spec was seen to be edited. Zero when neither was since the process began.
	editedAt time.Time
	// checkedFor is the generation of the spec that the candidate was checked for last.
	checkedFor int64
	// standard and newline are the candidate's tokens, in the two forms of a login.
	standard, newline *proof
}

// token returns a candidate's token in a form, with what is known of its checks.
func (m *entryMemory) token(of *candidate, form credential.Form) *proof {
	token := of.credential.Token(form)
	slot := &m.standard
	if form == credential.TrailingNewline {
		slot = &m.newline
	}
	if known := *slot; known != nil && known.endpoint == of.endpoint && known.token.Equal(token) {
		known.origin = of.origin // the entry may have been renamed
		return known
	}
	*slot = &proof{origin: of.origin, token: token, endpoint: of.endpoint}
	return *slot
}

// entry returns the memory of an entry, which may be empty.
func (m *memory) entry(name string) *entryMemory {
	for _, entry := range m.entries {
		if entry.name == name {
			return entry
		}
	}
	entry := &entryMemory{name: name}
	m.entries = append(m.entries, entry)
	return entry
}

// provenOf returns the token of an entry of the spec as the API accepted it.
func (m *memory) provenOf(s *sight, entry int) *proof {
	return m.entry(s.resource.Spec.Credentials[entry].Name).proven
}

// disown goes back to what the status tells of the target when a newer one could not be written: what the target holds
// by now is nothing that anybody vouches for, and is tidied up later. After an error, nobody knows which of the two the
// status tells of.
func (m *memory) disown(held *proof, target, told *v1alpha1.TargetStatus, err error) {
	if target != nil && !equality.Semantic.DeepEqual(target, told) {
		if m.untold == nil {
			m.untold = map[string][]string{}
		}
		keys := append(m.untold[target.Name], target.Keys...)
		slices.Sort(keys)
		m.untold[target.Name] = slices.Compact(keys)
	}
	if m.deployed != held {
		m.deployed = held
		if err != nil {
			m.deployed = nil
		}
		m.readBack = v1alpha1.SourceStatus{} // what the target holds may help now
	}
}

// record notes what the status is about, once it is written, and forgets entries that are no more.
func (m *memory) record(s *sight) {
	m.evaluated = true
	for _, check := range s.asked {
		check.token.began = check.began
		if check.entry != decision.Deployed {
			m.entry(s.resource.Spec.Credentials[check.entry].Name).checkedFor = s.resource.Generation
		}
	}
	if s.resource.Spec.Suspend {
		return // nothing was looked at
	}
	kept := make([]*entryMemory, 0, len(s.resource.Spec.Credentials))
	for i := range s.resource.Spec.Credentials {
		entry := m.entry(s.resource.Spec.Credentials[i].Name)
		entry.recorded = s.candidates[i]
		kept = append(kept, entry)
	}
	m.entries = kept
}

// origin is what a token is made of, and what a template may say of it.
type origin struct {
	credential  credential.Credential
	entry       string
	environment v1alpha1.Environment
}

// candidate is a credential and where it is to be checked.
type candidate struct {
	origin

	endpoint checker.Endpoint
}

func (c *candidate) equal(other *candidate) bool {
	return c.endpoint == other.endpoint && c.credential.Equal(other.credential)
}

// proof is a token and the endpoint that it is for, with its TLS settings. Of one that was read back from a target, the
// origin has the entry alone.
type proof struct {
	origin

	token    credential.Token
	endpoint checker.Endpoint
	// began is when the last check began that is in the status. Zero when there is none.
	began time.Time
}

// form returns the form in which a candidate makes the same token at the same endpoint.
func (p *proof) form(of *candidate) (credential.Form, bool) {
	if p == nil || of == nil || p.endpoint != of.endpoint {
		return "", false
	}
	for _, form := range []credential.Form{credential.Standard, credential.TrailingNewline} {
		if of.credential.Token(form).Equal(p.token) {
			return form, true
		}
	}
	return "", false
}

// sourceMemory is a source as it was read last.
type sourceMemory struct {
	secret     string
	ref        v1alpha1.SourceStatus
	generation int64 // the spec names the keys
	credential credential.Credential
	problem    string
	detail     string
	warnings   []string // about what was cut off
}

// caMemory is a ConfigMap's certificates as they were read last.
type caMemory struct {
	configMap  string
	ref        v1alpha1.SourceStatus
	generation int64
	pem        string
	problem    string
}

// memories holds a memory per resource.
type memories struct {
	mu sync.Mutex
	of map[types.NamespacedName]*memory
}

// get returns the memory of a resource. A resource that was deleted and made again begins anew.
func (m *memories) get(resource *v1alpha1.JupicoCredential) *memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	name := types.NamespacedName{Namespace: resource.Namespace, Name: resource.Name}
	known := m.of[name]
	if known == nil || known.uid != resource.UID {
		known = &memory{uid: resource.UID}
		m.of[name] = known
	}
	return known
}

func (m *memories) forget(name types.NamespacedName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.of, name)
}
