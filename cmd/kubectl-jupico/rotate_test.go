// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
)

// rotating is a resource of these entries, in which the target holds the token of the first.
func rotating(entries ...v1alpha1.Credential) *v1alpha1.JupicoCredential {
	r := &v1alpha1.JupicoCredential{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "payments", Generation: 3}}
	r.Spec.Credentials, r.Spec.Target.Name = entries, "target"
	r.Status.ObservedGeneration = 3
	r.Status.Deployed = &v1alpha1.DeployedStatus{Credential: entries[0].Name}
	r.Status.Conditions = []metav1.Condition{{
		Type: v1alpha1.ConditionSecretSynced, Status: metav1.ConditionTrue, ObservedGeneration: 3,
	}}
	for _, entry := range entries {
		record := v1alpha1.CredentialStatus{Name: entry.Name, Source: &v1alpha1.SourceStatus{}}
		record.Verdict = v1alpha1.VerdictAccepted
		r.Status.Credentials = append(r.Status.Credentials, record)
	}
	return r
}

func loginEntry(name, secret string) v1alpha1.Credential {
	return v1alpha1.Credential{Name: name, BasicAuthSecretRef: &v1alpha1.BasicAuthSecretReference{Name: secret}}
}

func keyEntry(name, secret, key string) v1alpha1.Credential {
	return v1alpha1.Credential{Name: name, APIKeySecretRef: &v1alpha1.APIKeySecretReference{Name: secret, Key: key}}
}

func TestTheNextStepOfARotationFollowsFromTheResource(t *testing.T) {
	old, fresh := loginEntry("main", "old"), loginEntry("fresh", "new")
	verdict := func(i int, v v1alpha1.Verdict) func(*v1alpha1.JupicoCredential) {
		return func(r *v1alpha1.JupicoCredential) { r.Status.Credentials[i].Verdict = v }
	}
	isGone := func(r *v1alpha1.JupicoCredential) {
		r.Status.Credentials[1].Source, r.Status.Credentials[1].Reason = nil, v1alpha1.ReasonSourceNotFound
	}
	isSame := func(r *v1alpha1.JupicoCredential) {
		r.Status.Conditions = append(r.Status.Conditions, metav1.Condition{
			Type: v1alpha1.ConditionRedundant, Reason: v1alpha1.ReasonSameCredential,
		})
	}
	isEdited := func(r *v1alpha1.JupicoCredential) { r.Generation++ }
	isOfOld := func(r *v1alpha1.JupicoCredential) { r.Status.Deployed.Credential = "main" }
	isNotSynced := func(r *v1alpha1.JupicoCredential) { r.Status.Conditions[0].Status = metav1.ConditionFalse }
	const rejected = v1alpha1.VerdictRejected
	type entries = []v1alpha1.Credential
	type changes = []func(*v1alpha1.JupicoCredential)
	for _, row := range []struct {
		sentence string
		entries  entries
		changes  changes
		want     step
	}{
		{"nothing was done", entries{old}, nil, stepAdd},
		{"the standby was not observed yet", entries{old, fresh}, changes{isEdited}, stepProve},
		{"the standby is rejected", entries{old, fresh}, changes{verdict(1, rejected)}, stepProve},
		{"the Secret of the standby is gone", entries{old, fresh}, changes{isGone}, stepProve},
		{"the standby repeats the first", entries{old, fresh}, changes{isSame}, stepProve},
		{"the standby is proven", entries{old, fresh}, nil, stepSwap},
		{"the old one is rejected before the swap", entries{old, fresh}, changes{verdict(0, rejected)}, stepSwap},
		{"the swap was not observed yet", entries{fresh, old}, changes{isEdited}, stepDeliver},
		{"the target holds the old token", entries{fresh, old}, changes{isOfOld}, stepDeliver},
		{"the target could not be written", entries{fresh, old}, changes{isNotSynced}, stepDeliver},
		{"the old one is accepted", entries{fresh, old}, nil, stepPods},
		{"nobody knows of the old one", entries{fresh, old}, changes{verdict(1, v1alpha1.VerdictUnknown)}, stepPods},
		{"the old one is revoked", entries{fresh, old}, changes{verdict(1, rejected)}, stepRemove},
		{"the Secret of the old one is gone", entries{fresh, old}, changes{isGone}, stepRemove},
		{"both are rejected", entries{fresh, old}, changes{verdict(0, rejected), verdict(1, rejected)}, stepPods},
		{"the old entry is removed", entries{fresh}, nil, stepDone},
	} {
		resource := rotating(row.entries...)
		for _, change := range row.changes {
			change(resource)
		}
		r := &rotation{name: "payments", secret: "new"}
		if got, _, err := r.next(resource); err != nil || got != row.want {
			t.Errorf("%s: got step %d and %v, want %d", row.sentence, got, err, row.want)
		}
	}
}

func TestTheNewEntryIsLikeThePresentOne(t *testing.T) {
	long := strings.Repeat("a", 60) + ".b"
	login := loginEntry("main", "old")
	login.BasicAuthSecretRef.PasswordKey = "secret"
	want := loginEntry("new-1", "new.1")
	want.BasicAuthSecretRef.PasswordKey = "secret"
	for _, row := range []struct {
		sentence      string
		present, want v1alpha1.Credential
		r             rotation
	}{
		{"a login", login, want, rotation{secret: "new.1"}},
		{"an API key", keyEntry("main", "old", "k"), keyEntry("new", "new", "k"), rotation{secret: "new"}},
		{"another key", keyEntry("main", "old", ""), keyEntry("new", "new", "k"), rotation{secret: "new", key: "k"}},
		{"the same Secret", keyEntry("old", "old", ""), keyEntry("old-2", "old", "k"), rotation{secret: "old", key: "k"}},
		{"a taken name", loginEntry("new", "old"), loginEntry("new-2", "new"), rotation{secret: "new"}},
		{"a long name", loginEntry("main", "old"), loginEntry(strings.Repeat("a", 60), long), rotation{secret: long}},
	} {
		got, err := row.r.newEntry(row.present)
		if err != nil || asYAML(t, got) != asYAML(t, row.want) {
			t.Errorf("%s: got %v and\n%swant\n%s", row.sentence, err, asYAML(t, got), asYAML(t, row.want))
		}
	}
}

func asYAML(t *testing.T, entry v1alpha1.Credential) string {
	t.Helper()
	text, err := yaml.Marshal(entry)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestARotationThatCannotBeginSaysWhy(t *testing.T) {
	for _, row := range []struct {
		sentence string
		resource *v1alpha1.JupicoCredential
		r        rotation
		want     string
	}{
		{"another standby", rotating(loginEntry("main", "old"), loginEntry("spare", "other")), rotation{secret: "new"},
			`payments has a standby already, entry "spare" of Secret other: remove that first`},
		{"two keys of one Secret", rotating(keyEntry("a", "new", "k1"), keyEntry("b", "new", "k2")), rotation{secret: "new"},
			`entries "a" and "b" both use Secret new: name the key of the new one with --key`},
		{"--key for a login", rotating(loginEntry("main", "old")), rotation{secret: "new", key: "k"},
			"--key is for an API key, and payments uses a login"},
	} {
		row.r.name = "payments"
		if _, _, err := row.r.next(row.resource); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: got %v, want %q", row.sentence, err, row.want)
		}
	}
}

func TestThePlanTellsTwoKeysOfOneSecretApart(t *testing.T) {
	resource := rotating(keyEntry("main", "jupico-keys", "k1"), keyEntry("next", "jupico-keys", ""))
	r := rotation{secret: "jupico-keys", key: "apiKey"}
	next, entry, err := r.next(resource)
	if err != nil || next != stepSwap {
		t.Fatalf("got step %d and %v, want %d", next, err, stepSwap)
	}
	const want = `from entry "main" (Secret jupico-keys, key k1) to entry "next" (Secret jupico-keys, key apiKey):`
	if got := plan(resource, entry, next); !strings.Contains(got, want) {
		t.Errorf("got\n%swant %q", got, want)
	}
}

func TestThePlanSaysWhichEntryIsRetiredByARotationToTheFirst(t *testing.T) {
	isOfOld := func(r *v1alpha1.JupicoCredential) { r.Status.Deployed.Credential = "key-b" }
	for _, row := range []struct {
		secret, want string
		change       func(*v1alpha1.JupicoCredential)
	}{
		{"a", `"key-a" is active already. This retires entry "key-b".`, func(*v1alpha1.JupicoCredential) {}},
		{"a", `"key-a" is the first entry already. This retires entry "key-b".`, isOfOld},
		{"b", "", func(*v1alpha1.JupicoCredential) {}},
	} {
		resource := rotating(keyEntry("key-a", "a", ""), keyEntry("key-b", "b", ""))
		row.change(resource)
		r := rotation{secret: row.secret}
		next, entry, err := r.next(resource)
		if err != nil {
			t.Fatal(err)
		}
		if got := plan(resource, entry, next); !strings.Contains(got, row.want) ||
			strings.Contains(got, "retires") != (row.want != "") {
			t.Errorf("a rotation to Secret %s: got\n%swant %q", row.secret, got, row.want)
		}
	}
}

func TestPodsHaveFollowedEvenIfTheClockIsWrong(t *testing.T) {
	for _, row := range []struct {
		sentence       string
		seen, recorded time.Duration // ago; not seen: 0
		want           bool
	}{
		{"seen just now, whatever the record says", time.Second, time.Hour, false},
		{"seen long enough ago, whatever the record says", mountDelay, -time.Hour, true},
		{"recorded long enough ago, if both clocks agree", 0, mountDelay, false},
		{"recorded long enough ago, if they do not", 0, mountDelay + clockAllowance, true},
	} {
		r := &rotator{resource: rotating(loginEntry("main", "old"))}
		r.resource.Status.Target = &v1alpha1.TargetStatus{
			UpdatedTime: &metav1.Time{Time: time.Now().Add(-row.recorded)},
		}
		if row.seen > 0 {
			r.delivered = time.Now().Add(-row.seen)
		}
		if got := r.haveFollowed(); got != row.want {
			t.Errorf("%s: got %t, want %t", row.sentence, got, row.want)
		}
	}
}

func TestThePlanNamesTheToolThatMayUndoIt(t *testing.T) {
	const says = " manages this resource, and may undo each step."
	for _, row := range []struct {
		sentence string
		change   func(*metav1.ObjectMeta)
		want     string
	}{
		{"nobody", func(*metav1.ObjectMeta) {}, ""},
		{"kubectl", func(m *metav1.ObjectMeta) { m.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kubectl"}} }, ""},
		{"Argo CD's field manager", func(m *metav1.ObjectMeta) {
			m.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "argocd-controller"}}
		}, "Argo CD"},
		{"Argo CD's annotation", func(m *metav1.ObjectMeta) {
			m.Annotations = map[string]string{"argocd.argoproj.io/tracking-id": "shop"}
		}, "Argo CD"},
		{"Flux's label", func(m *metav1.ObjectMeta) {
			m.Labels = map[string]string{"kustomize.toolkit.fluxcd.io/name": "shop"}
		}, "Flux"},
	} {
		resource := rotating(loginEntry("main", "old"))
		row.change(&resource.ObjectMeta)
		got := plan(resource, loginEntry("new", "new"), stepAdd)
		if strings.Contains(got, says) != (row.want != "") || !strings.Contains(got, row.want+says) && row.want != "" {
			t.Errorf("%s: got\n%swant %q", row.sentence, got, row.want)
		}
	}
}
