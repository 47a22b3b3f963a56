// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package decision_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/cel-go/cel"
	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
	"sigs.k8s.io/yaml"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

// eachState shows the resource of every row, be it of a state or of an outcome, with the conditions it has there.
func eachState(t *testing.T, show func(t *testing.T, resource *v1alpha1.JupicoCredential, is conditions)) {
	t.Helper()
	visit := func(sentence string, environment v1alpha1.Environment, is conditions, history func(*world)) {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, environment)
			history(w)
			w.resource.APIVersion, w.resource.Kind = v1alpha1.GroupVersion.String(), "JupicoCredential"
			show(t, w.resource, is)
		})
	}
	for _, row := range states() {
		visit(row.sentence, row.environment, row.want, row.history)
	}
	for o, row := range outcomeRows() {
		visit(string(o)+" as a first check's", production, row.first,
			func(w *world) { w.comesTo(o); w.writeSource("good") })
		visit(string(o)+" after an acceptance", production, row.accepted,
			func(w *world) { delivered(w); w.comesTo(o); w.run(6 * time.Minute) })
		if o.Class() != outcome.Rejection {
			continue
		}
		reset := conditions{ready: "False/SandboxReset", progress: reconciling}
		visit(string(o)+" after an acceptance in the shared sandbox", shared, reset,
			func(w *world) { delivered(w); w.comesTo(o); w.run(6 * time.Minute) })
	}
}

// unseen are resources that say nothing of their present spec yet.
func unseen(t *testing.T) map[string]*v1alpha1.JupicoCredential {
	t.Helper()
	w := newWorld(t, sandbox)
	untouched := w.resource.DeepCopy() // with the status that the schema gives it
	delivered(w)
	edited := w.resource.DeepCopy()
	edited.Generation++
	suspended := edited.DeepCopy()
	suspended.Spec.Suspend = true
	w = newWorld(t, sandbox)
	revoked(w)
	mended := w.resource.DeepCopy()
	mended.Generation++
	resources := map[string]*v1alpha1.JupicoCredential{
		"just created": untouched, "edited while all was good": edited, "suspended just now": suspended,
		"edited while stalled": mended,
	}
	for _, resource := range resources {
		resource.APIVersion, resource.Kind = v1alpha1.GroupVersion.String(), "JupicoCredential"
	}
	return resources
}

func asObject(t *testing.T, resource *v1alpha1.JupicoCredential) map[string]any {
	t.Helper()
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(resource)
	if err != nil {
		t.Fatal(err)
	}
	return object
}

func isReady(is conditions) bool { return strings.HasPrefix(is.ready, "True/") }

func kstatusOf(t *testing.T, resource *v1alpha1.JupicoCredential) status.Status {
	t.Helper()
	result, err := status.Compute(&unstructured.Unstructured{Object: asObject(t, resource)})
	if err != nil {
		t.Fatal(err)
	}
	return result.Status
}

// wantKstatus is what a state's progress promises. What is suspended without a proven token waits for somebody who
// resumes it.
func wantKstatus(is conditions) status.Status {
	switch {
	case is.progress == stalled:
		return status.FailedStatus
	case is.progress == reconciling, !isReady(is):
		return status.InProgressStatus
	default:
		return status.CurrentStatus
	}
}

func TestKstatusReadsEveryStateRightly(t *testing.T) {
	t.Parallel()
	eachState(t, func(t *testing.T, resource *v1alpha1.JupicoCredential, is conditions) {
		if got, want := kstatusOf(t, resource), wantKstatus(is); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if is.progress == "" && !isReady(is) && !resource.Spec.Suspend {
			t.Errorf("Ready is %s, and nothing tells whether it will become so", is.ready)
		}
		resource.DeletionTimestamp = &metav1.Time{Time: start}
		if got := kstatusOf(t, resource); got != status.TerminatingStatus {
			t.Errorf("got %s while it is being deleted", got)
		}
	})
	for sentence, resource := range unseen(t) {
		if got := kstatusOf(t, resource); got != status.InProgressStatus {
			t.Errorf("got %s of a resource %s", got, sentence)
		}
	}
}

// kubectlWaits tells whether kubectl wait --for=condition=Ready goes on: until the condition is True, and about the
// present generation.
func kubectlWaits(resource *v1alpha1.JupicoCredential) bool {
	ready := meta.FindStatusCondition(resource.Status.Conditions, v1alpha1.ConditionReady)
	return ready == nil || ready.Status != metav1.ConditionTrue || ready.ObservedGeneration < resource.Generation
}

func TestKubectlWaitsUntilThereIsAProvenToken(t *testing.T) {
	t.Parallel()
	eachState(t, func(t *testing.T, resource *v1alpha1.JupicoCredential, is conditions) {
		if got := kubectlWaits(resource); got == isReady(is) {
			t.Errorf("waits: %t, with Ready %s", got, is.ready)
		}
	})
	for sentence, resource := range unseen(t) {
		if !kubectlWaits(resource) {
			t.Errorf("does not wait for a resource %s", sentence)
		}
	}
}

// argoHealth runs the script as Argo CD does, with nothing but the base, table and string libraries.
func argoHealth(t *testing.T, script string, resource *v1alpha1.JupicoCredential) (string, string) {
	t.Helper()
	interpreter := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer interpreter.Close()
	for name, open := range map[string]lua.LGFunction{
		lua.BaseLibName: lua.OpenBase, lua.TabLibName: lua.OpenTable, lua.StringLibName: lua.OpenString,
	} {
		interpreter.Push(interpreter.NewFunction(open))
		interpreter.Push(lua.LString(name))
		interpreter.Call(1, 0)
	}
	interpreter.SetGlobal("obj", asLua(interpreter, asObject(t, resource)))
	if err := interpreter.DoString(script); err != nil {
		t.Fatal(err)
	}
	health, ok := interpreter.Get(-1).(*lua.LTable)
	if !ok {
		t.Fatalf("the script returned %s", interpreter.Get(-1).Type())
	}
	return lua.LVAsString(health.RawGetString("status")), lua.LVAsString(health.RawGetString("message"))
}

func asLua(interpreter *lua.LState, value any) lua.LValue {
	switch value := value.(type) {
	case string:
		return lua.LString(value)
	case bool:
		return lua.LBool(value)
	case int64:
		return lua.LNumber(value)
	case []any:
		table := interpreter.NewTable()
		for _, item := range value {
			table.Append(asLua(interpreter, item))
		}
		return table
	case map[string]any:
		table := interpreter.NewTable()
		for key, item := range value {
			table.RawSetString(key, asLua(interpreter, item))
		}
		return table
	default:
		return lua.LNil
	}
}

func wantArgoHealth(resource *v1alpha1.JupicoCredential, is conditions) string {
	switch {
	case resource.Spec.Suspend:
		return "Suspended"
	case is.progress == stalled:
		return "Degraded"
	case is.progress == reconciling:
		return "Progressing"
	default:
		return "Healthy"
	}
}

func readConfig(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile("../../config/" + path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func TestArgoCDShowsTheHealthOfEveryState(t *testing.T) {
	t.Parallel()
	script := readConfig(t, "argocd/health.lua")
	eachState(t, func(t *testing.T, resource *v1alpha1.JupicoCredential, is conditions) {
		health, message := argoHealth(t, script, resource)
		if want := wantArgoHealth(resource, is); health != want {
			t.Errorf("got %s, want %s", health, want)
		}
		ready := meta.FindStatusCondition(resource.Status.Conditions, v1alpha1.ConditionReady)
		if message != ready.Message {
			t.Errorf("got the message %q, and Ready says %q", message, ready.Message)
		}
	})
	resources := unseen(t)
	resources["without a status"] = newWorld(t, sandbox).resource
	resources["without a status"].Status = v1alpha1.JupicoCredentialStatus{}
	for sentence, resource := range resources {
		health, message := argoHealth(t, script, resource)
		if health != "Progressing" || !strings.HasPrefix(message, "Waiting for the operator") {
			t.Errorf("got %s, %q of a resource %s", health, message, sentence)
		}
	}
}

func TestArgoCDsSettingsHoldTheScript(t *testing.T) {
	t.Parallel()
	var settings struct {
		Metadata metav1.ObjectMeta `json:"metadata"`
		Data     map[string]string `json:"data"`
	}
	if err := yaml.Unmarshal([]byte(readConfig(t, "argocd/argocd-cm.yaml")), &settings); err != nil {
		t.Fatal(err)
	}
	key := "resource.customizations.health." + v1alpha1.GroupVersion.Group + "_JupicoCredential"
	if got, want := settings.Data[key], readConfig(t, "argocd/health.lua"); got != want {
		t.Errorf("config/argocd/argocd-cm.yaml has\n%s\nand config/argocd/health.lua\n%s", got, want)
	}
	if settings.Metadata.Name != "argocd-cm" || len(settings.Data) != 1 {
		t.Errorf("the patch is of %s, with %d keys", settings.Metadata.Name, len(settings.Data))
	}
}

// healthCheck is what a Flux Kustomization has per kind, and how Flux reads it: a lagging generation is in progress,
// then each expression has its turn, and none being true is in progress too.
type healthCheck struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	InProgress string `json:"inProgress"`
	Failed     string `json:"failed"`
	Current    string `json:"current"`
}

func (h healthCheck) status(t *testing.T, resource *v1alpha1.JupicoCredential) status.Status {
	t.Helper()
	if resource.Status.ObservedGeneration != resource.Generation {
		return status.InProgressStatus
	}
	object := asObject(t, resource)
	for _, turn := range []struct {
		expression string
		status     status.Status
	}{
		{h.InProgress, status.InProgressStatus}, {h.Failed, status.FailedStatus}, {h.Current, status.CurrentStatus},
	} {
		if evaluate(t, turn.expression, object) {
			return turn.status
		}
	}
	return status.InProgressStatus
}

func evaluate(t *testing.T, expression string, object map[string]any) bool {
	t.Helper()
	environment, err := cel.NewEnv()
	if err != nil {
		t.Fatal(err)
	}
	parsed, issues := environment.Parse(expression)
	if err := issues.Err(); err != nil {
		t.Fatal(err)
	}
	program, err := environment.Program(parsed)
	if err != nil {
		t.Fatal(err)
	}
	result, _, err := program.Eval(object)
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	holds, ok := result.Value().(bool)
	if !ok {
		t.Fatalf("%s is %v", expression, result)
	}
	return holds
}

func fluxHealthCheck(t *testing.T) healthCheck {
	t.Helper()
	first, _, _ := strings.Cut(readConfig(t, "flux/example.yaml"), "\n---\n")
	var kustomization struct {
		Spec struct {
			Wait             bool          `json:"wait"`
			HealthCheckExprs []healthCheck `json:"healthCheckExprs"`
		} `json:"spec"`
	}
	if err := yaml.Unmarshal([]byte(first), &kustomization); err != nil {
		t.Fatal(err)
	}
	checks := kustomization.Spec.HealthCheckExprs
	if len(checks) != 1 || !kustomization.Spec.Wait {
		encoded, _ := json.Marshal(kustomization)
		t.Fatalf("the example waits for nothing: %s", encoded)
	}
	if checks[0].APIVersion != v1alpha1.GroupVersion.String() || checks[0].Kind != "JupicoCredential" {
		t.Fatalf("the example is about %s, %s", checks[0].APIVersion, checks[0].Kind)
	}
	return checks[0]
}

func TestFluxReadsEveryStateRightly(t *testing.T) {
	t.Parallel()
	check := fluxHealthCheck(t)
	eachState(t, func(t *testing.T, resource *v1alpha1.JupicoCredential, is conditions) {
		want := wantKstatus(is)
		if resource.Spec.Suspend && !isReady(is) {
			want = status.FailedStatus // it would wait until the timeout
		}
		if got := check.status(t, resource); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		resource.Status.Conditions = nil
		if got := check.status(t, resource); got != status.InProgressStatus {
			t.Errorf("got %s without conditions", got)
		}
	})
	for sentence, resource := range unseen(t) {
		if got := check.status(t, resource); got != status.InProgressStatus {
			t.Errorf("got %s of a resource %s", got, sentence)
		}
	}
}
