package main

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"scraper/bench/body"
)

// fixed serves texts which stay the same. newLong makes series which have a label of 300 bytes each that no other has, so that the dictionary of labels fills.
type fixed struct {
	text    []byte
	samples int
}

func newLong(target, series int) *fixed {
	random := rand.New(rand.NewPCG(5, uint64(target)))
	l := &fixed{samples: series}
	l.text = append(l.text, "# TYPE shop_query_seconds_total counter\n"...)
	for i := range series {
		l.text = append(l.text, `shop_query_seconds_total{statement="`...)
		for range 18 {
			l.text = fmt.Appendf(l.text, "%016x", random.Uint64())
		}
		l.text = fmt.Appendf(l.text, "%012d\"} %d\n", i, i)
	}
	return l
}

// Next implements body.Source.
func (l *fixed) Next(time.Time) []byte { return l.text }

// Samples implements body.Source.
func (l *fixed) Samples() int { return l.samples }

// newHelpful serves histograms of which each has a help text of 2 KiB.
func newHelpful(target, families int) *fixed {
	l := &fixed{}
	for i := range families {
		name := fmt.Sprintf("shop_%d_step_%d_seconds", target, i)
		l.text = fmt.Appendf(l.text, "# HELP %s %s\n# TYPE %s histogram\n", name, strings.Repeat("How long the step took, in seconds. ", 58), name)
		for _, le := range []string{"0.005", "0.01", "0.05", "0.1", "0.5", "1", "2.5", "5", "10", "+Inf"} {
			l.text = fmt.Appendf(l.text, "%s_bucket{zone=\"a\",le=\"%s\"} %d\n", name, le, i+target)
		}
		l.text = fmt.Appendf(l.text, "%s_sum{zone=\"a\"} %d.5\n%s_count{zone=\"a\"} %d\n", name, i, name, i+target)
		l.samples += 12
	}
	return l
}

// newProtobuf serves gauges in protocol buffers: messages of a family, each behind its length.
func newProtobuf(target, series int) *fixed {
	l := &fixed{samples: series}
	field := func(dst []byte, n int, value []byte) []byte {
		dst = binary.AppendUvarint(append(dst, byte(n<<3|2)), uint64(len(value)))
		return append(dst, value...)
	}
	const perFamily = 50
	for i := 0; i < series; i += perFamily {
		family := field(nil, 1, fmt.Appendf(nil, "shop_%d_stock", i/perFamily))
		family = field(family, 2, []byte("What lies in the store."))
		family = append(family, 3<<3, 1) // a gauge
		for k := range min(perFamily, series-i) {
			label := field(field(nil, 1, []byte("article")), 2, fmt.Appendf(nil, "%d-%d", target, i+k))
			value := binary.LittleEndian.AppendUint64([]byte{1<<3 | 1}, math.Float64bits(float64(k)))
			family = field(family, 4, field(field(nil, 1, label), 2, value))
		}
		l.text = append(binary.AppendUvarint(l.text, uint64(len(family))), family...)
	}
	return l
}

// protobufType is its content type.
const protobufType = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"

// sized serves as large a part of a text as it is told to.
type sized struct {
	text  *body.Text
	ends  []int         // of lines with samples
	parts *atomic.Int64 // of a hundred
	n     int
}

func newSized(target, series int, parts *atomic.Int64) *sized {
	s := &sized{text: body.NewPlain(body.Plain{Target: target, Series: series}), parts: parts}
	for i, c := 0, s.text.Next(time.Time{}); i < len(c); {
		end := i + 1
		for c[end-1] != '\n' {
			end++
		}
		if c[i] != '#' {
			s.ends = append(s.ends, end)
		}
		i = end
	}
	return s
}

// Next implements body.Source.
func (s *sized) Next(now time.Time) []byte {
	s.n = max(1, len(s.ends)*int(s.parts.Load())/100)
	return s.text.Next(now)[:s.ends[s.n-1]]
}

// Samples implements body.Source.
func (s *sized) Samples() int { return s.n }

// podsOf are pods of a node, as its cAdvisor names them.
func podsOf(node, n int) []body.Pod {
	pods := make([]body.Pod, n)
	for i := range pods {
		pods[i] = body.Pod{Name: fmt.Sprintf("orders-%d-%d", node, i), Namespace: "shop", Container: "orders", Image: "registry.test/orders:1", Number: node*1000 + i}
	}
	return pods
}
