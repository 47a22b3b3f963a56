// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package outcome

import (
	"testing"
	"time"
)

func BenchmarkClassify(b *testing.B) {
	for name, response := range map[string]Response{
		"accepted": {Status: 200, ContentType: "application/json", Body: []byte(`{"success":true}`)},
		"rejected": {
			Status: 401, ContentType: "application/json",
			Body: []byte(`{"success":false,"error":{"code":"auth_invalid_api_token","message":"…"}}`),
		},
	} {
		b.Run(name, func(b *testing.B) {
			now := time.Now()
			b.ReportAllocs()
			for b.Loop() {
				if Classify(response, now).Outcome == "" {
					b.Fatal("no outcome")
				}
			}
		})
	}
}
