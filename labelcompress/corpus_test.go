package labelcompress

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// BenchmarkCorpus reports what the dictionary adds per series for captured bodies, where there are any: bytes, and
// labels which no series before had.
func BenchmarkCorpus(b *testing.B) {
	pair := regexp.MustCompile(`([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"`)
	for _, file := range []string{"kubelet-cadvisor-1.35.txt", "kube-state-metrics-k8s1.35.txt", "node_exporter-linux-e2e.txt", "k8s-apiserver-1.35.txt"} {
		b.Run(file, func(b *testing.B) {
			body, err := os.ReadFile(filepath.Join("..", "..", "shared", "corpus", file))
			if err != nil {
				b.Skip(err)
			}
			for b.Loop() {
				d := New(Options{})
				series := 0
				for line := range strings.Lines(string(body)) {
					if line == "\n" || line[0] == '#' {
						continue
					}
					series++
					name := line[:strings.IndexAny(line, "{ ")]
					if _, err := d.InternString("__name__", name); err != nil {
						b.Fatal(err)
					}
					for _, m := range pair.FindAllStringSubmatch(line, -1) {
						if _, err := d.InternString(m[1], m[2]); err != nil {
							b.Fatal(err)
						}
					}
				}
				s := d.Stats()
				b.ReportMetric(float64(s.Bytes)/float64(series), "B/series")
				b.ReportMetric(float64(s.Items)/float64(series), "labels/series")
				b.ReportMetric(float64(series), "series")
			}
		})
	}
}
