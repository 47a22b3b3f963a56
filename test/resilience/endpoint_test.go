// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package resilience

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/gomega"

	"github.com/jupico-operator/jupico-operator/internal/check"
	"github.com/jupico-operator/jupico-operator/internal/jupico/jupicotest"
)

// login is a username and a password.
type login struct{ username, password string }

func (l login) data() map[string][]byte {
	return map[string][]byte{"username": []byte(l.username), "password": []byte(l.password)}
}

// The credentials of every world. Its APIs know all of them but wrong.
var (
	first  = login{"first", "password-1"}
	second = login{"second", "password-2"}
	wrong  = login{"first", "password-wrong"}
)

const apiKey = "c3RhbmRieS1rZXk6MQ=="

// endpointServer serves the APIs of all worlds on one port, each under a base URL of its own.
type endpointServer struct {
	server *httptest.Server
	ca     *jupicotest.CA

	mu    sync.Mutex
	apis  map[string]*api // by the first part of the path
	count int
}

func newEndpointServer() *endpointServer {
	ca, err := jupicotest.NewCA()
	Expect(err).NotTo(HaveOccurred())
	s := &endpointServer{ca: ca, apis: map[string]*api{}}
	s.server = jupicotest.NewServer(s, ca)
	return s
}

// ServeHTTP implements http.Handler.
func (s *endpointServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	s.mu.Lock()
	served := s.apis[name]
	s.mu.Unlock()
	if served == nil {
		http.NotFound(w, r)
		return
	}
	http.StripPrefix("/"+name, served).ServeHTTP(w, r)
}

// api is an emulator of Jupico's API that remembers what it said about each token.
type api struct {
	*jupicotest.Emulator
	world *world
	name  string
	url   string

	mu       sync.Mutex
	verdicts map[string]apiVerdict
	accepted map[string]bool // the tokens that were ever accepted
	// rejections are when each operator's tokens were rejected, by the operator's name and the token.
	rejections map[string][]time.Time
	requests   int
}

// apiVerdict is the last evidence about a token.
type apiVerdict struct {
	isAccepted bool
	at         time.Time
}

func (s *endpointServer) add(w *world) *api {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count++
	name := fmt.Sprintf("api%d", s.count)
	a := &api{
		Emulator: jupicotest.New(), world: w, name: name, url: s.server.URL + "/" + name,
		verdicts: map[string]apiVerdict{}, accepted: map[string]bool{},
		rejections: map[string][]time.Time{},
	}
	a.open()
	s.apis[name] = a
	return a
}

// remove ends an API, and all requests that wait for it.
func (s *endpointServer) remove(a *api) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.apis, a.name)
	a.Close()
}

// open makes the accounts and the key that the world's credentials are for.
func (a *api) open() {
	a.AddAccount(first.username, first.password, jupicotest.Standard)
	a.AddAccount(second.username, second.password, jupicotest.Standard)
	a.AddKey(apiKey)
}

// ServeHTTP implements http.Handler. What an operator sends that is dead by now does not arrive.
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o := a.world.operatorNamed(r.UserAgent())
	if o == nil || o.isDead() {
		panic(http.ErrAbortHandler)
	}
	o.begin()
	defer o.end()
	o.line.waitForRelease()
	answer := &statusWriter{ResponseWriter: w}
	a.Emulator.ServeHTTP(answer, r)
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Basic ")
	if a.world.isPlanted(token) {
		a.world.violated("an operator sent a token that somebody else put into a target")
	}
	a.note(o, token, answer.status)
}

func (a *api) note(o *operator, token string, status int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.world.clock.Now()
	a.requests++
	switch status {
	case http.StatusOK:
		a.verdicts[token], a.accepted[token] = apiVerdict{true, now}, true
	case http.StatusUnauthorized:
		a.verdicts[token] = apiVerdict{false, now}
		key := o.name + " " + token
		a.rejections[key] = append(a.rejections[key], now)
	}
}

// verdict is the last evidence about a token.
func (a *api) verdict(token string) apiVerdict {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.verdicts[token]
}

func (a *api) hasAccepted(token string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.accepted[token]
}

// attempts is how often a token may be rejected in attemptsIn: once, and once more to confirm it.
const (
	attempts   = 2
	attemptsIn = check.ShortestBackoff - time.Second // times in a status have whole seconds
)

// tooOften names the operators that sent a rejected token again and again.
func (a *api) tooOften() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var found []string
	for key, times := range a.rejections {
		for i := attempts; i < len(times); i++ {
			if in := times[i].Sub(times[i-attempts]); in < attemptsIn {
				found = append(found, fmt.Sprintf("%s was rejected %d times in %s", key, attempts+1, in))
				break
			}
		}
	}
	return found
}

// statusWriter remembers the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}
