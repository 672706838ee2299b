package web

import (
	"bytes"
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"scraper/scrape"
)

const (
	// targetsLimit is how many rows the page shows unless it is asked for all: what a phone renders at once.
	targetsLimit = 200
	maxQuery     = 1 << 10 // bytes of a search
)

// targetFilter is what a request wants to see of the targets. Besides our own names it understands vmagent's.
type targetFilter struct {
	ID       uint64 // 0: any
	Job      string
	Health   string // up, down, unknown, or empty
	Search   string
	All      bool
	original bool // discovered labels in the text
	terms    [][]byte
	endpoint *regexp.Regexp
}

func parseFilter(q url.Values) (targetFilter, error) {
	f := targetFilter{Job: q.Get("job"), Health: strings.ToLower(q.Get("health")), Search: strings.TrimSpace(q.Get("search"))}
	f.All, _ = strconv.ParseBool(q.Get("all"))
	f.original, _ = strconv.ParseBool(q.Get("show_original_labels"))
	if only, _ := strconv.ParseBool(q.Get("show_only_unhealthy")); only && f.Health == "" {
		f.Health = "unhealthy"
	}
	switch f.Health {
	case "", "up", "down", "unknown", "unhealthy":
	case "any", "all":
		f.Health = ""
	default:
		return f, fmt.Errorf("health must be up, down, unknown or unhealthy, not %q", f.Health)
	}
	if v := q.Get("id"); v != "" {
		id, err := strconv.ParseUint(v, 10, 64)
		if err != nil {
			return f, fmt.Errorf("id must be a number")
		}
		f.ID = id
	}
	endpoint := q.Get("endpoint_search")
	if len(f.Search) > maxQuery || len(endpoint) > maxQuery {
		return f, fmt.Errorf("the search is longer than %d bytes", maxQuery)
	}
	for term := range strings.FieldsSeq(strings.ToLower(f.Search)) {
		f.terms = append(f.terms, []byte(term))
	}
	if endpoint != "" {
		left := maxPattern
		re, err := compile(endpoint, &left)
		if err != nil {
			return f, fmt.Errorf("endpoint_search: %w", err)
		}
		f.endpoint = re
	}
	if q.Get("label_search") != "" {
		return f, fmt.Errorf(`label_search is not supported: use search, whose words are looked for in URL, labels (as name="value") and error`)
	}
	return f, nil
}

// apply returns the targets which match: the unhealthy first, otherwise in the snapshot's order.
func (f *targetFilter) apply(snap *scrape.Snapshot) []*scrape.TargetStatus {
	var out []*scrape.TargetStatus
	var text []byte
	for i := range snap.Targets {
		t := &snap.Targets[i]
		if f.ID != 0 && t.ID != f.ID || f.Job != "" && t.Job != f.Job {
			continue
		}
		if f.Health == "unhealthy" && t.Health == scrape.HealthUp || f.Health != "" && f.Health != "unhealthy" && f.Health != t.Health.String() {
			continue
		}
		if f.endpoint != nil && !f.endpoint.MatchString(t.URL) {
			continue
		}
		if len(f.terms) > 0 {
			text = append(text[:0], t.URL...)
			text = append(append(text, ' '), t.Job...)
			text = appendLabels(append(text, ' '), t.Labels)
			text = append(append(text, ' '), t.LastError...)
			text = append(append(text, ' '), t.Held.Reason.String()...)
			low := bytes.ToLower(text)
			if slices.ContainsFunc(f.terms, func(term []byte) bool { return !bytes.Contains(low, term) }) {
				continue
			}
		}
		out = append(out, t)
	}
	slices.SortStableFunc(out, func(a, b *scrape.TargetStatus) int { return cmp.Compare(rank(a.Health), rank(b.Health)) })
	return out
}

func rank(h scrape.Health) int {
	switch h {
	case scrape.HealthDown:
		return 0
	case scrape.HealthUnknown:
		return 1
	}
	return 2
}

type targetsPage struct {
	page
	Filter  targetFilter
	Jobs    []scrape.JobStatus
	Rows    []*scrape.TargetStatus
	Matched int
	Total   int
	Up      int // of those which match
	Down    int
	Unknown int
	Held    int // because memory is short
	// Details: rows carry their discovered labels. With thousands of rows these would be most of the page.
	Details bool
	AllURL  string // this page with all rows
	TextURL string
}

// Healths are the choices of the filter.
func (targetsPage) Healths() []string { return []string{"up", "down", "unknown", "unhealthy"} }

func (s *Server) targets(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	f, err := parseFilter(q)
	if err != nil {
		plain(w, http.StatusBadRequest, err.Error()+"\n")
		return
	}
	snap := s.o.Targets()
	rows := f.apply(&snap)
	if !wantsHTML(w, r) {
		targetsText(w, &f, &snap, rows)
		return
	}
	v := targetsPage{page: s.page(r, "targets", "Targets"), Filter: f, Jobs: snap.Jobs, Matched: len(rows), Total: len(snap.Targets)}
	for _, t := range rows {
		if t.Held.Reason != scrape.SkipNone {
			v.Held++
		}
		switch t.Health {
		case scrape.HealthUp:
			v.Up++
		case scrape.HealthDown:
			v.Down++
		default:
			v.Unknown++
		}
	}
	if !f.All && len(rows) > targetsLimit {
		rows = rows[:targetsLimit]
	}
	v.Rows, v.Details = rows, len(rows) <= targetsLimit
	if v.Details {
		v.Refresh = 5000
	}
	q.Set("all", "1")
	v.AllURL = "targets?" + q.Encode()
	q.Del("all")
	q.Set("format", "text")
	v.TextURL = "targets?" + q.Encode()
	s.render(w, "targets.html", v)
}

// wantsHTML follows vmagent: only who says that HTML is welcome gets it; format=html or text overrides.
func wantsHTML(w http.ResponseWriter, r *http.Request) bool {
	w.Header().Add("Vary", "Accept")
	switch r.URL.Query().Get("format") {
	case "html":
		return true
	case "text":
		return false
	}
	return strings.Contains(r.Header.Get("Accept"), "text/html")
}

// targetsText writes the targets job by job, in the form that vmagent's users grep.
func targetsText(w http.ResponseWriter, f *targetFilter, snap *scrape.Snapshot, rows []*scrape.TargetStatus) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	byJob := make(map[string][]*scrape.TargetStatus)
	for _, t := range rows {
		byJob[t.Job] = append(byJob[t.Job], t)
	}
	now := time.Now()
	var b []byte
	for _, j := range snap.Jobs {
		if len(byJob[j.Job]) == 0 && (f.Job != j.Job && (f.Job != "" || f.Health != "" || f.Search != "" || f.endpoint != nil || f.ID != 0)) {
			continue
		}
		b = fmt.Appendf(b[:0], "job=%s (%d/%d up)\n", quote(j.Job), j.Up, j.Active)
		for _, t := range byJob[j.Job] {
			b = fmt.Appendf(b, "\tstate=%s, endpoint=%s, labels=", t.Health, oneLine(t.URL))
			b = appendLabels(b, t.Labels)
			if f.original {
				b = appendLabels(append(b, ", originalLabels="...), t.Discovered.Labels())
			}
			last := "none"
			if !t.LastScrape.IsZero() {
				last = shortDuration(now.Sub(t.LastScrape)) + " ago"
			}
			b = fmt.Appendf(b, ", scrapes_total=%d, scrapes_failed=%d, last_scrape=%s, scrape_duration=%s, samples_scraped=%d",
				t.Scrapes, t.Failed, last, shortDuration(t.LastScrapeDuration), t.Samples)
			if t.Held.Reason != scrape.SkipNone {
				b = fmt.Appendf(b, ", held=%s", quote(t.Held.Reason.String()))
			}
			b = fmt.Appendf(b, ", error=%s\n", quote(t.LastError))
			if _, err := w.Write(b); err != nil {
				return
			}
			b = b[:0]
		}
		if _, err := w.Write(b); err != nil {
			return
		}
	}
}

// oneLine keeps what came from elsewhere from looking like lines of ours.
func oneLine(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return quote(s)
	}
	return s
}
