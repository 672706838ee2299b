package web

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"scraper/scrape"
)

// familyMetadata has the fields of Prometheus' API.
type familyMetadata struct {
	Type string `json:"type"`
	Help string `json:"help"`
	Unit string `json:"unit"`
}

// targetMetadata is one family of one target.
type targetMetadata struct {
	Target labelObject `json:"target"`
	Metric string      `json:"metric,omitempty"`
	familyMetadata
}

// limitOf reads a limit: all without one, or with one below 1.
func limitOf(q url.Values, name string) (int, error) {
	text := q.Get(name)
	if text == "" {
		return math.MaxInt, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, fmt.Errorf("%s must be a number", name)
	}
	if n < 1 {
		return math.MaxInt, nil
	}
	return n, nil
}

// apiMetadata shows what all targets say of their families.
func (s *Server) apiMetadata(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	limit, err := limitOf(q, "limit")
	if err != nil {
		writeError(w, http.StatusBadRequest, "bad_data", err.Error())
		return
	}
	perMetric, err := limitOf(q, "limit_per_metric")
	if err != nil {
		writeError(w, http.StatusBadRequest, "bad_data", err.Error())
		return
	}
	only := q.Get("metric")
	families := make(map[string]map[familyMetadata]struct{})
	for _, all := range s.o.Metadata() {
		for _, m := range all {
			if only != "" && m.Family != only {
				continue
			}
			if families[m.Family] == nil {
				families[m.Family] = make(map[familyMetadata]struct{})
			}
			families[m.Family][familyMetadata{m.Type, m.Help, m.Unit}] = struct{}{}
		}
	}
	names := slices.Sorted(maps.Keys(families))
	data := make(map[string][]familyMetadata, len(names))
	for _, name := range names[:min(limit, len(names))] {
		list := slices.SortedFunc(maps.Keys(families[name]), func(a, b familyMetadata) int {
			return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Help, b.Help), cmp.Compare(a.Unit, b.Unit))
		})
		data[name] = list[:min(perMetric, len(list))]
	}
	writeData(w, data)
}

// apiTargetsMetadata streams what each target says of its families.
func (s *Server) apiTargetsMetadata(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	limit, err := limitOf(q, "limit")
	var selector []matcher
	if text := q.Get("match_target"); err == nil && text != "" {
		selector, err = parseSelector(text)
	}
	if err != nil {
		writeError(w, http.StatusBadRequest, "bad_data", err.Error())
		return
	}
	only := q.Get("metric")
	targets := make(map[uint64]*scrape.TargetStatus)
	snap := s.o.Targets()
	for i := range snap.Targets {
		targets[snap.Targets[i].ID] = &snap.Targets[i]
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"status":"success","data":[`)
	n := 0
	for id, all := range s.o.Metadata() {
		t := targets[id]
		if t == nil || !matches(selector, t.Labels) {
			continue
		}
		for _, m := range all {
			if only != "" && m.Family != only || n >= limit {
				continue
			}
			e := targetMetadata{Target: t.Labels, familyMetadata: familyMetadata{m.Type, m.Help, m.Unit}}
			if only == "" {
				e.Metric = m.Family
			}
			if !writeElement(w, n, e) {
				return
			}
			n++
		}
	}
	_, _ = io.WriteString(w, "]}\n")
}
