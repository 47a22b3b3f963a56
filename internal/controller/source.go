// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/credential"
	"github.com/jupico-operator/jupico-operator/internal/decision"
)

// readSource returns the source of an entry. It reads the Secret only if the watch shows another version than the last
// one that was read, and before it says that the Secret is missing: the watch may be behind a manifest that holds both.
func (r *Reconciler) readSource(
	ctx context.Context, resource *v1alpha1.JupicoCredential, i int, previous decision.Source,
) decision.Source {
	entry := &resource.Spec.Credentials[i]
	name := keyOf(resource.Namespace, entry.SecretName())
	cached := r.secrets.Cached(name)
	isStillMissing := previous.Problem == v1alpha1.ReasonSourceNotFound && !r.secrets.Exists(name)
	isUnchanged := cached != nil && previous.Version == cached.Version()
	if isStillMissing || isUnchanged || previous.Waits(r.clock.Now()) {
		return previous
	}
	source := decision.Source{}
	secret := &corev1.Secret{}
	err := r.live.Get(ctx, name, secret)
	switch {
	case apierrors.IsNotFound(err):
		source.Problem = v1alpha1.ReasonSourceNotFound
		source.Detail = fmt.Sprintf("Secret %q, which the credential is read from, does not exist: create it.", name.Name)
	case err != nil:
		log.FromContext(ctx).Error(err, "Could not read source Secret", "secret", name)
		source.Problem = v1alpha1.ReasonSourceUnreadable
		source.Detail = fmt.Sprintf("Secret %q, which the credential is read from, could not be read (%s). The operator "+
			"tries again.", name.Name, readProblem(err))
		source.ReadBackoff = previous.Next(r.clock.Now())
	default:
		r.secrets.Observe(secret)
		source.Version = versionOf(secret)
		parse(entry, secret.Data, &source)
	}
	return source
}

// readProblem says, for a user, why something could not be read. The words of the API server stay out of conditions.
func readProblem(err error) string {
	switch {
	case apierrors.IsForbidden(err):
		return "the operator is not allowed to: see its ClusterRole and RoleBindings"
	case errors.Is(err, context.DeadlineExceeded), apierrors.IsTimeout(err), apierrors.IsServerTimeout(err):
		return "the API server did not answer in time"
	default:
		return cmp.Or(string(apierrors.ReasonForError(err)), "the API server could not be asked; see the operator's log")
	}
}

// parse makes a credential from a Secret's data, or finds the problem with it.
func parse(entry *v1alpha1.Credential, data map[string][]byte, source *decision.Source) {
	var keys []string
	var warnings []credential.Warning
	var err error
	if login := entry.BasicAuthSecretRef; login != nil {
		keys = []string{
			cmp.Or(login.UsernameKey, v1alpha1.DefaultUsernameKey), cmp.Or(login.PasswordKey, v1alpha1.DefaultPasswordKey),
		}
		source.Credential, warnings, err = credential.Login(data[keys[0]], data[keys[1]])
	} else if apiKey := entry.APIKeySecretRef; apiKey != nil {
		keys = []string{cmp.Or(apiKey.Key, v1alpha1.DefaultAPIKeyKey)}
		source.Credential, warnings, err = credential.APIKey(data[keys[0]])
	}
	var missing []string
	for _, key := range keys {
		if _, exists := data[key]; !exists {
			missing = append(missing, strconv.Quote(key))
		}
	}
	switch {
	case len(missing) > 0:
		source.Problem = v1alpha1.ReasonSourceKeyMissing
		source.Detail = fmt.Sprintf("Secret %q has no key %s: add it, or name the right key in spec.credentials.",
			entry.SecretName(), strings.Join(missing, " and no key "))
		return // without the warnings
	case err != nil:
		source.Problem = v1alpha1.ReasonInvalidSource
		source.Detail = fmt.Sprintf("Secret %q cannot be a credential, and nothing was sent: %s.", entry.SecretName(), err)
	}
	for _, warning := range warnings {
		source.Warnings = append(source.Warnings, fmt.Sprintf("In Secret %q, %s.", entry.SecretName(), warning))
	}
}

// readCA returns the certificates in a ConfigMap. It reads the ConfigMap only when readSource would read a Secret.
func (r *Reconciler) readCA(
	ctx context.Context, resource *v1alpha1.JupicoCredential, previous decision.CA,
) decision.CA {
	reference := resource.Spec.Endpoint.CAConfigMapRef
	name := keyOf(resource.Namespace, reference.Name)
	cached := r.configMaps.Cached(name)
	isStillMissing := previous.IsMissing && !r.configMaps.Exists(name)
	isUnchanged := cached != nil && previous.Version == cached.Version()
	if isStillMissing || isUnchanged || previous.Waits(r.clock.Now()) {
		return previous
	}
	ca := decision.CA{}
	configMap := &corev1.ConfigMap{}
	err := r.live.Get(ctx, name, configMap)
	switch {
	case apierrors.IsNotFound(err):
		ca.IsMissing = true
		ca.Problem = fmt.Sprintf("ConfigMap %q does not exist", name.Name)
	case err != nil:
		log.FromContext(ctx).Error(err, "Could not read ConfigMap", "configMap", name)
		ca.Problem = fmt.Sprintf("ConfigMap %q could not be read: %s", name.Name, readProblem(err))
		ca.ReadBackoff = previous.Next(r.clock.Now())
	default:
		r.configMaps.Observe(configMap)
		ca.Version = versionOf(configMap)
		key := cmp.Or(reference.Key, v1alpha1.DefaultCAKey)
		// kubectl files what is not UTF-8 under BinaryData.
		switch pem := cmp.Or(configMap.Data[key], string(configMap.BinaryData[key])); {
		case pem == "":
			ca.Problem = fmt.Sprintf("ConfigMap %q has no key %q, or nothing in it", name.Name, key)
		case len(pem) > v1alpha1.MaxCABundle:
			ca.Problem = fmt.Sprintf("key %q of ConfigMap %q is longer than %d KiB: keep only the authorities that may have "+
				"signed the endpoint's certificate", key, name.Name, v1alpha1.MaxCABundle>>10)
		default:
			ca.PEM = pem
		}
	}
	return ca
}
