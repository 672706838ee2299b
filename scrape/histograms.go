package scrape

import (
	"cmp"
	"fmt"
	"math"
	"strconv"

	"scraper/config"
	"scraper/relabel"
	"scraper/streamparse"
)

// histograms is what is made of a target's histograms, of those switches which a target may set for itself.
type histograms struct{ native, classic, convert bool }

func histogramsOf(f config.Formats) histograms {
	return histograms{native: f.NativeHistograms, classic: f.ClassicHistograms, convert: f.ConvertClassic}
}

// each calls f with each switch, and the label which sets it.
func (h *histograms) each(f func(label string, on *bool)) {
	f("__convert_classic_histograms_to_nhcb__", &h.convert)
	f("__always_scrape_classic_histograms__", &h.classic)
	f("__scrape_native_histograms__", &h.native)
}

// override returns the switches as the target's labels set them.
func (h histograms) override(ls *relabel.Labels) (histograms, error) {
	var err error
	h.each(func(label string, on *bool) {
		if text := ls.Get(label); text != "" {
			b, e := strconv.ParseBool(text)
			if e != nil {
				err = cmp.Or(err, fmt.Errorf("%s=%q is neither true nor false", label, cut(text, 100)))
			}
			*on = b
		}
	})
	return h, err
}

// histogramLimits are how large native histograms may be.
type histogramLimits struct {
	buckets int   // 0: any number
	schema  int32 // the finest one
}

func histogramLimitsOf(f config.Formats) histogramLimits {
	l := histogramLimits{buckets: f.BucketLimit, schema: math.MaxInt32}
	if schema := streamparse.SchemaFor(f.MinBucketFactor); schema < streamparse.SchemaFor(0) {
		l.schema = schema
	}
	return l
}

// reduce brings a histogram to its limits. It returns an error if that cannot be.
func (l histogramLimits) reduce(h *streamparse.Histogram) error {
	h.LimitSchema(l.schema)
	if l.buckets > 0 && !h.LimitBuckets(l.buckets) {
		return &LimitError{What: "native_histogram_bucket_limit", Limit: int64(l.buckets), Got: int64(h.Buckets())}
	}
	return nil
}
