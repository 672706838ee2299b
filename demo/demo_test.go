package demo

import (
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"
	"go.yaml.in/yaml/v3"
)

var opened = time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)

// moments are times at which the shop is looked at: its start, odd ones, around replacements of pods, and late.
func moments() []time.Duration {
	return []time.Duration{0, 5 * time.Second, 39 * time.Second, 41 * time.Second, 133_500 * time.Millisecond, 5 * time.Minute, time.Hour, 30 * 24 * time.Hour}
}

func textAt(e *Exporter, after time.Duration) string {
	return string(e.AppendText(nil, opened.Add(after)))
}

// exposition is what parse reads: the values by series, and the types by family.
type exposition struct {
	values map[string]float64 // by the series' text
	labels map[string]map[string]string
	names  map[string]string // metric name by the series' text
	types  map[string]string // by family
}

// family is the family to which a series belongs, "" if none was declared.
func (x exposition) family(series string) string {
	name := x.names[series]
	if _, ok := x.types[name]; ok {
		return name
	}
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		base := strings.TrimSuffix(name, suffix)
		if kind := x.types[base]; base != name && (kind == "histogram" || kind == "summary" && suffix != "_bucket") {
			return base
		}
	}
	return ""
}

// parse is a strict and plain parser of what the text format allows this exporter to write: families in one piece,
// each with HELP and then TYPE; no blank lines, no timestamps, one blank between series and value.
func parse(t *testing.T, text string) exposition {
	t.Helper()
	x := exposition{map[string]float64{}, map[string]map[string]string{}, map[string]string{}, map[string]string{}}
	if !strings.HasSuffix(text, "\n") {
		t.Fatal("the last line does not end")
	}
	var helped, current string
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		fail := func(format string, args ...any) {
			t.Helper()
			t.Fatalf("line %d %q: %s", i+1, line, fmt.Sprintf(format, args...))
		}
		if rest, ok := strings.CutPrefix(line, "# HELP "); ok {
			name, help, _ := strings.Cut(rest, " ")
			if !isName(name) || help == "" {
				fail("HELP without name or text")
			}
			helped = name
			continue
		}
		if rest, ok := strings.CutPrefix(line, "# TYPE "); ok {
			name, kind, _ := strings.Cut(rest, " ")
			if name != helped || x.types[name] != "" {
				fail("TYPE without HELP before it, or twice")
			}
			if !slices.Contains([]string{"counter", "gauge", "histogram", "summary", "untyped"}, kind) {
				fail("unknown type")
			}
			x.types[name], current = kind, name
			continue
		}
		series, name, labels, rest := parseSeries(line, fail)
		value, err := strconv.ParseFloat(rest, 64)
		if err != nil {
			fail("value: %v", err)
		}
		if _, ok := x.values[series]; ok {
			fail("series twice")
		}
		x.values[series], x.labels[series], x.names[series] = value, labels, name
		if got := x.family(series); got != current {
			fail("belongs to family %q, stands in %q", got, current)
		}
	}
	return x
}

// parseSeries splits a sample line into the series as written, its name, its labels, and the value's text.
func parseSeries(line string, fail func(string, ...any)) (series, name string, labels map[string]string, value string) {
	end := strings.IndexAny(line, "{ ")
	if end < 0 || !isName(line[:end]) {
		fail("no metric name")
	}
	name, labels = line[:end], map[string]string{}
	i := end
	if line[i] == '{' {
		for line[i] != '}' {
			i++
			eq := strings.Index(line[i:], `="`)
			if eq < 0 || !isName(line[i:i+eq]) || strings.Contains(line[i:i+eq], ":") {
				fail("no label name at %d", i)
			}
			label := line[i : i+eq]
			var v strings.Builder
			for i += eq + 2; line[i] != '"'; i++ {
				c := line[i]
				if c == '\\' {
					i++
					switch line[i] {
					case 'n':
						c = '\n'
					case '\\', '"':
						c = line[i]
					default:
						fail("unknown escape at %d", i)
					}
				}
				v.WriteByte(c)
			}
			i++
			if _, ok := labels[label]; ok {
				fail("label %s twice", label)
			}
			labels[label] = v.String()
			if line[i] != ',' && line[i] != '}' {
				fail("neither comma nor brace at %d", i)
			}
		}
		i++
	}
	if line[i] != ' ' {
		fail("no blank before the value")
	}
	return line[:i], name, labels, line[i+1:]
}

func isName(s string) bool {
	for i, c := range []byte(s) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c == ':'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}

func TestTextIsWellFormed(t *testing.T) {
	for _, seed := range []uint64{0, 1, 42} {
		e := New(Options{Seed: seed, Start: opened})
		for _, after := range moments() {
			x := parse(t, textAt(e, after))
			if n := len(x.values); n < 200 || n > 600 {
				t.Errorf("seed %d after %v: %d series, want 200 to 600", seed, after, n)
			}
			kinds := slices.Sorted(maps.Values(x.types))
			if got := slices.Compact(kinds); len(got) != 5 {
				t.Errorf("types = %v, want all five", got)
			}
		}
	}
}

func TestEscapes(t *testing.T) {
	x := parse(t, textAt(New(Options{Start: opened}), 0))
	want := map[string]string{"path": `C:\imports\new`, "title": "the \"big\"\nwinter sale", "owner": "Zoë"}
	for series, labels := range x.labels {
		if x.names[series] == "shop_last_import_info" {
			if diff := cmp.Diff(want, labels); diff != "" {
				t.Errorf("labels of %s: (-want +got)\n%s", series, diff)
			}
			return
		}
	}
	t.Error("shop_last_import_info is missing")
}

// The same moment of the same shop always looks the same; another seed is another shop.
func TestDeterministic(t *testing.T) {
	a, b, other := New(Options{Start: opened}), New(Options{Start: opened}), New(Options{Start: opened, Seed: 1})
	for _, after := range moments() {
		if textAt(a, after) != textAt(b, after) {
			t.Errorf("after %v: two exporters with the same options differ", after)
		}
		if textAt(a, after) == textAt(other, after) {
			t.Errorf("after %v: two seeds give the same text", after)
		}
	}
	before := string(a.AppendText(nil, opened.Add(-time.Hour)))
	if before != textAt(a, 0) {
		t.Error("before the start it does not look as at the start")
	}
}

func TestAppendTextAppends(t *testing.T) {
	e := New(Options{Start: opened})
	if got := string(e.AppendText([]byte("x"), opened)); got != "x"+textAt(e, 0) {
		t.Error("AppendText did not keep what was in the buffer")
	}
}

// rising are the series which must never fall: counters, and all of histograms and summaries but the quantiles.
func rising(x exposition, series string) bool {
	switch x.types[x.family(series)] {
	case "counter", "histogram":
		return true
	case "summary":
		return x.labels[series]["quantile"] == ""
	}
	return false
}

func TestCountersRise(t *testing.T) {
	e := New(Options{Start: opened})
	before := parse(t, textAt(e, 0))
	for after := time.Second; after < 11*time.Minute; after += 1700 * time.Millisecond {
		now := parse(t, textAt(e, after))
		for series, v := range now.values {
			old, ok := before.values[series]
			if rising(now, series) && (v < 0 || ok && v < old) {
				t.Fatalf("after %v: %s fell from %v to %v", after, series, old, v)
			}
		}
		before = now
	}
}

func TestSeriesMove(t *testing.T) {
	e := New(Options{Start: opened})
	a, b := parse(t, textAt(e, 60*time.Second)), parse(t, textAt(e, 65*time.Second))
	moved := 0
	for series, v := range b.values {
		if old, ok := a.values[series]; ok && old != v && !math.IsNaN(v) {
			moved++
		}
	}
	if moved < len(b.values)/2 {
		t.Errorf("%d of %d series moved in 5 s, want at least half", moved, len(b.values))
	}
}

// A pod is replaced about every 40 s: its series go, and those of another one come.
func TestPodsChurn(t *testing.T) {
	e := New(Options{Start: opened})
	podsAt := func(after time.Duration) []string {
		var pods []string
		x := parse(t, textAt(e, after))
		for series, labels := range x.labels {
			if x.names[series] == "shop_pod_restarts_total" {
				pods = append(pods, labels["pod"])
			}
		}
		slices.Sort(pods)
		if got := len(slices.Compact(slices.Clone(pods))); got != len(pods) {
			t.Errorf("after %v: two pods share a name: %v", after, pods)
		}
		return pods
	}
	before := podsAt(10 * time.Second)
	for i := range 30 {
		now := podsAt(10*time.Second + time.Duration(i+1)*podTurnover)
		gone := slices.DeleteFunc(slices.Clone(before), func(p string) bool { return slices.Contains(now, p) })
		if len(now) != len(before) || len(gone) != 1 {
			t.Errorf("turn %d: %d of %d pods left, %d now, want 1 replaced", i, len(gone), len(before), len(now))
		}
		before = now
	}
	// A new pod counts from 0.
	x := parse(t, textAt(e, podTurnover))
	young := 0
	for series, v := range x.values {
		if x.names[series] == "shop_pod_cpu_seconds_total" && v == 0 {
			young++
		}
	}
	if young != 1 {
		t.Errorf("%d pods with no CPU time at the moment of a replacement, want 1", young)
	}
}

func TestHistogramIsCumulative(t *testing.T) {
	e := New(Options{Start: opened})
	for _, after := range moments() {
		x := parse(t, textAt(e, after))
		// Series stand in order, so the text is walked rather than the map.
		var last, bound float64
		histograms := 0
		for line := range strings.Lines(textAt(e, after)) {
			series, _, _ := strings.Cut(line, "} ")
			series += "}"
			switch x.names[series] {
			case "shop_http_request_duration_seconds_bucket":
				le, err := strconv.ParseFloat(x.labels[series]["le"], 64)
				if err != nil {
					t.Fatal(err)
				}
				if le < bound {
					t.Errorf("%s: bounds fall", series)
				}
				if bound != 0 && !math.IsInf(bound, 1) && x.values[series] < last {
					t.Errorf("after %v: %s = %v, less than the bucket before it, %v", after, series, x.values[series], last)
				}
				last, bound = x.values[series], le
			case "shop_http_request_duration_seconds_sum":
				if !math.IsInf(bound, 1) {
					t.Errorf("the last bucket is le=%v, want +Inf", bound)
				}
				bound = 0
			case "shop_http_request_duration_seconds_count":
				histograms++
				if x.values[series] != last {
					t.Errorf("after %v: %s = %v, want the last bucket's %v", after, series, x.values[series], last)
				}
			}
		}
		if histograms == 0 {
			t.Error("no histogram")
		}
	}
}

func get(t *testing.T, e *Exporter, method, acceptEncoding string) *http.Response {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), method, "/metrics", nil)
	if acceptEncoding != "" {
		req.Header.Set("Accept-Encoding", acceptEncoding)
	}
	w := httptest.NewRecorder()
	e.ServeHTTP(w, req)
	return w.Result()
}

func TestHTTP(t *testing.T) {
	e := New(Options{})
	for _, tc := range []struct {
		accept string
		gzip   bool
	}{
		{"", false}, {"identity", false}, {"gzip", true}, {"deflate, GZIP;q=0.5", true}, {"gzip;q=0", false}, {"gzip; q=0.000, br", false}, {"xgzip", false},
	} {
		resp := get(t, e, http.MethodGet, tc.accept)
		var body io.Reader = resp.Body
		if got := resp.Header.Get("Content-Encoding") == "gzip"; got != tc.gzip {
			t.Errorf("Accept-Encoding %q: gzip = %v, want %v", tc.accept, got, tc.gzip)
		} else if got {
			z, err := gzip.NewReader(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			body = z
		}
		text, err := io.ReadAll(body)
		if err != nil {
			t.Fatal(err)
		}
		parse(t, string(text))
		if got := resp.Header.Get("Content-Type"); resp.StatusCode != 200 || got != "text/plain; version=0.0.4; charset=utf-8" {
			t.Errorf("answer = %d, %s", resp.StatusCode, got)
		}
	}
	if resp := get(t, e, http.MethodPost, ""); resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST = %d, want 405", resp.StatusCode)
	}
}

func TestConfig(t *testing.T) {
	var got struct {
		Global map[string]string
		Scrape []struct {
			Job    string                       `yaml:"job_name"`
			Static []struct{ Targets []string } `yaml:"static_configs"`
		} `yaml:"scrape_configs"`
	}
	if err := yaml.Unmarshal([]byte(Config("127.0.0.1:1234", "[::1]:8429")), &got); err != nil {
		t.Fatal(err)
	}
	if got.Global["scrape_interval"] != "5s" || len(got.Scrape) != 2 {
		t.Fatalf("Config = %+v, want two jobs every 5s", got)
	}
	for i, want := range []string{"demo 127.0.0.1:1234", "scraper [::1]:8429"} {
		if s := got.Scrape[i]; s.Job+" "+s.Static[0].Targets[0] != want {
			t.Errorf("job %d = %+v, want %s", i, s, want)
		}
	}
}
