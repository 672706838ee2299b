package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
)

// parseDuration parses Prometheus' durations ("1h30m", whole numbers, units in descending order), and in vmagent's
// dialect also decimals ("1.5s"), units in any order, and plain numbers, which are seconds.
func parseDuration(s string, dialect Dialect) (time.Duration, error) {
	if dur, err := model.ParseDuration(s); err == nil {
		return time.Duration(dur), nil
	}
	if dialect == Prometheus {
		return 0, fmt.Errorf("want a duration like 30s or 1m30s, got %q", cut(s))
	}
	total, err := parseDecimalDuration(s)
	if err != nil {
		return 0, fmt.Errorf("want a duration like 30s, 1.5s or 1m30s, got %q", cut(s))
	}
	return total, nil
}

var errDuration = errors.New("not a duration")

func parseDecimalDuration(s string) (time.Duration, error) {
	var total float64 // seconds
	for rest := s; ; {
		num := len(rest) - len(strings.TrimLeft(rest, "0123456789."))
		n, err := strconv.ParseFloat(rest[:num], 64)
		if err != nil {
			return 0, errDuration
		}
		rest = rest[num:]
		unit := rest[:len(rest)-len(strings.TrimLeft(rest, "mshdwy"))]
		rest = rest[len(unit):]
		if unit == "" && (rest != "" || num != len(s)) {
			return 0, errDuration
		}
		seconds, ok := map[string]float64{
			"": 1, "ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400, "y": 365 * 86400,
		}[unit]
		if !ok {
			return 0, errDuration
		}
		total += n * seconds
		if rest == "" {
			break
		}
	}
	if total*float64(time.Second) >= math.MaxInt64 {
		return 0, errDuration
	}
	dur := time.Duration(math.Round(total*1000)) * time.Millisecond
	if dur == 0 && total > 0 {
		return 0, errDuration // shorter than a millisecond
	}
	return dur, nil
}

// The bases of KB, MB, GB and TB.
const (
	base2  = 1024 // Prometheus' body_size_limit
	base10 = 1000 // vmagent's max_scrape_size
)

// parseBytes parses a size: a number with or without a unit. KiB, MiB, GiB and TiB are powers of 1024; KB, MB, GB and
// TB are powers of base.
func parseBytes(s string, base float64) (int64, error) {
	num := strings.TrimSpace(s)
	mult := 1.0
	for i, prefix := range []string{"K", "M", "G", "T"} {
		if rest, ok := cutUnit(num, prefix+"iB"); ok {
			num, mult = rest, math.Pow(base2, float64(i+1))
			break
		}
		if rest, ok := cutUnit(num, prefix+"B"); ok {
			num, mult = rest, math.Pow(base, float64(i+1))
			break
		}
	}
	if mult == 1 {
		num, _ = cutUnit(num, "B")
	}
	n, err := strconv.ParseFloat(num, 64)
	if err != nil || strings.Trim(num, "0123456789.") != "" || n*mult >= math.MaxInt64 {
		return 0, fmt.Errorf("want a size like 100MB, 16MiB or a number of bytes, got %q", cut(s))
	}
	return int64(n * mult), nil
}

// cutUnit cuts a unit from the end, in upper or lower case.
func cutUnit(s, unit string) (string, bool) {
	if len(s) < len(unit) || !strings.EqualFold(s[len(s)-len(unit):], unit) {
		return s, false
	}
	return strings.TrimSpace(s[:len(s)-len(unit)]), true
}
