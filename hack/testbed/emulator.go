// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package testbed

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/jupico-operator/jupico-operator/hack/process"
)

// Emulator is the process of an emulator of Jupico's API. The zero Emulator was never started.
type Emulator struct {
	*process.Process

	URL      string // base URL of the API
	AdminURL string // base URL of the admin API
	CAFile   string // certificate of the authority that signed the API's
}

// startTimeout is long enough for a machine that is busy with other things. Usually it takes milliseconds.
const startTimeout = time.Minute

var (
	servingAPI   = regexp.MustCompile(`(?m)^Serving the API on (\S+)$`)
	servingAdmin = regexp.MustCompile(`(?m)^Serving the admin API on (\S+)$`)
)

// StartEmulator starts the program on free ports. Its files are in a directory.
func StartEmulator(ctx context.Context, program, directory string) (Emulator, error) {
	e := Emulator{CAFile: filepath.Join(directory, "emulator-ca.crt")}
	var err error
	e.Process, err = process.Start("the emulator", filepath.Join(directory, "emulator.log"), nil, program,
		"--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0", "--ca-file="+e.CAFile)
	if err != nil {
		return e, err
	}
	err = wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, startTimeout, true,
		func(context.Context) (bool, error) {
			log := e.Tail(10)
			api, admin := servingAPI.FindSubmatch(log), servingAdmin.FindSubmatch(log)
			if api == nil || admin == nil {
				return false, e.Failure()
			}
			e.URL, e.AdminURL = string(api[1]), string(admin[1])
			return true, nil
		})
	return e, err
}

// Command sends a command to the admin API, such as "/reset".
func (e Emulator) Command(ctx context.Context, path, body string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, e.AdminURL+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	_, err = Fetch(keepsConnections, request)
	return err
}

// keepsConnections has one for each of the requests that are made in parallel.
var keepsConnections = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}

// Get returns what a URL answers, which must be 200 OK.
func Get(ctx context.Context, url string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	return Fetch(keepsConnections, request)
}

// Fetch returns the body of an answer, which must be 200 OK.
func Fetch(client *http.Client, request *http.Request) ([]byte, error) {
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close() //nolint:errcheck // the body was read to its end
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answered %s: %.200s", request.URL, response.Status, body)
	}
	return body, err
}
