// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package checker

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jupico-operator/jupico-operator/internal/check"
	"github.com/jupico-operator/jupico-operator/internal/jupico/endpoint"
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

// replaceable is an API that answers as the emulator does until something else takes its place.
type replaceable struct {
	by atomic.Pointer[http.HandlerFunc]
}

func (r *replaceable) wrap(api http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		if other := r.by.Load(); other != nil {
			(*other)(w, request)
			return
		}
		api.ServeHTTP(w, request)
	})
}

// answerAll is a server that answers everybody with the same.
func answerAll(status int, contentType string, body []byte) *http.HandlerFunc {
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = []string{contentType}
		w.WriteHeader(status)
		_, _ = w.Write(body)
	})
	return &handler
}

// acceptGood is a server that accepts goodToken with a body of a type.
func acceptGood(contentType string) *http.HandlerFunc {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Basic "+goodToken {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", contentType)
		_, _ = io.WriteString(w, "OK")
	})
	return &handler
}

func zipped(text string) []byte {
	var buffer bytes.Buffer
	writer := gzip.NewWriter(&buffer)
	_, _ = io.WriteString(writer, text)
	_ = writer.Close()
	return buffer.Bytes()
}

const signIn = "<!DOCTYPE html><title>Sign in</title>"

// strangers take the place of an API, and accept everybody, in ways that do not say so.
var strangers = map[string]*http.HandlerFunc{
	"a page":                                answerAll(200, "text/html", []byte(signIn)),
	"a page with a parameter given twice":   answerAll(200, "text/html; charset=utf-8; charset=UTF-8", []byte(signIn)),
	"a page of plain text":                  answerAll(200, "text/plain", []byte(signIn)),
	"a page of JSON":                        answerAll(200, "application/json", []byte(signIn)),
	"a page of no type":                     answerAll(200, "", []byte(signIn)),
	"a page after a byte order mark":        answerAll(200, "text/plain", []byte("\uFEFF"+signIn)),
	"a page that is compressed":             answerAll(200, "text/plain", zipped(signIn)),
	"words":                                 answerAll(200, "text/plain", []byte("Please sign in")),
	"words that are compressed":             answerAll(200, "application/octet-stream", zipped("Please sign in")),
	"nothing":                               answerAll(200, "", nil),
	"nothing with 204":                      answerAll(204, "application/json", nil),
	"JSON of another status":                answerAll(201, "application/json", []byte(`{"success":true}`)),
	"JSON of another type":                  answerAll(200, "text/json", []byte(`{"success":true}`)),
	"a JSON array":                          answerAll(200, "application/json", []byte(`[]`)),
	"a role that lacks permissions":         answerAll(401, "application/json", []byte(`{"code":"auth_invalid_role"}`)),
	"JSON that is just like the API's":      answerAll(200, "application/json", []byte(`{"success":true}`)),
	"JSON that is just like it, compressed": answerAll(200, "application/json", zipped(`{"success":true}`)),
}

func TestAStrangerInTheAPIsPlaceProvesNothingForADelivery(t *testing.T) {
	for sentence, stranger := range strangers {
		t.Run(sentence, func(t *testing.T) {
			var api replaceable
			f := start(t, api.wrap)
			f.wantCheck(outcome.Accepted, "HTTP 200")
			f.advance(time.Millisecond)
			api.by.Store(stranger)
			edited := check.Request{Token: someTokens(t, 1)[0], ForDelivery: true, Edited: f.clock.Now()}
			if answer := f.ask(edited); answer.Outcome.IsEvidence() {
				t.Errorf("a wrong token has the answer %+v", answer)
			}
		})
	}
}

func TestAStrangerThatAnswersInAnotherWayProvesNothingAtAll(t *testing.T) {
	for sentence, stranger := range strangers {
		if strings.Contains(sentence, "just like") {
			continue
		}
		t.Run(sentence, func(t *testing.T) {
			var api replaceable
			f := start(t, api.wrap)
			f.wantCheck(outcome.Accepted, "HTTP 200")
			f.advance(time.Millisecond)
			api.by.Store(stranger)
			if got := f.check(f.at); got.Outcome.IsEvidence() {
				t.Errorf("the answer is %+v", got)
			}
			if f.gauge("jupico_endpoint_authenticates") != 0 && !strings.Contains(sentence, "page") {
				t.Error("no metric says so")
			}
			api.by.Store(nil)
			f.wantCheck(outcome.Accepted, "HTTP 200")
		})
	}
}

func TestAFirstAcceptanceLongAfterTheControlProvesNothing(t *testing.T) {
	var api replaceable
	f := start(t, api.wrap)
	wrong := someTokens(t, 2)
	wantResult(t, f.ask(check.Request{Token: wrong[0]}).Result, outcome.Rejected, "HTTP 401 auth_invalid_api_token")
	f.advance(deliveryControlAge)
	api.by.Store(strangers["words"])
	if answer := f.ask(check.Request{Token: wrong[1]}); answer.Outcome.IsEvidence() {
		t.Errorf("a wrong token has the answer %+v", answer)
	}
}

func TestAnAPIThatAnswersInANewWayIsBelievedAfterAControl(t *testing.T) {
	var api replaceable
	f := start(t, api.wrap)
	f.wantCheck(outcome.Accepted, "HTTP 200")
	f.advance(time.Minute)
	api.by.Store(acceptGood("text/plain"))
	f.wantCheck(outcome.Accepted, "HTTP 200")
	f.advance(time.Minute)
	api.by.Store(nil)
	f.wantCheck(outcome.Accepted, "HTTP 200")
}

func TestAnAPIThatAnswersInTwoWaysNeedsTwoControls(t *testing.T) {
	var api replaceable
	f := start(t, api.wrap)
	other := someTokens(t, 1)[0]
	var controls atomic.Int32
	twoWays := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Header.Get("Authorization") {
		case "Basic " + goodToken:
			(*answerAll(200, "application/json", []byte(`{"success":true}`)))(w, r)
		case other.Authorization():
			(*answerAll(200, "text/plain", []byte("OK")))(w, r)
		default:
			controls.Add(1)
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	api.by.Store(&twoWays)
	for range 10 {
		wantResult(t, f.ask(check.Request{}).Result, outcome.Accepted, "HTTP 200")
		wantResult(t, f.ask(check.Request{Token: other}).Result, outcome.Accepted, "HTTP 200")
		f.advance(acceptanceTTL)
	}
	if n := controls.Load(); n != 2 {
		t.Errorf("%d random tokens were sent", n)
	}
}

func TestANewWayIsBelievedInOneRoundHoweverManyWait(t *testing.T) {
	var api replaceable
	f := start(t, api.wrap)
	f.use(Options{QPS: 1, Burst: 2, Workers: 10})
	f.wantCheck(outcome.Accepted, "HTTP 200")
	f.advance(10 * time.Second)
	api.by.Store(acceptGood("text/plain"))
	f.wantCheck(outcome.Accepted, "HTTP 200")
}

func TestAnAcceptanceToBeDeliveredFollowsARefusal(t *testing.T) {
	f := start(t)
	deliver := check.Request{ForDelivery: true}
	want := func(sentence string, request check.Request, controls, checks int) {
		t.Helper()
		answer := f.ask(request)
		wantResult(t, answer.Result, outcome.Accepted, "HTTP 200")
		if age := answer.Began.Sub(answer.ControlledAt); age < 0 || request.ForDelivery && age >= deliveryControlAge {
			t.Errorf("%s: the refusal is %s older than the check", sentence, age)
		}
		f.wantRequests(controls, checks)
	}
	want("at first", deliver, 1, 1)
	want("again", deliver, 1, 1)
	f.advance(deliveryControlAge - 1)
	want("a moment before the refusal is too old", deliver, 1, 1)
	f.advance(1)
	want("when it is too old", deliver, 2, 2)
	f.advance(time.Minute)
	want("not for a delivery", check.Request{}, 2, 3)
	want("an acceptance that is shared, but with an old refusal", deliver, 3, 4)
}

func TestManyDeliveriesShareOneControl(t *testing.T) {
	f := start(t)
	tokens := f.accepted(50)
	f.advance(time.Hour)
	received := f.Requests()
	for i := range tokens {
		tokens[i].ForDelivery = true
	}
	for _, answer := range f.together(tokens) {
		if answer.RetryAt.IsZero() && answer.Outcome != outcome.Accepted {
			t.Errorf("got %+v", answer)
		}
	}
	for _, token := range tokens {
		wantResult(t, f.ask(token).Result, outcome.Accepted, "HTTP 200")
	}
	if n := f.Requests() - received; n != 51 {
		t.Errorf("%d requests were sent for 50 deliveries", n)
	}
}

// startWithAnOldControl returns an endpoint that was proven a minute ago.
func startWithAnOldControl(t *testing.T) (*fixture, *holdBack) {
	t.Helper()
	hold := newHoldBack()
	f := start(t, hold.wrap)
	first := f.begin(check.Request{})
	<-hold.arrived <- accept
	<-first
	f.advance(time.Minute)
	return f, hold
}

func TestACheckUnderWayServesADeliveryOnlyIfARefusalPrecededIt(t *testing.T) {
	f, hold := startWithAnOldControl(t)
	routine := f.begin(check.Request{})
	call := <-hold.arrived
	delivery := f.begin(check.Request{ForDelivery: true})
	<-hold.arrived <- refuse
	wantResult(t, (<-delivery).Result, outcome.Rejected, "HTTP 401")
	call <- accept
	wantResult(t, (<-routine).Result, outcome.Accepted, "HTTP 200")
	f.wantRequests(2, 0)
}

func TestAControlThatBeganBeforeAnEditDoesNotCountForIt(t *testing.T) {
	hold := newHoldBack()
	hold.all.Store(true)
	f := start(t, hold.wrap)
	f.begin(check.Request{})
	control := <-hold.arrived
	f.advance(time.Second)
	edited := f.begin(check.Request{Token: someTokens(t, 1)[0], ForDelivery: true, Edited: f.clock.Now()})
	control <- refuse
	go func() { // from now on, something else accepts everybody
		for {
			select {
			case answer := <-hold.arrived:
				answer <- accept
			case <-t.Context().Done():
				return
			}
		}
	}()
	if answer := <-edited; answer.Outcome != outcome.EndpointDoesNotAuthenticate {
		t.Errorf("a wrong token has the answer %+v", answer)
	}
}

func TestAnEndpointThatAnswersInEverNewWaysIsNotRemembered(t *testing.T) {
	var api replaceable
	f := start(t, api.wrap)
	most := 0
	for i := range 5 * maxShapes {
		api.by.Store(acceptGood(fmt.Sprintf("text/x-%d", i)))
		f.wantCheck(outcome.Accepted, "HTTP 200")
		f.advance(time.Minute)
		most = max(most, len(f.checker.site(f.at.URL).find(f.at.CA).control.known.shapes))
	}
	if most != maxShapes {
		t.Errorf("%d shapes are remembered", most)
	}
}

func TestACheckUnderWayServesNoDeliveryOnceItsRefusalIsTooOld(t *testing.T) {
	hold := newHoldBack()
	f := start(t, hold.wrap)
	first := f.begin(check.Request{})
	<-hold.arrived <- accept
	<-first
	f.advance(deliveryControlAge - 1)
	routine := f.begin(check.Request{NotBefore: f.clock.Now()})
	call := <-hold.arrived
	f.advance(1)
	delivery := f.begin(check.Request{ForDelivery: true})
	<-hold.arrived <- refuse // a request of its own, after another control
	wantResult(t, (<-delivery).Result, outcome.Rejected, "HTTP 401")
	call <- accept
	wantResult(t, (<-routine).Result, outcome.Accepted, "HTTP 200")
	f.wantRequests(2, 0)
}

func TestAnAcceptanceOfABygoneWayIsRepeatedUnderTheControlThatPassedMeanwhile(t *testing.T) {
	f, hold := startWithAnOldControl(t)
	routine := f.begin(check.Request{})
	straggler := <-hold.arrived
	delivery := f.begin(check.Request{ForDelivery: true})
	<-hold.arrived <- accept
	wantResult(t, (<-delivery).Result, outcome.Accepted, "HTTP 200")
	straggler <- func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "OK") }
	wantResult(t, (<-routine).Result, outcome.Accepted, "HTTP 200") // shared
	f.advance(acceptanceTTL)
	next := f.begin(check.Request{})
	<-hold.arrived <- accept
	wantResult(t, (<-next).Result, outcome.Accepted, "HTTP 200")
	f.wantRequests(2, 0)
}

func TestAnAcceptanceDuringAControlThatFailsProvesNothing(t *testing.T) {
	f, hold := startWithAnOldControl(t)
	routine := f.begin(check.Request{})
	call := <-hold.arrived
	f.AuthenticateNobody(true)
	delivery := f.ask(check.Request{Token: someTokens(t, 1)[0], ForDelivery: true})
	if delivery.Outcome != outcome.EndpointDoesNotAuthenticate {
		t.Errorf("the control came to %+v", delivery)
	}
	call <- accept
	if answer := <-routine; answer.Outcome != outcome.EndpointDoesNotAuthenticate {
		t.Errorf("the check came to %+v", answer)
	}
}

func TestAnAcceptanceAnswersNobodyAfterARandomTokenWasAcceptedToo(t *testing.T) {
	f := start(t)
	delivery := check.Request{ForDelivery: true}
	wantResult(t, f.ask(delivery).Result, outcome.Accepted, "HTTP 200")
	f.advance(time.Second)
	f.AuthenticateNobody(true)
	edited := check.Request{Token: someTokens(t, 1)[0], ForDelivery: true, Edited: f.clock.Now()}
	wantResult(t, f.ask(edited).Result, outcome.EndpointDoesNotAuthenticate, "HTTP 200")
	for _, request := range []check.Request{delivery, {}} {
		wantResult(t, f.ask(request).Result, outcome.EndpointDoesNotAuthenticate, "HTTP 200")
	}
}

func TestAnAcceptanceDuringAControlThatFailsProvesNothingThoughAnotherPasses(t *testing.T) {
	f, hold := startWithAnOldControl(t)
	routine := f.begin(check.Request{})
	call := <-hold.arrived
	other := check.Request{Token: someTokens(t, 1)[0], ForDelivery: true}
	f.AuthenticateNobody(true)
	wantResult(t, f.ask(other).Result, outcome.EndpointDoesNotAuthenticate, "HTTP 200")
	f.AuthenticateNobody(false)
	f.advance(time.Second)
	wantResult(t, f.ask(other).Result, outcome.Rejected, "HTTP 401 auth_invalid_api_token")
	call <- accept
	select {
	case repeated := <-hold.arrived:
		repeated <- refuse
		wantResult(t, (<-routine).Result, outcome.Rejected, "HTTP 401")
	case answer := <-routine:
		t.Errorf("the check was not repeated, but answered %+v", answer)
	}
}

func TestChecksThatAreRepeatedDoNotExceedTheLimitByMuch(t *testing.T) {
	const callers = 40
	var sent, kinds atomic.Int32
	f := start(t, func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			sent.Add(1)
			if !strings.Contains(r.Header.Get("Authorization"), "a2V5LW51bWJlci") { // of someTokens
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			(*answerAll(200, fmt.Sprintf("text/x-%d", kinds.Add(1)), []byte("OK")))(w, r)
		})
	})
	f.use(Options{QPS: 1, Burst: callers + 1, Workers: 2 * callers})
	requests := make([]check.Request, callers)
	for i, token := range someTokens(t, callers) {
		requests[i].Token = token
	}
	f.together(requests)
	if n := sent.Load(); n > 3*callers {
		t.Errorf("%d requests were sent for %d checks", n, callers)
	}
}

func TestAControlNeedsAPlaceLikeAnyOther(t *testing.T) {
	hold := newHoldBack()
	f := start(t, hold.wrap)
	f.use(Options{QPS: 1000, Burst: 1000, Workers: 2})
	first := f.begin(check.Request{})
	call := <-hold.arrived
	other := f.ask(check.Request{Endpoint: endpoint.Endpoint{URL: f.at.URL, CA: f.at.CA + "\n"}})
	if other.RetryAt.IsZero() {
		t.Errorf("got %+v", other)
	}
	f.wantRequests(1, 0)
	call <- accept
	<-first
}
