// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"runtime/pprof"
	"slices"
	"strings"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap/zapcore"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/yaml"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/check"
	"github.com/jupico-operator/jupico-operator/internal/credential"
	"github.com/jupico-operator/jupico-operator/internal/decision"
	"github.com/jupico-operator/jupico-operator/internal/jupico/jupicotest"
	"github.com/jupico-operator/jupico-operator/internal/options"
	"github.com/jupico-operator/jupico-operator/internal/render"
)

// window is how much of a secret in one piece, in bytes, counts as the secret.
const window = 12

// leakSearch finds pieces of secrets in a text, whichever way they are written. It holds all forms of all pieces by
// their first bytes, so that one pass over the text finds them all.
type leakSearch map[string][]string

func newLeakSearch(secrets ...string) leakSearch {
	GinkgoHelper()
	search, known := leakSearch{}, map[string]bool{}
	for _, secret := range secrets {
		Expect(len(secret)).To(BeNumerically(">=", window), "%q may well stand in any text", secret)
		for i := range len(secret) - window + 1 {
			piece := secret[i : i+window]
			if known[piece] {
				continue
			}
			known[piece] = true
			for _, form := range formsOf(piece) {
				if first := form[:window]; !slices.Contains(search[first], form) {
					search[first] = append(search[first], form)
				}
			}
		}
	}
	return search
}

// formsOf are the ways in which encoders write a text, whatever they write before and after it.
func formsOf(text string) []string {
	quoted, err := json.Marshal(text)
	Expect(err).NotTo(HaveOccurred())
	lower, upper := "", ""
	for _, b := range []byte(text) {
		lower += fmt.Sprintf(`\u%04x`, b)
		upper += fmt.Sprintf(`\u%04X`, b)
	}
	forms := []string{
		text, url.QueryEscape(text), url.PathEscape(text), strings.Trim(string(quoted), `"`), lower, upper,
		fmt.Sprintf("%x", text), fmt.Sprintf("%X", text),
	}
	for before := range 3 {
		plain := append(make([]byte, before), text...)
		// The characters at both ends may hold bits of what is around the text.
		from, to := (8*before+5)/6, 8*len(plain)/6
		for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
			forms = append(forms, encoding.EncodeToString(plain)[from:to])
		}
	}
	return forms
}

// in returns what it finds in a text, with what is around it.
func (s leakSearch) in(text string) []string {
	text = withDumps(text)
	var found []string
	for i := 0; i+window <= len(text) && len(found) < 5; i++ {
		for _, form := range s[text[i:i+window]] {
			if strings.HasPrefix(text[i:], form) {
				found = append(found, text[max(0, i-100):min(len(text), i+100)])
			}
		}
	}
	return found
}

// hexDumpRow is a row as client-go dumps the body of a request, in a line of a log or over many.
var hexDumpRow = regexp.MustCompile(`[0-9a-f]{8}  ((?:[0-9a-f]{2} {1,2}){1,16})`)

// withDumps returns a text, and what stands in it as a hex dump. A row of that may end in the middle of a word.
func withDumps(text string) string {
	if !strings.Contains(text, "00000000  ") { // as every dump begins
		return text
	}
	var dumped strings.Builder
	for _, row := range hexDumpRow.FindAllStringSubmatch(text, -1) {
		plain, _ := hex.DecodeString(strings.ReplaceAll(row[1], " ", ""))
		dumped.Write(plain)
	}
	return text + "\n" + dumped.String()
}

// loggerOf is the logger that the program makes of these flags.
func loggerOf(output io.Writer, arguments ...string) logr.Logger {
	GinkgoHelper()
	logging := zap.Options{DestWriter: output}
	flags := flag.NewFlagSet("manager", flag.ContinueOnError)
	logging.BindFlags(flags)
	Expect(flags.Parse(arguments)).To(Succeed())
	return options.NewLogger(&logging)
}

var _ = Describe("A log at the highest level that a flag can ask for", func() {
	It("shows no body of a request or answer, whatever its encoding", func() {
		s := newScene()
		s.writeSource(s.login.data())
		search := newLeakSearch(s.login.secrets()...)
		for _, contentType := range []string{"application/json", "application/vnd.kubernetes.protobuf"} {
			config := rest.CopyConfig(administrator)
			config.ContentType = contentType
			client, err := corev1client.NewForConfig(config)
			Expect(err).NotTo(HaveOccurred())
			written := func(log logr.Logger) *corev1.Secret {
				ctx := logr.NewContext(ctx, log)
				secret, err := client.Secrets(s.namespace).Get(ctx, "source", metav1.GetOptions{})
				Expect(err).NotTo(HaveOccurred())
				_, err = client.Secrets(s.namespace).Update(ctx, secret, metav1.UpdateOptions{})
				Expect(err).NotTo(HaveOccurred())
				return secret
			}
			var usual bytes.Buffer
			written(zap.New(zap.WriteTo(&usual), zap.Level(zapcore.Level(-10))))
			Expect(search.in(usual.String())).NotTo(BeEmpty(), "there is nothing to hide")
			for _, level := range []string{"debug", "7", "8", "9", "10", "127"} {
				var ours bytes.Buffer
				written(loggerOf(&ours, "--zap-log-level="+level))
				Expect(search.in(ours.String())).To(BeEmpty(), "at level %s", level)
			}
		}
	})
})

// secrets are the parts of a login that must be seen nowhere.
func (l login) secrets() []string { return []string{l.password, l.token(), l.tokenWithNewline()} }

var _ = Describe("The search for secrets", func() {
	const canary = "cAnary+<Pa55>&/word-x"
	text := func(n int, piece string) string { return strings.Repeat("-", n) + piece + "!" }

	DescribeTable("finds a canary", func(shown string) {
		Expect(newLeakSearch(canary).in("before " + shown + " after")).NotTo(BeEmpty())
	},
		Entry("in plain text", canary),
		Entry("of which only 12 bytes are shown", canary[4:16]),
		Entry("in a URL", "?q="+url.QueryEscape(canary)),
		Entry("in the path of a URL", "/"+url.PathEscape(canary)),
		Entry("in JSON", string(must(json.Marshal(canary)))),
		Entry("in JSON, all escaped", `"\u0063\u0041\u006e\u0061\u0072\u0079\u002b\u003c\u0050\u0061\u0035\u0035\u003e"`),
		Entry("in JSON, all escaped in capitals", `"\u0063\u0041\u006E\u0061\u0072\u0079\u002B\u003C\u0050\u0061\u0035\u0035\u003E"`),
		Entry("in a hex dump, over two rows", strings.ReplaceAll(hex.Dump([]byte(text(12, canary))), "\n", `\n`)),
		Entry("in a hex dump of base64", hex.Dump([]byte(base64.StdEncoding.EncodeToString([]byte(canary))))),
		Entry("in hexadecimal", fmt.Sprintf("%x", text(1, canary))),
		Entry("in hexadecimal in capitals", fmt.Sprintf("%X", text(1, canary))),
		Entry("in base64, at the first offset", base64.StdEncoding.EncodeToString([]byte(text(0, canary)))),
		Entry("in base64, at the second offset", base64.StdEncoding.EncodeToString([]byte(text(1, canary)))),
		Entry("in base64, at the third offset", base64.StdEncoding.EncodeToString([]byte(text(2, canary)))),
		Entry("in base64 that lacks its beginning", base64.StdEncoding.EncodeToString([]byte(text(5, canary)))[3:]),
		Entry("in base64 of a URL", base64.RawURLEncoding.EncodeToString([]byte("?>?>:"+canary))),
	)

	It("finds nothing where nothing is", func() {
		pages, err := filepath.Glob("../../docs/*.md")
		Expect(err).NotTo(HaveOccurred())
		for _, page := range append(pages, "../../README.md", "../../go.sum") {
			shown, err := os.ReadFile(page)
			Expect(err).NotTo(HaveOccurred())
			Expect(newLeakSearch(newLogin().secrets()...).in(string(shown))).To(BeEmpty(), page)
		}
	})
})

func must[T any](value T, err error) T {
	GinkgoHelper()
	Expect(err).NotTo(HaveOccurred())
	return value
}

var _ = Describe("A value that holds a secret", func() {
	l := newLogin()
	made, _, _ := credential.Login([]byte(l.username), []byte(l.password))
	token := made.Token(credential.Standard)
	observation := decision.Observation{
		Resource: &v1alpha1.JupicoCredential{
			ObjectMeta: metav1.ObjectMeta{UID: "some"},
			Spec: v1alpha1.JupicoCredentialSpec{Credentials: []v1alpha1.Credential{{
				Name: "main", BasicAuthSecretRef: &v1alpha1.BasicAuthSecretReference{Name: "source"},
			}}},
		},
		Now:     time.Now(),
		Sources: [v1alpha1.MaxCredentials]decision.Source{{Credential: made}},
	}
	proof := &decision.Proof{Token: token, Credential: made}
	request := check.Request{Token: token, Credential: made}
	state := &decision.State{} // of a round whose check was put off
	round, _ := state.Run(context.Background(), observation, decision.Calls{
		Now: time.Now,
		Check: func(context.Context, check.Request) check.Answer {
			return check.Answer{RetryAt: time.Now().Add(time.Hour)}
		},
	})

	DescribeTable("shows nothing of it, whoever prints or encodes it", func(value any) {
		var shown bytes.Buffer
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			fmt.Fprintf(&shown, verb+"\n", value)
			fmt.Fprintln(&shown, fmt.Errorf("checking "+verb+": %w", value, fmt.Errorf("it has %+v", []any{value})))
		}
		for _, encode := range []func(any) ([]byte, error){json.Marshal, yaml.Marshal, xml.Marshal} {
			encoded, err := encode(value)
			fmt.Fprintln(&shown, string(encoded), err)
		}
		fmt.Fprintln(&shown, gob.NewEncoder(&shown).Encode(value))
		for _, encoder := range []string{"json", "console"} {
			log := loggerOf(&shown, "--zap-log-level=127", "--zap-encoder="+encoder)
			log.WithValues("with", value).Error(fmt.Errorf("about %+v", value), fmt.Sprint(value), "value", value)
		}
		func() {
			defer func() { fmt.Fprintf(&shown, "panic: %v %+v\n", recover(), value) }()
			panic(value)
		}()
		Expect(shown.Len()).To(BeNumerically(">", 100))
		Expect(newLeakSearch(l.secrets()...).in(shown.String())).To(BeEmpty())
	},
		Entry("a credential", made),
		Entry("a token", token),
		Entry("a request", request),
		Entry("a pointer to a request", &request),
		Entry("a source", observation.Sources[0]),
		Entry("an observation", observation),
		Entry("a proof", proof),
		Entry("a delivery", decision.Delivery{Proof: proof}),
		Entry("what is rendered", render.Proven{Token: token, Credential: made}),
		Entry("the state of a resource", state),
		Entry("a round", round),
	)
})

// panickingTransport panics in the midst of a round, when a target is about to be created.
type panickingTransport struct{ http.RoundTripper }

func (t panickingTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/secrets") {
		panic("a test of panics")
	}
	return t.RoundTripper.RoundTrip(r)
}

var _ = Describe("A panic in the midst of a round", Serial, func() {
	It("shows no secret, and is made up for by a round without", func() {
		s := newScene()
		s.writeSource(s.login.data())
		operator.stop()
		panicking := &runningOperator{config: rest.CopyConfig(operator.config)}
		panicking.config.Wrap(func(next http.RoundTripper) http.RoundTripper { return panickingTransport{next} })
		panicking.start()
		before := len(logs.String())
		s.create()
		shown := func() string { return logs.String()[before:] }
		Eventually(shown, soon, "100ms").Should(And(
			ContainSubstring("a test of panics"), ContainSubstring("(*targetWrite).save")), "with the stack")
		panicking.stop()
		Expect(newLeakSearch(s.login.secrets()...).in(shown())).To(BeEmpty())
		Expect(s.target()).To(BeNil())
		operator.start()
		s.expectReady("True", "Accepted")
	})
})

// profiles are those that --pprof-bind-address serves, as text.
func profiles() string {
	var all bytes.Buffer
	for _, profile := range pprof.Profiles() {
		detail := 1
		if profile.Name() == "goroutine" {
			detail = 2
		}
		Expect(profile.WriteTo(&all, detail)).To(Succeed())
	}
	return all.String()
}

var _ = Describe("A profile", func() {
	It("shows no secret while a check is under way", func() {
		s := newScene()
		s.emulator.Inject(jupicotest.Fault{Hang: true, OnlyToken: s.login.token()})
		s.writeSource(s.login.data())
		s.create()
		Eventually(func() int { return s.emulator.RequestsFor(s.login.token()) }, soon, "5ms").Should(BeNumerically(">", 0))
		shown := profiles()
		Expect(shown).To(And(ContainSubstring("jupico.(*Client).Check"), ContainSubstring("heap profile")))
		Expect(newLeakSearch(s.login.secrets()...).in(shown)).To(BeEmpty())
	})
})

// everythingShown is all that somebody can see who may read no Secrets.
func everythingShown() map[string]string {
	GinkgoHelper()
	var resources v1alpha1.JupicoCredentialList
	Expect(admin.List(ctx, &resources)).To(Succeed())
	var events eventsv1.EventList
	Expect(admin.List(ctx, &events)).To(Succeed())
	var configMaps corev1.ConfigMapList
	Expect(admin.List(ctx, &configMaps)).To(Succeed())
	families := must(prometheus.Gatherers{operator.registry, ctrlmetrics.Registry}.Gather())
	return map[string]string{
		"log":        logs.String(),
		"resources":  string(must(json.Marshal(resources))),
		"events":     string(must(json.Marshal(events))),
		"ConfigMaps": string(must(json.Marshal(configMaps))),
		"metrics":    fmt.Sprint(families),
		"audit log":  auditedText(),
		"profiles":   profiles(),
	}
}

// auditedText is the audit log without the words of the API server: a policy may repeat there whatever it denies.
func auditedText() string {
	GinkgoHelper()
	var text strings.Builder
	for line := range bytes.Lines(must(os.ReadFile(auditLog))) {
		call := map[string]any{}
		Expect(json.Unmarshal(line, &call)).To(Succeed())
		delete(call, "responseStatus")
		text.Write(must(json.Marshal(call)))
	}
	return text.String()
}

func expectNoCanary() {
	GinkgoHelper()
	shown := everythingShown()
	Expect(secrets).NotTo(BeEmpty())
	Expect(shown["log"]).To(ContainSubstring("Checked token"), "the log was not at its highest verbosity")
	search := newLeakSearch(append(secrets, jupicotest.PublishedPassword, jupicotest.PublishedAPIKey,
		jupicotest.PublishedStandardToken, strings.Fields(jupicotest.SensitiveMessage)[1])...)
	for name, text := range shown {
		Expect(search.in(text)).To(BeEmpty(), "the %s show a secret", name)
	}
}
