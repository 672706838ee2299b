package conformance

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"scraper/streamparse"
)

// The wire types of protobuf.
const (
	asVarint  = 0
	asFixed64 = 1
	asBytes   = 2
	asGroup   = 3
	asEnd     = 4
	asFixed32 = 5
)

// wire is a message, or a part of one, as its bytes are.
type wire []byte

func (w wire) tag(number, wireType uint64) wire { return binary.AppendUvarint(w, number<<3|wireType) }
func (w wire) num(number, v uint64) wire        { return binary.AppendUvarint(w.tag(number, asVarint), v) }
func (w wire) bytes(number uint64, b []byte) wire {
	return append(binary.AppendUvarint(w.tag(number, asBytes), uint64(len(b))), b...)
}
func (w wire) text(number uint64, s string) wire { return w.bytes(number, []byte(s)) }
func (w wire) float(number uint64, v float64) wire {
	return binary.LittleEndian.AppendUint64(w.tag(number, asFixed64), math.Float64bits(v))
}
func (w wire) lying(number, n uint64, b ...byte) wire { // a field which says that it has n bytes
	return append(binary.AppendUvarint(w.tag(number, asBytes), n), b...)
}
func (w wire) delimited() []byte { return append(binary.AppendUvarint(nil, uint64(len(w))), w...) }

// of begins a family called m.
func of(typ uint64, metrics ...wire) wire {
	f := wire{}.text(1, "m").num(3, typ)
	for _, m := range metrics {
		f = f.bytes(4, m)
	}
	return f
}

const (
	ofCounter = iota
	ofGauge
	ofSummary
	ofUntyped
	ofHistogram
	ofGaugeHistogram
)

func gaugeOf(v float64) wire { return wire{}.bytes(2, wire{}.float(1, v)) }

func pairOf(name, value string) wire { return wire{}.text(1, name).text(2, value) }

// nativeOf is a metric with a native histogram, and what else its message has.
func nativeOf(more wire) wire {
	return wire{}.bytes(7, append(wire{}.num(1, 3).float(2, 7).num(5, 0).float(6, 0.001).num(7, 1), more...))
}

func spanOf(offset int64, length uint64) wire {
	return wire{}.num(1, uint64(offset<<1^offset>>63)).num(2, length)
}

// hostileProtobuf are bodies that a broken or hostile target may send. differs says that Prometheus does otherwise than we,
// as the table in streamparse has it; then accepted is what we do.
var hostileProtobuf = []struct {
	name     string
	body     []byte
	accepted bool
	differs  bool
}{
	{"nothing", nil, true, false},
	{"an empty family", of(ofGauge).delimited(), true, false},
	{"families without anything", []byte{0, 0, 0}, true, false},
	{"the same family twice", append(of(ofGauge, gaugeOf(1)).delimited(), of(ofGauge, gaugeOf(2)).delimited()...), true, false},
	{"the same metric twice", of(ofGauge, gaugeOf(1), gaugeOf(1)).delimited(), true, false},
	{"a metric without a value", of(ofGauge, wire{}).delimited(), true, false},
	{"a metric of another type", of(ofCounter, gaugeOf(1)).delimited(), true, false},
	{"a summary without anything", of(ofSummary, wire{}).delimited(), true, false},
	{"a summary without quantiles", of(ofSummary, wire{}.bytes(4, wire{}.num(1, 2).float(2, 3))).delimited(), true, false},
	{"a histogram without anything", of(ofHistogram, wire{}).delimited(), true, false},
	{"a histogram twice in a metric", of(ofHistogram, append(nativeOf(nil), nativeOf(wire{}.bytes(12, spanOf(0, 1)).num(13, 2))...)).delimited(), true, false},
	{"labels behind the value, and apart", of(ofGauge, gaugeOf(1).bytes(1, pairOf("a", "b")).num(6, 5).bytes(1, pairOf("c", "d"))).delimited(), true, false},
	{"a label twice", of(ofGauge, gaugeOf(1).bytes(1, pairOf("a", "b")).bytes(1, pairOf("a", "c"))).delimited(), true, false},
	{"a label without a value", of(ofGauge, gaugeOf(1).bytes(1, wire{}.text(1, "a"))).delimited(), true, false},
	{"a label's name twice", of(ofGauge, gaugeOf(1).bytes(1, wire{}.text(1, "a").text(1, "b").text(2, "c"))).delimited(), true, false},
	{"a label called le in a histogram", of(ofHistogram, wire{}.bytes(1, pairOf("le", "x"))).delimited(), true, false},
	{"a timestamp before the epoch", of(ofGauge, gaugeOf(1).num(6, 1<<63)).delimited(), true, false},
	{"a name with NUL and newline", wire{}.text(1, "a\x00\nb").num(3, ofGauge).bytes(4, gaugeOf(1)).delimited(), true, false},
	{"help with NUL and newline", of(ofGauge, gaugeOf(1)).delimited(), true, false},
	{"the last of two types and names", wire{}.text(1, "a").num(3, ofCounter).text(1, "m").num(3, ofGauge).bytes(4, gaugeOf(1)).delimited(), true, false},
	{"a label value which is not UTF-8", of(ofGauge, gaugeOf(1).bytes(1, pairOf("a", "\xc3"))).delimited(), false, false},
	{"a family's length of 64 bits", append(binary.AppendUvarint(nil, 1<<63), of(ofGauge, gaugeOf(1))...), false, false},
	{"a family's length of all bits", append(binary.AppendUvarint(nil, math.MaxUint64), of(ofGauge, gaugeOf(1))...), false, false},
	{"a family's length of 11 bytes", bytes.Repeat([]byte{0x80}, 11), false, false},
	{"a family's length of 31 bits", append(binary.AppendUvarint(nil, 1<<31-1), of(ofGauge, gaugeOf(1))...), false, false},
	{"a family's length in more bytes than needed", append([]byte{0x85, 0x80, 0x00}, wire{}.text(1, "abc")...), true, false},
	{"a metric's length of 63 bits", of(ofGauge).lying(4, 1<<63).delimited(), false, false},
	{"a metric's length of all bits", of(ofGauge).lying(4, math.MaxUint64, 1, 2, 3).delimited(), false, false},
	{"a metric's length beyond its family", of(ofGauge).lying(4, 100, 1, 2, 3).delimited(), false, false},
	{"help's length of 63 bits", wire{}.lying(2, 1<<62, 'a').delimited(), false, false},
	{"a name's length beyond its family", wire{}.lying(1, 2, 'a').delimited(), false, false},
	{"a label's length beyond its metric", of(ofGauge, gaugeOf(1).lying(1, 1<<40, 'a')).delimited(), false, false},
	{"a label's value beyond its label", of(ofGauge, gaugeOf(1).bytes(1, wire{}.text(1, "a").lying(2, 5, 'a'))).delimited(), false, false},
	{"deltas whose length lies", of(ofHistogram, nativeOf(wire{}.lying(13, 1<<50))).delimited(), false, false},
	{"a number of eleven bytes", of(ofGauge, append(gaugeOf(1).tag(6, asVarint), bytes.Repeat([]byte{0xff}, 11)...)).delimited(), false, false},
	{"a value of seven bytes", of(ofGauge, wire{}.bytes(2, append(wire{}.tag(1, asFixed64), 1, 2, 3, 4, 5, 6, 7))).delimited(), false, false},
	{"the field 0", of(ofGauge, append(gaugeOf(1), 0, 0)).delimited(), false, false},
	{"a field beyond 29 bits", of(ofGauge, gaugeOf(1).num(1<<30, 1)).delimited(), true, false},
	{"a field beyond 31 bits", of(ofGauge, gaugeOf(1).num(1<<31, 1)).delimited(), false, false},
	{"unknown fields", of(ofGauge, gaugeOf(1).num(99, 1).float(98, 1).text(97, "x")).num(99, 1).text(98, "y").delimited(), true, false},
	{"an unknown field of 32 bits", of(ofGauge, append(gaugeOf(1).tag(99, asFixed32), 1, 2, 3, 4)).delimited(), true, false},
	{"an unknown field which is cut", of(ofGauge, append(gaugeOf(1).tag(99, asFixed32), 1, 2, 3)).delimited(), false, false},
	{"the value as a number", of(ofGauge, wire{}.num(2, 1)).delimited(), false, false},
	{"labels as a group", of(ofGauge, append(gaugeOf(1).tag(1, asGroup), wire{}.tag(1, asEnd)...)).delimited(), false, false},
	{"an unknown group", of(ofGauge, append(gaugeOf(1).tag(99, asGroup).num(1, 5), wire{}.tag(99, asEnd)...)).delimited(), true, false},
	{"groups in groups", of(ofGauge, append(gaugeOf(1), append(bytes.Repeat(wire{}.tag(99, asGroup), 100), bytes.Repeat(wire{}.tag(99, asEnd), 100)...)...)).delimited(), true, false},
	{"a group which ends as another", of(ofGauge, append(gaugeOf(1).tag(99, asGroup), wire{}.tag(98, asEnd)...)).delimited(), true, false},
	{"a group without its end", of(ofGauge, gaugeOf(1).tag(99, asGroup)).delimited(), false, false},
	{"the end of no group", of(ofGauge, gaugeOf(1).tag(99, asEnd)).delimited(), false, false},
	{"a group in a family", append(of(ofGauge, gaugeOf(1)).tag(99, asGroup).num(1, 5), wire{}.tag(99, asEnd)...).delimited(), true, false},
	{"wire type 7", of(ofGauge, gaugeOf(1).tag(99, 7)).delimited(), false, false},
	{"wire type 6 in a family", of(ofGauge, gaugeOf(1)).tag(99, 6).delimited(), false, false},
	{"another type than there are", of(17, gaugeOf(1)).delimited(), false, false},
	{"a type of 64 bits", of(math.MaxUint64, gaugeOf(1)).delimited(), false, false},
	{"spans without buckets", of(ofHistogram, nativeOf(wire{}.bytes(12, spanOf(0, 3)))).delimited(), false, false},
	{"a span of 32 bits", of(ofHistogram, nativeOf(wire{}.bytes(12, spanOf(0, math.MaxUint32)).num(13, 2))).delimited(), false, false},
	{"spans which overflow together", of(ofHistogram, nativeOf(wire{}.bytes(12, spanOf(0, math.MaxUint32)).bytes(12, spanOf(0, 2)).num(13, 2))).delimited(), false, false},
	{"buckets without spans", of(ofHistogram, nativeOf(wire{}.num(13, 2))).delimited(), false, false},
	{"negative buckets without spans", of(ofHistogram, nativeOf(wire{}.num(10, 2))).delimited(), false, false},
	{"deltas, packed and not", of(ofHistogram, nativeOf(wire{}.bytes(12, spanOf(0, 3)).bytes(13, []byte{2, 0}).num(13, 0))).delimited(), true, false},
	{"empty spans", of(ofHistogram, nativeOf(wire{}.bytes(12, nil).bytes(12, spanOf(0, 1)).bytes(12, spanOf(5, 0)).num(13, 2))).delimited(), true, false},
	{"an exemplar without anything", of(ofCounter, wire{}.bytes(3, wire{}.float(1, 2).bytes(2, nil))).delimited(), true, false},
	{"an exemplar whose time is out of range", of(ofCounter, wire{}.bytes(3, wire{}.float(1, 2).bytes(2, wire{}.bytes(3, wire{}.num(1, math.MaxInt64).num(2, math.MaxUint64))))).delimited(), true, false},
	{"a start whose time is out of range", of(ofCounter, wire{}.bytes(3, wire{}.float(1, 2).bytes(3, wire{}.num(1, math.MaxInt64)))).delimited(), true, false},
	{"a bucket behind the infinite one", of(ofHistogram, wire{}.bytes(7, wire{}.num(1, 2).bytes(3, wire{}.num(1, 1).float(2, math.Inf(1))).bytes(3, wire{}.num(1, 2).float(2, 1)))).delimited(), true, false},
	{"bounds which are NaN, and not in order", of(ofHistogram, wire{}.bytes(7, wire{}.num(1, 2).bytes(3, wire{}.num(1, 1).float(2, math.NaN())).bytes(3, wire{}.num(1, 1).float(2, 5)).bytes(3, wire{}.num(1, 2).float(2, 1)))).delimited(), true, false},
	{"a staleness marker", of(ofGauge, gaugeOf(math.Float64frombits(0x7ff0000000000002))).delimited(), true, false},
	{"no name", wire{}.num(3, ofGauge).bytes(4, gaugeOf(1)).delimited(), false, false},
	{"a name behind the metrics", wire{}.num(3, ofGauge).bytes(4, gaugeOf(1)).text(1, "m").delimited(), false, true},
	{"a type behind the metrics", wire{}.text(1, "m").bytes(4, gaugeOf(1)).num(3, ofGauge).delimited(), false, true},
}

func TestHostileProtobuf(t *testing.T) {
	rng := rand.New(rand.NewPCG(61, 62))
	for _, tt := range hostileProtobuf {
		for _, what := range protobufBodies() {
			if !what.NativeHistograms && strings.Contains(tt.name, "span") || !what.NativeHistograms && strings.Contains(tt.name, "without spans") {
				continue // nobody looks
			}
			_, err := eventsOf(t, what, nil)(bytes.NewReader(tt.body))
			if (err == nil) != tt.accepted {
				t.Errorf("%s, %v: our error is %v, want accepted = %v", tt.name, what, err, tt.accepted)
			}
			_, theirErr := theirEvents(theirProtobuf(tt.body, what), true)
			if ((theirErr == nil) != tt.accepted) != tt.differs {
				t.Errorf("%s, %v: the oracle's error is %v, want accepted = %v", tt.name, what, theirErr, tt.accepted != tt.differs)
			}
			if !tt.differs {
				checkAnyProtobuf(t, tt.name, what, tt.body, rng)
			}
		}
	}
}

// hostileText are bodies for both formats of text, "# EOF" apart, with what Prometheus makes of them in each.
var hostileText = []struct {
	name, body string
	text, om   bool
}{
	{"an exemplar of 200 runes", "a_total 1 # {a=\"" + strings.Repeat("é", 200) + "\"} 1\n", false, true},
	{"CRLF", "a 1\r\n", false, false},
	{"a name which is not UTF-8", "{\"a\xff\"} 1\n", true, true}, // the scrape is refused, not the body
	{"a value which is not UTF-8", "{\"a\",b=\"\xff\"} 1\n", false, false},
	{"a bare name which is not ASCII", "é 1\n", false, false},
	{"families twice", "# TYPE a gauge\na 1\n# TYPE a gauge\na 2\n# TYPE a counter\na 3\n", true, true},
	{"a family without samples", "# HELP a b\n# TYPE a gauge\n", true, true},
	{"a histogram without anything but buckets", "# TYPE a histogram\na_bucket{le=\"NaN\"} 1\na_bucket{le=\"x\"} 1\na_bucket 1\n", true, true},
	{"a summary without quantiles", "# TYPE a summary\na_sum 1\na_count 1\n", true, true},
	{"a thousand labels", "a{" + strings.Repeat("a=\"b\",", 1000) + "} 1\n", true, true},
	{"a thousand braces", strings.Repeat("{", 1000) + "\n", false, false},
	{"a thousand quotes", "a{b=\"" + strings.Repeat("\"", 1000) + "\n", false, false},
	{"a thousand backslashes", "a{b=\"" + strings.Repeat("\\", 1001) + "\"} 1\n", false, false},
	{"a value of a thousand digits", "a " + strings.Repeat("9", 300) + "\n", true, true},
	{"a value which is too large", "a " + strings.Repeat("9", 1000) + "\n", false, false},
	{"a value which is too small", "a 1e-1000\n", true, true},
	{"a timestamp which is too large", "a 1 99999999999999999999\n", false, true},
}

func TestHostileText(t *testing.T) {
	rng := rand.New(rand.NewPCG(63, 64))
	for _, tt := range hostileText {
		if _, err := expected([]byte(tt.body)); (err == nil) != tt.text {
			t.Errorf("%s: in text the oracle says %v, want accepted = %v", tt.name, err, tt.text)
		}
		check(t, tt.name, []byte(tt.body), rng)
		body := []byte(tt.body + "# EOF\n")
		if _, err := theirEvents(theirOpenMetrics(body), false); (err == nil) != tt.om {
			t.Errorf("%s: in OpenMetrics the oracle says %v, want accepted = %v", tt.name, err, tt.om)
		}
		checkEvents(t, tt.name, openMetrics, body, theirOpenMetrics(body), rng)
		checkEvents(t, tt.name, streamparse.Body{Format: streamparse.FormatOpenMetrics}, []byte(tt.body), theirOpenMetrics([]byte(tt.body)), rng) // cut
	}
}
