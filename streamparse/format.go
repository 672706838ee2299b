package streamparse

import "mime"

// Format is a format of bodies.
type Format uint8

// The formats. Their versions need not be told apart: what the newer one of a format adds is no mistake in the older.
const (
	FormatText        Format = iota // 0.0.4 and 1.0.0
	FormatOpenMetrics               // 0.0.1 and 1.0.0
	FormatProtobuf                  // delimited io.prometheus.client.MetricFamily
)

// FormatOf returns the format that a Content-Type names. Its parameters do not matter, as in Prometheus, but must be well
// formed; ok is false for any other type.
func FormatOf(contentType string) (f Format, ok bool) {
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return 0, false
	}
	switch media {
	case "text/plain":
		return FormatText, true
	case "application/openmetrics-text":
		return FormatOpenMetrics, true
	case "application/vnd.google.protobuf":
		return FormatProtobuf, true
	}
	return 0, false
}

// Body says what a body is, and what is wanted of it. The zero value is text 0.0.4 or 1.0.0.
type Body struct {
	Format Format
	// NativeHistograms delivers native histograms where there are any; without, histograms are read as classic ones.
	NativeHistograms bool
	// ClassicHistograms delivers the classic buckets of a native histogram, too, if it has any.
	ClassicHistograms bool
	// StartTimestamps makes the lines of OpenMetrics which say when a metric began what StartTimestamp returns, instead of
	// samples. Such families cannot be taken by Peek and Take. Protobuf has these times in fields, and needs no asking.
	StartTimestamps bool
	// PlainBounds writes the bounds of buckets and quantiles of protobuf as exporters write them in text, le="1", instead of as
	// Prometheus does, le="1.0".
	PlainBounds bool
	// ConvertClassic makes native histograms of classic ones: convert.go. The classic ones are delivered, too, if
	// ClassicHistograms is set. In text and OpenMetrics such families cannot be taken by Peek and Take.
	ConvertClassic bool
}

// isSpecial reports whether the families of some types are read in whole.
func (b *Body) isSpecial() bool { return b.StartTimestamps || b.ConvertClassic }
