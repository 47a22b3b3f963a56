// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package decision_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

// histories lead to statuses in which everything stands that a status may tell of.
func histories() []func(*world) {
	return []func(*world){
		delivered,
		revoked,
		redundant,
		failedOver,
		func(w *world) { w.writeSource("bad") },
		func(w *world) { delivered(w); w.writeSource("bad") },
		func(w *world) { delivered(w); w.answer("good", outcome.Rejected); w.step() }, // which is not confirmed yet
		func(w *world) { w.goDown(sandboxURL, outcome.Unavailable); w.writeSource("good") },
		func(w *world) { delivered(w); w.goDown(sandboxURL, outcome.Unavailable); w.run(h) },
		func(w *world) { redundant(w); w.answer("good", outcome.Rejected); w.mass = true; w.step(); w.step() },
		func(w *world) { delivered(w); w.fight(12) },
		func(w *world) { delivered(w); w.suspend(true) },
		func(w *world) { delivered(w); w.deleteSource() },
	}
}

// hostile is what somebody puts in the place of a value. The schema lets through most of it.
func hostile(random *rand.Rand, name string, value any, now time.Time) any {
	words := []any{"", "Nonsense", "Accepted", "Rejected", "Unknown", "Unavailable", "EditedTooOften", "SourceNotFound"}
	pick := func(values ...any) any { return values[random.IntN(len(values))] }
	at := func(t time.Time) any { return t.UTC().Format(time.RFC3339) }
	switch value := value.(type) {
	case float64:
		return pick(0.0, 1.0, -1.0, 2.0, 3.0, float64(math.MaxInt32), float64(math.MinInt32))
	case bool:
		return !value
	case []any:
		if len(value) == 0 {
			return value
		}
		unknown, _ := value[0].(map[string]any)
		unknown = maps.Clone(unknown)
		if unknown["name"] != nil {
			unknown["name"] = "unknown"
		}
		return pick([]any{}, append([]any{value[0]}, value...), append([]any{unknown}, value...), value[:1])
	case string:
		switch {
		case strings.HasSuffix(name, "ime"):
			return pick(at(now.Add(tenYears)), at(now.Add(-tenYears)), at(time.Time{}), at(now.Add(100*m)),
				at(now.Add(-100*m)), at(now), at(now.Add(59*s)), "9999-12-31T23:59:59Z", "1970-01-01T00:00:00Z")
		case name == "reason":
			return pick(append(words, "No reason!", strings.Repeat("Long", 16))...)
		case name == "verdict", name == "tokenForm", name == "credential":
			return pick(words...)
		case name == "resourceVersion":
			return pick("", "0", "1", "999999999999", "-1", "nonsense")
		case name == "uid", name == "name", name == "endpoint":
			return pick("", "nonsense", productionURL)
		}
	}
	return value
}

// mutilate takes some fields away, and gives others hostile values. A condition keeps what the schema demands of one.
func mutilate(random *rand.Rand, object map[string]any, now time.Time, rarely int) {
	for _, name := range slices.Sorted(maps.Keys(object)) {
		isCondition := object["lastTransitionTime"] != nil
		isKept := isCondition && name != "lastTransitionTime" && name != "observedGeneration"
		switch {
		case isKept:
		case !isCondition && random.IntN(rarely) == 0:
			delete(object, name)
			continue
		case random.IntN(rarely) == 0:
			object[name] = hostile(random, name, object[name], now)
		}
		switch value := object[name].(type) {
		case map[string]any:
			mutilate(random, value, now, rarely)
		case []any:
			for _, item := range value {
				if item, ok := item.(map[string]any); ok {
					mutilate(random, item, now, rarely)
				}
			}
		}
	}
}

// editStatus lets somebody edit the status.
func (w *world) editStatus(random *rand.Rand) {
	w.t.Helper()
	var fields map[string]any
	if err := json.Unmarshal([]byte(asJSON(w.resource.Status)), &fields); err != nil {
		w.t.Fatal(err)
	}
	mutilate(random, fields, w.now, 2+random.IntN(12))
	w.resource.Status = v1alpha1.JupicoCredentialStatus{}
	if err := json.Unmarshal([]byte(asJSON(fields)), &w.resource.Status); err != nil {
		w.t.Fatal(err)
	}
	w.resource.ResourceVersion = w.nextVersion()
	for _, e := range w.proofs {
		e.rejections = 0 // that a status tells of
	}
}

// survive looks whether a status that somebody edited is made good, with few requests, and whether nobody is harmed.
func survive(t *testing.T, seed uint64) {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, 5))
	all := histories()
	w := newWorld(t, sandbox)
	all[seed%uint64(len(all))](w)
	w.editStatus(random)
	edited := asJSON(w.resource.Status)
	defer func() {
		if problem := recover(); problem != nil {
			t.Fatalf("seed %d: %v with the status\n%s", seed, problem, edited)
		}
		if t.Failed() {
			t.Logf("seed %d, the status was edited to\n%s", seed, edited)
		}
	}()
	if random.IntN(2) == 0 {
		w.stop()
	}
	w.expectRecovery()
}

// expectRecovery looks whether a status is made good with few requests, and whether it then stays so.
func (w *world) expectRecovery() {
	w.t.Helper()
	requests := len(w.requests)
	w.happens()
	if got := len(w.requests) - requests; got > 8 {
		w.t.Errorf("%d requests at once", got)
	}
	w.isSampled = true
	w.run(h)
	if got := len(w.requests) - requests; got > 60 {
		w.t.Errorf("%d requests in an hour", got)
	}
	// Nothing waits for a time that somebody made up.
	w.accepts, w.mass = map[string]outcome.Outcome{}, false
	w.comeUp(sandboxURL)
	w.suspend(false)
	value := "good"
	if w.source != nil {
		value = w.source.value
	}
	w.answer(value, outcome.Accepted)
	w.answer("key", outcome.Accepted)
	w.setSource(value)
	w.happens()
	w.run(3*h + 10*m) // for two acceptances in a row
	w.expectReady("True/Accepted")
	w.expectTarget(value)
	w.expectNothingAhead(0)
}

func TestAStatusThatSomebodyEditedIsMadeGood(t *testing.T) {
	t.Parallel()
	runInParallel(t, orATenth(400), survive)
}

func TestACounterThatSomebodyEditedCountsOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox)
	w.writeSource("bad")
	for _, count := range []int32{math.MaxInt32, math.MinInt32} {
		w.resource.Status.Credentials[0].ConsecutiveRejected = count
		w.step()
		w.step()
		w.expectReady("False/Rejected")
		if got := w.next(); got < 5*m || got > h+6*m {
			t.Errorf("after %d rejections, waits %s", count, got)
		}
	}
}

func FuzzAStatusThatSomebodyEdited(f *testing.F) {
	f.Add(uint64(5310))
	f.Add(uint64(10995))
	f.Add(uint64(1484)) // Ready had no reason
	f.Fuzz(survive)
}

// author writes a status from scratch. Each byte of its script is a choice, so that a fuzzer can vary one at a time.
type author struct {
	script []byte
	world  *world
}

// choose returns a number below n. Once the script has ended, that is always 0.
func (a *author) choose(n int) int {
	if len(a.script) == 0 {
		return 0
	}
	next := a.script[0]
	a.script = a.script[1:]
	return int(next) % n
}

func pick[T any](a *author, values ...T) T { return values[a.choose(len(values))] }

// fill gives every field below a value one that the schema lets through, whether it makes sense or not.
func (a *author) fill(name string, v reflect.Value) {
	switch v.Interface().(type) {
	case metav1.Time:
		v.Set(reflect.ValueOf(metav1.Time{Time: a.time()}))
		return
	case []metav1.Condition:
		v.Set(reflect.ValueOf(a.conditions()))
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if a.choose(4) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			a.fill(name, v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			a.fill(v.Type().Field(i).Name, v.Field(i))
		}
	case reflect.Slice:
		n := a.choose(3)
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			a.fill(fmt.Sprint(name, i), v.Index(i))
		}
	case reflect.String:
		v.SetString(a.word(name))
	case reflect.Int32:
		v.SetInt(pick[int64](a, 0, 1, 2, v1alpha1.MaxCredentials))
		if name == "ConsecutiveRejected" {
			v.SetInt(pick[int64](a, 0, 1, 2, 3, 7, math.MaxInt32))
		}
	case reflect.Int64:
		v.SetInt(pick(a, a.world.resource.Generation, -1, 0, 1, 99, math.MaxInt64))
	case reflect.Bool:
		v.SetBool(a.choose(2) > 0)
	default:
		a.world.t.Fatalf("nobody knows what to write into %s, a %s", name, v.Type())
	}
}

func (a *author) time() time.Time {
	now := a.world.now.Truncate(s)
	return pick(a, now, now.Add(-5*m), now.Add(-s), now.Add(59*s), now.Add(5*m), now.Add(-h), now.Add(h),
		now.Add(tenYears), now.Add(-tenYears), time.Unix(0, 0).UTC(), time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC))
}

// conditions has one of a type at the most.
func (a *author) conditions() []metav1.Condition {
	var all []metav1.Condition
	for _, conditionType := range []string{
		v1alpha1.ConditionReady, v1alpha1.ConditionCredentialAccepted, v1alpha1.ConditionSecretSynced,
		v1alpha1.ConditionEndpointAvailable, v1alpha1.ConditionRedundant, reconciling, stalled, "Nonsense",
	} {
		if a.choose(3) == 0 {
			continue
		}
		all = append(all, metav1.Condition{
			Type: conditionType, Message: "Somebody wrote this.", LastTransitionTime: metav1.Time{Time: a.time()},
			Status: pick(a, metav1.ConditionTrue, metav1.ConditionFalse, metav1.ConditionUnknown),
			Reason: a.word("Reason" + conditionType), ObservedGeneration: int64(a.choose(3)),
		})
	}
	return all
}

// word is one for a field of this name: one of the truth, one that would matter, or one that means nothing.
func (a *author) word(name string) string {
	w := a.world
	target := w.target()
	if target == nil {
		target = &secret{}
	}
	reasons := []string{
		"Accepted", "LimitedPermissions", "Rejected", "UserInactive", "Unavailable", "EndpointDenied", "Checking",
		v1alpha1.ReasonSuspended, v1alpha1.ReasonTargetConflict, v1alpha1.ReasonTargetWriteFailed,
		v1alpha1.ReasonEditedTooOften, v1alpha1.ReasonSourceNotFound, v1alpha1.ReasonStale, "Nonsense",
	}
	switch {
	case name == "Name", name == "Credential":
		return pick(a, "main", "standby", targetName, "nonsense")
	case name == "Verdict":
		return pick(a, "Accepted", "Rejected", "Unknown", "")
	case name == "Reason":
		return pick(a, append(reasons, "", strings.Repeat("Long", 16))...)
	case strings.HasPrefix(name, "Reason"):
		return pick(a, reasons...)
	case name == "TokenForm":
		return pick(a, "Standard", "TrailingNewline", "")
	case name == "Endpoint":
		return pick(a, sandboxURL, productionURL, gatewayURL, "nonsense")
	case name == "UID":
		return pick(a, "source", string(target.uid), "standby", "", "nonsense")
	case name == "ResourceVersion":
		return pick(a, w.source.version, target.version, "", "0", "999999999999", "nonsense")
	default: // a key, or a check request
		return pick(a, "token", "url", "", "nonsense") + name
	}
}

// FuzzAStatusThatSomebodyWrote lets somebody write a whole status beside a target that was delivered, or beside none.
func FuzzAStatusThatSomebodyWrote(f *testing.F) {
	random := rand.New(rand.NewPCG(3, 5))
	for n := range 24 {
		script := make([]byte, 160)
		for i := range script {
			script[i] = byte(random.IntN(256))
		}
		f.Add(script, byte(n))
	}
	f.Fuzz(func(t *testing.T, script []byte, how byte) {
		w := newWorld(t, sandbox)
		w.accepts["good"] = outcome.Accepted
		w.setSource("good")
		if how&1 > 0 {
			delivered(w)
		}
		if how&2 > 0 {
			w.setSource("bad")
		}
		if how&4 > 0 {
			w.stop()
		}
		w.resource.Status = v1alpha1.JupicoCredentialStatus{}
		(&author{script: script, world: w}).fill("", reflect.ValueOf(&w.resource.Status).Elem())
		w.resource.ResourceVersion = w.nextVersion()
		for _, e := range w.proofs {
			e.rejections = 0 // that a status tells of
		}
		written := asJSON(w.resource.Status)
		defer func() {
			if problem := recover(); problem != nil || t.Failed() {
				t.Fatalf("%v, and the status was written as\n%s", problem, written)
			}
		}()
		w.expectRecovery()
	})
}
