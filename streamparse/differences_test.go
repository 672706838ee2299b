package streamparse

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
)

// all reads a body and writes down its entries, one behind the other, and what it ends with.
func all(p *Parser, text string, b Body) string {
	var out strings.Builder
	p.ResetBody(strings.NewReader(text), b)
	for {
		kind, err := p.Next()
		switch {
		case errors.Is(err, ErrLineTooLong):
			return out.String() + "too long"
		case err != nil:
			return out.String() + "refused"
		}
		switch kind {
		case KindNone:
			return strings.TrimSuffix(out.String(), " ")
		case KindHelp:
			fmt.Fprintf(&out, "help(%s) ", p.AppendHelp(nil))
		case KindType:
			fmt.Fprintf(&out, "type(%d) ", p.Type())
		case KindUnit:
			fmt.Fprintf(&out, "unit(%s) ", p.Unit())
		case KindHistogram:
			fmt.Fprintf(&out, "histogram(%d) ", len(p.Exemplars()))
		case KindSample:
			fmt.Fprintf(&out, "%s=%v", p.AppendLabels(nil)[0].Value, p.Value())
			if math.IsNaN(p.Value()) && math.Float64bits(p.Value()) != normalNaN {
				out.WriteString("!")
			}
			if ms, ok := p.StartTimestamp(); ok {
				fmt.Fprintf(&out, "@%d", ms)
			}
			out.WriteString(" ")
		}
	}
}

// TestDifferences has a line for each row of the table in docs/formats.md.
func TestDifferences(t *testing.T) {
	p := newParser(t, Options{MaxLineBytes: 100 << 10})
	f := func(format Format, body, want string) {
		t.Helper()
		if got := all(p, body, Body{Format: format, NativeHistograms: true, StartTimestamps: true}); got != want {
			t.Errorf("%.100q is %q, want %q", body, got, want)
		}
	}
	long := strings.Repeat("x", 101<<10)
	help := strings.Repeat("x", 33<<10)

	f(FormatText, "a 1\n\x00b 2\n", "a=1 refused")
	f(FormatText, "{\"\"} 1\n", "refused")
	f(FormatText, "a{\"\"=\"1\"} 1\n", "refused")
	f(FormatText, "#a\x00b\na 1\n", "a=1")
	f(FormatText, " \ta 1\n", "a=1")
	f(FormatText, "a{b=\""+long+"\"} 1\n", "too long")
	p.opts.MaxLineBytes = 1 << 20
	many := "a{" + strings.Repeat("b=\"\",", MaxLabels+1) + "} 1\n"
	f(FormatText, many, "refused")
	f(FormatOpenMetrics, many, "refused")
	f(FormatOpenMetrics, strings.Replace(many, "a{", "a 1 # {", 1), "refused")
	p.opts.MaxLineBytes = 100 << 10
	f(FormatText, "# HELP a "+help+"\na 1\n", "a=1")

	f(FormatOpenMetrics, "{\"\"} 1\n# EOF\n", "refused")
	f(FormatOpenMetrics, "a{\"\"=\"1\"} 1\n# EOF\n", "refused")
	f(FormatOpenMetrics, "a 1  2\n# EOF\n", "refused")
	f(FormatOpenMetrics, "a{b=\""+long+"\"} 1\n# EOF\n", "too long")
	f(FormatOpenMetrics, "# HELP a "+help+"\na 1\n# EOF\n", "a=1")
	near, far := strings.Repeat("a_total{b=\"c\"} 1\n", 100), strings.Repeat("a_total{b=\"c\"} 1\n", 2000)
	created := "a_total 1\n%sa_created 5\n# EOF\n"
	f(FormatOpenMetrics, "# HELP a \n# TYPE a counter\n"+fmt.Sprintf(created, near), "help() type(1) a_total=1@5000 "+strings.TrimSpace(strings.Repeat("a_total=1 ", 100)))
	f(FormatOpenMetrics, "# HELP a \n# TYPE a counter\n"+fmt.Sprintf(created, far), "help() type(1) a_total=1 "+strings.TrimSpace(strings.Repeat("a_total=1 ", 2000)))

	m := sub(nil, 1, []byte("m"))
	delimited := func(family []byte) string {
		return string(append(binary.AppendUvarint(nil, uint64(len(family))), family...))
	}
	const begin = "help(Some help.) "
	f(FormatProtobuf, delimited(sub(sub(sub(nil, 1, []byte("n")), 4, gauge(1)), 1, []byte("m"))), "help() type(1) n=0 refused")
	f(FormatProtobuf, delimited(num(sub(m, 4, gauge(1)), 3, familyGauge)), "help() type(1) m=0 refused")
	f(FormatProtobuf, delimited(sub(sub(num(m, 3, familyGauge), 4, gauge(1)), 2, []byte("late"))), "help() type(2) m=1")
	f(FormatProtobuf, delimited(sub(sub(num(m, 3, familyGauge), 5, []byte("s")), 4, gauge(1))), "help() type(2) m=1 unit(s)")
	f(FormatProtobuf, delimited(sub(sub(num(m, 3, familyGauge), 4, gauge(1)), 5, []byte("s"))), "help() type(2) m=1 unit(s)")
	f(FormatProtobuf, string(family("m", familyGauge, gauge(1, sub(nil, 2, []byte("value"))))), begin+"type(2) refused")
	f(FormatProtobuf, string(family("m", familyGauge, gauge(math.Float64frombits(0x7ff0000000000002)))), begin+"type(2) m=NaN")
	f(FormatProtobuf, string(family("m", familyUntyped, sub(nil, 5, float(nil, 1, 7)), sub(nil, 5, nil))), begin+"type(0) m=7 m=0")
	exemplar := sub(sub(nil, 1, pair("id", "x")), 3, num(nil, 1, 7))
	native := sub(nil, 7, sub(num(nil, 7, 1), 16, exemplar))
	f(FormatProtobuf, string(family("m", familyHistogram, native, native)), begin+"type(3) histogram(1) histogram(1)")
	odd := sub(nil, 7, sub(num(nil, 7, 1), 12, num(nil, 2, 3)))
	f(FormatProtobuf, string(family("m", familyHistogram, native, odd)), begin+"type(3) histogram(1) refused")
	f(FormatProtobuf, string(family("m", familyGauge, gauge(1, pair("a", long)))), begin+"type(2) too long")
	f(FormatProtobuf, delimited(sub(num(sub(m, 2, []byte(help)), 3, familyGauge), 4, gauge(1))), "help() type(2) m=1")
	p.opts.MaxLineBytes = 1 << 20
	group := bytes.Repeat([]byte{1<<3 | wireVarint, 1}, 1<<19)
	f(FormatProtobuf, delimited(append(append(num(m, 9, 1), 9<<3|wireGroup), append(group, 9<<3|wireEndOfGroup)...)), "too long")
	var deltas []byte
	for range maxParts + 1 {
		deltas = append(deltas, 10<<3|wireVarint, 2)
	}
	f(FormatProtobuf, string(family("m", familyHistogram, sub(nil, 7, deltas))), begin+"type(3) refused")
	f(FormatProtobuf, string(family("m", familyGauge, append(bytes.Repeat(sub(nil, 1, pair("a", "b")), MaxLabels+1), gauge(1)...))), begin+"type(2) refused")
	f(FormatProtobuf, string(family("m", familyHistogram, sub(nil, 7, bytes.Repeat(sub(nil, 16, exemplar), maxExemplars+1)))), begin+"type(3) refused")

	convert := func(body, want string) {
		t.Helper()
		p.ResetBody(strings.NewReader(body), Body{Format: FormatOpenMetrics, ConvertClassic: true})
		var got strings.Builder
		for {
			kind, err := p.Next()
			if err != nil {
				got.WriteString("refused")
				break
			}
			if kind == KindNone {
				break
			}
			if kind == KindHistogram {
				ms, _ := p.Timestamp()
				fmt.Fprintf(&got, "histogram(%d)@%d ", len(p.Exemplars()), ms)
			}
		}
		if strings.TrimSpace(got.String()) != want {
			t.Errorf("converted, %.100q is %q, want %q", body, got.String(), want)
		}
	}
	const classic = "# TYPE h histogram\n"
	convert(classic+"h_bucket{le=\"+Inf\"} 1 2\nh_count 1 3\nother 1 9\n# EOF\n", "histogram(0)@3000")
	convert(classic+"h_bucket{le=\"1\"} 1 # {a=\"b\"} 1\nh_bucket{le=\"+Inf\"} 1 # {a=\"b\"} 1 5\n# EOF\n", "histogram(1)@0")
	p.opts.MaxLineBytes = 100 << 10
	long = strings.Repeat("x", 60<<10)
	convert(classic+"h_bucket{le=\"1\"} 1 # {a=\""+long+"\"} 1 5\nh_bucket{le=\"+Inf\"} 1 # {a=\""+long+"\"} 1 5\n# EOF\n", "histogram(1)@0")
	var buckets strings.Builder
	for i := range maxParts + 1 {
		fmt.Fprintf(&buckets, "h_bucket{le=\"%d\"} 1\n", i)
	}
	convert(classic+buckets.String()+"# EOF\n", "refused")
}
