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
