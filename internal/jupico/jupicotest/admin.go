// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package jupicotest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"time"
)

// maxCommandBytes bounds the body of a request to the admin API.
const maxCommandBytes = 1 << 20

// errUnknownName does not repeat the name, because the name of a key is the key.
var errUnknownName = errors.New("there is no account or key of that name")

// Admin returns an API to steer the emulator from another process. It authenticates nobody, so serve it on a loopback
// address only. Its answers hold no password and no token. Bodies are JSON, and so are answers: {"ok":true}, or
// {"error":"…"} with a sentence and status 404 for an unknown name, or 400.
//
//	POST   /accounts             {"username":"…","password":"…","forms":["Standard","TrailingNewline"]}
//	POST   /keys                 {"token":"…"}
//	POST   /revoke               {"name":"a username, or a key"}
//	POST   /restore              {"name":"…"}
//	POST   /state                {"name":"…","code":"auth_invalid_api_user"}   "": active
//	POST   /reset                the published account only
//	POST   /wipe                 no account at all
//	POST   /authenticate-nobody  {"on":true}
//	POST   /fault                {"latency":"1s","status":503}   the fields of Fault, with a small first letter
//	DELETE /fault
//	GET    /requests             answers {"total":1,"byFingerprint":{"…":1}}
//	GET    /healthz
func (e *Emulator) Admin() http.Handler {
	type named struct {
		Name string `json:"name"`
	}
	mux := http.NewServeMux()
	mux.Handle("POST /accounts", command(e.commandAccount))
	mux.Handle("POST /keys", command(e.commandKey))
	mux.Handle("POST /revoke", command(func(c named) error { return found(e.Revoke(c.Name)) }))
	mux.Handle("POST /restore", command(func(c named) error { return found(e.Restore(c.Name)) }))
	mux.Handle("POST /state", command(e.commandState))
	mux.Handle("POST /reset", action(e.Reset))
	mux.Handle("POST /wipe", action(e.Wipe))
	mux.Handle("POST /authenticate-nobody", command(e.commandAuthenticateNobody))
	mux.Handle("POST /fault", command(e.commandFault))
	mux.Handle("DELETE /fault", action(e.Clear))
	mux.HandleFunc("GET /requests", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, e.requestCounts())
	})
	mux.Handle("GET /healthz", action(func() {}))
	return mux
}

type accountCommand struct {
	Username string   `json:"username"`
	Password string   `json:"password"`
	Forms    []string `json:"forms"`
}

func (e *Emulator) commandAccount(c accountCommand) error {
	if c.Username == "" || strings.Contains(c.Username, ":") {
		return errors.New("username must be there, and without a colon")
	}
	if c.Password == "" {
		return errors.New("password must be there")
	}
	forms, err := ParseForms(c.Forms...)
	if err != nil {
		return fmt.Errorf("forms: %w", err)
	}
	e.AddAccount(c.Username, c.Password, forms)
	return nil
}

type keyCommand struct {
	Token string `json:"token"`
}

func (e *Emulator) commandKey(c keyCommand) error {
	if c.Token == "" {
		return errors.New("token must be there")
	}
	e.AddKey(c.Token)
	return nil
}

type stateCommand struct {
	Name string `json:"name"`
	Code string `json:"code"`
}

// commandState takes the documented codes only, unlike SetState, so that a slip of the pen does not go unnoticed.
func (e *Emulator) commandState(c stateCommand) error {
	var codes []string
	for _, documented := range documentedErrors {
		if c.Code == "" || c.Code == documented.code {
			return found(e.SetState(c.Name, c.Code))
		}
		codes = append(codes, documented.code)
	}
	return fmt.Errorf("code must be empty (active) or one of %s", strings.Join(codes, ", "))
}

type nobodyCommand struct {
	On *bool `json:"on"`
}

func (e *Emulator) commandAuthenticateNobody(c nobodyCommand) error {
	if c.On == nil {
		return errors.New("on must be there: true or false")
	}
	e.AuthenticateNobody(*c.On)
	return nil
}

type faultCommand struct {
	Fault
	Latency string `json:"latency"`
}

func (e *Emulator) commandFault(c faultCommand) error {
	f := c.Fault
	if c.Latency != "" {
		latency, err := time.ParseDuration(c.Latency)
		if err != nil {
			return errors.New(`latency must be a duration such as "1.5s"`)
		}
		f.Latency = latency
	}
	if err := f.validate(); err != nil {
		return err
	}
	e.Inject(f)
	return nil
}

type requestCounts struct {
	Total         int            `json:"total"`
	ByFingerprint map[string]int `json:"byFingerprint"`
}

func (e *Emulator) requestCounts() requestCounts {
	e.mu.Lock()
	defer e.mu.Unlock()
	return requestCounts{Total: e.total, ByFingerprint: maps.Clone(e.byFingerprint)}
}

// command returns a handler that reads a C from the body and does what it asks for.
func command[C any](do func(C) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var c C
		err := decode(http.MaxBytesReader(w, r.Body, maxCommandBytes), &c)
		if err == nil {
			err = do(c)
		}
		writeOutcome(w, err)
	})
}

// action returns a handler that does something that needs no body.
func action(do func()) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		do()
		writeOutcome(w, nil)
	})
}

// decode reads exactly one JSON object. The errors of encoding/json name fields but never hold the value of a string,
// so they can be answered.
func decode(body io.Reader, into any) error {
	decoder := json.NewDecoder(body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return fmt.Errorf("the body must be the JSON object that is documented: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("the body must be one JSON object, and something follows it")
	}
	return nil
}

func found(known bool) error {
	if !known {
		return errUnknownName
	}
	return nil
}

func writeOutcome(w http.ResponseWriter, err error) {
	switch {
	case err == nil:
		writeJSON(w, http.StatusOK, map[string]bool{"ok": true})
	case errors.Is(err, errUnknownName):
		writeJSON(w, http.StatusNotFound, map[string]string{"error": err.Error()})
	default:
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
	}
}
