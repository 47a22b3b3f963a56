// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package decision_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
)

// specEdit edits a field of a spec at random. It may come to nothing, or to what the schema refuses.
type specEdit struct {
	field string
	edit  func(spec *v1alpha1.JupicoCredentialSpec, random *rand.Rand)
}

func oneOf[T any](random *rand.Rand, values ...T) T { return values[random.IntN(len(values))] }

// specEdits has at least one edit of every field.
func specEdits() []specEdit {
	type spec = v1alpha1.JupicoCredentialSpec
	return slices.Concat([]specEdit{
		{"environment", func(s *spec, random *rand.Rand) { s.Environment = oneOf(random, shared, sandbox, production) }},
		{"checkInterval", func(s *spec, random *rand.Rand) {
			s.CheckInterval.Duration = oneOf(random, 30*time.Second, 5*time.Minute, 10*time.Minute, time.Hour)
		}},
		{"suspend", func(s *spec, _ *rand.Rand) { s.Suspend = !s.Suspend }},
	}, endpointEdits(), credentialEdits(), targetEdits())
}

func endpointEdits() []specEdit {
	type spec = v1alpha1.JupicoCredentialSpec
	inEndpoint := func(edit func(*v1alpha1.Endpoint, *rand.Rand)) func(*spec, *rand.Rand) {
		return func(s *spec, random *rand.Rand) {
			if s.Endpoint == nil {
				s.Endpoint = &v1alpha1.Endpoint{URL: gatewayURL}
			}
			edit(s.Endpoint, random)
		}
	}
	return []specEdit{
		{"endpoint.url", func(s *spec, _ *rand.Rand) { s.Endpoint = nil }},
		{"endpoint.url", inEndpoint(func(at *v1alpha1.Endpoint, random *rand.Rand) {
			at.URL = oneOf(random, sandboxURL, productionURL, gatewayURL, deniedURL)
		})},
		{"endpoint.caBundle", inEndpoint(func(at *v1alpha1.Endpoint, random *rand.Rand) {
			at.CABundle, at.CAConfigMapRef = []byte(oneOf(random, "", "right", "right", "other", "garbage")), nil
		})},
		{"endpoint.caConfigMapRef.name", inEndpoint(func(at *v1alpha1.Endpoint, random *rand.Rand) {
			name := oneOf(random, "authorities", "authorities", "missing")
			at.CABundle, at.CAConfigMapRef = nil, &v1alpha1.CAConfigMapReference{Name: name}
		})},
		{"endpoint.caConfigMapRef.key", inEndpoint(func(at *v1alpha1.Endpoint, random *rand.Rand) {
			if at.CAConfigMapRef != nil {
				at.CAConfigMapRef.Key = oneOf(random, "", "ca.crt", "other.crt", "missing.crt")
			}
		})},
	}
}

// credentialEdits edit one entry, or which entries there are.
func credentialEdits() []specEdit {
	type spec = v1alpha1.JupicoCredentialSpec
	secretName := func(random *rand.Rand) string { return oneOf(random, sourceName, standbyName, thirdName, "missing") }
	login := func(random *rand.Rand) *v1alpha1.BasicAuthSecretReference {
		return &v1alpha1.BasicAuthSecretReference{Name: secretName(random)}
	}
	key := func(random *rand.Rand) *v1alpha1.APIKeySecretReference {
		return &v1alpha1.APIKeySecretReference{Name: secretName(random)}
	}
	entryName := func(random *rand.Rand) string { return oneOf(random, "main", "standby", "third", "fourth") }
	inEntry := func(edit func(*v1alpha1.Credential, *rand.Rand)) func(*spec, *rand.Rand) {
		return func(s *spec, random *rand.Rand) { edit(&s.Credentials[random.IntN(len(s.Credentials))], random) }
	}
	reverse := func(s *spec, _ *rand.Rand) { slices.Reverse(s.Credentials) }
	return []specEdit{
		{"credentials.name", inEntry(func(c *v1alpha1.Credential, random *rand.Rand) { c.Name = entryName(random) })},
		{"credentials.name", reverse},
		{"credentials.basicAuthSecretRef.name", inEntry(func(c *v1alpha1.Credential, random *rand.Rand) {
			c.BasicAuthSecretRef, c.APIKeySecretRef = login(random), nil
		})},
		{"credentials.basicAuthSecretRef.usernameKey", inEntry(func(c *v1alpha1.Credential, random *rand.Rand) {
			if c.BasicAuthSecretRef != nil {
				c.BasicAuthSecretRef.UsernameKey = oneOf(random, "", "", "username", "password", "missing")
			}
		})},
		{"credentials.basicAuthSecretRef.passwordKey", inEntry(func(c *v1alpha1.Credential, random *rand.Rand) {
			if c.BasicAuthSecretRef != nil {
				c.BasicAuthSecretRef.PasswordKey = oneOf(random, "", "password", "apiKey", "missing")
			}
		})},
		{"credentials.apiKeySecretRef.name", inEntry(func(c *v1alpha1.Credential, random *rand.Rand) {
			c.BasicAuthSecretRef, c.APIKeySecretRef = nil, key(random)
		})},
		{"credentials.apiKeySecretRef.key", inEntry(func(c *v1alpha1.Credential, random *rand.Rand) {
			if c.APIKeySecretRef != nil {
				c.APIKeySecretRef.Key = oneOf(random, "", "apiKey", "password", "missing")
			}
		})},
		{"credentials.apiKeySecretRef.name", func(s *spec, random *rand.Rand) {
			more := v1alpha1.Credential{Name: entryName(random), APIKeySecretRef: key(random)}
			s.Credentials = slices.Insert(s.Credentials, random.IntN(len(s.Credentials)+1), more)
		}},
		{"credentials.basicAuthSecretRef.name", func(s *spec, random *rand.Rand) {
			more := v1alpha1.Credential{Name: entryName(random), BasicAuthSecretRef: login(random)}
			s.Credentials = slices.Insert(s.Credentials, random.IntN(len(s.Credentials)+1), more)
		}},
		{"credentials.name", func(s *spec, random *rand.Rand) {
			i := random.IntN(len(s.Credentials))
			s.Credentials = slices.Delete(s.Credentials, i, i+1)
		}},
	}
}

func targetEdits() []specEdit {
	type spec = v1alpha1.JupicoCredentialSpec
	inTemplate := func(edit func(*v1alpha1.TargetTemplate, *rand.Rand)) func(*spec, *rand.Rand) {
		return func(s *spec, random *rand.Rand) {
			if s.Target.Template == nil {
				s.Target.Template = &v1alpha1.TargetTemplate{}
			}
			edit(s.Target.Template, random)
		}
	}
	return []specEdit{
		{"target.name", func(s *spec, random *rand.Rand) {
			s.Target.Name = oneOf(random, targetName, "renamed", takenName, sourceName)
		}},
		{"target.creationPolicy", func(s *spec, random *rand.Rand) {
			s.Target.CreationPolicy = oneOf(random, "", v1alpha1.CreationPolicyOwner, v1alpha1.CreationPolicyOrphan)
		}},
		{"target.template.type", inTemplate(func(t *v1alpha1.TargetTemplate, random *rand.Rand) {
			t.Type = oneOf(random, "", "Opaque", "shop.example/login")
		})},
		{"target.template.labels", inTemplate(func(t *v1alpha1.TargetTemplate, random *rand.Rand) {
			t.Labels = oneOf(random, nil, map[string]v1alpha1.LabelValue{"team": "checkout"})
		})},
		{"target.template.annotations", inTemplate(func(t *v1alpha1.TargetTemplate, random *rand.Rand) {
			t.Annotations = oneOf(random, nil, map[string]v1alpha1.AnnotationValue{"note": "a"})
		})},
		{"target.template.data", inTemplate(func(t *v1alpha1.TargetTemplate, random *rand.Rand) {
			t.Data = map[string]v1alpha1.DataTemplate{"a": oneOf[v1alpha1.DataTemplate](random, "{{ .URL }}", "b", "{{")}
		})},
		{"target.template.data", func(s *spec, _ *rand.Rand) { s.Target.Template = nil }},
	}
}

// isValid says for these edits what the schema says of a spec.
func isValid(spec *v1alpha1.JupicoCredentialSpec) bool {
	names := map[string]bool{}
	for i := range spec.Credentials {
		names[spec.Credentials[i].Name] = true
		if spec.Credentials[i].SecretName() == spec.Target.Name {
			return false
		}
	}
	return len(spec.Credentials) > 0 && len(spec.Credentials) <= v1alpha1.MaxCredentials &&
		len(names) == len(spec.Credentials)
}

// makeStep makes an edit of the spec, or one of what surrounds it, and names it.
func (k *walk) makeStep() string {
	k.t.Helper()
	if k.resource.Spec.Suspend && k.random.IntN(2) == 0 {
		k.change(func(spec *v1alpha1.JupicoCredentialSpec) { spec.Suspend = false })
		return "resume"
	}
	if k.random.IntN(3) == 0 {
		return k.editSecrets()
	}
	for {
		edit := oneOf(k.random, specEdits()...)
		spec := k.resource.Spec.DeepCopy()
		edit.edit(spec, k.random)
		if !isValid(spec) || asJSON(spec) == asJSON(k.resource.Spec) {
			continue
		}
		before := leavesOf(&k.resource.Spec)
		k.change(func(now *v1alpha1.JupicoCredentialSpec) { *now = *spec })
		var changed []string
		for field, value := range leavesOf(spec) {
			if before[field] != value {
				changed = append(changed, field+"="+value)
			}
		}
		slices.Sort(changed)
		return edit.field + ": " + strings.Join(changed, ", ")
	}
}

// editSecrets edits a source, the target, or the certificates.
func (k *walk) editSecrets() string {
	name := oneOf(k.random, sourceName, standbyName, thirdName)
	key := oneOf(k.random, "password", "apiKey", "apiKey", "username")
	source, target := k.sources[name], k.target()
	switch step := k.random.IntN(12); {
	case step == 0:
		delete(k.sources, name)
		return "delete " + name
	case step == 1 && source != nil && !source.isUnreadable:
		source.isUnreadable, source.version = true, k.nextVersion()
		return name + " becomes unreadable"
	case step == 2 && source != nil:
		data := maps.Clone(source.data)
		delete(data, key)
		k.writeSecret(name, data)
		return fmt.Sprintf("take %s out of %s", key, name)
	case step == 3 && target != nil && target.owner == k.resource.Name:
		target.token, target.version, k.touched[target.uid] = "evil", k.nextVersion(), true
		return "tamper"
	case step == 4 && target != nil:
		delete(k.targets, k.resource.Spec.Target.Name)
		return "delete the target"
	case step == 5 && target != nil && target.owner == k.resource.Name:
		target.owner, target.version, k.touched[target.uid] = "somebody", k.nextVersion(), true
		return "take the target over"
	case step == 6 && target != nil && target.owner != k.resource.Name:
		target.owner, target.version, k.touched[target.uid] = k.resource.Name, k.nextVersion(), true
		return "hand the target over"
	case step == 7:
		data := map[string]string{"ca.crt": oneOf(k.random, "right", "right", "other", "garbage")}
		k.authorities["authorities"] = data
		return "write the certificates: " + data["ca.crt"]
	case step == 8 && target == nil:
		uid := types.UID("foreign " + strconv.Itoa(k.version))
		k.targets[k.resource.Spec.Target.Name] = &secret{uid: uid, version: k.nextVersion(), token: "foreign"}
		return "somebody makes a Secret of the target's name"
	default:
		data := map[string]string{"username": "user"}
		if source != nil {
			maps.Copy(data, source.data)
		}
		value := k.value()
		data["username"], data[oneOf(k.random, "password", "apiKey")] = "user", value
		k.writeSecret(name, data)
		return fmt.Sprintf("write %q into %s", value, name)
	}
}

// leavesOf returns the values of all fields of a spec, by their paths, whether they are there or not.
func leavesOf(spec *v1alpha1.JupicoCredentialSpec) map[string]string {
	found := map[string]string{}
	addLeaves(reflect.ValueOf(spec).Elem(), "", found)
	return found
}

func addLeaves(v reflect.Value, path string, found map[string]string) {
	_, isDuration := reflect.TypeAssert[metav1.Duration](v)
	isList := v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Struct
	switch {
	case v.Kind() == reflect.Struct && !isDuration:
		for i := range v.NumField() {
			name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
			addLeaves(v.Field(i), strings.TrimPrefix(path+"."+name, "."), found)
		}
	case v.Kind() == reflect.Pointer && v.IsNil():
		addLeaves(reflect.Zero(v.Type().Elem()), path, found)
	case v.Kind() == reflect.Pointer:
		addLeaves(v.Elem(), path, found)
	case isList && v.Len() == 0:
		addLeaves(reflect.Zero(v.Type().Elem()), path, found)
	case isList:
		for i := range v.Len() {
			addLeaves(v.Index(i), path, found)
		}
	default:
		found[path] += fmt.Sprintf("[%v]", v)
	}
}

func TestEveryFieldOfTheSpecHasAnEditInTheWalks(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 13))
	changes := map[string]bool{}
	for _, edit := range specEdits() {
		isChanged := false
		for range 200 {
			spec := newWorld(t, sandbox).resource.Spec
			for range random.IntN(20) {
				other := spec.DeepCopy()
				if oneOf(random, specEdits()...).edit(other, random); isValid(other) {
					spec = *other
				}
			}
			before := leavesOf(&spec)
			after := spec.DeepCopy()
			edit.edit(after, random)
			isChanged = isChanged || isValid(after) && before[edit.field] != leavesOf(after)[edit.field]
		}
		if !isChanged {
			t.Errorf("an edit of %q does not change it", edit.field)
		}
		changes[edit.field] = true
	}
	for field := range leavesOf(&v1alpha1.JupicoCredentialSpec{}) {
		if !changes[field] {
			t.Errorf("the field %q has no edit in the walks", field)
		}
	}
}
