package e2e

import (
	"fmt"
	"net/http"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"scraper/receiver"
)

// TestReloadTouchesOnlyWhatDiffers reloads configurations in which one job changes in every way, and another does not: the
// latter's targets keep their connections and their schedule, and none of their series is declared over.
func TestReloadTouchesOnlyWhatDiffers(t *testing.T) {
	t.Parallel()
	const series, interval = 20, time.Second
	f := startFarm(t, 12)
	kept := addTargets(f, 8, func(int) answer { return counting(series) })
	var changed []*target
	for i := range 4 {
		changed = append(changed, f.add(fmt.Sprintf("changed%d", i), counting(series)))
	}
	s := startSink(t, receiver.Options{})
	list := filepath.Join(t.TempDir(), "kept.yml")
	writeFile(t, list, f.groups(kept[4:]...))
	text := func(variant string) string {
		return fmt.Sprintf("global: {scrape_interval: %v}\nscrape_configs:\n", interval) +
			variant + f.job("kept", "", kept[:4]...) +
			fmt.Sprintf("- job_name: kept-files\n  file_sd_configs: [{files: [%q]}]\n", list)
	}
	other := func(settings string, targets ...*target) string { return f.job("changed", settings, targets...) }
	variants := []string{
		other("", changed...),
		other("", changed[:2]...),
		other("  scrape_interval: 2s\n", changed...),
		other("  metric_relabel_configs: [{source_labels: [series], regex: '1.', action: drop}]\n", changed...),
		other("  relabel_configs: [{target_label: added, replacement: here}]\n", changed...),
		other("  honor_labels: true\n  basic_auth: {username: someone, password: something}\n", changed...),
		"",
		other("  sample_limit: 5\n", changed...),
		other("  static_configs: 5\n", changed[1:]...), // refused
		f.job("yet-another", "", changed...),
	}
	conf := configFile(t, text(variants[0]))
	a := startAgent(t, "-promscrape.config="+conf, "-remoteWrite.url="+s.url)
	waitFor(t, "the first scrapes", func() bool { return kept[0].count() >= 2 && kept[7].count() >= 2 })
	for i := range 20 {
		variant := variants[(i+1)%len(variants)]
		writeFile(t, conf, text(variant))
		if i%2 == 0 {
			a.signal(t, syscall.SIGHUP)
		} else if status, text := a.reload(t); status != http.StatusOK && (i+1)%len(variants) != 8 {
			t.Fatalf("POST /-/reload of variant %d = %d %q, want 200", (i+1)%len(variants), status, text)
		}
		time.Sleep(interval / 3) // so that reloads fall everywhere between the scrapes
	}
	freeze(t, a, conf, append(kept, changed...)...)
	a.terminate(t)

	wantUp(t, s, kept...)
	for _, x := range kept {
		if got := x.connections(); len(got) != 1 {
			t.Errorf("%s was asked over %d connections, want one", x.name, len(got))
		}
		wantCounted(t, s, x, series, x.count())
		ups := s.Series(map[string]string{"__name__": "up", "instance": x.name})
		if len(ups) != 1 {
			t.Fatalf("%s has %d series up, want one", x.name, len(ups))
		}
		wantSchedule(t, ups[0], interval)
	}
	for _, one := range s.Series(nil) {
		if one.Label("job") != "changed" && one.Label("job") != "yet-another" && one.Stale() {
			t.Errorf("%s was declared over", one)
		}
	}
	if err := s.Verify().Err(); err != nil {
		t.Error(err)
	}
	if got := s.Totals().StaleMarkers; got == 0 {
		t.Error("no staleness markers arrived, want some of the targets which went")
	}
}

// wantSchedule wants the samples of a series an interval apart, each close to the same phase.
func wantSchedule(t *testing.T, up receiver.Series, interval time.Duration) {
	t.Helper()
	const busy = 300 // milliseconds which a busy machine may delay a scrape
	first := up.Samples[0].TimestampMillis
	for i, x := range up.Samples {
		want := first + int64(i)*interval.Milliseconds()
		if d := x.TimestampMillis - want; d < -busy || d > busy {
			tooSlow(t, "%s: sample %d is at %+d ms, want it at the %d. interval of %v", up, i, x.TimestampMillis-first, i, interval)
			return
		}
	}
}

// TestReloadOfDestinations changes destinations while samples are on their way: the one which stays misses nothing.
func TestReloadOfDestinations(t *testing.T) {
	t.Parallel()
	const series = 20
	f := startFarm(t, 2)
	all := addTargets(f, 6, func(int) answer { return counting(series) })
	stays, comes := startSink(t, receiver.Options{}), startSink(t, receiver.Options{})
	text := func(destinations string) string {
		return "global: {scrape_interval: 1s}\nremote_write:\n" + destinations + "scrape_configs:\n" + f.job("farm", "", all...)
	}
	one := func(s *sink, more string) string { return fmt.Sprintf("- {url: %q%s}\n", s.url, more) }
	conf := configFile(t, text(one(stays, "")))
	a := startAgent(t, "--config.file="+conf, "--agent", "--web.enable-lifecycle", "--storage.agent.path="+t.TempDir())
	more := func() {
		t.Helper()
		from := all[0].count()
		waitFor(t, "another scrape", func() bool { return all[0].count() > from })
	}
	more()
	for i, destinations := range []string{
		one(stays, "") + one(comes, ""),
		one(comes, "") + one(stays, ""),
		one(stays, ", headers: {X-Some: thing}"),
		one(stays, ", remote_timeout: 5s, queue_config: {max_samples_per_send: 100}") + one(comes, ""),
		one(stays, ""),
	} {
		writeFile(t, conf, text(destinations))
		if i%2 == 0 {
			a.mustReload(t)
		} else {
			a.signal(t, syscall.SIGHUP)
		}
		more()
	}
	freeze(t, a, conf, all...)
	want := uint64(0)
	for _, x := range all {
		want += uint64(x.count() * (series + len(automatic("prometheus"))))
	}
	stays.wait(t, fmt.Sprintf("%d samples", want), patience, func() bool { return stays.Totals().Samples >= want })
	a.terminate(t)
	wantUp(t, stays, all...)
	for _, x := range all {
		wantCounted(t, stays, x, series, x.count())
	}
	for _, s := range []*sink{stays, comes} {
		if err := s.Verify().Err(); err != nil {
			t.Error(err)
		}
		if n := s.Totals().StaleMarkers; n != 0 {
			t.Errorf("%d staleness markers arrived, want none", n)
		}
	}
	if comes.Totals().Samples == 0 {
		t.Error("nothing arrived at the destination which came and went")
	}
}
