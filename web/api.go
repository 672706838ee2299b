package web

import (
	"encoding/json"
	"io"
	"math"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"scraper/relabel"
	"scraper/scrape"
)

// writeData sends v in the envelope of Prometheus' API.
func writeData(w http.ResponseWriter, v any) {
	writeJSON(w, http.StatusOK, struct {
		Status string `json:"status"`
		Data   any    `json:"data"`
	}{"success", v})
}

// writeError sends an error in the envelope of Prometheus' API.
func writeError(w http.ResponseWriter, code int, kind, text string) {
	writeJSON(w, code, struct {
		Status    string `json:"status"`
		ErrorType string `json:"errorType"`
		Error     string `json:"error"`
	}{"error", kind, text})
}

func writeJSON(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v) // the client may have gone
}

// labelObject is a label set as a JSON object.
type labelObject []relabel.Label

// MarshalJSON writes the labels in their order.
func (ls labelObject) MarshalJSON() ([]byte, error) {
	n := len("{}")
	for _, l := range ls {
		n += len(l.Name) + len(l.Value) + len(`"":"",`)
	}
	b := append(make([]byte, 0, n), '{')
	for i, l := range ls {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, l.Name), ':')
		b = appendString(b, l.Value)
	}
	return append(b, '}'), nil
}

// appendString appends a JSON string. Nearly all text of labels needs no escape, and is appended as it is.
func appendString(dst []byte, s string) []byte {
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ', c > '~', c == '"', c == '\\', c == '<', c == '>', c == '&':
			b, _ := json.Marshal(s) // a string has no error
			return append(dst, b...)
		}
	}
	return append(append(append(dst, '"'), s...), '"')
}

// activeTarget has the fields of Prometheus' API, and one more of vmagent's in its dialect.
type activeTarget struct {
	DiscoveredLabels   labelObject `json:"discoveredLabels"`
	Labels             labelObject `json:"labels"`
	ScrapePool         string      `json:"scrapePool"`
	ScrapeURL          string      `json:"scrapeUrl"`
	GlobalURL          string      `json:"globalUrl"`
	LastError          string      `json:"lastError"`
	LastScrape         time.Time   `json:"lastScrape"`
	LastScrapeDuration float64     `json:"lastScrapeDuration"` // seconds
	LastSamplesScraped *int        `json:"lastSamplesScraped,omitempty"`
	Health             string      `json:"health"`
	ScrapeInterval     string      `json:"scrapeInterval"`
	ScrapeTimeout      string      `json:"scrapeTimeout"`
	// Held is there for targets which are not scraped because memory is short, and for no others.
	Held *heldJSON `json:"heldBack,omitempty"`
}

type droppedTarget struct {
	DiscoveredLabels labelObject `json:"discoveredLabels"`
	ScrapePool       string      `json:"scrapePool"`
}

func (s *Server) activeTarget(t *scrape.TargetStatus) activeTarget {
	a := activeTarget{
		DiscoveredLabels:   t.Discovered.Labels(),
		Labels:             t.Labels,
		ScrapePool:         t.Job,
		ScrapeURL:          t.URL,
		GlobalURL:          globalURL(t.URL, s.o.Hostname),
		LastError:          t.LastError,
		LastScrape:         t.LastScrape,
		LastScrapeDuration: t.LastScrapeDuration.Seconds(),
		Health:             t.Health.String(),
		ScrapeInterval:     model.Duration(t.Interval).String(),
		ScrapeTimeout:      model.Duration(t.Timeout).String(),
		Held:               heldOf(t.Held),
	}
	if !s.prometheus() {
		a.LastSamplesScraped = &t.Samples
	}
	return a
}

// globalURL puts hostname in the place of a loopback host, so that the URL means the same elsewhere.
func globalURL(target, hostname string) string {
	if hostname == "" {
		return target
	}
	u, err := url.Parse(target)
	if err != nil {
		return target
	}
	switch u.Hostname() {
	case "localhost", "127.0.0.1", "::1":
	default:
		return target
	}
	if port := u.Port(); port != "" {
		hostname += ":" + port
	}
	u.Host = hostname
	return u.String()
}

// apiTargets streams: with thousands of targets the document is megabytes.
func (s *Server) apiTargets(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	state, pool := strings.ToLower(q.Get("state")), q.Get("scrapePool")
	all := state == "" || state == "any"
	snap := s.o.Targets()
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"status":"success","data":{"activeTargets":[`)
	if all || state == "active" {
		// Prometheus sorts pools by name; the snapshot has the order of the configuration.
		order := make([]int32, 0, len(snap.Targets))
		for i := range snap.Targets {
			if pool == "" || snap.Targets[i].Job == pool {
				order = append(order, int32(i))
			}
		}
		slices.SortStableFunc(order, func(a, b int32) int { return strings.Compare(snap.Targets[a].Job, snap.Targets[b].Job) })
		for i, at := range order {
			if !writeElement(w, i, s.activeTarget(&snap.Targets[at])) {
				return
			}
		}
	}
	_, _ = io.WriteString(w, `],"droppedTargets":[`)
	counts := map[string]int{}
	if all || state == "dropped" {
		n := 0
		for _, j := range snap.Dropped {
			if pool != "" && j.Job != pool {
				continue
			}
			for d := range j.Each {
				if !writeElement(w, n, droppedTarget{d.Discovered, j.Job}) {
					return
				}
				n++
			}
		}
		for _, j := range snap.Jobs {
			counts[j.Job] = j.Dropped
		}
	}
	_, _ = io.WriteString(w, `],"droppedTargetCounts":`)
	if b, err := json.Marshal(counts); err == nil {
		_, _ = w.Write(append(b, "}}\n"...))
	}
}

// writeElement writes v as the i-th element of an array, and reports whether to go on.
func writeElement(w io.Writer, i int, v any) bool {
	b, err := json.Marshal(v)
	if err != nil {
		panic(http.ErrAbortHandler) // a time beyond year 9999; the document cannot be ended well
	}
	if i > 0 {
		if _, err := w.Write([]byte{','}); err != nil {
			return false
		}
	}
	_, err = w.Write(b)
	return err == nil
}

func (s *Server) apiScrapePools(w http.ResponseWriter, _ *http.Request) {
	pools := []string{}
	for _, j := range s.o.Targets().Jobs {
		pools = append(pools, j.Job)
	}
	slices.Sort(pools)
	writeData(w, map[string][]string{"scrapePools": pools})
}

func (s *Server) apiConfig(w http.ResponseWriter, _ *http.Request) {
	writeData(w, map[string]string{"yaml": s.o.Config()})
}

// apiFlags answers as Prometheus does, which names flags without their dashes.
func (s *Server) apiFlags(w http.ResponseWriter, _ *http.Request) {
	m := map[string]string{}
	for _, f := range s.o.Flags() {
		m[strings.TrimLeft(f.Name, "-")] = f.Value
	}
	writeData(w, m)
}

type buildInfo struct {
	Version   string `json:"version"`
	Revision  string `json:"revision"`
	Branch    string `json:"branch"`
	BuildUser string `json:"buildUser"`
	BuildDate string `json:"buildDate"`
	GoVersion string `json:"goVersion"`
}

func (s *Server) buildInfo() buildInfo {
	return buildInfo{Version: s.o.Version, Revision: s.o.Revision, BuildDate: s.o.BuildDate, GoVersion: runtime.Version()}
}

func (s *Server) apiBuildInfo(w http.ResponseWriter, _ *http.Request) { writeData(w, s.buildInfo()) }

func (s *Server) version(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, s.buildInfo())
}

// latestSample is one series of /api/v1/latest. The value is text, as in Prometheus' API, since JSON knows no NaN.
type latestSample struct {
	Metric    labelObject `json:"metric"`
	Value     string      `json:"value"`
	Timestamp float64     `json:"timestamp"` // seconds since 1970
	Stale     bool        `json:"stale,omitempty"`
}

func (s *Server) apiLatest(w http.ResponseWriter, r *http.Request) {
	if s.o.Latest == nil {
		writeError(w, http.StatusNotFound, "not_found", "only the demo keeps values")
		return
	}
	q := r.URL.Query()
	limit := 100
	if v := q.Get("limit"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 {
			writeError(w, http.StatusBadRequest, "bad_data", "limit must be a positive number")
			return
		}
		limit = min(n, maxLatest)
	}
	out := []latestSample{}
	for _, v := range s.o.Latest(limit, q.Get("filter")) {
		ts := float64(v.At.UnixMilli()) / 1000
		out = append(out, latestSample{v.Labels, formatFloat(v.Value), ts, v.Stale})
	}
	writeData(w, out)
}

// formatFloat writes a value as the exposition formats do.
func formatFloat(v float64) string {
	switch {
	case math.IsInf(v, 1):
		return "+Inf"
	case math.IsInf(v, -1):
		return "-Inf"
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

func (s *Server) apiNotFound(w http.ResponseWriter, r *http.Request) {
	writeError(w, http.StatusNotFound, "not_found", "an agent has no "+r.URL.Path)
}
