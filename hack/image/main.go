// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command image builds a container image for one program of this project. For each platform, the image holds only a
// static binary. The command also writes a list of the image's contents. The same source and Go version give the same
// digest on any machine.
//
// It needs no registry, no daemon and no base image. ko would need a registry or a daemon even for an empty base image.
// Like ko, this command uses go-containerregistry.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// platforms lists the platforms that the image supports.
var platforms = []v1.Platform{{OS: "linux", Architecture: "amd64"}, {OS: "linux", Architecture: "arm64"}}

// repository is where the source is.
const repository = "https://github.com/jupico-operator/jupico-operator"

// build says what to build, and where to write it.
type build struct {
	source  string // the module's directory
	pkg     string // the program's package, relative to source
	version string
	commit  string
	time    int64 // of the commit, in seconds since 1970
	image   name.Tag
	output  string // the directory to write to
	push    bool
	from    string // an archive to push, in place of building one
}

func main() {
	b, err := parse(os.Args[1:])
	if err == nil {
		err = b.run()
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintf(os.Stderr, "image: %v\n", err)
		os.Exit(1)
	}
}

func parse(args []string) (*build, error) {
	b := &build{}
	var image string
	flags := flag.NewFlagSet("image", flag.ContinueOnError)
	flags.StringVar(&b.source, "source", ".", "`directory` of the module")
	flags.StringVar(&b.pkg, "package", "./cmd", "`package` of the program")
	flags.StringVar(&b.version, "version", "dev", "the program's `version`")
	flags.StringVar(&b.commit, "commit", "unknown", "the `commit` that the source is")
	flags.Int64Var(&b.time, "time", 0, "the `time` of the commit, in seconds since 1970")
	flags.StringVar(&image, "image", "", "`name:tag` of the image")
	flags.StringVar(&b.output, "output", ".", "`directory` for <name>.tar, <name>.spdx.json and <name>.digest")
	flags.StringVar(&b.from, "from", "", "push the image in this `file`, which an earlier run wrote, and build nothing")
	flags.BoolVar(&b.push, "push", false, "push the image and its list of contents, to the registry in its name")
	err := flags.Parse(args)
	if err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q: there are only flags", flags.Arg(0))
	}
	b.image, err = name.NewTag(image, name.WithDefaultTag(""))
	if err != nil || b.image.TagStr() == "" {
		return nil, fmt.Errorf("--image: %q is not a name:tag", image)
	}
	return b, nil
}

// title returns the last part of the image's name. The files have this name too.
func (b *build) title() string {
	repository := b.image.RepositoryStr()
	return repository[strings.LastIndex(repository, "/")+1:]
}

func (b *build) run() error {
	if b.from != "" {
		return b.publishArchive()
	}
	index, programs, err := b.index()
	if err != nil {
		return err
	}
	digest, err := index.Digest()
	if err != nil {
		return err
	}
	list, err := contents(b, digest, programs)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(b.output, 0o750); err != nil {
		return err
	}
	file := filepath.Join(b.output, b.title())
	if err := writeArchive(file+".tar", index, fullName(b.image)); err != nil {
		return err
	}
	if err := os.WriteFile(file+".spdx.json", list, 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(file+".digest", []byte(digest.String()+"\n"), 0o600); err != nil {
		return err
	}
	fmt.Printf("%s@%s\n%s.tar\n", b.image.Name(), digest, file)
	if b.push {
		return b.publish(index, list)
	}
	return nil
}

// publishArchive pushes the image in an archive, with the list of its contents that is beside it.
func (b *build) publishArchive() error {
	list, err := os.ReadFile(strings.TrimSuffix(b.from, ".tar") + ".spdx.json")
	if err != nil {
		return err
	}
	directory, err := os.MkdirTemp("", "image")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(directory) }()
	index, err := readArchive(b.from, directory)
	if err != nil {
		return err
	}
	return b.publish(index, list)
}

// publish pushes the image, and the list of its contents as an artifact that refers to the image.
func (b *build) publish(index v1.ImageIndex, list []byte) error {
	login := remote.WithAuthFromKeychain(authn.DefaultKeychain)
	if err := remote.WriteIndex(b.image, index, login); err != nil {
		return fmt.Errorf("could not push %s: %w", b.image, err)
	}
	artifact, err := referrer(index, list)
	if err != nil {
		return err
	}
	digest, err := artifact.Digest()
	if err != nil {
		return err
	}
	if err := remote.Write(b.image.Digest(digest.String()), artifact, login); err != nil {
		return fmt.Errorf("pushed %s, but could not push the list of its contents: %w", b.image, err)
	}
	fmt.Printf("Pushed %s\n", b.image)
	return nil
}

// fullName returns the image's name in containerd's spelling.
func fullName(image name.Tag) string {
	if image.RegistryStr() == name.DefaultRegistry {
		return "docker.io/" + image.RepositoryStr() + ":" + image.TagStr()
	}
	return image.Name()
}
