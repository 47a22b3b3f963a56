// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package objectwatch

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/hack/testbed"
)

// soon is how long a test waits for what takes milliseconds, on a machine that is busy.
const soon = 15 * time.Second

// TestTheWatchAgainstARealAPIServer has one namespace for each test, all of which share the API server.
func TestTheWatchAgainstARealAPIServer(t *testing.T) {
	scheme := runtime.NewScheme()
	g := NewWithT(t)
	g.Expect(clientgoscheme.AddToScheme(scheme)).To(Succeed())
	g.Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
	programs, err := testbed.ControlPlane("../..")
	g.Expect(err).NotTo(HaveOccurred())
	environment := &envtest.Environment{
		CRDDirectoryPaths:     []string{filepath.Join("..", "..", "config", "crd", "bases")},
		ErrorIfCRDPathMissing: true,
		BinaryAssetsDirectory: programs,
	}
	config, err := environment.Start()
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { _ = environment.Stop() })
	admin, err := client.New(config, client.Options{Scheme: scheme})
	g.Expect(err).NotTo(HaveOccurred())

	for sentence, test := range map[string]func(*cluster){
		"A former target is found by its mark after a restart":            formerTargetAfterARestart,
		"A mark that somebody else sets wakes the resource that it names": markOfSomebodyElse,
		"A mark that names no resource wakes nobody":                      markOfNobody,
		"What is no news wakes nobody":                                    noNews,
		"Nothing is left of what a deleted resource referred to":          deletedResource,
		"Nothing is left of what a resource referred to before an edit":   editedResource,
		"One namespace is watched, and no other":                          oneNamespace,
	} {
		t.Run(sentence, func(t *testing.T) {
			test(newCluster(t, admin, config, scheme))
		})
	}
}

// cluster is the API server as one test sees it: a namespace with the resource "payments", which refers to the Secrets
// "target" and "source".
type cluster struct {
	*WithT
	t         *testing.T
	admin     client.Client
	config    *rest.Config
	scheme    *runtime.Scheme
	namespace string
}

func newCluster(t *testing.T, admin client.Client, config *rest.Config, scheme *runtime.Scheme) *cluster {
	t.Helper()
	c := &cluster{WithT: NewWithT(t), t: t, admin: admin, config: config, scheme: scheme}
	c.namespace = c.createNamespace()
	c.create(payments(c.namespace))
	return c
}

func payments(namespace string) *v1alpha1.JupicoCredential {
	return &v1alpha1.JupicoCredential{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "payments"},
		Spec: v1alpha1.JupicoCredentialSpec{
			Environment: v1alpha1.EnvironmentSandbox,
			Credentials: []v1alpha1.Credential{{
				Name: "main", BasicAuthSecretRef: &v1alpha1.BasicAuthSecretReference{Name: "source"},
			}},
			Target: v1alpha1.Target{Name: "target"},
		},
	}
}

func (c *cluster) create(object client.Object) {
	c.t.Helper()
	c.Expect(c.admin.Create(c.t.Context(), object)).To(Succeed())
}

func (c *cluster) createNamespace() string {
	c.t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	c.create(namespace)
	return namespace.Name
}

// createSecret makes a Secret that names its manager, if one is given.
func (c *cluster) createSecret(namespace, name, managedBy string) *corev1.Secret {
	c.t.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	if managedBy != "" {
		secret.Annotations = map[string]string{v1alpha1.AnnotationManagedBy: managedBy}
	}
	c.create(secret)
	return secret
}

// runningWatch is a Watch of Secrets with all that it needs.
type runningWatch struct {
	*Watch
	queue workqueue.TypedRateLimitingInterface[reconcile.Request]
}

func everythingIsNews(*v1alpha1.JupicoCredential, string, *Object) bool { return true }

// start returns a Watch that knows what a new process knows.
func (c *cluster) start(
	isNews func(*v1alpha1.JupicoCredential, string, *Object) bool,
) *runningWatch {
	c.t.Helper()
	ctx, cancel := context.WithCancel(c.t.Context())
	c.t.Cleanup(cancel)
	resources, err := cache.New(c.config, cache.Options{
		Scheme: c.scheme, DefaultNamespaces: map[string]cache.Config{c.namespace: {}},
	})
	c.Expect(err).NotTo(HaveOccurred())
	c.Expect(RegisterIndexes(ctx, resources)).To(Succeed())
	go func() { _ = resources.Start(ctx) }()
	c.Expect(resources.WaitForCacheSync(ctx)).To(BeTrue())

	objects, err := metadata.NewForConfig(c.config)
	c.Expect(err).NotTo(HaveOccurred())
	secrets := objects.Resource(corev1.SchemeGroupVersion.WithResource("secrets"))
	w := &runningWatch{
		Watch: New(resources, IndexSecrets, secrets, c.namespace, isNews, func(error) {}),
		queue: workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[reconcile.Request]()),
	}
	c.t.Cleanup(w.queue.ShutDown)
	c.Expect(w.Start(ctx, w.queue)).To(Succeed())
	inTime, done := context.WithTimeout(ctx, soon)
	defer done()
	c.Expect(w.WaitForSync(inTime)).To(Succeed())
	return w
}

// woken takes from the queue.
func (w *runningWatch) woken() []string {
	var names []string
	for w.queue.Len() > 0 {
		request, _ := w.queue.Get()
		w.queue.Done(request)
		names = append(names, request.String())
	}
	return names
}

// sizes are the numbers of objects that are tracked, and that are not.
func (w *runningWatch) sizes() []int {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	return []int{len(w.store.tracked), len(w.store.untracked)}
}

func formerTargetAfterARestart(c *cluster) {
	c.createSecret(c.namespace, "former", "payments")
	c.createSecret(c.namespace, "target", "payments")
	c.createSecret(c.namespace, "stranger", "")
	w := c.start(everythingIsNews)
	c.Expect(w.ManagedBy(c.namespace, "payments")).To(Equal([]string{"former", "target"}))
	c.Expect(w.woken()).To(Equal([]string{c.namespace + "/payments"}))
	c.Expect(w.sizes()).To(Equal([]int{2, 1}))
}

func markOfSomebodyElse(c *cluster) {
	w := c.start(everythingIsNews)
	expectWoken := func() {
		c.t.Helper()
		c.Eventually(w.woken, soon, "10ms").Should(Equal([]string{c.namespace + "/payments"}))
	}
	secret := c.createSecret(c.namespace, "copy", "payments")
	expectWoken()
	c.Expect(w.ManagedBy(c.namespace, "payments")).To(Equal([]string{"copy"}))

	secret.Labels = map[string]string{"changed": "yes"}
	c.Expect(c.admin.Update(c.t.Context(), secret)).To(Succeed())
	expectWoken()
	delete(secret.Annotations, v1alpha1.AnnotationManagedBy)
	c.Expect(c.admin.Update(c.t.Context(), secret)).To(Succeed())
	expectWoken()
	c.Expect(w.ManagedBy(c.namespace, "payments")).To(BeEmpty())

	secret.Annotations = map[string]string{v1alpha1.AnnotationManagedBy: "payments"}
	c.Expect(c.admin.Update(c.t.Context(), secret)).To(Succeed())
	expectWoken()
	c.Expect(c.admin.Delete(c.t.Context(), secret)).To(Succeed())
	expectWoken()
	c.Expect(w.ManagedBy(c.namespace, "payments")).To(BeEmpty())
}

func markOfNobody(c *cluster) {
	w := c.start(everythingIsNews)
	c.createSecret(c.namespace, "other", "nobody")
	c.Eventually(func() []string { return w.ManagedBy(c.namespace, "nobody") }, soon, "10ms").Should(Equal([]string{"other"}))
	c.createSecret(c.namespace, "source", "") // whose event comes later
	c.Eventually(w.woken, soon, "10ms").Should(Equal([]string{c.namespace + "/payments"}))
}

func noNews(c *cluster) {
	w := c.start(func(resource *v1alpha1.JupicoCredential, name string, now *Object) bool {
		return resource.Name == "payments" && name == "copy" && now == nil
	})
	c.createSecret(c.namespace, "source", "")
	secret := c.createSecret(c.namespace, "copy", "payments")
	c.Eventually(w.sizes, soon, "10ms").Should(Equal([]int{2, 0}))
	c.Expect(w.woken()).To(BeEmpty())
	c.Expect(c.admin.Delete(c.t.Context(), secret)).To(Succeed())
	c.Eventually(w.woken, soon, "10ms").Should(Equal([]string{c.namespace + "/payments"}))
}

func deletedResource(c *cluster) {
	c.createSecret(c.namespace, "source", "")
	target := c.createSecret(c.namespace, "target", "")
	w := c.start(everythingIsNews)
	c.Expect(c.admin.Delete(c.t.Context(), target)).To(Succeed())
	c.Eventually(func() *Object { return w.Cached(client.ObjectKeyFromObject(target)) }, soon, "10ms").Should(BeNil())
	c.Expect(w.sizes()).To(Equal([]int{2, 0}), "a resource still refers to the deleted target")
	c.Expect(c.admin.Delete(c.t.Context(), payments(c.namespace))).To(Succeed())
	c.Eventually(w.sizes, soon, "10ms").Should(Equal([]int{0, 1}))
}

func editedResource(c *cluster) {
	c.createSecret(c.namespace, "source", "")
	c.createSecret(c.namespace, "target", "payments")
	w := c.start(everythingIsNews)
	resource := payments(c.namespace)
	c.Expect(c.admin.Get(c.t.Context(), client.ObjectKeyFromObject(resource), resource)).To(Succeed())
	resource.Spec.Target.Name = "renamed"
	resource.Spec.Credentials[0].BasicAuthSecretRef.Name = "other"
	c.Expect(c.admin.Update(c.t.Context(), resource)).To(Succeed())
	c.Eventually(w.sizes, soon, "10ms").Should(Equal([]int{1, 1}))
	c.Expect(w.ManagedBy(c.namespace, "payments")).To(Equal([]string{"target"}))
}

func oneNamespace(c *cluster) {
	unwatched := c.createNamespace()
	w := c.start(everythingIsNews)
	c.create(payments(unwatched))
	c.createSecret(unwatched, "former", "payments")
	c.createSecret(c.namespace, "former", "payments")
	c.Eventually(func() []string { return w.ManagedBy(c.namespace, "payments") }, soon, "10ms").
		Should(Equal([]string{"former"}))
	c.Expect(w.sizes()).To(Equal([]int{1, 0}))
	c.Expect(w.ManagedBy(unwatched, "payments")).To(BeEmpty())
}
