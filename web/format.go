package web

import (
	"fmt"
	"html/template"
	"strconv"
	"strings"
	"time"

	"scraper/relabel"
)

// funcs are what templates say numbers, times and labels with.
func funcs() template.FuncMap {
	return template.FuncMap{
		"count":    count,
		"rate":     rate,
		"bytes":    byteSize,
		"duration": shortDuration,
		"ago":      ago,
		"value":    shortFloat,
		"exact":    formatFloat,
		"stamp":    stamp,
		"clock":    clock,
		"unixms":   time.Time.UnixMilli,
		"quote":    quote,
		"dict":     labelsWithout,
	}
}

// quote writes a label's value as the exposition format does.
func quote(v string) string {
	if strings.ContainsAny(v, "\\\"\n\r") {
		v = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", `\r`).Replace(v)
	}
	return `"` + v + `"`
}

// appendLabels appends {a="1", b="2"} to dst.
func appendLabels(dst []byte, ls []relabel.Label) []byte {
	dst = append(dst, '{')
	for i, l := range ls {
		if i > 0 {
			dst = append(dst, ", "...)
		}
		dst = append(append(append(dst, l.Name...), '='), quote(l.Value)...)
	}
	return append(dst, '}')
}

// labelsWithout returns the labels but the one with the name, which the reader sees elsewhere.
func labelsWithout(ls []relabel.Label, name string) []relabel.Label {
	out := make([]relabel.Label, 0, len(ls))
	for _, l := range ls {
		if l.Name != name {
			out = append(out, l)
		}
	}
	return out
}

// count writes a number of things: exact with separators below a million, then in three or four digits.
func count(v any) string {
	var n float64
	switch v := v.(type) {
	case int:
		n = float64(v)
	case int64:
		n = float64(v)
	case uint64:
		n = float64(v)
	default:
		return fmt.Sprint(v)
	}
	for _, u := range []struct {
		size float64
		name string
	}{{1e12, "T"}, {1e9, "G"}, {1e6, "M"}} {
		if n >= u.size {
			return trimNumber(n/u.size) + " " + u.name
		}
	}
	s := strconv.FormatFloat(n, 'f', 0, 64)
	if len(s) > 3 && n >= 0 {
		s = s[:len(s)-3] + "\u202f" + s[len(s)-3:]
	}
	return s
}

// rate writes a number per second.
func rate(v float64) string {
	if v < 1000 {
		return trimNumber(v)
	}
	return count(int64(v))
}

// trimNumber keeps about three digits.
func trimNumber(v float64) string {
	decimals := 0
	switch {
	case v < 10:
		decimals = 2
	case v < 100:
		decimals = 1
	}
	s := strconv.FormatFloat(v, 'f', decimals, 64)
	if decimals > 0 {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	return s
}

func byteSize(v any) string {
	var n float64
	switch v := v.(type) {
	case int:
		n = float64(v)
	case int64:
		n = float64(v)
	case uint64:
		n = float64(v)
	}
	if n < 0 {
		return "-" + byteSize(int64(-n))
	}
	unit := "B"
	for _, u := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if n < 1024 {
			break
		}
		n, unit = n/1024, u
	}
	return trimNumber(n) + " " + unit
}

// shortDuration writes the two largest units, and of less than a minute three digits.
func shortDuration(d time.Duration) string {
	switch {
	case d <= 0:
		return "0s"
	case d < time.Millisecond:
		return trimNumber(float64(d)/1e3) + "µs"
	case d < time.Second:
		return trimNumber(float64(d)/1e6) + "ms"
	case d < time.Minute:
		return trimNumber(d.Seconds()) + "s"
	case d < time.Hour:
		return twoUnits(d, time.Minute, "m", time.Second, "s")
	case d < 24*time.Hour:
		return twoUnits(d, time.Hour, "h", time.Minute, "m")
	}
	return twoUnits(d, 24*time.Hour, "d", time.Hour, "h")
}

func twoUnits(d, big time.Duration, bigName string, small time.Duration, smallName string) string {
	s := strconv.Itoa(int(d/big)) + bigName
	if rest := int(d % big / small); rest > 0 {
		s += strconv.Itoa(rest) + smallName
	}
	return s
}

// ago says how long before now t was.
func ago(now, t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	d := now.Sub(t)
	if d < time.Second {
		return "just now"
	}
	if d < time.Minute {
		return strconv.Itoa(int(d.Seconds())) + "s ago"
	}
	return shortDuration(d) + " ago"
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

// clock is a time of the day, in UTC as all times of the pages.
func clock(t time.Time) string { return t.UTC().Format("15:04:05") }

// shortFloat writes a sample's value in at most seven digits.
func shortFloat(v float64) string {
	if v >= -1e15 && v <= 1e15 && v == float64(int64(v)) {
		return strconv.FormatInt(int64(v), 10)
	}
	if s := formatFloat(v); len(s) <= 9 {
		return s
	}
	return strconv.FormatFloat(v, 'g', 7, 64)
}
