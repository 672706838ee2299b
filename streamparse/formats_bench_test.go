package streamparse

import (
	"bytes"
	"maps"
	"math"
	"slices"
	"testing"
	"time"

	"scraper/bufpool"
	"scraper/streamparse/bodytest"
)

// formatBench reads one body in one format, again and again.
type formatBench struct {
	name   string
	body   Body
	text   []byte
	p      *Parser
	keys   []seriesKey
	labels []Label
	reader bytes.Reader
	best   time.Duration // the fastest reading
}

// seriesKey is what a series table remembers of a series.
type seriesKey struct {
	n    int
	hash uint64
}

// newFormatBenches returns one for each format that the body can be written in, text first.
func newFormatBenches(b *testing.B, text []byte) []*formatBench {
	pool, err := bufpool.New(bufpool.Options{})
	if err != nil {
		b.Fatal(err)
	}
	formats, err := bodytest.InFormats(text)
	if err != nil {
		b.Skip(err)
	}
	var all []*formatBench
	for _, f := range formats {
		format, ok := FormatOf(f.ContentType)
		if !ok {
			b.Fatalf("%s has no format", f.ContentType)
		}
		all = append(all, &formatBench{name: f.Name, body: Body{Format: format, NativeHistograms: true}, text: f.Bytes, p: New(Options{Pool: pool})})
	}
	return all
}

// learn parses all of the body, with labels.
func (f *formatBench) learn(b *testing.B) {
	f.keys = f.keys[:0]
	f.reader.Reset(f.text)
	f.p.ResetBody(&f.reader, f.body)
	for {
		kind, err := f.p.Next()
		if err != nil {
			b.Fatal(err)
		}
		if kind == KindNone {
			return
		}
		if kind == KindSample {
			f.labels = f.p.AppendLabels(f.labels[:0])
			f.keys = append(f.keys, seriesKey{len(f.p.Series()), f.p.Hash()})
		}
	}
}

// know parses the body as a series table does which has learnt it: by hashes.
func (f *formatBench) know(b *testing.B) {
	sum := 0.0
	f.reader.Reset(f.text)
	f.p.ResetBody(&f.reader, f.body)
	for i := 0; i < len(f.keys); {
		k := f.keys[i]
		if hash, ok := f.p.PeekHash(k.n); ok && hash == k.hash && f.p.Take(k.n) {
			sum += f.p.Value()
			i++
			continue
		}
		kind, err := f.p.Next()
		if err != nil || kind == KindNone {
			b.Fatal(kind, err)
		}
		if kind == KindSample {
			i++
		}
	}
}

// BenchmarkFormats: the same families in each format, in turn, met for the first time, with labels, and known. Of each
// format's fastest reading the nanoseconds per sample are reported, and how many times text's they are: on a machine which
// does other things, too, their means say little.
func BenchmarkFormats(b *testing.B) {
	all := bodies(b)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if len(all[name]) < 250<<10 {
			continue // too small to say much
		}
		for _, way := range []struct {
			name string
			read func(*formatBench, *testing.B)
		}{{"new", (*formatBench).learn}, {"known", (*formatBench).know}} {
			b.Run("corpus="+name+"/way="+way.name, func(b *testing.B) {
				formats := newFormatBenches(b, all[name])
				for _, f := range formats {
					f.learn(b)
					f.best = math.MaxInt64
					defer f.p.Close()
				}
				b.ReportAllocs()
				for b.Loop() {
					for _, f := range formats {
						start := time.Now()
						way.read(f, b)
						f.best = min(f.best, time.Since(start))
					}
				}
				for _, f := range formats {
					b.ReportMetric(float64(f.best.Nanoseconds())/float64(len(f.keys)), f.name+"-ns/sample")
					if f != formats[0] {
						b.ReportMetric(float64(f.best)/float64(formats[0].best), f.name+"/text")
					}
				}
			})
		}
	}
}
