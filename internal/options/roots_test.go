// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package options

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jupico-operator/jupico-operator/internal/jupico/jupicotest"
)

// mount makes a directory as the kubelet mounts a ConfigMap: its files are links into a directory that can be replaced.
func mount(t *testing.T, files map[string]string) string {
	t.Helper()
	directory := t.TempDir()
	if err := os.Mkdir(filepath.Join(directory, "..2026"), 0o700); err != nil {
		t.Fatal(err)
	}
	link := func(target, name string) {
		if err := os.Symlink(target, filepath.Join(directory, name)); err != nil {
			t.Fatal(err)
		}
	}
	link("..2026", "..data")
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(directory, "..2026", name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		link("..data/"+name, name)
	}
	return directory
}

func newCA(t *testing.T) *jupicotest.CA {
	t.Helper()
	ca, err := jupicotest.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func TestTheAuthoritiesOfADirectoryAreAddedToTheSystems(t *testing.T) {
	system, one, other := newCA(t), newCA(t), newCA(t)
	t.Setenv("SSL_CERT_FILE", filepath.Join(mount(t, map[string]string{"ca.crt": string(system.PEM())}), "ca.crt"))
	t.Setenv("SSL_CERT_DIR", t.TempDir())
	want := x509.NewCertPool()
	for _, ca := range []*jupicotest.CA{system, one, other} {
		want.AppendCertsFromPEM(ca.PEM())
	}
	options := Options{TrustedCADir: mount(t, map[string]string{
		"ca.crt": string(one.PEM()), "other.pem": "# the other\n" + string(other.PEM()), "bundle.jks": "\xfe\xed\xfe\xed",
	})}
	if got, err := options.Roots(); err != nil || !got.Equal(want) {
		t.Errorf("got %v and other authorities than those of the system and the two", err)
	}
}

func TestWithoutADirectoryTheSystemsAuthoritiesCount(t *testing.T) {
	if got, err := (&Options{}).Roots(); got != nil || err != nil {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestADirectoryWithoutAuthoritiesIsRefused(t *testing.T) {
	for directory, problem := range map[string]string{
		mount(t, nil): " holds no certificate in PEM",
		mount(t, map[string]string{"ca.crt": "a"}): " holds no certificate in PEM",
		filepath.Join(t.TempDir(), "none"):         ": no such file or directory",
	} {
		options, _, err := parse("--trusted-ca-dir=" + directory)
		if err != nil {
			t.Fatal(err)
		}
		err = options.Validate()
		if err == nil || !strings.HasPrefix(err.Error(), "--trusted-ca-dir: ") || !strings.HasSuffix(err.Error(), directory+problem) {
			t.Errorf("got %v, want the problem %q", err, problem)
		}
	}
}

func TestADamagedAuthorityIsRefusedThoughThereIsAGoodOne(t *testing.T) {
	good := string(newCA(t).PEM())
	directory := mount(t, map[string]string{"good.crt": good, "half.crt": good[:len(good)/2]})
	if _, err := (&Options{TrustedCADir: directory}).Roots(); err == nil || !strings.Contains(err.Error(), "half.crt: block 1 of 1") {
		t.Errorf("got %v", err)
	}
}
