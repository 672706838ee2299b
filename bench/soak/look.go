package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"scraper/bench/proc"
)

// metrics are the samples of an exposition, by name and labels as they are written there.
type metrics map[string]float64

// sum adds up all series of a name.
func (m metrics) sum(name string) (sum float64) {
	for series, v := range m {
		if series == name || strings.HasPrefix(series, name+"{") {
			sum += v
		}
	}
	return sum
}

// get asks the agent for a page. Each request has a connection of its own, so that none stays.
func (r *rig) get(method, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+r.config.ListenAddr+path, nil)
	if err != nil {
		return nil, err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s: %s: %.500s", method, path, resp.Status, text)
	}
	return text, err
}

// metrics asks the agent for its own metrics.
func (r *rig) metrics() (metrics, error) {
	text, err := r.get(http.MethodGet, "/metrics")
	if err != nil {
		return nil, err
	}
	m := make(metrics)
	for line := range strings.Lines(string(text)) {
		i := strings.LastIndexByte(line, ' ')
		if strings.HasPrefix(line, "#") || i < 0 {
			continue
		}
		if v, err := strconv.ParseFloat(strings.TrimSpace(line[i:]), 64); err == nil {
			m[line[:i]] = v
		}
	}
	return m, nil
}

// memoryPage is what cases want of /debug/memory.
type memoryPage struct {
	SumBytes     int64
	Level, Error string
	Parts        []struct {
		Name  string
		Bytes int64
	}
	Budget struct{ MostUsedBytes, RecommendedBytes int64 }
}

// large are the parts of a MiB and more.
func (p memoryPage) large() string {
	var said []string
	for _, part := range p.Parts {
		if part.Bytes >= 1<<20 {
			said = append(said, fmt.Sprintf("%s %.1f", part.Name, mib(part.Bytes)))
		}
	}
	return strings.Join(said, ", ")
}

func (r *rig) page() (p memoryPage, err error) {
	text, err := r.get(http.MethodGet, "/debug/memory?format=json")
	if err != nil {
		return p, err
	}
	return p, json.Unmarshal(text, &p)
}

// addsUp wants /debug/memory's parts to add up to what the kernel counts, within a tenth. Between two looks a scrape may
// come and go, so it looks some times.
func (r *rig) addsUp() {
	best := math.Inf(1)
	var said, parts string
	for range 5 {
		p, err := r.page()
		mem, err2 := proc.ReadMemory(int(r.pid.Load()))
		if err := errors.Join(err, err2); err != nil {
			r.t.want(false, "/debug/memory: %v", err)
			return
		}
		off := math.Abs(float64(p.SumBytes-mem.Anon)) / float64(mem.Anon)
		if off < best {
			best, said, parts = off, fmt.Sprintf("%.1f of %.1f MiB", mib(p.SumBytes), mib(mem.Anon)), p.large()
		}
		if best <= 0.03 {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	r.t.figure("/debug/memory adds up to %s: %s", said, parts)
	r.t.want(best <= 0.1, "/debug/memory adds up to %s, %.0f %% off", said, 100*best)
}

// holdings is what a process must not have more and more of.
type holdings struct {
	heap        float64 // objects which a garbage collection found alive, idle buffers aside, in bytes
	goroutines  float64
	descriptors float64
	series      float64 // which it exports
	labels      float64 // in the dictionary

	names metrics // of the exported series
}

// newNames are series which are exported now, and were not before.
func (h holdings) newNames(before holdings) (names []string) {
	for name := range h.names {
		if _, ok := before.names[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names[:min(10, len(names))]
}

func (h holdings) String() string {
	return fmt.Sprintf("%.2f MiB live, %.0f goroutines, %.0f descriptors, %.0f exported series, %.0f labels",
		h.heap/(1<<20), h.goroutines, h.descriptors, h.series, h.labels)
}

// holdings returns what the agent has, after a garbage collection.
func (r *rig) holdings() (h holdings, err error) {
	if _, err := r.metrics(); err != nil { // asking is counted, from the first time on
		return h, err
	}
	for range 2 { // the second one frees what the first one's cleanups let go of
		if _, err := r.get(http.MethodGet, "/debug/pprof/heap?gc=1"); err != nil {
			return h, err
		}
	}
	m, err := r.metrics()
	if err != nil {
		return h, err
	}
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", r.pid.Load()))
	if err != nil {
		return h, err
	}
	idle := m.sum("scraper_bufpool_idle_bytes")
	return holdings{
		heap: m["scraper_memlimit_live_bytes"] - idle, goroutines: m["go_goroutines"], descriptors: float64(len(files)),
		series: float64(len(m)), labels: m["scraper_labelcompress_items"], names: m,
	}, nil
}

// calm returns the least of each of the agent's holdings in some looks: scrapes come and go between them.
func (r *rig) calm(ctx context.Context, looks int) (least holdings, err error) {
	for i := range looks {
		h, err := r.holdings()
		if err != nil {
			return least, err
		}
		if i == 0 {
			least = h
		}
		least.heap, least.goroutines = min(least.heap, h.heap), min(least.goroutines, h.goroutines)
		least.descriptors, least.labels = min(least.descriptors, h.descriptors), min(least.labels, h.labels)
		if h.series < least.series {
			least.series, least.names = h.series, h.names
		}
		if err := r.wait(ctx, 150*time.Millisecond); err != nil {
			return least, err
		}
	}
	return least, nil
}

// back waits until the agent holds no more than before: live heap within share, in the short form with some MiB of what is
// made once, and as many labels, exported series, goroutines and descriptors, but for spare ones of the last two. What it
// holds then, or at the end, is returned.
func (r *rig) back(ctx context.Context, before holdings, share, spare float64, atMost time.Duration) (now holdings, ok bool, err error) {
	heap := before.heap*(1+share) + pick[float64](r.t.form, 3<<20, 0, 0)
	for deadline := time.Now().Add(atMost); ; {
		if now, err = r.calm(ctx, 5); err != nil {
			return now, false, err
		}
		ok = now.heap <= heap && now.goroutines <= before.goroutines+spare &&
			now.descriptors <= before.descriptors+spare && now.series <= before.series && now.labels <= before.labels
		if ok || time.Now().After(deadline) {
			return now, ok, nil
		}
	}
}
