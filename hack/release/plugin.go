// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const pluginProgram = "kubectl-jupico"

// makePlugin makes an archive of the plugin for each platform, and the manifest with which krew installs them.
func (r *release) makePlugin() error {
	directory, err := os.MkdirTemp("", "plugin")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(directory) }()
	license, err := r.read("LICENSE")
	if err != nil {
		return err
	}
	var entries strings.Builder
	for _, p := range r.platforms {
		program := pluginProgram
		if p.os == "windows" {
			program += ".exe"
		}
		path := filepath.Join(directory, p.os+"-"+p.arch)
		if err := r.compile(path, p); err != nil {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		archive, err := r.pack([]packed{{program, 0o755, content}, {"LICENSE", 0o644, []byte(license)}})
		if err != nil {
			return err
		}
		name := fmt.Sprintf("%s_%s_%s_%s.tar.gz", pluginProgram, r.version, p.os, p.arch)
		if err := r.write(name, archive); err != nil {
			return err
		}
		sum := sha256.Sum256(archive)
		url := repository + "/releases/download/" + r.version + "/" + name
		_, _ = fmt.Fprintf(&entries, krewPlatform, p.os, p.arch, url, hex.EncodeToString(sum[:]), program)
	}
	return r.write("krew.yaml", []byte(fmt.Sprintf(krewManifest, r.version, repository)+entries.String()))
}

// compile builds the plugin as hack/image builds the operator.
func (r *release) compile(path string, p platform) error {
	return run(r.source, []string{
		"CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off", "GOEXPERIMENT=", "GOAMD64=v1", "GOARM64=v8.0", "GOOS=" + p.os,
		"GOARCH=" + p.arch,
	}, "go", "build", "-trimpath", "-buildvcs=false", "-mod=readonly", "-ldflags", "-s -w -buildid= "+
		"-X github.com/jupico-operator/jupico-operator/internal/version.version="+r.version+" "+
		"-X github.com/jupico-operator/jupico-operator/internal/version.commit="+r.commit, "-o", path,
		"./cmd/"+pluginProgram)
}

// packed is a file in an archive.
type packed struct {
	name    string
	mode    int64
	content []byte
}

// pack makes a tar.gz, in which the only time is that of the commit.
func (r *release) pack(files []packed) ([]byte, error) {
	var buffer bytes.Buffer
	zipper, err := gzip.NewWriterLevel(&buffer, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	writer := tar.NewWriter(zipper)
	for _, file := range files {
		header := &tar.Header{
			Typeflag: tar.TypeReg, Name: file.name, Mode: file.mode, Size: int64(len(file.content)), ModTime: r.time,
		}
		if err := writer.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := writer.Write(file.content); err != nil {
			return nil, err
		}
	}
	if err := writer.Close(); err != nil {
		return nil, err
	}
	if err := zipper.Close(); err != nil {
		return nil, err
	}
	return buffer.Bytes(), nil
}

// The format is documented at https://krew.sigs.k8s.io/docs/developer-guide/plugin-manifest/.
const (
	krewManifest = `apiVersion: krew.googlecontainertools.github.com/v1alpha2
kind: Plugin
metadata:
  name: jupico
spec:
  version: %s
  homepage: %s
  shortDescription: Show, check and rotate Jupico credentials
  description: |
    Shows the state of the JupicoCredentials in a cluster, has them checked now,
    and rotates a credential without a rejected call. It works with your own
    rights, and never prints a secret.
  caveats: |
    The cluster needs jupico-operator, which keeps the credentials.
  platforms:
`
	krewPlatform = `  - selector:
      matchLabels:
        os: %s
        arch: %s
    uri: %s
    sha256: %s
    bin: %s
`
)
