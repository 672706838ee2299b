package web

import (
	"cmp"
	"iter"
	"net/http"
	"slices"
	"strings"
	"time"

	"scraper/remotewrite"
	"scraper/scrape"
)

const (
	overviewProblems = 5   // failing targets on the front page
	overviewLatest   = 40  // series on the front page
	maxLatest        = 500 // series in one answer
	droppedLimit     = 500 // rows of the page of dropped targets; the text has all which are kept
)

// page is what every page has. Its links are relative, so that pages work below a proxy's prefix too.
type page struct {
	Title   string
	Nav     string // which entry of the navigation is current
	Base    string // the way from this page to the root
	Version string
	Dialect string
	Script  string // URLs of the assets, relative to Base
	Style   string
	Refresh int // milliseconds between updates by the script; 0: none
	Now     time.Time
}

func (s *Server) page(_ *http.Request, nav, title string) page {
	p := page{Title: title, Nav: nav, Base: "./", Version: s.o.Version, Now: time.Now(), Dialect: "vmagent dialect"}
	if s.prometheus() {
		p.Dialect = "prometheus dialect"
	}
	p.Script, p.Style = s.assets.link("app.js"), s.assets.link("app.css")
	return p
}

// jobRow sums up a job's targets.
type jobRow struct {
	scrape.JobStatus
	Samples, Series int
	MemoryBytes     int64
	PerSecond       float64 // samples, from the last scrapes and the intervals
}

// UpPercent is the part of the targets that are up.
func (j jobRow) UpPercent() int { return percent(j.Up, j.Active) }

func percent(part, whole int) int {
	if whole == 0 {
		return 0
	}
	return part * 100 / whole
}

type overviewPage struct {
	page
	Uptime       time.Duration
	NotReady     string
	Jobs         []jobRow
	Total        jobRow
	Down         int
	Unknown      int
	Problems     []*scrape.TargetStatus
	Destinations []remotewrite.DestinationStatus
	Healthy      int
	Sent         uint64
	Pending      int64
	// Demo: there are latest values. LatestHidden: but not for this peer.
	Demo, LatestHidden bool
	Latest             []latestRow
	Filter             string
}

// latestRow is a series and its newest value in words.
type latestRow struct {
	Name, Labels string
	Value        float64
	At           time.Time
	Stale        bool
}

func (s *Server) overview(w http.ResponseWriter, r *http.Request) {
	snap := s.o.Targets()
	v := overviewPage{page: s.page(r, "overview", "Overview"), Uptime: time.Since(s.started), Destinations: s.o.Destinations()}
	v.Refresh = 3000
	if err := s.o.Ready(); err != nil {
		v.NotReady = err.Error()
	}
	v.Jobs, v.Total = sumJobs(&snap)
	for i := range snap.Targets {
		switch t := &snap.Targets[i]; t.Health {
		case scrape.HealthDown:
			v.Down++
			if len(v.Problems) < overviewProblems {
				v.Problems = append(v.Problems, t)
			}
		case scrape.HealthUnknown:
			v.Unknown++
		}
	}
	for _, d := range v.Destinations {
		if d.Healthy {
			v.Healthy++
		}
		v.Sent += d.SentSamples
		v.Pending += d.PendingSamples
	}
	if v.Demo = s.o.Latest != nil; v.Demo {
		v.Refresh = 2000
		v.Filter = r.URL.Query().Get("filter")
		if v.LatestHidden = !s.localMayRead(r); !v.LatestHidden {
			for _, l := range s.o.Latest(overviewLatest, v.Filter) {
				v.Latest = append(v.Latest, newLatestRow(l))
			}
		}
	}
	s.render(w, "overview.html", v)
}

func newLatestRow(l LatestValue) latestRow {
	row := latestRow{Value: l.Value, At: l.At, Stale: l.Stale}
	var b strings.Builder
	for _, lb := range l.Labels {
		if lb.Name == "__name__" {
			row.Name = lb.Value
			continue
		}
		if b.Len() > 0 {
			b.WriteString(", ")
		}
		b.WriteString(lb.Name)
		b.WriteString("=")
		b.WriteString(quote(lb.Value))
	}
	row.Labels = b.String()
	return row
}

// sumJobs adds up the targets of each job, in the order of the snapshot's jobs, and of all.
func sumJobs(snap *scrape.Snapshot) (jobs []jobRow, total jobRow) {
	at := make(map[string]int, len(snap.Jobs))
	for _, j := range snap.Jobs {
		at[j.Job] = len(jobs)
		jobs = append(jobs, jobRow{JobStatus: j})
		total.Active += j.Active
		total.Up += j.Up
		total.Dropped += j.Dropped
	}
	add := func(j *jobRow, t *scrape.TargetStatus) {
		j.Samples += t.Samples
		j.Series += t.Series
		j.MemoryBytes += t.MemoryBytes
		if t.Interval > 0 {
			j.PerSecond += float64(t.Samples) / t.Interval.Seconds()
		}
	}
	for i := range snap.Targets {
		t := &snap.Targets[i]
		if k, ok := at[t.Job]; ok {
			add(&jobs[k], t)
		}
		add(&total, t)
	}
	return jobs, total
}

// discoveryPage shows what was discovered and became no target.
type discoveryPage struct {
	page
	Jobs    []scrape.JobStatus
	Job     string
	Dropped []scrape.DroppedTargets // by the job's name
	Shown   int                     // how many of them
	Exact   int                     // all which were dropped
	Active  int
}

func (s *Server) serviceDiscovery(w http.ResponseWriter, r *http.Request) {
	snap := s.o.Targets()
	v := discoveryPage{page: s.page(r, "discovery", "Service discovery"), Jobs: snap.Jobs, Job: r.URL.Query().Get("job")}
	v.Refresh = 5000
	for _, j := range snap.Jobs {
		if v.Job == "" || v.Job == j.Job {
			v.Exact += j.Dropped
			v.Active += j.Active
		}
	}
	for _, d := range snap.Dropped {
		if v.Job == "" || v.Job == d.Job {
			v.Dropped = append(v.Dropped, d)
			v.Shown += d.Count
		}
	}
	slices.SortFunc(v.Dropped, func(a, b scrape.DroppedTargets) int { return cmp.Compare(a.Job, b.Job) })
	if !wantsHTML(w, r) {
		v.text(w)
		return
	}
	v.Shown = min(v.Shown, droppedLimit)
	s.render(w, "discovery.html", &v)
}

// Rows are the targets to show, each with its job.
func (v *discoveryPage) Rows() iter.Seq2[string, scrape.DroppedStatus] {
	return func(yield func(string, scrape.DroppedStatus) bool) {
		left := v.Shown
		for _, j := range v.Dropped {
			for d := range j.Each {
				if left == 0 || !yield(j.Job, d) {
					return
				}
				left--
			}
		}
	}
}

func (v *discoveryPage) text(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	var b []byte
	for job, d := range v.Rows() {
		b = append(b[:0], "job="...)
		b = append(b, quote(job)...)
		b = append(b, ", reason="...)
		b = append(b, quote(d.Reason)...)
		b = append(b, ", discovered="...)
		b = append(appendLabels(b, d.Discovered), '\n')
		if _, err := w.Write(b); err != nil {
			return
		}
	}
}

func (s *Server) config(w http.ResponseWriter, _ *http.Request) {
	plain(w, http.StatusOK, s.o.Config())
}

// flags shows the flags as they would be written.
func (s *Server) flags(w http.ResponseWriter, _ *http.Request) {
	var b strings.Builder
	for _, f := range s.o.Flags() {
		b.WriteString(f.Name)
		b.WriteString("=")
		b.WriteString(quote(f.Value))
		b.WriteString("\n")
	}
	plain(w, http.StatusOK, b.String())
}

func (s *Server) agent(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Location", "./")
	w.WriteHeader(http.StatusFound)
}

func (s *Server) favicon(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }
