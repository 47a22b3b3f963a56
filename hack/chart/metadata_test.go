// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"reflect"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

func TestTheNotesSayWhatToDoWithoutAnImage(t *testing.T) {
	files, err := render(load(t, directory), "jupico-operator", parse(t, "image: {repository: r.example/a}\nnamespaces: [shop]"))
	if err != nil {
		t.Fatal(err)
	}
	notes := files["jupico-operator/templates/NOTES.txt"]
	for _, part := range []string{
		"works in shop.", "ErrImagePull", "the image r.example/a:v0.1.0", "helm upgrade jupico-operator CHART -n " + namespace,
		"imagePullSecrets", "ctr -n k8s.io images import", "deployment/jupico-operator-controller-manager",
	} {
		if !strings.Contains(notes, part) {
			t.Errorf("the notes lack %q:\n%s", part, notes)
		}
	}
}

func TestTheAnnotationsForArtifactHubAreTrue(t *testing.T) {
	annotations := load(t, directory).Metadata.Annotations
	crds := objects(t, readFile(t, "../../dist/crds.yaml"))
	var listed []struct{ Kind, Version, Name, DisplayName, Description string }
	if err := yaml.UnmarshalStrict([]byte(annotations["artifacthub.io/crds"]), &listed); err != nil {
		t.Fatal(err)
	}
	if len(listed) != len(crds) {
		t.Errorf("it lists %d CRDs of %d", len(listed), len(crds))
	}
	for _, entry := range listed {
		crd := crds["CustomResourceDefinition /"+entry.Name]
		if at(t, crd, "spec", "names", "kind") != entry.Kind || at(t, crd, "spec", "versions", 0, "name") != entry.Version {
			t.Errorf("there is no CRD such as %+v", entry)
		}
		if entry.DisplayName == "" || entry.Description == "" {
			t.Errorf("%s has no words", entry.Name)
		}
	}
	var examples []object
	if err := yaml.UnmarshalStrict([]byte(annotations["artifacthub.io/crdsExamples"]), &examples); err != nil {
		t.Fatal(err)
	}
	var sample object
	text := readFile(t, "../../config/samples/credentials_v1alpha1_jupicocredential.yaml")
	if err := yaml.UnmarshalStrict([]byte(text), &sample); err != nil {
		t.Fatal(err)
	}
	if len(examples) != 1 || !reflect.DeepEqual(examples[0], sample) {
		t.Errorf("the example is %v, and the sample %v", examples, sample)
	}
}
