// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	eventsv1 "k8s.io/api/events/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
)

// expectEvent waits for an event with this note.
func (s *scene) expectEvent(eventType, reason, note string) {
	GinkgoHelper()
	Eventually(func() []eventsv1.Event {
		var events eventsv1.EventList
		Expect(admin.List(ctx, &events, client.InNamespace(s.namespace))).To(Succeed())
		return events.Items
	}, soon, "20ms").Should(ContainElement(SatisfyAll(
		HaveField("Type", eventType), HaveField("Reason", reason), HaveField("Note", MatchRegexp("^"+note+"$")),
		HaveField("Action", "main"),
	)))
}

var _ = Describe("Events", func() {
	It("tell the story of a target", func() {
		s := newScene()
		s.ready()
		By("telling of a rotation")
		next := s.newAccount()
		s.writeSource(next.data())
		s.expectTarget(next.token())
		s.expectEvent("Normal", v1alpha1.EventDelivered, `Secret "target" holds the token of credential "main", which Jupico `+
			`accepted\. Before, another token of that credential was delivered\.`)

		By("telling who had changed it")
		target := s.target()
		target.Data[v1alpha1.TargetKeyToken] = []byte("tampered")
		Expect(admin.Update(ctx, target, client.FieldOwner("rival"))).To(Succeed())
		s.expectTarget(next.token())
		s.expectEvent("Normal", v1alpha1.EventRestored,
			`Secret "target" was put right, after the field manager "rival" had changed it\.`)

		By("telling that it was gone")
		Expect(admin.Delete(ctx, s.target())).To(Succeed())
		s.expectTarget(next.token())
		s.expectEvent("Normal", v1alpha1.EventRecreated, `Secret "target" was gone, and was made again\.`)

		By("telling what became of a former one")
		s.edit(rename("renamed"))
		s.expectGone("target")
		s.expectEvent("Normal", v1alpha1.EventReleased, `The former target "target" was deleted\.`)
		s.expectEvent("Normal", v1alpha1.EventDelivered,
			`Secret "renamed" holds the token of credential "main", which Jupico accepted\.`)
	})

	It("tell that what a warning was about is over", func() {
		s := newScene()
		s.ready()
		s.emulator.Revoke(s.login.username)
		s.askForCheck()
		s.expectEvent("Warning", v1alpha1.ReasonRevoked, ".*")
		s.emulator.Restore(s.login.username)
		s.askForCheck()
		s.expectEvent("Normal", v1alpha1.EventRecovered, `Jupico accepts credential "main", and .*`)
	})
})
