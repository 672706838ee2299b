package web

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"scraper/config"
	"scraper/scrape"
)

// TestTargetsJSON pins every field of Prometheus' document.
func TestTargetsJSON(t *testing.T) {
	const want = `{"status":"success","data":{
"activeTargets":[
{"discoveredLabels":{"__address__":"host2","job":"app"},"labels":{"instance":"host2","job":"app"},"scrapePool":"app","scrapeUrl":"http://localhost:8080/metrics?x=%3Chidden%3E","globalUrl":"http://edge-7:8080/metrics?x=%3Chidden%3E","lastError":"read body: \"\u003cb\u003e\"","lastScrape":"2026-01-02T03:04:05.6Z","lastScrapeDuration":0.0125,"health":"down","scrapeInterval":"1m30s","scrapeTimeout":"10s"},
{"discoveredLabels":{"__address__":"host1","job":"node"},"labels":{"instance":"host1","job":"node"},"scrapePool":"node","scrapeUrl":"http://host1:9100/metrics","globalUrl":"http://host1:9100/metrics","lastError":"","lastScrape":"2026-01-02T03:04:05.6Z","lastScrapeDuration":0.0125,"health":"up","scrapeInterval":"1m30s","scrapeTimeout":"10s"}],
"droppedTargets":[
{"discoveredLabels":{"__address__":"gone:1","job":"app"},"scrapePool":"app"}],
"droppedTargetCounts":{"app":7,"node":0}}}
`
	o := options()
	o.Dialect, o.Hostname = config.Prometheus, "edge-7"
	s := newServer(t, o)
	got := text(t, ask(t, s, local, "GET", "/api/v1/targets", ""))
	if diff := cmp.Diff(strings.ReplaceAll(strings.TrimSuffix(want, "\n"), "\n", "")+"\n", got); diff != "" {
		t.Errorf("/api/v1/targets (-want +got):\n%s", diff)
	}
	o.Dialect = config.VMAgent
	if got := text(t, ask(t, newServer(t, o), local, "GET", "/api/v1/targets", "")); !strings.Contains(got, `"lastSamplesScraped":100,`) {
		t.Errorf("/api/v1/targets has no lastSamplesScraped in vmagent's dialect: %s", got)
	}
}

func TestTargetsJSONParameters(t *testing.T) {
	s := newServer(t, options())
	f := func(query string, active, dropped, counts int) {
		t.Helper()
		var doc struct {
			Status string
			Data   struct {
				ActiveTargets, DroppedTargets []json.RawMessage
				DroppedTargetCounts           map[string]int
			}
		}
		if err := json.Unmarshal([]byte(text(t, ask(t, s, local, "GET", "/api/v1/targets"+query, ""))), &doc); err != nil {
			t.Fatal(err)
		}
		d := doc.Data
		if d.ActiveTargets == nil || d.DroppedTargets == nil {
			t.Errorf("%q has null in the place of a list", query)
		}
		if len(d.ActiveTargets) != active || len(d.DroppedTargets) != dropped || len(d.DroppedTargetCounts) != counts {
			t.Errorf("%q has %d active, %d dropped, %d counts, want %d, %d, %d", query, len(d.ActiveTargets), len(d.DroppedTargets), len(d.DroppedTargetCounts), active, dropped, counts)
		}
	}
	f("", 2, 1, 2)
	f("?state=any", 2, 1, 2)
	f("?state=Active", 2, 0, 0)
	f("?state=dropped", 0, 1, 2)
	f("?state=other", 0, 0, 0)
	f("?scrapePool=node", 1, 0, 2)
	f("?scrapePool=app&state=active", 1, 0, 0)
	f("?scrapePool=none", 0, 0, 2)
}

// TestTargetsJSONIsValid: labels and errors may hold anything.
func TestTargetsJSONIsValid(t *testing.T) {
	o := options()
	tg := target(1, "j\"\\", "http://x/")
	tg.Labels = labels("a", "\xff\"\n\u2028</script>", "ü", "")
	tg.LastError = "\x00\x1b[31m"
	o.Targets = func() scrape.Snapshot { return scrape.Snapshot{Targets: []scrape.TargetStatus{tg}} }
	got := text(t, ask(t, newServer(t, o), local, "GET", "/api/v1/targets", ""))
	if !json.Valid([]byte(got)) || strings.Contains(got, "</script") {
		t.Errorf("/api/v1/targets = %s, want valid JSON without markup", got)
	}
}

// TestAppendString: text which is appended as it is reads as it would from encoding/json.
func TestAppendString(t *testing.T) {
	for _, in := range []string{"", "plain", "a b~", `"`, `\`, "\n", "\x00", "\x1f", "\x7f", "<b>", "a&b", "\xff", "ü", "\u2028", "ok\xc3"} {
		want, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		if got := appendString([]byte("x"), in); string(got) != "x"+string(want) {
			t.Errorf("appendString(%q) = %s, want %s", in, got[1:], want)
		}
	}
}

func TestGlobalURL(t *testing.T) {
	f := func(in, hostname, want string) {
		t.Helper()
		if got := globalURL(in, hostname); got != want {
			t.Errorf("globalURL(%q, %q) = %q, want %q", in, hostname, got, want)
		}
	}
	f("http://localhost:80/m?x=1", "h", "http://h:80/m?x=1")
	f("https://127.0.0.1/m", "h", "https://h/m")
	f("http://[::1]:9/m", "h", "http://h:9/m")
	f("http://localhost.example:9/m", "h", "http://localhost.example:9/m")
	f("http://localhost:80/m", "", "http://localhost:80/m")
	f("::", "h", "::")
}

func TestLatestJSON(t *testing.T) {
	s := newServer(t, options())
	const want = `{"status":"success","data":[{"metric":{"__name__":"temperature","room":"kitchen"},"value":"21.5","timestamp":1700000000.5}]}` + "\n"
	if got := text(t, ask(t, s, local, "GET", "/api/v1/latest?limit=5&filter=temp", "")); got != want {
		t.Errorf("/api/v1/latest = %s, want %s", got, want)
	}
	if got := text(t, ask(t, s, local, "GET", "/api/v1/latest?filter=none", "")); got != `{"status":"success","data":[]}`+"\n" {
		t.Errorf("/api/v1/latest = %s, want an empty list", got)
	}
	o := options()
	o.Latest = nil
	if res := ask(t, newServer(t, o), local, "GET", "/api/v1/latest", ""); res.StatusCode != 404 {
		t.Errorf("/api/v1/latest outside the demo = %d, want 404", res.StatusCode)
	}
}
