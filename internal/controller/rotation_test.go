// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/jupico/jupicotest"
)

// consumer is an application: it reads the target and calls the API with what is in it, every few milliseconds.
type consumer struct {
	scene *scene
	// using is held while a token that was read is in use. Who revokes waits for that: what an application does with a
	// token that it read long ago is its own affair.
	using           sync.RWMutex
	calls, rejected atomic.Int64
	done            chan struct{}
}

func (s *scene) consume() *consumer {
	c := &consumer{scene: s, done: make(chan struct{})}
	stopped := make(chan struct{})
	go func() {
		defer GinkgoRecover()
		defer close(stopped)
		for every := time.NewTicker(3 * time.Millisecond); ; <-every.C {
			select {
			case <-c.done:
				every.Stop()
				return
			default:
				c.call()
			}
		}
	}()
	DeferCleanup(func() { <-stopped })
	return c
}

func (c *consumer) call() {
	c.using.RLock()
	defer c.using.RUnlock()
	target := c.scene.target()
	if target == nil {
		return // not delivered yet
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, string(target.Data["url"])+"/status", nil)
	Expect(err).NotTo(HaveOccurred())
	request.Header.Set("Authorization", string(target.Data["authorization"]))
	request.Header.Set("Content-Type", "application/json")
	response, err := emulators.server.Client().Do(request)
	Expect(err).NotTo(HaveOccurred())
	Expect(response.Body.Close()).To(Succeed())
	c.calls.Add(1)
	if response.StatusCode == http.StatusUnauthorized {
		c.rejected.Add(1)
	}
}

// revoke revokes a key while no call is under way.
func (c *consumer) revoke(key string) {
	c.using.Lock()
	defer c.using.Unlock()
	Expect(c.scene.emulator.Revoke(key)).To(BeTrue())
}

// newKey makes a key in Backoffice.
func (s *scene) newKey() string {
	l := newLogin()
	key := base64.StdEncoding.EncodeToString([]byte(l.password))
	secretsMu.Lock()
	secrets = append(secrets, key)
	secretsMu.Unlock()
	s.emulator.AddKey(key)
	return key
}

func (s *scene) writeKey(name, key string) {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name}}
	secret.Data = map[string][]byte{"apiKey": []byte(key)}
	err := admin.Create(ctx, secret)
	if client.IgnoreAlreadyExists(err) == nil && err != nil {
		err = admin.Update(ctx, secret)
	}
	Expect(err).NotTo(HaveOccurred())
}

func keyEntry(name string) v1alpha1.Credential {
	return v1alpha1.Credential{Name: name, APIKeySecretRef: &v1alpha1.APIKeySecretReference{Name: name}}
}

func (s *scene) useEntries(entries ...v1alpha1.Credential) {
	s.edit(func(r *v1alpha1.JupicoCredential) { r.Spec.Credentials = entries })
}

func (s *scene) expectTarget(token string) {
	GinkgoHelper()
	Eventually(s.targetToken, soon, "2ms").Should(Equal(token), func() string { return describe(s.get()) })
}

// rotateByTheBook makes a new key, adds it second, swaps the two, and revokes the old one.
func (s *scene) rotateByTheBook(c *consumer, n int, old string) string {
	fresh := s.newKey()
	was, is := fmt.Sprintf("key-%d", n), fmt.Sprintf("key-%d", n+1)
	s.writeKey(is, fresh)
	s.useEntries(keyEntry(was), keyEntry(is))
	s.expectCondition(v1alpha1.ConditionRedundant, "True", "BothAccepted")
	s.useEntries(keyEntry(is), keyEntry(was))
	s.expectTarget(fresh)
	c.revoke(old)
	s.useEntries(keyEntry(is))
	return fresh
}

// rotateInPlace replaces the source's bytes, waits until the target has them, and revokes the old key.
func (s *scene) rotateInPlace(c *consumer, _ int, old string) string {
	fresh := s.newKey()
	s.writeKey("key-0", fresh)
	s.expectTarget(fresh)
	c.revoke(old)
	return fresh
}

var _ = Describe("A rotation", func() {
	const rotations, scenes = 200, 8
	DescribeTable("never leaves the target with a dead token",
		func(rotate func(s *scene, c *consumer, n int, old string) string) {
			var consumers []*consumer
			var all sync.WaitGroup
			for range scenes {
				s := newScene()
				c := s.consume()
				consumers = append(consumers, c)
				all.Go(func() {
					defer GinkgoRecover()
					defer close(c.done)
					key := s.newKey()
					s.writeKey("key-0", key)
					s.create(func(r *v1alpha1.JupicoCredential) { r.Spec.Credentials = []v1alpha1.Credential{keyEntry("key-0")} })
					s.expectTarget(key)
					for n := range rotations / scenes {
						key = rotate(s, c, n, key)
					}
				})
			}
			all.Wait()
			var calls, rejected int64
			for _, c := range consumers {
				calls, rejected = calls+c.calls.Load(), rejected+c.rejected.Load()
			}
			AddReportEntry(fmt.Sprintf("%d rotations: %d calls by consumers, %d of them rejected", rotations, calls, rejected))
			Expect(calls).To(BeNumerically(">", rotations))
			Expect(rejected).To(BeZero())
		},
		Entry("by the book", (*scene).rotateByTheBook),
		Entry("in place", (*scene).rotateInPlace),
	)
})

var _ = Describe("A standby", func() {
	both := func(s *scene) (first, second string) {
		GinkgoHelper()
		first, second = s.newKey(), s.newKey()
		s.writeKey("first", first)
		s.writeKey("second", second)
		s.create(func(r *v1alpha1.JupicoCredential) {
			r.Spec.Credentials = []v1alpha1.Credential{keyEntry("first"), keyEntry("second")}
		})
		s.expectCondition(v1alpha1.ConditionRedundant, "True", "BothAccepted")
		s.expectTarget(first)
		return first, second
	}

	It("takes the place of a revoked key, in the reconcile that confirms it, and says so", func() {
		s := newScene()
		first, second := both(s)
		Expect(s.emulator.Revoke(first)).To(BeTrue())
		s.askForCheck() // the first rejection, which a second one confirms
		s.expectReady("True", "FailedOver")
		s.expectTarget(second)
		r := s.get()
		Expect(r.Status.Deployed.Credential).To(Equal("second"))
		Expect(condition(r, v1alpha1.ConditionSecretSynced)).To(Equal("True/Synced"))
		Expect(condition(r, v1alpha1.ConditionRedundant)).To(Equal("False/Rejected"))
		Eventually(s.eventReasons, soon).Should(ContainElements("Normal FailedOver", "Warning Rejected"))

		By("outliving a restart")
		operator.stop()
		operator.start()
		Consistently(s.targetToken, "500ms").Should(Equal(second))

		By("giving it back once the first was accepted twice")
		Expect(s.emulator.Restore(first)).To(BeTrue())
		s.askForCheck()
		Expect(s.targetToken()).To(Equal(second))
		s.askForCheck()
		s.expectTarget(first)
		s.expectReady("True", "Accepted")
	})

	It("is put back when its target is deleted", func() {
		s := newScene()
		first, second := both(s)
		Expect(s.emulator.Revoke(first)).To(BeTrue())
		s.askForCheck()
		s.expectTarget(second)
		Expect(admin.Delete(ctx, s.target())).To(Succeed())
		s.expectTarget(second)
	})
})

var _ = Describe("One token of many resources", func() {
	const many = 20
	name := func(i int) string { return fmt.Sprintf("payments-%d", i) }
	createMany := func(s *scene) {
		GinkgoHelper()
		for i := range many {
			s.create(func(r *v1alpha1.JupicoCredential) { r.Name, r.Spec.Target.Name = name(i), "target-"+name(i) })
		}
	}
	reasons := func(s *scene) map[string]int {
		GinkgoHelper()
		var resources v1alpha1.JupicoCredentialList
		Expect(admin.List(ctx, &resources, client.InNamespace(s.namespace))).To(Succeed())
		counts := map[string]int{}
		for i := range resources.Items {
			counts[condition(&resources.Items[i], v1alpha1.ConditionReady)]++
		}
		return counts
	}

	It("is checked once for all, and its rejection confirmed for all", func() {
		s := newScene()
		s.writeSource(s.login.data())
		createMany(s)
		Eventually(func() map[string]int { return reasons(s) }, soon, "50ms").Should(Equal(map[string]int{"True/Accepted": many}))
		Expect(s.emulator.RequestsFor(s.login.token())).To(BeNumerically("<=", 3))

		s.emulator.Revoke(s.login.username)
		before := s.emulator.RequestsFor(s.login.token())
		testClock.advance(5 * time.Minute)
		s.poke()
		Eventually(func() map[string]int { return reasons(s) }, 2*soon, "50ms").Should(Equal(map[string]int{"False/Revoked": many}))
		Expect(s.emulator.RequestsFor(s.login.token())-before).To(BeNumerically("<=", 6), "of one rejection and its confirmations")
	})

	It("is not tried at once when the spec is edited, unless that changes what is checked", func() {
		s := newScene()
		s.emulator.Revoke(s.login.username)
		s.writeSource(s.login.data())
		s.create()
		s.expectReady("False", "Rejected")
		checks := s.emulator.RequestsFor(s.login.token())
		for i := range 5 {
			s.edit(func(r *v1alpha1.JupicoCredential) {
				r.Spec.CheckInterval = metav1.Duration{Duration: time.Duration(i+1) * time.Hour}
			})
			Eventually(func() int64 { return s.get().Status.ObservedGeneration }, soon, "20ms").Should(Equal(s.get().Generation))
		}
		Expect(s.emulator.RequestsFor(s.login.token())).To(Equal(checks))
		Expect(condition(s.get(), v1alpha1.ConditionReady)).To(Equal("False/Rejected"))
	})

	It("is tried at once, whatever its backoff, when its source is edited to it", func() {
		s := newScene()
		s.ready()
		other := newLogin()
		s.writeSource(other.data())
		s.expectReady("True", "CandidateRejected")
		s.writeSource(newLogin().data())
		Eventually(func() string { return s.get().Status.Credentials[0].Source.ResourceVersion }, soon, "20ms").
			Should(Equal(s.secret("source").ResourceVersion))
		s.emulator.AddAccount(other.username, other.password, jupicotest.Standard)
		s.writeSource(other.data())
		s.expectTarget(other.token())
	})

	It("is latched for a new resource too", func() {
		s := newScene()
		wrong := newLogin()
		s.writeSource(wrong.data())
		s.create()
		s.expectReady("False", "Rejected")
		before := s.emulator.Requests()
		createMany(s)
		Eventually(func() map[string]int { return reasons(s) }, soon, "50ms").Should(Equal(map[string]int{"False/Rejected": many + 1}))
		testClock.advance(3 * time.Minute)
		s.poke()
		Consistently(s.emulator.Requests, "2s").Should(Equal(before))
	})
})

var _ = Describe("Many edits at once", func() {
	It("cost one check for each entry, however many have to wait for a slot", func() {
		const many = 40
		s := newScene()
		name := func(i int) string { return fmt.Sprintf("payments-%d", i) }
		for i := range many {
			first, second := "first-"+name(i), "second-"+name(i)
			s.writeKey(first, s.newKey())
			s.writeKey(second, s.newKey())
			s.create(func(r *v1alpha1.JupicoCredential) {
				r.Name, r.Spec.Target.Name = name(i), "target-"+name(i)
				r.Spec.Credentials = []v1alpha1.Credential{keyEntry(first), keyEntry(second)}
			})
		}
		behind := func() int {
			var resources v1alpha1.JupicoCredentialList
			Expect(admin.List(ctx, &resources, client.InNamespace(s.namespace))).To(Succeed())
			n := 0
			for i := range resources.Items {
				r := &resources.Items[i]
				if r.Generation != r.Status.ObservedGeneration || condition(r, v1alpha1.ConditionRedundant) != "True/BothAccepted" {
					n++
				}
			}
			return n
		}
		Eventually(behind, 4*soon, "100ms").Should(BeZero())
		for _, interval := range []string{"10m", "20m", "40m"} {
			before := s.emulator.Requests()
			patch := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"checkInterval":"`+interval+`"}}`))
			for i := range many {
				r := &v1alpha1.JupicoCredential{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name(i)}}
				Expect(admin.Patch(ctx, r, patch)).To(Succeed())
			}
			Eventually(behind, 4*soon, "100ms").Should(BeZero())
			Expect(s.emulator.Requests()-before).To(BeNumerically("<=", 2*many+many/4), "a status that was refused may cost another")
		}
	})
})

var _ = Describe("A swap", func() {
	It("that is taken back while it is carried out leaves the first in the target", func() {
		s := newScene()
		first, second := s.newKey(), s.newKey()
		s.writeKey("first", first)
		s.writeKey("second", second)
		s.create(func(r *v1alpha1.JupicoCredential) {
			r.Spec.Credentials = []v1alpha1.Credential{keyEntry("first"), keyEntry("second")}
		})
		s.expectCondition(v1alpha1.ConditionRedundant, "True", "BothAccepted")
		s.expectTarget(first)
		s.emulator.Inject(jupicotest.Fault{Latency: time.Second})
		checked := s.emulator.RequestsFor(second)
		s.useEntries(keyEntry("second"), keyEntry("first"))
		Eventually(func() int { return s.emulator.RequestsFor(second) }, soon, "5ms").Should(BeNumerically(">", checked))
		s.useEntries(keyEntry("first"), keyEntry("second"))
		s.emulator.Clear()
		Eventually(func() int64 { r := s.get(); return r.Generation - r.Status.ObservedGeneration }, soon, "20ms").
			Should(BeZero())
		s.expectTarget(first)
		Consistently(s.targetToken, "1s").Should(Equal(first))
		Expect(s.get().Status.Deployed.Credential).To(Equal("first"))
	})
})
