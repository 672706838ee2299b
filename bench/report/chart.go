package report

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/go-analyze/charts"
)

// courses are the scenarios whose memory is shown over time.
var courses = map[string]bool{"burst": true, "churn": true, "limit": true, "outage": true, "huge": true, "node60-a": true, "node60-b": true}

// The size of charts, in pixels.
const (
	chartWidth  = 760
	chartHeight = 320
)

// chartsOf writes the charts of one scenario into dir, and returns their names.
func chartsOf(scenario string, results []Result, dir string) (names []string, err error) {
	var agents []string
	var cpu, millicores, memory []float64
	for _, r := range slices.Backward(results) { // the first one's bar is the lowest
		if r.Error != "" {
			continue
		}
		agents = append(agents, r.Agent)
		cpu, millicores = append(cpu, r.CPUPerMillion), append(millicores, r.Millicores)
		memory = append(memory, float64(r.AnonPeak)/(1<<20))
	}
	if len(agents) == 0 {
		return nil, nil
	}
	write := func(kind string, draw func(*charts.Painter) error) error {
		name := scenario + "-" + kind + ".svg"
		if err := render(filepath.Join(dir, name), draw); err != nil {
			return err
		}
		names = append(names, name)
		return nil
	}
	title := scenario + ": CPU seconds per million samples"
	if slices.Contains(cpu, 0) { // an agent without a target, or one which only fetches
		title, cpu = scenario+": millicores", millicores
	}
	if err := write("cpu", bars(title, agents, cpu)); err != nil {
		return nil, err
	}
	if err := write("memory", bars(scenario+": peak of resident anonymous memory, MiB", agents, memory)); err != nil {
		return nil, err
	}
	if courses[scenario] {
		if err := write("course", course(scenario+": resident anonymous memory, MiB, by seconds since the start", results)); err != nil {
			return nil, err
		}
	}
	return names, nil
}

// render draws one chart into a file.
func render(name string, draw func(*charts.Painter) error) error {
	p := charts.NewPainter(charts.PainterOptions{OutputFormat: charts.ChartOutputSVG, Width: chartWidth, Height: chartHeight})
	if err := draw(p); err != nil {
		return fmt.Errorf("draw %s: %w", name, err)
	}
	svg, err := p.Bytes()
	if err != nil {
		return fmt.Errorf("draw %s: %w", name, err)
	}
	if err := os.WriteFile(name, svg, 0o644); err != nil {
		return fmt.Errorf("write a chart: %w", err)
	}
	return nil
}

// bars is one bar per agent.
func bars(title string, agents []string, values []float64) func(*charts.Painter) error {
	return func(p *charts.Painter) error {
		series := charts.NewSeriesListBar([][]float64{values})
		series[0].Label.Show = charts.Ptr(true)
		series[0].Label.ValueFormatter = short
		opt := charts.NewBarChartOptionWithSeries(series)
		opt.Horizontal = true
		opt.Title = charts.TitleOption{Text: title}
		opt.CategoryAxis = charts.CategoryAxisOption{Labels: agents}
		opt.ValueAxis = []charts.ValueAxisOption{{Min: charts.Ptr(0.0), ValueFormatter: short, LabelCount: 6}}
		opt.Padding = charts.Box{Top: 12, Left: 12, Right: 40, Bottom: 12, IsSet: true}
		opt.BarSize = 0.6
		return p.BarChart(opt)
	}
}

// course is one line per agent.
func course(title string, results []Result) func(*charts.Painter) error {
	return func(p *charts.Painter) error {
		last := 0
		for _, r := range results {
			for _, pt := range r.Timeline {
				last = max(last, pt.Second)
			}
		}
		var lines [][]float64
		var names []string
		for _, r := range results {
			line := make([]float64, last+1)
			for i := range line {
				line[i] = charts.GetNullValue()
			}
			for _, pt := range r.Timeline {
				line[pt.Second] = float64(pt.Anon) / (1 << 20)
			}
			lines, names = append(lines, line), append(names, r.Agent)
		}
		labels := make([]string, last+1)
		for i := range labels {
			labels[i] = strconv.Itoa(i)
		}
		opt := charts.NewLineChartOptionWithData(lines)
		opt.Title = charts.TitleOption{Text: title}
		opt.Legend = charts.LegendOption{SeriesNames: names, Offset: charts.OffsetStr{Left: "right", Top: "24"}}
		opt.XAxis = charts.XAxisOption{Labels: labels, LabelCount: 12, BoundaryGap: charts.Ptr(false)}
		opt.YAxis = []charts.YAxisOption{{Min: charts.Ptr(0.0), ValueFormatter: short}}
		opt.Symbol = charts.Symbol{Shape: charts.SymbolNone}
		opt.LineStrokeWidth = 1.5
		opt.Padding = charts.Box{Top: 12, Left: 12, Right: 24, Bottom: 12, IsSet: true}
		return p.LineChart(opt)
	}
}

// short writes a number with as many digits as matter.
func short(v float64) string {
	switch {
	case v >= 100 || v == 0:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}
