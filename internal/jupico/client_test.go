// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package jupico

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptrace"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jupico-operator/jupico-operator/internal/jupico/jupicotest"
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

// received is a request as it came in.
type received struct {
	method, uri, host, proto, from string
	header                         http.Header
	length                         int64
	encoding                       []string
	body                           string
}

// receiver accepts every request, and hands it over.
func receiver(requests chan<- received) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		requests <- received{
			r.Method, r.RequestURI, r.Host, r.Proto, r.RemoteAddr,
			r.Header.Clone(), r.ContentLength, r.TransferEncoding, string(body),
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"success":true}`)
	}
}

func TestExactlyTheDocumentedRequestIsSent(t *testing.T) {
	for _, tc := range []struct {
		sentence    string
		path, token string
		uri         string
	}{
		{"with a token of RFC 7617", "", jupicotest.PublishedStandardToken, "/status"},
		{"under a base URL with a path", "/gw/jupico", jupicotest.PublishedStandardToken, "/gw/jupico/status"},
		{"under a base URL with an escaped path", "/a%2Fb", jupicotest.PublishedStandardToken, "/a%2Fb/status"},
		{"with the token that ends in a newline once decoded", "", jupicotest.PublishedAPIKey, "/status"},
		{"with a token of every kind of character", "", goodToken, "/status"},
	} {
		t.Run(tc.sentence, func(t *testing.T) {
			requests := make(chan received, 1)
			s := serve(t, receiver(requests)) // which offers HTTP/2 too
			mustAccept(t, clientOf(t, s.url+tc.path, s).Check(t.Context(), parse(t, tc.token)))

			request := <-requests
			request.from = ""
			want := received{
				method: "GET", uri: tc.uri, host: s.host, proto: "HTTP/1.1",
				header: http.Header{
					"Authorization": {"Basic " + tc.token},
					"Content-Type":  {"application/json"},
					"User-Agent":    {"jupico-operator/test"},
				},
			}
			if !reflect.DeepEqual(request, want) {
				t.Errorf("received %+v, want %+v", request, want)
			}
		})
	}
}

func TestEveryAnswerOfTheAPIHasItsOutcome(t *testing.T) {
	state := func(code string) func(*jupicotest.Emulator) {
		return func(e *jupicotest.Emulator) { e.SetState(goodToken, code) }
	}
	for _, tc := range []struct {
		sentence string
		arrange  func(*jupicotest.Emulator)
		want     outcome.Outcome
		detail   string
	}{
		{"a known key is accepted", state(""), outcome.Accepted, "HTTP 200"},
		{"a key that lacks a permission is accepted", state("auth_invalid_role"), outcome.LimitedPermissions, "HTTP 401 auth_invalid_role"},
		{"a revoked key is rejected", func(e *jupicotest.Emulator) { e.Revoke(goodToken) }, outcome.Rejected, "HTTP 401 auth_invalid_api_token"},
		{"after a reset the key is rejected", (*jupicotest.Emulator).Reset, outcome.Rejected, "HTTP 401 auth_invalid_api_token"},
		{"a code that is not documented is not repeated", state("auth_new"), outcome.Rejected, "HTTP 401"},
		{"an inactive user", state("auth_invalid_api_user"), outcome.UserInactive, "HTTP 401 auth_invalid_api_user"},
		{"an inactive submerchant", state("auth_invalid_submerchant"), outcome.AccountInactive, "HTTP 401 auth_invalid_submerchant"},
		{"an inactive facilitator", state("auth_invalid_facilitator"), outcome.AccountInactive, "HTTP 401 auth_invalid_facilitator"},
		{"an inactive product", state("auth_invalid_product"), outcome.AccountInactive, "HTTP 401 auth_invalid_product"},
		{"a header that was lost", state("auth_header_not_present"), outcome.RequestAltered, "HTTP 401 auth_header_not_present"},
		{"a content type that was lost", state("auth_invalid_content_type"), outcome.RequestAltered, "HTTP 401 auth_invalid_content_type"},
		{"a session that nobody asked for", state("auth_token_session"), outcome.UnexpectedResponse, "HTTP 401 auth_token_session"},
	} {
		t.Run(tc.sentence, func(t *testing.T) {
			emulator, s := emulate(t)
			tc.arrange(emulator)
			got := clientOf(t, s.url, s).Check(t.Context(), parse(t, goodToken))
			wantResult(t, got, tc.want, tc.detail)
			if got.Duration <= 0 {
				t.Errorf("it took %s", got.Duration)
			}
		})
	}
}

func TestTheEmulatorProducesEveryOutcome(t *testing.T) {
	elsewhere := map[outcome.Outcome]string{
		outcome.EndpointDoesNotAuthenticate: "the package checker concludes it from an acceptance of a random token",
		outcome.EndpointDenied:              "nothing is sent",
		outcome.CAInvalid:                   "nothing is sent",
		outcome.TLSFailure:                  "it depends on the certificate of the server, and not on the emulator behind it",
	}
	faults := map[outcome.Outcome]jupicotest.Fault{
		outcome.Accepted:           {Status: 200},
		outcome.LimitedPermissions: {Code: "auth_invalid_role"},
		outcome.Rejected:           {Code: "auth_invalid_api_token"},
		outcome.UserInactive:       {Code: "auth_invalid_api_user"},
		outcome.AccountInactive:    {Code: "auth_invalid_submerchant"},
		outcome.RequestAltered:     {Code: "auth_header_not_present"},
		outcome.Forbidden:          {Status: 403},
		outcome.UnexpectedResponse: {HTML: true},
		outcome.ProxyRefused:       {Status: 407},
		outcome.RateLimited:        {Status: 429},
		outcome.Unavailable:        {Status: 503},
		outcome.Unreachable:        {ResetConnection: true},
	}
	for _, o := range outcome.All() {
		fault, isProduced := faults[o]
		switch reason := elsewhere[o]; {
		case isProduced == (reason != ""):
			t.Errorf("%s needs a fault of the emulator, or a reason why there is none", o)
		case isProduced:
			emulator, s := emulate(t)
			emulator.Inject(fault)
			if got := clientOf(t, s.url, s).Check(t.Context(), parse(t, goodToken)); got.Outcome != o {
				t.Errorf("%+v gives %s, want %s", fault, got.Outcome, o)
			}
		}
	}
}

func TestEveryFaultHasItsOutcome(t *testing.T) {
	const fits = `{"success":true}`
	padding := strings.Repeat(" ", outcome.MaxBody-len(fits))
	for _, tc := range []struct {
		sentence string
		fault    jupicotest.Fault
		want     outcome.Outcome
		detail   string
	}{
		{"a login page is no acceptance", jupicotest.Fault{HTML: true}, outcome.UnexpectedResponse, "HTTP 200 with HTML or XML"},
		{"a login page is no rejection", jupicotest.Fault{HTML: true, Status: 401}, outcome.UnexpectedResponse, "HTTP 401 with HTML or XML"},
		{"an empty body is an acceptance", jupicotest.Fault{NoBody: true}, outcome.Accepted, "HTTP 200"},
		{"an empty body is a rejection", jupicotest.Fault{NoBody: true, Status: 401}, outcome.Rejected, "HTTP 401"},
		{"a body of 64 KiB is read", jupicotest.Fault{Body: fits + padding}, outcome.Accepted, "HTTP 200"},
		{"a body over 64 KiB is not", jupicotest.Fault{Body: fits + padding + " "}, outcome.UnexpectedResponse, "HTTP 200 with a body over 64 KiB"},
		{"a body over 64 KiB is not waited for", jupicotest.Fault{Body: fits + padding + " ", Hang: true}, outcome.UnexpectedResponse, "HTTP 200 with a body over 64 KiB"},
		{"a body of 1 GiB", jupicotest.Fault{BodyBytes: 1 << 30}, outcome.UnexpectedResponse, "HTTP 200 with a body over 64 KiB"},
		{"a body of 1 GiB is no rejection", jupicotest.Fault{BodyBytes: 1 << 30, Status: 401}, outcome.UnexpectedResponse, "HTTP 401 with a body over 64 KiB"},
		{"broken JSON", jupicotest.Fault{Body: `{"success":`}, outcome.UnexpectedResponse, "HTTP 200 with JSON that does not parse"},
		{"success false", jupicotest.Fault{Body: `{"success":false}`}, outcome.UnexpectedResponse, `HTTP 200 with "success": false`},
		{"a firewall", jupicotest.Fault{Status: 403}, outcome.Forbidden, "HTTP 403 forbidden"},
		{"a 407 that is not a proxy's", jupicotest.Fault{Status: 407}, outcome.ProxyRefused, "HTTP 407"},
		{"too many requests", jupicotest.Fault{Status: 429}, outcome.RateLimited, "HTTP 429"},
		{"an outage", jupicotest.Fault{Status: 503}, outcome.Unavailable, "HTTP 503 service_unavailable"},
	} {
		t.Run(tc.sentence, func(t *testing.T) {
			emulator, s := emulate(t)
			emulator.Inject(tc.fault)
			got := clientOf(t, s.url, s).Check(t.Context(), parse(t, goodToken))
			wantResult(t, got, tc.want, tc.detail)
		})
	}
}

func TestALongBodyIsNotFetchedToItsEnd(t *testing.T) {
	const length, much = 1 << 30, 64 << 20 // what is on the way when the client hangs up is far less
	written := make(chan int64, 1)
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n, _ := io.CopyN(w, endless{}, length)
		written <- n
	}))
	got := clientOf(t, s.url, s).Check(t.Context(), parse(t, goodToken))
	if wantResult(t, got, outcome.UnexpectedResponse, "HTTP 200 with a body over 64 KiB"); t.Failed() {
		return
	}
	if n := <-written; n > much {
		t.Errorf("%d bytes were sent", n)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestALongHeaderIsNotRead(t *testing.T) {
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Long", strings.Repeat("x", 128<<10))
	}))
	got := clientOf(t, s.url, s).Check(t.Context(), parse(t, goodToken))
	wantResult(t, got, outcome.Unreachable, "the connection broke before an answer came")
}

func TestARedirectIsNeverFollowed(t *testing.T) {
	target, targetSite := emulate(t)
	for _, status := range []int{301, 302, 303, 307, 308} {
		for sentence, location := range map[string]string{
			"to another host":               targetSite.url + "/status",
			"to the same host":              "/elsewhere",
			"to what is not a URL":          "https://%zz/",
			"to plain HTTP":                 "http://" + targetSite.host + "/status",
			"to where the scheme is no URL": "javascript:alert(1)",
		} {
			t.Run(fmt.Sprintf("%d %s", status, sentence), func(t *testing.T) {
				emulator, s := emulate(t)
				emulator.Inject(jupicotest.Fault{Status: status, Redirect: location})
				got := clientOf(t, s.url, s, targetSite).Check(t.Context(), parse(t, goodToken))
				wantResult(t, got, outcome.UnexpectedResponse, fmt.Sprintf("HTTP %d", status))
				if n := emulator.Requests(); n != 1 {
					t.Errorf("the endpoint received %d requests, want 1", n)
				}
				if n := target.Requests(); n != 0 {
					t.Errorf("the redirect's target received %d requests, want none", n)
				}
			})
		}
	}
}

func TestRetryAfterIsReadInBothForms(t *testing.T) {
	check := func(fault jupicotest.Fault) outcome.Result {
		emulator, s := emulate(t)
		emulator.Inject(fault)
		return clientOf(t, s.url, s).Check(t.Context(), parse(t, goodToken))
	}
	for _, status := range []int{429, 503} {
		got := check(jupicotest.Fault{Status: status, RetryAfter: "120"})
		if got.RetryAfter != 2*time.Minute {
			t.Errorf("%d with seconds: %s, want 2m", status, got.RetryAfter)
		}
		date := time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)
		got = check(jupicotest.Fault{Status: status, RetryAfter: date})
		if got.RetryAfter <= 0 || got.RetryAfter > time.Hour {
			t.Errorf("%d with a date: %s, want up to 1h", status, got.RetryAfter)
		}
	}
	if got := check(jupicotest.Fault{RetryAfter: "120"}); got.RetryAfter != 0 {
		t.Errorf("an accepted check has a wait of %s", got.RetryAfter)
	}
}

func TestNeitherTheResponseNorTheTokenIsShown(t *testing.T) {
	secrets := []string{jupicotest.SensitiveMessage, goodToken, "Basic"}
	for word := range strings.FieldsSeq(jupicotest.SensitiveMessage) {
		if strings.ContainsAny(word, "@=") { // the rest are plain words
			secrets = append(secrets, word)
		}
	}
	for sentence, fault := range map[string]jupicotest.Fault{
		"in a rejection":             {Status: 401},
		"in a code of no document":   {Status: 401, Code: jupicotest.SensitiveMessage},
		"in a login page":            {HTML: true},
		"in a text":                  {Status: 500, Body: jupicotest.SensitiveMessage, ContentType: "text/plain"},
		"in a content type":          {ContentType: "text/html; title=" + goodToken},
		"in a wait":                  {Status: 429, RetryAfter: jupicotest.SensitiveMessage},
		"in a redirect":              {Redirect: "https://" + goodToken + "/"},
		"in a redirect to no URL":    {Redirect: "https://%zz/?" + goodToken},
		"in an answer with no end":   {Status: 200, Body: jupicotest.SensitiveMessage, ResetConnection: true},
		"in an answer of no JSON":    {Body: jupicotest.SensitiveMessage},
		"in an answer of no success": {Body: `{"success":false,"error":"` + jupicotest.SensitiveMessage + `"}`},
	} {
		t.Run(sentence, func(t *testing.T) {
			emulator, s := emulate(t)
			emulator.Inject(fault)
			got := fmt.Sprintf("%+v", clientOf(t, s.url, s).Check(t.Context(), parse(t, goodToken)))
			for _, secret := range secrets {
				if strings.Contains(got, secret) {
					t.Errorf("%s shows %q", got, secret)
				}
			}
		})
	}
}

func TestTheConnectionIsKeptForTheNextCheck(t *testing.T) {
	requests := make(chan received, 1)
	s := serve(t, receiver(requests))
	client := clientOf(t, s.url, s)
	from := map[string]bool{}
	for range 3 {
		mustAccept(t, client.Check(t.Context(), parse(t, goodToken)))
		request := <-requests
		from[request.from] = true
	}
	if len(from) != 1 {
		t.Errorf("3 checks came over %d connections", len(from))
	}
}

func TestIdleConnectionsAreLetGo(t *testing.T) {
	requests := make(chan received, 1)
	s := serve(t, receiver(requests))
	client := clientOf(t, s.url, s)
	mustAccept(t, client.Check(t.Context(), parse(t, goodToken)))
	first := <-requests
	client.CloseIdleConnections()
	mustAccept(t, client.Check(t.Context(), parse(t, goodToken)))
	if second := <-requests; second.from == first.from {
		t.Error("the second check came over the first one's connection")
	}
}

func TestACancelledCheckEndsAndTheNextOneWorks(t *testing.T) {
	emulator := jupicotest.New()
	emulator.AddKey(goodToken)
	arrived := make(chan struct{})
	var requests atomic.Int32
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if requests.Add(1) == 1 {
			close(arrived)
			<-r.Context().Done()
			return
		}
		emulator.ServeHTTP(w, r)
	}))
	client := clientOf(t, s.url, s)

	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-arrived
		cancel()
	}()
	got := client.Check(ctx, parse(t, goodToken))
	wantResult(t, got, outcome.Unreachable, "the connection broke before an answer came")
	wantResult(t, client.Check(t.Context(), parse(t, goodToken)), outcome.Accepted, "HTTP 200")
}

func TestAnAnswerThatComesAfterTheEndOfACheckDoesNotCount(t *testing.T) {
	_, s := emulate(t)
	client := clientOf(t, s.url, s)
	for range 10 { // whether the transport returns such an answer is a matter of chance
		ctx, cancel := context.WithCancel(t.Context())
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotFirstResponseByte: cancel})
		got := client.Check(ctx, parse(t, goodToken))
		cancel()
		wantResult(t, got, outcome.Unreachable, "the connection broke before an answer came")
	}
}

func TestAClientMayBeUsedByManyAtOnce(t *testing.T) {
	emulator, s := emulate(t)
	client := clientOf(t, s.url, s)
	want := map[string]outcome.Outcome{goodToken: outcome.Accepted, "unknown": outcome.Rejected}
	var users sync.WaitGroup
	for range 10 {
		for token := range maps.Keys(want) {
			checked := parse(t, token)
			users.Go(func() {
				if got := client.Check(t.Context(), checked); got.Outcome != want[token] {
					t.Errorf("got %s, want %s", got.Outcome, want[token])
				}
			})
		}
	}
	users.Wait()
	if got := emulator.Requests(); got != 20 {
		t.Errorf("%d requests were received, want 20", got)
	}
}

// hangUp is a handler that closes the connection instead of answering.
func hangUp(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

func TestARequestIsRepeatedOnceOnANewConnectionWhenAKeptOneWasClosed(t *testing.T) {
	var from []string
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from = append(from, r.RemoteAddr)
		if len(from) == 2 {
			hangUp(w, r)
		}
	}))
	client := clientOf(t, s.url, s)
	for i, attempts := range []int{1, 2, 1} {
		got := client.Check(t.Context(), parse(t, goodToken))
		if mustAccept(t, got); got.Attempts != attempts {
			t.Errorf("check %d took %d attempts, want %d", i, got.Attempts, attempts)
		}
	}
	if want := []string{from[0], from[0], from[2], from[2]}; !slices.Equal(from, want) || from[2] == from[0] {
		t.Errorf("the requests came from %q", from)
	}
}

func TestARequestIsSentTwiceAtMost(t *testing.T) {
	const kept = 10
	var requests atomic.Int32
	all := make(chan struct{})
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch n := requests.Add(1); {
		case n < kept:
			<-all // so that each check has a connection of its own
		case n == kept:
			close(all)
		default:
			hangUp(w, r)
		}
	}))
	client := clientOf(t, s.url, s)
	var checks sync.WaitGroup
	for range kept {
		checks.Go(func() { mustAccept(t, client.Check(t.Context(), parse(t, goodToken))) })
	}
	checks.Wait()
	got := client.Check(t.Context(), parse(t, goodToken))
	wantResult(t, got, outcome.Unreachable, "the connection broke before an answer came")
	if n := requests.Load() - kept; n != 2 || got.Attempts != 2 {
		t.Errorf("%d requests were received, and %d attempts reported", n, got.Attempts)
	}
}

func TestTheNextCheckMakesANewConnectionAfterAnOutage(t *testing.T) {
	for _, tc := range []struct {
		sentence string
		fault    jupicotest.Fault
		isKept   bool
	}{
		{"an acceptance", jupicotest.Fault{Status: 200}, true},
		{"a rejection", jupicotest.Fault{Status: 401}, true},
		{"a firewall", jupicotest.Fault{Status: 403}, true},
		{"too many requests", jupicotest.Fault{Status: 429}, true},
		{"an outage", jupicotest.Fault{Status: 503}, false},
		{"an outage with no body", jupicotest.Fault{Status: 503, NoBody: true}, false},
		{"an error", jupicotest.Fault{Status: 500}, false},
		{"a timeout", jupicotest.Fault{Status: 408}, false},
		{"a page", jupicotest.Fault{HTML: true}, false},
		{"another API", jupicotest.Fault{Status: 404}, false},
	} {
		t.Run(tc.sentence, func(t *testing.T) {
			emulator, from := jupicotest.New(), []string{}
			s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				from = append(from, r.RemoteAddr)
				emulator.ServeHTTP(w, r)
			}))
			client := clientOf(t, s.url, s)
			emulator.Inject(tc.fault)
			for range 2 {
				client.Check(t.Context(), parse(t, goodToken))
			}
			if isKept := from[0] == from[1]; isKept != tc.isKept {
				t.Errorf("the connection is kept: %t", isKept)
			}
		})
	}
}

func TestASwitchOfProtocolsEndsTheCheckAndTheConnection(t *testing.T) {
	closed := make(chan error, 1)
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		_, err = conn.Read(make([]byte, 1))
		closed <- err
	}))
	got := clientWith(t, s.url, trusting(s), time.Hour).Check(t.Context(), parse(t, goodToken))
	wantResult(t, got, outcome.UnexpectedResponse, "HTTP 101")
	if err := <-closed; err == nil {
		t.Error("the server received something more")
	}
}
