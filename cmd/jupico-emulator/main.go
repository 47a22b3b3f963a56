// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command jupico-emulator serves an imitation of Jupico's documented GET /status over HTTPS, for demonstrations and
// tests. Package jupicotest says what it does, and which part of that Jupico documents.
//
// At first it knows the published account of the shared sandbox only. An admin API over plain HTTP, on a loopback
// address, adds and revokes credentials, resets the sandbox and injects faults. The program makes a certificate
// authority each time that it starts, and writes the certificate to a file, for clients to trust:
//
//	jupico-emulator &
//	curl --cacert jupico-emulator-ca.crt -H 'Content-Type: application/json' \
//	  -H 'Authorization: Basic ZGVtb0FwaVVzZXI6VjhtIXhQI2wyUXozCg==' https://localhost:8443/status
//	curl -d '{"name":"demoApiUser"}' http://127.0.0.1:8081/revoke
//	curl -d '{"status":503,"retryAfter":"30","times":3}' http://127.0.0.1:8081/fault
//	curl -X POST http://127.0.0.1:8081/reset
//
// It says on standard output where it serves once it does, and ends with SIGINT or SIGTERM. The exit code is 0 then, 1
// after an error, and 2 when the command line is wrong. The flags are described by --help, the whole admin API by
// (*jupicotest.Emulator).Admin.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/jupico-operator/jupico-operator/internal/jupico/jupicotest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		_, _ = fmt.Fprintf(os.Stderr, "jupico-emulator: %v\n", err)
	}
	os.Exit(exitCode(err))
}

// usageError is a mistake on the command line.
type usageError struct{ error }

func exitCode(err error) int {
	var usage usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage):
		return 2
	default:
		return 1
	}
}

// run serves until ctx is done.
func run(ctx context.Context, args []string, stdout io.Writer) error {
	o, err := parseFlags(args, stdout)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return usageError{err}
	}
	emulator := jupicotest.New()
	defer emulator.Close()
	emulator.SetPublishedForms(o.accept)
	emulator.AuthenticateNobody(o.authenticateNobody)

	api, admin := newServer(emulator), newServer(emulator.Admin())
	apiListener, err := net.Listen("tcp", o.listen)
	if err != nil {
		return fmt.Errorf("cannot serve the API: %w; choose another address with --listen", err)
	}
	defer closeAll(apiListener, api)
	adminListener, err := net.Listen("tcp", o.adminListen)
	if err != nil {
		return fmt.Errorf("cannot serve the admin API: %w; choose another address with --admin-listen", err)
	}
	defer closeAll(adminListener, admin)
	// Not before both ports are ours: another emulator that has them may have written the same file.
	if api.TLSConfig, err = makeTLS(o); err != nil {
		return err
	}

	failed := make(chan error, 2)
	go func() { failed <- api.ServeTLS(apiListener, "", "") }()
	go func() { failed <- admin.Serve(adminListener) }()
	_, _ = fmt.Fprintf(stdout, "Serving the API on https://%s\n", apiListener.Addr())
	_, _ = fmt.Fprintf(stdout, "Serving the admin API on http://%s\n", adminListener.Addr())
	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		return fmt.Errorf("the server ended by itself: %w; start it again", err)
	}
}

// newServer returns a server that keeps what its clients do wrong to itself.
func newServer(h http.Handler) *http.Server {
	return &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
}

// closeAll does not look at errors: the program ends, and a server has closed its listener already.
func closeAll(closers ...io.Closer) {
	for _, closer := range closers {
		_ = closer.Close()
	}
}

// makeTLS makes a certificate authority, writes its certificate to a file, and issues the server's certificate.
func makeTLS(o options) (*tls.Config, error) {
	ca, err := jupicotest.NewCA()
	if err != nil {
		return nil, err
	}
	cert, err := ca.Issue(o.hosts...)
	if err != nil {
		return nil, fmt.Errorf("%w; check --hosts", err)
	}
	//nolint:gosec // anybody may read it: it is a certificate, without its key
	if err := os.WriteFile(o.caFile, ca.PEM(), 0o644); err != nil {
		return nil, fmt.Errorf("cannot write the CA certificate: %w; choose another file with --ca-file", err)
	}
	return jupicotest.ServerTLS(cert), nil
}
