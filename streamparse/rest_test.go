package streamparse

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// entriesOf reads what p has left, and describes it. At each entry it calls at, if that is not nil.
func entriesOf(p *Parser, at func(read int)) (said []string) {
	for {
		if at != nil {
			at(len(said))
		}
		kind, err := p.Next()
		if err != nil || kind == KindNone {
			return append(said, fmt.Sprint("the end: ", err, " ", p.Line()))
		}
		var b strings.Builder
		fmt.Fprint(&b, kind, p.Line(), p.Type(), " ")
		switch kind {
		case KindSample, KindHistogram:
			for _, l := range p.AppendLabels(nil) {
				fmt.Fprintf(&b, "%s=%q ", l.Name, l.Value)
			}
			ms, timed := p.Timestamp()
			fmt.Fprint(&b, ms, timed, len(p.Exemplars()), " ")
			if kind == KindSample {
				fmt.Fprint(&b, p.Value())
			} else {
				fmt.Fprintf(&b, "%x", p.Histogram().AppendWire(nil))
			}
		case KindHelp, KindType, KindUnit:
			fmt.Fprintf(&b, "%s", p.Family())
		}
		said = append(said, b.String())
	}
}

// TestRest: wherever the rest of a body is read beside, it is what the parser itself goes on with, to the end, the error and
// its line.
func TestRest(t *testing.T) {
	classic := "# TYPE h histogram\nh_bucket{le=\"1\"} 1 5\nh_bucket{le=\"+Inf\"} 2 5\nh_sum 3 5\nh_count 2 5\n"
	om := "# HELP a The first.\n# TYPE a counter\na_total{x=\"1\"} 1 # {id=\"x\"} 1 5\na_created{x=\"1\"} 4\n" + classic + "# TYPE u_s gauge\n# UNIT u_s s\nu_s 7\n"
	hist := sub(nil, 7, sub(num(num(num(nil, 1, 5), 5, 2), 13, 10), 12, num(nil, 2, 1)))
	buckets := sub(nil, 7, sub(float(num(nil, 1, 3), 2, 4), 3, float(num(nil, 1, 3), 2, 1)))
	families := slices.Concat(
		family("g", familyGauge, gauge(1, pair("a", "b")), gauge(2)), family("h", familyHistogram, hist, buckets, hist),
		family("c", familyCounter, sub(nil, 3, float(nil, 1, 5)), num(sub(nil, 3, float(nil, 1, 6)), 6, 7)))
	for name, tt := range map[string]struct {
		text string
		body Body
		bad  bool // lines are skipped
	}{
		"text":                {strings.ReplaceAll(om, "# {id=\"x\"} 1 5", "") + "end{x=\"a\nb\"} 1", Body{}, false},
		"text with a mistake": {classic + "a 1\nb{} 1\n{ 2\nc 1\n", Body{}, false},
		"skipped lines":       {classic + "a 1\nb{} 1\n{ 2\nc 1\r\n{{\nd 2", Body{}, true},
		"OpenMetrics":         {om + "# EOF\n", Body{Format: FormatOpenMetrics}, false},
		"without an end":      {om, Body{Format: FormatOpenMetrics}, false},
		"start timestamps":    {om + "# EOF\n", openMetrics, false},
		"converted":           {om + classic + "a 1\n" + classic + "# EOF\n", Body{Format: FormatOpenMetrics, ConvertClassic: true}, false},
		"protobuf":            {string(families), asProtobuf, false},
		"protobuf, cut":       {string(families[:len(families)-3]), asProtobuf, false},
		"protobuf, plain":     {string(families), Body{Format: FormatProtobuf}, false},
	} {
		p := newParser(t, Options{SkipBadLines: tt.bad, MaxLineBytes: 1 << 10})
		for _, chunk := range []int{1, 50, len(tt.text)} {
			p.ResetBody(&chunkReader{[]byte(tt.text), chunk}, tt.body)
			rests := map[int][]string{}
			got := entriesOf(p, func(read int) {
				if q := p.Rest(bytes.NewReader([]byte(tt.text)[p.Bytes():])); q != nil {
					rests[read] = entriesOf(q, nil)
					q.Close()
				}
			})
			if len(rests) < 4 || rests[0] == nil {
				t.Errorf("%s in chunks of %d: the rest was read at %d places of %d", name, chunk, len(rests), len(got))
			}
			for at, rest := range rests {
				if !slices.Equal(rest, got[at:]) {
					t.Errorf("%s in chunks of %d, the rest from entry %d:\n got %q\nwant %q", name, chunk, at, rest, got[at:])
				}
			}
		}
	}
}
