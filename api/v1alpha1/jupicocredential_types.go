// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Environment is one of Jupico's environments. The credentials of one are not valid in another.
// +kubebuilder:validation:Enum=SharedSandbox;Sandbox;Production
type Environment string

const (
	// EnvironmentSharedSandbox is the sandbox with the published account that everybody shares. Jupico resets it every
	// 24 hours, so a rejection there usually heals by itself.
	EnvironmentSharedSandbox Environment = "SharedSandbox"
	// EnvironmentSandbox is the sandbox with an account of your own. It is not reset.
	EnvironmentSandbox Environment = "Sandbox"
	// EnvironmentProduction is where real payments are made.
	EnvironmentProduction Environment = "Production"
)

// CreationPolicy says what happens to the target Secret when its JupicoCredential is deleted.
// +kubebuilder:validation:Enum=Owner;Orphan
type CreationPolicy string

const (
	// CreationPolicyOwner makes the JupicoCredential an owner of the Secret, so that the Secret is deleted with it.
	CreationPolicyOwner CreationPolicy = "Owner"
	// CreationPolicyOrphan keeps the Secret.
	CreationPolicyOrphan CreationPolicy = "Orphan"
)

// Verdict is what the operator concludes about a credential from its checks.
// +kubebuilder:validation:Enum=Accepted;Rejected;Unknown
type Verdict string

const (
	// VerdictAccepted means that the last evidence was an acceptance.
	VerdictAccepted Verdict = "Accepted"
	// VerdictRejected means that the last evidence was a rejection. After an acceptance, a second check has confirmed it.
	VerdictRejected Verdict = "Rejected"
	// VerdictUnknown means that there is no evidence yet.
	VerdictUnknown Verdict = "Unknown"
)

// TokenForm is the way in which a token was made from a username and a password.
// +kubebuilder:validation:Enum=Standard;TrailingNewline
type TokenForm string

const (
	// TokenFormStandard is base64(username:password), as in RFC 7617.
	TokenFormStandard TokenForm = "Standard"
	// TokenFormTrailingNewline is base64(username:password and a line feed), as in Jupico's published API key.
	TokenFormTrailingNewline TokenForm = "TrailingNewline"
)

// JupicoCredentialSpec says which credential to prove, where to prove it, and which Secret to write.
// +kubebuilder:validation:XValidation:rule="self.credentials.all(c, (!has(c.basicAuthSecretRef) || c.basicAuthSecretRef.name != self.target.name) && (!has(c.apiKeySecretRef) || c.apiKeySecretRef.name != self.target.name))",message="the target must be another Secret than the one that the credential is read from: change target.name",fieldPath=".target"
type JupicoCredentialSpec struct {
	// environment is the Jupico environment that the credential belongs to. SharedSandbox and Sandbox are checked at
	// https://sandbox-platform.jupico.com, Production at https://platform.jupico.com.
	// +required
	Environment Environment `json:"environment,omitempty"`

	// endpoint replaces the environment's base URL. The operator's administrator must allow it (--allowed-endpoint).
	// +optional
	Endpoint *Endpoint `json:"endpoint,omitempty"`

	// credentials has one entry, or two of the same account and with the same permissions. The first is preferred. The
	// second is a standby, which replaces the first when Jupico rejects it.
	// +required
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=2
	Credentials []Credential `json:"credentials,omitempty"`

	// target is the Secret that the operator writes, in the namespace of this resource.
	// +required
	Target Target `json:"target,omitzero"`

	// checkInterval is the time between two checks of an accepted credential, from 30s to 24h. Defaults to 5m.
	// +optional
	// +default="5m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') && duration(self) >= duration('30s') && duration(self) <= duration('24h')",message="checkInterval must be a duration between 30s and 24h, such as 5m"
	CheckInterval metav1.Duration `json:"checkInterval,omitzero"`

	// suspend stops all checks and all writes to the target until it is false again. Defaults to false.
	// +optional
	// +default=false
	Suspend bool `json:"suspend,omitempty"`
}

// Endpoint says where to reach the API, if not at the environment's own base URL.
// +kubebuilder:validation:XValidation:rule="!(has(self.caBundle) && has(self.caConfigMapRef))",message="give at most one of caBundle and caConfigMapRef"
type Endpoint struct {
	// url is the base URL: https://host[:port][/path]. The operator appends /status to it.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="isURL(self) && url(self).getScheme() == 'https' && url(self).getHostname() != ''",message="url must be an absolute https:// URL: Jupico's API refuses plain HTTP, and credentials must not travel unencrypted"
	// +kubebuilder:validation:XValidation:rule="!self.contains('@') && !self.contains('?') && !self.contains('#')",message="url must have no userinfo, query or fragment: only https://host[:port][/path]"
	URL string `json:"url,omitempty"`

	// caBundle holds PEM certificates of the authorities to trust at this URL, instead of the operator's own list.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=131072
	CABundle []byte `json:"caBundle,omitempty"`

	// caConfigMapRef names a ConfigMap in the same namespace that holds certificates like those of caBundle.
	// +optional
	CAConfigMapRef *CAConfigMapReference `json:"caConfigMapRef,omitempty"`
}

// CAConfigMapReference names a key in a ConfigMap in the same namespace.
type CAConfigMapReference struct {
	// name of the ConfigMap.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="name must be a valid name for a ConfigMap: lower-case letters, digits, inner hyphens and dots"
	Name string `json:"name,omitempty"`

	// key that holds the PEM certificates. If left out, it is ca.crt.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Key string `json:"key,omitempty"`
}

// Credential is a login or an API key, which is read from a Secret.
// +kubebuilder:validation:XValidation:rule="has(self.basicAuthSecretRef) != has(self.apiKeySecretRef)",message="give exactly one of basicAuthSecretRef (a username and a password) and apiKeySecretRef (an API key)"
type Credential struct {
	// name identifies this credential in status, events and metrics. It could be the key's name in Backoffice. It may
	// contain letters, digits and inner hyphens.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$')",message="name may hold letters, digits and inner hyphens"
	Name string `json:"name,omitempty"`

	// basicAuthSecretRef names a Secret with a username and a password, such as one of type kubernetes.io/basic-auth.
	// +optional
	BasicAuthSecretRef *BasicAuthSecretReference `json:"basicAuthSecretRef,omitempty"`

	// apiKeySecretRef names a Secret that holds an API key from Backoffice. The operator sends the key byte for byte.
	// +optional
	APIKeySecretRef *APIKeySecretReference `json:"apiKeySecretRef,omitempty"`
}

// SecretName returns the name of the Secret that the credential is read from.
func (c *Credential) SecretName() string {
	if c.BasicAuthSecretRef != nil {
		return c.BasicAuthSecretRef.Name
	}
	if c.APIKeySecretRef != nil {
		return c.APIKeySecretRef.Name
	}
	return ""
}

// BasicAuthSecretReference names two keys in a Secret in the same namespace.
type BasicAuthSecretReference struct {
	// name of the Secret.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="name must be a valid name for a Secret: lower-case letters, digits, inner hyphens and dots"
	Name string `json:"name,omitempty"`

	// usernameKey is the key that holds the username. If left out, it is username.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	UsernameKey string `json:"usernameKey,omitempty"`

	// passwordKey is the key that holds the password. If left out, it is password.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	PasswordKey string `json:"passwordKey,omitempty"`
}

// APIKeySecretReference names a key in a Secret in the same namespace.
type APIKeySecretReference struct {
	// name of the Secret.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="name must be a valid name for a Secret: lower-case letters, digits, inner hyphens and dots"
	Name string `json:"name,omitempty"`

	// key that holds the API key. If left out, it is apiKey.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Key string `json:"key,omitempty"`
}

// Target is the Secret that the operator writes.
type Target struct {
	// name of the Secret. An existing Secret is only touched if its annotation credentials.jupico.dev/managed-by has the
	// name of this resource. When you change the name, the new Secret is written before the old one is cleaned up.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="name must be a valid name for a Secret: lower-case letters, digits, inner hyphens and dots"
	Name string `json:"name,omitempty"`

	// creationPolicy says what happens to the Secret when this resource is deleted: Owner deletes it too, Orphan keeps it.
	// A Secret that existed before the operator wrote it is never deleted. If left out, it is Owner.
	// +optional
	CreationPolicy CreationPolicy `json:"creationPolicy,omitempty"`

	// template describes the Secret. If left out, the Secret has the keys authorization, token and url.
	// +optional
	Template *TargetTemplate `json:"template,omitempty"`
}

// TargetTemplate describes the target.
// +kubebuilder:validation:MinProperties=0
// +kubebuilder:validation:XValidation:rule="!has(self.type) || self.type != 'kubernetes.io/basic-auth' || (has(self.data) && 'username' in self.data && 'password' in self.data)",message="the type kubernetes.io/basic-auth needs the keys username and password in data",fieldPath=".data"
type TargetTemplate struct {
	// type of the Secret: Opaque, kubernetes.io/basic-auth, or a type in a domain of your own, such as shop.example/login.
	// If left out, a new Secret is Opaque, and an existing one keeps its type. A Secret's type cannot change. If the
	// operator created the Secret, creationPolicy is Owner, and there are no keys of others in it, the operator deletes it
	// and creates it again as soon as the token is accepted once more. Otherwise you must delete it by hand.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self in ['Opaque', 'kubernetes.io/basic-auth'] || (self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)+/[A-Za-z0-9]([-._A-Za-z0-9]*[A-Za-z0-9])?$') && !self.matches('^([^/]+[.])?(kubernetes[.]io|k8s[.]io)/'))",message="type must be Opaque, kubernetes.io/basic-auth, or a name in a domain of your own, such as shop.example/login"
	Type string `json:"type,omitempty"`

	// labels of the Secret, in addition to the operator's own. One that you remove here is removed from the Secret.
	// +optional
	// +kubebuilder:validation:MinProperties=0
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(k, k.indexOf('/') <= 253 && k.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-._A-Za-z0-9]{0,61}[A-Za-z0-9])?$'))",message="a label must be a valid name, such as team or shop.example/team"
	// +kubebuilder:validation:XValidation:rule="self.all(k, k.startsWith('app.kubernetes.io/') || !k.matches('^([^/]+[.])?(kubernetes[.]io|k8s[.]io|credentials[.]jupico[.]dev)/'))",message="labels under kubernetes.io, k8s.io (but app.kubernetes.io/) and credentials.jupico.dev have a meaning of their own: choose another name"
	// +kubebuilder:validation:XValidation:rule="!self.exists(k, k in ['app.kubernetes.io/managed-by', 'app.kubernetes.io/component'])",message="the labels managed-by and component under app.kubernetes.io are set by the operator: leave them out"
	Labels map[string]LabelValue `json:"labels,omitempty"`

	// annotations of the Secret, in addition to the operator's own. One that you remove here is removed from the Secret.
	// +optional
	// +kubebuilder:validation:MinProperties=0
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(k, k.indexOf('/') <= 253 && k.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-._A-Za-z0-9]{0,61}[A-Za-z0-9])?$'))",message="an annotation must be a valid name, such as note or shop.example/note"
	// +kubebuilder:validation:XValidation:rule="self.all(k, k.startsWith('app.kubernetes.io/') || !k.matches('^([^/]+[.])?(kubernetes[.]io|k8s[.]io|credentials[.]jupico[.]dev)/'))",message="annotations under kubernetes.io, k8s.io (but app.kubernetes.io/) and credentials.jupico.dev have a meaning of their own: choose another name"
	Annotations map[string]AnnotationValue `json:"annotations,omitempty"`

	// data has a template for each key, in the syntax of Go's text/template: text, values such as {{ .Authorization }},
	// functions such as {{ .Password | quote }} and conditions. The operator adds the key token. If data is left out or
	// empty, the keys are authorization, token and url.
	// +optional
	// +kubebuilder:validation:MinProperties=0
	// +kubebuilder:validation:MaxProperties=62
	// +kubebuilder:validation:XValidation:rule="self.all(k, k.size() <= 253 && k.matches('^[-._a-zA-Z0-9]+$') && k != '.' && !k.startsWith('..'))",message="a key of data may hold letters, digits, hyphens, underscores and dots, must not begin with two dots, and has at most 253 characters"
	// +kubebuilder:validation:XValidation:rule="!('token' in self)",message="the key token is always there, and holds the token as the API accepted it: leave it out, or choose another name"
	Data map[string]DataTemplate `json:"data,omitempty"`
}

// LabelValue is the value of a label.
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:Pattern=`^([A-Za-z0-9]([-._A-Za-z0-9]*[A-Za-z0-9])?)?$`
type LabelValue string

// AnnotationValue is the value of an annotation.
// +kubebuilder:validation:MaxLength=4096
type AnnotationValue string

// DataTemplate is the template for the value of a key.
// +kubebuilder:validation:MaxLength=4096
type DataTemplate string

// JupicoCredentialStatus says what the operator knows about the credentials and the target.
type JupicoCredentialStatus struct {
	// conditions are Ready, CredentialAccepted, SecretSynced and EndpointAvailable. With two credentials, Redundant is one
	// too. Reconciling and Stalled are present only while they are True.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:XValidation:rule="self.all(c, c.lastTransitionTime.getFullYear() >= 0)",message="lastTransitionTime must be a time"
	// +patchStrategy=merge
	// +patchMergeKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty" patchStrategy:"merge" patchMergeKey:"type"`

	// observedGeneration is the generation that this status is about. Until the operator has seen the resource, it is -1.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// deployed describes the token that the target holds.
	// +optional
	Deployed *DeployedStatus `json:"deployed,omitempty"`

	// target describes the Secret when it was last written or found to be correct.
	// +optional
	Target *TargetStatus `json:"target,omitempty"`

	// credentials describes the current bytes of each entry's source, in the order of spec.credentials.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=2
	Credentials []CredentialStatus `json:"credentials,omitempty"`

	// lastCheckTime is when the last check ended.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self.getFullYear() >= 0",message="this must be a time such as 2026-01-02T15:04:05Z"
	LastCheckTime *metav1.Time `json:"lastCheckTime,omitempty"`

	// nextCheckTime is when the next check is due. It is empty if none is planned.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self.getFullYear() >= 0",message="this must be a time such as 2026-01-02T15:04:05Z"
	NextCheckTime *metav1.Time `json:"nextCheckTime,omitempty"`

	// lastHandledCheckRequest is the value of the annotation credentials.jupico.dev/check-requested-at for which the
	// operator last made the requested check. A longer value is cut to 256 characters.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	LastHandledCheckRequest string `json:"lastHandledCheckRequest,omitempty"`
}

// CheckRecord says what the checks of one token have shown.
type CheckRecord struct {
	// verdict is what the operator concludes about the token: Accepted, Rejected or Unknown.
	// +optional
	Verdict Verdict `json:"verdict,omitempty"`

	// reason is the outcome that led to the verdict or, while that is Unknown, the last outcome or the source's problem.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Reason string `json:"reason,omitempty"`

	// consecutiveAccepted counts the acceptances since the last rejection, up to 2.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=2
	ConsecutiveAccepted int32 `json:"consecutiveAccepted,omitempty"`

	// consecutiveRejected counts the rejections since the last acceptance. If it is 1 and the verdict is Accepted, the
	// rejection is not confirmed yet.
	// +optional
	// +kubebuilder:validation:Minimum=0
	ConsecutiveRejected int32 `json:"consecutiveRejected,omitempty"`

	// lastCheckTime is when the last check ended.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self.getFullYear() >= 0",message="this must be a time such as 2026-01-02T15:04:05Z"
	LastCheckTime *metav1.Time `json:"lastCheckTime,omitempty"`

	// nextCheckTime is when the next check is due.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self.getFullYear() >= 0",message="this must be a time such as 2026-01-02T15:04:05Z"
	NextCheckTime *metav1.Time `json:"nextCheckTime,omitempty"`

	// lastAcceptedTime is when the API last accepted the token.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self.getFullYear() >= 0",message="this must be a time such as 2026-01-02T15:04:05Z"
	LastAcceptedTime *metav1.Time `json:"lastAcceptedTime,omitempty"`

	// lastRejected is the last rejection. It stays after the token is accepted again, as the trace of a problem.
	// +optional
	LastRejected *Rejection `json:"lastRejected,omitempty"`
}

// Rejection is a check with which the API rejected a token.
type Rejection struct {
	// time of the rejection.
	// +required
	// +kubebuilder:validation:XValidation:rule="self.getFullYear() >= 0",message="this must be a time such as 2026-01-02T15:04:05Z"
	Time metav1.Time `json:"time,omitzero"`

	// reason of the rejection: Rejected, UserInactive or AccountInactive.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Reason string `json:"reason,omitempty"`

	// massRejection is true when most credentials at the endpoint were rejected at once: the cause is likely Jupico's.
	// +optional
	MassRejection bool `json:"massRejection,omitempty"`
}

// DeployedStatus describes the token that the target holds.
type DeployedStatus struct {
	// credential is the name of the entry that the token was made from.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Credential string `json:"credential,omitempty"`

	// endpoint is the base URL that accepted the token. The token is checked there.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	Endpoint string `json:"endpoint,omitempty"`

	// source identifies the bytes that the token was made from. When it names the resourceVersion of the source Secret
	// after an edit, the edit has arrived in the target.
	// +optional
	Source *SourceStatus `json:"source,omitempty"`

	// CheckRecord of the token. While the entry's source makes this token, the schedule and the counters are only in
	// status.credentials. After an edit of the source or the endpoint they are here, and lastCheckTime is set.
	CheckRecord `json:",inline"`
}

// TargetStatus describes the target when it was last written or found to be correct.
type TargetStatus struct {
	// name of the Secret.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`

	// uid of the Secret.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=64
	UID types.UID `json:"uid,omitempty"`

	// resourceVersion of the Secret.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	ResourceVersion string `json:"resourceVersion,omitempty"`

	// keys are the data keys that the operator wrote, without the keys of others.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=253
	Keys []string `json:"keys,omitempty"`

	// observedGeneration is the generation of the spec that the Secret was last written for, or matched. If it is older
	// than that of the resource, the operator has not applied the last edit to the Secret yet.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// updatedTime is when the operator last wrote the Secret.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self.getFullYear() >= 0",message="this must be a time such as 2026-01-02T15:04:05Z"
	UpdatedTime *metav1.Time `json:"updatedTime,omitempty"`
}

// CredentialStatus describes the current bytes of one entry's source.
type CredentialStatus struct {
	// name of the entry in spec.credentials.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name,omitempty"`

	// tokenForm is the form of the token that the API accepted. It is only for a username and a password.
	// +optional
	TokenForm TokenForm `json:"tokenForm,omitempty"`

	// source identifies the bytes that this entry describes.
	// +optional
	Source *SourceStatus `json:"source,omitempty"`

	// CheckRecord of the token that is made from these bytes.
	CheckRecord `json:",inline"`
}

// SourceStatus identifies the bytes of a Secret.
type SourceStatus struct {
	// uid of the Secret.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=64
	UID types.UID `json:"uid,omitempty"`

	// resourceVersion of the Secret.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	ResourceVersion string `json:"resourceVersion,omitempty"`
}

// JupicoCredential proves a credential for Jupico's API, and delivers the token that the API accepted as a Secret. It
// keeps checking that token. If the API no longer accepts the token, the conditions say so.
//
// Anyone who may create a JupicoCredential can use it to read and write Secrets in its namespace.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=jcred,categories=jupico
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Environment",type=string,JSONPath=`.spec.environment`
// +kubebuilder:printcolumn:name="Active",type=string,JSONPath=`.status.deployed.credential`
// +kubebuilder:printcolumn:name="Secret",type=string,JSONPath=`.spec.target.name`
// +kubebuilder:printcolumn:name="Proven",type=date,JSONPath=`.status.deployed.lastAcceptedTime`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Endpoint",type=string,priority=1,JSONPath=`.status.deployed.endpoint`
// +kubebuilder:printcolumn:name="Next Check",type=string,priority=1,JSONPath=`.status.nextCheckTime`
// +kubebuilder:printcolumn:name="Redundant",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Redundant")].status`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
type JupicoCredential struct {
	metav1.TypeMeta `json:",inline"`

	// metadata of the resource.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec says which credential to prove, where to prove it, and which Secret to write.
	// +required
	Spec JupicoCredentialSpec `json:"spec,omitzero"`

	// status says what the operator knows about the credentials and the target.
	// +optional
	// +default={"observedGeneration":-1}
	Status JupicoCredentialStatus `json:"status,omitzero"`
}

// JupicoCredentialList is a list of JupicoCredentials.
// +kubebuilder:object:root=true
type JupicoCredentialList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`

	// items of the list.
	Items []JupicoCredential `json:"items"`
}
