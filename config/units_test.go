package config

import (
	"testing"
	"time"
)

func TestParseDuration(t *testing.T) {
	const bad = -1
	f := func(in string, vmagent, prometheus time.Duration) {
		t.Helper()
		for dialect, want := range map[Dialect]time.Duration{VMAgent: vmagent, Prometheus: prometheus} {
			got, err := parseDuration(in, dialect)
			if err != nil {
				got = bad
			}
			if got != want {
				t.Errorf("parseDuration(%q, %s) = %v, %v, want %v", in, dialect, got, err, want)
			}
		}
	}
	s := time.Second
	f("0", 0, 0)
	f("30s", 30*s, 30*s)
	f("1m30s", 90*s, 90*s)
	f("1h", time.Hour, time.Hour)
	f("1d", 24*time.Hour, 24*time.Hour)
	f("1w", 7*24*time.Hour, 7*24*time.Hour)
	f("1y", 365*24*time.Hour, 365*24*time.Hour)
	f("250ms", s/4, s/4)
	f("1.5s", 1500*time.Millisecond, bad)
	f("0.5m", 30*s, bad)
	f("15", 15*s, bad)
	f("1.5", 1500*time.Millisecond, bad)
	f("30s1m", 90*s, bad)
	f("1m1m", 120*s, bad)
	f("0.0s", 0, bad)
	f("0.1ms", bad, bad)
	for _, in := range []string{"", " ", "s", "1x", "1m5", "-1s", "1 s", "1e3s", "1..5s", ".", "999999y", "1S", "+1s", "0x1s", "NaN", "infs", "1msms", "1mss"} {
		f(in, bad, bad)
	}
}

func TestParseBytes(t *testing.T) {
	const bad = -1
	f := func(in string, binary, decimal int64) {
		t.Helper()
		for base, want := range map[float64]int64{base2: binary, base10: decimal} {
			got, err := parseBytes(in, base)
			if err != nil {
				got = bad
			}
			if got != want {
				t.Errorf("parseBytes(%q, %v) = %v, %v, want %v", in, base, got, err, want)
			}
		}
	}
	f("0", 0, 0)
	f("100", 100, 100)
	f("100B", 100, 100)
	f("1KB", 1<<10, 1e3)
	f("100MB", 100<<20, 100e6)
	f("16MiB", 16<<20, 16<<20)
	f("1.5GiB", 3<<29, 3<<29)
	f("1gb", 1<<30, 1e9)
	f("2 TB", 2<<40, 2e12)
	f("1KiB", 1<<10, 1<<10)
	for _, in := range []string{"", "MB", "-1", "1e3", "1M", "1XB", "0x10", "inf", "NaN", "1..2", "99999999TB", "1 2"} {
		f(in, bad, bad)
	}
}

func TestOneEdit(t *testing.T) {
	f := func(a, b string, want bool) {
		t.Helper()
		if got := oneEdit(a, b); got != want {
			t.Errorf("oneEdit(%q, %q) = %v, want %v", a, b, got, want)
		}
	}
	f("abc", "abc", false)
	f("abc", "abcd", true)
	f("abcd", "abc", true)
	f("bc", "abc", true)
	f("axc", "abc", true)
	f("acb", "abc", true)
	f("bac", "abc", true)
	f("cba", "abc", false)
	f("abc", "abcde", false)
	f("", "a", true)
	f("", "", false)
}
