package scrape

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"scraper/batch"
	"scraper/bufpool"
	"scraper/labelcompress"
	"scraper/labelset"
	"scraper/relabel"
	"scraper/streamparse"
)

// The benchmarks read bodies of real programs where there are any, and always one that is made here.
var corpora = []struct{ name, file string }{
	{"cadvisor", "kubelet-cadvisor-1.35.txt"},
	{"kubestate", "kube-state-metrics-k8s1.35.txt"},
	{"node", "node_exporter-linux-e2e.txt"},
	{"apiserver", "k8s-apiserver-1.35.txt"},
}

// benchBodies calls f for each body.
func benchBodies(b *testing.B, f func(b *testing.B, body []byte)) {
	for _, c := range corpora {
		body, err := os.ReadFile(filepath.Join("../../shared/corpus", c.file))
		if err != nil {
			continue
		}
		b.Run("corpus="+c.name, func(b *testing.B) { f(b, body) })
	}
	b.Run("corpus=made", func(b *testing.B) { f(b, madeBody(4000)) })
}

// madeBody is in the likeness of cAdvisor's.
func madeBody(n int) []byte {
	var b bytes.Buffer
	for i := range n {
		if i%100 == 0 {
			fmt.Fprintf(&b, "# HELP container_fam%d_total Cumulative count of something.\n# TYPE container_fam%d_total counter\n", i/100, i/100)
		}
		fmt.Fprintf(&b, "container_fam%d_total{container=\"app-%d\",id=\"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod%08x.slice/cri-containerd-%016x.scope\","+
			"image=\"registry.k8s.io/app:v1.%d\",name=\"%016x\",namespace=\"ns-%d\",pod=\"app-%d-abcde\"} %v 1700000000%03d\n",
			i/100, i%7, i%100*77777, i%100*123456789, i%5, i%100*123456789, i%9, i%100, float64(i)*1.0625, i%1000)
	}
	return b.Bytes()
}

// benchRig is rig without the checks that a benchmark does not want.
type benchRig struct {
	dict   *labelcompress.Dict
	tab    *table
	parser *streamparse.Parser
	b      *batch.Batch
	learn  learner
	honor  bool
	body   streamparse.Body
	ts     int64
	reader bytes.Reader
}

func newBenchRig(b *testing.B, honor bool, rules *relabel.Rules) *benchRig {
	pool, err := bufpool.New(bufpool.Options{})
	if err != nil {
		b.Fatal(err)
	}
	dict := labelcompress.New(labelcompress.Options{})
	target := []relabel.Label{{Name: "instance", Value: "10.0.0.1:10250"}, {Name: "job", Value: "kubelet"}, {Name: "node", Value: "node-17"}}
	common, err := internRefs(dict, target, nil)
	if err != nil {
		b.Fatal(err)
	}
	r := &benchRig{dict: dict, tab: newTable(labelset.New(dict, common), maphash.MakeSeed()), honor: honor, ts: 1_000_000,
		parser: streamparse.New(streamparse.Options{Pool: pool}), b: batch.New(pool)}
	r.learn.target, r.learn.rules = target, rules
	return r
}

func (r *benchRig) scrape(b *testing.B, body []byte) counts {
	r.reader.Reset(body)
	return r.scrapeFrom(b, &r.reader)
}

func (r *benchRig) scrapeFrom(b *testing.B, body io.Reader) counts {
	r.ts += 1000
	r.b.Sets, r.b.TimestampMillis = r.tab.sets, r.ts
	r.parser.ResetBody(body, r.body)
	r.learn.typ = streamparse.TypeUntyped
	r.tab.begin()
	rd := reading{p: r.parser, tab: r.tab, b: r.b, learn: &r.learn, honorTime: r.honor, sampleLimit: noLimit, now: time.Now()}
	if err := rd.body(); err != nil {
		b.Fatal(err)
	}
	r.tab.finish(r.b, false)
	r.tab.commit(r.b)
	r.b.Reset()
	r.parser.Close()
	return rd.counts
}

func perSample(b *testing.B, samples int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(samples), "ns/sample")
}

// BenchmarkTableHit: a steady scrape from the body's bytes to the batch.
func BenchmarkTableHit(b *testing.B) {
	for _, honor := range []bool{false, true} {
		b.Run(fmt.Sprintf("timestamps=%v", honor), func(b *testing.B) {
			benchBodies(b, func(b *testing.B, body []byte) {
				r := newBenchRig(b, honor, nil)
				c := r.scrape(b, body)
				r.scrape(b, body)
				b.SetBytes(int64(len(body)))
				b.ReportAllocs()
				b.ReportMetric(float64(r.tab.bytes())/float64(r.tab.series()), "B/series")
				b.ReportMetric(float64(r.dict.Bytes())/float64(r.tab.series()), "dict-B/series")
				for b.Loop() {
					r.scrape(b, body)
				}
				perSample(b, c.Scraped)
				b.ReportMetric(float64(r.tab.bytes())/float64(r.tab.series()), "B/series")
				b.ReportMetric(float64(r.dict.Bytes())/float64(r.tab.series()), "dict-B/series")
			})
		})
	}
}

// BenchmarkTableShuffled: the same with the lines of each family in another order each time.
func BenchmarkTableShuffled(b *testing.B) {
	benchBodies(b, func(b *testing.B, body []byte) {
		rnd := rand.New(rand.NewPCG(1, 2))
		bodies := make([][]byte, 8)
		for i := range bodies {
			bodies[i] = shuffled(rnd, body)
		}
		r := newBenchRig(b, false, nil)
		c := r.scrape(b, body)
		r.scrape(b, bodies[0])
		i := 0
		b.ReportAllocs()
		for b.Loop() {
			r.scrape(b, bodies[i%len(bodies)])
			i++
		}
		perSample(b, c.Scraped)
	})
}

// shuffled returns the body with the samples between two comments in random order.
func shuffled(rnd *rand.Rand, body []byte) []byte {
	lines := strings.SplitAfter(string(body), "\n")
	for i := 0; i < len(lines); {
		j := i
		for j < len(lines) && !strings.HasPrefix(lines[j], "#") {
			j++
		}
		part := lines[i:j]
		if j == len(lines) && len(part) > 0 && part[len(part)-1] == "" {
			part = part[:len(part)-1]
		}
		rnd.Shuffle(len(part), func(a, b int) { part[a], part[b] = part[b], part[a] })
		i = j + 1
	}
	return []byte(strings.Join(lines, ""))
}

// BenchmarkTableMiss: a body of which every series is new, which is learnt (labels parsed, ten relabel rules, interned),
// and then a body without any, by which all are forgotten.
func BenchmarkTableMiss(b *testing.B) {
	rules := tenRules(b)
	benchBodies(b, func(b *testing.B, body []byte) {
		r := newBenchRig(b, false, rules)
		series := r.scrape(b, body).Scraped
		r.scrape(b, nil)
		b.ReportAllocs()
		var learning, forgetting time.Duration
		mallocs := mallocCount()
		for b.Loop() {
			start := time.Now()
			r.scrape(b, body)
			learnt := time.Now()
			r.scrape(b, nil)
			learning += learnt.Sub(start)
			forgetting += time.Since(learnt)
		}
		mallocs = mallocCount() - mallocs
		n := float64(b.N) * float64(series)
		b.ReportMetric(float64(learning.Nanoseconds())/n, "learn-ns/series")
		b.ReportMetric(float64(forgetting.Nanoseconds())/n, "forget-ns/series")
		b.ReportMetric(float64(mallocs)/n, "allocs/series")
	})
}

// BenchmarkTableChurn: a body of which each tenth series is another one than in the last body.
func BenchmarkTableChurn(b *testing.B) {
	rules := tenRules(b)
	benchBodies(b, func(b *testing.B, body []byte) {
		bodies := make([][]byte, 10)
		for i := range bodies {
			bodies[i] = churned(body, i)
		}
		r := newBenchRig(b, false, rules)
		series := 0
		for _, x := range bodies {
			series = r.scrape(b, x).Scraped
		}
		b.ReportAllocs()
		i := 0
		added := 0
		mallocs := mallocCount()
		for b.Loop() {
			added += r.scrape(b, bodies[i%len(bodies)]).Added
			i++
		}
		mallocs = mallocCount() - mallocs
		perSample(b, series)
		b.ReportMetric(float64(mallocs)/float64(max(added, 1)), "allocs/new-series")
		b.ReportMetric(float64(added)/float64(b.N)/float64(series), "new/series")
	})
}

// BenchmarkTablePodChurn: a body of 100 pods, of which one is another one than in the last body.
func BenchmarkTablePodChurn(b *testing.B) {
	for _, n := range []int{4000, 100_000} {
		b.Run(fmt.Sprint("series=", n), func(b *testing.B) {
			body := madeBody(n)
			bodies := make([][]byte, 8)
			for i := range bodies {
				bodies[i] = bytes.ReplaceAll(body, []byte("-50-abcde"), fmt.Appendf(nil, "-50-%05d", i))
			}
			r := newBenchRig(b, false, tenRules(b))
			r.scrape(b, body)
			b.ReportAllocs()
			i, added := 0, 0
			for b.Loop() {
				added += r.scrape(b, bodies[i%len(bodies)]).Added
				i++
			}
			perSample(b, n)
			b.ReportMetric(float64(added)/float64(b.N)/float64(n), "new/series")
		})
	}
}

// churned returns the body without each tenth sample, counting from the given one.
func churned(body []byte, from int) []byte {
	var b bytes.Buffer
	n := 0
	for line := range bytes.Lines(body) {
		if line[0] != '#' {
			if n++; n%10 == from {
				continue
			}
		}
		b.Write(line)
	}
	return b.Bytes()
}

func mallocCount() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}

// tenRules are rules as kube-prometheus ships them.
func tenRules(b *testing.B) *relabel.Rules {
	drop := func(re string) relabel.Config {
		return relabel.Config{Action: "drop", SourceLabels: []string{"__name__"}, Regex: &re}
	}
	re, repl := "(.+)", "$1"
	empty := "container_(network_tcp_usage_total|network_udp_usage_total|tasks_state|cpu_load_average_10s)"
	rules, err := relabel.Compile([]relabel.Config{
		drop("kubelet_(pod_worker_latency_microseconds|pod_start_latency_microseconds|cgroup_manager_latency_microseconds)"),
		drop("scheduler_(e2e_scheduling_latency_microseconds|scheduling_algorithm_predicate_evaluation)"),
		drop("apiserver_(request_count|request_latencies|request_latencies_summary)"),
		drop("kubelet_docker_(operations|operations_latency_microseconds|operations_errors)"),
		drop("reflector_(items_per_list|items_per_watch|list_duration_seconds|lists_total)"),
		drop("etcd_(helper_cache_hit_count|helper_cache_miss_count|request_cache_add_latencies_summary)"),
		drop("transformation_(transformation_latencies_microseconds|failures_total)"),
		drop(empty),
		{Action: "replace", SourceLabels: []string{"namespace"}, Regex: &re, TargetLabel: "exported_ns", Replacement: &repl},
		{Action: "labeldrop", Regex: new("uid|container_id|endpoint_.*")},
	}, relabel.Options{})
	if err != nil {
		b.Fatal(err)
	}
	return rules
}
