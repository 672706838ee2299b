package config

import (
	"maps"
	"os"
	"time"

	"github.com/prometheus/common/model"
)

const (
	defaultScrapeInterval = time.Minute
	defaultScrapeTimeout  = 10 * time.Second
)

// global decodes the global section, which may be absent, and fills in its defaults.
func (d *decoder) global(g *Global, v value) {
	var timeout value
	known := keys{
		"scrape_interval":          func(v value) { g.ScrapeInterval = d.duration(v) },
		"scrape_timeout":           func(v value) { g.ScrapeTimeout, timeout = d.duration(v), v },
		"external_labels":          func(v value) { g.ExternalLabels = d.labels(v, d.expandExternal) },
		"sample_limit":             func(v value) { g.SampleLimit = d.limit(v) },
		"label_limit":              func(v value) { g.LabelLimit = d.limit(v) },
		"label_name_length_limit":  func(v value) { g.LabelNameLimit = d.limit(v) },
		"label_value_length_limit": func(v value) { g.LabelValueLimit = d.limit(v) },
		"target_limit":             func(v value) { g.TargetLimit = d.limit(v) },
		"keep_dropped_targets":     func(v value) { g.KeepDroppedTargets = d.limit(v) },
		"body_size_limit":          func(v value) { g.MaxScrapeBytes = d.bytes(v, base2) },
		"query_log_file":           func(v value) { d.warnf(v, "an agent runs no queries, this has no effect") },
		"rule_query_offset":        func(v value) { d.duration(v) }, // an agent evaluates no rules
		"evaluation_interval":      func(v value) { d.duration(v) },
	}
	maps.Copy(known, d.globalFormats.keys(d))
	d.mapping(v, "global", known, peerGlobal)
	d.globalFormats.check(d)
	if g.ScrapeInterval == 0 {
		g.ScrapeInterval = defaultScrapeInterval
	}
	g.ScrapeTimeout = d.timeout(g.ScrapeTimeout, timeout, defaultScrapeTimeout, g.ScrapeInterval)
}

// timeout is the scrape timeout that holds: the one which is given, v being where, or else the inherited one as far as
// the interval allows. One which is given and exceeds the interval is an error in Prometheus' dialect, and cut in
// vmagent's.
func (d *decoder) timeout(given time.Duration, v value, inherited, interval time.Duration) time.Duration {
	if given == 0 {
		return min(inherited, interval)
	}
	if given > interval {
		if d.dialect == Prometheus {
			d.errorf(v, "%s is more than the scrape_interval of %s", model.Duration(given), model.Duration(interval))
		} else {
			d.warnf(v, "%s is more than the scrape_interval of %s, which is used instead", model.Duration(given), model.Duration(interval))
		}
	}
	return min(given, interval)
}

// expandExternal replaces $NAME and ${NAME} in the text of an external label, in Prometheus' dialect only.
func (d *decoder) expandExternal(v value, text string) string {
	if d.dialect != Prometheus {
		return text
	}
	return os.Expand(text, func(name string) string {
		if name == "$" {
			return "$" // $$ is the character itself
		}
		if d.getenv != nil {
			if s, ok := d.getenv(name); ok {
				return s
			}
		}
		d.warnf(v, "the environment variable %q is not set, it counts as empty", name)
		return ""
	})
}

// foldLimit is the limit of a job: its own, or else the global one.
func foldLimit[T int | int64](own, global T) T {
	if own > 0 {
		return own
	}
	return global
}
