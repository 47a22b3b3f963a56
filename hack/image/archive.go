// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
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
