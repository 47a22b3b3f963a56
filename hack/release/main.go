// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command release makes all files of a release: image, manifests, chart, plugin, and what is said about them. It
// publishes nothing. The same commit and Go version give the same bytes on any machine, because the only time in the
// files is that of the commit.
//
// Run it in its own directory: the image is built by ../image.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// repository is where the source is, and where the files of a release will be.
const repository = "https://github.com/jupico-operator/jupico-operator"

// platform is an operating system and an architecture, in Go's words.
type platform struct{ os, arch string }

// release says what to make, and where.
type release struct {
	source     string // the repository's directory
	version    string // such as v1.2.3
	image      string // its name, without a tag
	output     string
	helm       string     // the program
	platforms  []platform // of the plugin
	allowDirty bool

	commit    string
	time      time.Time // of the commit
	notes     string
	directory string // the files are made here, and moved to output when all of them are there
	digest    string // of the image
}

func main() {
	r, err := parse(os.Args[1:])
	if err == nil {
		err = r.run()
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintf(os.Stderr, "release: %v\n", err)
		os.Exit(1)
	}
}

func parse(args []string) (*release, error) {
	r := &release{}
	var platforms string
	flags := flag.NewFlagSet("release", flag.ContinueOnError)
	flags.StringVar(&r.source, "source", "../..", "`directory` of the repository")
	flags.StringVar(&r.version, "version", "", "`version`, such as v1.2.3")
	flags.StringVar(&r.image, "image", "", "`name` of the image, without a tag")
	flags.StringVar(&r.output, "output", "../../dist/release",
		"`directory` of the files; an older release in it is replaced")
	flags.StringVar(&r.helm, "helm", "../../bin/helm", "`path` of helm")
	flags.StringVar(&platforms, "platforms",
		"linux/amd64,linux/arm64,darwin/amd64,darwin/arm64,windows/amd64,windows/arm64",
		"comma-separated `platforms` of the plugin")
	flags.BoolVar(&r.allowDirty, "allow-dirty", false, "make a release although there are changes that are not committed")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q: there are only flags", flags.Arg(0))
	}
	for name := range strings.SplitSeq(platforms, ",") {
		system, arch, found := strings.Cut(name, "/")
		if !found {
			return nil, fmt.Errorf("-platforms: %q is not like linux/amd64", name)
		}
		r.platforms = append(r.platforms, platform{system, arch})
	}
	for _, path := range []*string{&r.source, &r.output, &r.helm} {
		absolute, err := filepath.Abs(*path)
		if err != nil {
			return nil, err
		}
		*path = absolute
	}
	return r, nil
}

// run makes the files in a new directory next to the output, and then puts it in the place of the output.
func (r *release) run() error {
	if err := r.check(); err != nil {
		return err
	}
	r.directory = r.output + ".part"
	if err := os.RemoveAll(r.directory); err != nil { // of a run that was stopped
		return err
	}
	if err := os.MkdirAll(r.directory, 0o750); err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(r.directory) }()
	for _, step := range []func() error{
		r.makeImage, r.makeManifests, r.makeChart, r.makePlugin, r.makeNotes, r.makeProvenance, r.makeSums,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(r.output); err != nil {
		return err
	}
	if err := os.Rename(r.directory, r.output); err != nil {
		return err
	}
	fmt.Printf("%s %s@%s\n%s\n", r.version, r.image, r.digest, r.output)
	return nil
}

// number is the version as the chart and the changelog write it.
func (r *release) number() string { return strings.TrimPrefix(r.version, "v") }

// read returns a file of the repository.
func (r *release) read(path ...string) (string, error) {
	content, err := os.ReadFile(filepath.Join(r.source, filepath.Join(path...)))
	return string(content), err
}

// write writes a file of the release.
func (r *release) write(name string, content []byte) error {
	return os.WriteFile(filepath.Join(r.directory, name), content, 0o600)
}
