// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
)

const (
	namespaces    = 8
	parallelism   = 16
	checkInterval = 30 * time.Second
	// wholeTimeout is how long the fleet may take until all of it is as it should be.
	wholeTimeout = 10 * time.Minute
	wholePeriod  = 3 * time.Second
	writeTimeout = 30 * time.Second
)

// member is a resource with a login of its own, and what is done to it.
type member struct {
	namespace, name string
	edition         int  // of its password
	isRevoked       bool // the emulator knows its account no more
	isMistyped      bool // its source has a password that no account has
}

func (m *member) source() string   { return m.name + "-source" }
func (m *member) target() string   { return m.name + "-target" }
func (m *member) username() string { return m.namespace + "-" + m.name }
func (m *member) password() string { return fmt.Sprintf("password-%d-%s", m.edition, m.name) }

// token is what the target should hold.
func (m *member) token() string {
	return base64.StdEncoding.EncodeToString([]byte(m.username() + ":" + m.password()))
}

// createFleet creates the resources. Each is checked as often as it may be.
func (k *soak) createFleet(ctx context.Context) error {
	for i := range namespaces {
		err := k.admin.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespaceName(i)}})
		if err != nil {
			return err
		}
	}
	for i := range k.resources {
		k.fleet = append(k.fleet, &member{namespace: namespaceName(i % namespaces), name: fmt.Sprintf("r%05d", i)})
	}
	return forEach(ctx, k.fleet, func(ctx context.Context, m *member) error {
		if err := k.addAccount(ctx, m); err != nil {
			return err
		}
		source := &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: m.namespace, Name: m.source()},
			Type:       corev1.SecretTypeBasicAuth,
			StringData: map[string]string{"username": m.username(), "password": m.password()},
		}
		return errors.Join(k.create(ctx, source), k.create(ctx, k.newResource(m)))
	})
}

// create creates an object. On a busy machine, it may take more than one attempt.
func (k *soak) create(ctx context.Context, object client.Object) error {
	return retry(ctx, func() error {
		object.SetResourceVersion("") // which a failed attempt may have set
		return client.IgnoreAlreadyExists(k.admin.Create(ctx, object))
	})
}

func namespaceName(i int) string { return fmt.Sprintf("soak-%d", i) }

func (k *soak) newResource(m *member) *v1alpha1.JupicoCredential {
	return &v1alpha1.JupicoCredential{
		ObjectMeta: metav1.ObjectMeta{Namespace: m.namespace, Name: m.name},
		Spec: v1alpha1.JupicoCredentialSpec{
			Environment:   v1alpha1.EnvironmentSandbox,
			Endpoint:      &v1alpha1.Endpoint{URL: k.emulator.URL},
			CheckInterval: metav1.Duration{Duration: checkInterval},
			Credentials: []v1alpha1.Credential{{
				Name: "main", BasicAuthSecretRef: &v1alpha1.BasicAuthSecretReference{Name: m.source()},
			}},
			Target: v1alpha1.Target{Name: m.target()},
		},
	}
}

// forEach calls do for each member, in parallel. It stops at the first error.
func forEach(ctx context.Context, members []*member, do func(context.Context, *member) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallelism)
	for _, m := range members {
		group.Go(func() error { return do(ctx, m) })
	}
	return group.Wait()
}

// addAccount makes the emulator accept the password of a member, and no other.
func (k *soak) addAccount(ctx context.Context, m *member) error {
	return k.emulator.Command(ctx, "/accounts", fmt.Sprintf(`{"username":%q,"password":%q,"forms":["Standard"]}`,
		m.username(), m.password()))
}

func (k *soak) setSource(ctx context.Context, m *member, password string) error {
	return k.patch(ctx, m, &corev1.Secret{}, m.source(), fmt.Sprintf(`{"stringData":{"password":%q}}`, password))
}

// requestCheck asks the operator for a check now.
func (k *soak) requestCheck(ctx context.Context, m *member) error {
	return k.patch(ctx, m, &v1alpha1.JupicoCredential{}, m.name, fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`,
		v1alpha1.AnnotationCheckRequestedAt, strconv.FormatInt(time.Now().UnixNano(), 10)))
}

// patch changes an object in the namespace of a member. An object that does not exist is left alone: the operator is
// about to make it again. Right after the API server started, a request may fail.
func (k *soak) patch(ctx context.Context, m *member, object client.Object, name, patch string) error {
	object.SetNamespace(m.namespace)
	object.SetName(name)
	return retry(ctx, func() error {
		return client.IgnoreNotFound(k.admin.Patch(ctx, object, client.RawPatch(types.MergePatchType, []byte(patch))))
	})
}

func (k *soak) deleteTarget(ctx context.Context, m *member) error {
	target := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: m.namespace, Name: m.target()}}
	return retry(ctx, func() error { return client.IgnoreNotFound(k.admin.Delete(ctx, target)) })
}

// retry repeats what failed, for a while.
func retry(ctx context.Context, do func() error) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, time.Second, writeTimeout, true, func(context.Context) (bool, error) {
		last = do()
		return last == nil, nil
	})
	if err != nil {
		return errors.Join(err, last)
	}
	return nil
}

// waitUntilWhole waits until all resources are Ready, with the right tokens in their targets.
func (k *soak) waitUntilWhole(ctx context.Context) error {
	var wrong []string
	var problem error // of the last attempt to look
	err := wait.PollUntilContextTimeout(ctx, wholePeriod, wholeTimeout, true, func(ctx context.Context) (bool, error) {
		if wrong, problem = k.findWrong(ctx); problem != nil {
			return false, k.operator.Failure()
		}
		return len(wrong) == 0, k.operator.Failure()
	})
	if wait.Interrupted(err) {
		some := wrong[:min(5, len(wrong))]
		return errors.Join(fmt.Errorf("after %s, %d resources are wrong: %q", wholeTimeout, len(wrong), some), problem)
	}
	return err
}

// findWrong says which resources are not as they should be.
func (k *soak) findWrong(ctx context.Context) (wrong []string, err error) {
	var resources v1alpha1.JupicoCredentialList
	var secrets corev1.SecretList
	if err := errors.Join(k.admin.List(ctx, &resources), k.admin.List(ctx, &secrets)); err != nil {
		return nil, err
	}
	states, tokens := map[types.NamespacedName]string{}, map[types.NamespacedName]string{}
	for _, r := range resources.Items {
		if ready := meta.FindStatusCondition(r.Status.Conditions, v1alpha1.ConditionReady); ready != nil {
			states[client.ObjectKeyFromObject(&r)] = string(ready.Status) + "/" + ready.Reason
		}
	}
	for _, s := range secrets.Items {
		tokens[client.ObjectKeyFromObject(&s)] = string(s.Data[v1alpha1.TargetKeyToken])
	}
	for _, m := range k.fleet {
		state := states[types.NamespacedName{Namespace: m.namespace, Name: m.name}]
		token := tokens[types.NamespacedName{Namespace: m.namespace, Name: m.target()}]
		if state != "True/Accepted" || token != m.token() {
			wrong = append(wrong, fmt.Sprintf("%s/%s is %q, with the right token: %t", m.namespace, m.name, state,
				token == m.token()))
		}
	}
	return wrong, nil
}
