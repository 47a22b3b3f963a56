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
//	  -H 'Authorization: Basic ZGVtb0FwaVVzZXI6VjhtIXhQI2wyUXozCg==' https://localhost:9443/status
//	curl -d '{"name":"demoApiUser"}' http://127.0.0.1:9081/revoke
//	curl -d '{"status":503,"retryAfter":"30","times":3}' http://127.0.0.1:9081/fault
//	curl -X POST http://127.0.0.1:9081/reset
//
// When it serves, it prints its addresses to standard output. SIGINT or SIGTERM ends it with the exit code 0. After an
// error the exit code is 1, and if the command line is wrong it is 2. --help describes the flags and the admin API.
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
	"github.com/jupico-operator/jupico-operator/internal/version"
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
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0, nil
	case err != nil:
		return 2, fmt.Errorf("%w; see --help", err)
	case o.asksVersion:
		_, err := fmt.Fprintln(stdout, version.Text("jupico-emulator"))
		return 0, err
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
	asksVersion        bool
}

// parseFlags returns flag.ErrHelp after describing the flags.
func parseFlags(args []string, stdout io.Writer) (options, error) {
	o := options{
		adminListen: "127.0.0.1:9081",
		hosts:       []string{"localhost", "127.0.0.1", "::1", "sandbox-platform.jupico.com"},
		accept:      jupicotest.TrailingNewline,
	}
	flags := flag.NewFlagSet("jupico-emulator", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // main prints the error
	flags.StringVar(&o.listen, "listen", "127.0.0.1:9443", "`address` of the API, which is HTTPS only")
	flags.Func("admin-listen", "loopback `address` of the admin API, which is plain HTTP and authenticates nobody "+
		"(default 127.0.0.1:9081)", o.setAdminListen)
	flags.StringVar(&o.caFile, "ca-file", "jupico-emulator-ca.crt",
		"`file` to write the CA certificate to (PEM); a new one is made at each start")
	flags.Func("hosts", "comma-separated `names` (DNS, IP) for the server's certificate, besides "+
		strings.Join(o.hosts, ", "), o.addHosts)
	flags.Func("accept", "token `form` that the published account accepts: Standard, TrailingNewline or Both "+
		"(default TrailingNewline)", func(form string) (err error) {
		o.accept, err = jupicotest.ParseForms(form)
		return err
	})
	flags.BoolVar(&o.authenticateNobody, "authenticate-nobody", false, "accept every GET /status, with any token or none")

	asked := version.Flag(flags)
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		_, _ = fmt.Fprintln(stdout, "jupico-emulator serves an imitation of Jupico's GET /status. Flags:")
		flags.SetOutput(stdout)
		flags.PrintDefaults()
		_, _ = fmt.Fprint(stdout, "\n", jupicotest.AdminHelp())
	case err == nil:
		o.asksVersion, err = asked()
	}
	return o, err
}

// addHosts adds the names in a comma-separated list to those of the certificate.
func (o *options) addHosts(list string) error {
	isSeparator := func(r rune) bool { return r == ',' || r == ' ' }
	for _, host := range strings.FieldsFunc(list, isSeparator) {
		if net.ParseIP(host) == nil && strings.ContainsAny(host, ":/") {
			return fmt.Errorf("%q is not a DNS name or IP address: give no scheme and no port", host)
		}
		o.hosts = append(o.hosts, host)
	}
	return nil
}

// setAdminListen resolves the name in the address, so that the program listens on the address that was checked.
func (o *options) setAdminListen(address string) error {
	resolved, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return fmt.Errorf("%w; give a host and a port, such as 127.0.0.1:9081", err)
	}
	if !resolved.IP.IsLoopback() {
		return fmt.Errorf("this is not a loopback address, but anybody who reaches the admin API controls the emulator; "+
			"use 127.0.0.1:%d", resolved.Port)
	}
	o.adminListen = resolved.String()
	return nil
}
