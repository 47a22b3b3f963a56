// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package decision_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/decision"
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

// month is one resource in a simulated month. It breaks and mends the world at random, and knows what is true.
type month struct {
	*world
	random *rand.Rand
	end    time.Time
	trail  []string
	values int

	// down: the endpoint gives no evidence. wiped: the shared sandbox was reset, and accepts nothing.
	down, wiped bool
	// good are the values that Jupico would accept, wiped or not.
	good map[string]bool
	// glitches is how many times a good token is yet to be rejected by mistake.
	glitches int
	// delivered are the tokens that the target ever held.
	delivered map[string]bool
}

// orATenth is n, or with go test -short, as the race detector makes all of them ten times slower, a tenth of it.
func orATenth(n int) int {
	if testing.Short() {
		return n / 10
	}
	return n
}

// numberFrom is what an environment variable says, or else n, or a tenth of it.
func numberFrom(variable string, n int) int {
	if wanted, err := strconv.Atoi(os.Getenv(variable)); err == nil {
		return wanted
	}
	return orATenth(n)
}

// runInParallel calls a function for each seed below n.
func runInParallel(t *testing.T, n int, run func(t *testing.T, seed uint64)) {
	t.Helper()
	const shards = 4
	for shard := range shards {
		t.Run(fmt.Sprintf("shard %d of %d", shard, shards), func(t *testing.T) {
			t.Parallel()
			for seed := shard; seed < n && !t.Failed(); seed += shards {
				run(t, uint64(seed)) //nolint:gosec // never negative
			}
		})
	}
}

// TestASimulatedMonth lets resets, revocations, outages, edits, tampering, restarts, crashes between two writes,
// conflicts and lost answers happen to a resource for a month. Throughout, no token is written that was not proven,
// none is withdrawn that was, and what changes for good is reported within the promised time.
func TestASimulatedMonth(t *testing.T) {
	t.Parallel()
	runInParallel(t, numberFrom("SIMULATIONS", 100), simulate)
}

func simulate(t *testing.T, seed uint64) {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, 11))
	names := decision.EnvironmentNames()
	w := newWorld(t, names[random.IntN(len(names))])
	w.isSampled = true
	w.resource.UID = uids(64)[random.IntN(64)]
	w.setInterval([]time.Duration{20 * m, h, 2 * h, 6 * h, 24 * h}[random.IntN(5)])
	s := &month{
		world: w, random: random, end: start.Add(30 * 24 * h),
		good: map[string]bool{}, delivered: map[string]bool{},
	}
	w.hook = s.answers
	defer func() {
		if t.Failed() {
			t.Logf("seed %d, %s every %s: %q", seed, w.resource.Spec.Environment, w.resource.Spec.CheckInterval.Duration,
				s.trail[max(0, len(s.trail)-8):])
		}
	}()
	s.editGood()
	for !t.Failed() && s.now.Before(s.end) {
		s.happen()
	}
}

// answers is what the API says to a token. Nothing means that it knows no better than Rejected.
func (s *month) answers(p tokenAt) outcome.Outcome {
	switch {
	case s.down:
		return outcome.Unavailable
	case s.glitches > 0 && !s.wiped:
		s.glitches--
		return outcome.Rejected
	case !s.wiped && s.good[strings.TrimSuffix(p.token, "\n")] && !strings.HasSuffix(p.token, "\n"):
		return outcome.Accepted
	default:
		return outcome.Rejected
	}
}

// happen lets one thing happen, and looks after each what must be seen of it.
func (s *month) happen() {
	incidents := []struct {
		name string
		do   func()
	}{
		{"quiet", func() { s.pass(s.upTo(3 * 24 * h)) }},
		{"edit", s.editGood},
		{"bad edit", s.editBad},
		{"bad edit that heals", s.editThatHeals},
		{"glitch", s.glitch},
		{"revocation", s.revoke},
		{"revocation", s.revoke},
		{"outage", s.outage},
		{"outage", s.outage},
		{"restart", func() { s.stop(); s.pass(s.upTo(h)); s.happens() }},
		{"rename", s.renameTarget},
		{"suspension", s.suspendForAWhile},
		{"unreadable source", s.failToReadForAWhile},
		{"check request", s.askForACheck},
		{"tampering", s.tamperOrDelete},
		{"standby", s.changeStandby},
	}
	if s.expected().isReset {
		incidents = append(incidents, incidents[0], incidents[0])
		incidents[len(incidents)-1].name, incidents[len(incidents)-1].do = "reset", s.reset
		incidents[len(incidents)-2].name, incidents[len(incidents)-2].do = "reset", s.reset
	}
	incident := incidents[s.random.IntN(len(incidents))]
	s.trail = append(s.trail, s.now.Format("2 15:04 ")+incident.name+s.makeTrouble())
	incident.do()
	s.pass(s.upTo(24 * h))
}

// makeTrouble lets some of the next rounds be cut short between their writes, or meet somebody else's.
func (s *month) makeTrouble() string {
	s.statusFates, s.losesTargetAnswer, s.meanwhile = nil, false, nil
	switch s.random.IntN(6) {
	case 0:
		for range 1 + s.random.IntN(3) {
			s.statusFates = append(s.statusFates, refused+fate(s.random.IntN(4)))
		}
		return fmt.Sprint(", with the fates ", s.statusFates)
	case 1:
		s.losesTargetAnswer = true
		return ", with a lost answer"
	case 2:
		s.meanwhile = func() { s.resource.ResourceVersion = s.nextVersion() }
		return ", with a conflict"
	case 3:
		s.meanwhile = func() {
			if target := s.target(); target != nil && s.isUp() { // else nothing can be proven again
				target.version = s.nextVersion()
			}
		}
		return ", with a conflict of the target"
	}
	return ""
}

// upTo is a random duration, short ones as likely as long ones.
func (s *month) upTo(longest time.Duration) time.Duration {
	d := longest
	for d > m && s.random.IntN(3) > 0 {
		d /= 4
	}
	return time.Duration(s.random.Int64N(int64(d))) + second
}

const second = time.Second

// pass lets time pass, and looks at what the target holds.
func (s *month) pass(d time.Duration) {
	s.t.Helper()
	had := s.target()
	s.run(d)
	if had != nil && (s.target() == nil || s.target().token == "") {
		s.t.Fatalf("a target that was delivered is gone, with the status\n%s", s.dump())
	}
	if s.target() != nil && s.target().token != "evil" {
		s.delivered[s.target().token] = true
	}
}

func (s *month) value() string {
	s.values++
	return fmt.Sprintf("value%d", s.values)
}

// interval, and what a check and its confirmation take.
func (s *month) interval() time.Duration { return s.resource.Spec.CheckInterval.Duration + 8*second }

// expected is what users are promised about the environment.
func (s *month) expected() expectation { return expectations[s.resource.Spec.Environment] }

// healing is the longest time until a token that was rejected is found accepted.
func (s *month) healing() time.Duration {
	longest := max(s.expected().longest, s.resource.Spec.CheckInterval.Duration)
	return longest + longest/10 + 8*second
}

func (s *month) isUp() bool { return !s.down && !s.wiped }

// accepts reports whether the API accepts what an entry's source holds.
func (s *month) accepts(i int) bool {
	if i >= len(s.resource.Spec.Credentials) {
		return false
	}
	source := s.secretOf(s.resource, i)
	return source != nil && s.good[source.value]
}

func (s *month) editGood() {
	value := s.value()
	s.good[value] = true
	s.writeSource(value)
	if s.isUp() {
		s.pass(second)
		s.expectReady("True/Accepted")
		s.expectTarget(value)
	}
}

func (s *month) editBad() {
	had := s.target().token
	s.writeSource(s.value())
	s.pass(second)
	s.expectTarget(had)
	s.pass(s.upTo(6 * h))
	s.editGood()
}

// editThatHeals writes what is rejected at first, and accepted later without another edit, as a key that is yet to be
// given its permissions is.
func (s *month) editThatHeals() {
	had, value := s.target().token, s.value()
	s.writeSource(value)
	s.pass(s.upTo(6 * h))
	s.expectTarget(had)
	s.good[value] = true
	if s.isUp() {
		s.pass(s.healing() + s.interval())
		s.expectTarget(value)
		s.expectReady("True/Accepted")
	}
}

// glitch lets the API reject a good token once, of which nothing must come.
func (s *month) glitch() {
	if s.ready() != "True/Accepted" || !s.isUp() || !s.isFresh() || !s.accepts(0) || len(s.resource.Spec.Credentials) > 1 {
		return
	}
	s.meanwhile = nil // a target that somebody touches after a restart is not known to be good
	s.takeEvents()
	s.glitches = 1
	s.pass(s.interval() + m)
	s.expectReady("True/Accepted")
	if events := s.takeEvents(); s.glitches > 0 || len(events) > 0 {
		s.t.Fatalf("of a single rejection came the events %q, %d rejections are left", events, s.glitches)
	}
}

// revoke revokes the deployed token. The standby, where it is good, must take its place; else it is to be reported.
func (s *month) revoke() {
	token := strings.TrimSuffix(s.target().token, "\n")
	hasStandIn := false
	for i := range s.resource.Spec.Credentials {
		hasStandIn = hasStandIn || s.secretOf(s.resource, i).value != token && s.accepts(i)
	}
	isKnown := s.ready() == "True/Accepted" || s.ready() == "True/FailedOver" || s.ready() == "True/CandidateRejected"
	delete(s.good, token)
	if !isKnown || !s.isUp() || !s.isFresh() {
		s.pass(s.upTo(12 * h))
		s.editGood()
		return
	}
	s.pass(s.interval())
	switch {
	case hasStandIn && s.target().token == token:
		s.t.Fatalf("the standby did not take the place of what was revoked:\n%s", s.dump())
	case !hasStandIn && s.expected().isReset:
		s.expectReady("False/SandboxReset")
	case !hasStandIn:
		s.expectReady("False/Revoked")
	}
	s.pass(s.upTo(12 * h))
	if s.random.IntN(2) == 0 {
		s.editGood()
		return
	}
	s.good[token] = true // the revocation is taken back
	s.pass(s.healing() + s.interval())
	if s.accepts(0) {
		s.expectReady("True/Accepted")
	}
}

// isFresh reports whether the last evidence is of the last interval, so that no retry is pending.
func (s *month) isFresh() bool {
	return s.condition(v1alpha1.ConditionEndpointAvailable) == "True/Available"
}

func (s *month) reset() {
	had := s.target().token
	s.wiped = true
	long := s.random.IntN(2) == 0
	if long {
		s.pass(s.interval())
		if ready := s.ready(); s.isFresh() && ready != "False/SandboxReset" && ready != "False/Rejected" {
			s.t.Fatalf("after a reset, Ready is %s:\n%s", ready, s.dump())
		}
	} else {
		s.pass(s.upTo(20 * m))
	}
	s.expectTarget(had)
	s.wiped = false
	if s.accepts(0) && s.isUp() {
		s.pass(s.healing() + s.interval())
		s.expectReady("True/Accepted")
	}
}

// outage lets the endpoint give no evidence. A good token stays good meanwhile, and is said to be stale in time.
func (s *month) outage() {
	wasGood := s.ready() == "True/Accepted" && s.accepts(0) && s.isFresh() && s.record().ConsecutiveRejected == 0
	had := s.target().token
	s.down = true
	length := m + s.upTo(2*24*h)
	trust := max(3*s.resource.Spec.CheckInterval.Duration, 15*m)
	s.pass(length)
	if wasGood {
		s.expectTarget(had)
		switch ready := s.ready(); {
		case length > trust+second && ready != "True/Stale":
			s.t.Fatalf("after an outage of %s, Ready is %s", length, ready)
		case length < trust-s.interval()-6*m && ready != "True/Accepted":
			s.t.Fatalf("in an outage of %s, Ready is %s", length, ready)
		}
	}
	s.down = false
	if wasGood {
		s.pass(max(6*m, s.interval()))
		s.expectReady("True/Accepted")
	}
}

// renameTarget moves a good token to another target. What it was in before is cleaned up.
func (s *month) renameTarget() {
	if s.ready() != "True/Accepted" || !s.isUp() || !s.accepts(0) {
		return
	}
	token := s.target().token
	s.edit(func(spec *v1alpha1.JupicoCredentialSpec) { spec.Target.Name = "target-" + s.value() })
	s.pass(second)
	s.expectReady("True/Accepted")
	s.expectTarget(token)
	if len(s.targets) != 1 {
		s.t.Fatalf("beside the target, %d are left", len(s.targets)-1)
	}
}

func (s *month) suspendForAWhile() {
	wasGood := s.ready() == "True/Accepted" && s.isUp() && s.accepts(0)
	had := s.target().token
	s.suspend(true)
	s.pass(second)
	requests := len(s.requests)
	s.pass(s.upTo(24 * h))
	if len(s.requests) != requests {
		s.t.Fatalf("%d requests in a suspension", len(s.requests)-requests)
	}
	s.suspend(false)
	s.pass(second)
	s.expectTarget(had)
	if wasGood {
		s.expectReady("True/Accepted")
	}
}

// failToReadForAWhile leaves the deployed token, which goes on being checked.
func (s *month) failToReadForAWhile() {
	wasGood := s.ready() == "True/Accepted" && s.isUp() && s.accepts(0) && len(s.resource.Spec.Credentials) == 1
	had := s.target().token
	s.failToRead()
	s.pass(s.upTo(24 * h))
	s.expectTarget(had)
	if wasGood {
		s.expectReady("True/SourceUnreadable")
		if accepted := s.resource.Status.Deployed.LastAcceptedTime; s.now.Sub(accepted.Time) > s.interval() {
			s.t.Fatalf("the deployed token was accepted last at %s, and it is %s", accepted, s.now)
		}
	}
	s.source.isUnreadable = false
	s.pass(m + second)
	if wasGood {
		s.expectReady("True/Accepted")
	}
}

// askForACheck is answered by a check that began after it.
func (s *month) askForACheck() {
	value, requested := s.value(), s.now
	s.requestCheck(value)
	s.pass(second)
	if got := s.resource.Status.LastHandledCheckRequest; got != value {
		s.t.Fatalf("a check request was not handled:\n%s", s.dump())
	}
	for i := range s.resource.Spec.Credentials {
		isAnswer := func(r request) bool {
			return strings.TrimSuffix(r.token, "\n") == s.secretOf(s.resource, i).value && !r.began.Before(requested)
		}
		if !slices.ContainsFunc(s.requests, isAnswer) {
			s.t.Fatalf("entry %d was not checked after a check request", i)
		}
	}
}

func (s *month) tamperOrDelete() {
	had := s.target().token
	if s.random.IntN(2) == 0 {
		s.tamper("evil")
	} else {
		s.deleteTarget()
	}
	if s.target() == nil || s.target().token == "evil" { // it comes back once something is proven
		s.good[s.source.value] = true
		s.down, s.wiped = false, false
		s.pass(s.healing() + s.interval())
		s.expectTarget(s.source.value)
		return
	}
	s.expectTarget(had)
}

func (s *month) changeStandby() {
	had := s.target().token
	if len(s.resource.Spec.Credentials) > 1 && s.random.IntN(2) == 0 {
		s.edit(func(spec *v1alpha1.JupicoCredentialSpec) { spec.Credentials = spec.Credentials[:1] })
	} else {
		value := s.value()
		s.good[value] = s.random.IntN(4) > 0
		s.addStandby(value)
	}
	if s.accepts(0) && s.isUp() {
		s.expectReady("True/Accepted")
		s.expectTarget(s.source.value)
		return
	}
	if !s.delivered[had] {
		s.t.Fatalf("the target holds %q, which was never delivered", had)
	}
}
