package main

import (
	"slices"
	"testing"
	"time"
)

func TestParseSize(t *testing.T) {
	f := func(text string, want int64) {
		t.Helper()
		got, err := parseSize(text)
		if want < 0 {
			if err == nil {
				t.Errorf("parseSize(%q) = %d, want an error", text, got)
			}
			return
		}
		if err != nil || got != want {
			t.Errorf("parseSize(%q) = %d, %v, want %d", text, got, err, want)
		}
	}
	f("0", 0)
	f("1048576", 1<<20)
	f("1e6", 1e6)
	f("1KB", 1000)
	f("1KiB", 1024)
	f("1kib", 1024)
	f("2MB", 2e6)
	f("2MiB", 2<<20)
	f("1.5GB", 1.5e9)
	f("1GiB", 1<<30)
	f("1TB", 1e12)
	f("1TiB", 1<<40)
	for _, bad := range []string{"", "x", "MB", "1XB", "-1", "-1MB", "NaN", "inf", "1e30", "99999999999TB", "1 MB "} {
		f(bad, -1)
	}
}

func TestFormatSize(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 1: "1", 1000: "1KB", 1024: "1KiB", 1 << 20: "1MiB", 16e6: "16MB", 1 << 30: "1GiB", 1500: "1500", 1536: "1536"} {
		if got := formatSize(n); got != want {
			t.Errorf("formatSize(%d) = %q, want %q", n, got, want)
		}
		if back, err := parseSize(formatSize(n)); err != nil || back != n {
			t.Errorf("parseSize(formatSize(%d)) = %d, %v", n, back, err)
		}
	}
}

func TestParseDuration(t *testing.T) {
	f := func(text string, want time.Duration) {
		t.Helper()
		got, err := parseDuration(text)
		if want < 0 {
			if err == nil {
				t.Errorf("parseDuration(%q) = %v, want an error", text, got)
			}
			return
		}
		if err != nil || got != want {
			t.Errorf("parseDuration(%q) = %v, %v, want %v", text, got, err, want)
		}
	}
	f("0", 0)
	f("30", 30*time.Second)
	f("1.5", 1500*time.Millisecond)
	f("30s", 30*time.Second)
	f("1m", time.Minute)
	f("1.5s", 1500*time.Millisecond)
	f("1h30m", 90*time.Minute)
	f("1m30.5s", 90*time.Second+500*time.Millisecond)
	f("100ms", 100*time.Millisecond)
	f("2d", 48*time.Hour)
	f("1w", 7*24*time.Hour)
	f("1y", 365*24*time.Hour)
	f("5us", 5*time.Microsecond)
	for _, bad := range []string{"", "s", "-1s", "-1", "1x", "1m30", "1.2.3s", "1 s", "NaN", "inf", "1e300", "300000y", "m1"} {
		f(bad, -1)
	}
}

func TestFormatDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{time.Minute: "1m", time.Hour: "1h", 90 * time.Second: "1m30s", 1500 * time.Millisecond: "1.5s", 10 * time.Second: "10s", 20 * time.Minute: "20m"} {
		if got := formatDuration(d); got != want {
			t.Errorf("formatDuration(%d) = %q, want %q", d, got, want)
		}
	}
}

func TestSplitList(t *testing.T) {
	f := func(text string, want ...string) {
		t.Helper()
		if got := splitList(text); !slices.Equal(got, want) {
			t.Errorf("splitList(%q) = %q, want %q", text, got, want)
		}
	}
	f("")
	f("a", "a")
	f("a,b", "a", "b")
	f("a,,b,", "a", "", "b", "")
	f(`"a,b",c`, "a,b", "c")
	f(`'a,b',c`, "a,b", "c")
	f(`"a\"b,c",d`, `a"b,c`, "d")
	f(`'it\'s',x`, "it's", "x")
	f(`x{a,b},y`, "x{a,b}", "y")
	f(`[a,(b,c)],d`, "[a,(b,c)]", "d")
	f(`k="a,b",c`, `k="a,b"`, "c")
	f(`"open,a`, `"open,a`)
	f(`{open,a`, `{open,a`)
	f(`a},b`, "a}", "b")
	f(`"`, `"`)
	f(`"\`, `"\`)
}

func FuzzSplitList(f *testing.F) {
	for _, s := range []string{"", "a,b", `"a,b",c`, "{a,[b}", "\"0000\xaa\xaa\"", `'\`, `"\"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		items := splitList(text)
		n := 0
		for _, item := range items {
			n += len(item) + 1
		}
		if text != "" && n > len(text)+1 {
			t.Errorf("splitList(%q) = %q, which is longer", text, items)
		}
		again := list{items: items}
		if back := splitList(again.text()); len(items) > 0 && items[0] != "" && !slices.Equal(back, items) {
			t.Errorf("splitList of the list as it is shown = %q, want %q", back, items)
		}
	})
}

func TestClosest(t *testing.T) {
	names := []string{"remoteWrite.url", "remoteWrite.urls", "tls"}
	for name, want := range map[string]string{"remoteWrite.ulr": "remoteWrite.url", "remotewrite.url": "remoteWrite.url", "tsl": "tls", "completely": "", "remoteWrite.urls2": "remoteWrite.urls"} {
		if got := closest(name, names); got != want {
			t.Errorf("closest(%q) = %q, want %q", name, got, want)
		}
	}
}
