// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package jupicotest

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

func TestAFingerprintIsTheBeginningOfTheSHA256(t *testing.T) {
	if got, want := Fingerprint("abc"), "ba7816bf8f01"; got != want { // the example of FIPS 180-2
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestRequestsAreCountedByToken(t *testing.T) {
	s := start(t)
	s.code(PublishedAPIKey)
	s.code("unknown")
	s.code("unknown")
	withoutToken := s.request("")
	withoutToken.Header.Del("Authorization")
	s.do(withoutToken)

	if got := s.Requests(); got != 4 {
		t.Errorf("%d in all, want 4", got)
	}
	for token, want := range map[string]int{PublishedAPIKey: 1, "unknown": 2, "": 1, "never sent": 0} {
		if got := s.RequestsFor(token); got != want {
			t.Errorf("%d for %q, want %d", got, token, want)
		}
	}
	want := map[string]int{Fingerprint(PublishedAPIKey): 1, Fingerprint("unknown"): 2, Fingerprint(""): 1}
	if got := s.RequestsByFingerprint(); !maps.Equal(got, want) {
		t.Errorf("by fingerprint %v, want %v", got, want)
	}
	s.RequestsByFingerprint()[Fingerprint("")] = 100
	if got := s.RequestsFor(""); got != 1 {
		t.Error("the map that is handed out is the emulator's own")
	}
}

func TestTheLogHoldsEachRequestAndItsStatus(t *testing.T) {
	s := start(t)
	begin := time.Now()
	s.code(PublishedAPIKey)
	other := s.request("unknown")
	other.Method, other.URL.Path = http.MethodDelete, "/other"
	other.Header.Set("Content-Type", "text/plain")
	s.do(other)
	s.Inject(Fault{Status: 503})
	s.code("unknown")
	s.Inject(Fault{ResetConnection: true})
	if response, err := s.client.Do(s.request("unknown")); err == nil {
		_ = response.Body.Close()
	}

	published, unknown := Fingerprint(PublishedAPIKey), Fingerprint("unknown")
	want := []Request{
		{time.Time{}, published, "GET", "/status", "jupicotest", "application/json", 200},
		{time.Time{}, unknown, "DELETE", "/other", "jupicotest", "text/plain", 404},
		{time.Time{}, unknown, "GET", "/status", "jupicotest", "application/json", 503},
		{time.Time{}, unknown, "GET", "/status", "jupicotest", "application/json", 0},
	}
	got := s.Log()
	if len(got) != len(want) {
		t.Fatalf("%d requests in the log, want %d", len(got), len(want))
	}
	for i := range want {
		if got[i].Time.Before(begin) || got[i].Time.After(time.Now()) {
			t.Errorf("request %d has the time %s", i, got[i].Time)
		}
		got[i].Time = time.Time{}
		if got[i] != want[i] {
			t.Errorf("request %d is %+v, want %+v", i, got[i], want[i])
		}
	}
}

func TestTheLogHoldsTheLastThousandRequests(t *testing.T) {
	e := New()
	for i := range 1005 {
		path := fmt.Sprintf("/%d", i)
		e.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, path, http.NoBody))
	}
	log := e.Log()
	if len(log) != 1000 || log[0].Path != "/5" || log[999].Path != "/1004" {
		t.Errorf("%d requests, from %s to %s", len(log), log[0].Path, log[len(log)-1].Path)
	}
	if got := e.Requests(); got != 1005 {
		t.Errorf("%d in all, want 1005", got)
	}
}
