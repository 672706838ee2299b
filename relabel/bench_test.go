package relabel

import (
	"fmt"
	"strings"
	"testing"

	"scraper/internal/alloctest"
)

// sampleLabels is a set of twelve labels, as cAdvisor's series have them with a target's labels added.
func sampleLabels() *Labels {
	ls := labelsOf(
		"__name__", "container_network_receive_bytes_total",
		"container", "application",
		"id", "/kubepods/burstable/pod3c7e0c1d-7e0b-4b1c-9d0a-0d7d6a2ab5c9/4f1b",
		"image", "registry.example.com/team/application:v1.2.3",
		"instance", "10.0.0.1:10250",
		"interface", "eth0",
		"job", "kubelet",
		"name", "4f1b6f3f0d6c",
		"namespace", "production",
		"node", "node-17",
		"pod", "application-7d9c5b9c6d-x2x7v",
		"zone", "eu-west-1a",
	)
	return ls
}

// manyNames is an alternation of twenty: ten names, ten prefixes. No sample's name is among them.
func manyNames() string {
	var alts []string
	for i, s := range []string{"go_gc", "go_memstats", "process", "promhttp", "container_fs", "container_tasks", "container_spec", "apiserver_request", "etcd_request", "rest_client"} {
		alts = append(alts, s+"_.*", fmt.Sprintf("%s_of_another_family_%d", s, i))
	}
	return strings.Join(alts, "|")
}

// steadyRules are rules which allocate nothing on a set that they have met before.
var steadyRules = []struct {
	name string
	cfg  Config
}{
	{"keep-literal", Config{Action: "keep", SourceLabels: []string{"job"}, Regex: str("kubelet")}},
	{"drop-literals-and-prefixes", Config{Action: "drop", SourceLabels: []string{"__name__"}, Regex: str(manyNames())}},
	{"drop-prefix", Config{Action: "drop", SourceLabels: []string{"__name__"}, Regex: str("go_(.*)")}},
	{"drop-suffix", Config{Action: "drop", SourceLabels: []string{"__name__"}, Regex: str(".+_bucket")}},
	{"drop-joined", Config{Action: "drop", SourceLabels: []string{"__name__", "namespace"}, Regex: str("container_.*;kube-system")}},
	{"drop-engine", Config{Action: "drop", SourceLabels: []string{"interface"}, Regex: str("(veth|cali)[0-9a-f]+")}},
	{"drop-joined-engine", Config{Action: "drop", SourceLabels: []string{"namespace", "interface"}, Regex: str("[a-z]+;(veth|cali)[0-9a-f]+")}},
	{"drop-nocase", Config{Action: "drop", SourceLabels: []string{"zone"}, Regex: str("(?i)north|(?i)central")}},
	{"keepequal", Config{Action: "keepequal", SourceLabels: []string{"container"}, TargetLabel: "container"}},
	{"replace-copy", Config{SourceLabels: []string{"pod"}, TargetLabel: "pod_name"}},
	{"replace-constant", Config{TargetLabel: "cluster", Replacement: str("main")}},
	{"replace-constant-in-place", Config{TargetLabel: "zone", Replacement: str("here")}},
	{"replace-delete", Config{Regex: str(".*"), TargetLabel: "id", Replacement: str("")}},
	{"replace-group", Config{SourceLabels: []string{"image"}, Regex: str("registry\\.example\\.com/(.+)"), TargetLabel: "image"}},
	{"replace-group-joined", Config{SourceLabels: []string{"namespace", "pod"}, Regex: str("(.+);(.+)"), TargetLabel: "pod", Replacement: str("$2")}},
	{"replace-engine-no-match", Config{SourceLabels: []string{"pod"}, Regex: str("(.+)-([0-9]+)"), TargetLabel: "set"}},
	{"labelmap", Config{Action: "labelmap", Regex: str("na(.+)")}},
	{"labelmap-no-match", Config{Action: "labelmap", Regex: str("__meta_kubernetes_pod_label_(.+)")}},
	{"labeldrop", Config{Action: "labeldrop", Regex: str("id|name")}},
	{"labelkeep", Config{Action: "labelkeep", Regex: str("__name__|namespace|pod|node")}},
	{"lowercase", Config{Action: "lowercase", SourceLabels: []string{"zone"}, TargetLabel: "zone"}},
}

var hashModRule = Config{Action: "hashmod", SourceLabels: []string{"instance"}, TargetLabel: "shard", Modulus: 100_000}

func TestSteadyRulesAllocateNothing(t *testing.T) {
	base := sampleLabels()
	for _, tt := range steadyRules {
		if viewsAreCopies && len(tt.cfg.SourceLabels) > 1 {
			continue
		}
		r := mustCompile(t, Options{}, tt.cfg)
		ls := &Labels{}
		t.Run(tt.name, func(t *testing.T) {
			alloctest.WantAllocs(t, 0, func() {
				ls.Reset()
				ls.L = append(ls.L, base.L...)
				r.Apply(ls)
			})
		})
	}
	// A value which is put together is copied only where it is another one than before.
	for _, c := range []Config{
		{SourceLabels: []string{"namespace", "pod"}, TargetLabel: "owner", Replacement: str("<$1>")},
		{SourceLabels: []string{"namespace", "pod"}, TargetLabel: "owner", Action: "uppercase"},
		hashModRule,
	} {
		r := mustCompile(t, Options{}, c)
		ls := sampleLabels()
		ls.Set("namespace", "PRODUCTION") // what is in upper case already needs no other memory
		ls.Set("pod", "APPLICATION")
		t.Run(r.String(), func(t *testing.T) {
			if !viewsAreCopies {
				alloctest.WantAllocs(t, 0, func() { r.Apply(ls) })
			}
		})
	}
}

func BenchmarkApply(b *testing.B) {
	base := sampleLabels()
	bench := func(name string, r *Rules) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			ls := &Labels{}
			for b.Loop() {
				ls.L, ls.set = append(ls.L[:0], base.L...), 0
				r.Apply(ls)
			}
		})
	}
	// What filling the set takes: to be subtracted from the others.
	bench("rule=none", nil)
	for _, tt := range steadyRules {
		bench("rule="+tt.name, mustCompile(b, Options{}, tt.cfg))
	}
	bench("rule=replace-template", mustCompile(b, Options{}, Config{SourceLabels: []string{"pod"}, TargetLabel: "owner", Regex: str("(.+)-x2x7v"), Replacement: str("<$1>")}))
	bench("rule=hashmod-md5", mustCompile(b, Options{}, hashModRule))
	bench("rule=hashmod-xxhash", mustCompile(b, Options{Hash: HashXXHash}, hashModRule))
	bench("rule=replace-engine", mustCompile(b, Options{}, Config{SourceLabels: []string{"instance"}, Regex: str("([^:]+)(:[0-9]+)?"), TargetLabel: "host"}))
	var names []string
	for i := range 500 {
		names = append(names, fmt.Sprintf("container_network_receive_%05d_total", i))
		if n := len(names); n == 4 || n == 8 || n == 12 || n == 500 {
			// Names as long as the sample's: the length says nothing.
			bench(fmt.Sprintf("rule=drop-names-%d", n), mustCompile(b, Options{}, Config{Action: "drop", SourceLabels: []string{"__name__"}, Regex: str(strings.Join(names, "|"))}))
		}
	}
}

func BenchmarkCompile(b *testing.B) {
	for b.Loop() {
		mustCompile(b, Options{}, steadyRules[1].cfg)
	}
}
