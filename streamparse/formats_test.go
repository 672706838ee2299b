package streamparse

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
	"testing/iotest"
)

// The formats are compared with Prometheus' parsers in the module conformance. Here is what needs no oracle: limits, time,
// and the promises about Peek, Take and views.

// readAll reads a body and counts its entries by kind; it also adds up all values.
func readAll(p *Parser, r io.Reader, b Body) (n [KindHistogram + 1]int, sum float64, err error) {
	p.ResetBody(r, b)
	for {
		kind, err := p.Next()
		if err != nil || kind == KindNone {
			return n, sum, err
		}
		n[kind]++
		if kind == KindSample {
			sum += p.Value()
		}
	}
}

var (
	openMetrics = Body{Format: FormatOpenMetrics, StartTimestamps: true}
	asProtobuf  = Body{Format: FormatProtobuf, NativeHistograms: true}
)

// sub appends a field which is a message or a text.
func sub(dst []byte, number uint64, content []byte) []byte {
	dst = binary.AppendUvarint(dst, number<<3|wireBytes)
	dst = binary.AppendUvarint(dst, uint64(len(content)))
	return append(dst, content...)
}

func num(dst []byte, number, v uint64) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(dst, number<<3|wireVarint), v)
}

func float(dst []byte, number uint64, v float64) []byte {
	dst = binary.AppendUvarint(dst, number<<3|wireFixed64)
	return binary.LittleEndian.AppendUint64(dst, math.Float64bits(v))
}

func pair(name, value string) []byte {
	return sub(sub(nil, 1, []byte(name)), 2, []byte(value))
}

// family writes a family with its length before it.
func family(name string, typ uint64, metrics ...[]byte) []byte {
	f := num(sub(sub(nil, 1, []byte(name)), 2, []byte("Some help.")), 3, typ)
	for _, m := range metrics {
		f = sub(f, 4, m)
	}
	return append(binary.AppendUvarint(nil, uint64(len(f))), f...)
}

func gauge(v float64, labels ...[]byte) []byte {
	var m []byte
	for _, l := range labels {
		m = sub(m, 1, l)
	}
	return sub(m, 2, float(nil, 1, v))
}

// TestManySeriesWithoutCreated pins that asking for start timestamps which are not there takes linear time, and that those
// which are there are found.
func TestManySeriesWithoutCreated(t *testing.T) {
	const series = 100_000
	var b strings.Builder
	b.WriteString("# TYPE foo counter\n")
	for i := range series {
		fmt.Fprintf(&b, "foo_total{i=\"%d\"} 1\n", i)
	}
	b.WriteString("# TYPE bar counter\nbar_total 2\nbar_created 5.5\n# EOF\n")
	p := newParser(t, Options{})
	p.ResetBody(strings.NewReader(b.String()), openMetrics)
	samples := 0
	for {
		kind, err := p.Next()
		if err != nil {
			t.Fatal(err)
		}
		if kind == KindNone {
			break
		}
		if kind != KindSample {
			continue
		}
		samples++
		if ms, ok := p.StartTimestamp(); ok != (samples > series) || ok && ms != 5500 {
			t.Fatalf("sample %d: StartTimestamp() = %d, %v", samples, ms, ok)
		}
	}
	if samples != series+1 {
		t.Errorf("%d samples, want %d", samples, series+1)
	}
	if len(p.w) > chunkBytes {
		t.Errorf("the window is %d bytes, want at most %d", len(p.w), chunkBytes)
	}
}

// TestManyBuckets pins that a histogram of 10,000 buckets is read in every format, as are families which are empty or come
// twice.
func TestManyBuckets(t *testing.T) {
	const buckets = 10_000
	var text strings.Builder
	text.WriteString("# TYPE h histogram\n")
	h := float(num(nil, 1, buckets), 2, 7)
	for i := range buckets {
		fmt.Fprintf(&text, "h_bucket{le=\"%d\"} %d\n", i, i)
		h = sub(h, 3, float(num(nil, 1, uint64(i)), 2, float64(i)))
	}
	text.WriteString("h_count 10000\nh_sum 7\n")
	p := newParser(t, Options{})
	n, sum, err := readAll(p, strings.NewReader(text.String()+"h_created 1\n# EOF\n"), openMetrics)
	if want := float64(buckets*(buckets-1)/2 + buckets + 7); err != nil || n[KindSample] != buckets+2 || sum != want {
		t.Errorf("OpenMetrics: %d samples, sum %v, %v, want %d, %v", n[KindSample], sum, err, buckets+2, want)
	}
	body := family("h", familyHistogram, sub(nil, 7, h))
	body = append(append(append(body, family("", 17)...), family("h", familyGauge)...), body...)
	n, sum, err = readAll(p, strings.NewReader(string(body)), asProtobuf)
	// The last bucket is left out, and has the histogram's count.
	if want := float64(2 * (buckets*(buckets-1)/2 + 2*buckets + 7)); err != nil || n[KindSample] != 2*(buckets+3) || sum != want || n[KindType] != 2 {
		t.Errorf("protobuf: %d samples, sum %v, %v, want %d, %v", n[KindSample], sum, err, 2*(buckets+3), want)
	}
}

// TestProtobufRefuses pins what makes a body in protobuf bad, and that the error names the family.
func TestProtobufRefuses(t *testing.T) {
	p := newParser(t, Options{})
	good := family("good", familyGauge, gauge(1))
	f := func(body []byte, reason string) {
		t.Helper()
		for _, r := range []io.Reader{strings.NewReader(string(good) + string(body)), iotest.OneByteReader(strings.NewReader(string(good) + string(body)))} {
			_, _, err := readAll(p, r, asProtobuf)
			if e, ok := errors.AsType[*ParseError](err); !ok || e.Line != 2 || !strings.Contains(err.Error(), reason) || !strings.HasPrefix(err.Error(), "metric family 2: ") {
				t.Errorf("%x: error %v, want one in the second family with %q", body, err, reason)
			}
		}
	}
	f([]byte{0x80, 0x80, 0x80, 0x80, 0x80, 1}, "the length")
	f([]byte{0x80}, "the length")
	f(good[:len(good)-1], "the body ends within it")
	f(good[:3], "the body ends within it")
	f([]byte{5, 1<<3 | wireBytes, 1, 'm', 4<<3 | wireBytes, 5, 0, 0, 0, 0, 0}, "a message is cut")
	f(family("", familyGauge, gauge(1)), "invalid metric name")
	f(family("\xff", familyGauge, gauge(1)), "invalid metric name")
	f(family("m", 17, gauge(1)), "unknown metric type 17")
	f(family("m", familyGauge, gauge(1, pair("", "x"))), "invalid label name")
	f(family("m", familyGauge, gauge(1, pair("\xff", "x"))), "invalid label name")
	f(family("m", familyGauge, gauge(1, pair("x", "\xff"))), "UTF-8")
	f(family("m", familyGauge, num(nil, 2, 1)), "wire type")
	f(family("m", familyHistogram, sub(nil, 7, sub(num(nil, 7, 1), 12, num(nil, 2, 3)))), "positive spans of 3 buckets, and 0 buckets")
	f(family("m", familyHistogram, sub(nil, 7, sub(nil, 9, num(nil, 2, 1)))), "negative spans of 1 buckets, and 0 buckets")
	late := sub(sub(nil, 4, gauge(1)), 1, []byte("m"))
	f(append(binary.AppendUvarint(nil, uint64(len(late))), late...), "invalid metric name")
	late = num(sub(sub(nil, 1, []byte("m")), 4, gauge(1)), 3, familyGauge)
	f(append(binary.AppendUvarint(nil, uint64(len(late))), late...), "its type follows its metrics")
	late = sub(sub(sub(nil, 1, []byte("m")), 4, gauge(1)), 1, []byte("n"))
	f(append(binary.AppendUvarint(nil, uint64(len(late))), late...), "its name follows its metrics")
	many := make([]byte, 0, 2*maxParts+2)
	for range maxParts + 1 {
		many = append(many, 3<<3|wireBytes, 0)
	}
	f(family("m", familyHistogram, sub(nil, 7, many)), "more than 65536")
}

// TestProtobufLimits pins that a metric may be as long as a line, a family of any size, and a help text, too.
func TestProtobufLimits(t *testing.T) {
	p := newParser(t, Options{MaxLineBytes: 100 << 10})
	var metrics [][]byte
	for i := range 5000 {
		metrics = append(metrics, gauge(1, pair("label", strings.Repeat("x", 100+i%50))))
	}
	body := string(family("m", familyGauge, metrics...))
	if n, sum, err := readAll(p, strings.NewReader(body), asProtobuf); err != nil || n[KindSample] != 5000 || sum != 5000 {
		t.Errorf("a family of %d bytes: %d samples, %v", len(body), n[KindSample], err)
	}
	if len(p.w) > chunkBytes {
		t.Errorf("the window is %d bytes, want at most %d", len(p.w), chunkBytes)
	}
	long := gauge(1, pair("label", strings.Repeat("x", 99<<10)))
	if n, _, err := readAll(p, strings.NewReader(string(family("m", familyGauge, long))), asProtobuf); err != nil || n[KindSample] != 1 {
		t.Errorf("a metric of %d bytes: %d samples, %v", len(long), n[KindSample], err)
	}
	long = gauge(1, pair("label", strings.Repeat("x", 101<<10)))
	if _, _, err := readAll(p, strings.NewReader(string(family("m", familyGauge, long))), asProtobuf); !errors.Is(err, ErrLineTooLong) || !strings.Contains(err.Error(), "-promscrape.maxLineSize") {
		t.Errorf("a metric of %d bytes: error %v, want ErrLineTooLong which names the flag", len(long), err)
	}
	f := sub(sub(sub(nil, 1, []byte("m")), 2, []byte(strings.Repeat("é", 1<<20))), 4, gauge(1))
	body = string(append(binary.AppendUvarint(nil, uint64(len(f))), f...))
	if n, _, err := readAll(p, strings.NewReader(body), Body{Format: FormatProtobuf}); err != nil || n[KindSample] != 1 || n[KindHelp] != 1 {
		t.Errorf("2 MiB of help: %v, %v", n, err)
	}
	f = sub(sub(sub(nil, 1, []byte("m")), 2, []byte(strings.Repeat("é", 1<<20)+"\xff")), 4, gauge(1))
	body = string(append(binary.AppendUvarint(nil, uint64(len(f))), f...))
	if _, _, err := readAll(p, strings.NewReader(body), asProtobuf); err == nil || !strings.Contains(err.Error(), "UTF-8") {
		t.Errorf("bad UTF-8 behind 2 MiB of help: error %v", err)
	}
}

// TestProtobufPeek pins that Peek shows a sample only to whom asks for as many bytes as its key has, that nothing is taken
// by looking, and that what Take leaves is read by Next.
func TestProtobufPeek(t *testing.T) {
	body := append(family("a", familyGauge, gauge(1, pair("x", "1")), gauge(2, pair("x", "2")), gauge(3)),
		family("h", familyHistogram, sub(nil, 7, sub(num(nil, 1, 5), 3, float(num(nil, 1, 4), 2, 0.5))))...)
	p := newParser(t, Options{})
	p.ResetBody(strings.NewReader(string(body)), asProtobuf)
	var keys []string
	var names []string
	for {
		kind, err := p.Next()
		if err != nil {
			t.Fatal(err)
		}
		if kind == KindNone {
			break
		}
		if kind == KindSample {
			keys = append(keys, string(p.Series()))
			text := ""
			for _, l := range p.AppendLabels(nil) {
				text += fmt.Sprintf("%s=%s ", l.Name, l.Value)
			}
			names = append(names, text+fmt.Sprint(p.Value()))
		}
	}
	want := []string{"__name__=a x=1 1", "__name__=a x=2 2", "__name__=a 3", "__name__=h_count 5", "__name__=h_sum 0",
		"__name__=h_bucket le=0.5 4", "__name__=h_bucket le=+Inf 5"}
	if strings.Join(names, "\n") != strings.Join(want, "\n") {
		t.Fatalf("samples are %q, want %q", names, want)
	}
	p.ResetBody(strings.NewReader(string(body)), asProtobuf)
	for i, key := range keys {
		for p.Guess() == 0 { // help and type
			if p.Peek(len(key)) != nil {
				t.Fatalf("sample %d: Peek shows something before a family's type", i)
			}
			if kind, err := p.Next(); err != nil || kind == KindSample {
				t.Fatalf("sample %d: Next = %v, %v", i, kind, err)
			}
		}
		for _, n := range []int{0, 1, len(key) - 1, len(key) + 1, 1000} {
			if b := p.Peek(n); string(b) == key {
				t.Fatalf("sample %d: Peek(%d) = its key of %d bytes", i, n, len(key))
			}
		}
		if got := string(p.Peek(len(key))); got != key {
			t.Fatalf("sample %d: Peek = %x, want %x", i, got, key)
		}
		if i%3 == 0 {
			if kind, err := p.Next(); kind != KindSample || err != nil || string(p.Series()) != key {
				t.Fatalf("sample %d: Next = %v, %v after Peek", i, kind, err)
			}
			continue
		}
		if !p.Take(len(key)) {
			t.Fatalf("sample %d: Take = false", i)
		}
		if p.Take(len(key)) {
			t.Fatalf("sample %d is taken twice", i)
		}
	}
	if kind, err := p.Next(); kind != KindNone || err != nil {
		t.Errorf("Next at the end = %v, %v", kind, err)
	}
}

// TestPeekDoesNotMistakeLabels pins what guessPlain relies on: a key in which the labels of another one are cut elsewhere is
// none that Next gives.
func TestPeekDoesNotMistakeLabels(t *testing.T) {
	// The value of the label looks like the end of a metric.
	disguised := gauge(1, pair("x", "12345678\x12\x09\x09abcdefgh"))
	p := newParser(t, Options{})
	body := string(family("a", familyGauge, gauge(0), disguised))
	p.ResetBody(strings.NewReader(body), asProtobuf)
	var keys []string
	for {
		kind, err := p.Next()
		if err != nil {
			t.Fatal(err)
		}
		if kind == KindNone {
			break
		}
		if kind == KindSample {
			keys = append(keys, string(p.Series()))
		}
	}
	for n := range 60 {
		p.ResetBody(strings.NewReader(body), asProtobuf)
		for range 3 { // help, type, the first
			if _, err := p.Next(); err != nil {
				t.Fatal(err)
			}
		}
		if got := string(p.Peek(n)); got != "" && got != keys[1] && got == keys[0] {
			t.Errorf("Peek(%d) = %x, the key of another metric", n, got)
		}
		if kind, err := p.Next(); kind != KindSample || err != nil || string(p.Series()) != keys[1] {
			t.Errorf("Next after Peek(%d) = %v, %x, %v, want %x", n, kind, p.Series(), err, keys[1])
		}
	}
}

// TestFormatsAllocateNothing pins that known samples, new ones and their labels cost no allocation in any format.
func TestFormatsAllocateNothing(t *testing.T) {
	h := sub(sub(num(nil, 1, 5), 3, float(num(nil, 1, 4), 2, 0.5)), 16, sub(sub(nil, 1, pair("id", "x")), 3, num(nil, 1, 7)))
	bodies := map[string]Body{
		"# TYPE a counter\na_total{x=\"1\"} 1 # {id=\"x\"} 1 5\n# TYPE h histogram\nh_bucket{le=\"1\"} 2 7.5\nh_created 1\n# EOF\n": openMetrics,
		string(append(family("a", familyGauge, gauge(1, pair("x", "1"))), family("h", familyHistogram, sub(nil, 7, h))...)):         asProtobuf,
	}
	for text, body := range bodies {
		p := newParser(t, Options{})
		var labels []Label
		r := strings.NewReader(text)
		run := func() {
			r.Reset(text)
			p.ResetBody(r, body)
			for {
				kind, err := p.Next()
				if err != nil {
					t.Fatal(err)
				}
				if kind == KindNone {
					return
				}
				if kind == KindSample {
					labels = p.AppendLabels(labels[:0])
					for _, e := range p.Exemplars() {
						labels = p.AppendExemplarLabels(labels[:0], e)
					}
				}
			}
		}
		run()
		if n := testing.AllocsPerRun(100, run); n > 0 {
			t.Errorf("%.40q: %v allocations for each reading, want none", text, n)
		}
	}
}

func TestFormatOf(t *testing.T) {
	for in, want := range map[string]struct {
		format Format
		ok     bool
	}{
		"text/plain": {FormatText, true}, "text/plain; version=0.0.4; charset=utf-8": {FormatText, true}, "TEXT/PLAIN;version=1.0.0;escaping=values": {FormatText, true},
		"application/openmetrics-text; version=0.0.1": {FormatOpenMetrics, true}, "application/openmetrics-text": {FormatOpenMetrics, true},
		"application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited": {FormatProtobuf, true},
		"":          {0, false},
		"text/html": {0, false}, "application/json": {0, false}, "text/plain; charset=a; charset=b": {0, false}, "invalid/": {0, false},
	} {
		if got, ok := FormatOf(in); got != want.format || ok != want.ok {
			t.Errorf("FormatOf(%q) = %v, %v, want %v, %v", in, got, ok, want.format, want.ok)
		}
	}
}

// FuzzFormatsChunks: any body in any chunks gives the same in every format, and no panic.
func FuzzFormatsChunks(f *testing.F) {
	f.Add([]byte("# TYPE a counter\na_total{x=\"1\"} 1 # {id=\"x\"} 1 5\na_created{x=\"1\"} 7\n# EOF\n"), uint16(3), false)
	f.Add([]byte("# TYPE h histogram\nh_bucket{le=\"1\"} 2 7.5\nh_created 1\n{\"h\n\"} 1\n# UNIT a_b b\n# EOF"), uint16(1), false)
	f.Add(append(family("a", familyGauge, gauge(1, pair("x", "1"))), family("", 9)...), uint16(5), true)
	f.Add(family("h", familyHistogram, sub(nil, 7, sub(num(sub(num(nil, 1, 5), 3, float(nil, 2, 0.5)), 7, 1), 12, nil))), uint16(5), true)
	f.Fuzz(func(t *testing.T, body []byte, cut uint16, isProtobuf bool) {
		b := openMetrics
		if isProtobuf {
			b = asProtobuf
		}
		p := newParser(t, Options{MaxLineBytes: 1 << 16})
		want, wantSum, wantErr := readAll(p, strings.NewReader(string(body)), b)
		got, sum, err := readAll(p, &chunkReader{body, int(cut%97) + 1}, b)
		if got != want || math.Float64bits(sum) != math.Float64bits(wantSum) && sum == sum || fmt.Sprint(err) != fmt.Sprint(wantErr) {
			t.Fatalf("%q in chunks of %d: %v, %v, %v, want %v, %v, %v", body, cut%97+1, got, sum, err, want, wantSum, wantErr)
		}
	})
}
