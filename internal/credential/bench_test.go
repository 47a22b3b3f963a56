// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package credential

import "testing"

func BenchmarkTokenOfALogin(b *testing.B) {
	login, _, err := Login([]byte("demoApiUser"), []byte("V8m!xP#l2Qz3"))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if login.Token(Standard).IsZero() {
			b.Fatal("no token")
		}
	}
}
