// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	_ "embed"
	"os"
	"strings"
)

// hostIP is the machine's end of the link to the cluster. All other addresses are in the cluster's own network. hostIP
// and nodeIP are in the range for benchmarks (RFC 2544), which nobody routes.
const (
	hostIP       = "198.18.77.1"
	nodeIP       = "198.18.77.2"
	apiServer    = "https://" + nodeIP + ":6443"
	apiServiceIP = "10.96.0.1"
	podNetwork   = "10.244.0.0/24"
	services     = "10.96.0.0/16"
	hostLink     = "jupico-cluster" // at most 15 characters
	nodeName     = "node"
	cgroup       = "jupico-cluster"
)

// kubeconfig is a format. Its arguments are the API server, and the paths of the CA's and the client's certificates
// without the extension.
const kubeconfig = `apiVersion: v1
kind: Config
clusters:
- name: jupico-cluster
  cluster: {server: "%[1]s", certificate-authority: "%[2]s.crt"}
users:
- name: user
  user: {client-certificate: "%[3]s.crt", client-key: "%[3]s.key"}
contexts:
- name: jupico-cluster
  context: {cluster: jupico-cluster, user: user}
current-context: jupico-cluster
`

//go:embed config/containerd.toml
var containerdConfig string

//go:embed config/kubelet.yaml
var kubeletConfig string

//go:embed config/network.json
var networkConfig string

//go:embed config/cluster-dns.yaml
var clusterDNS string

// component is a program that runs while the cluster runs.
type component struct {
	name string
	path string
	args []string
}

// components returns the programs of the cluster, in the order in which they start.
func (c *cluster) components() []component {
	kubeconfig := func(name string) string { return "--kubeconfig=" + c.path("state", name+".kubeconfig") }
	return []component{
		{"etcd", c.controlPlane + "/etcd", []string{
			"--data-dir=" + c.path("state", "etcd"), "--listen-client-urls=http://127.0.0.1:2379",
			"--advertise-client-urls=http://127.0.0.1:2379", "--unsafe-no-fsync", "--log-level=warn",
		}},
		{"kube-apiserver", c.controlPlane + "/kube-apiserver", c.apiServerArgs()},
		{"kube-controller-manager", c.path("bin", "kube-controller-manager"), []string{
			kubeconfig("kube-controller-manager"), "--leader-elect=false", "--use-service-account-credentials",
			"--root-ca-file=" + c.pki("ca") + ".crt",
			"--service-account-private-key-file=" + c.pki("service-accounts") + ".key",
		}},
		{"kube-scheduler", c.path("bin", "kube-scheduler"), []string{kubeconfig("kube-scheduler"), "--leader-elect=false"}},
		{"containerd", c.path("bin", "containerd"), []string{"--config=" + c.path("state", "containerd.toml")}},
		{"kubelet", c.path("bin", "kubelet"), []string{
			kubeconfig("kubelet"), "--config=" + c.path("state", "kubelet.yaml"), "--hostname-override=" + nodeName,
			"--node-ip=" + nodeIP,
		}},
		{"kube-proxy", c.path("bin", "kube-proxy"), []string{
			kubeconfig("kube-proxy"), "--proxy-mode=nftables", "--conntrack-max-per-core=0",
			"--cluster-cidr=" + podNetwork, "--hostname-override=" + nodeName,
		}},
	}
}

func (c *cluster) apiServerArgs() []string {
	return []string{
		"--etcd-servers=http://127.0.0.1:2379", "--advertise-address=" + nodeIP, "--secure-port=6443",
		"--allow-privileged", "--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
		"--client-ca-file=" + c.pki("ca") + ".crt",
		"--tls-cert-file=" + c.pki("apiserver") + ".crt", "--tls-private-key-file=" + c.pki("apiserver") + ".key",
		"--kubelet-certificate-authority=" + c.pki("ca") + ".crt",
		"--kubelet-client-certificate=" + c.pki("apiserver-kubelet") + ".crt",
		"--kubelet-client-key=" + c.pki("apiserver-kubelet") + ".key",
		"--kubelet-preferred-address-types=InternalIP",
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file=" + c.pki("service-accounts") + ".crt",
		"--service-account-signing-key-file=" + c.pki("service-accounts") + ".key",
		"--service-cluster-ip-range=" + services,
	}
}

// writeConfigs writes the files that the components read.
func (c *cluster) writeConfigs() error {
	if err := os.MkdirAll(c.path("state", "network"), 0o700); err != nil {
		return err
	}
	values := strings.NewReplacer(
		"{{bin}}", c.path("bin"), "{{state}}", c.path("state"), "{{pki}}", c.path("state", "pki"))
	for path, content := range map[string]string{
		"containerd.toml":         containerdConfig,
		"kubelet.yaml":            kubeletConfig,
		"network/10-ptp.conflist": networkConfig,
		"cluster-dns.yaml":        clusterDNS,
		"resolv.conf":             "", // the node uses no name server
	} {
		if err := os.WriteFile(c.path("state", path), []byte(values.Replace(content)), 0o600); err != nil {
			return err
		}
	}
	return nil
}
