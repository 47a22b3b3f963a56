// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/jupico/jupicotest"
)

var _ = Describe("A source that cannot be a credential", func() {
	type row struct {
		data    map[string][]byte
		change  func(*v1alpha1.JupicoCredential)
		reason  string
		message string
		waiting string // Reconciling or Stalled
		isKey   bool
	}
	text := func(username, password string) map[string][]byte {
		return map[string][]byte{"username": []byte(username), "password": []byte(password)}
	}
	key := func(value string) map[string][]byte { return map[string][]byte{"apiKey": []byte(value)} }
	none := func(*v1alpha1.JupicoCredential) {}

	DescribeTable("is named, with what to do, and nothing is sent", func(r row) {
		s := newScene()
		if r.data != nil {
			s.writeSource(r.data)
		}
		s.create(r.change)
		s.expectReady("False", r.reason)
		resource := s.get()
		Expect(message(resource, v1alpha1.ConditionReady)).To(ContainSubstring(r.message))
		Expect(condition(resource, v1alpha1.ConditionCredentialAccepted)).To(Equal("Unknown/" + r.reason))
		Expect(condition(resource, v1alpha1.ConditionSecretSynced)).To(Equal("False/WaitingForCredential"))
		Expect(condition(resource, v1alpha1.ConditionEndpointAvailable)).To(Equal("Unknown/NotChecked"))
		Expect(condition(resource, r.waiting)).To(Equal("True/" + r.reason))
		Expect(resource.Status.NextCheckTime).To(BeNil())
		Expect(s.emulator.Requests()).To(BeZero())
		Expect(s.target()).To(BeNil())

		By("being acted on as soon as it is mended")
		if r.isKey {
			s.emulator.AddKey(s.login.token())
			s.writeSource(key(s.login.token()))
		} else {
			s.writeSource(s.login.data())
		}
		s.expectReady("True", "Accepted")
	},
		Entry("when it does not exist", row{nil, none, "SourceNotFound", `Secret "source"`, "Reconciling", false}),
		Entry("when a key is missing", row{map[string][]byte{"username": []byte("u")}, none,
			"SourceKeyMissing", `no key "password"`, "Stalled", false}),
		Entry("when both keys are missing", row{map[string][]byte{"other": []byte("u")}, none,
			"SourceKeyMissing", `no key "username" and no key "password"`, "Stalled", false}),
		Entry("when the key of an API key is missing", row{map[string][]byte{"apikey": []byte("k")}, apiKey,
			"SourceKeyMissing", `no key "apiKey"`, "Stalled", true}),
		Entry("when a value is empty", row{text("u", ""), none, "InvalidSource", "the password is empty", "Stalled", false}),
		Entry("when the username has a colon", row{text("u:v", "p"), none, "InvalidSource", "contains a colon", "Stalled", false}),
		Entry("when there are control characters", row{text("u", "p\x07"), none,
			"InvalidSource", "control character (0x07)", "Stalled", false}),
		Entry("when an API key is not token68", row{key("two words"), apiKey,
			"InvalidSource", "copy it again from Backoffice", "Stalled", true}),
	)

	It("is cleaned of a trailing newline, which works and is said", func() {
		s := newScene()
		s.writeSource(text(s.login.username+"\n", s.login.password+"\r\n"))
		s.create()
		s.expectReady("True", "Accepted")
		Expect(s.targetToken()).To(Equal(s.login.token()))
		Eventually(s.eventReasons, soon).Should(ContainElement("Warning SourceCleaned"))
	})

	It("is cleaned of white space and a pasted prefix around an API key", func() {
		s := newScene()
		s.emulator.AddKey(s.login.token())
		s.writeSource(key(" Basic " + s.login.token() + "\n"))
		s.create(apiKey)
		s.expectReady("True", "Accepted")
		Expect(s.targetToken()).To(Equal(s.login.token()))
		Eventually(s.eventReasons, soon).Should(ContainElement("Warning SourceCleaned"))
	})
})

var _ = Describe("A manifest that cannot work", func() {
	DescribeTable("is refused with a sentence that helps", func(change func(*v1alpha1.JupicoCredential), sentence string) {
		s := newScene()
		expectRejectedByAPI(s.resource(change), ContainSubstring(sentence))
	},
		Entry("target named like the source", func(r *v1alpha1.JupicoCredential) { r.Spec.Target.Name = "source" },
			"the target must be another Secret than the one that the credential is read from"),
		Entry("http:// URL", func(r *v1alpha1.JupicoCredential) { r.Spec.Endpoint.URL = "http://gateway.example" },
			"url must be an absolute https:// URL"),
		Entry("no URL at all", func(r *v1alpha1.JupicoCredential) { r.Spec.Endpoint.URL = "gateway" },
			"url must be an absolute https:// URL"),
		Entry("userinfo", func(r *v1alpha1.JupicoCredential) { r.Spec.Endpoint.URL = "https://u:p@gateway.example" },
			"url must have no userinfo, query or fragment"),
		Entry("query", func(r *v1alpha1.JupicoCredential) { r.Spec.Endpoint.URL = "https://gateway.example?a=b" },
			"url must have no userinfo, query or fragment"),
		Entry("fragment", func(r *v1alpha1.JupicoCredential) { r.Spec.Endpoint.URL = "https://gateway.example#a" },
			"url must have no userinfo, query or fragment"),
		Entry("two CAs", func(r *v1alpha1.JupicoCredential) {
			r.Spec.Endpoint.CAConfigMapRef = &v1alpha1.CAConfigMapReference{Name: "authorities"}
		}, "give at most one of caBundle and caConfigMapRef"),
		Entry("two sources in an entry", func(r *v1alpha1.JupicoCredential) {
			r.Spec.Credentials[0].APIKeySecretRef = &v1alpha1.APIKeySecretReference{Name: "key"}
		}, "give exactly one of basicAuthSecretRef"),
		Entry("no source in an entry", func(r *v1alpha1.JupicoCredential) { r.Spec.Credentials[0].BasicAuthSecretRef = nil },
			"give exactly one of basicAuthSecretRef"),
		Entry("no entry", func(r *v1alpha1.JupicoCredential) { r.Spec.Credentials = nil }, "spec.credentials"),
		Entry("three entries", func(r *v1alpha1.JupicoCredential) {
			r.Spec.Credentials = []v1alpha1.Credential{keyEntry("a"), keyEntry("b"), keyEntry("c")}
		}, "must have at most 2 items"),
		Entry("two entries of one name", func(r *v1alpha1.JupicoCredential) {
			r.Spec.Credentials = []v1alpha1.Credential{keyEntry("a"), keyEntry("a")}
		}, "Duplicate value"),
		Entry("a name with an underscore", func(r *v1alpha1.JupicoCredential) { r.Spec.Credentials[0].Name = "a_b" },
			"name may hold letters, digits and inner hyphens"),
		Entry("a target that is no name", func(r *v1alpha1.JupicoCredential) { r.Spec.Target.Name = "My Secret" },
			"name must be a valid name for a Secret"),
		Entry("an unknown environment", environment("Staging"), `supported values: "SharedSandbox", "Sandbox", "Production"`),
		Entry("an unknown policy", func(r *v1alpha1.JupicoCredential) { r.Spec.Target.CreationPolicy = "Keep" },
			`supported values: "Owner", "Orphan"`),
		Entry("an interval too short", func(r *v1alpha1.JupicoCredential) {
			r.Spec.CheckInterval = metav1.Duration{Duration: 29 * time.Second}
		}, "checkInterval must be a duration between 30s and 24h"),
		Entry("an interval too long", func(r *v1alpha1.JupicoCredential) {
			r.Spec.CheckInterval = metav1.Duration{Duration: 25 * time.Hour}
		}, "checkInterval must be a duration between 30s and 24h"),
		Entry("a CA bundle without end", func(r *v1alpha1.JupicoCredential) {
			r.Spec.Endpoint.CABundle = []byte(strings.Repeat("x", 200_000))
		}, "spec.endpoint.caBundle"),
	)

	It("gets the defaults of top-level scalars, and none inside, where GitOps tools would see drift", func() {
		s := newScene()
		s.create()
		r := s.get()
		Expect(r.Spec.CheckInterval.Duration).To(Equal(5 * time.Minute))
		Expect(r.Spec.Target.CreationPolicy).To(BeEmpty())
		Expect(r.Spec.Credentials[0].BasicAuthSecretRef.UsernameKey).To(BeEmpty())
	})
})

var _ = Describe("An endpoint", func() {
	type row struct {
		fault   jupicotest.Fault
		outcome string
		message string
		pause   time.Duration // that it asks for, and gets even when a check is asked for
	}
	DescribeTable("that gives no evidence is named, with what to do, and the credential stays unproven", func(r row) {
		s := newScene()
		r.fault.OnlyToken = s.login.token()
		s.emulator.Inject(r.fault)
		s.writeSource(s.login.data())
		s.create(environment(v1alpha1.EnvironmentProduction))
		s.expectReady("False", r.outcome)
		resource := s.get()
		Expect(message(resource, v1alpha1.ConditionReady)).To(ContainSubstring(r.message))
		Expect(message(resource, v1alpha1.ConditionReady)).NotTo(ContainSubstring(jupicotest.SensitiveMessage))
		Expect(condition(resource, v1alpha1.ConditionCredentialAccepted)).To(Equal("Unknown/" + r.outcome))
		Expect(condition(resource, v1alpha1.ConditionSecretSynced)).To(Equal("False/WaitingForCredential"))
		Expect(condition(resource, v1alpha1.ConditionEndpointAvailable)).To(Equal("False/" + r.outcome))
		Expect(condition(resource, v1alpha1.ConditionReconciling)).To(Equal("True/" + r.outcome))
		Expect(resource.Status.NextCheckTime).NotTo(BeNil())
		Expect(s.target()).To(BeNil())

		By("healing by itself")
		s.emulator.Clear()
		testClock.advance(r.pause)
		s.askForCheck()
		s.expectReady("True", "Accepted")
	},
		Entry("400", row{jupicotest.Fault{Status: 400}, "UnexpectedResponse", "HTTP 400 invalid_payload", 0}),
		Entry("403", row{jupicotest.Fault{Status: 403}, "Forbidden", "IP allow list", 0}),
		Entry("404", row{jupicotest.Fault{Status: 404}, "UnexpectedResponse", "HTTP 404 wrong_url", 0}),
		Entry("407", row{jupicotest.Fault{Status: 407}, "ProxyRefused", "HTTPS_PROXY", 0}),
		Entry("429 with seconds", row{jupicotest.Fault{Status: 429, RetryAfter: "60"}, "RateLimited", "fewer requests", time.Minute}),
		Entry("429 with a date", row{
			jupicotest.Fault{Status: 429, RetryAfter: time.Now().Add(time.Hour).UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT")},
			"RateLimited", "fewer requests", 5 * time.Minute,
		}),
		Entry("500", row{jupicotest.Fault{Status: 500}, "Unavailable", "HTTP 500 internal_server_error", 0}),
		Entry("503", row{jupicotest.Fault{Status: 503}, "Unavailable", "HTTP 503 service_unavailable", 0}),
		Entry("a redirect", row{jupicotest.Fault{Redirect: "https://127.0.0.1:1/elsewhere"}, "UnexpectedResponse", "HTTP 302", 0}),
		Entry("an HTML page with 200", row{jupicotest.Fault{HTML: true}, "UnexpectedResponse", "HTML or XML", 0}),
		Entry("an HTML page with 401", row{jupicotest.Fault{HTML: true, Status: 401}, "UnexpectedResponse", "HTML or XML", 0}),
		Entry("a body of 1 GiB", row{jupicotest.Fault{BodyBytes: 1 << 30}, "UnexpectedResponse", "a body over 64 KiB", 0}),
		Entry("a hanging server", row{jupicotest.Fault{Hang: true}, "Unreachable", "no answer within 2s", 0}),
		Entry("a broken connection", row{jupicotest.Fault{ResetConnection: true}, "Unreachable", "allow-listed source addresses", 0}),
		Entry("a header that got lost", row{jupicotest.Fault{Code: "auth_header_not_present"}, "RequestAltered", "strips", 0}),
		Entry("a content type that got lost", row{jupicotest.Fault{Code: "auth_invalid_content_type"}, "RequestAltered", "strips", 0}),
		Entry("a session's error", row{jupicotest.Fault{Code: "auth_token_session"}, "UnexpectedResponse", "auth_token_session", 0}),
	)

	DescribeTable("that rejects a credential never accepted says why", func(code, outcome, sentence string) {
		s := newScene()
		s.emulator.SetState(s.login.username, code)
		s.writeSource(s.login.data())
		s.create()
		s.expectReady("False", outcome)
		resource := s.get()
		Expect(message(resource, v1alpha1.ConditionReady)).To(ContainSubstring(sentence))
		Expect(condition(resource, v1alpha1.ConditionCredentialAccepted)).To(Equal("False/" + outcome))
		Expect(condition(resource, v1alpha1.ConditionEndpointAvailable)).To(Equal("True/Available"))
		Expect(condition(resource, v1alpha1.ConditionStalled)).To(Equal("True/" + outcome))
		Expect(s.target()).To(BeNil())
		Eventually(s.eventReasons, soon).Should(ContainElement("Warning " + outcome))
	},
		Entry("invalid token", "auth_invalid_api_token", "Rejected", "does not know credential"),
		Entry("inactive user", "auth_invalid_api_user", "UserInactive", "Activate the user"),
		Entry("inactive submerchant", "auth_invalid_submerchant", "AccountInactive", "submerchant"),
		Entry("inactive facilitator", "auth_invalid_facilitator", "AccountInactive", "facilitator"),
		Entry("inactive product", "auth_invalid_product", "AccountInactive", "product"),
	)

	DescribeTable("that may not or cannot be asked gets no credential", func(
		change func(*v1alpha1.JupicoCredential), outcome, sentence, waiting string,
	) {
		s := newScene()
		s.writeSource(s.login.data())
		s.create(change)
		s.expectReady("False", outcome)
		Expect(message(s.get(), v1alpha1.ConditionReady)).To(ContainSubstring(sentence))
		Expect(condition(s.get(), waiting)).To(Equal("True/" + outcome))
		Expect(s.emulator.RequestsFor(s.login.token())).To(BeZero())
		Expect(s.target()).To(BeNil())
	},
		Entry("off the list", func(r *v1alpha1.JupicoCredential) { r.Spec.Endpoint.URL += "/elsewhere" },
			"EndpointDenied", "--allowed-endpoint", "Stalled"),
		Entry("behind a certificate of another authority", func(r *v1alpha1.JupicoCredential) {
			other, err := jupicotest.NewCA()
			Expect(err).NotTo(HaveOccurred())
			r.Spec.Endpoint.CABundle = other.PEM()
		}, "TLSFailure", "signed by an authority that is not trusted", "Reconciling"),
		Entry("behind a certificate that the system does not trust", func(r *v1alpha1.JupicoCredential) {
			r.Spec.Endpoint.CABundle = nil
		}, "TLSFailure", "signed by an authority that is not trusted", "Reconciling"),
		Entry("with a CA bundle that is none", func(r *v1alpha1.JupicoCredential) {
			r.Spec.Endpoint.CABundle = []byte("not PEM")
		}, "CAInvalid", "no PEM certificate", "Stalled"),
		Entry("with a CA bundle of which one certificate lacks its end", func(r *v1alpha1.JupicoCredential) {
			other, err := jupicotest.NewCA()
			Expect(err).NotTo(HaveOccurred())
			needed := string(emulators.ca.PEM())
			r.Spec.Endpoint.CABundle = []byte(needed[:strings.Index(needed, "-----END")] + string(other.PEM()))
		}, "CAInvalid", "block 1 of 2 has no END line", "Stalled"),
		Entry("where nothing listens", func(r *v1alpha1.JupicoCredential) { r.Spec.Endpoint.URL = closedEndpoint },
			"Unreachable", "the connection was refused", "Reconciling"),
	)

	It("that is verified by a ConfigMap larger than caBundle may be gets no credential", func() {
		s := newScene()
		s.writeSource(s.login.data())
		bundle := string(emulators.ca.PEM())
		authorities := &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "authorities"},
			Data:       map[string]string{"ca.crt": bundle + strings.Repeat("#", v1alpha1.MaxCABundle-len(bundle)+1)},
		}
		Expect(admin.Create(ctx, authorities)).To(Succeed())
		s.create(func(r *v1alpha1.JupicoCredential) {
			r.Spec.Endpoint.CABundle = nil
			r.Spec.Endpoint.CAConfigMapRef = &v1alpha1.CAConfigMapReference{Name: "authorities"}
		})
		s.expectReady("False", "CAInvalid")
		Expect(message(s.get(), v1alpha1.ConditionReady)).To(
			ContainSubstring(`key "ca.crt" of ConfigMap "authorities" is longer than 128 KiB`))
		Expect(s.emulator.RequestsFor(s.login.token())).To(BeZero())

		authorities.Data["ca.crt"] = strings.TrimSuffix(authorities.Data["ca.crt"], "#")
		Expect(admin.Update(ctx, authorities)).To(Succeed())
		s.expectReady("True", "Accepted")
	})
})
