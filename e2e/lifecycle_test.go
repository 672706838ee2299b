package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"scraper/receiver"
)

// vitals is what must not grow with the age of a process.
type vitals struct {
	live        float64 // objects which a collection finds alive, in bytes
	goroutines  float64
	descriptors int
	series      int // exported
}

func (v vitals) String() string {
	return fmt.Sprintf("%.0f KiB live, %v goroutines, %d descriptors, %d exported series", v.live/1024, v.goroutines, v.descriptors, v.series)
}

// vitals returns them after garbage collections. What a scrape or a block takes while it lasts is in them: to compare live
// bytes closely, let the agent have nothing to do.
func (a *agent) vitals(t testing.TB) vitals {
	t.Helper()
	superseded(t, a) // what is asked for is counted, so that the first time makes a series
	a.metrics(t)
	for range 3 { // cleanups and finalizers let go of more
		if status, _ := fetch(t, http.MethodGet, a.url+"/debug/pprof/heap?gc=1"); status != http.StatusOK {
			t.Fatalf("GET /debug/pprof/heap = %d, want 200", status)
		}
	}
	m := a.metrics(t)
	return vitals{
		live:       m["scraper_memlimit_live_bytes"] - sum(m, "scraper_bufpool_idle_bytes") - sum(m, "scraper_bufpool_in_use_bytes"),
		goroutines: m["go_goroutines"], descriptors: a.descriptors(t), series: len(m),
	}
}

// wantSame waits until the agent's vitals are those which it had before; live bytes may differ by a share, and by what
// comes and goes. Of goroutines which many targets had at the same time the runtime keeps the descriptors.
func (a *agent) wantSame(t *testing.T, what string, before vitals, share float64, spare, targets int) vitals {
	t.Helper()
	comesAndGoes := float64(128<<10 + targets*3<<10) // what the request for the figures takes, too
	var now vitals
	for deadline := time.Now().Add(patience); ; time.Sleep(200 * time.Millisecond) {
		now = a.vitals(t)
		if now.live <= before.live*(1+share)+comesAndGoes && now.goroutines <= before.goroutines+float64(spare) &&
			now.descriptors <= before.descriptors+spare && now.series == before.series {
			return now
		}
		if time.Now().After(deadline) {
			tooSlow(t, "%s: the agent has %v, want what it had before: %v", what, now, before)
			return now
		}
	}
}

// TestReloadsLeaveNothing reloads a file of a thousand jobs again and again, unchanged and with a byte changed: what the
// process holds is what it held before.
func TestReloadsLeaveNothing(t *testing.T) {
	t.Parallel()
	jobs, reloads := 1000, 15
	if *long {
		reloads = 500
	}
	f := startFarm(t, 4)
	all := addTargets(f, 4, func(int) answer { return counting(10) })
	s := startSink(t, receiver.Options{CountOnly: true})
	text := func(i int) string {
		var b strings.Builder
		fmt.Fprintf(&b, "global: {scrape_interval: 1s}\nscrape_configs:\n%s", f.job("farm", "", all...))
		for j := range jobs {
			limit := 100
			if j == jobs/2 {
				limit += i % 10
			}
			fmt.Fprintf(&b, "- job_name: job-%d\n  scrape_interval: 1y\n  sample_limit: %d\n  static_configs: [{targets: ['127.0.0.1:1'], labels: {number: '%d'}}]\n"+
				"  relabel_configs: [{source_labels: [number], regex: '(.*)', target_label: n, replacement: 'n-$1'}]\n", j, limit, j)
		}
		return b.String()
	}
	conf := configFile(t, text(0))
	a := startAgent(t, "-promscrape.config="+conf, "-remoteWrite.url="+s.url)
	waitFor(t, "scrapes", func() bool { return all[3].count() >= 3 })
	for range 3 { // what is made once
		a.mustReload(t)
	}
	before := a.vitals(t)
	start := time.Now()
	for range reloads {
		a.mustReload(t)
	}
	each := time.Since(start) / time.Duration(reloads)
	unchanged := a.wantSame(t, fmt.Sprintf("after %d reloads of the same file", reloads), before, 0.02, 4, 0)
	for i := range reloads {
		writeFile(t, conf, text(i+1))
		a.mustReload(t)
	}
	writeFile(t, conf, text(0))
	a.mustReload(t)
	changed := a.wantSame(t, fmt.Sprintf("after %d reloads with a byte changed", reloads), before, 0.02, 4, 0)
	m := a.metrics(t)
	for _, kind := range []string{"configuration", "job", "target", "groups", "destination"} {
		if n := m[`scraper_snapshots_superseded{kind="`+kind+`"}`]; n > 2 {
			t.Errorf("%v superseded of kind %q live after all reloads, want none that nobody holds: %s", n, kind, superseded(t, a))
		}
	}
	a.terminate(t)
	t.Logf("figure: %d jobs: %v", jobs, before)
	t.Logf("figure: after %d reloads unchanged, %v each: %v", reloads, each.Round(time.Millisecond), unchanged)
	t.Logf("figure: after %d reloads with a byte changed: %v", reloads, changed)
}

// TestChurnLeavesNothing reloads a configuration whose job, destination and targets all have other names each time: nothing
// of those which went stays.
func TestChurnLeavesNothing(t *testing.T) {
	t.Parallel()
	targets, epochs := 200, 12
	if *long {
		targets, epochs = 1000, 200
	}
	f := startFarm(t, 8)
	all := addTargets(f, targets, func(int) answer { return counting(5) })
	s := startSink(t, receiver.Options{CountOnly: true})
	list := filepath.Join(t.TempDir(), "targets.yml")
	groups := func(epoch int) string {
		var b strings.Builder
		for i, x := range all {
			fmt.Fprintf(&b, "- {targets: [%q], labels: {__metrics_path__: /%s, instance: i%d, pod: pod-%d-of-%d}}\n", f.addresses[i%len(f.addresses)], x.name, i, i, epoch)
		}
		return b.String()
	}
	text := func(epoch int) string {
		return fmt.Sprintf("global: {scrape_interval: 1s}\nremote_write:\n- {url: %q, name: always}\n- {url: '%s?epoch=%d', name: epoch-%d}\nscrape_configs:\n"+
			// A proxy takes the other client of the two. Nobody listens there.
			"- job_name: renamed-%d\n  file_sd_configs: [{files: [%q]}]\n- job_name: proxied-%d\n  proxy_url: http://%s\n  static_configs: [{targets: ['127.0.0.1:2']}]\n",
			s.url, s.url, epoch, epoch, epoch, list, epoch, closedAddress)
	}
	writeFile(t, list, groups(0))
	conf := configFile(t, text(0))
	a := startAgent(t, "--config.file="+conf, "--agent", "--web.enable-lifecycle", "--storage.agent.path="+t.TempDir())
	scraped := func() {
		t.Helper()
		from := all[len(all)-1].count()
		waitFor(t, "scrapes", func() bool { return all[len(all)-1].count() >= from+2 })
	}
	epoch := func(i int) {
		t.Helper()
		writeFile(t, list, groups(i))
		writeFile(t, conf, text(i))
		a.mustReload(t)
		waitFor(t, "the targets", func() bool {
			return a.metrics(t)[fmt.Sprintf(`scraper_scrape_targets{job="renamed-%d"}`, i)] == float64(targets)
		})
	}
	quiet := func() {
		t.Helper()
		scraped()
		freeze(t, a, conf, all...)
		waitLonger(t, "removed destinations to go", 2*patience, func() bool { // they may drain for a while
			return !strings.Contains(superseded(t, a), "which was removed")
		})
		waitFor(t, "blocks to be sent", func() bool { return sum(a.metrics(t), "scraper_remotewrite_pending_samples") == 0 })
	}
	for i := range 3 {
		epoch(i + 1)
	}
	quiet()
	before := a.vitals(t)
	for i := range epochs {
		epoch(i + 10)
	}
	quiet()
	after := a.wantSame(t, fmt.Sprintf("after %d epochs", epochs), before, 0.05, 8+targets/20, targets)
	if m := a.metrics(t); m["scraper_labelcompress_items"] > 0 && m["scraper_labelcompress_items"] > float64(2*targets+200) {
		t.Errorf("%v labels in the dictionary, want those of one epoch", m["scraper_labelcompress_items"])
	}
	a.terminate(t)
	t.Logf("figure: %d targets: %v", targets, before)
	t.Logf("figure: after %d epochs with other names: %v", epochs, after)
}

// superseded is what /debug/memory says of what was replaced and lives.
func superseded(t testing.TB, a *agent) string {
	t.Helper()
	status, text := fetch(t, http.MethodGet, a.url+"/debug/memory?format=json")
	var m struct{ Superseded json.RawMessage }
	if err := json.Unmarshal([]byte(text), &m); status != http.StatusOK || err != nil {
		t.Fatalf("GET /debug/memory?format=json = %d, %v: %s", status, err, text)
	}
	return string(m.Superseded)
}

// TestPinned has targets and a destination which never answer hold what they began with, while everything is replaced many
// times: only what they hold stays, and the gauge names them.
func TestPinned(t *testing.T) {
	t.Parallel()
	const hanging = 12
	epochs := 150
	if *long {
		epochs = 1000
	}
	f := startFarm(t, 4)
	never := addTargets(f, hanging, func(int) answer {
		return func(_ int, _ http.ResponseWriter, r *http.Request) { f.wait(r) }
	})
	others := startFarm(t, 2)
	fine := addTargets(others, 2, func(int) answer { return counting(10) })
	s := startSink(t, receiver.Options{CountOnly: true})
	// A receiver which takes connections and requests, and does not answer.
	hole := startFarm(t, 1)
	silent := hole.add("write", func(_ int, _ http.ResponseWriter, r *http.Request) { hole.wait(r) })
	text := func(epoch int) string {
		return fmt.Sprintf("global: {scrape_interval: 1s}\nremote_write:\n- {url: %q, name: fine}\n"+
			"- {url: 'http://%s/write', name: silent, remote_timeout: 5m, headers: {X-Epoch: '%d'}}\nscrape_configs:\n", s.url, hole.addresses[0], epoch) +
			others.job("fine", "", fine...) +
			f.job("never", fmt.Sprintf("  scrape_interval: 30s\n  scrape_timeout: 30s\n  sample_limit: %d\n", 1000+epoch), never...)
	}
	conf := configFile(t, text(0))
	a := startAgent(t, "--config.file="+conf, "--agent", "--web.enable-lifecycle", "--storage.agent.path="+t.TempDir())
	began := func(x *target) bool {
		x.mu.Lock()
		defer x.mu.Unlock()
		return x.begun > 0
	}
	waitLonger(t, "a target and the destination to hang", 2*patience, func() bool {
		for _, x := range never {
			if began(x) {
				return began(silent)
			}
		}
		return false
	})
	for i := range 10 {
		writeFile(t, conf, text(i+1))
		a.mustReload(t)
	}
	before := a.vitals(t)
	start := time.Now()
	for i := range epochs {
		writeFile(t, conf, text(i+100))
		a.mustReload(t)
	}
	took := time.Since(start)
	// Each scrape that began meanwhile holds one more.
	after := a.vitals(t)
	if after.live > before.live+2<<20 || after.goroutines > before.goroutines+4*hanging || after.descriptors > before.descriptors+4*hanging || after.series != before.series {
		tooSlow(t, "after %d epochs: the agent has %v, want about what it had before: %v", epochs, after, before)
	}
	m := a.metrics(t)
	jobs, destinations := m[`scraper_snapshots_superseded{kind="job"}`], m[`scraper_snapshots_superseded{kind="destination"}`]
	held := superseded(t, a)
	if jobs > hanging+2 || took < 20*time.Second && jobs < 1 || !strings.Contains(held, `"scrape of http://`+f.addresses[0]) && !strings.Contains(held, `"scrape of http://127.0.0.1`) {
		t.Errorf("%v superseded jobs live after %d epochs in %v, want one for each scrape which hangs, and these named: %s", jobs, epochs, took, held)
	}
	if destinations < 1 || destinations > 4 || !strings.Contains(held, `"sender of destination 2:silent"`) {
		t.Errorf("%v superseded clients of destinations live, want one for each slot with a request, and their destination named: %s", destinations, held)
	}
	if age := m[`scraper_snapshots_oldest_superseded_seconds{kind="destination"}`]; age < took.Seconds() {
		t.Errorf("the oldest was replaced %v s ago, want %v at least", age, took.Seconds())
	}
	for _, kind := range []string{"configuration", "groups"} {
		if n := m[`scraper_snapshots_superseded{kind="`+kind+`"}`]; n > 2 {
			t.Errorf("%v superseded of kind %q live, want none", n, kind)
		}
	}
	t.Logf("figure: %d epochs in %v with a target and a destination which never answer: %v jobs and %v clients of destinations are held: %s",
		epochs, took.Round(time.Millisecond), jobs, destinations, held)
	a.kill()
}
