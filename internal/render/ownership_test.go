// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package render

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
)

// withStatus gives a resource a status that tells of a target.
func withStatus(name string, uid types.UID, keys ...string) func(*v1alpha1.JupicoCredential) {
	return func(resource *v1alpha1.JupicoCredential) {
		resource.Status.Target = &v1alpha1.TargetStatus{Name: name, UID: uid, Keys: keys}
	}
}

func TestWhatIsOursStandsOnTheSecretAndElseInTheStatus(t *testing.T) {
	const name = "payments-jupico"
	type owners = []metav1.OwnerReference
	ours := owners{ourOwner("payments", uid)}
	their := metav1.OwnerReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "payments", UID: "1"}
	created := func(keys ...string) Mark {
		return Mark{Secret: name, Created: true, Keys: append([]string{}, keys...)}
	}
	adopted := func(keys ...string) Mark {
		return Mark{Secret: name, Keys: append([]string{}, keys...)}
	}
	told := withStatus(name, "5", "url", "token")
	content := data("token", "t", "url", "u")
	for _, tc := range []struct {
		sentence string
		mark     string
		owners   owners
		data     map[string][]byte
		status   func(*v1alpha1.JupicoCredential)
		want     Mark
	}{
		{"a marked one is what its mark says", `{"secret":"payments-jupico","created":true,"keys":["url","token"]}`, nil, nil, nil, created("token", "url")},
		{"a marked one that was adopted stays so, whatever owners and status say", `{"secret":"payments-jupico","created":false,"keys":["token","url"]}`, ours, content, told, adopted("token", "url")},
		{"one that a backup brought back is ours as before", `{"secret":"payments-jupico","created":true,"keys":["token"]}`, nil, content, withStatus(name, "6", "token"), created("token")},
		{"keys of the mark and of the status together while the uid is the same", `{"secret":"payments-jupico","created":true,"keys":["old","token"]}`, ours, content, told, created("old", "token", "url")},
		{"the keys of the mark alone once the uid is another", `{"secret":"payments-jupico","created":true,"keys":["old","token"]}`, ours, content, withStatus(name, "6", "token", "url"), created("old", "token")},
		{"a mark without keys has none", `{"secret":"payments-jupico","created":true}`, nil, nil, nil, created()},

		{"unmarked, with the uid of the status, solely ours, and no key but ours", "", ours, content, told, created("token", "url")},
		{"unmarked, with one of our keys missing", "", ours, data("token", "t"), told, created("token", "url")},
		{"unmarked, with a key of others", "", ours, data("token", "t", "theirs", "x"), told, adopted("token", "url")},
		{"unmarked, with another uid", "", ours, content, withStatus(name, "6", "token", "url"), adopted("token", "url")},
		{"unmarked, with another owner too", "", owners{ours[0], their}, content, told, adopted("token", "url")},
		{"unmarked, with another owner only", "", owners{their}, content, told, adopted("token", "url")},
		{"unmarked, with the owner reference of a former resource of our name", "", owners{ourOwner("payments", "former")}, content, told, adopted("token", "url")},
		{"unmarked, without owners", "", nil, content, told, adopted("token", "url")},
		{"unmarked Orphan without owners", "", nil, content, both(told, orphan), created("token", "url")},
		{"unmarked Orphan with our owner reference", "", ours, content, both(told, orphan), adopted("token", "url")},
		{"unmarked Orphan with another owner", "", owners{their}, content, both(told, orphan), adopted("token", "url")},
		{"unmarked, without a status", "", ours, content, nil, adopted()},
		{"unmarked, with the status of another target", "", ours, content, withStatus("former", "6", "token", "url"), adopted()},

		{"a mark that cannot be parsed counts for nothing", `{"secret":"payments-jupico","created":true,"keys":`, nil, content, told, adopted("token", "url")},
		{"a mark with other types counts for nothing", `{"secret":"payments-jupico","created":true,"keys":"token"}`, nil, content, told, adopted("token", "url")},
		{"a mark that names no Secret counts for nothing", `{"created":true,"keys":["old"]}`, ours, content, told, created("token", "url")},
		{"a mark of another Secret counts for nothing", `{"secret":"former","created":true,"keys":["old"]}`, nil, content, told, adopted("token", "url")},
	} {
		t.Run(tc.sentence, func(t *testing.T) {
			resource := newResource("payments", both(tc.status))
			secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name, UID: "5", OwnerReferences: slices.Clone(tc.owners)}, Data: tc.data}
			if tc.mark != "" {
				secret.Annotations = map[string]string{v1alpha1.AnnotationOwnership: tc.mark}
			}
			wantEqual(t, "what is ours", OwnershipOf(secret, resource), tc.want)

			wantEqual(t, "what is ours once it is written", Apply(secret, resource, nil), tc.want)
			mark := ParseMark(secret.Annotations[v1alpha1.AnnotationOwnership])
			wantEqual(t, "the mark", mark, tc.want)
			isOwned := tc.want.Created && resource.Spec.Target.CreationPolicy != v1alpha1.CreationPolicyOrphan
			wantEqual(t, "it would be deleted with the resource", IsOwnedBy(secret, resource), isOwned)
		})
	}
}

// both makes these changes, of which one may be nil.
func both(changes ...func(*v1alpha1.JupicoCredential)) func(*v1alpha1.JupicoCredential) {
	return func(resource *v1alpha1.JupicoCredential) {
		for _, change := range changes {
			if change != nil {
				change(resource)
			}
		}
	}
}

func TestANewSecretIsOursWhateverTheStatusTells(t *testing.T) {
	for sentence, status := range map[string]func(*v1alpha1.JupicoCredential){
		"of nothing": nil, "of one that was deleted": withStatus("payments-jupico", "6", "old"),
	} {
		t.Run(sentence, func(t *testing.T) {
			secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "payments-jupico"}}
			got := Apply(secret, newResource("payments", both(status)), data("url", "u", "token", "t"))
			want := Mark{Secret: "payments-jupico", Created: true, Keys: []string{"token", "url"}}
			wantEqual(t, "what is ours", got, want)
			wantEqual(t, "the mark", secret.Annotations["credentials.jupico.dev/ownership"],
				`{"secret":"payments-jupico","created":true,"keys":["token","url"]}`)
		})
	}
}

func TestAMarkTellsCopiesAndAdoptedSecrets(t *testing.T) {
	for _, tc := range []struct {
		sentence, mark            string
		isCopy, isAdopted, isOurs bool
	}{
		{"no mark", "", false, false, true},
		{"a mark of one that we made", `{"secret":"payments-jupico","created":true,"keys":[]}`, false, false, true},
		{"a mark of one that we adopted", `{"secret":"payments-jupico","created":false,"keys":[]}`, false, true, true},
		{"a mark of a Secret of another name", `{"secret":"former","created":true,"keys":[]}`, true, false, false},
		{"a mark that is no JSON", `payments-jupico`, false, false, true},
		{"a mark that ends too early", `{"secret":"former"`, false, false, true},
		{"a mark of other types", `{"secret":"former","keys":1}`, false, false, true},
		{"a mark that names no Secret", `{}`, false, false, true},
		{"a mark that says nothing", `null`, false, false, true},
	} {
		t.Run(tc.sentence, func(t *testing.T) {
			mark := ParseMark(tc.mark)
			wantEqual(t, "it is a copy", mark.IsCopy("payments-jupico"), tc.isCopy)
			wantEqual(t, "it is adopted", mark.IsAdopted(), tc.isAdopted)
			secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "payments-jupico", Annotations: map[string]string{
				v1alpha1.AnnotationManagedBy: "payments", v1alpha1.AnnotationOwnership: tc.mark,
			}}}
			wantEqual(t, "it is managed by its resource", IsManaged(secret, "payments"), tc.isOurs)
			wantEqual(t, "it is managed by another", IsManaged(secret, "another"), false)
		})
	}
}

func TestAnAdoptedSecretNeverGetsOurOwnerReference(t *testing.T) {
	their := metav1.OwnerReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "payments", UID: "1"}
	for sentence, policy := range map[string]func(*v1alpha1.JupicoCredential){
		"by Owner": nil, "by Orphan": orphan,
	} {
		t.Run(sentence, func(t *testing.T) {
			secret := written(false, "token")
			secret.OwnerReferences = []metav1.OwnerReference{ourOwner("payments", uid), their, ourOwner("another", "4")}
			Apply(secret, newResource("payments", both(policy)), data("token", "t"))
			wantEqual(t, "owners", secret.OwnerReferences, []metav1.OwnerReference{their})
		})
	}
}

func TestASecretIsOwnedByTheResourceThatItsOwnerNames(t *testing.T) {
	for _, tc := range []struct {
		sentence string
		owner    metav1.OwnerReference
		want     bool
	}{
		{"of our name", ourOwner("payments", uid), true},
		{"of our name, made before", ourOwner("payments", "former"), true},
		{"of another name", ourOwner("another", uid), false},
		{"of another kind", metav1.OwnerReference{APIVersion: v1alpha1.GroupVersion.String(), Kind: "Other", Name: "payments"}, false},
		{"of another group", metav1.OwnerReference{APIVersion: "apps/v1", Kind: v1alpha1.Kind, Name: "payments"}, false},
	} {
		t.Run(tc.sentence, func(t *testing.T) {
			secret := &corev1.Secret{}
			secret.OwnerReferences = []metav1.OwnerReference{{Name: "theirs"}, tc.owner}
			wantEqual(t, "owned", IsOwnedBy(secret, newResource("payments")), tc.want)
		})
	}
}

func TestAReleasedSecretIsAsOthersLeftItButForItsData(t *testing.T) {
	for sentence, resource := range map[string]*v1alpha1.JupicoCredential{
		"by an owner":                  newResource("payments"),
		"by one that leaves an orphan": newResource("payments", orphan),
	} {
		t.Run(sentence, func(t *testing.T) {
			secret, want := foreign(), foreign()
			Apply(secret, resource, data("token", "t"))
			Release(secret)
			want.Data["token"] = []byte("t")
			want.OwnerReferences = want.OwnerReferences[:3] // without that to another JupicoCredential
			wantEqual(t, "the Secret", secret, want)
		})
	}
}

func TestAReleasedSecretKeepsWhatTheTemplateGaveIt(t *testing.T) {
	secret := &corev1.Secret{}
	Apply(secret, newResource("payments", withTemplate("", []string{"team", "a"}, []string{"note", "b"})), nil)
	Release(secret)
	wantEqual(t, "labels", secret.Labels, map[string]string{"team": "a"})
	wantEqual(t, "annotations", secret.Annotations, map[string]string{"note": "b"})
}

func TestReleaseTakesOurOwnersAndLabelsOnly(t *testing.T) {
	their := metav1.OwnerReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "payments", UID: "1"}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{
		OwnerReferences: []metav1.OwnerReference{ourOwner("payments", "former"), their, ourOwner("another", uid)},
		Labels:          map[string]string{"app.kubernetes.io/managed-by": "Helm", "app.kubernetes.io/component": "credential", "empty": ""},
	}}
	Release(secret)
	wantEqual(t, "owners", secret.OwnerReferences, []metav1.OwnerReference{their})
	wantEqual(t, "labels", secret.Labels, map[string]string{"app.kubernetes.io/managed-by": "Helm", "empty": ""})
}

func TestAWithdrawnSecretIsAsItWasBeforeItWasAdopted(t *testing.T) {
	secret, want := foreign(), foreign()
	resource := newResource("payments", withTemplate("", []string{"tier", "a"}, []string{"shop.example/note", "b"}))
	ownership := Apply(secret, resource, data("token", "t", "url", "u"))
	wantEqual(t, "it is made by us", ownership.Created, false)
	Withdraw(secret, ownership.Keys)
	want.OwnerReferences = want.OwnerReferences[:3] // without that to another JupicoCredential
	wantEqual(t, "the Secret", secret, want)
}

func TestASecretWithoutMetadataCanBeReleasedAndWithdrawn(t *testing.T) {
	for sentence, take := range map[string]func(*corev1.Secret){
		"released":  Release,
		"withdrawn": func(secret *corev1.Secret) { Withdraw(secret, []string{"gone"}) },
	} {
		t.Run(sentence, func(t *testing.T) {
			secret := &corev1.Secret{Data: data("token", "t")}
			take(secret)
			wantEqual(t, "data", secret.Data, data("token", "t"))
			once := secret.DeepCopy()
			take(secret)
			wantEqual(t, "the Secret, the next time", secret, once)
		})
	}
}
