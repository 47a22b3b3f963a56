// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	root       = "../.."
	image      = "registry.example/team/jupico-operator"
	commitTime = "2026-01-02T03:04:05Z"
	program    = `package main

import (
	"fmt"

	"github.com/jupico-operator/jupico-operator/internal/version"
)

func main() { fmt.Println(version.Text("small")) }
`
)

// command runs a program, which must succeed, and returns its output.
func command(t *testing.T, directory, program string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir = directory
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_COMMITTER_DATE="+commitTime)
	output, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, output)
	}
	return string(output)
}

func readFile(t *testing.T, path ...string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func writeFile(t *testing.T, content string, path ...string) {
	t.Helper()
	file := filepath.Join(path...)
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// currentVersion is that of the manifests.
func currentVersion(t *testing.T) string {
	t.Helper()
	return imageLine.FindStringSubmatch(readFile(t, root, "dist", "operator.yaml"))[2]
}

// newRepository makes a repository with the manifests and the chart of this one, and with programs that build fast.
func newRepository(t *testing.T) string {
	t.Helper()
	directory := filepath.Join(t.TempDir(), "repository")
	for _, name := range []string{"dist/crds.yaml", "dist/operator.yaml", "dist/install.yaml", "LICENSE", "internal/version/version.go"} {
		writeFile(t, readFile(t, root, name), directory, name)
	}
	if err := os.CopyFS(filepath.Join(directory, "dist", "chart"), os.DirFS(filepath.Join(root, "dist", "chart"))); err != nil {
		t.Fatal(err)
	}
	number := strings.TrimPrefix(currentVersion(t), "v")
	for name, content := range map[string]string{
		"go.mod":                     "module github.com/jupico-operator/jupico-operator\n\ngo 1.26.0\n",
		"cmd/main.go":                program,
		"cmd/kubectl-jupico/main.go": program,
		"CHANGELOG.md": "# Changelog\n\n## [Unreleased]\n\n- Later.\n\n## [" + number + "] - 2026-01-02\n\n### Added\n\n- Everything.\n\n" +
			"## [0.0.1] - 2025-01-02\n\n- Earlier.\n\n[" + number + "]: https://example.test\n",
	} {
		writeFile(t, content, directory, name)
	}
	command(t, directory, "git", "init", "--quiet")
	command(t, directory, "git", "add", ".")
	command(t, directory, "git", "-c", "user.name=Test", "-c", "user.email=test@example.test", "commit", "--quiet", "--message=Test")
	return directory
}

// prepare returns a release of the repository that is yet to be made.
func prepare(t *testing.T, repository string, args ...string) *release {
	t.Helper()
	r, err := parse(append([]string{
		"-source=" + repository, "-output=" + filepath.Join(t.TempDir(), "release"), "-version=" + currentVersion(t),
		"-image=" + image, "-helm=" + cmp.Or(os.Getenv("HELM"), filepath.Join(root, "bin", "helm")),
		"-platforms=linux/" + runtime.GOARCH + ",windows/amd64",
	}, args...))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func files(t *testing.T, directory string) []string {
	t.Helper()
	entries, err := os.ReadDir(directory)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

// unpack returns the contents of an archive by their names. The time of each must be the given one.
func unpack(t *testing.T, archive io.Reader, want time.Time) map[string]string {
	t.Helper()
	found := map[string]string{}
	reader := tar.NewReader(archive)
	for header, err := reader.Next(); err != io.EOF; header, err = reader.Next() {
		if err != nil {
			t.Fatal(err)
		}
		if !header.ModTime.Equal(want) {
			t.Errorf("%s has the time %s", header.Name, header.ModTime)
		}
		content, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		found[header.Name] = string(content)
	}
	return found
}

func unzip(t *testing.T, path ...string) io.Reader {
	t.Helper()
	reader, err := gzip.NewReader(strings.NewReader(readFile(t, path...)))
	if err != nil {
		t.Fatal(err)
	}
	return reader
}

func TestARelease(t *testing.T) {
	repository := newRepository(t)
	r := prepare(t, repository)
	if err := r.run(); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		sentence string
		check    func(*testing.T, *release)
	}{
		{"is the same when it is made a second time elsewhere", checkSame},
		{"has the sums that it says", checkSums},
		{"has manifests that name its image by the digest", checkManifests},
		{"has a chart that installs its image", checkChart},
		{"has the plugin, which knows its version", checkPlugin},
		{"has a manifest for krew with the sums of the plugin", checkKrew},
		{"says from what it was made", checkProvenance},
		{"has the notes of the changelog", checkNotes},
		{"replaces an older one", func(t *testing.T, r *release) {
			if err := r.run(); err != nil {
				t.Error(err)
			}
		}},
	} {
		t.Run(test.sentence, func(t *testing.T) { test.check(t, r) })
	}
}

func checkSame(t *testing.T, r *release) {
	elsewhere := filepath.Join(t.TempDir(), "another", "place")
	command(t, ".", "git", "clone", "--quiet", r.source, elsewhere)
	again := prepare(t, elsewhere)
	if err := again.run(); err != nil {
		t.Fatal(err)
	}
	number := strings.TrimPrefix(r.version, "v")
	want := []string{
		sums, "crds.yaml", "install.yaml", "jupico-operator-" + number + ".tgz", "jupico-operator.digest",
		"jupico-operator.spdx.json", "jupico-operator.tar", "krew.yaml",
		"kubectl-jupico_" + r.version + "_linux_" + runtime.GOARCH + ".tar.gz",
		"kubectl-jupico_" + r.version + "_windows_amd64.tar.gz", "notes.md", "operator.yaml", "provenance.json",
	}
	if got := files(t, r.output); !slices.Equal(got, want) {
		t.Errorf("the release has %q", got)
	}
	if one, other := files(t, r.output), files(t, again.output); !slices.Equal(one, other) {
		t.Fatalf("there are %q and %q", one, other)
	}
	for _, name := range want {
		if readFile(t, r.output, name) != readFile(t, again.output, name) {
			t.Errorf("%s differs", name)
		}
	}
}

func checkSums(t *testing.T, r *release) {
	checked := command(t, r.output, "sha256sum", "--check", "--strict", sums)
	for _, name := range files(t, r.output) {
		if name != sums && !strings.Contains(checked, name+": OK\n") {
			t.Errorf("%s was not checked:\n%s", name, checked)
		}
	}
}

func checkManifests(t *testing.T, r *release) {
	blobs := unpack(t, strings.NewReader(readFile(t, r.output, "jupico-operator.tar")), time.Unix(0, 0))
	for name, content := range blobs {
		if sum, isBlob := strings.CutPrefix(name, "blobs/sha256/"); isBlob && sum != sha256Of(content) {
			t.Errorf("the content of %s has another digest", name)
		}
	}
	var index, images struct {
		Manifests []struct {
			Digest      string
			Platform    struct{ OS, Architecture string }
			Annotations map[string]string
		}
	}
	if err := json.Unmarshal([]byte(blobs["index.json"]), &index); err != nil || len(index.Manifests) != 1 {
		t.Fatalf("the index of the archive is %v, %v", index, err)
	}
	digest := index.Manifests[0].Digest
	if name := index.Manifests[0].Annotations["io.containerd.image.name"]; name != image+":"+r.version {
		t.Errorf("containerd would call the image %q", name)
	}
	if got := readFile(t, r.output, "jupico-operator.digest"); got != digest+"\n" {
		t.Errorf("jupico-operator.digest is %q, but the archive holds %s", got, digest)
	}
	blob := blobs["blobs/"+strings.Replace(digest, ":", "/", 1)]
	if err := json.Unmarshal([]byte(blob), &images); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(images.Manifests[0].Platform, images.Manifests[1].Platform); got != "{linux amd64} {linux arm64}" {
		t.Errorf("the platforms are %s", got)
	}
	for name, count := range map[string]int{"crds.yaml": 0, "operator.yaml": 1, "install.yaml": 1} {
		manifest := readFile(t, r.output, name)
		if strings.Count(manifest, " image: "+image+":"+r.version+"@"+digest+"\n") != count || strings.Count(manifest, " image: ") != count {
			t.Errorf("%s does not name the image %d times by its digest", name, count)
		}
	}
}

func sha256Of(content string) string {
	sum := sha256.Sum256([]byte(content))
	return hex.EncodeToString(sum[:])
}

func checkChart(t *testing.T, r *release) {
	number := strings.TrimPrefix(r.version, "v")
	archive := filepath.Join(r.output, "jupico-operator-"+number+".tgz")
	packaged := unpack(t, unzip(t, archive), r.time)
	for _, name := range []string{"Chart.yaml", "values.yaml", "values.schema.json", "templates/deployment.yaml", "files/crds.yaml"} {
		if packaged["jupico-operator/"+name] == "" {
			t.Errorf("the chart has no %s", name)
		}
	}
	wanted := image + ":" + r.version
	if strings.Contains(packaged["jupico-operator/values.yaml"], "\n  digest:") {
		wanted = "@" + r.digest
	}
	rendered := command(t, r.output, r.helm, "template", "jupico-operator", archive)
	line := regexp.MustCompile(`(?m)^ +image: .*$`).FindAllString(rendered, -1)
	if len(line) != 1 || !strings.Contains(line[0], image) || !strings.Contains(line[0], wanted) {
		t.Errorf("the chart installs %q, want %s", line, wanted)
	}
}

func checkPlugin(t *testing.T, r *release) {
	for platform, name := range map[string]string{"linux_" + runtime.GOARCH: "kubectl-jupico", "windows_amd64": "kubectl-jupico.exe"} {
		archive := "kubectl-jupico_" + r.version + "_" + platform + ".tar.gz"
		contents := unpack(t, unzip(t, r.output, archive), r.time)
		if len(contents) != 2 || contents["LICENSE"] != readFile(t, root, "LICENSE") || contents[name] == "" {
			t.Errorf("%s holds %d files", archive, len(contents))
		}
	}
	directory := t.TempDir()
	command(t, directory, "tar", "--extract", "--file="+filepath.Join(r.output, "kubectl-jupico_"+r.version+"_linux_"+runtime.GOARCH+".tar.gz"))
	if got, want := command(t, directory, "./kubectl-jupico"), "small "+r.version+", commit "+r.commit+", go"; !strings.HasPrefix(got, want) {
		t.Errorf("the plugin says %q, want %q", got, want)
	}
}

func checkKrew(t *testing.T, r *release) {
	manifest := readFile(t, r.output, "krew.yaml")
	found := regexp.MustCompile(`uri: (\S+)/releases/download/(\S+)/(\S+)\n    sha256: (\S+)\n    bin: (\S+)\n`).FindAllStringSubmatch(manifest, -1)
	if len(found) != 2 {
		t.Fatalf("there are %d platforms in\n%s", len(found), manifest)
	}
	for _, match := range found {
		if match[1] != repository || match[2] != r.version {
			t.Errorf("the address is %s", match[0])
		}
		if match[4] != sha256Of(readFile(t, r.output, match[3])) {
			t.Errorf("the sum of %s is another one", match[3])
		}
		if strings.Contains(match[3], "windows") != (match[5] == "kubectl-jupico.exe") {
			t.Errorf("the program in %s is %s", match[3], match[5])
		}
	}
}

func checkProvenance(t *testing.T, r *release) {
	var made provenance
	decoder := json.NewDecoder(strings.NewReader(readFile(t, r.output, "provenance.json")))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&made); err != nil {
		t.Fatal(err)
	}
	commit := strings.TrimSpace(command(t, r.source, "git", "rev-parse", "HEAD"))
	definition := made.BuildDefinition
	if definition.ResolvedDependencies[0].Digest["gitCommit"] != commit || definition.ExternalParameters["version"] != r.version ||
		definition.InternalParameters["go"] != runtime.Version() {
		t.Errorf("the provenance is %+v", made)
	}
	if list := readFile(t, r.output, "jupico-operator.spdx.json"); !strings.Contains(list, `"created": "`+commitTime+`"`) {
		t.Error("the list of contents does not have the time of the commit")
	}
	page := readFile(t, root, "RELEASE.md")
	if _, anchor, _ := strings.Cut(definition.BuildType, "#"); !strings.Contains(page, "\n## "+strings.ReplaceAll(anchor, "-", " ")+"\n") &&
		!strings.Contains(strings.ToLower(page), "\n## "+strings.ReplaceAll(anchor, "-", " ")+"\n") {
		t.Errorf("RELEASE.md has no heading for %s", definition.BuildType)
	}
}

func checkNotes(t *testing.T, r *release) {
	if got := readFile(t, r.output, "notes.md"); got != "### Added\n\n- Everything.\n" {
		t.Errorf("the notes are %q", got)
	}
}

func TestWhatKeepsAReleaseFromBeingMadeIsExplained(t *testing.T) {
	change := func(name, from, to string) func(*testing.T, string) {
		return func(t *testing.T, repository string) {
			old := readFile(t, repository, name)
			if !strings.Contains(old, from) {
				t.Fatalf("%s does not contain %q", name, from)
			}
			writeFile(t, strings.ReplaceAll(old, from, to), repository, name)
		}
	}
	nothing := func(*testing.T, string) {}
	version := currentVersion(t)
	number := strings.TrimPrefix(version, "v")
	elsewhere := t.TempDir()
	writeFile(t, "mine", elsewhere, "file")
	for _, test := range []struct {
		sentence string
		change   func(*testing.T, string)
		args     []string
		want     string
	}{
		{"no version", nothing, []string{"-version="}, `the version is "", and must be like v1.2.3`},
		{"a commit", nothing, []string{"-version=399a1a0"}, "must be like v1.2.3"},
		{"no v", nothing, []string{"-version=1.2.3"}, "must be like v1.2.3"},
		{"too short", nothing, []string{"-version=v1.2"}, "must be like v1.2.3"},
		{"a leading zero", nothing, []string{"-version=v1.02.3"}, "must be like v1.2.3"},
		{"a build", nothing, []string{"-version=v1.2.3+x"}, "must be like v1.2.3"},
		{"not in the changelog", nothing, []string{"-version=v9.8.7-rc.1"}, `CHANGELOG.md has no heading like "## [9.8.7-rc.1] - 2006-01-02"`},
		{"not in the manifests", nothing, []string{"-version=v0.0.1"}, "dist/operator.yaml does not name jupico-operator:v0.0.1"},
		{"not in the chart", nothing, []string{"-version=v0.0.1"}, "does not have appVersion: v0.0.1"},
		{"empty notes", change("CHANGELOG.md", "### Added\n\n- Everything.\n", ""), nil, "CHANGELOG.md says nothing about " + version},
		{"without a date", change("CHANGELOG.md", "["+number+"] - 2026-01-02", "["+number+"]"), nil, "CHANGELOG.md has no heading like"},
		{"a changed file", change("LICENSE", "Apache", "Other"), nil, "these changes are not committed"},
		{"a new file", func(t *testing.T, repository string) { writeFile(t, "", repository, "cmd", "new.go") }, nil, "?? cmd/new.go"},
		{"an image with a tag", nothing, []string{"-image=" + image + ":v1"}, "must be a name without a tag"},
		{"no image", nothing, []string{"-image="}, "must be a name without a tag"},
		{"an output that is something else", nothing, []string{"-output=" + elsewhere}, "is not a release"},
	} {
		t.Run(test.sentence, func(t *testing.T) {
			repository := newRepository(t)
			test.change(t, repository)
			r := prepare(t, repository, test.args...)
			if err := r.run(); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if _, err := os.Stat(filepath.Join(r.output, sums)); err == nil {
				t.Error("a release was made")
			}
		})
	}
	if got := readFile(t, elsewhere, "file"); got != "mine" {
		t.Errorf("the file is now %q", got)
	}
}

func TestADirtyReleaseSaysSo(t *testing.T) {
	repository := newRepository(t)
	writeFile(t, "", repository, "new")
	r := prepare(t, repository, "-allow-dirty")
	if err := r.check(); err != nil || !strings.HasSuffix(r.commit, "-dirty") {
		t.Errorf("the commit is %q, %v", r.commit, err)
	}
	if err := os.RemoveAll(filepath.Join(repository, ".git")); err != nil {
		t.Fatal(err)
	}
	if err := r.check(); err != nil || r.commit != "unknown" {
		t.Errorf("without git, the commit is %q, %v", r.commit, err)
	}
}

func TestTheImageOfTheChartIsThatOfTheRelease(t *testing.T) {
	r := &release{image: image, digest: "sha256:0123"}
	for given, want := range map[string]string{
		"a: 1\nimage:\n  repository: jupico-operator\n  tag: \"\"  # x\n\nb:\n  repository: mine\n":     "a: 1\nimage:\n  repository: " + image + "\n  tag: \"\"  # x\n\nb:\n  repository: mine\n",
		"image:\n  # what\n  repository: jupico-operator\n  digest: \"\"   # why\nb:\n  digest: \"\"\n": "image:\n  # what\n  repository: " + image + "\n  digest: sha256:0123   # why\nb:\n  digest: \"\"\n",
		"image:\n  repository: jupico-operator\n\n  # why\n  digest: \"\"\nb:\n  digest: \"\"\n":        "image:\n  repository: " + image + "\n\n  # why\n  digest: sha256:0123\nb:\n  digest: \"\"\n",
	} {
		got, err := r.nameImage(given)
		if err != nil || got != want {
			t.Errorf("got %v and\n%s\nwant\n%s", err, got, want)
		}
	}
	for _, given := range []string{"a: 1\n", "image:\n  tag: a\n"} {
		if _, err := r.nameImage(given); err == nil {
			t.Errorf("%q was accepted", given)
		}
	}
}

func TestAnUnknownPlatformOrArgumentIsRefused(t *testing.T) {
	for argument, want := range map[string]string{"-platforms=linux": "is not like linux/amd64", "v1.2.3": "there are only flags"} {
		if _, err := parse([]string{argument}); err == nil || !bytes.Contains([]byte(err.Error()), []byte(want)) {
			t.Errorf("%s: got %v", argument, err)
		}
	}
}
