// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"net/http"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	dto "github.com/prometheus/client_model/go"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/jupico/jupicotest"
)

// auditedCalls counts the operator's calls about a namespace, as the API server saw them: "get secrets" and so on. A
// write that was refused since a test's own edit came first is none.
func auditedCalls(namespace string) map[string]int {
	GinkgoHelper()
	calls := map[string]int{}
	for _, call := range audited() {
		if call.ObjectRef.Namespace == namespace && call.ResponseStatus.Code != http.StatusConflict {
			calls[call.Verb+" "+call.resource()]++
		}
	}
	return calls
}

var _ = Describe("The schedule", func() {
	It("makes a resource of three calls, and an unchanged check of one status patch", func() {
		s := newScene()
		warm := newScene() // so that the endpoint is known, and its control is made
		warm.ready()
		s.url, s.emulator = warm.url, warm.emulator
		s.emulator.AddAccount(s.login.username, s.login.password, 1)
		s.ready()
		Expect(auditedCalls(s.namespace)).To(Equal(map[string]int{
			"get secrets": 1, "create secrets": 1, "patch jupicocredentials/status": 1,
		}))

		const checks = 5
		for i := range checks {
			last := s.get().Status.LastCheckTime
			testClock.advance(5 * time.Minute)
			// The wake-up is a change of a Secret that the resource mentions and does not read: a label on its target
			// would be read, a touched source too; the resource's own annotations are not.
			s.edit(func(r *v1alpha1.JupicoCredential) {
				metav1.SetMetaDataAnnotation(&r.ObjectMeta, "touched", time.Duration(i).String())
			})
			Eventually(func() *metav1.Time { return s.get().Status.LastCheckTime }, soon, "20ms").ShouldNot(Equal(last))
		}
		Expect(s.emulator.RequestsFor(s.login.token())).To(Equal(1 + checks))
		Expect(auditedCalls(s.namespace)).To(Equal(map[string]int{
			"get secrets": 1, "create secrets": 1, "patch jupicocredentials/status": 1 + checks,
		}))
	})

	It("makes no check twice when its outcome could not be written at first", func() {
		s := newScene()
		s.ready()
		last := s.get().Status.LastCheckTime
		s.emulator.Inject(jupicotest.Fault{Latency: 500 * time.Millisecond})
		testClock.advance(5 * time.Minute)
		touch := func(value string) {
			s.edit(func(r *v1alpha1.JupicoCredential) { metav1.SetMetaDataAnnotation(&r.ObjectMeta, "touched", value) })
		}
		touch("so that the check is made")
		Eventually(func() int { return s.emulator.RequestsFor(s.login.token()) }, soon, "5ms").Should(Equal(2))
		touch("while it is under way")
		Eventually(func() *metav1.Time { return s.get().Status.LastCheckTime }, soon, "20ms").ShouldNot(Equal(last))
		Expect(s.emulator.RequestsFor(s.login.token())).To(Equal(2))
	})

	It("is resumed from status after a restart, with one read of each source and nothing else", func() {
		s := newScene()
		s.ready()
		next := s.get().Status.NextCheckTime
		calls := auditedCalls(s.namespace)
		requests := s.emulator.Requests()
		operator.stop()
		operator.start()
		other := newScene() // a sign that the initial list was worked through
		other.ready()
		Expect(s.emulator.Requests()).To(Equal(requests))
		calls["get secrets"]++
		Expect(auditedCalls(s.namespace)).To(Equal(calls))
		Expect(s.get().Status.NextCheckTime).To(Equal(next))

		By("putting a target right that was changed meanwhile, on the word of the source proven again")
		operator.stop()
		target := s.target()
		target.Data["token"] = []byte("tampered")
		Expect(admin.Update(ctx, target)).To(Succeed())
		operator.start()
		Eventually(s.targetToken, soon, "20ms").Should(Equal(s.login.token()))
		Expect(s.emulator.RequestsFor(s.login.token())).To(Equal(2))
	})

	It("shows a revocation within one interval and its confirmation, by itself", func() {
		s := newScene()
		s.ready(func(r *v1alpha1.JupicoCredential) { r.Spec.CheckInterval = metav1.Duration{Duration: 30 * time.Second} })
		revoked := time.Now()
		s.emulator.Revoke(s.login.username)
		Eventually(func() string { return condition(s.get(), v1alpha1.ConditionReady) }, 2*time.Minute, "50ms").
			Should(Equal("False/Revoked"))
		AddReportEntry("time from revocation to condition", time.Since(revoked).Round(100*time.Millisecond).String())
		r := s.get()
		Expect(r.Status.Credentials[0].LastRejected.Time.Time).
			To(BeTemporally("<=", testClock.Now().Add(-time.Since(revoked)+35*time.Second)))
	})

	It("waits longer and longer after rejections", func() {
		s := newScene()
		s.writeSource(newLogin().data())
		s.create()
		s.expectReady("False", "Rejected")
		wait := func() time.Duration {
			status := s.get().Status
			return status.NextCheckTime.Sub(status.LastCheckTime.Time)
		}
		for _, want := range []time.Duration{5 * time.Minute, 10 * time.Minute, 20 * time.Minute} {
			Expect(wait()).To(BeNumerically("~", want+want/20, want/20+time.Second))
			last := s.get().Status.LastCheckTime
			testClock.advance(wait())
			s.poke()
			Eventually(func() *metav1.Time { return s.get().Status.LastCheckTime }, soon, "20ms").ShouldNot(Equal(last))
		}
	})
})

var _ = Describe("The metrics", func() {
	It("count checks by outcome, and tell which credentials are accepted", func() {
		s := newScene()
		s.ready()
		value := func(name string, labels ...string) float64 {
			families, err := operator.registry.Gather()
			Expect(err).NotTo(HaveOccurred())
			for _, family := range families {
				for _, metric := range family.Metric {
					if family.GetName() == name && hasLabels(metric, labels) {
						return metric.GetGauge().GetValue() + metric.GetCounter().GetValue() +
							float64(metric.GetHistogram().GetSampleCount())
					}
				}
			}
			return -1
		}
		mine := []string{s.namespace, "payments", "main"}
		Eventually(func() float64 { return value("jupico_credential_accepted", mine...) }, soon).Should(BeEquivalentTo(1))
		Expect(value("jupico_credential_last_accepted_timestamp_seconds", mine...)).
			To(BeNumerically("~", testClock.Now().Unix(), 60))
		Expect(value("jupico_active_credential", mine...)).To(BeEquivalentTo(1))
		Expect(value("jupico_resource_ready", s.namespace, "payments", "Accepted")).To(BeEquivalentTo(1))
		Expect(value("jupico_credential_stale", s.namespace, "payments")).To(BeEquivalentTo(0))
		Expect(value("jupico_overdue_resources")).To(BeNumerically(">=", 0))
		Expect(value("jupico_checks_total", "Sandbox", "Accepted")).To(BeNumerically(">=", 1))
		Expect(value("jupico_check_duration_seconds")).To(BeNumerically(">=", 1))
		s.emulator.Revoke(s.login.username)
		s.askForCheck()
		Eventually(func() float64 { return value("jupico_credential_accepted", mine...) }, soon).Should(BeEquivalentTo(0))
	})
})

func hasLabels(metric *dto.Metric, values []string) bool {
	found := 0
	for _, label := range metric.Label {
		for _, value := range values {
			if label.GetValue() == value {
				found++
			}
		}
	}
	return found == len(values)
}

// What is about everything is looked at when everything has happened.
var _ = AfterSuite(func() {
	if operator == nil {
		return // the suite did not start, and says so
	}
	expectNoCanary()
	expectRightsAreUsed()
})
