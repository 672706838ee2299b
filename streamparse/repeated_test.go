package streamparse

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/iotest"
)

// bucketsOf returns a metric of one classic histogram of n buckets.
func bucketsOf(n int, labels ...[]byte) []byte {
	var m, h []byte
	for _, l := range labels {
		m = sub(m, 1, l)
	}
	for i := range n {
		h = sub(h, 3, float(num(nil, 1, uint64(i)), 2, float64(i)))
	}
	return sub(m, 7, h)
}

// gaugesOf returns n metrics of a family whose labels are short.
func gaugesOf(n int) (all [][]byte) {
	for i := range n {
		all = append(all, gauge(1, pair("i", fmt.Sprint(i))))
	}
	return all
}

// labelsOf returns n labels whose names and values take so many bytes each.
func labelsOf(n, size int) (all [][]byte) {
	for i := range n {
		name := fmt.Sprintf("%04x", i)
		all = append(all, pair(name, strings.Repeat("v", size-len(name))))
	}
	return all
}

// TestRepeatedLabelsAreBounded pins that a name, or labels, which many samples share do not take much more than the body, that
// only few samples are delivered before it is refused, and that the error is the same however the body arrives.
func TestRepeatedLabelsAreBounded(t *testing.T) {
	const limit = 64 << 10
	for name, body := range map[string][]byte{
		"a histogram's name":   family(strings.Repeat("n", limit-100), familyHistogram, bucketsOf(4000)),
		"a gauge's name":       family(strings.Repeat("n", limit-100), familyGauge, gaugesOf(2000)...),
		"a histogram's labels": family("n", familyHistogram, bucketsOf(2000, labelsOf(2, 15<<10)...)),
		"many short labels":    family("n", familyHistogram, bucketsOf(4000, labelsOf(340, 4)...)),
	} {
		p := newParser(t, Options{MaxLineBytes: limit})
		n, _, err := readAll(p, strings.NewReader(string(body)), asProtobuf)
		if !errors.Is(err, ErrLineTooLong) || !strings.HasPrefix(err.Error(), "metric family 1: ") || !strings.Contains(err.Error(), "-promscrape.maxLineSize") || n[KindSample] > 1000 {
			t.Errorf("%s: %d samples, %v, want few and ErrLineTooLong which names the flag", name, n[KindSample], err)
		}
		if m, _, other := readAll(p, iotest.HalfReader(strings.NewReader(string(body))), asProtobuf); m != n || fmt.Sprint(other) != fmt.Sprint(err) {
			t.Errorf("%s, in pieces: %d samples, %v, want %d, %v", name, m[KindSample], other, n[KindSample], err)
		}
	}
}

// TestRepeatedLabelsOfKnownSeries pins that who knows the series is told as well, at the latest at the body's end, and so is who looks ahead.
func TestRepeatedLabelsOfKnownSeries(t *testing.T) {
	for name, body := range map[string][]byte{
		"a histogram": family(strings.Repeat("n", 60<<10), familyHistogram, bucketsOf(40), bucketsOf(40)),
		"gauges":      family(strings.Repeat("n", 60<<10), familyGauge, gaugesOf(4000)...),
	} {
		p := newParser(t, Options{MaxLineBytes: 64 << 10})
		p.ResetBody(strings.NewReader(string(body)), asProtobuf)
		taken := 0
		var kind Kind
		var err error
		for {
			if n := p.Guess(); n > 0 && p.Take(n) {
				taken++
				continue
			}
			if kind, err = p.Next(); err != nil || kind == KindNone {
				break
			}
		}
		if taken < 40 || !errors.Is(err, ErrLineTooLong) {
			t.Errorf("%s: %d were taken, and then %v, %v, want ErrLineTooLong", name, taken, kind, err)
		}
	}
	p := newParser(t, Options{MaxLineBytes: 64 << 10})
	p.ResetBody(strings.NewReader(string(family(strings.Repeat("n", 60<<10), familyGauge, gaugesOf(100)...))), asProtobuf)
	for range 4 {
		if _, err := p.Next(); err != nil {
			t.Fatal(err)
		}
	}
	q := p.Rest(strings.NewReader(""))
	defer q.Close()
	if q.pb.repeated != p.pb.repeated || p.pb.repeated == 0 {
		t.Errorf("the rest's parser begins with %d bytes, want %d", q.pb.repeated, p.pb.repeated)
	}
}

// TestRealLabelsAreNotRefused: labels as long as they are anywhere are read, however many buckets share them.
func TestRealLabelsAreNotRefused(t *testing.T) {
	several := func(n int, metric []byte) (all [][]byte) {
		for range n {
			all = append(all, metric)
		}
		return all
	}
	for name, body := range map[string][]byte{
		"60,000 buckets with 40 labels of 2 KiB":             family("latency_seconds", familyHistogram, bucketsOf(60_000, labelsOf(40, 50)...)),
		"10,000 buckets with labels of 5 KiB":                family("latency_seconds", familyHistogram, bucketsOf(10_000, labelsOf(20, 250)...)),
		"histograms of 30 buckets with labels of 64 KiB":     family("latency_seconds", familyHistogram, several(100, bucketsOf(30, labelsOf(2, 32<<10)...))...),
		"histograms of 200 buckets with 40 labels of 50 B":   family("latency_seconds", familyHistogram, several(200, bucketsOf(200, labelsOf(40, 50)...))...),
		"gauges with 29,000 labels":                          family("usage_bytes", familyGauge, several(20, gauge(1, labelsOf(29_000, 5)...))...),
		"gauges with a label of 900 KiB":                     family("usage_bytes", familyGauge, several(10, gauge(1, pair("query", strings.Repeat("q", 900<<10))))...),
		"a name of 1 MiB, for as many gauges as it may have": family(strings.Repeat("n", 1<<20-100), familyGauge, gaugesOf(16)...),
	} {
		if n, _, err := readAll(newParser(t, Options{}), strings.NewReader(string(body)), asProtobuf); err != nil || n[KindSample] == 0 {
			t.Errorf("%s: %d samples, %v", name, n[KindSample], err)
		}
	}
}

// TestLabelsAreCheckedOfEachMetric pins that they are though only the first of its samples is looked at.
func TestLabelsAreCheckedOfEachMetric(t *testing.T) {
	f := num(sub(nil, 1, []byte("m")), 3, familyHistogram)
	f = sub(sub(f, 4, bucketsOf(2, pair("x", "good"))), 4, bucketsOf(2, pair("x", "\xff")))
	p := newParser(t, Options{})
	n, _, err := readAll(p, strings.NewReader(string(append(binary.AppendUvarint(nil, uint64(len(f))), f...))), asProtobuf)
	if n[KindSample] != 5 || err == nil || !strings.Contains(err.Error(), "UTF-8") {
		t.Errorf("%d samples, %v, want those of the first metric, and an error", n[KindSample], err)
	}
}
