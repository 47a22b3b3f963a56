// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"go.uber.org/zap/zapcore"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/jupico-operator/jupico-operator/internal/options"
)

func TestTheProgramBringsCertificatesForAnImageThatHasNone(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no fallback roots were set: in an empty image, no certificate of Jupico's would be trusted")
		}
	}()
	x509.SetFallbackRoots(x509.NewCertPool()) // panics where there are some already
}

// loggerOf is the logger that command-line arguments ask for.
func loggerOf(t *testing.T, output io.Writer, arguments ...string) logr.Logger {
	t.Helper()
	options := zap.Options{DestWriter: output}
	flags := flag.NewFlagSet("manager", flag.ContinueOnError)
	options.BindFlags(flags)
	if err := flags.Parse(arguments); err != nil {
		t.Fatal(err)
	}
	return newLogger(&options)
}

func TestEachLogLineIsWritten(t *testing.T) {
	var output bytes.Buffer
	log := loggerOf(t, &output)
	const many = 200 // the library's usual logger writes a hundred of them
	for range many {
		log.Info("Changed state", "namespace", "shop", "name", "payments")
	}
	const line = `"msg":"Changed state","namespace":"shop","name":"payments"}` + "\n"
	if written := strings.Count(output.String(), line); written != many {
		t.Errorf("%d lines were written, want %d", written, many)
	}
}

func TestTheLogIsAsVerboseAsTheFlagsAskButNeverMoreThanSeven(t *testing.T) {
	for _, test := range []struct {
		arguments string
		verbosity int
	}{
		{"", 0},
		{"--zap-devel", 1},
		{"--zap-devel --zap-log-level=info", 0},
		{"--zap-log-level=debug", 1},
		{"--zap-log-level=7", 7},
		{"--zap-log-level=8", 7},
		{"--zap-log-level=10", 7},
	} {
		log := loggerOf(t, io.Discard, strings.Fields(test.arguments)...)
		if !log.V(test.verbosity).Enabled() || log.V(test.verbosity+1).Enabled() {
			t.Errorf("with %q the log's verbosity is not %d", test.arguments, test.verbosity)
		}
	}
	if loggerOf(t, io.Discard, "--zap-log-level=error").Enabled() {
		t.Error("with --zap-log-level=error the log tells more than errors")
	}
}

func TestNoLevelLogsTheBodyOfARequest(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if _, err := io.Copy(w, r.Body); err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	config := &rest.Config{Host: server.URL, ContentConfig: rest.ContentConfig{ContentType: "application/json"}}
	client, err := corev1client.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	password := []byte("a-canary")
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "source"}, Data: map[string][]byte{"password": password}}

	var usual, ours bytes.Buffer
	for _, log := range []logr.Logger{
		zap.New(zap.WriteTo(&usual), zap.Level(zapcore.Level(-10))), // shows that there is something to hide
		loggerOf(t, &ours, "--zap-log-level=10"),
	} {
		ctx := logr.NewContext(t.Context(), log)
		if _, err := client.Secrets("shop").Create(ctx, secret, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	encoded := base64.StdEncoding.EncodeToString(password)
	if !strings.Contains(usual.String(), encoded) {
		t.Errorf("the library's logger does not write the password either: %s", &usual)
	}
	if strings.Contains(ours.String(), encoded) {
		t.Errorf("the log holds the password: %s", &ours)
	}
}

func TestAProxyThatCannotBeUsedKeepsTheOperatorFromStarting(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://svc:hunter%ss@proxy.corp:3128")
	t.Setenv("KUBECONFIG", "/nowhere") // it comes to that only if the proxy is good
	err := run(t.Context(), &options.Options{})
	if err == nil || !strings.HasPrefix(err.Error(), "HTTPS_PROXY cannot be used: it is not a URL") {
		t.Errorf("got %v", err)
	}
}
