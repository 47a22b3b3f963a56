// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jupico-operator/jupico-operator/internal/jupico/jupicotest"
	operatoroptions "github.com/jupico-operator/jupico-operator/internal/options"
	"github.com/jupico-operator/jupico-operator/internal/version"
)

// program is the emulator, running in the test's process.
type program struct {
	t      *testing.T
	api    string // base URL
	admin  string // base URL
	caFile string
	client *http.Client
	stop   context.CancelFunc
	ended  <-chan int // the exit code
}

// start runs the program on free ports until the test ends or stops it.
func start(t *testing.T, args ...string) *program {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	caFile := filepath.Join(t.TempDir(), "ca.crt")
	stdout, stdoutWriter := io.Pipe()
	ended := make(chan int, 1)
	go func() {
		args := append([]string{"--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0", "--ca-file=" + caFile}, args...)
		code, err := run(ctx, args, stdoutWriter)
		_ = stdoutWriter.CloseWithError(err) // so that readURL does not wait for ever
		ended <- code
		close(ended)
	}()
	t.Cleanup(func() {
		stop()
		for range ended { // run has returned when the channel is closed
		}
	})
	lines := bufio.NewReader(stdout)
	p := &program{t: t, caFile: caFile, stop: stop, ended: ended}
	p.api = readURL(t, lines, "Serving the API on ")
	p.admin = readURL(t, lines, "Serving the admin API on ")
	p.client = newClient(t, caFile, "")
	return p
}

func readURL(t *testing.T, lines *bufio.Reader, prefix string) string {
	t.Helper()
	line, err := lines.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	url, found := strings.CutPrefix(strings.TrimSuffix(line, "\n"), prefix)
	if !found {
		t.Fatalf("the line is %q, want %q and a URL", line, prefix)
	}
	return url
}

// newClient returns a client that trusts only the CA in the file. It expects the server name, unless that is empty.
func newClient(t *testing.T, caFile, serverName string) *http.Client {
	t.Helper()
	pem, err := os.ReadFile(caFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		t.Fatalf("%s holds no certificate", caFile)
	}
	transport := &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: roots, ServerName: serverName, MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2: true,
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// status sends a correct request with the token, and returns the HTTP status.
func (p *program) status(baseURL, token string) int {
	p.t.Helper()
	response, err := p.send(baseURL, token)
	if err != nil {
		p.t.Fatal(err)
	}
	_ = response.Body.Close()
	return response.StatusCode
}

func (p *program) send(baseURL, token string) (*http.Response, error) {
	p.t.Helper()
	r, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, baseURL+"/status", http.NoBody)
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Basic "+token)
	r.Header.Set("Content-Type", "application/json")
	return p.client.Do(r)
}

// command sends a command to the admin API.
func (p *program) command(path, body string) {
	p.t.Helper()
	r, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, p.admin+path, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	response, err := p.client.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK {
		p.t.Fatalf("the answer to %s %s is %s", path, body, response.Status)
	}
}

func TestTheAPIIsServedOverTLSAndTheAdminAPIOnAPortOfItsOwn(t *testing.T) {
	p := start(t)
	if got := p.status(p.api, jupicotest.PublishedAPIKey); got != http.StatusOK {
		t.Errorf("the answer to the published key is %d", got)
	}
	p.command("/revoke", `{"name":"demoApiUser"}`)
	if got := p.status(p.api, jupicotest.PublishedAPIKey); got != http.StatusUnauthorized {
		t.Errorf("the answer to the revoked key is %d", got)
	}
	p.command("/reset", "")
	if got := p.status(p.api, jupicotest.PublishedAPIKey); got != http.StatusOK {
		t.Errorf("after the reset, the answer to the published key is %d", got)
	}
}

func TestPlainHTTPIsNotAccepted(t *testing.T) {
	p := start(t)
	plain := "http" + strings.TrimPrefix(p.api, "https")
	if got := p.status(plain, jupicotest.PublishedAPIKey); got != http.StatusBadRequest {
		t.Errorf("the answer to plain HTTP is %d, want 400", got)
	}
}

func TestAFlagChoosesTheFormsOfThePublishedAccount(t *testing.T) {
	tests := []struct {
		name                      string
		args                      []string
		wantStandard, wantNewline int
	}{
		{"by default", nil, 401, 200},
		{"TrailingNewline", []string{"--accept=TrailingNewline"}, 401, 200},
		{"Standard", []string{"--accept=Standard"}, 200, 401},
		{"Both", []string{"--accept=Both"}, 200, 200},
		{"nobody is authenticated", []string{"--authenticate-nobody", "--accept=Standard"}, 200, 200},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := start(t, test.args...)
			for range 2 { // the second time after a reset
				if got := p.status(p.api, jupicotest.PublishedStandardToken); got != test.wantStandard {
					t.Errorf("the answer to the standard token is %d, want %d", got, test.wantStandard)
				}
				if got := p.status(p.api, jupicotest.PublishedAPIKey); got != test.wantNewline {
					t.Errorf("the answer to the published key is %d, want %d", got, test.wantNewline)
				}
				p.command("/reset", "")
			}
		})
	}
}

func TestTheCertificateHasTheUsualHostsAndThoseOfTheFlag(t *testing.T) {
	p := start(t, "--hosts=gateway.example, 10.1.2.3,")
	wanted := map[string]bool{
		"localhost": true, "127.0.0.1": true, "::1": true, "sandbox-platform.jupico.com": true,
		"gateway.example": true, "10.1.2.3": true, "platform.jupico.com": false,
	}
	for host, want := range wanted {
		p.client = newClient(t, p.caFile, host)
		response, err := p.send(p.api, jupicotest.PublishedAPIKey)
		if err == nil {
			_ = response.Body.Close()
		}
		if (err == nil) != want {
			t.Errorf("a client that expects %s gets %v", host, err)
		}
	}
}

// If TestASignalEndsTheProgramInSpiteOfHangingRequests fails, it never ends.
func TestASignalEndsTheProgramInSpiteOfHangingRequests(t *testing.T) {
	p := start(t)
	p.command("/fault", `{"hang":true,"status":200}`)
	response, err := p.send(p.api, jupicotest.PublishedAPIKey) // the header only
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close() //nolint:errcheck // It ends early.
	p.stop()
	if code := <-p.ended; code != 0 {
		t.Errorf("the program ended with the exit code %d", code)
	}
	if body, err := io.ReadAll(response.Body); err == nil {
		t.Errorf("the hanging request was answered with %q", body)
	}
	for _, baseURL := range []string{p.api, p.admin} {
		if response, err := p.send(baseURL, jupicotest.PublishedAPIKey); err == nil {
			_ = response.Body.Close()
			t.Errorf("%s is still served", baseURL)
		}
	}
}

func TestAWrongCommandLineIsExplained(t *testing.T) {
	tests := []struct {
		name string
		args []string
		want string
	}{
		{"flag", []string{"--port=1"}, "flag provided but not defined: -port; see --help"},
		{"argument", []string{"serve"}, `unexpected argument "serve": there are only flags, and the word version; see --help`},
		{"form", []string{"--accept=Any"}, "flag -accept: a token form is required: Standard, TrailingNewline or Both"},
		{"host", []string{"--hosts=https://a.example"}, `flag -hosts: "https://a.example" is not a DNS name or IP address`},
		{"host with port", []string{"--hosts=a.example:1"}, `flag -hosts: "a.example:1" is not a DNS name or IP address`},
		{"admin address", []string{"--admin-listen=127.0.0.1"}, "missing port in address; give a host and a port"},
		{"every interface", []string{"--admin-listen=:8081"}, `":8081" for flag -admin-listen: this is not a loopback address`},
		{"every IPv4 interface", []string{"--admin-listen=0.0.0.0:8081"}, `"0.0.0.0:8081" for flag -admin-listen: this is not a loopback address`},
		{"every IPv6 interface", []string{"--admin-listen=[::]:8081"}, "use 127.0.0.1:8081"},
		{"other interface", []string{"--admin-listen=192.0.2.1:8081"}, `"192.0.2.1:8081" for flag -admin-listen: this is not a loopback address`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			code, err := run(stopped(t), test.args, io.Discard)
			if code != 2 || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v and exit code %d, want %s and 2", err, code, test.want)
			}
		})
	}
}

// stopped returns a cancelled context, so that the program ends at once even if it starts to serve.
func stopped(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

func TestAFailedStartIsExplained(t *testing.T) {
	occupied, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer occupied.Close() //nolint:errcheck // The test is over.
	caFile := filepath.Join(t.TempDir(), "ca.crt")
	tests := []struct {
		name string
		args []string
		want string
	}{
		{"API port", []string{"--listen=" + occupied.Addr().String()}, "choose another address with --listen"},
		{"admin port", []string{"--admin-listen=" + occupied.Addr().String()}, "another address with --admin-listen"},
		{"CA file", []string{"--ca-file=" + filepath.Join(caFile, "no", "directory")}, "another file with --ca-file"},
		{"host", []string{"--hosts=jüpico.example"}, "check --hosts"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			free := []string{"--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0", "--ca-file=" + caFile}
			code, err := run(stopped(t), append(free, test.args...), io.Discard)
			if code != 1 || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v and exit code %d, want %s and 1", err, code, test.want)
			}
			if _, err := os.Stat(caFile); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the CA file was written: %v", err)
			}
		})
	}
}

func TestTheProgramPrintsItsVersion(t *testing.T) {
	for _, argument := range []string{"version", "--version"} {
		var stdout strings.Builder
		code, err := run(stopped(t), []string{argument}, &stdout)
		if code != 0 || err != nil || stdout.String() != version.Text("jupico-emulator")+"\n" {
			t.Errorf("%s: got %q, %v and exit code %d", argument, &stdout, err, code)
		}
	}
}

func TestTheEmulatorAndTheOperatorRunBesideEachOtherWithTheirDefaults(t *testing.T) {
	emulator, err := parseFlags(nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	var operator operatoroptions.Options
	operator.BindFlags(flag.NewFlagSet("manager", flag.ContinueOnError))
	taken := map[string]bool{"8443": true} // the port of the metrics in config/manager
	for _, address := range []string{operator.HealthProbeBindAddress, emulator.listen, emulator.adminListen} {
		_, port, err := net.SplitHostPort(address)
		if err != nil || taken[port] {
			t.Errorf("port %s of %s is taken, or %v", port, address, err)
		}
		taken[port] = true
	}
}

func TestHelpDescribesEveryFlag(t *testing.T) {
	var stdout strings.Builder
	if code, err := run(stopped(t), []string{"--help"}, &stdout); code != 0 {
		t.Errorf("got %v and exit code %d", err, code)
	}
	for _, flag := range []string{"listen", "admin-listen", "ca-file", "hosts", "accept", "authenticate-nobody", "version"} {
		if !strings.Contains(stdout.String(), "  -"+flag) {
			t.Errorf("%s is missing in %s", flag, stdout.String())
		}
	}
}
