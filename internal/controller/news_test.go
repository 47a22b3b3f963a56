// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"testing"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/objectwatch"
)

func TestASecretIsNewsUntilEachEntryThatReadsItHasReadItAsItIs(t *testing.T) {
	now := &objectwatch.Object{UID: "1", ResourceVersion: "6", ManagedBy: "payments"}
	for sentence, tc := range map[string]struct {
		versions []string
		want     bool
	}{
		"nothing was read":              {nil, true},
		"both have read it":             {[]string{"6", "6"}, false},
		"one has read what was before":  {[]string{"5", "6"}, true},
		"the other did":                 {[]string{"6", "5"}, true},
		"one reads it, one another one": {[]string{"", "6"}, false},
	} {
		resource := &v1alpha1.JupicoCredential{}
		for _, version := range tc.versions {
			source := &v1alpha1.SourceStatus{UID: "1", ResourceVersion: version}
			if version == "" {
				source.UID = "2"
			}
			resource.Status.Credentials = append(resource.Status.Credentials, v1alpha1.CredentialStatus{Source: source})
		}
		if got := isNews(resource, "source", now); got != tc.want {
			t.Errorf("%s: it is news: %t", sentence, got)
		}
	}
}

func TestAWriteOfTheTargetIsNewsToOthersAlone(t *testing.T) {
	writer, reader, other := &v1alpha1.JupicoCredential{}, &v1alpha1.JupicoCredential{}, &v1alpha1.JupicoCredential{}
	writer.Name, writer.Spec.Target.Name = "payments", "token"
	reader.Name, reader.Spec.Target.Name = "reader", "another"
	other.Name, other.Spec.Target.Name = "other", "token"
	writer.Status.ObservedGeneration = -1 // the cache may not have seen the first status yet
	for sentence, tc := range map[string]struct {
		now  *objectwatch.Object
		want bool
	}{
		"its own write":  {&objectwatch.Object{UID: "1", ResourceVersion: "1", ManagedBy: "payments", OwnWrite: true}, false},
		"a later change": {&objectwatch.Object{UID: "1", ResourceVersion: "2", ManagedBy: "payments"}, true},
		"its end":        {nil, true},
	} {
		if got := isNews(writer, "token", tc.now); got != tc.want {
			t.Errorf("%s is news to its writer: %t", sentence, got)
		}
		if !isNews(reader, "token", tc.now) || !isNews(other, "token", tc.now) {
			t.Errorf("%s is no news to others", sentence)
		}
	}
}
