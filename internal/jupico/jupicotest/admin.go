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
	"slices"
	"strings"
	"time"
)

// errUnknownName does not contain the name, because the name of a key is the key itself.
var errUnknownName = errors.New("there is no account or key with that name")

// Admin returns an API that controls the emulator from another process. It authenticates nobody, so serve it only on a
// loopback address. Requests and answers are JSON. An answer is {"ok":true} or, with the status 404 for an unknown name
// and else 400, {"error":"…"} with a sentence. No answer contains a password or a token. GET / lists the commands.
func (e *Emulator) Admin() http.Handler {
	mux := http.NewServeMux()
	for _, c := range e.adminCommands() {
		mux.Handle(c.route, c.handler)
	}
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, AdminHelp()) // the client may be gone
	})
	return mux
}

// AdminHelp lists the commands of the admin API.
func AdminHelp() string {
	var help strings.Builder
	help.WriteString("Commands of the admin API, which is plain HTTP. Send a body with curl -d.\n\n")
	for _, c := range (&Emulator{}).adminCommands() {
		_, _ = fmt.Fprintf(&help, "%s %s\n    %s\n", c.route, c.body, c.does)
	}
	return help.String()
}

// adminCommand is a command of the admin API.
type adminCommand struct {
	route string
	body  string // an example
	does  string
	// handler carries it out.
	handler http.Handler
}

func (e *Emulator) adminCommands() []adminCommand {
	type named struct{ Name string }
	return []adminCommand{
		{"POST /accounts", `{"username":"me","password":"secret","forms":["Standard"]}`,
			"Adds an account. Its token has the form Standard, TrailingNewline, or both.", command(e.commandAccount)},
		{"POST /keys", `{"token":"bWU6c2VjcmV0"}`, "Adds an API key.", command(e.commandKey)},
		{"POST /revoke", `{"name":"me"}`, "Rejects the account of this username, or this key.",
			command(func(c named) error { return found(e.Revoke(c.Name)) })},
		{"POST /restore", `{"name":"me"}`, "Accepts it again.",
			command(func(c named) error { return found(e.Restore(c.Name)) })},
		{"POST /state", `{"name":"me","code":"auth_invalid_api_user"}`,
			"Answers it with a documented error code. An empty code makes it active again.", command(e.commandState)},
		{"POST /reset", "", "Removes all but the published account, as the daily reset does.", action(e.Reset)},
		{"POST /wipe", "", "Removes every account.", action(e.Wipe)},
		{"POST /authenticate-nobody", `{"on":true}`, "Accepts every token.", command(e.commandAuthenticateNobody)},
		{"POST /fault", `{"status":503,"latency":"1s","times":3}`,
			"Answers otherwise than the API would. The fields are those of Fault, beginning with a small letter.",
			command(e.commandFault)},
		{"DELETE /fault", "", "Ends the fault.", action(e.Clear)},
		{"GET /requests", "", `Counts the requests: {"total":1,"byFingerprint":{"…":1}}.`,
			http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				writeJSON(w, http.StatusOK, e.requestCounts())
			})},
		{"GET /healthz", "", "Answers while the emulator serves.", action(func() {})},
	}
}

func (e *Emulator) commandKey(c struct{ Token string }) error {
	if c.Token == "" {
		return errors.New("token is required")
	}
	e.AddKey(c.Token)
	return nil
}

func (e *Emulator) commandAuthenticateNobody(c struct{ On *bool }) error {
	if c.On == nil {
		return errors.New("on is required: true or false")
	}
	e.AuthenticateNobody(*c.On)
	return nil
}

type accountCommand struct {
	Username string   `json:"username"`
	Password string   `json:"password"`
	Forms    []string `json:"forms"`
}

func (e *Emulator) commandAccount(c accountCommand) error {
	if c.Username == "" || strings.Contains(c.Username, ":") {
		return errors.New("username is required, and must not contain a colon")
	}
	if c.Password == "" {
		return errors.New("password is required")
	}
	forms, err := ParseForms(c.Forms...)
	if err != nil {
		return fmt.Errorf("forms: %w", err)
	}
	e.AddAccount(c.Username, c.Password, forms)
	return nil
}

// commandState accepts only documented codes, unlike SetState, so that nobody overlooks a typing error.
func (e *Emulator) commandState(c struct{ Name, Code string }) error {
	var codes []string
	for _, status := range slices.Sorted(maps.Keys(documentedCodes)) {
		codes = append(codes, documentedCodes[status]...)
	}
	if c.Code != "" && !slices.Contains(codes, c.Code) {
		return fmt.Errorf("code must be empty (active) or one of %s", strings.Join(codes, ", "))
	}
	return found(e.SetState(c.Name, c.Code))
}

type faultCommand struct {
	Fault
	Latency string `json:"latency"`
}

func (e *Emulator) commandFault(c faultCommand) (err error) {
	if c.Latency != "" {
		if c.Fault.Latency, err = time.ParseDuration(c.Latency); err != nil {
			return errors.New(`latency must be a duration such as "1.5s"`)
		}
	}
	return e.inject(c.Fault)
}

// command returns a handler that reads exactly one JSON object from the body and passes it to execute. The errors of
// encoding/json contain names of fields but never the value of a string, so they may be part of an answer.
func command[C any](execute func(C) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var c C
		decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20))
		decoder.DisallowUnknownFields()
		err := decoder.Decode(&c)
		if err != nil {
			err = fmt.Errorf("the body must be the documented JSON object: %w", err)
		} else if _, next := decoder.Token(); !errors.Is(next, io.EOF) {
			err = errors.New("the body must be one JSON object, but something follows it")
		} else {
			err = execute(c)
		}
		writeOutcome(w, err)
	})
}

// action returns a handler that calls execute, which needs no body.
func action(execute func()) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		execute()
		writeOutcome(w, nil)
	})
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

// writeJSON ignores write errors: they mean that the client is gone.
func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
