// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package options

import (
	"bytes"
	"flag"
	"io"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
)

// loggerOf is the logger that command-line arguments ask for.
func loggerOf(t *testing.T, output io.Writer, arguments ...string) logr.Logger {
	t.Helper()
	logging := zap.Options{DestWriter: output}
	flags := flag.NewFlagSet("manager", flag.ContinueOnError)
	logging.BindFlags(flags)
	if err := flags.Parse(arguments); err != nil {
		t.Fatal(err)
	}
	return NewLogger(&logging)
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
