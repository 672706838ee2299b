package streamparse

import (
	"bytes"
	"hash/maphash"
	"maps"
	"slices"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"scraper/bufpool"
)

// inFormats writes a body in text format again in all formats.
func inFormats(t testing.TB, text []byte) map[string]struct {
	body Body
	text []byte
} {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		return nil
	}
	all := map[string]struct {
		body Body
		text []byte
	}{}
	for _, f := range []struct {
		name   string
		typ    expfmt.FormatType
		format Format
	}{{"text", expfmt.TypeTextPlain, FormatText}, {"openmetrics", expfmt.TypeOpenMetrics, FormatOpenMetrics}, {"protobuf", expfmt.TypeProtoDelim, FormatProtobuf}} {
		var b bytes.Buffer
		e := expfmt.NewEncoder(&b, expfmt.NewFormat(f.typ))
		for _, name := range slices.Sorted(maps.Keys(families)) {
			if err := e.Encode(families[name]); err != nil {
				t.Fatal(err)
			}
		}
		if c, ok := e.(expfmt.Closer); ok {
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
		}
		all[f.name] = struct {
			body Body
			text []byte
		}{Body{Format: f.format, NativeHistograms: true}, b.Bytes()}
	}
	return all
}

// BenchmarkFormats: the same families in each format, met for the first time, with labels, and known, as a series table
// knows them: by a hash of what Peek shows.
func BenchmarkFormats(b *testing.B) {
	type key struct {
		n    int
		hash uint64
	}
	all := bodies(b)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if len(all[name]) < 250<<10 {
			continue // too small to say much
		}
		formats := inFormats(b, all[name])
		for _, format := range slices.Sorted(maps.Keys(formats)) {
			f := formats[format]
			pool, err := bufpool.New(bufpool.Options{})
			if err != nil {
				b.Fatal(err)
			}
			p := New(Options{Pool: pool})
			seed := maphash.MakeSeed()
			var keys []key
			var labels []Label
			b.Run("corpus="+name+"/way=new/format="+format, func(b *testing.B) {
				b.SetBytes(int64(len(f.text)))
				b.ReportAllocs()
				for b.Loop() {
					keys = keys[:0]
					p.ResetBody(bytes.NewReader(f.text), f.body)
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
							keys = append(keys, key{len(p.Series()), maphash.Bytes(seed, p.Series())})
						}
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(keys)), "ns/sample")
			})
			b.Run("corpus="+name+"/way=known/format="+format, func(b *testing.B) {
				b.SetBytes(int64(len(f.text)))
				b.ReportAllocs()
				sum := 0.0
				for b.Loop() {
					p.ResetBody(bytes.NewReader(f.text), f.body)
					for i := 0; i < len(keys); {
						k := keys[i]
						if t := p.Peek(k.n); t != nil && maphash.Bytes(seed, t) == k.hash && p.Take(k.n) {
							sum += p.Value()
							i++
							continue
						}
						kind, err := p.Next()
						if err != nil || kind == KindNone {
							b.Fatal(kind, err)
						}
						if kind == KindSample {
							i++
						}
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(keys)), "ns/sample")
			})
			p.Close()
		}
	}
}
