package config

import (
	"fmt"
	"maps"
	"net/url"

	commoncfg "github.com/prometheus/common/config"
	"go.yaml.in/yaml/v3"
)

// jobs decodes scrape_configs.
func (d *decoder) jobs(v value, g *Global) []*Job {
	var jobs []*Job
	lines := map[string]int{}
	for _, e := range d.list(v) {
		j := d.job(e, g)
		if first, twice := lines[j.Name]; twice && j.Name != "" {
			d.errorf(value{node: e.node, key: fmt.Sprintf("job %q", j.Name)}, "job_name is used twice, first in line %d", first)
		} else {
			lines[j.Name] = j.Line
		}
		jobs = append(jobs, j)
	}
	return jobs
}

// job decodes one entry of scrape_configs.
func (d *decoder) job(v value, g *Global) *Job {
	j := &Job{
		MetricsPath:       "/metrics",
		Scheme:            "http",
		HonorTimestamps:   d.dialect == Prometheus,
		EnableCompression: true,
		HTTP:              commoncfg.DefaultHTTPClientConfig,
		ExternalLabels:    g.ExternalLabels,
		Line:              d.lines.original(v.node.Line),
	}
	if v.node.Kind != yaml.MappingNode {
		d.errorf(v, "want a mapping, got %s", kindOf(v.node))
		return j
	}
	// The name comes first: it is part of all errors.
	where := v.key
	for _, p := range d.pairs(v) {
		if p.key.Value == "job_name" && !isNull(p.value) {
			if j.Name = d.text(value{node: p.value, key: "job_name", where: v.key}); j.Name != "" {
				where = fmt.Sprintf("job %q", cut(j.Name))
			}
		}
	}
	if j.Name == "" {
		d.errorf(v, "job_name is missing")
	}

	var timeout, size, compression, noCompression, static, rules value
	var own formats
	known := keys{
		"job_name":                           func(value) {},
		"scrape_interval":                    func(v value) { j.ScrapeInterval = d.duration(v) },
		"scrape_timeout":                     func(v value) { j.ScrapeTimeout, timeout = d.duration(v), v },
		"metrics_path":                       func(v value) { j.MetricsPath = d.orDefault(v, "/metrics") },
		"scheme":                             func(v value) { j.Scheme = d.scheme(v) },
		"params":                             func(v value) { j.Params = d.params(v) },
		"honor_labels":                       func(v value) { j.HonorLabels = d.boolean(v) },
		"honor_timestamps":                   func(v value) { j.HonorTimestamps = d.boolean(v) },
		"track_timestamps_staleness":         func(v value) { j.TrackTimestampsStaleness = d.boolean(v) },
		"enable_compression":                 func(v value) { compression = v },
		"disable_compression":                func(v value) { noCompression = v },
		"fallback_scrape_protocol":           func(v value) { own.fallback = d.fallbackProtocol(v) },
		"sample_limit":                       func(v value) { j.SampleLimit = d.limit(v) },
		"label_limit":                        func(v value) { j.LabelLimit = d.limit(v) },
		"label_name_length_limit":            func(v value) { j.LabelNameLimit = d.limit(v) },
		"label_value_length_limit":           func(v value) { j.LabelValueLimit = d.limit(v) },
		"target_limit":                       func(v value) { j.TargetLimit = d.limit(v) },
		"keep_dropped_targets":               func(v value) { j.KeepDroppedTargets = d.limit(v) },
		"native_histogram_bucket_limit":      func(v value) { own.bucketLimit = d.limit(v) },
		"native_histogram_min_bucket_factor": func(v value) { own.minBucketFactor = d.float(v) },
		"body_size_limit":                    func(v value) { j.MaxScrapeBytes = d.bytes(v, base2); d.onlyOne(&size, v) },
		"max_scrape_size":                    func(v value) { j.MaxScrapeBytes = d.bytes(v, base10); d.onlyOne(&size, v) },
		"stream_parse":                       func(v value) { d.boolean(v) }, // every scrape streams
		"static_configs":                     func(v value) { j.Static, static = d.staticConfigs(v), v },
		"file_sd_configs":                    func(v value) { j.FileSD = d.fileSDConfigs(v) },
		"relabel_configs":                    func(v value) { j.Relabel, rules = d.relabelConfigs(v), v },
		"metric_relabel_configs":             func(v value) { j.MetricRelabel = d.relabelConfigs(v) },
	}
	client := d.httpClient(&j.HTTP)
	maps.Copy(known, client.keys())
	maps.Copy(known, own.keys(d))
	known["headers"] = client.headerList
	d.mapping(v, where, known, peerJob)
	client.finish()
	j.HTTP2 = client.http2
	j.Formats = d.formats(&own, &d.globalFormats)

	if j.ScrapeInterval == 0 {
		j.ScrapeInterval = g.ScrapeInterval
	}
	j.ScrapeTimeout = d.timeout(j.ScrapeTimeout, timeout, g.ScrapeTimeout, j.ScrapeInterval)
	if noCompression.node != nil {
		j.EnableCompression = !d.boolean(noCompression)
	}
	if compression.node != nil { // it wins: vmagent takes it for Prometheus' sake
		j.EnableCompression = d.boolean(compression)
	}
	j.SampleLimit = foldLimit(j.SampleLimit, g.SampleLimit)
	j.LabelLimit = foldLimit(j.LabelLimit, g.LabelLimit)
	j.LabelNameLimit = foldLimit(j.LabelNameLimit, g.LabelNameLimit)
	j.LabelValueLimit = foldLimit(j.LabelValueLimit, g.LabelValueLimit)
	j.TargetLimit = foldLimit(j.TargetLimit, g.TargetLimit)
	j.KeepDroppedTargets = foldLimit(j.KeepDroppedTargets, g.KeepDroppedTargets)
	j.MaxScrapeBytes = foldLimit(j.MaxScrapeBytes, g.MaxScrapeBytes)
	if d.dialect == Prometheus && (rules.node == nil || isEmpty(rules.node)) {
		d.checkTargets(static)
	}
	return j
}

// orDefault decodes a text for which the empty one means the default.
func (d *decoder) orDefault(v value, def string) string {
	if s := d.text(v); s != "" {
		return s
	}
	return def
}

func (d *decoder) scheme(v value) string {
	s := d.orDefault(v, "http")
	if s != "http" && s != "https" {
		d.errorf(v, "want http or https, got %q", cut(s))
	}
	return s
}

// onlyOne reports the second of two keys which say the same.
func (d *decoder) onlyOne(first *value, v value) {
	if first.node != nil {
		d.errorf(v, "%s is given already", first.key)
	}
	*first = v
}

// params decodes URL parameters. Their values may be secrets.
func (d *decoder) params(v value) url.Values {
	pairs := d.pairs(v)
	if len(pairs) == 0 {
		return nil
	}
	out := make(url.Values, len(pairs))
	for _, p := range pairs {
		out[p.key.Value] = d.texts(value{node: p.value, key: "params[" + quoteKey(p.key.Value) + "]", where: v.where, line: p.key.Line})
	}
	return out
}
