// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// Annotations that the operator reads and writes.
const (
	// AnnotationCheckRequestedAt on a JupicoCredential asks for a check now, each time its value changes.
	// status.lastHandledCheckRequest repeats the value when that was done.
	AnnotationCheckRequestedAt = "credentials.jupico.dev/check-requested-at"

	// AnnotationManagedBy on a Secret names the JupicoCredential, in the same namespace, that writes it. A Secret
	// without it is never touched; putting it on an existing Secret hands that Secret over.
	AnnotationManagedBy = "credentials.jupico.dev/managed-by"

	// AnnotationTemplateLabels and AnnotationTemplateAnnotations on a target list the labels and annotations that it has
	// from spec.target.template, so that those which are taken off the spec are taken off the target too. They stand on
	// the target, not in status, because they are then written together with what they are about.
	AnnotationTemplateLabels      = "credentials.jupico.dev/template-labels"
	AnnotationTemplateAnnotations = "credentials.jupico.dev/template-annotations"
)

// Default keys of source Secrets and ConfigMaps.
const (
	DefaultUsernameKey = "username"
	DefaultPasswordKey = "password"
	DefaultAPIKeyKey   = "apiKey"
	DefaultCAKey       = "ca.crt"
)

// Keys of the target Secret.
const (
	// TargetKeyAuthorization holds the value of an Authorization header: "Basic " and the token.
	TargetKeyAuthorization = "authorization"
	// TargetKeyToken holds the token, byte for byte as the API accepted it.
	TargetKeyToken = "token"
	// TargetKeyURL holds the base URL of the API, with no trailing slash.
	TargetKeyURL = "url"
)

// MaxCheckRequestLength is the bound, in characters, of status.lastHandledCheckRequest. A longer annotation is clipped.
const MaxCheckRequestLength = 256

// MaxCredentials is the bound of spec.credentials: a preferred one, and one that stands by.
const MaxCredentials = 2
