package scrape

import (
	"testing"
	"time"

	"scraper/streamparse"
	"scraper/streamparse/bodytest"
)

// BenchmarkTableFormats: steady scrapes of the same families in each format, in turn, from the bodies' bytes to the batch.
// Each format's nanoseconds per sample are reported, and how many times text's they are.
func BenchmarkTableFormats(b *testing.B) {
	benchBodies(b, func(b *testing.B, body []byte) {
		formats, err := bodytest.InFormats(body)
		if err != nil {
			b.Skip(err)
		}
		rigs := make([]*benchRig, len(formats))
		samples := make([]int, len(formats))
		took := make([]time.Duration, len(formats))
		for i, f := range formats {
			r := newBenchRig(b, false, nil)
			r.body.Format, _ = streamparse.FormatOf(f.ContentType)
			samples[i] = r.scrape(b, f.Bytes).Scraped
			r.scrape(b, f.Bytes)
			rigs[i] = r
		}
		b.ReportAllocs()
		for b.Loop() {
			for i, f := range formats {
				start := time.Now()
				rigs[i].scrape(b, f.Bytes)
				took[i] += time.Since(start)
			}
		}
		for i, f := range formats {
			b.ReportMetric(float64(took[i].Nanoseconds())/float64(b.N)/float64(samples[i]), f.Name+"-ns/sample")
			if i > 0 {
				b.ReportMetric(float64(took[i])/float64(samples[i])*float64(samples[0])/float64(took[0]), f.Name+"/text")
			}
		}
	})
}
