package web

import (
	"fmt"
	"strings"
	"time"

	"scraper/memlimit"
)

// The chart's size, in the units of its own coordinates.
const (
	chartWidth  = 720
	chartHeight = 140
)

// memoryChart is the last hour as an SVG image. Its coordinates begin at the upper left.
type memoryChart struct {
	Width, Height  int
	Used, Resident string // lines: "x,y x,y"
	Limit          int    // height of the limit's line; -1 if there is none
	LimitBytes     int64
	Top            int64 // bytes at the upper edge
	Bands          []chartBand
	From           time.Time
	Span           time.Duration
}

// chartBand is a time during which memory was short.
type chartBand struct {
	X, Width int
	Level    string
}

// chartOf draws points, of which there must be two at least.
func chartOf(points []memlimit.Point) *memoryChart {
	if len(points) < 2 {
		return nil
	}
	first, last := points[0], points[len(points)-1]
	c := &memoryChart{Width: chartWidth, Height: chartHeight, Limit: -1, LimitBytes: last.Limit, From: first.At, Span: last.At.Sub(first.At)}
	for _, p := range points {
		c.Top = max(c.Top, p.Used, p.Resident, p.Limit)
	}
	c.Top = max(c.Top+c.Top/20, 1)
	x := func(at time.Time) int { return int(at.Sub(first.At) * chartWidth / max(c.Span, 1)) }
	y := func(bytes int64) int { return chartHeight - int(float64(bytes)/float64(c.Top)*chartHeight) }
	var used, resident strings.Builder
	for i, p := range points {
		fmt.Fprintf(&used, "%d,%d ", x(p.At), y(p.Used))
		fmt.Fprintf(&resident, "%d,%d ", x(p.At), y(p.Resident))
		if p.Level == memlimit.Normal {
			continue
		}
		from, to := min(x(p.At), chartWidth-2), chartWidth
		if i+1 < len(points) {
			to = max(x(points[i+1].At), from+2)
		}
		if n := len(c.Bands) - 1; n >= 0 && c.Bands[n].Level == p.Level.String() && c.Bands[n].X+c.Bands[n].Width >= from {
			c.Bands[n].Width = to - c.Bands[n].X
			continue
		}
		c.Bands = append(c.Bands, chartBand{from, to - from, p.Level.String()})
	}
	c.Used, c.Resident = strings.TrimSpace(used.String()), strings.TrimSpace(resident.String())
	if last.Limit > 0 {
		c.Limit = y(last.Limit)
	}
	return c
}
