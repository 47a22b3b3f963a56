// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/credential"
)

// cachedRead is how long the API server may take to answer from its cache. Without a bound, the client would ask for
// half a minute.
const cachedRead = time.Second

// readSource brings what is known of the source up to date. It reads the Secret only when the watch shows another
// resourceVersion than the one that was read, and before it is called missing: a watch may be behind the very manifest
// that holds both.
func (r *Reconciler) readSource(
	ctx context.Context, resource *v1alpha1.JupicoCredential, entry *v1alpha1.Credential, known *sourceMemory,
) error {
	name, watch := entry.SecretName(), r.secrets.in(resource.Namespace)
	seen := watch.peek(keyOf(resource.Namespace, name))
	isMissing := seen == nil && known.problem == v1alpha1.ReasonSourceNotFound
	isUnchanged := seen != nil && known.ref == seen.ref && known.generation == resource.Generation
	if known.secret == name && (isMissing || isUnchanged) {
		return nil
	}
	secret := &corev1.Secret{}
	if err := r.readAsSeen(ctx, keyOf(resource.Namespace, name), seen, secret); err != nil {
		if apierrors.IsNotFound(err) {
			*known = sourceNotFound(name)
			return nil
		}
		return err
	}
	ref := glimpseOf(secret).ref
	if seen := watch.saw(secret); seen != nil && seen.ref == ref {
		ref = seen.ref // the same, and held once
	}
	*known = sourceMemory{secret: name, ref: ref, generation: resource.Generation}
	known.warnings = parse(entry, secret.Data, known)
	return nil
}

// readAsSeen reads an object that is at least as new as the watch showed it. The API server then answers from its
// cache, and spares etcd. What the watch did not show is asked of etcd, and so is what the cache does not have in time:
// that of another API server may be far behind, or the cluster restored to what was before.
func (r *Reconciler) readAsSeen(
	ctx context.Context, name types.NamespacedName, seen *glimpse, object client.Object,
) error {
	if seen != nil {
		inTime, cancel := context.WithTimeout(ctx, cachedRead)
		defer cancel()
		cached := &client.GetOptions{Raw: &metav1.GetOptions{ResourceVersion: seen.ref.ResourceVersion}}
		err := r.live.Get(inTime, name, object, cached)
		if err == nil || apierrors.IsNotFound(err) || ctx.Err() != nil {
			return err
		}
	}
	return r.live.Get(ctx, name, object)
}

func sourceNotFound(name string) sourceMemory {
	return sourceMemory{
		secret:  name,
		problem: v1alpha1.ReasonSourceNotFound,
		detail:  fmt.Sprintf("Secret %q, which the credential is read from, does not exist: create it.", name),
	}
}

// parse makes a credential of a Secret's data, or finds the problem with it. It returns warnings.
func parse(entry *v1alpha1.Credential, data map[string][]byte, known *sourceMemory) []string {
	var warnings []credential.Warning
	var err error
	if login := entry.BasicAuthSecretRef; login != nil {
		usernameKey := cmp.Or(login.UsernameKey, v1alpha1.DefaultUsernameKey)
		passwordKey := cmp.Or(login.PasswordKey, v1alpha1.DefaultPasswordKey)
		if known.missesKey(data, usernameKey, passwordKey) {
			return nil
		}
		known.credential, warnings, err = credential.Login(data[usernameKey], data[passwordKey])
	} else if apiKey := entry.APIKeySecretRef; apiKey != nil {
		key := cmp.Or(apiKey.Key, v1alpha1.DefaultAPIKeyKey)
		if known.missesKey(data, key) {
			return nil
		}
		known.credential, warnings, err = credential.APIKey(data[key])
	}
	if err != nil {
		known.problem = v1alpha1.ReasonInvalidSource
		known.detail = fmt.Sprintf("Secret %q cannot be a credential, and nothing was sent: %s.", known.secret, err)
	}
	texts := make([]string, 0, len(warnings))
	for _, warning := range warnings {
		texts = append(texts, fmt.Sprintf("In Secret %q, %s.", known.secret, warning))
	}
	return texts
}

func (s *sourceMemory) missesKey(data map[string][]byte, keys ...string) bool {
	var missing []string
	for _, key := range keys {
		if _, exists := data[key]; !exists {
			missing = append(missing, fmt.Sprintf("%q", key))
		}
	}
	if len(missing) == 0 {
		return false
	}
	s.problem = v1alpha1.ReasonSourceKeyMissing
	s.detail = fmt.Sprintf("Secret %q has no key %s: add it, or name the right key in spec.credentials.", s.secret,
		strings.Join(missing, " and no key "))
	return true
}

// readCA brings the certificates of a ConfigMap up to date, as readSource does a Secret's values.
func (r *Reconciler) readCA(ctx context.Context, resource *v1alpha1.JupicoCredential, known *caMemory) error {
	reference := resource.Spec.Endpoint.CAConfigMapRef
	key := cmp.Or(reference.Key, v1alpha1.DefaultCAKey)
	watch := r.configMaps.in(resource.Namespace)
	seen, err := watch.look(ctx, keyOf(resource.Namespace, reference.Name))
	if err != nil {
		return err
	}
	notFound := caMemory{problem: fmt.Sprintf("ConfigMap %q does not exist", reference.Name)}
	if seen == nil {
		*known = notFound
		return nil
	}
	if known.configMap == reference.Name && known.ref == seen.ref && known.generation == resource.Generation {
		return nil
	}
	configMap := &corev1.ConfigMap{}
	if err := r.readAsSeen(ctx, keyOf(resource.Namespace, reference.Name), seen, configMap); err != nil {
		if apierrors.IsNotFound(err) {
			*known = notFound
			return nil
		}
		return err
	}
	watch.saw(configMap)
	*known = caMemory{
		configMap: reference.Name, ref: glimpseOf(configMap).ref, generation: resource.Generation,
		pem: intern(configMap.Data[key]),
	}
	if known.pem == "" {
		known.problem = fmt.Sprintf("ConfigMap %q has no key %q, or nothing in it", reference.Name, key)
	}
	return nil
}
