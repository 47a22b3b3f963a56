// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

var _ = Describe("The filter of the metrics", func() {
	var guarded http.Handler

	BeforeEach(func() {
		client, err := rest.HTTPClientFor(administrator)
		Expect(err).NotTo(HaveOccurred())
		filter, err := MetricsFilter(administrator, client)
		Expect(err).NotTo(HaveOccurred())
		guarded, err = filter(logr.Discard(), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusOK)
		}))
		Expect(err).NotTo(HaveOccurred())
	})

	scrape := func(method, authorization string) int {
		request := httptest.NewRequestWithContext(ctx, method, "/metrics", nil)
		if authorization != "" {
			request.Header.Set("Authorization", authorization)
		}
		answer := httptest.NewRecorder()
		guarded.ServeHTTP(answer, request)
		return answer.Code
	}

	// bearer is the token of a new service account.
	bearer := func(namespace, name string) string {
		account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
		Expect(admin.Create(ctx, account)).To(Succeed())
		token := &authenticationv1.TokenRequest{}
		Expect(admin.SubResource("token").Create(ctx, account, token)).To(Succeed())
		return "Bearer " + token.Status.Token
	}

	It("lets nobody pass without a token that the cluster knows", func() {
		Expect(scrape(http.MethodGet, "")).To(Equal(http.StatusUnauthorized))
		Expect(scrape(http.MethodGet, "Bearer ")).To(Equal(http.StatusUnauthorized))
		Expect(scrape(http.MethodGet, "Basic aW52ZW50ZWQ6")).To(Equal(http.StatusUnauthorized))
		Expect(scrape(http.MethodGet, "Bearer invented")).To(Equal(http.StatusInternalServerError))
	})

	It("lets those pass whom the cluster lets get /metrics, and nobody else", func() {
		namespace := newScene().namespace
		prometheus, stranger := bearer(namespace, "prometheus"), bearer(namespace, "stranger")
		role := &rbacv1.ClusterRole{
			ObjectMeta: metav1.ObjectMeta{Name: "metrics-reader-" + namespace},
			Rules:      []rbacv1.PolicyRule{{NonResourceURLs: []string{"/metrics"}, Verbs: []string{"get"}}},
		}
		Expect(admin.Create(ctx, role)).To(Succeed())
		Expect(admin.Create(ctx, &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: role.Name},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: "prometheus"}},
		})).To(Succeed())
		Eventually(func() bool { // the filter would remember a refusal for half a minute
			review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
				User:                  fmt.Sprintf("system:serviceaccount:%s:prometheus", namespace),
				NonResourceAttributes: &authorizationv1.NonResourceAttributes{Path: "/metrics", Verb: "get"},
			}}
			Expect(admin.Create(ctx, review)).To(Succeed())
			return review.Status.Allowed
		}, soon).Should(BeTrue())
		Expect(scrape(http.MethodGet, prometheus)).To(Equal(http.StatusOK))
		Expect(scrape(http.MethodPost, prometheus)).To(Equal(http.StatusForbidden))
		Expect(scrape(http.MethodGet, stranger)).To(Equal(http.StatusForbidden))
	})

	It("lets nobody pass while the cluster can't be asked", func() {
		nowhere := rest.AnonymousClientConfig(administrator)
		nowhere.Host = closedEndpoint
		filter, err := MetricsFilter(nowhere, http.DefaultClient)
		Expect(err).NotTo(HaveOccurred())
		guarded, err = filter(logr.Discard(), http.NotFoundHandler())
		Expect(err).NotTo(HaveOccurred())
		Expect(scrape(http.MethodGet, "Bearer whatever")).To(Equal(http.StatusInternalServerError))
	})
})

// hangingServer is an API server that knows every token, and never answers requests for one resource.
type hangingServer struct{ resource string }

func (s hangingServer) RoundTrip(request *http.Request) (*http.Response, error) {
	if path.Base(request.URL.Path) == s.resource {
		<-request.Context().Done()
		return nil, request.Context().Err()
	}
	answer := httptest.NewRecorder()
	answer.Header().Set("Content-Type", "application/json")
	_, err := answer.WriteString(`{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
		"status": {"authenticated": true, "user": {"username": "prometheus"}}}`)
	return answer.Result(), err
}

func TestAScrapeEndsWhileTheAPIServerHangs(t *testing.T) {
	for _, resource := range []string{"tokenreviews", "subjectaccessreviews"} {
		t.Run(resource, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := &http.Client{Transport: hangingServer{resource}}
				filter, err := MetricsFilter(&rest.Config{Host: "https://api.example"}, client)
				if err != nil {
					t.Fatal(err)
				}
				handler, err := filter(logr.Discard(), http.NotFoundHandler())
				if err != nil {
					t.Fatal(err)
				}
				request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil)
				request.Header.Set("Authorization", "Bearer whatever")
				answer := httptest.NewRecorder()
				began := time.Now()
				handler.ServeHTTP(answer, request)
				if took := time.Since(began); answer.Code < http.StatusInternalServerError || took != scrapeTimeout {
					t.Errorf("it ended with %d after %s, want an error after %s", answer.Code, took, scrapeTimeout)
				}
			})
		})
	}
}

func TestAScrapeEndsWhileACollectorHangsEvenOverPlainHTTP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		filter, err := OpenMetricsFilter(nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		hanging := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		handler, err := filter(logr.Discard(), hanging)
		if err != nil {
			t.Fatal(err)
		}
		answer := httptest.NewRecorder()
		began := time.Now()
		handler.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
		if took := time.Since(began); answer.Code != http.StatusServiceUnavailable || took != scrapeTimeout {
			t.Errorf("it ended with %d after %s, want an error after %s", answer.Code, took, scrapeTimeout)
		}
	})
}
