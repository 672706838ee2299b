package web

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"scraper/memlimit"
)

// The chart's size, in the units of its own coordinates.
const (
	chartWidth  = 720
	chartHeight = 140
	// chartTells is how many of the latest times of shortage are told in words.
	chartTells = 8
)

// memoryChart is the last hour as an SVG image. Its coordinates begin at the upper left.
type memoryChart struct {
	Width, Height  int
	Used, Resident string // lines: "x,y x,y"
	Limit          int    // height of the limit's line; -1 if there is none
	LimitBytes     int64
	Top            int64 // bytes at the upper edge
	Bands          []chartBand
	From, To       time.Time
	Span           time.Duration
}

// chartBand is a time during which memory was short.
type chartBand struct {
	X, Width int
	Level    string
	From, To time.Time
}

// Lasted is how long it was.
func (b chartBand) Lasted() time.Duration { return b.To.Sub(b.From) }

// Latest are the last of the bands, the latest first.
func (c *memoryChart) Latest() []chartBand {
	latest := slices.Clone(c.Bands[max(0, len(c.Bands)-chartTells):])
	slices.Reverse(latest)
	return latest
}

// chartOf draws points, of which there must be two at least.
func chartOf(points []memlimit.Point) *memoryChart {
	if len(points) < 2 {
		return nil
	}
	first, last := points[0], points[len(points)-1]
	c := &memoryChart{Width: chartWidth, Height: chartHeight, Limit: -1, LimitBytes: last.Limit, From: first.At, To: last.At}
	c.Span = max(0, c.To.Sub(c.From))
	for _, p := range points {
		c.Top = max(c.Top, p.Used, p.Resident, p.Limit)
	}
	c.Top = max(c.Top+c.Top/20, 1)
	x := func(at time.Time) int { // within the chart, whatever was done to the clock
		part := float64(at.Sub(first.At)) / float64(max(c.Span, 1))
		return int(chartWidth * min(max(part, 0), 1))
	}
	y := func(bytes int64) int { return chartHeight - int(float64(bytes)/float64(c.Top)*chartHeight) }
	var used, resident strings.Builder
	for i, p := range points {
		fmt.Fprintf(&used, "%d,%d ", x(p.At), y(p.Used))
		fmt.Fprintf(&resident, "%d,%d ", x(p.At), y(p.Resident))
		if p.Level == memlimit.Normal {
			continue
		}
		until, from, to := p.At, min(x(p.At), chartWidth-2), chartWidth
		if i+1 < len(points) {
			until = points[i+1].At
			to = max(x(until), from+2)
		}
		if n := len(c.Bands) - 1; n >= 0 && i > 0 && points[i-1].Level == p.Level {
			c.Bands[n].Width, c.Bands[n].To = max(to-c.Bands[n].X, c.Bands[n].Width), until
			continue
		}
		c.Bands = append(c.Bands, chartBand{from, to - from, p.Level.String(), p.At, until})
	}
	c.Used, c.Resident = strings.TrimSpace(used.String()), strings.TrimSpace(resident.String())
	if last.Limit > 0 {
		c.Limit = y(last.Limit)
	}
	return c
}
