// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"encoding/json"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

func parse(t *testing.T, text string) values {
	t.Helper()
	var v values
	if err := yaml.UnmarshalStrict([]byte(text), &v); err != nil {
		t.Fatalf("%v in:\n%s", err, text)
	}
	return v
}

const (
	inNamespace = " jupico-operator-system/jupico-operator"
	monitor     = "ServiceMonitor" + inNamespace + "-controller-manager"
	account     = "ServiceAccount" + inNamespace + "-controller-manager"
	rules       = "PrometheusRule" + inNamespace
	dashboard   = "ConfigMap" + inNamespace + "-dashboard"
	service     = "Service" + inNamespace + "-controller-manager-metrics-service"
	aDigest     = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
)

// effect is what a value does: with these values, there is want at a path of the objects.
type effect struct {
	value    string // of values.yaml
	sentence string
	values   string
	path     []any
	want     any
}

func pod(more ...any) []any       { return append([]any{manager, "spec", "template", "spec"}, more...) }
func container(more ...any) []any { return append(pod("containers", 0), more...) }
func endpoint(more ...any) []any  { return append([]any{monitor, "spec", "endpoints", 0}, more...) }

var ofNames = []effect{
	{"nameOverride", "another name", "nameOverride: proof",
		[]any{"Deployment" + inNamespace + "-proof-controller-manager", "metadata", "name"}, "jupico-operator-proof-controller-manager"},
	{"nameOverride", "another name, and the same selector", "nameOverride: proof",
		[]any{"Deployment" + inNamespace + "-proof-controller-manager", "spec", "selector", "matchLabels", "app.kubernetes.io/name"}, "jupico-operator"},
	{"fullnameOverride", "a whole name", "fullnameOverride: proof",
		[]any{"Deployment jupico-operator-system/proof-controller-manager", "metadata", "name"}, "proof-controller-manager"},
	{"commonLabels", "a label of an object", "commonLabels: {team: a}", []any{service, "metadata", "labels", "team"}, "a"},
	{"commonLabels", "a label of a pod", "commonLabels: {team: a}", []any{manager, "spec", "template", "metadata", "labels", "team"}, "a"},
	{"extraObjects", "an object as YAML", "extraObjects: [{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {b: '{{ .Release.Name }}'}}]",
		[]any{"ConfigMap /a", "data", "b"}, "jupico-operator"},
	{"extraObjects", "an object as text", "extraObjects: ['{kind: ConfigMap, metadata: {name: a}, data: {b: {{ .Release.Name }}}}']",
		[]any{"ConfigMap /a", "data", "b"}, "jupico-operator"},
}

var ofTheProgram = []effect{
	{"image.repository", "the image", "image: {repository: r.example/a}", container("image"), "r.example/a:v0.1.0"},
	{"image.tag", "its tag", "image: {tag: v9}", container("image"), "jupico-operator:v9"},
	{"image.digest", "its digest", "image: {tag: v9, digest: '" + aDigest + "'}", container("image"), "jupico-operator@" + aDigest},
	{"image.pullPolicy", "the pull policy", "image: {pullPolicy: Always}", container("imagePullPolicy"), "Always"},
	{"imagePullSecrets", "pull secrets", "imagePullSecrets: [{name: a}]", pod("imagePullSecrets", 0, "name"), "a"},
	{"resources.requests.cpu", "the requested CPU", "resources: {requests: {cpu: 1}}", container("resources", "requests", "cpu"), 1.0},
	{"resources.requests.memory", "the requested memory", "resources: {requests: {memory: 1Gi}}", container("resources", "requests", "memory"), "1Gi"},
	{"resources.limits.memory", "the memory limit", "resources: {limits: {memory: 1Gi}}", container("resources", "limits", "memory"), "1Gi"},
	{"resources.limits.memory", "no memory limit", "resources: {limits: null}", container("resources", "limits"), nil},
	{"goMemLimit", "the runtime's memory limit", "goMemLimit: 920MiB", container("env", 0, "value"), "920MiB"},
	{"goMemLimit", "no memory limit of the runtime", "goMemLimit: 'off'", container("env", 0, "value"), "off"},
	{"goGC", "the runtime's garbage collection", "goGC: 100", container("env", 1, "value"), "100"},
	{"goMaxProcs", "the runtime's processors", "goMaxProcs: 4", container("env", 2, "value"), "4"},
	{"namespaces", "namespaces, as a flag", "namespaces: [a, b]", container("args", 3), "--namespaces=a,b"},
	{"namespaces", "namespaces, as rights", "namespaces: [a, b]",
		[]any{"RoleBinding b/jupico-operator-manager-rolebinding", "subjects", 0, "namespace"}, namespace},
	{"namespaces", "namespaces, and no rights elsewhere", "namespaces: [a]", []any{"ClusterRole /jupico-operator-manager-role"}, nil},
	{"allowedEndpoints", "an endpoint", "allowedEndpoints: ['https://a.example']", container("args", 3), "--allowed-endpoint=https://a.example"},
	{"trustedCA.configMapName", "authorities, as a flag", "trustedCA: {configMapName: a}", container("args", 3),
		"--trusted-ca-dir=/etc/jupico-operator/trusted-ca"},
	{"trustedCA.configMapName", "authorities, mounted", "trustedCA: {configMapName: a}", container("volumeMounts", 0),
		object{"name": "trusted-ca", "mountPath": "/etc/jupico-operator/trusted-ca", "readOnly": true}},
	{"trustedCA.configMapName", "authorities, from a ConfigMap", "trustedCA: {configMapName: a}", pod("volumes", 0),
		object{"name": "trusted-ca", "configMap": object{"name": "a"}}},
	{"logLevel", "a log level", "logLevel: debug", container("args", 3), "--zap-log-level=debug"},
	{"logLevel", "a log level as a number", "logLevel: 4", container("args", 3), "--zap-log-level=4"},
	{"extraArgs", "a flag", "extraArgs: [--check-qps=4]", container("args", 3), "--check-qps=4"},
	{"env", "an environment variable", "env: [{name: HTTPS_PROXY, value: 'http://p:1'}]", container("env", 3, "value"), "http://p:1"},
	{"env", "an environment variable beside one by the older name", "env: [{name: a}]\nextraEnv: [{name: b}]", container("env", 3, "name"), "a"},
	{"extraEnv", "an environment variable by the older name", "env: [{name: a}]\nextraEnv: [{name: b}]", container("env", 4, "name"), "b"},
	{"envFrom", "a source of environment variables", "envFrom: [{secretRef: {name: a}}]", container("envFrom", 0, "secretRef", "name"), "a"},
	{"volumes", "a volume", "volumes: [{name: a, emptyDir: {}}]", pod("volumes", 0, "name"), "a"},
	{"volumes", "a volume beside those of the chart", "volumes: [{name: a}]\ntrustedCA: {configMapName: b}\nmetrics: {tlsSecretName: c}",
		pod("volumes", 2, "name"), "a"},
	{"volumeMounts", "a mount", "volumeMounts: [{name: a, mountPath: /a}]", container("volumeMounts", 0, "mountPath"), "/a"},
	{"volumeMounts", "a mount beside those of the chart",
		"volumeMounts: [{name: a, mountPath: /a}]\ntrustedCA: {configMapName: b}\nmetrics: {tlsSecretName: c}", container("volumeMounts", 2, "mountPath"), "/a"},
	{"metrics.enabled", "no metrics, as a flag", "metrics: {enabled: false}", container("args", 1), "--metrics-bind-address=0"},
	{"metrics.enabled", "no metrics, and no service", "metrics: {enabled: false}", []any{service}, nil},
	{"metrics.tlsSecretName", "a certificate, as a flag", "metrics: {tlsSecretName: a}", container("args", 3), "--metrics-cert-dir=/etc/jupico-operator/metrics"},
	{"metrics.tlsSecretName", "a certificate, mounted", "metrics: {tlsSecretName: a}", container("volumeMounts", 0, "mountPath"), "/etc/jupico-operator/metrics"},
	{"metrics.tlsSecretName", "a certificate, its Secret", "metrics: {tlsSecretName: a}", pod("volumes", 0, "secret", "secretName"), "a"},
}

var ofPods = []effect{
	{"replicas", "replicas", "replicas: 3", []any{manager, "spec", "replicas"}, 3.0},
	{"strategy", "a strategy", "strategy: {type: Recreate}", []any{manager, "spec", "strategy", "type"}, "Recreate"},
	{"securityContext.allowPrivilegeEscalation", "an escalation", "securityContext: {allowPrivilegeEscalation: true}",
		container("securityContext", "allowPrivilegeEscalation"), true},
	{"securityContext.readOnlyRootFilesystem", "a writable file system", "securityContext: {readOnlyRootFilesystem: false}",
		container("securityContext", "readOnlyRootFilesystem"), false},
	{"securityContext.capabilities.drop", "capabilities", "securityContext: {capabilities: {drop: [KILL]}}",
		container("securityContext", "capabilities", "drop", 0), "KILL"},
	{"podSecurityContext.runAsNonRoot", "a user", "podSecurityContext: {runAsNonRoot: null, runAsUser: 7}", pod("securityContext"),
		object{"runAsUser": 7.0, "seccompProfile": object{"type": "RuntimeDefault"}}},
	{"podSecurityContext.seccompProfile.type", "a seccomp profile", "podSecurityContext: {seccompProfile: {type: Unconfined}}",
		pod("securityContext", "seccompProfile", "type"), "Unconfined"},
	{"livenessProbe.httpGet.path", "a probe's path", "livenessProbe: {httpGet: {path: /a}}", container("livenessProbe", "httpGet", "path"), "/a"},
	{"livenessProbe.httpGet.port", "a probe's port", "livenessProbe: {httpGet: {port: 1}}", container("livenessProbe", "httpGet", "port"), 1.0},
	{"livenessProbe.initialDelaySeconds", "a probe's delay", "livenessProbe: {initialDelaySeconds: 1}", container("livenessProbe", "initialDelaySeconds"), 1.0},
	{"livenessProbe.periodSeconds", "a probe's period", "livenessProbe: {periodSeconds: 1}", container("livenessProbe", "periodSeconds"), 1.0},
	{"livenessProbe.periodSeconds", "no probe", "livenessProbe: null", container("livenessProbe"), nil},
	{"readinessProbe.httpGet.path", "the other probe's path", "readinessProbe: {httpGet: {path: /a}}", container("readinessProbe", "httpGet", "path"), "/a"},
	{"readinessProbe.httpGet.port", "the other probe's port", "readinessProbe: {httpGet: {port: 1}}", container("readinessProbe", "httpGet", "port"), 1.0},
	{"readinessProbe.initialDelaySeconds", "the other probe's delay", "readinessProbe: {initialDelaySeconds: 1}",
		container("readinessProbe", "initialDelaySeconds"), 1.0},
	{"readinessProbe.periodSeconds", "the other probe's period", "readinessProbe: {periodSeconds: 1}", container("readinessProbe", "periodSeconds"), 1.0},
	{"podLabels", "a label of the pods", "podLabels: {a: b}", []any{manager, "spec", "template", "metadata", "labels", "a"}, "b"},
	{"podLabels", "a label of the pods in place of one of all objects", "podLabels: {a: b}\ncommonLabels: {a: c}",
		[]any{manager, "spec", "template", "metadata", "labels", "a"}, "b"},
	{"podAnnotations", "an annotation of the pods", "podAnnotations: {a: b}", []any{manager, "spec", "template", "metadata", "annotations", "a"}, "b"},
	{"priorityClassName", "the priority", "priorityClassName: a", pod("priorityClassName"), "a"},
	{"nodeSelector", "the nodes", "nodeSelector: {a: b}", pod("nodeSelector", "a"), "b"},
	{"tolerations", "a toleration", "tolerations: [{key: a}]", pod("tolerations", 0, "key"), "a"},
	{"affinity", "an affinity", "affinity: {nodeAffinity: {a: b}}", pod("affinity", "nodeAffinity", "a"), "b"},
	{"topologySpreadConstraints", "a spread of the operator's pods",
		"topologySpreadConstraints: [{maxSkew: 2, topologyKey: a, whenUnsatisfiable: DoNotSchedule}]", pod("topologySpreadConstraints"),
		[]any{object{"maxSkew": 2.0, "topologyKey": "a", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": object{
			"matchLabels": object{"app.kubernetes.io/name": "jupico-operator", "control-plane": "controller-manager"}}}}},
	{"topologySpreadConstraints", "a spread of other pods",
		"topologySpreadConstraints: [{maxSkew: 2, topologyKey: a, whenUnsatisfiable: DoNotSchedule, labelSelector: {}}]",
		pod("topologySpreadConstraints", 0, "labelSelector"), object{}},
	{"topologySpreadConstraints", "no spread", "topologySpreadConstraints: []", pod("topologySpreadConstraints"), nil},
	{"hostAliases", "a host", "hostAliases: [{ip: 192.0.2.1, hostnames: [a]}]", pod("hostAliases", 0, "hostnames", 0), "a"},
}

var ofOtherObjects = []effect{
	{"serviceAccount.create", "no service account", "serviceAccount: {create: false, name: a}", []any{account}, nil},
	{"serviceAccount.name", "a service account of another name", "serviceAccount: {name: a}",
		[]any{"ServiceAccount jupico-operator-system/a", "metadata", "name"}, "a"},
	{"serviceAccount.name", "a service account of another name, of the pods", "serviceAccount: {create: false, name: a}", pod("serviceAccountName"), "a"},
	{"serviceAccount.name", "a service account of another name, with rights", "serviceAccount: {create: false, name: a}",
		[]any{"ClusterRoleBinding /jupico-operator-manager-rolebinding", "subjects", 0, "name"}, "a"},
	{"serviceAccount.annotations", "an annotation of the service account", "serviceAccount: {annotations: {a: b}}",
		[]any{account, "metadata", "annotations", "a"}, "b"},
	{"rbac.create", "no rights", "rbac: {create: false}", []any{"ClusterRole /jupico-operator-manager-role"}, nil},
	{"aggregatedRoles", "no aggregated roles", "aggregatedRoles: false", []any{"ClusterRole /jupico-operator-jupicocredential-editor-role"}, nil},
	{"crds.install", "no CRD", "crds: {install: false}", []any{"CustomResourceDefinition /jupicocredentials.credentials.jupico.dev"}, nil},
	{"serviceMonitor.enabled", "a service monitor", "serviceMonitor: {enabled: true}", []any{monitor, "kind"}, "ServiceMonitor"},
	{"serviceMonitor.labels", "its label", "serviceMonitor: {enabled: true, labels: {release: a}}", []any{monitor, "metadata", "labels", "release"}, "a"},
	{"serviceMonitor.interval", "its interval", "serviceMonitor: {enabled: true, interval: 1m30s}", endpoint("interval"), "1m30s"},
	{"serviceMonitor.scrapeTimeout", "its timeout", "serviceMonitor: {enabled: true, scrapeTimeout: 5s}", endpoint("scrapeTimeout"), "5s"},
	{"serviceMonitor.relabelings", "its labels of pods", "serviceMonitor: {enabled: true, relabelings: [{action: labeldrop, regex: a}]}",
		endpoint("relabelings", 0, "regex"), "a"},
	{"serviceMonitor.metricRelabelings", "its labels of metrics", "serviceMonitor: {enabled: true, metricRelabelings: [{action: drop, regex: a}]}",
		endpoint("metricRelabelings", 0, "regex"), "a"},
	{"prometheusRule.enabled", "rules", "prometheusRule: {enabled: true}", []any{rules, "kind"}, "PrometheusRule"},
	{"prometheusRule.labels", "a label of the rules", "prometheusRule: {enabled: true, labels: {release: a}}", []any{rules, "metadata", "labels", "release"}, "a"},
	{"prometheusRule.additionalLabels", "a label of an alert", "prometheusRule: {enabled: true, additionalLabels: {team: a}}",
		[]any{rules, "spec", "groups", 0, "rules", 1, "labels"}, object{"severity": "warning", "team": "a"}},
	{"prometheusRule.disabled", "an alert less", "prometheusRule: {enabled: true, disabled: {JupicoCredentialRejected: true, JupicoMassRejection: false}}",
		[]any{rules, "spec", "groups", 0, "rules", 0, "alert"}, "JupicoSandboxReset"},
	{"grafanaDashboard.enabled", "a dashboard", "grafanaDashboard: {enabled: true}", []any{dashboard, "kind"}, "ConfigMap"},
	{"grafanaDashboard.labels.grafana_dashboard", "another value of its label", "grafanaDashboard: {enabled: true, labels: {grafana_dashboard: yes please}}",
		[]any{dashboard, "metadata", "labels", "grafana_dashboard"}, "yes please"},
	{"grafanaDashboard.annotations", "its annotation", "grafanaDashboard: {enabled: true, annotations: {grafana_folder: a}}",
		[]any{dashboard, "metadata", "annotations", "grafana_folder"}, "a"},
	{"networkPolicy.enabled", "a network policy", "networkPolicy: {enabled: true}",
		[]any{"NetworkPolicy" + inNamespace + "-controller-manager", "kind"}, "NetworkPolicy"},
	{"podDisruptionBudget.enabled", "no disruption budget", "podDisruptionBudget: {enabled: false}",
		[]any{"PodDisruptionBudget" + inNamespace + "-controller-manager"}, nil},
}

// asAny lets at begin with a name of an object.
func asAny(objects map[string]object) object {
	made := object{}
	for key, o := range objects {
		made[key] = o
	}
	return made
}

func TestEveryValueArrives(t *testing.T) {
	byDefault := asAny(mustHelm(t, values{}))
	untested := leaves("", parse(t, readFile(t, directory+"/values.yaml")))
	for _, e := range slices.Concat(ofNames, ofTheProgram, ofPods, ofOtherObjects) {
		t.Run(e.sentence, func(t *testing.T) {
			if reflect.DeepEqual(at(t, byDefault, e.path...), e.want) {
				t.Errorf("%v is also there without the value", e.want)
			}
			if got := at(t, asAny(mustHelm(t, parse(t, e.values))), e.path...); !reflect.DeepEqual(got, e.want) {
				t.Errorf("got %v, want %v", got, e.want)
			}
		})
		if _, isKnown := untested[e.value]; !isKnown {
			t.Errorf("values.yaml has no %s", e.value)
		}
		untested[e.value] = true
	}
	for value, isTested := range untested {
		if !isTested {
			t.Errorf("no row says what %s does", value)
		}
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// leaves are the paths to all that is not a map, and to empty maps.
func leaves(prefix string, v values) map[string]bool {
	found := map[string]bool{}
	for name, value := range v {
		fields, isMap := value.(values)
		if !isMap || len(fields) == 0 {
			found[prefix+name] = false
			continue
		}
		maps.Copy(found, leaves(prefix+name+".", fields))
	}
	return found
}

// schema is a part of a JSON schema.
type schema struct {
	Reference   string            `json:"$ref"`
	Definitions map[string]schema `json:"definitions"`
	Properties  map[string]schema `json:"properties"`
	Additional  any               `json:"additionalProperties"`
}

// check compares the values at a path with what the schema says about them, in both directions.
func (s schema) check(t *testing.T, definitions map[string]schema, path string, v any) {
	t.Helper()
	if name, isReference := strings.CutPrefix(s.Reference, "#/definitions/"); isReference {
		s = definitions[name]
	}
	if s.Properties == nil {
		return
	}
	if s.Additional != false {
		t.Errorf("the schema lets unknown values through at %q", path)
	}
	fields, _ := v.(values)
	for name, property := range s.Properties {
		value, isThere := fields[name]
		// Helm passes "global" to every chart. A strategy and a list hold what Kubernetes knows.
		if !isThere && path+name != "global" && path != "strategy." {
			t.Errorf("values.yaml lacks %s", path+name)
		}
		property.check(t, definitions, path+name+".", value)
	}
}

func TestTheSchemaKnowsTheValuesAndNoOthers(t *testing.T) {
	var whole schema
	if err := json.Unmarshal([]byte(readFile(t, directory+"/values.schema.json")), &whole); err != nil {
		t.Fatal(err)
	}
	// That it knows all of values.yaml is seen by rendering: unknown ones are refused.
	mustHelm(t, parse(t, readFile(t, directory+"/values.yaml")))
	whole.check(t, whole.Definitions, "", parse(t, readFile(t, directory+"/values.yaml")))
}

func TestValuesThatMeanNothingAreRefused(t *testing.T) {
	for _, text := range []string{
		"replica: 3", "replicas: many", "image: {tagg: a}", "namespaces: [Shop]", "namespaces: shop", "extraArgs: [verbose]",
		"allowedEndpoints: ['http://a.example']", "metrics: {enabled: perhaps}", "goMemLimit: 920Mi", "goGC: 0", "goMaxProcs: all",
		"serviceMonitor: {enabled: true}\nmetrics: {enabled: false}", "grafanaDashboard: {enabled: true}\nmetrics: {enabled: false}",
		"nameOverride: Proof", "commonLabels: {a: 1}", "commonLabels: {control-plane: a}", "podLabels: {app.kubernetes.io/name: a}",
		"image: {digest: 'sha256:0'}", "strategy: {type: Slow}", "logLevel: loud", "logLevel: 8", "env: [{name: a, value: 1}]",
		"env: {a: b}", "volumes: [{emptyDir: {}}]", "volumeMounts: [{name: a}]", "trustedCA: {configMapName: A}", "trustedCA: a",
		"topologySpreadConstraints: [{maxSkew: 1}]", "hostAliases: [{ip: 192.0.2.1}]", "serviceAccount: {create: false}",
		"serviceMonitor: {interval: often}", "prometheusRule: {disabled: [JupicoSandboxReset]}",
		"prometheusRule: {enabled: true, disabled: {JupicoSandbox: true}}", "extraObjects: {kind: Secret}", "rbac: false",
	} {
		if _, err := helm(t, parse(t, text)); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

func TestTheRuntimesMemoryLimitFollowsTheContainers(t *testing.T) {
	for limit, want := range map[string]string{
		"256Mi": "230MiB", "1Gi": "921MiB", "1.5Gi": "1382MiB", "512M": "439MiB", "524288Ki": "460MiB", "1073741824": "921MiB",
		"1e9": "858MiB", "null": "off",
	} {
		made := asAny(mustHelm(t, parse(t, "resources: {limits: {memory: "+limit+"}}")))
		if got := at(t, made, container("env", 0, "value")...); got != want {
			t.Errorf("GOMEMLIMIT is %v beside a limit of %s, want %s", got, limit, want)
		}
	}
}

func TestWithoutRightsTheChartMakesNone(t *testing.T) {
	for key := range mustHelm(t, parse(t, "rbac: {create: false}\nnamespaces: [shop]")) {
		if strings.Contains(strings.Fields(key)[0], "Role") {
			t.Errorf("there is %s", key)
		}
	}
}

func TestAGroupWithoutAlertsIsLeftOut(t *testing.T) {
	disabled := values{}
	all := asAny(mustHelm(t, parse(t, "prometheusRule: {enabled: true}")))
	first, _ := at(t, all, rules, "spec", "groups", 0, "rules").([]any)
	for _, rule := range first {
		disabled[rule.(object)["alert"].(string)] = true
	}
	made := asAny(mustHelm(t, values{"prometheusRule": values{"enabled": true, "disabled": disabled}}))
	got, want := at(t, made, rules, "spec", "groups", 0), at(t, all, rules, "spec", "groups", 1)
	if len(first) == 0 || !reflect.DeepEqual(got, want) {
		t.Errorf("the first of the groups is now %v, want %v", got, want)
	}
}

func TestALabelOfAllObjectsIsOnAllObjects(t *testing.T) {
	v := parse(t, everyPart)
	v["commonLabels"] = values{"tier": "payments"}
	for key, o := range mustHelm(t, v) {
		if got := at(t, o, "metadata", "labels", "tier"); got != "payments" {
			t.Errorf("%s has the label %v", key, got)
		}
		selector := at(t, o, "spec", "selector")
		if at(t, selector, "matchLabels", "tier") != nil || at(t, selector, "tier") != nil {
			t.Errorf("%s selects by the label", key)
		}
	}
}

func TestTheLongestNameOfAReleaseMakesNamesThatKubernetesTakes(t *testing.T) {
	release := strings.Repeat("long-", 10) + "one" // Helm allows 53 characters
	files, err := render(load(t, directory), release, parse(t, everyPart))
	if err != nil {
		t.Fatal(err)
	}
	for key := range objectsOf(t, files) {
		limit := 253
		if strings.HasPrefix(key, "Service ") {
			limit = 63
		}
		if _, name, _ := strings.Cut(key, "/"); len(name) > limit {
			t.Errorf("%s has %d characters", key, len(name))
		}
	}
}

func TestAnEmptyValueIsAsGoodAsNone(t *testing.T) {
	want := asAny(mustHelm(t, nil))
	for _, name := range []string{"env", "extraEnv", "podLabels", "commonLabels", "logLevel"} {
		if got := asAny(mustHelm(t, values{name: nil})); !reflect.DeepEqual(got, want) {
			t.Errorf("with an empty %s, the chart makes other objects", name)
		}
	}
}
