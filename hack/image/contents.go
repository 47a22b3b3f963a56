// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"debug/buildinfo"
	"encoding/json"
	"maps"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// document is a list of contents in the format of SPDX 2.3.
type document struct {
	SPDXVersion       string         `json:"spdxVersion"`
	DataLicense       string         `json:"dataLicense"`
	SPDXID            string         `json:"SPDXID"`
	Name              string         `json:"name"`
	DocumentNamespace string         `json:"documentNamespace"`
	CreationInfo      creationInfo   `json:"creationInfo"`
	Packages          []spdxPackage  `json:"packages"`
	Relationships     []relationship `json:"relationships"`
}

type creationInfo struct {
	Created  string   `json:"created"`
	Creators []string `json:"creators"`
}

type spdxPackage struct {
	SPDXID           string        `json:"SPDXID"`
	Name             string        `json:"name"`
	VersionInfo      string        `json:"versionInfo"`
	DownloadLocation string        `json:"downloadLocation"`
	FilesAnalyzed    bool          `json:"filesAnalyzed"`
	LicenseConcluded string        `json:"licenseConcluded"`
	LicenseDeclared  string        `json:"licenseDeclared"`
	CopyrightText    string        `json:"copyrightText"`
	Checksums        []checksum    `json:"checksums,omitempty"`
	ExternalRefs     []externalRef `json:"externalRefs,omitempty"`
}

type checksum struct {
	Algorithm     string `json:"algorithm"`
	ChecksumValue string `json:"checksumValue"`
}

type externalRef struct {
	ReferenceCategory string `json:"referenceCategory"`
	ReferenceType     string `json:"referenceType"`
	ReferenceLocator  string `json:"referenceLocator"`
}

type relationship struct {
	SPDXElementID      string `json:"spdxElementId"`
	RelationshipType   string `json:"relationshipType"`
	RelatedSPDXElement string `json:"relatedSpdxElement"`
}

const (
	documentID  = "SPDXRef-DOCUMENT"
	imageID     = "SPDXRef-Image"
	noAssertion = "NOASSERTION"
)

// contents lists the modules that are linked into the programs, and Go's standard library. It reads them from the build
// information in the programs. The list contains no build time, so the same commit gives the same list.
func contents(b *build, image v1.Hash, programs []*buildinfo.BuildInfo) ([]byte, error) {
	packages := map[string]spdxPackage{}
	for _, program := range programs {
		goVersion := strings.TrimPrefix(program.GoVersion, "go")
		packages["stdlib"] = golang("stdlib", goVersion)
		main := golang(program.Main.Path, b.version)
		main.LicenseDeclared = "Apache-2.0"
		packages[program.Main.Path] = main
		for _, module := range program.Deps {
			packages[module.Path] = golang(module.Path, linked(module).Version)
		}
	}
	result := document{
		SPDXVersion:       "SPDX-2.3",
		DataLicense:       "CC0-1.0",
		SPDXID:            documentID,
		Name:              b.title() + " " + b.version,
		DocumentNamespace: "https://jupico.dev/spdx/" + b.title() + "-" + image.Hex,
		CreationInfo: creationInfo{
			Created:  b.created(),
			Creators: []string{"Tool: jupico-operator-hack-image"},
		},
		Packages: []spdxPackage{{
			SPDXID: imageID, Name: b.title(), VersionInfo: b.version, DownloadLocation: noAssertion,
			LicenseConcluded: noAssertion, LicenseDeclared: noAssertion, CopyrightText: noAssertion,
			Checksums: []checksum{{Algorithm: "SHA256", ChecksumValue: image.Hex}},
		}},
		Relationships: []relationship{{documentID, "DESCRIBES", imageID}},
	}
	for _, path := range slices.Sorted(maps.Keys(packages)) {
		result.Packages = append(result.Packages, packages[path])
		result.Relationships = append(result.Relationships, relationship{imageID, "CONTAINS", packages[path].SPDXID})
	}
	text, err := json.MarshalIndent(result, "", "  ")
	return append(text, '\n'), err
}

// created is the time of the commit.
func (b *build) created() string { return time.Unix(b.time, 0).UTC().Format(time.RFC3339) }

func linked(module *debug.Module) *debug.Module {
	if module.Replace != nil {
		return module.Replace
	}
	return module
}

// golang describes a Go module. It asserts no license, because this command does not read license files.
func golang(path, version string) spdxPackage {
	return spdxPackage{
		SPDXID:           "SPDXRef-" + identifier(path),
		Name:             path,
		VersionInfo:      version,
		DownloadLocation: noAssertion,
		LicenseConcluded: noAssertion,
		LicenseDeclared:  noAssertion,
		CopyrightText:    noAssertion,
		ExternalRefs: []externalRef{
			{"PACKAGE-MANAGER", "purl", "pkg:golang/" + path + "@" + strings.ReplaceAll(version, "+", "%2B")},
		},
	}
}

// identifier replaces the characters that an SPDX identifier must not contain.
func identifier(path string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' {
			return r
		}
		return '-'
	}, path)
}
