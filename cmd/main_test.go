// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/crypto/x509roots/fallback/bundle"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/jupico-operator/jupico-operator/internal/jupico/jupicotest"
	"github.com/jupico-operator/jupico-operator/internal/options"
	"github.com/jupico-operator/jupico-operator/internal/version"
)

// asProgram makes the test binary run as the operator.
const asProgram = "TEST_RUNS_THE_OPERATOR"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestTheProgramPrintsItsVersionAndRefusesAnUnknownArgument(t *testing.T) {
	itself, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		argument string
		want     string
		code     int
	}{
		{"version", version.Text("jupico-operator") + "\n", 0},
		{"--version", version.Text("jupico-operator") + "\n", 0},
		{"serve", `unexpected argument "serve"`, 2},
		{"--check-burst=0", "--check-burst: 0 is less than 1", 2},
	} {
		command := exec.CommandContext(t.Context(), itself, test.argument)
		command.Env = append(os.Environ(), asProgram+"=1")
		output, _ := command.CombinedOutput()
		if code := command.ProcessState.ExitCode(); code != test.code || !strings.Contains(string(output), test.want) {
			t.Errorf("%s: it exited with %d and printed %q", test.argument, code, output)
		}
	}
}

func TestTheProgramBringsCertificatesForAnImageThatHasNone(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no fallback roots were set: in an empty image, no certificate of Jupico's would be trusted")
		}
	}()
	x509.SetFallbackRoots(x509.NewCertPool()) // panics where there are some already
}

func TestTheCertificatesThatTheProgramBringsStayBesideThoseOfADirectory(t *testing.T) {
	directory := t.TempDir()
	for _, variable := range []string{"SSL_CERT_FILE", "SSL_CERT_DIR"} {
		t.Setenv(variable, filepath.Join(directory, "none")) // an image that has none; nothing has read the system's before
	}
	ca, err := jupicotest.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(directory, "ca.crt"), ca.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	want := x509.NewCertPool()
	want.AppendCertsFromPEM(ca.PEM())
	for root := range bundle.Roots() {
		certificate, err := x509.ParseCertificate(root.Certificate)
		if err != nil {
			t.Fatal(err)
		}
		want.AddCert(certificate)
	}
	if got, err := (&options.Options{TrustedCADir: directory}).Roots(); err != nil || !got.Equal(want) {
		t.Errorf("got %v and other certificates", err)
	}
}

func TestAMetricSaysWhatRuns(t *testing.T) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(buildInfo())
	families, err := registry.Gather()
	if err != nil || len(families) != 1 || families[0].GetName() != "jupico_build_info" {
		t.Fatalf("got %v, %v", families, err)
	}
	labels := map[string]string{}
	for _, label := range families[0].GetMetric()[0].GetLabel() {
		labels[label.GetName()] = label.GetValue()
	}
	if labels["version"] != version.Version() || labels["goversion"] != runtime.Version() {
		t.Errorf("got %v", labels)
	}
}

// answers is an API server that gives one answer after another, and then the last one for ever. 0 stands for none.
type answers struct {
	codes []int
	asked int
}

func (a *answers) RoundTrip(request *http.Request) (*http.Response, error) {
	code := a.codes[min(a.asked, len(a.codes)-1)]
	a.asked++
	if code == 0 {
		return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	}
	if code == hangs {
		<-request.Context().Done()
		return nil, request.Context().Err()
	}
	answer := httptest.NewRecorder()
	answer.WriteHeader(code)
	return answer.Result(), nil
}

const hangs = -1

func TestAtItsStartTheProcessWaitsForTheAPIServerButNotForEver(t *testing.T) {
	var log bytes.Buffer
	ctrl.SetLogger(zap.New(zap.WriteTo(&log)))
	const lasting = "could not be asked for 30s"
	for _, test := range []struct {
		sentence string
		codes    []int
		want     string
		after    time.Duration
	}{
		{"it answers", []int{http.StatusOK}, "", 0},
		{"nothing listens for a while", []int{0, 0, 0, http.StatusOK}, "", 3 * retryInterval},
		{"it is only starting", []int{http.StatusServiceUnavailable, http.StatusInternalServerError, http.StatusOK}, "", 0},
		{"it does not answer at first", []int{hangs, http.StatusOK}, "", answerTimeout},
		{"nothing ever listens", []int{0}, lasting, patience},
		{"it never answers", []int{hangs}, lasting, patience},
		{"it knows nobody", []int{http.StatusUnauthorized}, lasting, patience},
		{"the CRD is not installed", []int{0, http.StatusNotFound}, "install their CRD with 'make install'", retryInterval},
	} {
		t.Run(test.sentence, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log.Reset()
				began := time.Now()
				err := waitForAPI(t.Context(), &rest.Config{Host: "https://api.example", Transport: &answers{codes: test.codes}})
				if got := fmt.Sprint(err); (err == nil) != (test.want == "") || !strings.Contains(got, test.want) {
					t.Errorf("it ended with %v, want %q", err, test.want)
				}
				if took := time.Since(began); took < test.after || took > test.after+10*time.Second {
					t.Errorf("it took %s, want %s", took, test.after)
				}
				if test.codes[0] != http.StatusOK && !strings.Contains(log.String(), "Could not ask the API server") {
					t.Errorf("the log says nothing of it: %s", &log)
				}
			})
		})
	}
}

func TestAProcessThatWaitsForTheAPIServerEndsWhenItIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		if err := waitForAPI(ctx, &rest.Config{Host: "https://api.example", Transport: &answers{codes: []int{hangs}}}); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took != time.Second {
			t.Errorf("it ended after %s, want at once", took)
		}
	})
}

func TestAProxyThatCannotBeUsedKeepsTheOperatorFromStarting(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://svc:hunter%ss@proxy.corp:3128")
	t.Setenv("KUBECONFIG", "/nowhere") // it comes to that only if the proxy is good
	err := run(t.Context(), &options.Options{})
	if err == nil || !strings.HasPrefix(err.Error(), "HTTPS_PROXY cannot be used: it is not a URL") {
		t.Errorf("got %v", err)
	}
}
