// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/jupico-operator/jupico-operator/internal/credential"
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

// answers holds the answers to the five questions.
type answers struct {
	standard, newline, random, noHeader, noContentType answer
}

func (a answers) inOrder() []answer {
	return []answer{a.standard, a.newline, a.random, a.noHeader, a.noContentType}
}

// answer is the answer to one question: a response, or an error if there was none.
type answer struct {
	question    string
	incomplete  bool // the request lacked a header on purpose
	result      outcome.Result
	contentType string
	err         error
}

func (a answer) String() string {
	if a.err != nil {
		return fmt.Sprintf("no answer (%v)", a.err)
	}
	if a.incomplete { // the operator's outcomes are for complete requests
		return fmt.Sprintf("%s, %s", a.result.Detail, a.contentType)
	}
	return fmt.Sprintf("%s (%s, %s)", a.result.Outcome, a.result.Detail, a.contentType)
}

func (a answer) accepted() bool {
	return a.err == nil && a.result.Outcome.Class() == outcome.Acceptance
}
func (a answer) rejected() bool { return a.err == nil && a.result.Outcome.Class() == outcome.Rejection }

// hasCode says whether the answer carries that documented error code.
func (a answer) hasCode(code string) bool { return strings.HasSuffix(a.result.Detail, " "+code) }

// ask sends the five requests.
func ask(ctx context.Context, client *http.Client, baseURL string, login credential.Credential) answers {
	standard, newline := login.Token(credential.Standard), login.Token(credential.TrailingNewline)
	get := func(question string, header http.Header) answer {
		a := send(ctx, client, baseURL, header)
		a.question, a.incomplete = question, len(header) < len(headerFor(standard))
		return a
	}
	return answers{
		standard:      get("login, RFC 7617 form:", headerFor(standard)),
		newline:       get("login, newline form:", headerFor(newline)),
		random:        get("random token:", headerFor(credential.RandomToken())),
		noHeader:      get("no Authorization header:", without(headerFor(standard), "Authorization")),
		noContentType: get("no content type:", without(headerFor(standard), "Content-Type")),
	}
}

// headerFor returns the headers that the operator sends.
func headerFor(token credential.Token) http.Header {
	return http.Header{
		"Authorization": {token.Authorization()},
		"Content-Type":  {"application/json"},
		"User-Agent":    {"jupico-operator/livecheck"},
	}
}

func without(header http.Header, name string) http.Header {
	header.Del(name)
	return header
}

func send(ctx context.Context, client *http.Client, baseURL string, header http.Header) answer {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, baseURL+"/status", http.NoBody)
	if err != nil {
		return answer{err: err}
	}
	request.Header = header
	response, err := client.Do(request)
	if err != nil {
		if wrapped, ok := errors.AsType[*url.Error](err); ok { // the full error would repeat the URL in every line
			err = wrapped.Err
		}
		return answer{err: err}
	}
	defer response.Body.Close() //nolint:errcheck // there is nothing left to read
	body, err := io.ReadAll(io.LimitReader(response.Body, outcome.MaxBody+1))
	if err != nil {
		return answer{err: err}
	}
	now := time.Now()
	return answer{contentType: mediaType(response), result: outcome.Classify(outcome.Response{
		Status:      response.StatusCode,
		ContentType: response.Header.Get("Content-Type"),
		Body:        body,
	}, now)}
}

// mediaType returns the media type without parameters. It returns no other text from the response, which could be
// sensitive.
func mediaType(response *http.Response) string {
	declared := response.Header.Get("Content-Type")
	if declared == "" {
		return "no content type"
	}
	name, _, err := mime.ParseMediaType(declared)
	if err != nil || len(name) > 64 {
		return "an invalid content type"
	}
	return name
}

// conclude says in a few sentences what the answers mean, and whether the endpoint accepts the login and rejects a
// random token.
func conclude(a answers) (string, bool) {
	for _, one := range a.inOrder() {
		if one.err != nil {
			return "No conclusion: not every request was answered.", false
		}
	}
	if a.random.accepted() {
		return "The endpoint accepts a random token, so nothing that it accepts is proven.", false
	}
	if !a.random.rejected() {
		return "No conclusion: a random token was not rejected as documented, so something other than the API may have " +
			"answered (a firewall, a proxy, an allow list of addresses).", false
	}
	sentences := []string{"The endpoint rejects a random token, so an acceptance proves a token."}
	switch {
	case a.standard.accepted() && a.newline.accepted():
		sentences = append(sentences, "It accepts the login in both forms.")
	case a.standard.accepted():
		sentences = append(sentences, "It accepts the login in the RFC 7617 form only.")
	case a.newline.accepted():
		sentences = append(sentences, "It accepts the login in the newline form only.")
	default:
		sentences = append(sentences, "It accepts the login in neither form: it may be wrong or revoked.")
	}
	sentences = append(sentences,
		documented("no Authorization header", a.noHeader, "auth_header_not_present"),
		documented("no content type", a.noContentType, "auth_invalid_content_type"))
	return strings.Join(sentences, "\n"), a.standard.accepted() || a.newline.accepted()
}

func documented(what string, a answer, code string) string {
	if a.hasCode(code) {
		return fmt.Sprintf("It answers %s to a request with %s, as documented.", code, what)
	}
	return fmt.Sprintf("It does not answer %s to a request with %s, although that is documented.", code, what)
}
