// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package render

import (
	"maps"
	"reflect"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
)

const (
	baseURL = "https://sandbox-platform.jupico.com"
	uid     = types.UID("0b7c5d0e-1111-4222-8333-444455556666")
)

func newResource(name string, change ...func(*v1alpha1.JupicoCredential)) *v1alpha1.JupicoCredential {
	resource := &v1alpha1.JupicoCredential{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: name, UID: uid,
			Labels:      map[string]string{"of": "the resource"},
			Annotations: map[string]string{"of": "the resource"},
		},
		Spec: v1alpha1.JupicoCredentialSpec{Target: v1alpha1.Target{Name: "payments-jupico"}},
	}
	for _, change := range change {
		change(resource)
	}
	return resource
}

func orphan(resource *v1alpha1.JupicoCredential) {
	resource.Spec.Target.CreationPolicy = v1alpha1.CreationPolicyOrphan
}

// ourOwner is the owner reference to the resource of that name.
func ourOwner(name string, uid types.UID) metav1.OwnerReference {
	return metav1.OwnerReference{
		APIVersion: "credentials.jupico.dev/v1alpha1", Kind: "JupicoCredential", Name: name, UID: uid,
	}
}

func data(pairs ...string) map[string][]byte {
	content := map[string][]byte{}
	for pair := range slices.Chunk(pairs, 2) {
		content[pair[0]] = []byte(pair[1])
	}
	return content
}

func wantEqual(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func TestANewSecretIsWholeAndHasNothingElse(t *testing.T) {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "payments-jupico"}}
	Apply(secret, newResource("payments"), data("token", "t"))
	wantEqual(t, "the Secret", secret, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: "payments-jupico",
			Labels: map[string]string{
				"app.kubernetes.io/managed-by": "jupico-operator",
				"app.kubernetes.io/component":  "credential",
			},
			Annotations: map[string]string{
				"credentials.jupico.dev/managed-by": "payments",
				"credentials.jupico.dev/ownership":  `{"secret":"payments-jupico","created":true,"keys":["token"]}`,
			},
			OwnerReferences: []metav1.OwnerReference{ourOwner("payments", uid)},
		},
		Type: corev1.SecretTypeOpaque,
		Data: data("token", "t"),
	})
}

func TestTheOwnerDoesNotBlockDeletion(t *testing.T) {
	secret := &corev1.Secret{}
	Apply(secret, newResource("payments"), nil)
	owner := secret.OwnerReferences[0]
	if owner.BlockOwnerDeletion != nil || owner.Controller != nil {
		t.Errorf("got %+v", owner)
	}
}

// foreign is a Secret as others left it, with something of theirs in every place.
func foreign() *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: "payments-jupico", UID: "5", ResourceVersion: "7",
			Labels:      map[string]string{"team": "checkout", "app.kubernetes.io/part-of": "shop"},
			Annotations: map[string]string{"note": "theirs"},
			Finalizers:  []string{"theirs.example/finalizer"},
			OwnerReferences: []metav1.OwnerReference{
				{APIVersion: "apps/v1", Kind: "Deployment", Name: "payments", UID: "1"},
				{APIVersion: "apps/v1", Kind: v1alpha1.Kind, Name: "payments", UID: "2"},
				{APIVersion: v1alpha1.GroupVersion.String(), Kind: "Other", Name: "payments", UID: "3"},
				ourOwner("another", "4"),
			},
		},
		Type: "shop.example/login",
		Data: data("theirs", "kept"),
	}
}

func TestWhatOthersWroteIsKept(t *testing.T) {
	for sentence, resource := range map[string]*v1alpha1.JupicoCredential{
		"by an owner":                  newResource("payments"),
		"by one that leaves an orphan": newResource("payments", orphan),
	} {
		t.Run(sentence, func(t *testing.T) {
			secret, before := foreign(), foreign()
			Apply(secret, resource, data("token", "t"))
			wantEqual(t, "data", secret.Data, data("token", "t", "theirs", "kept"))
			wantEqual(t, "type", secret.Type, before.Type)
			wantEqual(t, "finalizers", secret.Finalizers, before.Finalizers)
			wantEqual(t, "resourceVersion", secret.ResourceVersion, before.ResourceVersion)
			wantContains(t, "label", secret.Labels, before.Labels)
			wantContains(t, "annotation", secret.Annotations, before.Annotations)
			wantEqual(t, "their owners", secret.OwnerReferences, before.OwnerReferences[:3])
		})
	}
}

func wantContains(t *testing.T, what string, got, want map[string]string) {
	t.Helper()
	for key, value := range want {
		if got[key] != value {
			t.Errorf("%s %s is %q, want %q", what, key, got[key], value)
		}
	}
}

// written is a Secret that exists, with a mark that says who made it and which keys are ours.
func written(created bool, keys ...string) *corev1.Secret {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "payments-jupico", UID: "5"}}
	setMark(secret, Mark{Secret: secret.Name, Created: created, Keys: keys})
	return secret
}

func TestKeysThatAreRenderedNoMoreAreRemoved(t *testing.T) {
	for _, tc := range []struct {
		sentence string
		present  map[string][]byte
		rendered map[string][]byte
		written  []string
		want     map[string][]byte
	}{
		{"one of ours goes", data("old", "o", "token", "t"), data("token", "t"), []string{"old", "token"}, data("token", "t")},
		{"one of others stays", data("theirs", "x", "token", "t"), data("token", "t"), []string{"token"}, data("theirs", "x", "token", "t")},
		{"one that is gone already is no trouble", data("token", "t"), data("token", "t"), []string{"old", "token"}, data("token", "t")},
		{"one that is rendered again is renewed", data("token", "t"), data("token", "u"), []string{"token"}, data("token", "u")},
		{"one of others with a rendered name is taken over", data("token", "x"), data("token", "t"), nil, data("token", "t")},
		{"a Secret without data gets some", nil, data("token", "t"), []string{"old"}, data("token", "t")},
	} {
		t.Run(tc.sentence, func(t *testing.T) {
			secret := written(true, tc.written...)
			secret.Data = tc.present
			rendered := maps.Clone(tc.rendered)
			ownership := Apply(secret, newResource("payments"), rendered)
			wantEqual(t, "data", secret.Data, tc.want)
			wantEqual(t, "what was rendered", rendered, tc.rendered)
			wantEqual(t, "keys", ownership.Keys, slices.Sorted(maps.Keys(tc.rendered)))
			wantEqual(t, "the mark", OwnershipOf(secret, newResource("payments")).Keys, ownership.Keys)
		})
	}
}

// withTemplate gives a resource a template of that type, those labels and those annotations, written as pairs.
func withTemplate(secretType string, labels, annotations []string) func(*v1alpha1.JupicoCredential) {
	template := &v1alpha1.TargetTemplate{
		Type: secretType, Labels: map[string]v1alpha1.LabelValue{}, Annotations: map[string]v1alpha1.AnnotationValue{},
	}
	for pair := range slices.Chunk(labels, 2) {
		template.Labels[pair[0]] = v1alpha1.LabelValue(pair[1])
	}
	for pair := range slices.Chunk(annotations, 2) {
		template.Annotations[pair[0]] = v1alpha1.AnnotationValue(pair[1])
	}
	return func(resource *v1alpha1.JupicoCredential) { resource.Spec.Target.Template = template }
}

func TestTheTemplateNamesTheType(t *testing.T) {
	none := func(*v1alpha1.JupicoCredential) {}
	for _, tc := range []struct {
		sentence string
		template func(*v1alpha1.JupicoCredential)
		present  corev1.SecretType
		want     corev1.SecretType
	}{
		{"a new Secret is Opaque", none, "", "Opaque"},
		{"a new Secret is Opaque when the template names no type", withTemplate("", nil, nil), "", "Opaque"},
		{"a new Secret has the type of the template", withTemplate("shop.example/login", nil, nil), "", "shop.example/login"},
		{"one that exists keeps its type", none, "shop.example/login", "shop.example/login"},
		{"one that exists keeps its type when the template names none", withTemplate("", nil, nil), "shop.example/login", "shop.example/login"},
		{"one that exists is to have the type of the template", withTemplate("Opaque", nil, nil), "shop.example/login", "Opaque"},
	} {
		t.Run(tc.sentence, func(t *testing.T) {
			secret := &corev1.Secret{Type: tc.present}
			Apply(secret, newResource("payments", tc.template), data("token", "t"))
			wantEqual(t, "type", secret.Type, tc.want)
		})
	}
}

func TestWithoutDataTheDataAndTheTypeStay(t *testing.T) {
	secret := written(true, "old", "token")
	secret.Type, secret.Data = "shop.example/login", data("old", "o", "token", "t", "theirs", "x")
	want := secret.DeepCopy()
	ownership := Apply(secret, newResource("payments", withTemplate("Opaque", []string{"team", "a"}, nil)), nil)
	wantEqual(t, "type", secret.Type, want.Type)
	wantEqual(t, "data", secret.Data, want.Data)
	wantEqual(t, "keys", ownership.Keys, []string{"old", "token"})
	wantEqual(t, "label", secret.Labels["team"], "a")
}

func TestLabelsAndAnnotationsFollowTheTemplate(t *testing.T) {
	secret := foreign()
	apply := func(labels, annotations []string) {
		Apply(secret, newResource("payments", withTemplate("", labels, annotations)), nil)
	}
	label := func(name string) string { return secret.Labels[name] }
	annotation := func(name string) string { return secret.Annotations[name] }

	apply([]string{"tier", "back", "app.kubernetes.io/name", "n"}, []string{"shop.example/note", "ours"})
	wantEqual(t, "tier", label("tier"), "back")
	wantEqual(t, "app.kubernetes.io/name", label("app.kubernetes.io/name"), "n")
	wantEqual(t, "shop.example/note", annotation("shop.example/note"), "ours")
	wantEqual(t, "what is noted", annotation("credentials.jupico.dev/template-labels"), "app.kubernetes.io/name,tier")
	wantContains(t, "label", secret.Labels, foreign().Labels)
	wantContains(t, "annotation", secret.Annotations, foreign().Annotations)

	apply([]string{"tier", "front"}, []string{"shop.example/other", "ours"})
	wantEqual(t, "tier", label("tier"), "front")
	for _, gone := range []string{label("app.kubernetes.io/name"), annotation("shop.example/note")} {
		wantEqual(t, "what is no longer in the template", gone, "")
	}

	apply(nil, nil)
	want := foreign()
	Apply(want, newResource("payments"), nil)
	wantEqual(t, "the Secret, once the template is empty", secret, want)
}

func TestATemplateDoesNotOverrideOurOwnMarks(t *testing.T) {
	secret := written(true, "token")
	marks := []string{"app.kubernetes.io/managed-by", "theirs", "credentials.jupico.dev/managed-by", "theirs",
		"credentials.jupico.dev/ownership", "theirs", "credentials.jupico.dev/template-labels", "theirs", "credentials.jupico.dev/template-annotations", "theirs"}
	resource := newResource("payments", withTemplate("", marks, marks))
	Apply(secret, resource, nil)
	once := secret.DeepCopy()
	wantEqual(t, "label", secret.Labels["app.kubernetes.io/managed-by"], "jupico-operator")
	wantEqual(t, "annotation", secret.Annotations["credentials.jupico.dev/managed-by"], "payments")
	wantEqual(t, "keys", OwnershipOf(secret, resource).Keys, []string{"token"})
	Apply(secret, resource, nil)
	wantEqual(t, "the Secret, the next time", secret, once)
}

func TestASuccessorHasEverythingButAnIdentityAndFinalizers(t *testing.T) {
	secret := foreign()
	secret.Immutable = new(true)
	Apply(secret, newResource("payments", withTemplate("Opaque", nil, nil)), data("token", "t"))
	want := secret.DeepCopy()
	want.UID, want.ResourceVersion, want.Finalizers, want.Immutable = "", "", nil, nil
	wantEqual(t, "the successor", Successor(secret), want)
}

func TestTheCreationPolicyDecidesOnTheOwner(t *testing.T) {
	their := metav1.OwnerReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "payments", UID: "1"}
	ours, former, another := ourOwner("payments", uid), ourOwner("payments", "former"), ourOwner("another", "4")
	blocking := ours
	blocking.BlockOwnerDeletion = new(true)
	owner := func(resource *v1alpha1.JupicoCredential) {
		resource.Spec.Target.CreationPolicy = v1alpha1.CreationPolicyOwner
	}
	type owners = []metav1.OwnerReference
	for _, tc := range []struct {
		sentence string
		policy   func(*v1alpha1.JupicoCredential)
		present  owners
		want     owners
	}{
		{"Owner adds it", owner, nil, owners{ours}},
		{"none means Owner", func(*v1alpha1.JupicoCredential) {}, nil, owners{ours}},
		{"Owner adds it beside another", owner, owners{their}, owners{their, ours}},
		{"Owner keeps it", owner, owners{ours}, owners{ours}},
		{"a resource that was made again replaces the former one", owner, owners{former, their}, owners{their, ours}},
		{"all former ones are replaced", owner, owners{former, ours, former}, owners{ours}},
		{"Orphan adds none", orphan, owners{their}, owners{their}},
		{"Orphan takes it away", orphan, owners{their, ours}, owners{their}},
		{"Orphan takes the former one away", orphan, owners{former, their}, owners{their}},
		{"Owner takes that of another resource away", owner, owners{another, their}, owners{their, ours}},
		{"Orphan takes that of another resource away", orphan, owners{another, their}, owners{their}},
		{"one that blocks the deletion is replaced", owner, owners{blocking, their}, owners{their, ours}},
	} {
		t.Run(tc.sentence, func(t *testing.T) {
			secret := written(true)
			secret.OwnerReferences = slices.Clone(tc.present)
			Apply(secret, newResource("payments", tc.policy), nil)
			wantEqual(t, "owners", secret.OwnerReferences, tc.want)
		})
	}
}

// TestARightOwnerIsLeftInItsPlace: another order would be a change, and so a write, of what is as it should be.
func TestARightOwnerIsLeftInItsPlace(t *testing.T) {
	ours := ourOwner("payments", uid)
	their := metav1.OwnerReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "payments", UID: "1"}
	want := []metav1.OwnerReference{ours, their}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{OwnerReferences: slices.Clone(want)}}
	Apply(secret, newResource("payments"), nil)
	wantEqual(t, "owners", secret.OwnerReferences, want)
}

func TestApplyingTwiceIsApplyingOnce(t *testing.T) {
	for sentence, start := range map[string]*corev1.Secret{"to a new Secret": {}, "to a Secret of others": foreign()} {
		for policy, change := range map[string]func(*v1alpha1.JupicoCredential){
			"as an owner": func(*v1alpha1.JupicoCredential) {}, "as an orphan": orphan,
		} {
			t.Run(sentence+" "+policy, func(t *testing.T) {
				secret, resource := start.DeepCopy(), newResource("payments", change)
				content := data("token", "t", "url", baseURL)
				first := Apply(secret, resource, content)
				secret.UID = "5"
				once := secret.DeepCopy()
				wantEqual(t, "what is ours", Apply(secret, resource, content), first)
				wantEqual(t, "the Secret", secret, once)
			})
		}
	}
}

func TestWhatWasChangedOfOursIsPutRight(t *testing.T) {
	secret := written(true, "token")
	resource := newResource("payments")
	Apply(secret, resource, data("token", "t"))
	want := secret.DeepCopy()
	for key := range secret.Labels {
		secret.Labels[key] = "changed"
	}
	delete(secret.Annotations, v1alpha1.AnnotationManagedBy)
	secret.OwnerReferences = nil
	secret.Data = data("token", "changed")
	Apply(secret, resource, data("token", "t"))
	wantEqual(t, "the Secret", secret, want)
}

// A GitOps tool may take what has this label for its own, and prune it.
func TestATargetIsLabelledAsNoInstanceOfAnApplication(t *testing.T) {
	secret := &corev1.Secret{}
	Apply(secret, newResource("payments"), nil)
	if value, exists := secret.Labels["app.kubernetes.io/instance"]; exists {
		t.Errorf("it is labelled as an instance of %q", value)
	}
}

func TestNothingOfTheResourcesOwnMetadataIsCopied(t *testing.T) {
	secret := &corev1.Secret{}
	Apply(secret, newResource("payments"), nil)
	if secret.Labels["of"] != "" || secret.Annotations["of"] != "" {
		t.Errorf("got the labels %v and the annotations %v", secret.Labels, secret.Annotations)
	}
}

func TestADifferenceIsNamedByItsFirstPart(t *testing.T) {
	base := func() *corev1.Secret {
		secret := &corev1.Secret{Type: corev1.SecretTypeOpaque, Data: data("token", "t", "url", "u")}
		secret.Labels = map[string]string{"team": "a"}
		secret.Annotations = map[string]string{"note": "b"}
		return secret
	}
	for _, tc := range []struct {
		want   string
		change func(*corev1.Secret)
	}{
		{"", func(*corev1.Secret) {}},
		{"", func(secret *corev1.Secret) { secret.OwnerReferences = []metav1.OwnerReference{} }},
		{"", func(secret *corev1.Secret) { secret.ResourceVersion, secret.Immutable = "2", new(true) }},
		{"the type", func(secret *corev1.Secret) { secret.Type = "shop.example/login" }},
		{"the owner references", func(secret *corev1.Secret) {
			secret.OwnerReferences = []metav1.OwnerReference{ourOwner("payments", uid)}
		}},
		{`the key "token"`, func(secret *corev1.Secret) { secret.Data = data("token", "x", "url", "x") }},
		{`the key "url"`, func(secret *corev1.Secret) { delete(secret.Data, "url") }},
		{`the key "more"`, func(secret *corev1.Secret) { secret.Data["more"] = nil }},
		{`the label "team"`, func(secret *corev1.Secret) { secret.Labels = nil }},
		{`the label "empty"`, func(secret *corev1.Secret) { secret.Labels["empty"] = "" }},
		{`the annotation "note"`, func(secret *corev1.Secret) { secret.Annotations["note"] = "x" }},
	} {
		changed := base()
		tc.change(changed)
		wantEqual(t, "difference", Difference(base(), changed), tc.want)
		wantEqual(t, "difference the other way round", Difference(changed, base()), tc.want)
	}
}
