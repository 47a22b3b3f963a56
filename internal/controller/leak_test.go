// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"flag"
	"io"
	"regexp"
	"strings"

	"github.com/go-logr/logr"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"go.uber.org/zap/zapcore"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/jupico-operator/jupico-operator/internal/options"
)

var (
	// hexDumpRow is a row as client-go dumps the body of a request, in a line of a log or over many.
	hexDumpRow = regexp.MustCompile(`[0-9a-f]{8}  ((?:[0-9a-f]{2} {1,2}){1,16})`)
	hexWord    = regexp.MustCompile(`(?:[0-9a-fA-F]{2}){4,}`)
	base64Word = regexp.MustCompile(`[A-Za-z0-9+/_-]{4,}`)
)

// decoded returns a text with all that stands in it as a hex dump, hexadecimal or base64, and base64 in any of these.
func decoded(text string) string {
	var dumped strings.Builder
	for _, row := range hexDumpRow.FindAllStringSubmatch(text, -1) {
		plain, _ := hex.DecodeString(strings.ReplaceAll(row[1], " ", ""))
		dumped.Write(plain) // a row may end in the middle of a word
	}
	all := []string{text, dumped.String()}
	for _, word := range hexWord.FindAllString(text, -1) {
		plain, _ := hex.DecodeString(word)
		all = append(all, string(plain))
	}
	for _, word := range base64Word.FindAllString(strings.Join(all, "\n"), -1) {
		for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			if plain, err := encoding.DecodeString(word); err == nil {
				all = append(all, string(plain))
			}
		}
	}
	return strings.Join(all, "\n")
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
			Expect(decoded(usual.String())).To(ContainSubstring(s.login.password), "there is nothing to hide")
			for _, level := range []string{"debug", "7", "8", "9", "10", "127"} {
				var ours bytes.Buffer
				written(loggerOf(&ours, "--zap-log-level="+level))
				Expect(decoded(ours.String())).NotTo(ContainSubstring(s.login.password))
			}
		}
	})

	DescribeTable("is searched by a test that finds a canary",
		func(shown string) {
			Expect(decoded("before " + shown + " after")).To(ContainSubstring("cAnary-Pa55word"))
		},
		Entry("in plain text", "cAnary-Pa55word"),
		Entry("in a hex dump, over two rows", strings.ReplaceAll(hex.Dump([]byte(`{"password":"cAnary-Pa55word-1"}`)), "\n", `\n`)),
		Entry("in a hex dump of base64", hex.Dump([]byte(base64.StdEncoding.EncodeToString([]byte("cAnary-Pa55word-1"))))),
		Entry("in hexadecimal", hex.EncodeToString([]byte("cAnary-Pa55word-1"))),
		Entry("in base64", base64.StdEncoding.EncodeToString([]byte("user:cAnary-Pa55word-1"))),
		Entry("in base64 of a URL", base64.RawURLEncoding.EncodeToString([]byte("?>?>:cAnary-Pa55word-1"))),
	)
})
