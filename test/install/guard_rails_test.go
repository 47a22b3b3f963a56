// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/jupico-operator/jupico-operator/docs/console"
)

const guardRails = "config/samples/guard-rails"

// credential returns the manifest of a JupicoCredential with more lines in its spec.
func credential(namespace, name, environment, lines string) string {
	return `apiVersion: credentials.jupico.dev/v1alpha1
kind: JupicoCredential
metadata: {name: ` + name + `, namespace: ` + namespace + `}
spec:
  environment: ` + environment + `
  credentials:
  - name: main
    basicAuthSecretRef: {name: jupico-login}
  target: {name: ` + name + `-jupico}
` + lines
}

func endpoint(url string) string { return "  endpoint: {url: \"" + url + "\"}\n" }

// raiseGuardRails applies the guard rails, and returns when they are in force.
func (c *cluster) raiseGuardRails(t *testing.T) {
	t.Helper()
	c.mustApply(t, kustomized(t, guardRails))
	c.awaitGuardRails(t)
}

// awaitGuardRails returns when the API server has noticed each policy.
func (c *cluster) awaitGuardRails(t *testing.T) {
	t.Helper()
	for policy, refused := range map[string]string{
		"jupico-no-production": credential("shop", "refused", "Production", ""),
		"jupico-endpoints":     credential("shop", "refused", "Sandbox", endpoint("https://refused.example")),
		"jupico-namespaces":    credential("default", "refused", "Sandbox", ""),
	} {
		gomega.NewWithT(t).Eventually(func() string { return c.dryRun(t, refused) }, "30s", "50ms").
			Should(gomega.ContainSubstring("'" + policy + "' with binding"))
	}
}

// dryRun returns what the API server says about a manifest.
func (c *cluster) dryRun(t *testing.T, manifest string) string {
	t.Helper()
	output, _ := c.try(t, manifest, "apply", "--dry-run=server", "-f", "-")
	return output
}

func TestTheGuardRails(t *testing.T) {
	c := newCluster(t)
	c.must(t, "apply", "-f", "dist/install.yaml")
	c.must(t, "wait", "--for=condition=Established", "--timeout=30s", "crd/jupicocredentials.credentials.jupico.dev")
	c.aggregateRoles(t)
	c.must(t, "create", "namespace", "shop")
	c.must(t, "label", "namespace", "shop", "jupico-credentials=allowed")
	c.must(t, "create", "namespace", "billing")
	c.mustApply(t, credential("billing", "old", "Production", endpoint("https://other.example")))
	c.raiseGuardRails(t)
	t.Run("say what is wrong and what to do", c.guardRailsSayWhatIsWrong)
	t.Run("leave alone what stands already", c.guardRailsLeaveAloneWhatStands)
	t.Run("let teams do what the sample says and no more", c.teamsMayDoWhatTheSampleSays)
	t.Run("refuse production as an endpoint, however it is spelt", c.guardRailsRefuseProductionAsAnEndpoint)
	t.Run("refuse nothing when they only warn", c.guardRailsOnlyWarn)
}

func (c *cluster) guardRailsSayWhatIsWrong(t *testing.T) {
	const (
		accepted     = "jupicocredential.credentials.jupico.dev/payments created (server dry run)\n"
		noProduction = "this cluster has no access to Jupico's production: set spec.environment to Sandbox or SharedSandbox, " +
			"or use a production cluster"
		noNamespace = "the namespace billing may hold no JupicoCredentials: use one that may, or ask the administrators " +
			"of the cluster to label it jupico-credentials=allowed"
	)
	noEndpoint := func(url string) string {
		return "spec.endpoint.url may not be " + url + ": remove spec.endpoint, or write exactly one of " +
			"https://jupico-gw.corp.example"
	}
	for sentence, row := range map[string]struct{ namespace, environment, url, want string }{
		"the sandbox is accepted":                     {"shop", "Sandbox", "", accepted},
		"the shared sandbox is accepted":              {"shop", "SharedSandbox", "", accepted},
		"an endpoint of the list is accepted":         {"shop", "Sandbox", "https://jupico-gw.corp.example", accepted},
		"production is refused":                       {"shop", "Production", "", noProduction},
		"another endpoint is refused":                 {"shop", "Sandbox", "https://other.example", noEndpoint("https://other.example")},
		"an endpoint that begins like one is refused": {"shop", "Sandbox", "https://jupico-gw.corp.example.org", noEndpoint("https://jupico-gw.corp.example.org")},
		"a namespace without the label is refused":    {"billing", "Sandbox", "", noNamespace},
	} {
		t.Run(sentence, func(t *testing.T) {
			lines := ""
			if row.url != "" {
				lines = endpoint(row.url)
			}
			got := c.dryRun(t, credential(row.namespace, "payments", row.environment, lines))
			if !strings.Contains(got, row.want) {
				t.Errorf("the API server says\n%s\nand not\n%s", got, row.want)
			}
		})
	}
}

func (c *cluster) guardRailsLeaveAloneWhatStands(t *testing.T) {
	// What the operator does, and who asks it for a check.
	c.must(t, "patch", "jcred/old", "-n=billing", "--subresource=status", "--type=merge",
		`--patch={"status":{"observedGeneration":1}}`)
	c.must(t, "annotate", "jcred/old", "-n=billing", "credentials.jupico.dev/check-requested-at=now")
	output, err := c.try(t, "", "patch", "jcred/old", "-n=billing", "--type=merge", `--patch={"spec":{"suspend":true}}`)
	if err == nil || !strings.Contains(output, "denied request") {
		t.Errorf("an edit of the spec is not refused: %s", output)
	}
	// What a foreground deletion does.
	c.must(t, "patch", "jcred/old", "-n=billing", "--type=merge", `--patch={"metadata":{"finalizers":["shop.example/wait"]}}`)
	c.must(t, "delete", "jcred/old", "-n=billing", "--wait=false")
	c.must(t, "patch", "jcred/old", "-n=billing", "--type=merge", `--patch={"metadata":{"finalizers":null}}`)
	if left := c.must(t, "get", "jcred", "-n=billing", "-o=name"); left != "" {
		t.Errorf("%s is still there", left)
	}
}

// An API server says only what one of several policies has against a manifest. So it has to be the only one.
func (c *cluster) guardRailsRefuseProductionAsAnEndpoint(t *testing.T) {
	c.letOnlyWarn(t, "jupico-endpoints")
	for _, url := range []string{"https://platform.jupico.com", "HTTPS://Platform.JUPICO.com:443/"} {
		gomega.NewWithT(t).Eventually(func() string { return c.dryRun(t, credential("shop", "payments", "Sandbox", endpoint(url))) },
			"30s", "50ms").Should(gomega.And(
			gomega.ContainSubstring("Warning: Validation failed for ValidatingAdmissionPolicy 'jupico-endpoints'"),
			gomega.ContainSubstring("this cluster has no access to Jupico's production: remove spec.endpoint, or use a "+
				"production cluster")))
	}
}

func (c *cluster) letOnlyWarn(t *testing.T, policy string) {
	t.Helper()
	c.must(t, "patch", "validatingadmissionpolicybinding/"+policy, "--type=merge",
		`--patch={"spec":{"validationActions":["Warn","Audit"]}}`)
}

func (c *cluster) guardRailsOnlyWarn(t *testing.T) {
	c.letOnlyWarn(t, "jupico-no-production")
	gomega.NewWithT(t).Eventually(func() string { return c.dryRun(t, credential("shop", "payments", "Production", "")) },
		"30s", "50ms").Should(gomega.And(
		gomega.ContainSubstring("Warning: Validation failed for ValidatingAdmissionPolicy 'jupico-no-production'"),
		gomega.ContainSubstring("jupicocredential.credentials.jupico.dev/payments created")))
}

func (c *cluster) teamsMayDoWhatTheSampleSays(t *testing.T) {
	for _, row := range []struct{ group, verb, what, namespace, want string }{
		{"shop-developers", "create", "jcred", "shop", "yes"},
		{"shop-developers", "patch", "jcred", "shop", "yes"},
		{"shop-developers", "get", "secrets", "shop", "yes"},
		{"shop-developers", "patch", "jcred --subresource=status", "shop", "no"},
		{"shop-developers", "update", "namespace/shop", "shop", "no"}, // or they could label it
		{"shop-developers", "create", "jcred", "billing", "no"},
		{"shop-developers", "get", "jcred", "billing", "no"},
		{"shop-support", "get", "jcred", "shop", "yes"},
		{"shop-support", "patch", "jcred", "shop", "no"},
		{"shop-support", "get", "secrets", "shop", "no"},
		{"jupico-on-call", "list", "jcred", "shop", "yes"},
		{"jupico-on-call", "list", "jcred", "billing", "yes"},
		{"jupico-on-call", "patch", "jcred", "billing", "no"},
		{"jupico-on-call", "get", "secrets", "billing", "no"},
		{"jupico-on-call", "get", "pods", "billing", "no"},
	} {
		// It fails if the answer is no.
		question := append([]string{"auth", "can-i", row.verb}, strings.Fields(row.what)...)
		answer, _ := c.try(t, "", append(question, "-n", row.namespace, "--as=somebody", "--as-group="+row.group)...)
		if answer = strings.TrimSpace(answer); !strings.HasSuffix(answer, row.want) {
			t.Errorf("may %s %s %s in %s: %s, want %s", row.group, row.verb, row.what, row.namespace, answer, row.want)
		}
	}
}

func (c *cluster) aggregateRoles(t *testing.T) {
	t.Helper()
	c.aggregate(t, "view")
	c.aggregate(t, "edit") // which covers view
}

// aggregate does what a controller does in a cluster: it puts the rules of all roles that are labelled for it into a role.
func (c *cluster) aggregate(t *testing.T, role string) {
	t.Helper()
	var roles rbacv1.ClusterRoleList
	text := c.must(t, "get", "clusterroles", "-l=rbac.authorization.k8s.io/aggregate-to-"+role+"=true", "-o=json")
	if err := json.Unmarshal([]byte(text), &roles); err != nil {
		t.Fatal(err)
	}
	var rules []rbacv1.PolicyRule
	for i := range roles.Items {
		rules = append(rules, roles.Items[i].Rules...)
	}
	patch, err := json.Marshal(map[string]any{"rules": rules})
	if err != nil {
		t.Fatal(err)
	}
	c.must(t, "patch", "clusterrole/"+role, "--type=merge", "--patch="+string(patch))
}

// The page takes for granted that the operator is installed, and that there is the file of the README's first resource.
func TestThePageAboutSeveralTeamsShowsWhatItsCommandsPrint(t *testing.T) {
	c := newCluster(t)
	c.must(t, "apply", "-f", "dist/install.yaml")
	c.aggregateRoles(t)
	directory := t.TempDir()
	if err := os.WriteFile(filepath.Join(directory, "first.yaml"), []byte(firstResource(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(directory, guardRails), os.DirFS(filepath.Join("..", "..", guardRails))); err != nil {
		t.Fatal(err)
	}
	page := filepath.Join("..", "..", "docs/how-to/multi-tenancy.md")
	err := console.CheckPage(page, func(command string) (string, error) {
		shell := exec.CommandContext(t.Context(), "bash", "-c", command)
		shell.Dir = directory
		shell.Env = append(os.Environ(), "KUBECONFIG="+c.kubeconfig, "PATH="+filepath.Dir(c.kubectl)+":"+os.Getenv("PATH"))
		output, _ := shell.CombinedOutput() // some commands are refused
		if strings.HasPrefix(command, "kubectl apply -k ") {
			c.awaitGuardRails(t)
		}
		return string(output), nil
	})
	if err != nil {
		t.Error(err)
	}
}
