// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package endpoint

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// authority returns a certificate of its own in PEM, and the same parsed.
func authority(t testing.TB, name string, notAfter time.Time) (string, *x509.Certificate) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: notAfter, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), certificate
}

func TestABundleHoldsAllItsCertificatesHoweverItIsSpelt(t *testing.T) {
	one, first := authority(t, "One", time.Now().Add(time.Hour))
	two, second := authority(t, "Two", time.Now().Add(-time.Minute)) // which has expired
	for sentence, bundle := range map[string]string{
		"as it should be":                 one + two,
		"twice":                           one + two + one,
		"without a newline at the end":    one + strings.TrimSpace(two),
		"with the line ends of Windows":   strings.ReplaceAll(one+two, "\n", "\r\n"),
		"behind a byte order mark":        "\ufeff" + one + two,
		"with byte order marks":           "\ufeff" + one + "\ufeff" + two,
		"with empty lines":                "\n\n" + one + "\n\n" + two + "\n\n",
		"with spaces at the ends of line": strings.ReplaceAll(one+two, "\n", " \t\n"),
		"with texts":                      "# Backend CA\n" + one + "subject=CN = Two\nissuer=CN = Two\n---\n" + two + "The end\n",
		"with texts about certificates":   "the end certificate - begin\n" + one + "FRONT-END CERTIFICATE - BEGIN " + two,
	} {
		t.Run(sentence, func(t *testing.T) {
			want := x509.NewCertPool()
			want.AddCert(first)
			want.AddCert(second)
			if roots, err := (Endpoint{CA: bundle}).Roots(); err != nil || !roots.Equal(want) {
				t.Errorf("got %v, want both certificates", err)
			}
		})
	}
	if roots, err := (Endpoint{}).Roots(); roots != nil || err != nil {
		t.Errorf("no bundle gives %v and %v, want the system's authorities", roots, err)
	}
}

// TestABundleWithABadBlockIsRefusedByNumber: the standard library's AppendCertsFromPEM leaves such a block out.
func TestABundleWithABadBlockIsRefusedByNumber(t *testing.T) {
	good, _ := authority(t, "Good", time.Now().Add(time.Hour))
	bad, certificate := authority(t, "Bad", time.Now().Add(time.Hour))
	lines := strings.SplitAfter(bad, "\n")
	block := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	join := func(lines ...[]string) string {
		var all strings.Builder
		for _, some := range lines {
			all.WriteString(strings.Join(some, ""))
		}
		return all.String()
	}
	last := len(lines) - 2 // the END line; behind it is nothing
	for _, tc := range []struct{ sentence, bundle, problem string }{
		{"whose END line is missing, in front", join(lines[:last]) + good, "block 1 of 2 has no END line"},
		{"whose END line is missing, at the end", good + join(lines[:last]), "block 2 of 2 has no END line"},
		{"that breaks off", good + join(lines[:2]), "block 2 of 2 has no END line"},
		{"that breaks off in its END line", good + bad[:len(bad)-4], "block 2 of 2 is damaged"},
		{"whose BEGIN line is missing, in front", join(lines[1:]) + good, "it holds an END line before block 1, without a BEGIN line"},
		{"whose BEGIN line is missing, at the end", good + join(lines[1:]), "block 1 of 1 is followed by an END line without a BEGIN line"},
		{"that lacks a line", good + join(lines[:2], lines[3:]), "block 2 of 2 is not a certificate, or a damaged one"},
		{"that lacks a character", good + join(lines[:1]) + bad[len(lines[0])+1:], "block 2 of 2 is damaged"},
		{"of which a character is none of base64", good + strings.Replace(bad, "\nM", "\n!", 1), "block 2 of 2 is damaged"},
		{"with nothing in it", good + join(lines[:1], lines[last:]), "block 2 of 2 is not a certificate, or a damaged one"},
		{"that begins on the END line of another", strings.TrimSpace(good) + bad, "block 1 of 2 is damaged"},
		{"with a hyphen too few", good + strings.Replace(bad, "-----BEGIN", "----BEGIN", 1), "block 2 of 2 is damaged"},
		{"with the dashes of a word processor", good + strings.ReplaceAll(bad, "-----", "—–-"), "block 2 of 2 is damaged"},
		{"of another kind than its END line", good + strings.Replace(bad, "END CERT", "END X509 CERT", 1), "block 2 of 2 is damaged"},
		{"with the line ends of an old Mac", strings.ReplaceAll(good, "\n", "\r") + "\n" + bad, "block 1 of 2 is damaged"},
		{"that is indented", good + strings.ReplaceAll(bad, "\n", "\n  "), "block 2 of 2 is damaged"},
		{"that is a private key", good + block("RSA PRIVATE KEY", certificate.Raw),
			"block 2 of 2 is a private key, which others may know by now: take it out"},
		{"that is another thing", block("CERTIFICATE REQUEST", certificate.Raw) + good,
			"block 1 of 2 is not a CERTIFICATE: take it out, or convert it"},
		{"with something behind the certificate", good + block("CERTIFICATE", append(certificate.Raw, 0)),
			"block 2 of 2 is not a certificate, or a damaged one"},
		{"as text in UTF-16", strings.Join(strings.Split(good, ""), "\x00"), "it is not UTF-8: save it as that, in PEM"},
		{"as DER", string(bytes.ReplaceAll(certificate.Raw, []byte{0}, []byte{1})), "it holds no PEM certificate"},
		{"that is white space", " \n", "it holds no PEM certificate"},
	} {
		t.Run(tc.sentence, func(t *testing.T) {
			roots, err := Endpoint{CA: tc.bundle}.Roots()
			if err == nil || err.Error() != tc.problem || roots != nil {
				t.Errorf("got %v, want %s", err, tc.problem)
			}
		})
	}
}

// refusals are all that is said of a bundle, without its numbers.
var refusals = regexp.MustCompile(`^(it is not UTF-8: save it as that, in PEM|it holds no PEM certificate|` +
	`it holds an END line before block 1, without a BEGIN line|block ([0-9]+) of ([0-9]+) (has no END line|is damaged|` +
	`is followed by an END line without a BEGIN line|is a private key, which others may know by now: take it out|` +
	`is not a CERTIFICATE: take it out, or convert it|is not a certificate, or a damaged one))$`)

func FuzzABundleIsAllCertificatesOrIsRefusedByNumber(f *testing.F) {
	one, certificate := authority(f, "One", time.Now().Add(time.Hour))
	two, _ := authority(f, "Two", time.Now().Add(time.Hour))
	block := func(kind string) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: certificate.Raw}))
	}
	headers := pem.EncodeToMemory(&pem.Block{
		Type: "CERTIFICATE", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED"}, Bytes: certificate.Raw,
	})
	for _, bundle := range []string{
		"", " ", one, one + two, two + "text" + one, one + block("PRIVATE KEY"), block("X509 CRL") + one, one[:len(one)-9],
		one[40:] + two, strings.TrimSpace(one) + two, string(headers) + one, "-----BEGIN \n" + one, one + "-----END \n",
		strings.Replace(one, "-----BEGIN", "\u2014BEGIN", 1), strings.ReplaceAll(one, "\n", "\r\n"), one + "\x00",
		"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n" + one,
	} {
		f.Add(bundle)
	}
	f.Fuzz(func(t *testing.T, bundle string) {
		roots, err := Endpoint{CA: bundle}.Roots()
		if err != nil {
			number := refusals.FindStringSubmatch(err.Error())
			if number == nil || roots != nil {
				t.Fatalf("got %v, and %v", roots, err)
			}
			i, _ := strconv.Atoi(number[2])
			if n, _ := strconv.Atoi(number[3]); i > n || n > strings.Count(bundle, "BEGIN ") || n > 0 && i < 1 {
				t.Fatalf("%q is refused: %v", bundle, err)
			}
			return
		}
		if (roots == nil) != (bundle == "") {
			t.Fatalf("%q gives %v", bundle, roots)
		}
		// To the standard library, each block is a certificate too, and these are all.
		want, blocks := x509.NewCertPool(), strings.Split(bundle, "-----BEGIN ")[1:]
		for _, text := range blocks {
			block, _ := pem.Decode([]byte("-----BEGIN " + text))
			if block == nil || block.Type != "CERTIFICATE" {
				t.Fatalf("%q is accepted as %v", text, block)
			}
			certificate, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				t.Fatal(err)
			}
			want.AddCert(certificate)
		}
		if bundle != "" && (len(blocks) == 0 || !roots.Equal(want)) {
			t.Fatalf("of the %d certificates of %q, not all are accepted, or others", len(blocks), bundle)
		}
	})
}
