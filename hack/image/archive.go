// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
)

// writeArchive writes the image to one file, as an OCI layout. containerd, Docker with containerd's image store, Podman
// and skopeo can read it. The first annotation is for containerd.
func writeArchive(path string, index v1.ImageIndex, fullName string) error {
	directory, err := os.MkdirTemp("", "image")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(directory) }()
	written, err := layout.Write(directory, empty.Index)
	if err != nil {
		return err
	}
	err = written.AppendIndex(index, layout.WithAnnotations(map[string]string{
		"io.containerd.image.name":          fullName,
		"org.opencontainers.image.ref.name": fullName[strings.LastIndex(fullName, ":")+1:],
	}))
	if err != nil {
		return err
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	if err := archive(file, directory); err != nil {
		return err
	}
	return file.Close()
}

// readArchive returns the image that writeArchive wrote. It unpacks the archive into the directory, which must exist as
// long as the image is used.
func readArchive(path, directory string) (v1.ImageIndex, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	if err := unarchive(file, directory); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	all, err := layout.ImageIndexFromPath(directory)
	if err != nil {
		return nil, err
	}
	manifest, err := all.IndexManifest()
	if err != nil {
		return nil, err
	}
	if len(manifest.Manifests) != 1 {
		return nil, fmt.Errorf("%s holds %d images, want 1", path, len(manifest.Manifests))
	}
	return all.ImageIndex(manifest.Manifests[0].Digest)
}

// unarchive unpacks a tar file, and nothing outside of the directory.
func unarchive(file io.Reader, directory string) error {
	root, err := os.OpenRoot(directory)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	reader := tar.NewReader(file)
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := root.MkdirAll(filepath.Dir(header.Name), 0o750); err != nil {
			return err
		}
		content, err := io.ReadAll(reader)
		if err != nil {
			return err
		}
		if err := root.WriteFile(header.Name, content, 0o600); err != nil {
			return err
		}
	}
}

// archive writes the files in a directory to a tar file, sorted by name.
func archive(file *os.File, directory string) error {
	writer := tar.NewWriter(file)
	root := os.DirFS(directory)
	err := fs.WalkDir(root, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(filepath.Join(directory, path))
		if err != nil {
			return err
		}
		return writeFile(writer, path, 0o644, content)
	})
	if err != nil {
		return err
	}
	return writer.Close()
}
