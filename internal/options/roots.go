// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package options

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"

	"github.com/jupico-operator/jupico-operator/internal/jupico/endpoint"
)

// Roots are the authorities of the system and those of --trusted-ca-dir. Nil means the system's alone. In a mounted
// ConfigMap, the files are symbolic links, and one may hold no PEM: some tools also put other formats into it.
func (o *Options) Roots() (*x509.CertPool, error) {
	if o.TrustedCADir == "" {
		return nil, nil
	}
	entries, err := os.ReadDir(o.TrustedCADir)
	if err != nil {
		return nil, err
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		return nil, err
	}
	found := false
	for _, entry := range entries {
		path := filepath.Join(o.TrustedCADir, entry.Name())
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		if !bytes.Contains(text, []byte("BEGIN ")) {
			continue
		}
		// This refuses a damaged certificate, which AppendCertsFromPEM leaves out without a word.
		if _, err := (endpoint.Endpoint{CA: string(text)}).Roots(); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		found = roots.AppendCertsFromPEM(text) || found
	}
	if !found {
		return nil, fmt.Errorf("%s holds no certificate in PEM", o.TrustedCADir)
	}
	return roots, nil
}
