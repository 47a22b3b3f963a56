// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jupico-operator/jupico-operator/internal/jupico/jupicotest"
)

// options is what the command line says.
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
	flags.BoolVar(&o.authenticateNobody, "authenticate-nobody", false, "accept every GET /status, whatever it carries")
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
		return o, fmt.Errorf("unexpected argument %q: everything is a flag; see --help", flags.Arg(0))
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

// parseHosts returns the names of the certificate: the usual ones and those of the comma-separated list.
func parseHosts(list string) ([]string, error) {
	hosts := []string{"localhost", "127.0.0.1", "::1", "sandbox-platform.jupico.com"}
	for host := range strings.SplitSeq(list, ",") {
		host = strings.TrimSpace(host)
		if host == "" {
			continue
		}
		if net.ParseIP(host) == nil && strings.ContainsAny(host, ":/ ") {
			return nil, fmt.Errorf("--hosts: %q is no DNS name or IP address: leave scheme and port out", host)
		}
		hosts = append(hosts, host)
	}
	return hosts, nil
}

// parseLoopback returns the address with its name resolved, so that what is listened on is what was looked at.
func parseLoopback(address string) (string, error) {
	resolved, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return "", fmt.Errorf("--admin-listen: %w; give a host and a port, such as 127.0.0.1:8081", err)
	}
	if !resolved.IP.IsLoopback() {
		return "", fmt.Errorf("--admin-listen: %s is not a loopback address, and whoever reaches the admin API "+
			"rules the emulator; use 127.0.0.1:%d", address, resolved.Port)
	}
	return resolved.String(), nil
}
