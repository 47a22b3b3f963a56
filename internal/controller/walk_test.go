// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/jupico/jupicotest"
)

const (
	stepsOfAWalk   = 10
	walksAtATime   = 8
	walkers        = 40 // emulators, which walks share that are not made at a time
	defaultWalks   = 20
	conditionReady = v1alpha1.ConditionReady
)

// oddWalk edits a resource and its Secrets at random. The pure round is walked in the same manner, and more closely, in
// internal/decision: here it is the API server, the schema and the content of the target that count.
type oddWalk struct {
	*scene
	random  *rand.Rand
	standby login  // a second one that is accepted
	key     string // an API key that is accepted
	trail   []string
	made    []*scene // the namespaces of fresh resources

	// delivered is the token that the target was given last, and entry where it came from.
	delivered, entry string
}

var _ = Describe("Odd edits", func() {
	It("lead to the state of a fresh resource, and what the schema refuses changes nothing", func() {
		all, err := strconv.Atoi(os.Getenv("WALKS"))
		if err != nil {
			all = defaultWalks
		}
		pool := make([]*scene, min(all, walkers))
		for i := range pool {
			pool[i] = &scene{}
			pool[i].emulator, pool[i].url = emulators.take()
		}
		var waiting sync.WaitGroup
		places := make(chan struct{}, walksAtATime)
		for seed := range all {
			places <- struct{}{}
			waiting.Go(func() {
				defer GinkgoRecover()
				defer func() { <-places }()
				walkOddly(uint64(seed), pool[seed%len(pool)]) //nolint:gosec // never negative
			})
		}
		waiting.Wait()
	})
})

func walkOddly(seed uint64, at *scene) {
	k := &oddWalk{
		scene:  &scene{namespace: makeNamespace(), emulator: at.emulator, url: at.url, login: newLogin()},
		random: rand.New(rand.NewPCG(seed, 17)), standby: newLogin(), key: newLogin().token(),
	}
	defer k.cleanUp()
	for _, good := range []login{k.login, k.standby} {
		k.emulator.AddAccount(good.username, good.password, jupicotest.Standard)
	}
	k.emulator.AddKey(k.key)
	for _, name := range []string{"source", "standby", "other"} {
		k.writeRandomly(name)
	}
	k.writeConfigMap(k.namespace, emulators.ca.PEM())
	k.writeSecret(k.namespace, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "taken"}})
	k.create()
	k.expectFresh(seed)
	for range stepsOfAWalk {
		if k.random.IntN(3) == 0 {
			k.expectRefused(seed)
		}
		k.makeStep()
		k.expectFresh(seed)
	}
}

func makeNamespace() string {
	GinkgoHelper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "walk-"}}
	Expect(admin.Create(ctx, namespace)).To(Succeed())
	return namespace.Name
}

func (k *oddWalk) cleanUp() {
	for _, made := range append(k.made, k.scene) {
		Expect(admin.DeleteAllOf(ctx, &v1alpha1.JupicoCredential{}, client.InNamespace(made.namespace))).To(Succeed())
	}
}

// writeSecret creates or replaces a Secret.
func (k *oddWalk) writeSecret(namespace string, secret *corev1.Secret) {
	GinkgoHelper()
	secret.Namespace = namespace
	before := &corev1.Secret{}
	err := admin.Get(ctx, client.ObjectKeyFromObject(secret), before)
	if apierrors.IsNotFound(err) {
		Expect(admin.Create(ctx, secret)).To(Succeed())
		return
	}
	Expect(err).NotTo(HaveOccurred())
	secret.ResourceVersion = before.ResourceVersion
	Expect(admin.Update(ctx, secret)).To(Succeed())
}

func (k *oddWalk) writeConfigMap(namespace string, pem []byte) {
	GinkgoHelper()
	configMap := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "authorities"},
		Data:       map[string]string{"ca.crt": string(pem)},
	}
	Expect(admin.Create(ctx, configMap)).To(Succeed())
}

func choose[T any](random *rand.Rand, values ...T) T { return values[random.IntN(len(values))] }

// writeRandomly writes a source with a login and an API key, each of which may be wrong or missing.
func (k *oddWalk) writeRandomly(name string) {
	GinkgoHelper()
	login := choose(k.random, k.login, k.login, k.standby, newLogin())
	data := login.data()
	data["apiKey"] = []byte(choose(k.random, k.key, k.key, k.standby.token(), newLogin().token(), "two words"))
	if k.random.IntN(5) == 0 {
		delete(data, choose(k.random, "username", "password", "apiKey"))
	}
	k.writeSecret(k.namespace, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: data})
}

// edits are of every field of the spec. The API server may refuse what comes of one.
func (k *oddWalk) edits() map[string]func(*v1alpha1.JupicoCredentialSpec) {
	type spec = v1alpha1.JupicoCredentialSpec
	random := k.random
	return map[string]func(*spec){
		"environment": func(s *spec) {
			s.Environment = choose(random, v1alpha1.EnvironmentSandbox, v1alpha1.EnvironmentSharedSandbox,
				v1alpha1.EnvironmentProduction)
		},
		"checkInterval": func(s *spec) { s.CheckInterval.Duration = choose(random, 5*time.Minute, time.Hour) },
		"suspend":       func(s *spec) { s.Suspend = true },
		"endpoint": func(s *spec) {
			s.Endpoint = choose(random, nil, &v1alpha1.Endpoint{URL: k.url},
				&v1alpha1.Endpoint{URL: "https://denied.example"}, k.resource().Spec.Endpoint)
		},
		"endpoint.caBundle": func(s *spec) {
			s.Endpoint = k.resource().Spec.Endpoint
			s.Endpoint.CABundle = choose(random, s.Endpoint.CABundle, []byte("no PEM"))
		},
		"endpoint.caConfigMapRef": func(s *spec) {
			s.Endpoint = &v1alpha1.Endpoint{URL: k.url, CAConfigMapRef: &v1alpha1.CAConfigMapReference{
				Name: choose(random, "authorities", "missing"), Key: choose(random, "", "ca.crt", "other.crt"),
			}}
		},
		"credentials": func(s *spec) {
			slices.Reverse(s.Credentials)
			s.Credentials = s.Credentials[:1+random.IntN(len(s.Credentials))]
		},
		"credentials.name": func(s *spec) { s.Credentials[0].Name = choose(random, "main", "standby", "third") },
		"credentials.basicAuthSecretRef": func(s *spec) {
			s.Credentials[0] = k.randomEntry(s.Credentials[0].Name, true)
		},
		"credentials.apiKeySecretRef": func(s *spec) {
			s.Credentials[0] = k.randomEntry(s.Credentials[0].Name, false)
		},
		"credentials, one more": func(s *spec) { s.Credentials = append(s.Credentials, k.randomEntry("more", true)) },
		"credentials, another in front": func(s *spec) {
			s.Credentials = slices.Insert(s.Credentials, 0, k.randomEntry("first", false))
		},
		"target.name": func(s *spec) { s.Target.Name = choose(random, "target", "renamed", "taken", "source") },
		"target.creationPolicy": func(s *spec) {
			s.Target.CreationPolicy = choose(random, "", v1alpha1.CreationPolicyOrphan)
		},
		"target.template":                 func(s *spec) { s.Target.Template = nil },
		"target.template and all that is": func(s *spec) { s.Target.Template = k.randomTemplate() },
	}
}

func (k *oddWalk) randomEntry(name string, isLogin bool) v1alpha1.Credential {
	source := choose(k.random, "source", "standby", "other", "missing")
	if isLogin {
		return v1alpha1.Credential{Name: name, BasicAuthSecretRef: &v1alpha1.BasicAuthSecretReference{
			Name: source, UsernameKey: choose(k.random, "", "", "username", "missing"),
			PasswordKey: choose(k.random, "", "password"),
		}}
	}
	return v1alpha1.Credential{Name: name, APIKeySecretRef: &v1alpha1.APIKeySecretReference{
		Name: source, Key: choose(k.random, "", "apiKey", "password"),
	}}
}

func (k *oddWalk) randomTemplate() *v1alpha1.TargetTemplate {
	return &v1alpha1.TargetTemplate{
		Type:        choose(k.random, "", "Opaque", "shop.example/login"),
		Labels:      choose(k.random, nil, map[string]v1alpha1.LabelValue{"team": "checkout"}),
		Annotations: choose(k.random, nil, map[string]v1alpha1.AnnotationValue{"shop.example/note": "a"}),
		Data: choose(k.random, nil, map[string]v1alpha1.DataTemplate{"a": "{{ .URL }}"},
			map[string]v1alpha1.DataTemplate{"a": "{{ .Username }}", "b": "{{ .Credential }}"},
			map[string]v1alpha1.DataTemplate{"a": "{{"}),
	}
}

// makeStep edits the spec or one of the Secrets.
func (k *oddWalk) makeStep() {
	GinkgoHelper()
	resource := k.get()
	target := k.secret(resource.Spec.Target.Name)
	name := choose(k.random, "source", "standby", "other")
	switch step := k.random.IntN(16); {
	case resource.Spec.Suspend && step < 10:
		k.note("resume")
		k.edit(func(r *v1alpha1.JupicoCredential) { r.Spec.Suspend = false })
	case step < 3:
		k.note("write " + name)
		k.writeRandomly(name)
	case step == 3:
		k.note("delete " + name)
		gone := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: k.namespace, Name: name}}
		Expect(client.IgnoreNotFound(admin.Delete(ctx, gone))).To(Succeed())
	case step == 4 && target != nil:
		k.note("delete the target")
		Expect(client.IgnoreNotFound(admin.Delete(ctx, target))).To(Succeed())
	case step == 5 && target != nil:
		k.note("tamper")
		k.patch(target, func(s *corev1.Secret) { s.Data = map[string][]byte{"token": []byte("evil")} })
	case step == 6 && target != nil:
		owner := choose(k.random, "payments", "somebody")
		k.note("give the target to " + owner)
		k.patch(target, func(s *corev1.Secret) {
			metav1.SetMetaDataAnnotation(&s.ObjectMeta, v1alpha1.AnnotationManagedBy, owner)
		})
	default:
		k.editSpec()
	}
}

func (k *oddWalk) note(step string) { k.trail = append(k.trail, step) }

// patch changes a Secret, unless the operator has just deleted it.
func (k *oddWalk) patch(secret *corev1.Secret, change func(*corev1.Secret)) {
	GinkgoHelper()
	before := secret.DeepCopy()
	change(secret)
	Expect(client.IgnoreNotFound(admin.Patch(ctx, secret, client.MergeFrom(before)))).To(Succeed())
}

// editSpec makes edits until the API server takes one. What it refuses changes nothing.
func (k *oddWalk) editSpec() {
	GinkgoHelper()
	edits := k.edits()
	for {
		before := k.get()
		after := before.DeepCopy()
		name := choose(k.random, slices.Sorted(maps.Keys(edits))...)
		edits[name](&after.Spec)
		err := admin.Patch(ctx, after, client.MergeFrom(before))
		if err == nil && after.Generation == before.Generation {
			continue
		}
		k.note(fmt.Sprintf("%s (%v)", name, err))
		if err == nil {
			return
		}
		Expect(apierrors.IsInvalid(err)).To(BeTrue(), err.Error())
		k.expectSameSpec(before)
	}
}

func (k *oddWalk) expectSameSpec(before *v1alpha1.JupicoCredential) {
	GinkgoHelper()
	now := k.get()
	Expect(now.Spec).To(Equal(before.Spec))
	Expect(now.Generation).To(Equal(before.Generation))
}

// invalid are edits that the schema has to refuse, whatever the rest of the spec is.
var invalid = map[string]func(*v1alpha1.JupicoCredentialSpec){
	"an unknown environment": func(s *v1alpha1.JupicoCredentialSpec) { s.Environment = "Staging" },
	"an interval too short":  func(s *v1alpha1.JupicoCredentialSpec) { s.CheckInterval.Duration = time.Second },
	"an interval too long":   func(s *v1alpha1.JupicoCredentialSpec) { s.CheckInterval.Duration = 25 * time.Hour },
	"plain HTTP": func(s *v1alpha1.JupicoCredentialSpec) {
		s.Endpoint = &v1alpha1.Endpoint{URL: "http://a.example"}
	},
	"a URL with a query": func(s *v1alpha1.JupicoCredentialSpec) {
		s.Endpoint = &v1alpha1.Endpoint{URL: "https://a.example/?b"}
	},
	"two sources of certificates": func(s *v1alpha1.JupicoCredentialSpec) {
		s.Endpoint = &v1alpha1.Endpoint{
			URL: "https://a.example", CABundle: []byte("a"), CAConfigMapRef: &v1alpha1.CAConfigMapReference{Name: "a"},
		}
	},
	"no credential": func(s *v1alpha1.JupicoCredentialSpec) { s.Credentials = nil },
	"three credentials": func(s *v1alpha1.JupicoCredentialSpec) {
		for len(s.Credentials) < 3 {
			s.Credentials = append(s.Credentials, v1alpha1.Credential{
				Name: fmt.Sprint("c", len(s.Credentials)), APIKeySecretRef: &v1alpha1.APIKeySecretReference{Name: "a"},
			})
		}
	},
	"two credentials of one name": func(s *v1alpha1.JupicoCredentialSpec) {
		s.Credentials = []v1alpha1.Credential{s.Credentials[0], s.Credentials[0]}
	},
	"a credential of two kinds": func(s *v1alpha1.JupicoCredentialSpec) {
		s.Credentials[0].APIKeySecretRef = &v1alpha1.APIKeySecretReference{Name: "a"}
		s.Credentials[0].BasicAuthSecretRef = &v1alpha1.BasicAuthSecretReference{Name: "a"}
	},
	"a credential of no kind": func(s *v1alpha1.JupicoCredentialSpec) {
		s.Credentials[0].APIKeySecretRef, s.Credentials[0].BasicAuthSecretRef = nil, nil
	},
	"a name with a blank": func(s *v1alpha1.JupicoCredentialSpec) { s.Credentials[0].Name = "a b" },
	"a target that is the source": func(s *v1alpha1.JupicoCredentialSpec) {
		s.Target.Name = s.Credentials[0].SecretName()
	},
	"a target of no valid name": func(s *v1alpha1.JupicoCredentialSpec) { s.Target.Name = "../a" },
	"an unknown policy":         func(s *v1alpha1.JupicoCredentialSpec) { s.Target.CreationPolicy = "Delete" },
	"a type of Kubernetes": func(s *v1alpha1.JupicoCredentialSpec) {
		s.Target.Template = &v1alpha1.TargetTemplate{Type: "kubernetes.io/tls"}
	},
	"a label of Kubernetes": func(s *v1alpha1.JupicoCredentialSpec) {
		s.Target.Template = &v1alpha1.TargetTemplate{Labels: map[string]v1alpha1.LabelValue{"kubernetes.io/a": "b"}}
	},
	"an annotation of ours": func(s *v1alpha1.JupicoCredentialSpec) {
		s.Target.Template = &v1alpha1.TargetTemplate{
			Annotations: map[string]v1alpha1.AnnotationValue{v1alpha1.AnnotationManagedBy: "b"},
		}
	},
	"the key token": func(s *v1alpha1.JupicoCredentialSpec) {
		s.Target.Template = &v1alpha1.TargetTemplate{Data: map[string]v1alpha1.DataTemplate{"token": "a"}}
	},
}

func (k *oddWalk) expectRefused(seed uint64) {
	GinkgoHelper()
	name := choose(k.random, slices.Sorted(maps.Keys(invalid))...)
	before := k.get()
	after := before.DeepCopy()
	invalid[name](&after.Spec)
	err := admin.Patch(ctx, after, client.MergeFrom(before))
	Expect(apierrors.IsInvalid(err)).To(BeTrue(), fmt.Sprintf("seed %d: %s gives %v", seed, name, err))
	k.expectSameSpec(before)
}

// fresh makes a resource with the same spec, sources and target in a namespace of its own.
func (k *oddWalk) fresh() *scene {
	GinkgoHelper()
	fresh := &scene{namespace: makeNamespace(), emulator: k.emulator, url: k.url}
	k.made = append(k.made, fresh)
	k.writeConfigMap(fresh.namespace, emulators.ca.PEM())
	spec := k.get().Spec
	for _, name := range []string{"source", "standby", "other", "taken", spec.Target.Name} {
		if from := k.secret(name); from != nil {
			copied := &corev1.Secret{
				ObjectMeta: metav1.ObjectMeta{Name: name, Labels: from.Labels, Annotations: from.Annotations},
				Type:       from.Type, Data: from.Data,
			}
			k.writeSecret(fresh.namespace, copied)
		}
	}
	resource := &v1alpha1.JupicoCredential{
		ObjectMeta: metav1.ObjectMeta{Namespace: fresh.namespace, Name: "payments"}, Spec: spec,
	}
	Expect(admin.Create(ctx, resource)).To(Succeed())
	return fresh
}

// expectFresh waits until what is said of the resource, and what its target holds, is as it is with a fresh one.
func (k *oddWalk) expectFresh(seed uint64) {
	GinkgoHelper()
	fresh := k.fresh()
	failure := func() string {
		return fmt.Sprintf("seed %d: %s\n%+v\n%s\nfresh:\n%s", seed, strings.Join(k.trail, "; "), k.get().Spec,
			describe(k.get()), describe(fresh.get()))
	}
	var takesOver bool
	Eventually(func(g Gomega) {
		now, wanted := k.get(), fresh.get()
		g.Expect(now.Status.ObservedGeneration).To(Equal(now.Generation))
		g.Expect(wanted.Status.ObservedGeneration).To(BeNumerically(">", 0))
		g.Expect(condition(wanted, conditionReady)).NotTo(HaveSuffix("/Checking"))
		takesOver = k.takesOver(wanted, fresh)
		switch {
		case now.Spec.Suspend:
			g.Expect(condition(now, conditionReady)).To(HaveSuffix("/Suspended"))
		case takesOver:
			g.Expect(k.describeAll(now)).To(Equal(fresh.describeAll(wanted)))
		case k.delivered == "":
			g.Expect(saidOf(now)).To(Equal(saidOf(wanted)))
			g.Expect(now.Status.Deployed).To(BeNil())
		default:
			k.expectLastKnownGood(g, now, wanted)
		}
	}, soon, "100ms").Should(Succeed(), failure)
	if takesOver {
		now := k.get()
		k.delivered, k.entry = string(k.secret(now.Spec.Target.Name).Data["token"]), now.Status.Deployed.Credential
	}
}

// takesOver reports whether a token that was delivered for a fresh resource has to be delivered here too: not if the
// last known good one came from an entry that goes before its own (section 5, rule 6, of the design).
func (k *oddWalk) takesOver(fresh *v1alpha1.JupicoCredential, scene *scene) bool {
	deployed := fresh.Status.Deployed
	if fresh.Spec.Suspend || deployed == nil {
		return false
	}
	rank := func(name string) int {
		return slices.IndexFunc(fresh.Spec.Credentials, func(c v1alpha1.Credential) bool { return c.Name == name })
	}
	isSame := string(scene.secret(fresh.Spec.Target.Name).Data["token"]) == k.delivered
	return k.delivered == "" || isSame || rank(k.entry) < 0 || rank(deployed.Credential) <= rank(k.entry)
}

// saidOf lists the conditions. Without a candidate, an endpoint is as it was known before.
func saidOf(r *v1alpha1.JupicoCredential) []string {
	var said []string
	for _, c := range r.Status.Conditions {
		if c.Type != v1alpha1.ConditionEndpointAvailable {
			said = append(said, fmt.Sprintf("%s=%s/%s", c.Type, c.Status, c.Reason))
		}
	}
	return said
}

// describeAll describes what is said of a resource, and what its target is.
func (s *scene) describeAll(r *v1alpha1.JupicoCredential) string {
	lines := append(saidOf(r), fmt.Sprint("managed: ", s.managed()))
	if deployed := r.Status.Deployed; deployed != nil {
		lines = append(lines, fmt.Sprint(deployed.Credential, " at ", deployed.Endpoint, ": ", deployed.Reason))
	}
	target := s.secret(r.Spec.Target.Name)
	if target == nil || r.Status.Target == nil {
		return strings.Join(append(lines, "no target"), "\n")
	}
	lines = append(lines, fmt.Sprint(r.Status.Target.Name, r.Status.Target.Keys, r.Status.Target.UID == target.UID,
		r.Status.Target.ResourceVersion == target.ResourceVersion), fmt.Sprint(target.Type, len(target.OwnerReferences)))
	for _, part := range []map[string]string{target.Labels, target.Annotations} {
		lines = append(lines, fmt.Sprint(part))
	}
	for _, key := range slices.Sorted(maps.Keys(target.Data)) {
		lines = append(lines, key+": "+string(target.Data[key]))
	}
	return strings.Join(lines, "\n")
}

// managed lists the Secrets that are marked as the resource's, of which there has to be one.
func (s *scene) managed() []string {
	var all corev1.SecretList
	Expect(admin.List(ctx, &all, client.InNamespace(s.namespace))).To(Succeed())
	var names []string
	for i := range all.Items {
		if all.Items[i].Annotations[v1alpha1.AnnotationManagedBy] == "payments" {
			names = append(names, all.Items[i].Name)
		}
	}
	return names
}

// expectLastKnownGood is about a resource for which no candidate can be delivered, or none that goes before.
func (k *oddWalk) expectLastKnownGood(g Gomega, now, fresh *v1alpha1.JupicoCredential) {
	GinkgoHelper()
	ready := condition(now, conditionReady)
	_, reason, _ := strings.Cut(condition(fresh, conditionReady), "/")
	g.Expect(now.Status.Deployed).NotTo(BeNil())
	g.Expect(now.Status.Deployed.Credential).To(Equal(k.entry))
	g.Expect(condition(now, v1alpha1.ConditionCredentialAccepted)).To(Equal("True/Accepted"))
	g.Expect(condition(now, v1alpha1.ConditionSecretSynced)).NotTo(HavePrefix("True/"))
	switch reason {
	case v1alpha1.ReasonTargetConflict:
		g.Expect(ready).To(Equal("False/" + reason))
		return
	case v1alpha1.ReasonTemplateError, v1alpha1.ReasonTargetWriteFailed:
		g.Expect(ready).To(HaveSuffix("/" + reason))
		return
	case "Rejected":
		reason = v1alpha1.ReasonCandidateRejected
	}
	// With two entries, the one that the token came from is spoken of, and else the best.
	if len(now.Spec.Credentials) == 1 {
		g.Expect(ready).To(Or(Equal("True/"+reason), Equal("False/"+v1alpha1.ReasonTargetWriteFailed)))
	}
	if strings.HasPrefix(ready, "True/") {
		target := k.secret(now.Spec.Target.Name)
		g.Expect(target).NotTo(BeNil())
		g.Expect(string(target.Data["token"])).To(Equal(k.delivered))
	}
}
