package e2e

import (
	"fmt"
	"testing"
	"time"

	"scraper/receiver"
)

// TestReceivedWhole scrapes a hundred targets for a while: each sample of each scrape that was served arrives, once and in
// order.
func TestReceivedWhole(t *testing.T) {
	t.Parallel()
	const targets = 100
	series, interval, during := 200, time.Second, 10*time.Second
	if *long {
		series, interval, during = 2000, 5*time.Second, 2*time.Minute
	}
	f := startFarm(t, targets)
	var all []*target
	for i := range targets {
		all = append(all, f.add(fmt.Sprintf("t%d", i), counting(series)))
	}
	s := startSink(t, receiver.Options{})
	conf := configFile(t, fmt.Sprintf("global: {scrape_interval: %v}\nscrape_configs:\n", interval)+f.job("farm", "", all...))
	a := startAgent(t, "-promscrape.config="+conf, "-remoteWrite.url="+s.url)

	timer := time.NewTimer(during)
	<-timer.C
	freeze(t, a, conf, all...)
	served := 0
	for _, x := range all {
		served += x.count()
	}
	want := uint64(served * (series + len(automatic("vmagent"))))
	s.wait(t, fmt.Sprintf("the %d samples of %d scrapes", want, served), patience, func() bool { return s.Totals().Samples >= want })
	wantUp(t, s, all...)
	a.terminate(t)
	if got := s.Totals(); got.Samples != want || got.StaleMarkers != 0 {
		t.Errorf("the receiver got %d samples and %d markers, want %d and none", got.Samples, got.StaleMarkers, want)
	}
	if err := s.Verify().Err(); err != nil {
		t.Error(err)
	}
	for _, x := range all {
		wantCounted(t, s, x, series, x.count())
	}
	if least := (int(during/interval) - 1) * targets; served < least {
		tooSlow(t, "%d scrapes were served, want at least %d", served, least)
	}
	t.Logf("figure: %d targets × %d series every %v for %v: %d scrapes served × (%d + %d automatic) series = %d samples; received %d, markers %d",
		targets, series, interval, during, served, series, len(automatic("vmagent")), want, s.Totals().Samples, s.Totals().StaleMarkers)
}

// wantCounted wants of each of a counting target's series the values 1 to n, in order, at the same times.
func wantCounted(t *testing.T, s *sink, x *target, series, n int) {
	t.Helper()
	got := s.Series(map[string]string{"__name__": "served_total", "instance": x.name})
	if n > 0 && len(got) != series {
		t.Errorf("%s: %d series arrived, want %d", x.name, len(got), series)
	}
	for i, one := range got {
		if len(one.Samples) != n {
			t.Errorf("%s: %d samples, want %d", one, len(one.Samples), n)
			return
		}
		for j, v := range one.Samples {
			if v.Value != float64(j+1) || v.TimestampMillis != got[0].Samples[j].TimestampMillis {
				t.Errorf("%s: sample %d is %v, want value %d at the time of series %d", one, j, v, j+1, i)
				return
			}
		}
	}
}
