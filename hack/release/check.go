// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// An image's tag cannot hold the + of a build, so a version has none.
var (
	versions  = regexp.MustCompile(`^v(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$`)
	imageLine = regexp.MustCompile(`(?m)^( +image: )jupico-operator:(\S+)$`)
)

// check finds out what the release is made from, and says all that is wrong with it at once.
func (r *release) check() error {
	if !versions.MatchString(r.version) {
		return fmt.Errorf("the version is %q, and must be like v1.2.3 or v1.2.3-rc.1: make release VERSION=v1.2.3", r.version)
	}
	if r.image == "" || strings.ContainsAny(filepath.Base(r.image), ":@") {
		return fmt.Errorf("the image is %q, and must be a name without a tag: IMAGE=registry/name", r.image)
	}
	if err := r.checkOutput(); err != nil {
		return err
	}
	notes, err := r.changelog()
	r.notes = notes
	return errors.Join(err, r.checkVersions(), r.checkGit())
}

// checkOutput protects a directory that is something else.
func (r *release) checkOutput() error {
	entries, err := os.ReadDir(r.output)
	if errors.Is(err, os.ErrNotExist) || err == nil && len(entries) == 0 {
		return nil
	}
	if _, err := os.Stat(filepath.Join(r.output, sums)); err != nil {
		return fmt.Errorf("%s would be replaced, but is not a release: it has no %s", r.output, sums)
	}
	return nil
}

// changelog returns what the changelog says about the version.
func (r *release) changelog() (string, error) {
	all, err := r.read("CHANGELOG.md")
	if err != nil {
		return "", err
	}
	heading := regexp.MustCompile(`(?m)^## \[` + regexp.QuoteMeta(r.number()) + `\] - \d{4}-\d{2}-\d{2}$`)
	place := heading.FindStringIndex(all)
	if place == nil {
		return "", fmt.Errorf("CHANGELOG.md has no heading like %q", "## ["+r.number()+"] - 2006-01-02")
	}
	end := regexp.MustCompile(`(?m)^(## |\[[^\]]+\]: )`)
	notes := all[place[1]:]
	if next := end.FindStringIndex(notes); next != nil {
		notes = notes[:next[0]]
	}
	if strings.TrimSpace(notes) == "" {
		return "", fmt.Errorf("CHANGELOG.md says nothing about %s", r.version)
	}
	return strings.TrimSpace(notes) + "\n", nil
}

// checkVersions compares the version with those that are in the repository.
func (r *release) checkVersions() error {
	manifest, err := r.read("dist", "operator.yaml")
	if err != nil {
		return err
	}
	chart, err := r.read("dist", "chart", "Chart.yaml")
	if err != nil {
		return err
	}
	var problems []error
	if match := imageLine.FindStringSubmatch(manifest); match == nil || match[2] != r.version {
		problems = append(problems, fmt.Errorf("dist/operator.yaml does not name jupico-operator:%s: set newTag in "+
			"config/manager/kustomization.yaml", r.version))
	}
	for field, want := range map[string]string{"version": r.number(), "appVersion": r.version} {
		line := regexp.MustCompile(`(?m)^` + field + `: ["']?` + regexp.QuoteMeta(want) + `["']?$`)
		if !line.MatchString(chart) {
			problems = append(problems, fmt.Errorf("dist/chart/Chart.yaml does not have %s: %s: set it in "+
				"config/chart/Chart.yaml", field, want))
		}
	}
	if len(problems) > 0 {
		problems = append(problems, errors.New("run make build-installer after a change"))
	}
	return errors.Join(problems...)
}

// checkGit learns the commit and its time.
func (r *release) checkGit() error {
	commit, err := r.git("rev-parse", "HEAD")
	if err != nil && r.allowDirty { // a copy without its history
		r.commit, r.time = "unknown", time.Unix(0, 0).UTC()
		return nil
	}
	if err != nil {
		return err
	}
	seconds, err := r.git("log", "-1", "--format=%ct")
	if err != nil {
		return err
	}
	unix, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return err
	}
	r.commit, r.time = commit, time.Unix(unix, 0).UTC()
	changes, err := r.git("status", "--porcelain")
	if err != nil {
		return err
	}
	if changes == "" {
		return nil
	}
	if !r.allowDirty {
		return fmt.Errorf("these changes are not committed, so nobody could make this release again (DIRTY=1 makes it "+
			"all the same):\n%s", changes)
	}
	r.commit += "-dirty"
	return nil
}

func (r *release) git(args ...string) (string, error) {
	command := exec.CommandContext(context.Background(), "git", append([]string{"-C", r.source}, args...)...)
	output, err := command.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("git %s: %w\n%s", strings.Join(args, " "), err, output)
	}
	return strings.TrimSpace(string(output)), nil
}
