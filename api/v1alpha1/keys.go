// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// Annotations that the operator reads and writes.
const (
	// AnnotationCheckRequestedAt on a JupicoCredential requests a check now, each time its value changes. After the check,
	// status.lastHandledCheckRequest has the same value.
	AnnotationCheckRequestedAt = "credentials.jupico.dev/check-requested-at"

	// AnnotationManagedBy on a Secret names the JupicoCredential, in the same namespace, that writes the Secret. The
	// operator never touches a Secret without it. To hand an existing Secret over to the operator, add it.
	AnnotationManagedBy = "credentials.jupico.dev/managed-by"

	// AnnotationOwnership on a target says, in JSON, which keys the operator wrote and whether it created the Secret. One
	// write changes both the data and this annotation.
	AnnotationOwnership = "credentials.jupico.dev/ownership"

	// AnnotationTemplateLabels and AnnotationTemplateAnnotations on a target list what comes from spec.target.template, so
	// that what leaves the spec can leave the target. They are not in status, so that one write changes both.
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
	TargetKeyAuthorization = "authorization" // the value of an Authorization header: "Basic " and the token
	TargetKeyToken         = "token"         // the token, exactly as the API accepted it
	TargetKeyURL           = "url"           // the base URL of the API, without a trailing slash
)

// MaxCheckRequestLength is the length, in characters, to which status.lastHandledCheckRequest is cut.
const MaxCheckRequestLength = 256

// MaxCredentials is the maximum number of entries in spec.credentials: a preferred one and a standby.
const MaxCredentials = 2

// MaxCABundle is the maximum length of the certificates in a ConfigMap, in bytes: that of spec.endpoint.caBundle.
const MaxCABundle = 128 << 10
