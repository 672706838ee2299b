package config

import (
	"maps"
	"reflect"
	"slices"

	commoncfg "github.com/prometheus/common/config"
)

// Diff says in which aspects two jobs are the same. Each field of a job belongs to one of them, but for Line, which is
// none of anyone's business.
type Diff struct {
	// SameDiscovery: static_configs and file_sd_configs.
	SameDiscovery bool
	// SameTargets: what makes labels and URLs of discovered targets: job_name, relabel_configs, params, scheme,
	// metrics_path. The interval and the timeout are labels too, which rules may look at, but have their own aspect.
	SameTargets bool
	// SameSchedule: scrape_interval and scrape_timeout.
	SameSchedule bool
	// SameHTTP: what a connection and a request are made with: the HTTP client settings and enable_compression.
	SameHTTP bool
	// SameSampleRules: what makes a series of a line: metric_relabel_configs, honor_labels, honor_timestamps,
	// track_timestamps_staleness, external labels. When they change, what was learnt about series holds no more.
	SameSampleRules bool
	// SameLimits: sample_limit, label_limit and the others, max_scrape_size, scrape_protocols and what belongs to it.
	SameLimits bool
}

// Same reports whether nothing changed.
func (d Diff) Same() bool {
	return d.SameDiscovery && d.SameTargets && d.SameSchedule && d.SameHTTP && d.SameSampleRules && d.SameLimits
}

// Diff compares two jobs. Secrets are compared by their value; files which are named are not read.
func (j *Job) Diff(o *Job) Diff {
	return Diff{
		SameDiscovery: slices.EqualFunc(j.Static, o.Static, (*StaticGroup).Equal) &&
			slices.EqualFunc(j.FileSD, o.FileSD, (*FileSD).Equal),
		SameTargets: j.Name == o.Name && j.Scheme == o.Scheme && j.MetricsPath == o.MetricsPath &&
			maps.EqualFunc(j.Params, o.Params, slices.Equal) && j.Relabel.Equal(o.Relabel),
		SameSchedule: j.ScrapeInterval == o.ScrapeInterval && j.ScrapeTimeout == o.ScrapeTimeout,
		SameHTTP:     j.EnableCompression == o.EnableCompression && j.HTTP2 == o.HTTP2 && sameHTTP(j.HTTP, o.HTTP),
		SameSampleRules: j.HonorLabels == o.HonorLabels && j.HonorTimestamps == o.HonorTimestamps &&
			j.TrackTimestampsStaleness == o.TrackTimestampsStaleness && j.MetricRelabel.Equal(o.MetricRelabel) &&
			slices.Equal(j.ExternalLabels, o.ExternalLabels),
		SameLimits: j.Formats.equal(o.Formats) && j.SampleLimit == o.SampleLimit && j.LabelLimit == o.LabelLimit &&
			j.LabelNameLimit == o.LabelNameLimit && j.LabelValueLimit == o.LabelValueLimit && j.TargetLimit == o.TargetLimit &&
			j.KeepDroppedTargets == o.KeepDroppedTargets && j.MaxScrapeBytes == o.MaxScrapeBytes,
	}
}

// Equal reports whether both jobs mean the same, wherever they stand in their files.
func (j *Job) Equal(o *Job) bool { return j.Diff(o).Same() }

// Equal reports whether both groups hold the same targets, in the same order, and labels.
func (g *StaticGroup) Equal(o *StaticGroup) bool {
	return slices.Equal(g.Targets, o.Targets) && slices.Equal(g.Labels, o.Labels)
}

// Equal reports whether both name the same files and interval.
func (f *FileSD) Equal(o *FileSD) bool {
	return slices.Equal(f.Files, o.Files) && f.RefreshInterval == o.RefreshInterval
}

// Equal reports whether both entries mean the same, wherever they stand in their files. Secrets are compared by their
// value; files which are named are not read.
func (r *RemoteWrite) Equal(o *RemoteWrite) bool {
	return r.URL == o.URL && r.Name == o.Name && maps.Equal(r.Headers, o.Headers) && r.Timeout == o.Timeout &&
		r.Relabel.Equal(o.Relabel) && sameHTTP(r.HTTP, o.HTTP) && r.Protocol == o.Protocol && r.NoMetadata == o.NoMetadata &&
		r.SendExemplars == o.SendExemplars && r.SendHistograms == o.SendHistograms && reflect.DeepEqual(r.Queue, o.Queue)
}

func sameHTTP(a, b commoncfg.HTTPClientConfig) bool {
	return reflect.DeepEqual(plainHTTP(a), plainHTTP(b))
}

// plainHTTP is a copy without what the library remembers in a configuration once a client was made of it.
func plainHTTP(c commoncfg.HTTPClientConfig) commoncfg.HTTPClientConfig {
	c.ProxyConfig = plainProxy(c.ProxyConfig)
	if c.OAuth2 != nil {
		o := *c.OAuth2
		o.ProxyConfig = plainProxy(o.ProxyConfig)
		c.OAuth2 = &o
	}
	return c
}

func plainProxy(c commoncfg.ProxyConfig) commoncfg.ProxyConfig {
	return commoncfg.ProxyConfig{
		ProxyURL:             c.ProxyURL,
		NoProxy:              c.NoProxy,
		ProxyFromEnvironment: c.ProxyFromEnvironment,
		ProxyConnectHeader:   c.ProxyConnectHeader,
	}
}
