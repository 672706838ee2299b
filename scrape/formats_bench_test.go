package scrape

import (
	"math"
	"testing"
	"time"

	"scraper/streamparse"
	"scraper/streamparse/bodytest"
)

// BenchmarkTableFormats: steady scrapes of the same families in each format, in turn, from the bodies' bytes to the batch.
// Of each format's fastest one the nanoseconds per sample are reported, and how many times text's they are.
func BenchmarkTableFormats(b *testing.B) {
	benchBodies(b, func(b *testing.B, body []byte) {
		formats, err := bodytest.InFormats(body)
		if err != nil {
			b.Skip(err)
		}
		rigs := make([]*benchRig, len(formats))
		samples := make([]int, len(formats))
		best := make([]time.Duration, len(formats)) // the fastest scrape of each
		for i, f := range formats {
			r := newBenchRig(b, false, nil)
			r.body.Format, _ = streamparse.FormatOf(f.ContentType)
			samples[i] = r.scrape(b, f.Bytes).Scraped
			r.scrape(b, f.Bytes)
			rigs[i], best[i] = r, math.MaxInt64
		}
		b.ReportAllocs()
		for b.Loop() {
			for i, f := range formats {
				start := time.Now()
				rigs[i].scrape(b, f.Bytes)
				best[i] = min(best[i], time.Since(start))
			}
		}
		for i, f := range formats {
			b.ReportMetric(float64(best[i].Nanoseconds())/float64(samples[i]), f.Name+"-ns/sample")
			if i > 0 {
				b.ReportMetric(float64(best[i])/float64(samples[i])*float64(samples[0])/float64(best[0]), f.Name+"/text")
			}
		}
	})
}
