// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command livecheck finds out what the documentation of Jupico's API leaves open: which form of a login's token the API
// accepts, and how it answers a random token, no token, and a request without a content type. It needs network access.
// You can also try it with a login of your own:
//
//	go run ./hack/livecheck
//	go run ./hack/livecheck --username=me --password-file=password.txt
//
// It sends five requests, one after the other, and prints no secret. The exit code is 0 if the endpoint accepts the
// login and rejects a random token, 1 if it does not or if no conclusion is possible, and 2 if the command line is
// wrong.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/jupico-operator/jupico-operator/internal/credential"
)

// Jupico publishes this login for the shared sandbox.
const (
	publishedUsername = "demoApiUser"
	publishedPassword = "V8m!xP#l2Qz3" //nolint:gosec // it is public
)

// timeout limits each request, from start to end.
const timeout = 20 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:], newClient(), os.Stdout)
	stop()
	os.Exit(code)
}

func newClient() *http.Client {
	return &http.Client{
		Timeout: timeout,
		Transport: &http.Transport{
			Proxy:             http.ProxyFromEnvironment,
			TLSClientConfig:   &tls.Config{MinVersion: tls.VersionTLS12},
			ForceAttemptHTTP2: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func run(ctx context.Context, args []string, client *http.Client, stdout io.Writer) int {
	baseURL, login, err := parse(args, stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		_, _ = fmt.Fprintf(stdout, "livecheck: %v; see --help\n", err)
		return 2
	}
	_, _ = fmt.Fprintf(stdout, "Asking %s/status\n\n", baseURL)
	answers := ask(ctx, client, baseURL, login)
	for _, a := range answers.inOrder() {
		_, _ = fmt.Fprintf(stdout, "%-28s %s\n", a.question, a)
	}
	conclusion, proven := conclude(answers)
	_, _ = fmt.Fprintf(stdout, "\n%s\n", conclusion)
	if !proven {
		return 1
	}
	return 0
}

// parse returns the base URL and the login that the command line asks for.
func parse(args []string, stdout io.Writer) (string, credential.Credential, error) {
	flags := flag.NewFlagSet("livecheck", flag.ContinueOnError)
	baseURL := flags.String("url", "https://sandbox-platform.jupico.com", "base `URL` of the API")
	username := flags.String("username", publishedUsername, "`name` of the API user")
	passwordFile := flags.String("password-file", "",
		"`file` that holds the password; when left out, the password that Jupico publishes for "+publishedUsername)
	flags.SetOutput(io.Discard) // run prints the error
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		flags.SetOutput(stdout)
		flags.Usage()
		return "", credential.Credential{}, err
	case err != nil:
		return "", credential.Credential{}, err
	case flags.NArg() > 0:
		return "", credential.Credential{}, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case !strings.HasPrefix(*baseURL, "https://"):
		return "", credential.Credential{}, errors.New("--url must begin with https://: a login must not travel unencrypted")
	case *passwordFile == "" && *username != publishedUsername:
		return "", credential.Credential{}, errors.New("--username needs --password-file")
	}
	password := []byte(publishedPassword)
	if *passwordFile != "" {
		if password, err = os.ReadFile(*passwordFile); err != nil {
			return "", credential.Credential{}, fmt.Errorf("--password-file: %w", err)
		}
	}
	login, _, err := credential.Login([]byte(*username), password)
	return strings.TrimRight(*baseURL, "/"), login, err
}
