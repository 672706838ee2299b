package e2e

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"scraper/receiver"
)

// line is a sample as a scripted target says it.
type line struct {
	name   string
	labels [][2]string
	value  float64
	time   int64 // in milliseconds; 0: none
}

// body is what a scripted target answers once.
type body struct {
	failure failure
	lines   []line
	words   *rand.Rand // for label order, blanks and the like, which mean nothing
}

// failure is how an answer fails.
type failure int

const (
	none failure = iota
	status
	cut
	badLine // a failure in Prometheus' dialect only
	failures
)

// script makes the answers of a target: series which come and go, in changing order and words, with failures in between.
// Its answers follow from its seed.
func script(dialect string, seed uint64, n int, base time.Time) []body {
	r := rand.New(rand.NewPCG(seed, 1))
	var universe []line
	for i := range 12 {
		universe = append(universe, line{name: "plain", labels: [][2]string{{"i", strconv.Itoa(i)}, {"color", "blue"}, {"drop_me", "x"}}})
	}
	for i := range 6 { // labeldrop makes two of them one
		universe = append(universe, line{name: "merged", labels: [][2]string{{"i", strconv.Itoa(i / 2)}, {"drop_other", strconv.Itoa(i)}}})
	}
	for i := range 4 { // the target's own labels get out of the way
		universe = append(universe, line{name: "own", labels: [][2]string{{"instance", "mine"}, {"job", strconv.Itoa(i)}}})
	}
	for i := range 4 { // a rule which comes and goes drops these
		universe = append(universe, line{name: "gone_by_rule", labels: [][2]string{{"i", strconv.Itoa(i)}}})
	}
	for i := range 4 { // the same rule renames a label of these
		universe = append(universe, line{name: "renamed", labels: [][2]string{{"shape", strconv.Itoa(i)}}})
	}
	for i := range 6 {
		universe = append(universe, line{name: "timed", labels: [][2]string{{"i", strconv.Itoa(i)}}})
	}
	for i := range 4 {
		universe = append(universe, line{name: "h_bucket", labels: [][2]string{{"le", strconv.Itoa(i)}, {"i", "0"}}})
	}
	present := make([]bool, len(universe))
	for i := range present {
		present[i] = r.IntN(4) > 0
	}
	now := base.UnixMilli()
	known := make([]bool, len(universe)) // in the last good body
	last, newest := make([]int64, len(universe)), make([]int64, len(universe))
	failed := 0 // in a row
	flaps := r.IntN(4) == 0
	var all []body
	for k := range n {
		b := body{words: rand.New(rand.NewPCG(seed, uint64(k+2)))}
		switch {
		case flaps && k%2 == 1, r.IntN(10) == 0:
			b.failure = failure(1 + r.IntN(int(failures)-1))
			if b.failure == badLine && dialect == "vmagent" {
				b.failure = cut
			}
		}
		for i, l := range universe {
			if r.IntN(8) == 0 {
				present[i] = !present[i]
			}
			if !present[i] {
				continue
			}
			l.value = float64(k*1000 + i)
			if r.IntN(20) == 0 {
				l.value = math.NaN()
			}
			if l.name == "timed" {
				// It goes on, stays, or goes back; but when the agent may have forgotten it, it goes on.
				step := int64(r.IntN(5)-1) * 500
				last[i] = max(last[i], now) + step
				if !known[i] || failed > 1 {
					last[i] = max(last[i], newest[i]+500)
				}
				newest[i] = max(newest[i], last[i])
				l.time = last[i]
			}
			if l.name == "h_bucket" {
				le := l.labels[0][1]
				l.labels = [][2]string{{"le", []string{le, le + ".0", le + ".00"}[r.IntN(3)]}, l.labels[1]}
			}
			b.lines = append(b.lines, l)
			if l.time == 0 && r.IntN(15) == 0 { // and once more
				l.value++
				b.lines = append(b.lines, l)
			}
		}
		if r.IntN(3) == 0 {
			r.Shuffle(len(b.lines), func(i, j int) { b.lines[i], b.lines[j] = b.lines[j], b.lines[i] })
		}
		// Histograms go last, since what is said of a type concerns what follows it.
		isBucket := func(l line) bool { return l.name == "h_bucket" }
		buckets := slices.DeleteFunc(slices.Clone(b.lines), func(l line) bool { return !isBucket(l) })
		b.lines = append(slices.DeleteFunc(b.lines, isBucket), buckets...)
		if failed++; b.failure == none {
			failed = 0
			copy(known, present)
		}
		all = append(all, b)
	}
	return all
}

// text writes the body in words which differ from time to time.
func (b *body) text() string {
	var w strings.Builder
	w.WriteString("# TYPE plain gauge\n")
	typed := false
	for _, l := range b.lines {
		if l.name == "h_bucket" && !typed {
			w.WriteString("# TYPE h histogram\n")
			typed = true
		}
		labels := slices.Clone(l.labels)
		if b.words.IntN(3) == 0 {
			b.words.Shuffle(len(labels), func(i, j int) { labels[i], labels[j] = labels[j], labels[i] })
		}
		w.WriteString(l.name + "{")
		blank := strings.Repeat(" ", b.words.IntN(2))
		for i, x := range labels {
			if i > 0 {
				w.WriteString("," + blank)
			}
			w.WriteString(x[0] + `="` + x[1] + `"`)
		}
		if b.words.IntN(5) == 0 {
			w.WriteString(",")
		}
		w.WriteString("} " + blank + strconv.FormatFloat(l.value, 'g', -1, 64))
		if l.time != 0 {
			w.WriteString(" " + strconv.FormatInt(l.time, 10))
		}
		w.WriteString("\n")
	}
	return w.String()
}

// answer answers with the body, or fails as it says.
func (b *body) answer(w http.ResponseWriter) {
	text := b.text()
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	switch b.failure {
	case status:
		http.Error(w, text, http.StatusServiceUnavailable)
	case cut:
		w.Header().Set("Content-Length", strconv.Itoa(len(text)+10))
		_, _ = w.Write([]byte(text))
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	case badLine:
		write(w, []byte(text+"bad line {\n"))
	default:
		write(w, []byte(text))
	}
}

// final is the label set under which a line arrives, or nil if a rule drops it. Rules are the number of the configuration:
// the second of three has the rules which come and go.
func (l *line) final(dialect string, rules int, instance string) map[string]string {
	if rules == 2 && l.name == "gone_by_rule" {
		return nil
	}
	m := map[string]string{"__name__": l.name, "job": "scripted", "instance": instance, "region": "here"}
	for _, x := range l.labels {
		name, value := x[0], x[1]
		switch {
		case strings.HasPrefix(name, "drop_"):
			continue
		case name == "job", name == "instance":
			name = "exported_" + name
		case name == "shape" && rules == 2:
			name = "form"
		case name == "le" && dialect == "prometheus":
			value, _, _ = strings.Cut(value, ".")
			value += ".0"
		}
		m[name] = value
	}
	return m
}

// scripted is a target which follows a script, and remembers by which rules it was asked.
type scripted struct {
	*target
	bodies []body

	mu       sync.Mutex
	requests []request
}

// request is what the target knows of one request.
type request struct {
	at    time.Time
	rules int // the configuration by which it was asked
}

func (s *scripted) next(n int, w http.ResponseWriter, r *http.Request) {
	rules, _ := strconv.Atoi(r.Header.Get("X-Rules"))
	s.mu.Lock()
	s.requests = append(s.requests, request{time.Now(), rules})
	s.mu.Unlock()
	s.bodies[min(n, len(s.bodies))-1].answer(w)
}

// asked is how often the target was asked.
func (s *scripted) asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.requests)
}

// requestOf returns which request was made by the scrape whose sample of up is up[n]: the first one after it. It returns
// false when there was none: the machine was too busy to connect in time.
func (s *scripted) requestOf(up []receiver.Sample, n int) (k int, ok bool) {
	k, _ = slices.BinarySearchFunc(s.requests, up[n].TimestampMillis, func(r request, millis int64) int {
		return cmp.Compare(r.at.UnixMilli(), millis)
	})
	next := int64(math.MaxInt64)
	if n+1 < len(up) {
		next = up[n+1].TimestampMillis
	}
	return k, k < len(s.requests) && s.requests[k].at.UnixMilli() < next
}

// body is what the target answered to a request.
func (s *scripted) body(k int) *body { return &s.bodies[min(k, len(s.bodies)-1)] }

// expect works out, from what the target answered and when its scrapes were, what must have arrived: by label set, in
// order. Active are the series which were alive at the end.
func (s *scripted) expect(dialect string, up []receiver.Sample) (want map[string][]receiver.Sample, active map[string]bool) {
	want = make(map[string][]receiver.Sample)
	active = make(map[string]bool)
	last := make(map[string]int64)
	for n, at := range up {
		met := make(map[string]bool)
		var lines []line
		rules := 0
		if k, ok := s.requestOf(up, n); ok && at.Value == 1 {
			lines, rules = s.body(k).lines, s.requests[k].rules
		}
		for _, l := range lines {
			labels := l.final(dialect, rules, s.name)
			if labels == nil {
				continue
			}
			k := key(labels)
			switch {
			case l.time != 0:
				if l.time > last[k] {
					last[k] = l.time
					want[k] = append(want[k], receiver.Sample{TimestampMillis: l.time, Value: l.value})
				}
			case !met[k]:
				met[k] = true
				want[k] = append(want[k], receiver.Sample{TimestampMillis: at.TimestampMillis, Value: l.value})
			}
		}
		for k := range active {
			if !met[k] {
				want[k] = append(want[k], receiver.StaleMarker(at.TimestampMillis))
			}
		}
		active = met
	}
	return want, active
}

// TestStaleness scrapes scripted targets, reloads the rules in between, and takes some targets away: each series has
// exactly the samples and markers which follow from what the targets said.
func TestStaleness(t *testing.T) {
	t.Parallel()
	for _, dialect := range []string{"vmagent", "prometheus"} {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			testStaleness(t, dialect)
		})
	}
}

func testStaleness(t *testing.T, dialect string) {
	targets, scrapes := 24, 24
	if *long {
		targets, scrapes = 100, 120
	}
	seed := cmp.Or(*seedFlag, uint64(time.Now().UnixNano()))
	t.Logf("run it again with -seed=%d", seed)
	f := startFarm(t, 4)
	var all []*scripted
	var plain []*target
	for i := range targets {
		s := &scripted{bodies: script(dialect, seed+uint64(i), 2*scrapes, time.Now())}
		s.target = f.add(fmt.Sprintf("s%d", i), s.next)
		all, plain = append(all, s), append(plain, s.target)
	}
	s := startSink(t, receiver.Options{})
	dir := t.TempDir()
	list := writeFile(t, filepath.Join(dir, "targets.yml"), f.groups(plain...))
	text := func(rules int) string {
		more := ""
		if rules == 2 {
			more = `
  - {source_labels: [__name__], regex: gone_by_rule, action: drop}
  - {regex: shape, replacement: form, action: labelmap}
  - {regex: shape, action: labeldrop}`
		}
		return fmt.Sprintf(`global: {scrape_interval: 500ms, scrape_timeout: 500ms, external_labels: {region: here}}
scrape_configs:
- job_name: scripted
  honor_timestamps: true
  http_headers: {X-Rules: {values: ['%d']}}
  file_sd_configs: [{files: [%q]}]
  metric_relabel_configs:
  - {regex: 'drop_.*', action: labeldrop}%s
`, rules, list, more)
	}
	conf := configFile(t, text(1))
	args := []string{"-promscrape.config=" + conf, "-remoteWrite.url=" + s.url, "-promscrape.dialect=" + dialect}
	a := startAgent(t, args...)
	scraped := func(n int) {
		t.Helper()
		waitLonger(t, fmt.Sprintf("%d scrapes of each target", n), 2*patience, func() bool {
			return !slices.ContainsFunc(all, func(s *scripted) bool { return s.asked() < n })
		})
	}
	scraped(scrapes / 3)
	writeFile(t, conf, text(2))
	a.mustReload(t)
	scraped(2 * scrapes / 3)
	writeFile(t, conf, text(3))
	a.mustReload(t)
	scraped(scrapes)
	stays := len(all) / 2
	writeFile(t, list, f.groups(plain[:stays]...))
	waitFor(t, "targets to go", func() bool { return a.metrics(t)[`scraper_scrape_targets{job="scripted"}`] == float64(stays) })
	a.terminate(t)

	if err := s.Verify().Err(); err != nil {
		t.Error(err)
	}
	arrived := make(map[string]map[string]receiver.Series) // by instance
	for _, one := range s.Series(nil) {
		instance := one.Label("instance")
		if arrived[instance] == nil {
			arrived[instance] = make(map[string]receiver.Series)
		}
		labels := make(map[string]string)
		for _, l := range one.Labels {
			labels[l.Name] = l.Value
		}
		arrived[instance][key(labels)] = one
	}
	var samples, markers, odd int
	for _, x := range all {
		for _, one := range arrived[x.name] {
			for _, v := range one.Samples {
				samples++
				if v.IsStale() {
					markers++
				}
			}
		}
		odd += x.odd(arrived[x.name])
	}
	if odd > targets*scrapes/20 || odd > 0 && isBusy() {
		tooSlow(t, "%d of %d scrapes failed which should not have", odd, targets*scrapes)
	}
	for i, x := range all {
		x.check(t, dialect, arrived[x.name], i >= stays)
	}
	t.Logf("figure: dialect %s: %d scripted targets, %d samples of which %d are markers, as the oracle says", dialect, targets, samples, markers)
}

// ups returns the samples of up, and the marker which ends them, if there is one.
func (s *scripted) ups(arrived map[string]receiver.Series) (up []receiver.Sample, end *receiver.Sample) {
	up = arrived[s.automatic("up")].Samples
	if last := len(up) - 1; last >= 0 && up[last].IsStale() {
		return up[:last], &up[last]
	}
	return up, nil
}

// automatic is the key of one of the target's automatic series.
func (s *scripted) automatic(name string) string {
	return key(map[string]string{"__name__": name, "job": "scripted", "instance": s.name, "region": "here"})
}

// odd returns the number of scrapes which failed though the target did not make them fail. The oracle takes the agent's word
// for them.
func (s *scripted) odd(arrived map[string]receiver.Series) (odd int) {
	up, _ := s.ups(arrived)
	for n, v := range up {
		if k, asked := s.requestOf(up, n); v.Value != 1 && (!asked || s.body(k).failure == none) {
			odd++
		}
	}
	return odd
}

// check compares what arrived of a target with what must have.
func (s *scripted) check(t *testing.T, dialect string, arrived map[string]receiver.Series, gone bool) {
	t.Helper()
	up, end := s.ups(arrived)
	if gone != (end != nil) {
		t.Errorf("%s: gone: %v; up was declared over: %v", s.name, gone, end != nil)
		return
	}
	if len(up) < s.asked()-1 { // the last one may have been cut off
		t.Errorf("%s was asked %d times, and has %d samples of up", s.name, s.asked(), len(up))
		return
	}
	for n, v := range up {
		if k, asked := s.requestOf(up, n); v.Value != 0 && (!asked || s.body(k).failure != none) {
			t.Errorf("%s: up = %v at scrape %d, which failed", s.name, v.Value, n+1)
		}
	}
	want, active := s.expect(dialect, up)
	if end != nil {
		for k := range active {
			want[k] = append(want[k], *end)
		}
	}
	for _, name := range automatic(dialect) {
		k := s.automatic(name)
		got := arrived[k].Samples
		want := len(up)
		if gone {
			want++
		}
		if len(got) != want {
			t.Errorf("%s: %d samples, want as many as of up: %d", k, len(got), want)
		}
		if stale := len(got) > 0 && got[len(got)-1].IsStale(); stale != gone {
			t.Errorf("%s: declared over: %v, want %v", k, stale, gone)
		}
		delete(arrived, k)
	}
	for k, w := range want {
		if got := arrived[k].Samples; !slices.EqualFunc(got, w, sameSample) {
			t.Errorf("%s: got %s\nwant %s", k, shown(got), shown(w))
		}
		delete(arrived, k)
	}
	for k, one := range arrived {
		t.Errorf("%s: got %s, want no such series", k, shown(one.Samples))
	}
}

func sameSample(a, b receiver.Sample) bool {
	return a.TimestampMillis == b.TimestampMillis && a.IsStale() == b.IsStale() && (a.Value == b.Value || math.IsNaN(a.Value) && math.IsNaN(b.Value))
}

// shown writes samples, counted from the first, as value@seconds.
func shown(samples []receiver.Sample) string {
	var b strings.Builder
	for _, x := range samples {
		v := strconv.FormatFloat(x.Value, 'g', -1, 64)
		if x.IsStale() {
			v = "stale"
		}
		fmt.Fprintf(&b, " %s@%.3f", v, float64(x.TimestampMillis%1_000_000)/1000)
	}
	return b.String()
}
