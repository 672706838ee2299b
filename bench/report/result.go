// Package report holds the results of the benchmark, and makes tables, a page and charts of them.
//
// It measures nothing. Concurrency: none of it is for concurrent use.
//
// Read this file first, then raw.go for the files, goals.go for what is promised, page.go and chart.go.
package report

import (
	"slices"
	"time"

	"scraper/bench/sink"
)

// Result is what was measured of one agent in one scenario. All is of the window, but for peaks and the totals at its end.
type Result struct {
	Scenario      string    `json:"scenario"`
	Agent         string    `json:"agent"`
	Version       string    `json:"version"`
	Started       time.Time `json:"started"`
	Error         string    `json:"error,omitempty"`
	Windows       string    `json:"windows"` // which length of windows was asked for
	WindowSeconds float64   `json:"windowSeconds"`

	CPUSeconds    float64 `json:"cpuSeconds"`
	Millicores    float64 `json:"millicores"`
	CPUPerMillion float64 `json:"cpuSecondsPerMillionSamples"` // which the targets served: the same for all agents
	Served        int64   `json:"samplesServed"`

	CPUPerMillionArrived float64 `json:"cpuSecondsPerMillionSamplesArrived"`
	Samples              int64   `json:"samples"` // which arrived, automatic series included

	// Averages are of the window, peaks from the start on: learning what is there takes the most, and has to fit too.
	AnonAvg        int64 `json:"rssAnonAvgBytes"`
	AnonWindowPeak int64 `json:"rssAnonWindowPeakBytes"` // of the window alone
	AnonPeak       int64 `json:"rssAnonPeakBytes"`
	WorkingSetAvg  int64 `json:"workingSetAvgBytes"`
	WorkingSetPeak int64 `json:"workingSetPeakBytes"`

	WirePerSample float64  `json:"wireBytesPerSample"` // with headers and TLS
	BodyPerSample float64  `json:"bodyBytesPerSample"`
	Protocol      string   `json:"protocol,omitempty"` // of the last request
	Late          Lateness `json:"late"`

	FirstSampleSeconds float64 `json:"firstSampleSeconds"` // from exec to the answer's end
	Connections        int64   `json:"connections"`        // which the targets accepted, from the start on

	BenchMillicores  float64 `json:"benchMillicores"`  // of the targets and the endpoint
	OthersMillicores float64 `json:"othersMillicores"` // of everything else on the machine
	LoadBefore       string  `json:"loadBefore"`

	// The totals from the start to the end, after the rest had time to arrive.
	ServedScrapes int            `json:"servedScrapes"`
	ServedSamples int64          `json:"servedSamples"`
	Received      int64          `json:"received"` // automatic series and staleness markers included
	StaleMarkers  int64          `json:"staleMarkers"`
	Checked       bool           `json:"checked"` // all series were known, so Check says something
	Check         sink.Judgement `json:"check"`
	DrainSeconds  float64        `json:"drainSeconds"`
	StopSeconds   float64        `json:"stopSeconds"`

	Notes    []Note  `json:"notes,omitempty"`
	Timeline []Point `json:"timeline,omitempty"`
	Marks    []Mark  `json:"marks,omitempty"`
	Log      string  `json:"log,omitempty"`
}

// Note is what a scenario has to say beside the numbers which all have.
type Note struct {
	Key  string `json:"key"`
	Text string `json:"text"`
}

// Point is the memory of one second, in bytes.
type Point struct {
	Second     int   `json:"second"` // since the agent's start
	Anon       int64 `json:"rssAnonBytes"`
	WorkingSet int64 `json:"workingSetBytes"`
}

// Mark is an event; one without a text is the window's beginning.
type Mark struct {
	Second float64 `json:"second"`
	Text   string  `json:"text,omitempty"`
}

// lateAfter is from when on a scrape is late.
const lateAfter = 50 * time.Millisecond

// Lateness says how well scrapes kept to their period. When a target is due is not known from outside; but its scrapes
// are due a whole number of periods apart, so the lower median of where they stand in the period is taken for it.
type Lateness struct {
	Scrapes   int     `json:"scrapes"`
	Late      int     `json:"late"` // by more than 50 ms
	Skipped   int     `json:"skipped"`
	P99Millis float64 `json:"p99Millis"`
	MaxMillis float64 `json:"maxMillis"`

	all []time.Duration
}

// Add adds the arrivals of one target, in order.
func (l *Lateness) Add(arrivals []time.Time, period time.Duration) {
	if len(arrivals) == 0 {
		l.Skipped++
		return
	}
	offsets := make([]time.Duration, len(arrivals))
	turn := time.Duration(0)
	for i, at := range arrivals {
		since := at.Sub(arrivals[0])
		n := (since + period/2) / period
		if i > 0 && n > turn+1 {
			l.Skipped += int(n - turn - 1)
		}
		turn = n
		offsets[i] = since - n*period
	}
	sorted := slices.Sorted(slices.Values(offsets))
	due := sorted[(len(sorted)-1)/2]
	for _, o := range offsets {
		late := max(0, o-due)
		l.all = append(l.all, late)
		if late > lateAfter {
			l.Late++
		}
	}
	l.Scrapes += len(arrivals)
}

// Finish computes the percentile.
func (l *Lateness) Finish() {
	if len(l.all) == 0 {
		return
	}
	slices.Sort(l.all)
	millis := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	l.P99Millis = millis(l.all[min(len(l.all)-1, len(l.all)*99/100)])
	l.MaxMillis = millis(l.all[len(l.all)-1])
	l.all = nil
}
