// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package decision_test

import (
	"encoding/base64"
	"strings"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/credential"
	"github.com/jupico-operator/jupico-operator/internal/decision"
	"github.com/jupico-operator/jupico-operator/internal/jupico/endpoint"
	"github.com/jupico-operator/jupico-operator/internal/render"
)

// tokenAt is a token, in plain words, and an endpoint.
type tokenAt struct {
	token string
	at    endpoint.Endpoint
}

func endpointOf(resource *v1alpha1.JupicoCredential) endpoint.Endpoint {
	if at := resource.Spec.Endpoint; at != nil {
		return endpoint.Endpoint{URL: at.URL, CA: string(at.CABundle)}
	}
	return endpoint.Endpoint{URL: decision.EnvironmentURL(resource.Spec.Environment)}
}

func (w *world) endpoint() endpoint.Endpoint { return endpointOf(w.resource) }

// secretOf returns the source of an entry.
func (w *world) secretOf(resource *v1alpha1.JupicoCredential, i int) *secret {
	if w.sourceOf != nil {
		return w.sourceOf(&resource.Spec.Credentials[i])
	}
	if resource.Spec.Credentials[i].SecretName() == standbyName {
		return w.standby
	}
	return w.source
}

// credential makes a login or an API key of a value. Either makes the token that encode does.
func (s *secret) credential() credential.Credential {
	if s.key {
		c, _, err := credential.APIKey(encode(s.value))
		return must(c, err)
	}
	c, _, err := credential.Login([]byte("user"), []byte(s.value))
	return must(c, err)
}

func encode(token string) []byte {
	return []byte(base64.StdEncoding.EncodeToString([]byte("user:" + token)))
}

func decode(token credential.Token) string {
	encoded := strings.TrimPrefix(token.Authorization(), "Basic ")
	return strings.TrimPrefix(string(must(base64.StdEncoding.DecodeString(encoded))), "user:")
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func (s *secret) mark(name string) render.Mark {
	switch {
	case s.isUnmarked:
		return render.Mark{}
	case s.isCopy:
		return render.Mark{Secret: "the original", Created: true}
	default:
		return render.Mark{Secret: name, Created: true}
	}
}
