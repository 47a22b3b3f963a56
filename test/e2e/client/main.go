// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command client runs in the pods of the end-to-end tests. It is an application that uses the Secret that it mounts,
// and it does for the tests what kubectl cannot do. It needs only the standard library.
//
//	client app DIR CA                 for each new authorization in DIR, call GET /status at DIR/url and print the result
//	client busy DIR CA                the same all the time, and print a result that differs from the last one
//	client post URL BODY              send a command to the emulator's admin API
//	client get URL [TOKEN-FILE]       print the status code and, if it is 200, the body; trusts any certificate
//	client cat FILE                   print a file
//	client signal N NAME [POD-UID]    send signal N to every process with that name (in that pod); print how many
//	client sleep                      wait for a signal to end
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	pollInterval   = 10 * time.Millisecond
	requestTimeout = 10 * time.Second
	maxBodyBytes   = 16 << 20
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		_, _ = fmt.Fprintf(os.Stderr, "client: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New("a command is missing")
	}
	command, args := args[0], append(args[1:], "", "", "")
	switch command {
	case "app":
		return app(ctx, args[0], args[1], false)
	case "busy":
		return app(ctx, args[0], args[1], true)
	case "post":
		return post(ctx, args[0], args[1])
	case "get":
		return get(ctx, args[0], args[1])
	case "cat":
		content, err := os.ReadFile(args[0])
		fmt.Print(string(content))
		return err
	case "signal":
		return signalAll(args[0], args[1], args[2])
	case "sleep":
		<-ctx.Done()
		return nil
	default:
		return fmt.Errorf("unknown command %q", command)
	}
}

// app is an application that follows the README: it reads the file again when it has changed, or all the time.
func app(ctx context.Context, dir, caFile string, isBusy bool) error {
	roots := x509.NewCertPool()
	ca, err := os.ReadFile(caFile)
	if err != nil {
		return err
	}
	if !roots.AppendCertsFromPEM(ca) {
		return fmt.Errorf("%s holds no certificate", caFile)
	}
	client := &http.Client{Timeout: requestTimeout, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
	}}
	var last string
	lastStatus := 0
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for number := 0; ; {
		content, err := read(filepath.Join(dir, "authorization"))
		if err != nil {
			return err
		}
		if authorization := string(content); authorization != last || isBusy {
			last = authorization
			result := try(ctx, client, dir, authorization)
			if !isBusy || result.Status != lastStatus {
				number++
				lastStatus, result.Number = result.Status, number
				result.print()
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// read reads a file of a volume. Whoever opens it just as the kubelet removes the former version finds none, and has to
// try again.
func read(path string) (content []byte, err error) {
	for range 10 {
		if content, err = os.ReadFile(path); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		time.Sleep(pollInterval)
	}
	return content, err
}

// call is one line of the output. It contains no credential.
type call struct {
	Number int       `json:"number"` // of the line, from 1 on
	Seen   time.Time `json:"seen"`
	Status int       `json:"status"`
	Error  string    `json:"error,omitempty"`
}

func try(ctx context.Context, client *http.Client, dir, authorization string) call {
	result := call{Seen: time.Now()}
	status, err := callStatus(ctx, client, dir, authorization)
	result.Status = status
	if err != nil {
		result.Error = err.Error()
	}
	return result
}

func (c call) print() {
	line, err := json.Marshal(c)
	if err != nil {
		line = []byte(err.Error())
	}
	fmt.Println(string(line))
}

func callStatus(ctx context.Context, client *http.Client, dir, authorization string) (int, error) {
	url, err := read(filepath.Join(dir, "url"))
	if err != nil {
		return 0, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, string(url)+"/status", http.NoBody)
	if err != nil {
		return 0, err
	}
	request.Header.Set("Authorization", authorization)
	request.Header.Set("Content-Type", "application/json")
	response, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	return response.StatusCode, response.Body.Close()
}

func post(ctx context.Context, url, body string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	status, answer, err := send(http.DefaultClient, request)
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return fmt.Errorf("the answer of %s is %d: %s", url, status, answer)
	}
	return nil
}

func get(ctx context.Context, url, tokenFile string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	if tokenFile != "" {
		token, err := os.ReadFile(tokenFile)
		if err != nil {
			return err
		}
		request.Header.Set("Authorization", "Bearer "+string(token))
	}
	//nolint:gosec // The operator makes the metrics' certificate itself.
	anyCertificate := &tls.Config{InsecureSkipVerify: true}
	client := &http.Client{Timeout: requestTimeout, Transport: &http.Transport{TLSClientConfig: anyCertificate}}
	status, answer, err := send(client, request)
	if err != nil {
		return err
	}
	fmt.Println(status)
	if status == http.StatusOK {
		fmt.Print(string(answer))
	}
	return nil
}

func send(client *http.Client, request *http.Request) (int, []byte, error) {
	response, err := client.Do(request)
	if err != nil {
		return 0, nil, err
	}
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxBodyBytes))
	return response.StatusCode, answer, errors.Join(err, response.Body.Close())
}

// signalAll sends a signal to processes of the node, which needs a pod with hostPID. Signal 0 only counts them.
func signalAll(number, name, podUID string) error {
	signalNumber, err := strconv.Atoi(number)
	if err != nil {
		return err
	}
	directories, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return err
	}
	count := 0
	for _, directory := range directories {
		pid, err := strconv.Atoi(filepath.Base(directory))
		if err != nil || !matches(directory, name, podUID) {
			continue
		}
		if err := syscall.Kill(pid, syscall.Signal(signalNumber)); err != nil {
			return err
		}
		count++
	}
	fmt.Println(count)
	return nil
}

// matches compares the program's name, and looks for the pod's UID in the names of the control groups. systemd's driver
// writes it with underscores. A process that has ended does not match.
func matches(directory, name, podUID string) bool {
	line, err := os.ReadFile(filepath.Join(directory, "cmdline"))
	if err != nil {
		return false
	}
	program, _, _ := strings.Cut(string(line), "\x00")
	groups, err := os.ReadFile(filepath.Join(directory, "cgroup"))
	if err != nil || filepath.Base(program) != name {
		return false
	}
	return strings.Contains(strings.ReplaceAll(string(groups), "_", "-"), podUID)
}
