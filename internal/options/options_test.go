// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package options

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// parse returns the options that these arguments make, and what was printed.
func parse(arguments ...string) (*Options, string, error) {
	var printed bytes.Buffer
	options := &Options{}
	flags := flag.NewFlagSet("manager", flag.ContinueOnError)
	flags.SetOutput(&printed)
	options.BindFlags(flags)
	err := flags.Parse(arguments)
	return options, printed.String(), err
}

func defaults() Options {
	return Options{
		MaxConcurrentReconciles: 128,
		KubeAPIQPS:              -1,
		CheckTimeout:            10 * time.Second,
		CheckQPS:                20,
		CheckBurst:              40,
		MetricsBindAddress:      "0",
		MetricsSecure:           true,
		HealthProbeBindAddress:  ":8081",
		PprofBindAddress:        "0",
	}
}

func TestTheDefaultsAreValid(t *testing.T) {
	got, _, err := parse()
	if err != nil {
		t.Fatal(err)
	}
	if want := defaults(); !reflect.DeepEqual(*got, want) {
		t.Errorf("got %+v, want %+v", *got, want)
	}
	if err := got.Validate(); err != nil {
		t.Error(err)
	}
}

func TestEveryFlagSetsItsOption(t *testing.T) {
	for _, tc := range []struct {
		sentence  string
		arguments []string
		change    func(*Options)
	}{
		{"one namespace", []string{"--namespaces=a"}, func(o *Options) { o.Namespaces = []string{"a"} }},
		{"namespaces with commas", []string{"--namespaces=a,b"}, func(o *Options) { o.Namespaces = []string{"a", "b"} }},
		{"namespaces, repeated", []string{"--namespaces=a,b", "--namespaces", "c"}, func(o *Options) { o.Namespaces = []string{"a", "b", "c"} }},
		{"namespaces with spaces and gaps", []string{"--namespaces= a , ,b,"}, func(o *Options) { o.Namespaces = []string{"a", "b"} }},
		{"no namespaces", []string{"--namespaces="}, func(*Options) {}},
		{"reconciles", []string{"--max-concurrent-reconciles=3"}, func(o *Options) { o.MaxConcurrentReconciles = 3 }},
		{"requests a second", []string{"--kube-api-qps=2.5"}, func(o *Options) { o.KubeAPIQPS = 2.5 }},
		{"requests at once", []string{"--kube-api-burst=4"}, func(o *Options) { o.KubeAPIBurst = 4 }},
		{"an endpoint", []string{"--allowed-endpoint=https://a.example"}, func(o *Options) { o.AllowedEndpoints = []string{"https://a.example"} }},
		{"endpoints, repeated", []string{"--allowed-endpoint=https://a.example", "--allowed-endpoint", "https://b.example, https://c.example"},
			func(o *Options) {
				o.AllowedEndpoints = []string{"https://a.example", "https://b.example", "https://c.example"}
			}},
		{"authorities", []string{"--trusted-ca-dir=/ca"}, func(o *Options) { o.TrustedCADir = "/ca" }},
		{"the timeout", []string{"--check-timeout=20s"}, func(o *Options) { o.CheckTimeout = 20 * time.Second }},
		{"checks a second", []string{"--check-qps=2.5"}, func(o *Options) { o.CheckQPS = 2.5 }},
		{"checks at once", []string{"--check-burst=5"}, func(o *Options) { o.CheckBurst = 5 }},
		{"the election", []string{"--leader-elect"}, func(o *Options) { o.LeaderElect = true }},
		{"the address of metrics", []string{"--metrics-bind-address=:8443"}, func(o *Options) { o.MetricsBindAddress = ":8443" }},
		{"plain metrics", []string{"--metrics-secure=false"}, func(o *Options) { o.MetricsSecure = false }},
		{"a certificate for metrics", []string{"--metrics-cert-dir=/certs"}, func(o *Options) { o.MetricsCertDir = "/certs" }},
		{"the address of probes", []string{"--health-probe-bind-address=:9000"}, func(o *Options) { o.HealthProbeBindAddress = ":9000" }},
		{"the address of profiles", []string{"--pprof-bind-address=:6060"}, func(o *Options) { o.PprofBindAddress = ":6060" }},
	} {
		t.Run(tc.sentence, func(t *testing.T) {
			got, _, err := parse(tc.arguments...)
			if err != nil {
				t.Fatal(err)
			}
			want := defaults()
			tc.change(&want)
			if !reflect.DeepEqual(*got, want) {
				t.Errorf("got %+v, want %+v", *got, want)
			}
		})
	}
}

func TestProfilesAreServedOnTheLoopbackInterfaceUnlessAnotherIsNamed(t *testing.T) {
	for given, want := range map[string]string{
		"0": "0", ":6060": "127.0.0.1:6060", "0.0.0.0:6060": "0.0.0.0:6060", "[::1]:6060": "[::1]:6060",
	} {
		if got := (&Options{PprofBindAddress: given}).ProfilingAddress(); got != want {
			t.Errorf("%s is served on %s, want %s", given, got, want)
		}
	}
}

func TestWhatCannotBeUsedIsSaid(t *testing.T) {
	for _, tc := range []struct {
		sentence  string
		arguments []string
		problem   string // empty: none
	}{
		{"a namespace", []string{"--namespaces=shop-2"}, ""},
		{"a namespace in capitals", []string{"--namespaces=shop,Shop"}, `--namespaces: "Shop" is not a namespace's name`},
		{"a namespace with a dot", []string{"--namespaces=a.b"}, `--namespaces: "a.b" is not a namespace's name`},
		{"a namespace that is too long", []string{"--namespaces=" + strings.Repeat("n", 64)},
			`--namespaces: "` + strings.Repeat("n", 64) + `" is not a namespace's name`},
		{"one reconcile", []string{"--max-concurrent-reconciles=1"}, ""},
		{"no reconcile", []string{"--max-concurrent-reconciles=0"}, "--max-concurrent-reconciles: 0 is less than 1"},
		{"fewer reconciles", []string{"--max-concurrent-reconciles=-1"}, "--max-concurrent-reconciles: -1 is less than 1"},
		{"a rate with a burst", []string{"--kube-api-qps=20", "--kube-api-burst=1"}, ""},
		{"a rate of none", []string{"--kube-api-qps=0"}, "--kube-api-qps: 0 would let nothing through; a negative number means no limit"},
		{"a rate of none with a burst", []string{"--kube-api-qps=0", "--kube-api-burst=1"},
			"--kube-api-qps: 0 would let nothing through; a negative number means no limit"},
		{"a rate without a burst", []string{"--kube-api-qps=0.5"}, "--kube-api-burst: must be at least 1 beside --kube-api-qps"},
		{"a rate with a negative burst", []string{"--kube-api-qps=20", "--kube-api-burst=-1"},
			"--kube-api-burst: must be at least 1 beside --kube-api-qps"},
		{"a certificate for metrics", []string{"--metrics-cert-dir=/certs"}, ""},
		{"a certificate for plain metrics", []string{"--metrics-cert-dir=/certs", "--metrics-secure=false"},
			"--metrics-cert-dir: plain HTTP, which --metrics-secure=false asks for, has no certificate"},
		{"an endpoint", []string{"--allowed-endpoint=https://gw.example/jupico"}, ""},
		{"an endpoint without TLS", []string{"--allowed-endpoint=http://gw.example"},
			`--allowed-endpoint: "http://gw.example": not an https:// URL`},
		{"an endpoint without a scheme", []string{"--allowed-endpoint=https://gw.example,gw.example"},
			`--allowed-endpoint: "gw.example": not an https:// URL`},
		{"the shortest timeout", []string{"--check-timeout=1s"}, ""},
		{"the longest timeout", []string{"--check-timeout=25s"}, ""},
		{"a shorter timeout", []string{"--check-timeout=999ms"}, "--check-timeout: 999ms is not between 1s and 25s"},
		{"a longer timeout", []string{"--check-timeout=26s"}, "--check-timeout: 26s is not between 1s and 25s"},
		{"no timeout", []string{"--check-timeout=0"}, "--check-timeout: 0s is not between 1s and 25s"},
		{"a check every 10 s", []string{"--check-qps=0.1"}, ""},
		{"the most checks", []string{"--check-qps=10000"}, ""},
		{"more checks", []string{"--check-qps=10000.5"}, "--check-qps: 10000.5 is not between 0.1 and 10000"},
		{"no checks", []string{"--check-qps=0"}, "--check-qps: 0 is not between 0.1 and 10000"},
		{"too few checks for a delivery", []string{"--check-qps=0.09"}, "--check-qps: 0.09 is not between 0.1 and 10000"},
		{"fewer checks", []string{"--check-qps=-1"}, "--check-qps: -1 is not between 0.1 and 10000"},
		{"a rate that is no number", []string{"--check-qps=NaN"}, "--check-qps: NaN is not between 0.1 and 10000"},
		{"one check at once", []string{"--check-burst=1"}, ""},
		{"no check at once", []string{"--check-burst=0"}, "--check-burst: 0 is less than 1"},
	} {
		t.Run(tc.sentence, func(t *testing.T) {
			options, _, err := parse(tc.arguments...)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if err := options.Validate(); err != nil {
				got = err.Error()
			}
			if got != tc.problem {
				t.Errorf("got %q, want %q", got, tc.problem)
			}
		})
	}
}

func TestAllProblemsAreSaidAtOnce(t *testing.T) {
	options, _, err := parse("--namespaces=A,B", "--max-concurrent-reconciles=0", "--kube-api-qps=1",
		"--allowed-endpoint=gw.example", "--check-timeout=1h", "--check-qps=0", "--check-burst=0")
	if err != nil {
		t.Fatal(err)
	}
	err = options.Validate()
	if err == nil {
		t.Fatal("nothing is said")
	}
	flags := []string{}
	for line := range strings.Lines(err.Error()) {
		name, _, _ := strings.Cut(line, ":")
		flags = append(flags, name)
	}
	want := []string{
		"--namespaces", "--namespaces", "--max-concurrent-reconciles", "--kube-api-burst", "--allowed-endpoint", "--check-timeout",
		"--check-qps", "--check-burst",
	}
	if !slices.Equal(flags, want) {
		t.Errorf("got %q", err)
	}
}

func TestAValueOfTheWrongKindIsRefusedByName(t *testing.T) {
	for _, argument := range []string{
		"--max-concurrent-reconciles=many", "--kube-api-qps=many", "--kube-api-burst=1.5", "--check-timeout=10",
		"--check-qps=many", "--check-burst=1.5",
		"--leader-elect=perhaps", "--metrics-secure=perhaps", "--no-such-flag",
	} {
		name, _, _ := strings.Cut(strings.TrimPrefix(argument, "-"), "=")
		if _, _, err := parse(argument); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s gives %v", argument, err)
		}
	}
}

func TestTheHelpMentionsEveryFlag(t *testing.T) {
	_, help, err := parse("--help")
	if !errors.Is(err, flag.ErrHelp) {
		t.Fatal(err)
	}
	want := []string{
		"allowed-endpoint", "check-burst", "check-qps", "check-timeout", "health-probe-bind-address", "kube-api-burst", "kube-api-qps", "leader-elect",
		"max-concurrent-reconciles", "metrics-bind-address", "metrics-cert-dir", "metrics-secure", "namespaces",
		"pprof-bind-address", "trusted-ca-dir",
	}
	var bound []string
	flags := flag.NewFlagSet("manager", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	(&Options{}).BindFlags(flags)
	flags.VisitAll(func(f *flag.Flag) {
		bound = append(bound, f.Name)
		if !strings.HasSuffix(f.Usage, ".") {
			t.Errorf("--%s is explained by no sentence: %q", f.Name, f.Usage)
		}
	})
	if !slices.Equal(bound, want) {
		t.Errorf("the flags are %q, want %q", bound, want)
	}
	for _, name := range want {
		if !strings.Contains(help, "\n  -"+name) {
			t.Errorf("the help does not mention --%s:\n%s", name, help)
		}
	}
	for _, part := range []string{"(default 128)", "(default -1)", "(default 10s)", "(default true)", `(default ":8081")`} {
		if !strings.Contains(help, part) {
			t.Errorf("the help does not say %s:\n%s", part, help)
		}
	}
}

func TestTheAllowListHoldsTheGivenEndpointsAndJupicosOwn(t *testing.T) {
	options, _, err := parse("--allowed-endpoint=https://GW.example:443/")
	if err != nil {
		t.Fatal(err)
	}
	list, err := options.AllowList()
	if err != nil {
		t.Fatal(err)
	}
	for url, want := range map[string]bool{
		"https://gw.example": true, "https://sandbox-platform.jupico.com": true, "https://platform.jupico.com": true, "https://other.example": false,
	} {
		if got := list[url]; got != want {
			t.Errorf("%s: %t, want %t", url, got, want)
		}
	}
}
