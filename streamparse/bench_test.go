package streamparse

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"scraper/bufpool"
)

// BenchmarkParse: every line in full, as for a target that was never met, and the labels of every sample.
func BenchmarkParse(b *testing.B) {
	all := bodies(b)
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if len(all[name]) < 100<<10 {
			continue // too small to say much
		}
		b.Run("corpus="+name, func(b *testing.B) {
			pool, err := bufpool.New(bufpool.Options{})
			if err != nil {
				b.Fatal(err)
			}
			p := New(Options{Pool: pool})
			defer p.Close()
			var labels []Label
			samples := 0
			b.SetBytes(int64(len(all[name])))
			b.ReportAllocs()
			for b.Loop() {
				p.Reset(bytes.NewReader(all[name]))
				samples = 0
				for {
					kind, err := p.Next()
					if err != nil {
						b.Fatal(err)
					}
					if kind == KindNone {
						break
					}
					if kind == KindSample {
						labels = p.AppendLabels(labels[:0])
						samples++
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(samples), "ns/sample")
		})
	}
}

// BenchmarkValue: what exporters print as values, by the fast path and by strconv's.
func BenchmarkValue(b *testing.B) {
	for _, v := range []string{"0", "1", "123456", "0.25", "1.7014302e+09", "8.41398272e+08", "0.017000000000000001", "0.0034567890123456789", "1234567.8901234567", "9.313225746154785e-10", "NaN", "+Inf"} {
		b.Run(fmt.Sprintf("value=%s", v), func(b *testing.B) {
			p := New(Options{})
			text := []byte(" " + v + "\n")
			b.ReportAllocs()
			for b.Loop() {
				if p.tail(text) == 0 {
					b.Fatal("not taken")
				}
			}
		})
	}
}
