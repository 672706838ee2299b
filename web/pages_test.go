package web

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"scraper/scrape"
)

// TestEscaping: what targets, exporters and configurations say is shown, not obeyed.
func TestEscaping(t *testing.T) {
	const evil = `"><script>alert(1)</script><img src=x onerror=alert(1)>'`
	o := options()
	tg := target(1, evil, "javascript:alert(1)")
	tg.Labels, tg.Discovered, tg.LastError, tg.Health = labels("a", evil, evil, "b"), discovered("__meta", evil), evil, scrape.HealthDown
	o.Targets = func() scrape.Snapshot {
		return scrape.Snapshot{
			Jobs:    []scrape.JobStatus{{Job: evil, Active: 1, Dropped: 1}},
			Targets: []scrape.TargetStatus{tg},
			Dropped: []scrape.DroppedTargets{dropped(evil, evil, labels("a", evil))},
		}
	}
	o.Version = evil
	o.Latest = func(int, string) []LatestValue {
		return []LatestValue{{Labels: labels("__name__", evil, "a", evil), Value: math.NaN()}}
	}
	s := newServer(t, o)
	tag := regexp.MustCompile(`(?i)<(script|img|iframe)[^>]*>`)
	for _, path := range []string{"/", "/?filter=%22%3E%3Cscript%3E", "/targets?search=%22%3E%3Cscript%3E&job=%3Cscript%3E", "/targets", "/service-discovery"} {
		body := text(t, ask(t, s, local, "GET", path, "", "Accept", "text/html"))
		for _, m := range tag.FindAllString(body, -1) {
			if !strings.Contains(m, ` src="./assets/app.js?v=`) {
				t.Errorf("GET %s lets %q through", path, m)
			}
		}
		if strings.Contains(body, `href="javascript:`) {
			t.Errorf("GET %s links to a script", path)
		}
		if !strings.Contains(body, "</html>") {
			t.Errorf("GET %s is cut", path)
		}
	}
	for _, path := range []string{"/targets", "/service-discovery", "/config"} {
		if got := ask(t, s, local, "GET", path, "").Header.Get("Content-Type"); got != "text/plain; charset=utf-8" {
			t.Errorf("GET %s as text has type %q", path, got)
		}
	}
}

// TestManyDropped: the page shows some and says so, the text and the JSON have all which are kept.
func TestManyDropped(t *testing.T) {
	const each = droppedLimit/2 + 1
	o := options()
	o.Targets = func() scrape.Snapshot {
		var snap scrape.Snapshot
		for _, job := range []string{"b", "a"} {
			snap.Jobs = append(snap.Jobs, scrape.JobStatus{Job: job, Dropped: each})
			status := scrape.DroppedStatus{Discovered: labels("a", "b"), Reason: "relabeling"}
			snap.Dropped = append(snap.Dropped, scrape.DroppedTargets{Job: job, Count: each, Each: slices.Values(slices.Repeat([]scrape.DroppedStatus{status}, each))})
		}
		return snap
	}
	s := newServer(t, o)
	f := func(path, what string, want int, says string) {
		t.Helper()
		body := text(t, ask(t, s, local, "GET", path, "", "Accept", "text/html"))
		if got := strings.Count(body, what); got != want || !strings.Contains(body, says) {
			t.Errorf("GET %s has %d dropped targets, want %d, and %q", path, got, want, says)
		}
	}
	const row = `data-label="Reason"`
	f("/service-discovery", row, droppedLimit, "502 were dropped; 500 of them are shown")
	f("/service-discovery?job=b", row, each, "251 were dropped.")
	f("/service-discovery?format=text", "reason=", 2*each, `job="a"`)
	f("/api/v1/targets", "discoveredLabels", 2*each, `"droppedTargetCounts":{"a":251,"b":251}`)
	f("/api/v1/targets?scrapePool=a", "discoveredLabels", each, "")
}

func TestOverview(t *testing.T) {
	body := text(t, ask(t, newServer(t, options()), local, "GET", "/", ""))
	for _, want := range []string{"1:main", "4\u202f242", "healthy", ">17<", "Needs attention", "read body: ", "21.5", `href="targets?id=2"`, "1.2.3"} {
		if !strings.Contains(body, want) {
			t.Errorf("the overview does not say %q", want)
		}
	}
}

func TestTargetsText(t *testing.T) {
	o := options()
	o.Targets = func() scrape.Snapshot {
		snap := snapshot()
		for i := range snap.Targets {
			snap.Targets[i].LastScrape = time.Now().Add(-2*time.Hour - time.Minute/2)
		}
		snap.Targets[1].LastError = "line 1\nline 2"
		return snap
	}
	s := newServer(t, o)
	const node = `job="node" (1/1 up)
	state=up, endpoint=http://host1:9100/metrics, labels={instance="host1", job="node"}, scrapes_total=3, scrapes_failed=0, last_scrape=2h ago, scrape_duration=12.5ms, samples_scraped=100, error=""
`
	const app = `job="app" (0/1 up)
	state=down, endpoint=http://localhost:8080/metrics?x=%3Chidden%3E, labels={instance="host2", job="app"}, scrapes_total=3, scrapes_failed=2, last_scrape=2h ago, scrape_duration=12.5ms, samples_scraped=100, error="line 1\nline 2"
`
	f := func(query, want string) {
		t.Helper()
		if diff := cmp.Diff(want, text(t, ask(t, s, local, "GET", "/targets"+query, "", "Accept", "*/*"))); diff != "" {
			t.Errorf("/targets%s (-want +got):\n%s", query, diff)
		}
	}
	f("", node+app)
	f("?job=node", node)
	f("?health=down", app)
	f("?show_only_unhealthy=true", app)
	f("?search=HOST2+instance", app)
	f("?search=line", app)
	f("?search="+`instance%3D%22host1%22`, node)
	f("?endpoint_search=%5Ehttp://host", node)
	f("?id=2", app)
	f("?search=nothing", "")
	f("?job=node&show_original_labels=1", strings.Replace(node, `job="node"}`, `job="node"}, originalLabels={__address__="host1", job="node"}`, 1))
}

func TestTargetsAcceptAndBadFilters(t *testing.T) {
	s := newServer(t, options())
	html := func(query, accept string, want bool) {
		t.Helper()
		res := ask(t, s, local, "GET", "/targets"+query, "", "Accept", accept)
		if got := strings.HasPrefix(res.Header.Get("Content-Type"), "text/html"); got != want {
			t.Errorf("/targets%s with Accept %q is HTML: %t, want %t", query, accept, got, want)
		}
	}
	html("", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8", true)
	html("", "*/*", false)
	html("", "", false)
	html("", "text/plain", false)
	html("?format=html", "*/*", true)
	html("?format=text", "text/html", false)
	for _, query := range []string{"?health=sick", "?id=x", "?endpoint_search=(", "?search=" + strings.Repeat("x", maxQuery+1), `?label_search={a="b"}`} {
		if res := ask(t, s, local, "GET", "/targets"+query, ""); res.StatusCode != 400 {
			t.Errorf("/targets%.40s = %d, want 400", query, res.StatusCode)
		}
	}
}

// manyTargets is a snapshot of n targets, of which the last is down.
func manyTargets(n int) func() scrape.Snapshot {
	snap := scrape.Snapshot{Jobs: []scrape.JobStatus{{Job: "pods", Active: n, Up: n - 1}}}
	for i := range n {
		t := target(i+1, "pods", fmt.Sprintf("http://10.0.%d.%d:8080/metrics", i/250, i%250))
		t.Labels = labels("instance", t.URL[7:], "job", "pods", "namespace", "default", "node", "ip-10-0-0-1.eu-central-1.compute.internal", "pod", fmt.Sprint("pod-", i))
		snap.Targets = append(snap.Targets, t)
	}
	snap.Targets[n-1].Health, snap.Targets[n-1].LastError = scrape.HealthDown, "connection refused"
	return func() scrape.Snapshot { return snap }
}

// TestManyTargets: with 5,000 targets the page stays small, shows what is wrong first, and all when asked.
func TestManyTargets(t *testing.T) {
	o := options()
	o.Targets = manyTargets(5000)
	s := newServer(t, o)
	body := text(t, ask(t, s, local, "GET", "/targets", "", "Accept", "text/html"))
	if len(body) > 512<<10 {
		t.Errorf("the page of 5,000 targets has %d bytes, want at most 512 KiB", len(body))
	}
	rows := strings.Count(body, `<td class="endpoint">`)
	if rows != targetsLimit || !strings.Contains(body, `href="targets?all=1"`) {
		t.Errorf("the page of 5,000 targets has %d rows, want %d and a link to all", rows, targetsLimit)
	}
	if down, up := strings.Index(body, `<tr class="down">`), strings.Index(body, `<tr class="up">`); down < 0 || down > up {
		t.Errorf("the target that is down stands at %d, behind one that is up at %d", down, up)
	}
	body = text(t, ask(t, s, local, "GET", "/targets?all=1", "", "Accept", "text/html"))
	if rows := strings.Count(body, `<td class="endpoint">`); rows != 5000 || len(body) > 10<<20 {
		t.Errorf("the page of all targets has %d rows in %d bytes, want 5000 in at most 10 MiB", rows, len(body))
	}
	if !strings.Contains(body, `data-refresh="0"`) {
		t.Error("the page of all targets refreshes itself")
	}
	if body := text(t, ask(t, s, local, "GET", "/", "")); len(body) > 64<<10 {
		t.Errorf("the overview of 5,000 targets has %d bytes, want at most 64 KiB", len(body))
	}
}

func TestFormat(t *testing.T) {
	f := func(got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	f(count(0), "0")
	f(count(999), "999")
	f(count(uint64(1000)), "1\u202f000")
	f(count(int64(999_999)), "999\u202f999")
	f(count(1_234_567), "1.23 M")
	f(count(uint64(math.MaxUint64)), "18446744 T")
	f(rate(0), "0")
	f(rate(0.25), "0.25")
	f(rate(99.96), "100")
	f(rate(2455.2), "2\u202f455")
	f(byteSize(int64(0)), "0 B")
	f(byteSize(int64(1023)), "1023 B")
	f(byteSize(uint64(1536)), "1.5 KiB")
	f(byteSize(int64(200<<20)), "200 MiB")
	f(shortDuration(0), "0s")
	f(shortDuration(250*time.Nanosecond), "0.25µs")
	f(shortDuration(12*time.Millisecond), "12ms")
	f(shortDuration(90*time.Second), "1m30s")
	f(shortDuration(3*time.Hour), "3h")
	f(shortDuration(50*time.Hour), "2d2h")
	now := time.Now()
	f(ago(now, time.Time{}), "never")
	f(ago(now, now.Add(time.Second)), "just now")
	f(ago(now, now.Add(-7500*time.Millisecond)), "7s ago")
	f(ago(now, now.Add(-2*time.Minute)), "2m ago")
	f(shortFloat(42), "42")
	f(shortFloat(1e15), "1000000000000000")
	f(shortFloat(0.1+0.2), "0.3")
	f(shortFloat(math.NaN()), "NaN")
	f(shortFloat(math.Inf(1)), "+Inf")
	f(shortFloat(math.Inf(-1)), "-Inf")
	f(quote("a\"\\\n"), `"a\"\\\n"`)
}

func BenchmarkTargetsPage(b *testing.B) {
	o := options()
	o.Targets = manyTargets(5000)
	s := newServer(b, o)
	for b.Loop() {
		ask(b, s, local, "GET", "/targets", "", "Accept", "text/html")
	}
}
