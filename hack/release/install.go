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
)

// makeImage makes jupico-operator.tar, the list of its contents, and a file with its digest.
func (r *release) makeImage() error {
	// The files are named like the last part of the image's name.
	err := run("", nil, "go", "run", "-C", "../image", ".", "-source="+r.source, "-package=./cmd", "-version="+r.version,
		"-commit="+r.commit, "-time="+strconv.FormatInt(r.time.Unix(), 10), "-image="+r.image+":"+r.version,
		"-output="+r.directory)
	if err != nil {
		return err
	}
	digest, err := os.ReadFile(filepath.Join(r.directory, filepath.Base(r.image)+".digest"))
	r.digest = strings.TrimSpace(string(digest))
	return err
}

// reference names the image by its digest. The tag is for people.
func (r *release) reference() string { return r.image + ":" + r.version + "@" + r.digest }

// makeManifests copies the manifests, and has them name the image by its digest.
func (r *release) makeManifests() error {
	for _, file := range []struct {
		name   string
		images int
	}{{"crds.yaml", 0}, {"operator.yaml", 1}, {"install.yaml", 1}} {
		manifest, err := r.read("dist", file.name)
		if err != nil {
			return err
		}
		if got := len(imageLine.FindAllString(manifest, -1)); got != file.images {
			return fmt.Errorf("dist/%s names the image %d times, want %d", file.name, got, file.images)
		}
		manifest = imageLine.ReplaceAllString(manifest, "${1}"+r.reference())
		if err := r.write(file.name, []byte(manifest)); err != nil {
			return err
		}
	}
	return nil
}

// makeChart packages the chart with helm, which gives all files the time of the commit.
func (r *release) makeChart() error {
	directory, err := os.MkdirTemp("", "chart")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(directory) }()
	chart := filepath.Join(directory, "chart")
	if err := os.CopyFS(chart, os.DirFS(filepath.Join(r.source, "dist", "chart"))); err != nil {
		return err
	}
	values, err := r.read("dist", "chart", "values.yaml")
	if err != nil {
		return err
	}
	if values, err = r.nameImage(values); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(chart, "values.yaml"), []byte(values), 0o600); err != nil {
		return err
	}
	return run("", []string{
		"SOURCE_DATE_EPOCH=" + strconv.FormatInt(r.time.Unix(), 10),
		// Helm must not use the user's settings and repositories.
		"HELM_CONFIG_HOME=" + directory, "HELM_CACHE_HOME=" + directory, "HELM_DATA_HOME=" + directory,
	}, r.helm, "package", chart, "--destination="+r.directory)
}

var (
	imageBlock  = regexp.MustCompile(`(?m)^image:\n(?:(?: .*|#.*)?\n)+`)
	chartImage  = regexp.MustCompile(`(?m)^(  repository: )\S+`)
	chartDigest = regexp.MustCompile(`(?m)^(  digest: )""`)
)

// nameImage has the values of the chart name the image of the release. A chart without image.digest names it by its
// tag, which is the chart's appVersion.
func (r *release) nameImage(values string) (string, error) {
	place := imageBlock.FindStringIndex(values)
	if place == nil {
		return "", errors.New("dist/chart/values.yaml has no image")
	}
	block := values[place[0]:place[1]]
	if !chartImage.MatchString(block) {
		return "", errors.New("dist/chart/values.yaml has no image.repository")
	}
	block = chartImage.ReplaceAllString(block, "${1}"+r.image)
	block = chartDigest.ReplaceAllString(block, "${1}"+r.digest)
	return values[:place[0]] + block + values[place[1]:], nil
}

// run runs a program, and returns its output with the error.
func run(directory string, environment []string, program string, args ...string) error {
	command := exec.CommandContext(context.Background(), program, args...)
	command.Dir = directory
	command.Env = append(os.Environ(), environment...)
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", program, strings.Join(args, " "), err, output)
	}
	return nil
}
