package scrape

import (
	"math"
	"slices"

	"scraper/batch"
	"scraper/config"
	"scraper/labelset"
	"scraper/relabel"
)

// The automatic series, in the order in which they are sent. Those from autoResponseSize on are vmagent's only.
const (
	autoUp = iota
	autoDuration
	autoScraped
	autoAfterRelabeling
	autoAdded
	autoResponseSize
	autoTimeout
	autoSamplesLimit
	autoCount

	autoPrometheus = autoResponseSize // how many Prometheus has
)

var autoNames = [autoCount]string{
	autoUp:              "up",
	autoDuration:        "scrape_duration_seconds",
	autoScraped:         "scrape_samples_scraped",
	autoAfterRelabeling: "scrape_samples_post_metric_relabeling",
	autoAdded:           "scrape_series_added",
	autoResponseSize:    "scrape_response_size_bytes",
	autoTimeout:         "scrape_timeout_seconds",
	autoSamplesLimit:    "scrape_samples_limit",
}

// isAutomaticName reports whether vmagent keeps a name without labels for itself. Some of them are not sent here.
func isAutomaticName(name string) bool {
	switch name {
	case "scrape_series_current", "scrape_series_limit", "scrape_series_limit_samples_dropped":
		return true
	}
	return slices.Contains(autoNames[:], name)
}

// automatic are the automatic series of one target.
type automatic struct {
	sets []labelset.ID
	// limited: the last report had the samples' limit, which not every configuration has.
	limited bool
}

// newAutomatic interns the automatic series of a target with the given labels (the external ones merged in).
func newAutomatic(sets *labelset.Store, labels []relabel.Label, d config.Dialect) (automatic, error) {
	n := autoCount
	if d == config.Prometheus {
		n = autoPrometheus
	}
	var a automatic
	var ls relabel.Labels
	for _, name := range autoNames[:n] {
		ls.Reset()
		ls.L = append(ls.L, labels...)
		ls.Set(nameLabel, name)
		ls.Sort()
		id, err := internLabels(sets, ls.L, false)
		if err != nil {
			return automatic{}, err
		}
		a.sets = append(a.sets, id)
	}
	return a, nil
}

// report is what the automatic series say of one scrape.
type report struct {
	up              bool
	durationSeconds float64
	scraped         int
	afterRelabeling int
	added           int
	responseBytes   int64
	timeoutSeconds  float64
	samplesLimit    int // 0: no limit, and no series
}

// append adds the report's samples to b, as its last ones. A limit which is no longer set ends its series.
func (a *automatic) append(b *batch.Batch, r *report) {
	values := r.values()
	for i, set := range a.sets {
		switch {
		case i != autoSamplesLimit || r.samplesLimit > 0:
			b.Append(set, values[i])
		case a.limited:
			b.AppendStale(set)
		}
	}
	a.limited = r.samplesLimit > 0
}

// values are the values of the automatic series.
func (r *report) values() [autoCount]float64 {
	up := 0.0
	if r.up {
		up = 1
	}
	return [autoCount]float64{
		autoUp:              up,
		autoDuration:        r.durationSeconds,
		autoScraped:         float64(r.scraped),
		autoAfterRelabeling: float64(r.afterRelabeling),
		autoAdded:           float64(r.added),
		autoResponseSize:    float64(r.responseBytes),
		autoTimeout:         r.timeoutSeconds,
		autoSamplesLimit:    float64(r.samplesLimit),
	}
}

// appendStale ends the automatic series of a target which is gone.
func (a *automatic) appendStale(b *batch.Batch) (markers int) {
	for i, set := range a.sets {
		if i != autoSamplesLimit || a.limited {
			b.AppendStale(set)
			markers++
		}
	}
	return markers
}

// noLimit stands for a sample limit which is not set.
const noLimit = math.MaxInt
