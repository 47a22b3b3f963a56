// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package options holds the operator's flags.
package options

import (
	"errors"
	"flag"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/jupico-operator/jupico-operator/internal/decision"
	"github.com/jupico-operator/jupico-operator/internal/jupico/endpoint"
)

// Options are the operator's settings. --kubeconfig is controller-runtime's own flag.
type Options struct {
	Namespaces              []string
	MaxConcurrentReconciles int
	KubeAPIQPS              float64
	KubeAPIBurst            int
	AllowedEndpoints        []string
	TrustedCADir            string
	CheckTimeout            time.Duration
	CheckQPS                float64
	CheckBurst              int
	LeaderElect             bool
	MetricsBindAddress      string
	MetricsSecure           bool
	MetricsCertDir          string
	HealthProbeBindAddress  string
	PprofBindAddress        string
}

// BindFlags registers the flags and their defaults.
func (o *Options) BindFlags(fs *flag.FlagSet) {
	fs.Func("namespaces", "Comma-separated `names` of the namespaces to work in. When left out, all.",
		appendTo(&o.Namespaces))
	fs.IntVar(&o.MaxConcurrentReconciles, "max-concurrent-reconciles", 128,
		"How many resources are worked on at the same time, in each of --namespaces. Half of them may be in flight to "+
			"one endpoint.")
	fs.Float64Var(&o.KubeAPIQPS, "kube-api-qps", -1,
		"Requests a second to the Kubernetes API server. Negative: no limit here, the server's fairness decides.")
	fs.IntVar(&o.KubeAPIBurst, "kube-api-burst", 0,
		"Requests to the Kubernetes API server at once. Needed where --kube-api-qps is positive.")
	fs.Func("allowed-endpoint", "Base `URL`, such as https://jupico-gw.corp.example, that credentials may be sent to "+
		"beside Jupico's own two hosts. Scheme, host, port and path must match exactly. May be given more than once.",
		appendTo(&o.AllowedEndpoints))
	fs.StringVar(&o.TrustedCADir, "trusted-ca-dir", "",
		"`Directory` with certificates of authorities, in PEM, that are trusted in addition to the system's. Read at the "+
			"start.")
	fs.DurationVar(&o.CheckTimeout, "check-timeout", 10*time.Second,
		"How long one request to Jupico may take in all.")
	fs.Float64Var(&o.CheckQPS, "check-qps", 20,
		"Requests a second to one endpoint in the long run. 20 are enough for 6,000 different tokens every 5 minutes.")
	fs.IntVar(&o.CheckBurst, "check-burst", 40, "Requests to one endpoint at once.")
	fs.BoolVar(&o.LeaderElect, "leader-elect", false,
		"Elect a leader, so that only one of several replicas works.")
	fs.StringVar(&o.MetricsBindAddress, "metrics-bind-address", "0",
		"`Address` that metrics are served on, such as :8443. 0: none.")
	fs.BoolVar(&o.MetricsSecure, "metrics-secure", true,
		"Serve metrics over HTTPS, to whom the cluster lets get /metrics. When false, over plain HTTP to everybody.")
	fs.StringVar(&o.MetricsCertDir, "metrics-cert-dir", "",
		"`Directory` with tls.crt and tls.key to serve metrics with, read again when they change. "+
			"When left out, a certificate that is made at each start.")
	fs.StringVar(&o.HealthProbeBindAddress, "health-probe-bind-address", ":8081",
		"`Address` that /healthz and /readyz are served on. 0: none.")
	fs.StringVar(&o.PprofBindAddress, "pprof-bind-address", "0",
		"`Address` that profiles are served on, to everybody who reaches it. Without a host, such as :6060, it is on the "+
			"loopback interface alone. 0: none.")
}

// appendTo returns a function that appends a comma-separated list to another one.
func appendTo(list *[]string) func(string) error {
	return func(value string) error {
		for item := range strings.SplitSeq(value, ",") {
			if item = strings.TrimSpace(item); item != "" {
				*list = append(*list, item)
			}
		}
		return nil
	}
}

// Validate says what is wrong with the settings, all of it at once.
func (o *Options) Validate() error {
	var problems []error
	require := func(isMet bool, format string, args ...any) {
		if !isMet {
			problems = append(problems, fmt.Errorf(format, args...))
		}
	}
	for _, namespace := range o.Namespaces {
		require(len(validation.IsDNS1123Label(namespace)) == 0, "--namespaces: %q is not a namespace's name", namespace)
	}
	require(o.MaxConcurrentReconciles >= 1,
		"--max-concurrent-reconciles: %d is less than 1", o.MaxConcurrentReconciles)
	require(o.KubeAPIQPS != 0,
		"--kube-api-qps: 0 would let nothing through; a negative number means no limit")
	require(o.KubeAPIQPS <= 0 || o.KubeAPIBurst >= 1,
		"--kube-api-burst: must be at least 1 beside --kube-api-qps")
	require(o.MetricsCertDir == "" || o.MetricsSecure,
		"--metrics-cert-dir: plain HTTP, which --metrics-secure=false asks for, has no certificate")
	_, err := o.AllowList()
	require(err == nil, "--allowed-endpoint: %w", err)
	_, err = o.Roots()
	require(err == nil, "--trusted-ca-dir: %w", err)
	// A random token is sent first, and what comes of both must not be older than a minute when it is written.
	require(o.CheckTimeout >= time.Second && o.CheckTimeout <= 25*time.Second,
		"--check-timeout: %s is not between 1s and 25s", o.CheckTimeout)
	require(o.CheckQPS >= 0.1 && o.CheckQPS <= 10_000, // a delivery takes two requests in a minute; NaN is neither
		"--check-qps: %v is not between 0.1 and 10000", o.CheckQPS)
	require(o.CheckBurst >= 1, "--check-burst: %d is less than 1", o.CheckBurst)
	return errors.Join(problems...)
}

// ProfilingAddress is where profiles are served: on the loopback interface, unless another was named.
func (o *Options) ProfilingAddress() string {
	if strings.HasPrefix(o.PprofBindAddress, ":") {
		return "127.0.0.1" + o.PprofBindAddress
	}
	return o.PprofBindAddress
}

// AllowList holds the endpoints of the environments, and those that a flag adds.
func (o *Options) AllowList() (endpoint.AllowList, error) {
	return endpoint.NewAllowList(append(decision.EnvironmentURLs(), o.AllowedEndpoints...)...)
}
