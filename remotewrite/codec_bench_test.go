package remotewrite

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"scraper/bufpool"
	"scraper/labelcompress"
)

// BenchmarkEncode fills a block and encodes it in each protocol, and says how many bytes a sample takes on the wire. What
// filling costs alone, protocol=none says, and 1.0/uncompressed what remains without snappy. The bodies are those of a directory beside the project, where there is one; what
// has fewer than a block's samples is there several times, of different instances.
func BenchmarkEncode(b *testing.B) {
	pool, err := bufpool.New(bufpool.Options{})
	if err != nil {
		b.Fatal(err)
	}
	tg := newTarget(b, pool)
	const rows = 10_000
	var made []encodeRow
	for i := range rows {
		made = append(made, encodeRow{tg.store.AppendRefs(nil, steadySeries(b, tg, i)), float64(i) * 1.37, 1760000000123})
	}
	benchmarkEncode(b, "corpus=made", tg, made)
	for _, name := range []string{"kubelet-cadvisor-1.35", "kube-state-metrics-k8s1.35", "node_exporter-linux-e2e", "k8s-apiserver-1.35"} {
		if body, err := os.ReadFile("../../shared/corpus/" + name + ".txt"); err == nil {
			benchmarkEncode(b, "corpus="+name, tg, readCorpus(b, tg, string(body), rows))
		}
	}
}

type encodeRow struct {
	refs  []labelcompress.Ref
	value float64
	ts    int64
}

// readCorpus makes rows of the samples in body, of as many instances as it takes for n.
func readCorpus(b *testing.B, tg *target, body string, n int) (rows []encodeRow) {
	for instance := 0; len(rows) < n; instance++ {
		for line := range strings.Lines(body) {
			m := corpusLine.FindStringSubmatch(line)
			if m == nil {
				continue
			}
			value, err := strconv.ParseFloat(m[3], 64)
			if err != nil || len(rows) == n {
				continue
			}
			labels := map[string]string{"__name__": m[1], "instance": fmt.Sprintf("10.0.12.%d:10250", instance), "job": "bench", "cluster": "prod-eu-1"}
			for _, l := range corpusLabel.FindAllStringSubmatch(m[2], -1) {
				labels[l[1]] = l[2]
			}
			var pairs []string
			for _, name := range slices.Sorted(maps.Keys(labels)) {
				pairs = append(pairs, name, labels[name])
			}
			rows = append(rows, encodeRow{tg.store.AppendRefs(nil, tg.set(b, pairs...)), value, 1760000000123})
		}
	}
	return rows
}

var (
	corpusLine  = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? ([^ \n]+)`)
	corpusLabel = regexp.MustCompile(`([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"`)
)

func benchmarkEncode(b *testing.B, corpus string, tg *target, rows []encodeRow) {
	var account atomic.Int64
	f := func(p Protocol, level int) {
		name := fmt.Sprintf("%s/protocol=%v", corpus, p)
		if p == ProtocolAuto {
			name = corpus + "/protocol=none"
		}
		if p == ProtocolVM {
			name += fmt.Sprintf("/level=%d", level)
		}
		b.Run(name, func(b *testing.B) {
			c := newCodec(tg.pool, level)
			open := newBuilder(tg.pool, &account)
			b.ReportAllocs()
			bytes, memory := 0, int64(0)
			for b.Loop() {
				for _, r := range rows {
					open.append(tg.dict, &row{refs: r.refs, value: r.value, tsMillis: r.ts}, 64<<20)
				}
				memory = open.memory()
				if p != ProtocolAuto {
					blk := c.encode(&open, p, 0, time.Time{})
					bytes = blk.bytes
					blk.release()
				}
				open.discard()
			}
			n := float64(len(rows))
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/sample")
			b.ReportMetric(float64(bytes)/n, "wire-B/sample")
			b.ReportMetric(float64(memory)/n, "open-B/sample")
		})
	}
	b.Run(corpus+"/protocol=1.0/uncompressed", func(b *testing.B) {
		open := newBuilder(tg.pool, &account)
		ws := workspace{}
		buf := tg.pool.Get(chunkBytes)
		defer buf.Release()
		b.ReportAllocs()
		bytes := 0
		for b.Loop() {
			bytes = 0
			for few := range slices.Chunk(rows, 400) { // less than the buffer holds, so that nothing is compressed
				for _, r := range few {
					open.append(tg.dict, &row{refs: r.refs, value: r.value, tsMillis: r.ts}, 64<<20)
				}
				out := output{pool: tg.pool, buf: buf, seg: segments{pool: tg.pool}}
				ws.one.run(&open, &ws, &out, false)
				bytes += len(buf.B)
				buf.B = buf.B[:0]
				open.discard()
			}
		}
		n := float64(len(rows))
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/sample")
		b.ReportMetric(float64(bytes)/n, "wire-B/sample")
	})
	f(ProtocolAuto, 0)
	f(Protocol1, 0)
	f(Protocol2, 0)
	for _, level := range []int{-1, 0, 3, 9} {
		f(ProtocolVM, level)
	}
}
