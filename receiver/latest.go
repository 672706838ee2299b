package receiver

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// defaultLimit is how many series SeriesPath shows unless told otherwise.
const defaultLimit = 1000

// LatestValue is the newest sample of a series.
type LatestValue struct {
	Series          string // as in the text format: name{label="value",…}
	Name            string
	Labels          []Label // sorted by name, NameLabel among them
	Value           float64 // a NaN where Stale
	Stale           bool    // the newest sample is a staleness marker
	TimestampMillis int64
	Arrived         time.Time // of the last request which held this series
	Samples         int       // which are kept
}

// MarshalJSON writes the value as a string, since JSON knows no NaN and no infinity.
func (v LatestValue) MarshalJSON() ([]byte, error) {
	labels := make(map[string]string, len(v.Labels))
	for _, l := range v.Labels {
		labels[l.Name] = l.Value
	}
	value := strconv.FormatFloat(v.Value, 'g', -1, 64)
	if v.Stale {
		value = "stale"
	}
	return json.Marshal(struct {
		Series          string            `json:"series"`
		Labels          map[string]string `json:"labels"`
		Value           string            `json:"value"`
		Stale           bool              `json:"stale"`
		TimestampMillis int64             `json:"timestampMillis"`
		Arrived         time.Time         `json:"arrived"`
		Samples         int               `json:"samples"`
	}{v.Series, labels, value, v.Stale, v.TimestampMillis, v.Arrived, v.Samples})
}

// Latest returns the newest values of at most limit series (0 or less: of all), sorted as Series does, of those whose
// text form contains filter in any case.
func (r *Receiver) Latest(limit int, filter string) []LatestValue {
	values, _ := r.latest(limit, filter)
	return values
}

// latest is Latest, and says how many series there were before the limit.
func (r *Receiver) latest(limit int, filter string) (values []LatestValue, total int) {
	filter = strings.ToLower(filter)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.store.sweep(time.Now())
	for _, k := range r.store.byKey {
		if len(k.samples) == 0 {
			continue
		}
		labels := labelsOf(k.key)
		text := textOf(labels)
		if filter != "" && !strings.Contains(strings.ToLower(text), filter) {
			continue
		}
		last := Series{Samples: k.samples}.Last()
		values = append(values, LatestValue{
			Series: text, Name: valueOf(labels, NameLabel), Labels: labels,
			Value: last.Value, Stale: last.IsStale(), TimestampMillis: last.TimestampMillis,
			Arrived: k.arrived, Samples: len(k.samples),
		})
	}
	slices.SortFunc(values, func(a, b LatestValue) int { return compareLabels(a.Labels, b.Labels) })
	total = len(values)
	if limit > 0 && total > limit {
		values = slices.Clone(values[:limit])
	}
	return values, total
}

func (r *Receiver) serveSeries(w http.ResponseWriter, req *http.Request) {
	limit := defaultLimit
	if s := req.FormValue("limit"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 0 {
			http.Error(w, "limit is not a number ≥ 0", http.StatusBadRequest)
			return
		}
		limit = n
	}
	values, total := r.latest(limit, req.FormValue("filter"))
	if values == nil {
		values = []LatestValue{}
	}
	writeJSON(w, struct {
		Status string        `json:"status"`
		Total  int           `json:"total"`
		Data   []LatestValue `json:"data"`
	}{"success", total, values})
}

func (r *Receiver) serveTotals(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, struct {
		Status string `json:"status"`
		Series int    `json:"series"`
		Data   Totals `json:"data"`
	}{"success", r.Len(), r.Totals()})
}

func writeJSON(w http.ResponseWriter, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(append(body, '\n')) // the client may have left
}
