// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// sums is the file with the SHA-256 sums of all others.
const sums = "SHA256SUMS"

// makeNotes writes what the changelog says about the version.
func (r *release) makeNotes() error { return r.write("notes.md", []byte(r.notes)) }

// provenance is a predicate of SLSA: https://slsa.dev/spec/v1.0/provenance. Its signer adds the subject. It claims no
// level, because this program cannot know on what machine it runs: the signer's certificate says that.
type provenance struct {
	BuildDefinition buildDefinition `json:"buildDefinition"`
	RunDetails      runDetails      `json:"runDetails"`
}

type buildDefinition struct {
	BuildType            string            `json:"buildType"`
	ExternalParameters   map[string]string `json:"externalParameters"`
	InternalParameters   map[string]string `json:"internalParameters"`
	ResolvedDependencies []dependency      `json:"resolvedDependencies"`
}

type dependency struct {
	URI    string            `json:"uri"`
	Digest map[string]string `json:"digest"`
}

type runDetails struct {
	Builder builder `json:"builder"`
}

type builder struct {
	ID string `json:"id"`
}

// makeProvenance writes from what, and how, the files were made. The versions of all modules follow from the commit.
func (r *release) makeProvenance() error {
	text, err := json.MarshalIndent(provenance{
		BuildDefinition: buildDefinition{
			BuildType:          repository + "/blob/main/RELEASE.md#what-make-release-does",
			ExternalParameters: map[string]string{"version": r.version, "image": r.image},
			InternalParameters: map[string]string{"go": runtime.Version()},
			ResolvedDependencies: []dependency{
				{URI: "git+" + repository, Digest: map[string]string{"gitCommit": r.commit}},
			},
		},
		RunDetails: runDetails{Builder: builder{ID: repository + "/tree/main/hack/release"}},
	}, "", "  ")
	if err != nil {
		return err
	}
	return r.write("provenance.json", append(text, '\n'))
}

// makeSums is the last step. The directory is read in the order of the names.
func (r *release) makeSums() error {
	entries, err := os.ReadDir(r.directory)
	if err != nil {
		return err
	}
	var lines strings.Builder
	for _, entry := range entries {
		content, err := os.ReadFile(filepath.Join(r.directory, entry.Name()))
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintf(&lines, "%x  %s\n", sha256.Sum256(content), entry.Name())
	}
	return r.write(sums, []byte(lines.String()))
}
