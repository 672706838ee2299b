package scrape

import (
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"

	"scraper/config"
	"scraper/streamparse"
)

// acceptText is how vmagent asks for text.
const acceptText = "text/plain;version=0.0.4;q=1,*/*;q=0.1"

// acceptOf is the Accept header for a job's formats, as Prometheus writes it: each protocol weighs a tenth less than the
// one before, and the first a tenth more than there are protocols.
func acceptOf(f config.Formats) string {
	if len(f.Protocols) == 0 {
		return acceptText
	}
	const known = 5
	var b strings.Builder
	weight := known + 1
	for _, p := range f.Protocols {
		switch p {
		case config.PrometheusProto:
			b.WriteString("application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited")
		case config.OpenMetricsText1:
			b.WriteString("application/openmetrics-text;version=1.0.0;escaping=" + f.Escaping)
		case config.OpenMetricsText0:
			b.WriteString("application/openmetrics-text;version=0.0.1")
		case config.PrometheusText1:
			b.WriteString("text/plain;version=1.0.0;escaping=" + f.Escaping)
		default:
			b.WriteString("text/plain;version=0.0.4")
		}
		fmt.Fprintf(&b, ";q=0.%d,", weight)
		weight--
	}
	fmt.Fprintf(&b, "*/*;q=0.%d", weight)
	return b.String()
}

// bodyOf returns how an answer's body is to be read. It refuses answers whose format is not known, unless the job has a
// fallback, or asks as vmagent does: then all but protocol buffers is text.
func bodyOf(resp *http.Response, f config.Formats, h histograms) (streamparse.Body, error) {
	body := streamparse.Body{NativeHistograms: h.native, ClassicHistograms: h.classic, ConvertClassic: h.convert}
	header := resp.Header.Get("Content-Type")
	format, ok := streamparse.FormatOf(header)
	switch {
	case len(f.Protocols) == 0 && format != streamparse.FormatProtobuf:
		return body, nil
	case ok:
		body.Format = format
		return body, nil
	case f.Fallback != "":
		body.Format = formatOf(f.Fallback)
		return body, nil
	case resp.ContentLength == 0:
		return body, nil
	}
	const help = "fallback_scrape_protocol: PrometheusText0.0.4 would take it for text"
	if header == "" {
		return body, errors.New("the target sent no Content-Type; " + help)
	}
	if _, _, err := mime.ParseMediaType(header); err != nil {
		return body, fmt.Errorf("the target sent a Content-Type which is none, %q; %s", cut(header, 100), help)
	}
	return body, fmt.Errorf("the target sent Content-Type %q, which is no exposition format; %s", cut(header, 100), help)
}

func formatOf(p config.Protocol) streamparse.Format {
	switch p {
	case config.PrometheusProto:
		return streamparse.FormatProtobuf
	case config.OpenMetricsText0, config.OpenMetricsText1:
		return streamparse.FormatOpenMetrics
	default:
		return streamparse.FormatText
	}
}

// isLegacyName reports whether a label's name is one of those from before UTF-8 was allowed; with colons, a metric's.
func isLegacyName(s string, colons bool) bool {
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || colons && c == ':' || i > 0 && c >= '0' && c <= '9') {
			return false
		}
	}
	return s != ""
}
