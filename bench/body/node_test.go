package body

import (
	"bytes"
	"compress/gzip"
	"strings"
	"testing"
	"time"
)

func pods(n int) []Pod {
	all := make([]Pod, n)
	for i := range all {
		all[i] = Pod{Name: PodName(i), Namespace: "production", Container: "server", Image: "registry.example/shop/server:1.2.3", Number: i}
	}
	return all
}

// Each text has the promised number of samples, all of different series.
func TestSamples(t *testing.T) {
	for name, tc := range map[string]struct {
		source Source
		want   int
	}{
		"plain":          {NewPlain(Plain{Series: 2000}), 2000},
		"wide":           {NewPlain(Plain{Series: 10_000, Wide: true}), 10_000},
		"tiny":           {NewPlain(Plain{Series: 20}), 20},
		"kubelet":        {NewKubelet(3000), 3000},
		"probes":         {NewProbes(250), 250},
		"node":           {NewNodeExporter(2500), 2500},
		"infrastructure": {NewInfrastructure(3, 643), 643},
		"small app":      {NewApplication(1, 400, false), 400},
		"app":            {NewApplication(2, 1500, true), 1500},
		"large app":      {NewApplication(3, 8000, true), 8000},
		"cadvisor":       {NewCAdvisor(pods(59)), 59*SeriesPerPod + 5*46},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tc.source.Samples(); got != tc.want {
				t.Errorf("Samples() = %d, want %d", got, tc.want)
			}
			text := string(tc.source.Next(time.Now()))
			if got := len(seriesOf(text)); got != tc.want {
				t.Errorf("the text has %d different series, want %d", got, tc.want)
			}
			if len(text) > 64<<10 {
				t.Logf("%d bytes per sample, gzip 1:%.1f", len(text)/tc.want, float64(len(text))/float64(zipped(t, text)))
			}
		})
	}
}

func TestWideLines(t *testing.T) {
	text := NewPlain(Plain{Series: 10_000, Wide: true}).Next(time.Time{})
	if per := len(text) / 10_000; per < 180 || per > 220 {
		t.Errorf("a wide line has %d bytes, want about 200: 500,000 of them are 100 MB", per)
	}
}

func zipped(t *testing.T, text string) int {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Len()
}

func TestCAdvisorCompressesAsTheRealOne(t *testing.T) {
	c := NewCAdvisor(pods(59))
	text := string(c.Next(time.Now()))
	if ratio := float64(len(text)) / float64(zipped(t, text)); ratio < 19 || ratio > 25 {
		t.Errorf("gzip makes it smaller by %.1f, want about 22", ratio)
	}
	stamped := 0
	for line := range strings.Lines(text) {
		if line[0] != '#' && strings.Count(line[strings.LastIndexByte(line, '}'):], " ") == 2 {
			stamped++
		}
	}
	if share := float64(stamped) / float64(c.Samples()); share < 0.85 || share > 0.95 {
		t.Errorf("%.2f of the samples have a timestamp, want nine of ten", share)
	}
}

// Timestamps move on with the time, but for the container that is gone.
func TestCAdvisorTimestamps(t *testing.T) {
	c := NewCAdvisor(pods(2))
	start := time.UnixMilli(1_700_000_000_000)
	stamp := func(text, series string) string {
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, series) {
				return line[strings.LastIndexByte(line, ' ')+1:]
			}
		}
		t.Fatalf("there is no %s", series)
		return ""
	}
	first := string(c.Next(start))
	restarted := pods(2)
	restarted[0].Restarts, restarted[0].Lingering = 1, true
	c.SetPods(restarted)
	second := string(c.Next(start.Add(30 * time.Second)))
	third := string(c.Next(start.Add(60 * time.Second)))
	const usual = `container_memory_rss{container="",id="/kubepods"`
	if a, b := stamp(first, usual), stamp(second, usual); b <= a {
		t.Errorf("the timestamp went from %s to %s in 30 s", a, b)
	}
	const gone = `container_memory_rss{container="server",id="/kubepods/burstable/pod`
	if a, b := stamp(second, gone), stamp(third, gone); a != b {
		t.Errorf("the timestamp of a container which is gone went from %s to %s", a, b)
	}
	if got, want := c.Samples(), 2*SeriesPerPod+5*46; got <= want {
		t.Errorf("%d samples while a container lingers, want more than %d", got, want)
	}
}

func TestOpenMetricsEnds(t *testing.T) {
	text := string(NewApplication(2, 400, true).Next(time.Now()))
	if !strings.HasSuffix(text, "\n# EOF\n") {
		t.Errorf("it ends in %q, want # EOF", text[len(text)-20:])
	}
	if strings.Contains(text, "_total counter\n") {
		t.Error("the family of a counter is named _total")
	}
}
