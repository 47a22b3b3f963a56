// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"time"
)

// identities maps the file name of each client certificate to the identity that the API server sees.
var identities = map[string]pkix.Name{
	"admin":                   {CommonName: "admin", Organization: []string{"system:masters"}},
	"apiserver-kubelet":       {CommonName: "apiserver-kubelet", Organization: []string{"system:masters"}},
	"kube-controller-manager": {CommonName: "system:kube-controller-manager"},
	"kube-scheduler":          {CommonName: "system:kube-scheduler"},
	"kube-proxy":              {CommonName: "system:kube-proxy"},
	"kubelet":                 {CommonName: "system:node:" + nodeName, Organization: []string{"system:nodes"}},
}

// authority signs the cluster's certificates when the cluster starts. Its key is never written to a file.
type authority struct {
	certificate *x509.Certificate
	key         crypto.Signer
}

// writeCertificates writes every certificate and kubeconfig.
func (c *cluster) writeCertificates() error {
	if err := os.MkdirAll(c.path("state", "pki"), 0o700); err != nil {
		return err
	}
	ca, err := c.newAuthority()
	if err != nil {
		return err
	}
	for name, subject := range identities {
		if err := ca.issue(c.pki(name), &x509.Certificate{Subject: subject}); err != nil {
			return err
		}
		path := c.path("state", name+".kubeconfig")
		if err := os.WriteFile(path, fmt.Appendf(nil, kubeconfig, apiServer, c.pki("ca"), c.pki(name)), 0o600); err != nil {
			return err
		}
	}
	// The API server reads the public key for service account tokens from a certificate.
	signer := &x509.Certificate{Subject: pkix.Name{CommonName: "service-accounts"}}
	if err := ca.issue(c.pki("service-accounts"), signer); err != nil {
		return err
	}
	err = ca.issue(c.pki("kubelet-server"), &x509.Certificate{
		Subject: pkix.Name{CommonName: nodeName}, DNSNames: []string{nodeName}, IPAddresses: []net.IP{net.ParseIP(nodeIP)},
	})
	if err != nil {
		return err
	}
	return ca.issue(c.pki("apiserver"), &x509.Certificate{
		Subject: pkix.Name{CommonName: "kube-apiserver"},
		DNSNames: []string{
			"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
		},
		IPAddresses: []net.IP{net.ParseIP(nodeIP), net.ParseIP(apiServiceIP), net.IPv4(127, 0, 0, 1)},
	})
}

func (c *cluster) newAuthority() (*authority, error) {
	key, err := writeKey("")
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "cluster"},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	ca := &authority{certificate: template, key: key}
	der, err := ca.sign(template, key.Public())
	if err != nil {
		return nil, err
	}
	if ca.certificate, err = x509.ParseCertificate(der); err != nil {
		return nil, err
	}
	return ca, writePEM(c.pki("ca")+".crt", "CERTIFICATE", der)
}

// issue writes a key and a certificate that is valid for servers and clients.
func (ca *authority) issue(path string, template *x509.Certificate) error {
	key, err := writeKey(path)
	if err != nil {
		return err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	der, err := ca.sign(template, key.Public())
	if err != nil {
		return err
	}
	return writePEM(path+".crt", "CERTIFICATE", der)
}

func (ca *authority) sign(template *x509.Certificate, key crypto.PublicKey) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial
	template.NotBefore = time.Now().Add(-time.Hour)
	template.NotAfter = time.Now().AddDate(1, 0, 0)
	return x509.CreateCertificate(rand.Reader, template, ca.certificate, key, ca.key)
}

// writeKey makes a key, and writes it unless path is empty.
func writeKey(path string) (crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil || path == "" {
		return key, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return key, writePEM(path+".key", "PRIVATE KEY", der)
}

func writePEM(path, kind string, der []byte) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}
