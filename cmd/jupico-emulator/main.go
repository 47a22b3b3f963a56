// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command jupico-emulator serves an imitation of Jupico's documented GET /status over HTTPS, for demonstrations and
// tests. Package jupicotest documents its behaviour, and says which part of it Jupico documents.
//
// At first it knows only the published account of the shared sandbox. The admin API, which is plain HTTP on a loopback
// address, adds and revokes credentials, resets the sandbox and injects faults. At each start the program makes a new
// certificate authority. It writes the CA certificate to a file, so that clients can trust it:
//
//	jupico-emulator &
//	curl --cacert jupico-emulator-ca.crt -H 'Content-Type: application/json' \
//	  -H 'Authorization: Basic ZGVtb0FwaVVzZXI6VjhtIXhQI2wyUXozCg==' https://localhost:8443/status
//	curl -d '{"name":"demoApiUser"}' http://127.0.0.1:8081/revoke
//	curl -d '{"status":503,"retryAfter":"30","times":3}' http://127.0.0.1:8081/fault
//	curl -X POST http://127.0.0.1:8081/reset
//
// When it serves, it prints its addresses to standard output. SIGINT or SIGTERM ends it with the exit code 0. After an
// error the exit code is 1, and if the command line is wrong it is 2. --help describes the flags, and
// (*jupicotest.Emulator).Admin the whole admin API.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/jupico-operator/jupico-operator/internal/jupico/jupicotest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code, err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		_, _ = fmt.Fprintf(os.Stderr, "jupico-emulator: %v\n", err)
	}
	os.Exit(code)
}

// run serves until ctx is cancelled, and returns the exit code.
func run(ctx context.Context, args []string, stdout io.Writer) (int, error) {
	o, err := parseFlags(args, stdout)
	if errors.Is(err, flag.ErrHelp) {
		return 0, nil
	}
	if err != nil {
		return 2, err
	}
	if err := serve(ctx, o, stdout); err != nil {
		return 1, err
	}
	return 0, nil
}

func serve(ctx context.Context, o options, stdout io.Writer) error {
	emulator := jupicotest.New()
	defer emulator.Close()
	emulator.SetPublishedForms(o.accept)
	emulator.AuthenticateNobody(o.authenticateNobody)

	apiListener, err := net.Listen("tcp", o.listen)
	if err != nil {
		return fmt.Errorf("cannot serve the API: %w; choose another address with --listen", err)
	}
	adminListener, err := net.Listen("tcp", o.adminListen)
	if err != nil {
		return fmt.Errorf("cannot serve the admin API: %w; choose another address with --admin-listen", err)
	}
	api, admin := newServer(emulator), newServer(emulator.Admin())
	defer api.Close()   //nolint:errcheck // The program ends.
	defer admin.Close() //nolint:errcheck // The program ends.

	ca, err := jupicotest.NewCA()
	if err != nil {
		return err
	}
	certificate, err := ca.Issue(o.hosts...)
	if err != nil {
		return fmt.Errorf("%w; check --hosts", err)
	}
	api.TLSConfig = jupicotest.ServerTLS(certificate)
	// The CA file is written only now that both ports are ours: another emulator may use them, and the same file.
	//nolint:gosec // anybody may read it: it is a certificate without its key
	if err := os.WriteFile(o.caFile, ca.PEM(), 0o644); err != nil {
		return fmt.Errorf("cannot write the CA certificate: %w; choose another file with --ca-file", err)
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
		return fmt.Errorf("the server stopped: %w; start it again", err)
	}
}

// newServer returns a server that does not log the mistakes of its clients.
func newServer(h http.Handler) *http.Server {
	return &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
}

// options holds the settings from the command line.
type options struct {
	listen             string
	adminListen        string
	caFile             string
	hosts              []string
	accept             jupicotest.Forms
	authenticateNobody bool
}

// parseFlags returns flag.ErrHelp after describing the flags.
func parseFlags(args []string, stdout io.Writer) (options, error) {
	var o options
	var hosts, accept string
	flags := flag.NewFlagSet("jupico-emulator", flag.ContinueOnError)
	flags.StringVar(&o.listen, "listen", "127.0.0.1:8443", "`address` of the API, which is HTTPS only")
	flags.StringVar(&o.adminListen, "admin-listen", "127.0.0.1:8081",
		"loopback `address` of the admin API, which is plain HTTP and authenticates nobody")
	flags.StringVar(&o.caFile, "ca-file", "jupico-emulator-ca.crt",
		"`file` to write the CA certificate to (PEM); a new one is made at each start")
	flags.StringVar(&hosts, "hosts", "", "comma-separated `names` (DNS, IP) for the server's certificate, besides "+
		"localhost, 127.0.0.1, ::1 and sandbox-platform.jupico.com")
	flags.StringVar(&accept, "accept", "TrailingNewline",
		"token `form` that the published account accepts: Standard, TrailingNewline or Both")
	flags.BoolVar(&o.authenticateNobody, "authenticate-nobody", false, "accept every GET /status, with any token or none")
	flags.SetOutput(io.Discard) // main prints the error
	flags.Usage = func() {}

	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		_, _ = fmt.Fprintln(stdout, "jupico-emulator serves an imitation of Jupico's GET /status. Flags:")
		flags.SetOutput(stdout)
		flags.PrintDefaults()
		return o, err
	case err != nil:
		return o, fmt.Errorf("%w; see --help", err)
	case flags.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q: there are only flags; see --help", flags.Arg(0))
	}
	if o.accept, err = jupicotest.ParseForms(accept); err != nil {
		return o, fmt.Errorf("--accept: %w", err)
	}
	if o.hosts, err = parseHosts(hosts); err != nil {
		return o, err
	}
	o.adminListen, err = parseLoopback(o.adminListen)
	return o, err
}

// parseHosts returns the names for the certificate: the usual ones and those in the comma-separated list.
func parseHosts(list string) ([]string, error) {
	hosts := []string{"localhost", "127.0.0.1", "::1", "sandbox-platform.jupico.com"}
	for host := range strings.SplitSeq(list, ",") {
		host = strings.TrimSpace(host)
		if host == "" {
			continue
		}
		if net.ParseIP(host) == nil && strings.ContainsAny(host, ":/ ") {
			return nil, fmt.Errorf("--hosts: %q is not a DNS name or IP address: give no scheme and no port", host)
		}
		hosts = append(hosts, host)
	}
	return hosts, nil
}

// parseLoopback checks an address, and returns it with its name resolved, so that the program listens on the address
// that was checked.
func parseLoopback(address string) (string, error) {
	resolved, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return "", fmt.Errorf("--admin-listen: %w; give a host and a port, such as 127.0.0.1:8081", err)
	}
	if !resolved.IP.IsLoopback() {
		return "", fmt.Errorf("--admin-listen: %s is not a loopback address, but anybody who reaches the admin API "+
			"controls the emulator; use 127.0.0.1:%d", address, resolved.Port)
	}
	return resolved.String(), nil
}
