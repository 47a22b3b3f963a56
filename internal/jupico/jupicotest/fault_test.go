// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package jupicotest

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// errorBody is the JSON body of an error whose code is not documented.
const errorBody = `{"success":false,"error":{"message":"` + SensitiveMessage + `"}}`

func TestAFaultReplacesTheUsualAnswer(t *testing.T) {
	const successBody = `{"success":true}`
	withCode := func(code string) string {
		return `{"success":false,"error":{"code":"` + code + `","message":"` + SensitiveMessage + `"}}`
	}
	tests := []struct {
		name            string
		fault           Fault
		wantStatus      int
		wantContentType string
		wantBody        string
	}{
		{"400", Fault{Status: 400}, 400, "application/json", withCode("invalid_payload")},
		{"401", Fault{Status: 401}, 401, "application/json", withCode("auth_invalid_api_token")},
		{"403", Fault{Status: 403}, 403, "application/json", withCode("forbidden")},
		{"404", Fault{Status: 404}, 404, "application/json", withCode("wrong_url")},
		{"500", Fault{Status: 500}, 500, "application/json", withCode("internal_server_error")},
		{"503", Fault{Status: 503}, 503, "application/json", withCode("service_unavailable")},
		{"429, which is not documented", Fault{Status: 429}, 429, "application/json", errorBody},
		{"204", Fault{Status: 204}, 204, "application/json", ""},
		{"304", Fault{Status: 304}, 304, "", ""},
		{"200", Fault{Status: 200}, 200, "application/json", successBody},
		{"code", Fault{Code: "forbidden"}, 403, "application/json", withCode("forbidden")},
		{"undocumented code", Fault{Code: "new"}, 401, "application/json", withCode("new")},
		{"code with 200", Fault{Status: 200, Code: "new"}, 200, "application/json", withCode("new")},
		{"redirect", Fault{Redirect: "https://login.example/"}, 302, "", ""},
		{"permanent redirect", Fault{Redirect: "https://login.example/", Status: 308}, 308, "", ""},
		{"HTML", Fault{HTML: true}, 200, "text/html; charset=utf-8", loginPage},
		{"HTML with status", Fault{HTML: true, Status: 401}, 401, "text/html; charset=utf-8", loginPage},
		{"HTML with BodyBytes", Fault{HTML: true, BodyBytes: 3}, 200, "text/html; charset=utf-8", "xxx"},
		{"body", Fault{Body: "no JSON"}, 200, "application/json", "no JSON"},
		{"body with status and type", Fault{Body: "busy", Status: 503, ContentType: "text/plain"}, 503, "text/plain", "busy"},
		{"no body", Fault{NoBody: true, Status: 401}, 401, "", ""},
		{"no body of a page", Fault{NoBody: true, HTML: true}, 200, "text/html; charset=utf-8", ""},
		{"content type", Fault{ContentType: "text/html"}, 200, "text/html", successBody},
		{"content type of an error", Fault{ContentType: "text/html", Status: 401}, 401, "text/html",
			withCode("auth_invalid_api_token")},
	}
	s := start(t)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s.Inject(test.fault)
			response, body := s.do(s.request(PublishedAPIKey))
			if response.StatusCode != test.wantStatus || strings.TrimSpace(body) != test.wantBody {
				t.Errorf("got %d %q, want %d %q", response.StatusCode, body, test.wantStatus, test.wantBody)
			}
			if got := response.Header.Get("Content-Type"); got != test.wantContentType {
				t.Errorf("the content type is %q, want %q", got, test.wantContentType)
			}
			if got := response.Header.Get("Location"); got != test.fault.Redirect {
				t.Errorf("the location is %q, want %q", got, test.fault.Redirect)
			}
		})
	}
}

func TestAFaultComesBeforeTheRequestIsChecked(t *testing.T) {
	s := start(t)
	s.Inject(Fault{Status: 503})
	r := s.request("unknown")
	r.URL.Path = "/other"
	response, body := s.do(r)
	wantAnswer(t, response, body, 503, "service_unavailable")
}

func TestAFaultLastsUntilItIsCleared(t *testing.T) {
	s := start(t)
	s.Inject(Fault{Status: 503})
	for range 3 {
		s.wantCode(PublishedAPIKey, "service_unavailable")
	}
	s.Clear()
	s.wantCode(PublishedAPIKey, "")
}

func TestAFaultWithTimesEndsByItself(t *testing.T) {
	s := start(t)
	s.Inject(Fault{Status: 503, Times: 2})
	s.wantCode(PublishedAPIKey, "service_unavailable")
	s.wantCode(PublishedAPIKey, "service_unavailable")
	s.wantCode(PublishedAPIKey, "")
}

func TestAFaultForOneTokenNeitherAffectsNorCountsOtherTokens(t *testing.T) {
	s := start(t)
	s.AddKey("key")
	s.Inject(Fault{Status: 503, Times: 1, OnlyToken: "key"})
	s.wantCode(PublishedAPIKey, "")
	s.wantCode("key", "service_unavailable")
	s.wantCode("key", "")
}

func TestRetryAfterIsSentUnchanged(t *testing.T) {
	s := start(t)
	for _, retryAfter := range []string{"120", "Fri, 31 Dec 2027 23:59:59 GMT", "nonsense"} {
		for _, status := range []int{0, 429, 503} { // 0: the usual answer
			s.Inject(Fault{Status: status, RetryAfter: retryAfter})
			response, _ := s.do(s.request(PublishedAPIKey))
			if got := response.Header.Get("Retry-After"); got != retryAfter {
				t.Errorf("with status %d Retry-After is %q, want %q", status, got, retryAfter)
			}
		}
	}
}

// serveWithoutNetwork serves one good request without a network, so that it can run in a synctest bubble. When the
// request has ended, the channel says whether it was aborted.
func serveWithoutNetwork(ctx context.Context, e *Emulator, w http.ResponseWriter) <-chan bool {
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, statusPath, http.NoBody)
	r.Header.Set("Authorization", "Basic "+PublishedAPIKey)
	r.Header.Set("Content-Type", "application/json")
	aborted := make(chan bool, 1)
	go func() {
		defer func() { aborted <- recover() == any(http.ErrAbortHandler) }()
		e.ServeHTTP(w, r)
	}()
	return aborted
}

func TestLatencyComesBeforeTheAnswer(t *testing.T) {
	tests := []struct {
		name       string
		fault      Fault
		wantStatus int
	}{
		{"of the usual answer", Fault{Latency: time.Minute}, 200},
		{"of a fault", Fault{Latency: time.Minute, Status: 503}, 503},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			// In the bubble, time passes only while every goroutine waits, so this takes exactly a minute.
			synctest.Test(t, func(t *testing.T) {
				e := New()
				e.Inject(test.fault)
				w, begin := httptest.NewRecorder(), time.Now()
				aborted := <-serveWithoutNetwork(t.Context(), e, w)
				if aborted || w.Code != test.wantStatus || time.Since(begin) != time.Minute {
					t.Errorf("got %d after %s, want %d after a minute", w.Code, time.Since(begin), test.wantStatus)
				}
			})
		})
	}
}

func TestAWaitingRequestEndsWithItsClientOrTheEmulator(t *testing.T) {
	faults := map[string]Fault{"hang": {Hang: true}, "latency": {Latency: 1<<63 - 1}}
	enders := map[string]func(cancel func(), e *Emulator){
		"client":   func(cancel func(), _ *Emulator) { cancel() },
		"emulator": func(_ func(), e *Emulator) { e.Close() },
	}
	for wait, fault := range faults {
		for ender, end := range enders {
			t.Run(wait+" ended by the "+ender, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					e := New()
					e.Inject(fault)
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					aborted := serveWithoutNetwork(ctx, e, httptest.NewRecorder())
					synctest.Wait()
					if len(aborted) != 0 || e.Requests() != 1 {
						t.Fatal("the request does not wait")
					}
					end(cancel, e)
					synctest.Wait()
					if len(aborted) != 1 || !<-aborted {
						t.Error("the request was not aborted")
					}
				})
			})
		}
	}
}

func TestAClosedEmulatorKeepsNoRequestOpen(t *testing.T) {
	s := start(t)
	s.Inject(Fault{Hang: true})
	s.Close()
	s.Close() // a second call does no harm
	if response, err := s.client.Do(s.request(PublishedAPIKey)); err == nil {
		_ = response.Body.Close()
		t.Errorf("got %s, want a broken connection", response.Status)
	}
}

// bothProtocols runs the test over HTTP/2 and HTTP/1.1.
func bothProtocols(t *testing.T, test func(t *testing.T, s *sandbox)) {
	t.Run("HTTP/2", func(t *testing.T) { test(t, start(t)) })
	t.Run("HTTP/1.1", func(t *testing.T) { test(t, start(t).overHTTP1()) })
}

func TestAHangAfterAnAnswerLeavesItUnfinished(t *testing.T) {
	bothProtocols(t, func(t *testing.T, s *sandbox) {
		s.Inject(Fault{Hang: true, Body: "begin"})
		response, err := s.client.Do(s.request(PublishedAPIKey))
		if err != nil {
			t.Fatal(err)
		}
		begin := make([]byte, len("begin"))
		if _, err := io.ReadFull(response.Body, begin); err != nil || string(begin) != "begin" {
			t.Errorf("the body begins with %q (%v)", begin, err)
		}
		_ = response.Body.Close()
		s.server.Close() // Close waits for the request, which ends only because the client is gone.
	})
}

func TestAResetAbortsTheConnectionBeforeTheAnswer(t *testing.T) {
	bothProtocols(t, func(t *testing.T, s *sandbox) {
		s.Inject(Fault{ResetConnection: true, Times: 1})
		if response, err := s.client.Do(s.request(PublishedAPIKey)); err == nil {
			_ = response.Body.Close()
			t.Errorf("got %s, want a broken connection", response.Status)
		}
		s.wantCode(PublishedAPIKey, "")
		if got := s.Requests(); got != 2 {
			t.Errorf("%d requests were counted, want 2", got)
		}
	})
}

func TestAResetAbortsTheConnectionInTheMiddleOfTheAnswer(t *testing.T) {
	bothProtocols(t, func(t *testing.T, s *sandbox) {
		s.Inject(Fault{ResetConnection: true, Status: 503, Body: "begin"})
		response, err := s.client.Do(s.request(PublishedAPIKey))
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close() //nolint:errcheck // There is nothing left to read.
		body, err := io.ReadAll(response.Body)
		if response.StatusCode != 503 || string(body) != "begin" || err == nil {
			t.Errorf("got %d %q and no error, want 503, the beginning and an error", response.StatusCode, body)
		}
	})
}

func TestABodyHasTheGivenLength(t *testing.T) {
	s := start(t)
	s.Inject(Fault{BodyBytes: 1<<20 + 1, Status: 500})
	response, body := s.do(s.request(PublishedAPIKey))
	if response.StatusCode != 500 || len(body) != 1<<20+1 {
		t.Errorf("got %d with %d bytes", response.StatusCode, len(body))
	}
	if response.ContentLength != -1 {
		t.Errorf("the header declares the length: %d", response.ContentLength)
	}
}

func TestAnEndlessBodyStopsWhenTheClientGoesAway(t *testing.T) {
	bothProtocols(t, func(t *testing.T, s *sandbox) {
		s.Inject(Fault{BodyBytes: 1<<63 - 1})
		response, err := s.client.Do(s.request(PublishedAPIKey))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, response.Body, 64<<10); err != nil {
			t.Error(err)
		}
		_ = response.Body.Close()
		s.server.Close() // Close waits for the request, which ends only because the client is gone.
	})
}

func TestAFaultThatMakesNoSenseIsRefused(t *testing.T) {
	for _, fault := range []Fault{{Latency: -1}, {Status: 100}, {Status: 600}, {BodyBytes: -1}, {Times: -1}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%+v was accepted", fault)
				}
			}()
			New().Inject(fault)
		}()
	}
}
