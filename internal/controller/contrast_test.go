// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"net/http"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/jupico-operator/jupico-operator/internal/jupico/jupicotest"
)

var _ = Describe("A page in the API's place", func() {
	const signIn = "<!DOCTYPE html><title>Sign in</title>"
	DescribeTable("is no reason to deliver a wrong password", func(fault jupicotest.Fault, reason string) {
		s := newScene()
		s.ready()
		testClock.advance(time.Minute)
		s.emulator.Inject(fault)
		s.writeSource(newLogin().data())
		s.expectReady("True", reason)
		Consistently(s.targetToken, "1s", "50ms").Should(Equal(s.login.token()))

		By("going on as soon as the API is back")
		s.emulator.Clear()
		testClock.advance(10 * time.Minute)
		s.poke()
		s.expectReady("True", "CandidateRejected")
		Expect(s.targetToken()).To(Equal(s.login.token()))
	},
		Entry("of HTML", jupicotest.Fault{HTML: true}, "UnexpectedResponse"),
		Entry("with a parameter given twice",
			jupicotest.Fault{HTML: true, ContentType: "text/html; charset=utf-8; charset=UTF-8"}, "UnexpectedResponse"),
		Entry("of plain text", jupicotest.Fault{Body: "Please sign in", ContentType: "text/plain"},
			"EndpointDoesNotAuthenticate"),
		Entry("of JSON that looks just like the API's", jupicotest.Fault{Body: `{"success":true}`},
			"EndpointDoesNotAuthenticate"),
		Entry("of nothing", jupicotest.Fault{NoBody: true}, "EndpointDoesNotAuthenticate"),
		Entry("that is HTML, but says it is not", jupicotest.Fault{Body: signIn, ContentType: "application/json"},
			"UnexpectedResponse"),
	)
})

var _ = Describe("A token whose write is delayed", func() {
	It("is proven again before it is written", func() {
		s := newScene()
		s.ready()
		next := s.newAccount()
		happened := disturb(func(r *http.Request) bool { // between the check and the write
			isTarget := strings.HasSuffix(r.URL.Path, s.namespace+"/secrets/target")
			return r.Method == http.MethodGet && isTarget && s.emulator.RequestsFor(next.token()) > 0
		}, func(send send) (*http.Response, error) {
			testClock.advance(2 * time.Minute)
			return send()
		})
		s.writeSource(next.data())
		Eventually(happened, soon).Should(BeClosed())
		s.expectTarget(next.token())
		Expect(s.emulator.RequestsFor(next.token())).To(Equal(2))
	})
})
