package streamparse

import (
	"fmt"
	"strings"
	"testing"
	"testing/iotest"
)

// TestConvertDifferences has a line for each row of the table in convert.go.
func TestConvertDifferences(t *testing.T) {
	p := newParser(t, Options{MaxLineBytes: 4 << 10})
	f := func(format Format, body, want string) {
		t.Helper()
		if got := all(p, body, Body{Format: format, ConvertClassic: true}); got != want {
			t.Errorf("%.100q is %q, want %q", body, got, want)
		}
	}
	f(FormatText, "# TYPE h histogram\nh_bucket{le=\"1\"} 1 5\nh_count 1 6\nother 1 7\n", "type(3) histogram(0) other=1")
	if p.ResetBody(strings.NewReader("# TYPE h histogram\nh_count 1 6\nother 1 7\n"), Body{ConvertClassic: true}); true {
		for range 2 {
			if _, err := p.Next(); err != nil {
				t.Fatal(err)
			}
		}
		if ms, ok := p.Timestamp(); ms != 6 || !ok {
			t.Errorf("Timestamp of a histogram = %d, %v, want that of its last sample, 6", ms, ok)
		}
	}
	f(FormatOpenMetrics, "# TYPE h histogram\nh_bucket{le=\"1\"} 1 # {a=\"b\"} 1\nh_count 1 # {a=\"b\"} 1 2\n# EOF\n", "type(3) histogram(1)")
	var many strings.Builder
	many.WriteString("# TYPE h histogram\n")
	for i := range 10 {
		fmt.Fprintf(&many, "h_bucket{le=\"%d\"} %d # {a=\"%s\"} 1 2\n", i, i, strings.Repeat("x", 1<<10))
	}
	f(FormatOpenMetrics, many.String()+"# EOF\n", "type(3) histogram(3)")
	many.Reset()
	many.WriteString("# TYPE h histogram\n")
	for i := range maxParts + 1 {
		fmt.Fprintf(&many, "h_bucket{le=\"%d\"} 1\n", i)
	}
	f(FormatText, many.String(), "type(3) refused")
}

// histogramsText is histograms in text, with something else between them.
func histogramsText(n, buckets int) string {
	var b strings.Builder
	b.WriteString("# HELP h Help.\n# TYPE h histogram\n")
	for i := range n {
		for k := range buckets {
			fmt.Fprintf(&b, "h_bucket{path=\"/a/%d\",code=\"200\",le=\"%d\"} %d\n", i, k, k)
		}
		fmt.Fprintf(&b, "h_bucket{path=\"/a/%d\",code=\"200\",le=\"+Inf\"} %d\nh_sum{path=\"/a/%[1]d\",code=\"200\"} 1.5\nh_count{path=\"/a/%[1]d\",code=\"200\"} %[2]d\n", i, buckets)
	}
	b.WriteString("# TYPE g gauge\ng 1\n")
	return b.String()
}

// TestConvertSplits reads the same in pieces of every size.
func TestConvertSplits(t *testing.T) {
	body := histogramsText(3, 3)
	const want = "help(Help.) type(3) histogram(0) histogram(0) histogram(0) type(2) g=1"
	p := newParser(t, Options{})
	if got := all(p, body, Body{ConvertClassic: true}); got != want {
		t.Errorf("the whole is %q, want %q", got, want)
	}
	p.ResetBody(iotest.OneByteReader(strings.NewReader(body)), Body{ConvertClassic: true})
	for i := 0; ; i++ {
		kind, err := p.Next()
		if err != nil {
			t.Fatal(err)
		}
		if kind == KindNone {
			if i != 7 {
				t.Errorf("%d entries byte by byte, want 7", i)
			}
			break
		}
		if kind == KindHistogram {
			if h := p.Histogram(); h.Count != 3 || len(h.CustomValues) != 3 || h.Sum != 1.5 {
				t.Errorf("histogram %+v", h)
			}
			labels := p.AppendLabels(nil)
			if len(labels) != 3 || string(labels[0].Value) != "h" || string(labels[1].Name) != "code" || string(labels[2].Name) != "path" {
				t.Errorf("labels %q", labels)
			}
		}
	}
}

// TestConvertAllocatesNothing pins that conversion costs no allocation once its scratch memory is there.
func TestConvertAllocatesNothing(t *testing.T) {
	b := sub(nil, 3, float(num(nil, 1, 4), 2, 0.5))
	h := append(num(nil, 1, 5), b...)
	for text, body := range map[string]Body{
		histogramsText(5, 12): {ConvertClassic: true},
		strings.ReplaceAll(histogramsText(5, 12), "\"+Inf\"} 12", "\"+Inf\"} 12 # {a=\"b\"} 1 2") + "# EOF\n": {Format: FormatOpenMetrics, ConvertClassic: true},
		string(family("h", familyHistogram, sub(nil, 7, h), sub(sub(nil, 7, h), 1, pair("a", "b")))):          {Format: FormatProtobuf, ConvertClassic: true},
	} {
		p := newParser(t, Options{})
		r := strings.NewReader(text)
		var labels []Label
		var wire []byte
		histograms := 0
		run := func() {
			r.Reset(text)
			p.ResetBody(r, body)
			histograms = 0
			for {
				kind, err := p.Next()
				if err != nil {
					t.Fatal(err)
				}
				if kind == KindNone {
					return
				}
				if kind == KindHistogram {
					histograms++
					labels = p.AppendLabels(labels[:0])
					wire = p.Histogram().AppendWire(wire[:0])
				}
			}
		}
		run()
		if histograms == 0 {
			t.Errorf("%.40q: no histogram", text)
		}
		if n := testing.AllocsPerRun(100, run); n > 0 {
			t.Errorf("%.40q: %v allocations for each reading, want none", text, n)
		}
	}
}

// BenchmarkConvert compares reading histograms as what they are, by what is known of them, with converting them. The unit is a line.
func BenchmarkConvert(b *testing.B) {
	text := histogramsText(200, 12)
	lines := strings.Count(text, "\n")
	for _, convert := range []bool{false, true} {
		b.Run(fmt.Sprint("convert=", convert), func(b *testing.B) {
			p := newParser(b, Options{})
			r := strings.NewReader(text)
			b.ReportAllocs()
			for b.Loop() {
				r.Reset(text)
				p.ResetBody(r, Body{ConvertClassic: convert})
				for {
					kind, err := p.Next()
					if err != nil {
						b.Fatal(err)
					}
					if kind == KindNone {
						break
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*lines), "ns/line")
		})
	}
}
