// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package render

import (
	"testing"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/credential"
)

func BenchmarkRender(b *testing.B) {
	login, _, err := credential.Login([]byte("demoApiUser"), []byte("V8m!xP#l2Qz3"))
	if err != nil {
		b.Fatal(err)
	}
	proven := Proven{Token: login.Token(credential.Standard), URL: baseURL, Entry: "main", Credential: login}
	for name, data := range map[string]map[string]v1alpha1.DataTemplate{
		"default": nil, "template": {"jupico.env": "JUPICO_AUTHORIZATION={{ .Authorization | squote }}\n"},
	} {
		b.Run(name, func(b *testing.B) {
			resource := newResource("payments", func(r *v1alpha1.JupicoCredential) {
				r.Spec.Target.Template = &v1alpha1.TargetTemplate{Data: data}
			})
			b.ReportAllocs()
			for b.Loop() {
				templates, err := Compile(resource)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := templates.Render(proven); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
