package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestFormats pins what a job asks for, by what it and the global section say.
func TestFormats(t *testing.T) {
	all := []Protocol{PrometheusProto, OpenMetricsText1, OpenMetricsText0, PrometheusText1, PrometheusText0}
	plain := Formats{Protocols: all[1:], Escaping: "allow-utf-8"}
	f := func(dialect Dialect, global, job string, want Formats) {
		t.Helper()
		text := "global: {" + global + "}\nscrape_configs: [{job_name: a, " + job + "}]\n"
		c, err := Parse([]byte(text), Options{Dialect: dialect})
		if err != nil {
			t.Errorf("%s%v", text, err)
		} else if diff := cmp.Diff(want, c.Jobs[0].Formats); diff != "" {
			t.Errorf("%s-want +got:\n%s", text, diff)
		}
	}
	f(Prometheus, "", "", plain)
	f(VMAgent, "", "", Formats{Escaping: "allow-utf-8"})
	native := Formats{Protocols: all, NativeHistograms: true, Escaping: "allow-utf-8"}
	f(Prometheus, "scrape_native_histograms: true", "", native)
	f(VMAgent, "", "scrape_native_histograms: true", native)
	f(Prometheus, "scrape_native_histograms: true", "scrape_native_histograms: false", plain)
	f(Prometheus, "scrape_protocols: [OpenMetricsText0.0.1]", "", Formats{Protocols: all[2:3], Escaping: "allow-utf-8"})
	f(Prometheus, "scrape_protocols: [OpenMetricsText0.0.1]", "scrape_protocols: [PrometheusText0.0.4, PrometheusProto]",
		Formats{Protocols: []Protocol{PrometheusText0, PrometheusProto}, Escaping: "allow-utf-8"})
	both := native
	both.ClassicHistograms = true
	f(Prometheus, "always_scrape_classic_histograms: true, scrape_native_histograms: true", "", both)
	converted := both
	converted.ConvertClassic, converted.BucketLimit, converted.MinBucketFactor = true, 160, 1.1
	f(Prometheus, "always_scrape_classic_histograms: true, scrape_native_histograms: true, convert_classic_histograms_to_nhcb: false",
		"convert_classic_histograms_to_nhcb: true, native_histogram_bucket_limit: 160, native_histogram_min_bucket_factor: 1.1", converted)
	f(Prometheus, "convert_classic_histograms_to_nhcb: true", "convert_classic_histograms_to_nhcb: false", plain)
	fallback := plain
	fallback.Fallback = OpenMetricsText1
	f(Prometheus, "", "fallback_scrape_protocol: OpenMetricsText1.0.0", fallback)
	f(Prometheus, "", `fallback_scrape_protocol: ""`, plain)
	legacy := Formats{Protocols: all[1:], LegacyNames: true, Escaping: "underscores"}
	f(Prometheus, "metric_name_validation_scheme: legacy", "", legacy)
	f(Prometheus, "", "metric_name_validation_scheme: legacy", legacy)
	f(Prometheus, "metric_name_validation_scheme: legacy", "metric_name_validation_scheme: utf8", plain)
	dots := plain
	dots.Escaping = "dots"
	f(Prometheus, "metric_name_escaping_scheme: dots", "", dots)
	f(Prometheus, "metric_name_escaping_scheme: values", "metric_name_escaping_scheme: dots", dots)
}

func TestBadFormats(t *testing.T) {
	f := func(global, job, want string) {
		t.Helper()
		text := "global: {" + global + "}\nscrape_configs:\n- job_name: a\n  " + job + "\n"
		if _, err := Parse([]byte(text), Options{Dialect: Prometheus}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%serror %v, want %q", text, err, want)
		}
	}
	f("", "scrape_protocols: []", "names no protocol")
	f("", "scrape_protocols: [text]", `unknown protocol "text"; there are [PrometheusProto`)
	f("", "scrape_protocols: [PrometheusProto, PrometheusProto]", "PrometheusProto is named twice")
	f("", "fallback_scrape_protocol: text", `unknown protocol "text"`)
	f("", "metric_name_validation_scheme: utf-8", `want utf8 or legacy, got "utf-8"`)
	f("", "metric_name_escaping_scheme: none", "want allow-utf-8 or underscores or dots or values")
	f("metric_name_validation_scheme: legacy, metric_name_escaping_scheme: allow-utf-8", "scheme: http", "cannot be asked for")
	f("", "metric_name_validation_scheme: legacy\n  metric_name_escaping_scheme: allow-utf-8", "cannot be asked for")
	f("metric_name_escaping_scheme: allow-utf-8", "metric_name_validation_scheme: legacy\n  metric_name_escaping_scheme: allow-utf-8", "cannot be asked for")
	f("", "convert_classic_histograms_to_nhcb: 1", "want true or false")
	f("", "native_histogram_bucket_limit: -1", "want a whole number")
	f("", "native_histogram_min_bucket_factor: x", "want a number")
	f("native_histogram_bucket_limit: 1", "scheme: http", "unknown key")
}

// TestProtobufFirst pins what start timestamps ask for: protocol buffers have them for each sample.
func TestProtobufFirst(t *testing.T) {
	for text, want := range map[string]Protocol{
		"scrape_configs: [{job_name: a}]":                                          PrometheusProto,
		"scrape_configs: [{job_name: a, scrape_protocols: [PrometheusText0.0.4]}]": PrometheusText0,
	} {
		c, err := Parse([]byte(text), Options{Dialect: Prometheus, ProtobufFirst: true})
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Jobs[0].Formats.Protocols[0]; got != want || c.Jobs[0].Formats.NativeHistograms {
			t.Errorf("%s asks for %s first, want %s", text, got, want)
		}
	}
}

// TestLimits pins that each limit is the job's own, or else the global one.
func TestLimits(t *testing.T) {
	const global = "global: {label_limit: 1, label_name_length_limit: 2, label_value_length_limit: 3, target_limit: 4, keep_dropped_targets: 5}\n"
	f := func(job string, want ...int) {
		t.Helper()
		c, err := Parse([]byte(global+"scrape_configs: [{job_name: a, "+job+"}]"), Options{Dialect: Prometheus})
		if err != nil {
			t.Fatal(err)
		}
		j := c.Jobs[0]
		if diff := cmp.Diff(want, []int{j.LabelLimit, j.LabelNameLimit, j.LabelValueLimit, j.TargetLimit, j.KeepDroppedTargets}); diff != "" {
			t.Errorf("%s: -want +got:\n%s", job, diff)
		}
	}
	f("scheme: http", 1, 2, 3, 4, 5)
	f("label_limit: 11, label_name_length_limit: 12, label_value_length_limit: 13, target_limit: 14, keep_dropped_targets: 15", 11, 12, 13, 14, 15)
	f("target_limit: 0", 1, 2, 3, 4, 5)
}
