// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"encoding/json"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/google/go-containerregistry/pkg/registry"
)

// buildSmall builds an image of a small program in a new directory. Without extraArgs, it names the image small:v1.2.3.
func buildSmall(t *testing.T, extraArgs ...string) (directory string) {
	t.Helper()
	source := t.TempDir()
	for file, content := range map[string]string{
		"go.mod":      "module example.test/small\n\ngo 1.26.0\n",
		"cmd/main.go": "package main\n\nvar version = \"dev\"\n\nfunc main() { println(version) }\n",
	} {
		path := filepath.Join(source, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	directory = t.TempDir()
	args := []string{"-source=" + source, "-version=v1.2.3+x", "-commit=c0ffee", "-time=1767323045", "-output=" + directory}
	if len(extraArgs) == 0 {
		extraArgs = []string{"-image=small:v1.2.3"}
	}
	b, err := parse(append(args, extraArgs...))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.run(); err != nil {
		t.Fatal(err)
	}
	return directory
}

func read(t *testing.T, path ...string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// unpack reads the archive as its users do, as an OCI layout in a tar file.
func unpack(t *testing.T, archive string) (v1.ImageIndex, v1.Descriptor) {
	t.Helper()
	file, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	directory := t.TempDir()
	reader := tar.NewReader(file)
	for header, err := reader.Next(); err != io.EOF; header, err = reader.Next() {
		if err != nil {
			t.Fatal(err)
		}
		if !header.ModTime.Equal(time.Unix(0, 0)) || header.Uname != "" || header.Uid != 0 {
			t.Errorf("%s contains a time or an owner", header.Name)
		}
		content, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(directory, header.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	index, err := layout.ImageIndexFromPath(directory)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(manifest.Manifests) != 1 {
		t.Fatalf("the archive contains %d images", len(manifest.Manifests))
	}
	image, err := index.ImageIndex(manifest.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	return image, manifest.Manifests[0]
}

func TestTheSameSourceGivesTheSameImageInAnyDirectory(t *testing.T) {
	one, other := buildSmall(t), buildSmall(t)
	for _, file := range []string{"small.digest", "small.tar", "small.spdx.json"} {
		if read(t, one, file) != read(t, other, file) {
			t.Errorf("%s differs", file)
		}
	}
}

func TestTheArchiveContainsAStaticProgramForEachPlatformAndDoesNotRunItAsRoot(t *testing.T) {
	directory := buildSmall(t)
	index, descriptor := unpack(t, filepath.Join(directory, "small.tar"))
	if err := validate.Index(index); err != nil {
		t.Error(err)
	}
	if got := descriptor.Annotations["io.containerd.image.name"]; got != "docker.io/library/small:v1.2.3" {
		t.Errorf("containerd would call it %q", got)
	}
	if got := strings.TrimSpace(read(t, directory, "small.digest")); got != descriptor.Digest.String() {
		t.Errorf("small.digest is %s, but the digest of the image is %s", got, descriptor.Digest)
	}
	for _, platform := range platforms {
		t.Run(platform.String(), func(t *testing.T) {
			manifest, err := index.IndexManifest()
			if err != nil {
				t.Fatal(err)
			}
			for _, candidate := range manifest.Manifests {
				if candidate.Platform.Equals(platform) {
					image, err := index.Image(candidate.Digest)
					if err != nil {
						t.Fatal(err)
					}
					checkImage(t, image, platform)
					return
				}
			}
			t.Error("there is no image for this platform")
		})
	}
}

func checkImage(t *testing.T, image v1.Image, platform v1.Platform) {
	t.Helper()
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if config.Config.User != "65532:65532" || config.Config.Entrypoint[0] != "/small" ||
		config.Architecture != platform.Architecture || config.Config.Labels["org.opencontainers.image.version"] != "v1.2.3+x" ||
		config.Config.Labels["org.opencontainers.image.revision"] != "c0ffee" ||
		config.Config.Labels["org.opencontainers.image.created"] != "2026-01-02T03:04:05Z" {
		t.Errorf("the configuration is %+v", config)
	}
	layers, err := image.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("%d layers, %v", len(layers), err)
	}
	content, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	reader := tar.NewReader(content)
	header, err := reader.Next()
	if err != nil || header.Name != "small" || header.Mode != 0o555 {
		t.Errorf("the first file is %+v, %v", header, err)
	}
	if _, err := reader.Next(); err != io.EOF {
		t.Error("the layer contains more than the program")
	}
}

func TestTheListOfContentsNamesTheImageTheModulesAndGo(t *testing.T) {
	directory := buildSmall(t)
	var list document
	if err := json.Unmarshal([]byte(read(t, directory, "small.spdx.json")), &list); err != nil {
		t.Fatal(err)
	}
	if list.SPDXVersion != "SPDX-2.3" || list.SPDXID != "SPDXRef-DOCUMENT" || list.DataLicense != "CC0-1.0" {
		t.Errorf("this is not an SPDX document: %+v", list)
	}
	described := map[string]string{}
	for _, pkg := range list.Packages {
		if _, exists := described[pkg.SPDXID]; exists {
			t.Errorf("%s occurs twice", pkg.SPDXID)
		}
		described[pkg.SPDXID] = ""
		if len(pkg.ExternalRefs) > 0 {
			described[pkg.SPDXID] = pkg.ExternalRefs[0].ReferenceLocator
		}
	}
	if got := described["SPDXRef-example.test-small"]; got != "pkg:golang/example.test/small@v1.2.3%2Bx" {
		t.Errorf("the program is %q", got)
	}
	if !strings.HasPrefix(described["SPDXRef-stdlib"], "pkg:golang/stdlib@1.") {
		t.Errorf("the standard library is %q", described["SPDXRef-stdlib"])
	}
	if got := "sha256:" + list.Packages[0].Checksums[0].ChecksumValue; got != strings.TrimSpace(read(t, directory, "small.digest")) {
		t.Errorf("the list is about the image %s", got)
	}
}

func TestAPushSendsTheImageAndItsListOfContents(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.WithReferrersSupport(true)))
	defer server.Close()
	image := strings.TrimPrefix(server.URL, "http://") + "/team/small:v1.2.3"
	checkPushed(t, image, buildSmall(t, "-image="+image, "-push"))
}

func TestAnArchiveIsPushedWithTheDigestThatItHas(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.WithReferrersSupport(true)))
	defer server.Close()
	image := strings.TrimPrefix(server.URL, "http://") + "/team/small:v1.2.3"
	directory := buildSmall(t)
	b, err := parse([]string{"-image=" + image, "-from=" + filepath.Join(directory, "small.tar")})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.run(); err != nil {
		t.Fatal(err)
	}
	checkPushed(t, image, directory)
}

// checkPushed compares what the registry has with what was built in the directory.
func checkPushed(t *testing.T, image, directory string) {
	t.Helper()
	tag, err := name.NewTag(image)
	if err != nil {
		t.Fatal(err)
	}
	pushed, err := remote.Index(tag)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(pushed); err != nil {
		t.Error(err)
	}
	digest, err := pushed.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSpace(read(t, directory, "small.digest")); got != digest.String() {
		t.Errorf("pushed %s, but wrote %s", digest, got)
	}
	referrers, err := remote.Referrers(tag.Digest(digest.String()))
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := referrers.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(manifest.Manifests) != 1 || manifest.Manifests[0].ArtifactType != string(listType) {
		t.Fatalf("the registry has these referrers: %+v", manifest.Manifests)
	}
	artifact, err := remote.Image(tag.Digest(manifest.Manifests[0].Digest.String()))
	if err != nil {
		t.Fatal(err)
	}
	layers, err := artifact.Layers()
	if err != nil {
		t.Fatal(err)
	}
	content, err := layers[0].Compressed()
	if err != nil {
		t.Fatal(err)
	}
	list, err := io.ReadAll(content)
	if err != nil {
		t.Fatal(err)
	}
	if string(list) != read(t, directory, "small.spdx.json") {
		t.Error("the pushed list of contents differs from small.spdx.json")
	}
}

func TestAnImageNeedsANameAndATag(t *testing.T) {
	for _, image := range []string{"", "small", "UPPER:v1", "small@sha256:" + strings.Repeat("0", 64)} {
		if _, err := parse([]string{"-image=" + image}); err == nil {
			t.Errorf("%q was accepted as an image's name", image)
		}
	}
}
