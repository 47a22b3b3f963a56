// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"debug/buildinfo"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// user is an arbitrary user without rights. It is a number, so that a kubelet can tell that it is not root.
const user = "65532:65532"

// listType is the media type of an SPDX document.
const listType types.MediaType = "application/spdx+json"

// index builds the program and an image for each platform. Files are from 1970, because an image that contains its
// build time would be different each time. The only other time is that of the commit.
func (b *build) index() (v1.ImageIndex, []*buildinfo.BuildInfo, error) {
	directory, err := os.MkdirTemp("", "image")
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = os.RemoveAll(directory) }()

	labels := map[string]string{
		"org.opencontainers.image.title":    b.title(),
		"org.opencontainers.image.version":  b.version,
		"org.opencontainers.image.licenses": "Apache-2.0",
		"org.opencontainers.image.source":   repository,
		"org.opencontainers.image.revision": b.commit,
		"org.opencontainers.image.created":  b.created(),
	}
	index := v1.ImageIndex(empty.Index)
	var programs []*buildinfo.BuildInfo
	for _, platform := range platforms {
		path := filepath.Join(directory, platform.Architecture)
		if err := b.compile(path, platform); err != nil {
			return nil, nil, err
		}
		program, err := buildinfo.ReadFile(path)
		if err != nil {
			return nil, nil, err
		}
		image, err := b.imageOf(path, platform, labels)
		if err != nil {
			return nil, nil, err
		}
		programs = append(programs, program)
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add:        image,
			Descriptor: v1.Descriptor{Platform: &platform},
		})
	}
	annotated, ok := mutate.Annotations(index, labels).(v1.ImageIndex)
	if !ok {
		return nil, nil, fmt.Errorf("an index with annotations has the type %T", annotated)
	}
	return annotated, programs, nil
}

// compile builds the program without anything that differs between machines: paths, the version control system, and
// the build ID.
func (b *build) compile(path string, platform v1.Platform) error {
	command := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-mod=readonly",
		"-ldflags", "-s -w -buildid= "+
			"-X github.com/jupico-operator/jupico-operator/internal/version.version="+b.version+" "+
			"-X github.com/jupico-operator/jupico-operator/internal/version.commit="+b.commit, "-o", path, b.pkg)
	command.Dir = b.source
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off", "GOEXPERIMENT=", "GOAMD64=v1",
		"GOARM64=v8.0", "GOOS="+platform.OS, "GOARCH="+platform.Architecture)
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("could not build %s for %s: %w\n%s", b.pkg, platform, err, output)
	}
	return nil
}

func (b *build) imageOf(program string, platform v1.Platform, labels map[string]string) (v1.Image, error) {
	layer, err := b.layer(program)
	if err != nil {
		return nil, err
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err = mutate.ConfigFile(image, &v1.ConfigFile{
		OS:           platform.OS,
		Architecture: platform.Architecture,
		RootFS:       v1.RootFS{Type: "layers"},
		Config: v1.Config{
			User:       user,
			WorkingDir: "/",
			Entrypoint: []string{"/" + b.title()},
			Labels:     labels,
		},
	})
	if err != nil {
		return nil, err
	}
	return mutate.Append(image, mutate.Addendum{
		Layer:   layer,
		History: v1.History{CreatedBy: "hack/image", Comment: b.pkg + " " + b.version},
	})
}

// layer returns a layer that contains only the program.
func (b *build) layer(program string) (v1.Layer, error) {
	content, err := os.ReadFile(program)
	if err != nil {
		return nil, err
	}
	var buffer bytes.Buffer
	writer := tar.NewWriter(&buffer)
	if err := writeFile(writer, b.title(), 0o555, content); err != nil {
		return nil, err
	}
	if err := writer.Close(); err != nil {
		return nil, err
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(buffer.Bytes())), nil }
	return tarball.LayerFromOpener(open, tarball.WithMediaType(types.OCILayer),
		tarball.WithCompressionLevel(gzip.BestCompression))
}

func writeFile(writer *tar.Writer, name string, mode int64, content []byte) error {
	header := &tar.Header{
		Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(content)), ModTime: time.Unix(0, 0),
	}
	if err := writer.WriteHeader(header); err != nil {
		return err
	}
	_, err := writer.Write(content)
	return err
}

// referrer returns an artifact that a registry lists as belonging to the image.
func referrer(index v1.ImageIndex, list []byte) (v1.Image, error) {
	digest, err := index.Digest()
	if err != nil {
		return nil, err
	}
	size, err := index.Size()
	if err != nil {
		return nil, err
	}
	artifact := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), listType)
	artifact, err = mutate.AppendLayers(artifact, static.NewLayer(list, listType))
	if err != nil {
		return nil, err
	}
	subject := v1.Descriptor{MediaType: types.OCIImageIndex, Digest: digest, Size: size}
	image, ok := mutate.Subject(artifact, subject).(v1.Image)
	if !ok {
		return nil, fmt.Errorf("an artifact with a subject has the type %T", image)
	}
	return image, nil
}
