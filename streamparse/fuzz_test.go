package streamparse

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"testing"
)

func seeds(f *testing.F) {
	for _, s := range []string{
		"", "a 1\n", "a{b=\"c\"} 1 2\n", "# HELP a b\n# TYPE a gauge\na NaN\n", "{\"x y\",a=\"\\n\"} 1e5",
		"a{b=\"\n\"} 1\nb 2\n", "a 1\r\n", "a 1 # {x=\"y\"} 1\n", "{A} 0", "a{b=\"c\"d=\"e\",} +Inf 5\n", "# TYPE a b\n", "foo+1\n",
	} {
		f.Add([]byte(s), uint16(3), false)
		f.Add([]byte(s), uint16(1), true)
	}
}

// FuzzParseChunks: any body in any chunks gives the same entries and the same error, and no panic.
func FuzzParseChunks(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, body []byte, cut uint16, skip bool) {
		p := newParser(t, Options{SkipBadLines: skip, MaxLineBytes: 1 << 16})
		want, wantErr := parseAll(p, bytes.NewReader(body))
		wantBad, _ := p.Bad()
		got, err := parseAll(p, &chunkReader{body, int(cut%97) + 1})
		bad, _ := p.Bad()
		compare(t, fmt.Sprintf("%q in chunks of %d", body, cut%97+1), got, err, want, wantErr)
		if bad != wantBad {
			t.Fatalf("%q in chunks of %d: %d bad lines, want %d", body, cut%97+1, bad, wantBad)
		}
	})
}

// FuzzTake: what Take takes behind a series is what Next reads there.
func FuzzTake(f *testing.F) {
	for _, s := range []string{" 1\n", " 1 2\n", "\t-1.5e-7 \n", " NaN", " 0x1p1\n", " 1 2 3\n", " 9007199254740993 \n", " .5\r\n", " 1 1700000000\r\n"} {
		f.Add(s, false)
		f.Add(s, true)
	}
	f.Fuzz(func(t *testing.T, tail string, skip bool) {
		if len(tail) > 1000 {
			return // the window would move
		}
		const series = `m{a="b"}`
		p := newParser(t, Options{SkipBadLines: skip})
		p.Reset(strings.NewReader(series + tail))
		if p.Peek(len(series)) == nil || !p.Take(len(series)) {
			return
		}
		value, ts, hasTS := math.Float64bits(p.Value()), p.ts, p.hasTS
		used := p.pos
		p.Reset(strings.NewReader(series + tail))
		kind, err := p.Next()
		gotTS, gotHas := p.Timestamp()
		if err != nil || kind != KindSample || string(p.Series()) != series {
			t.Fatalf("Take took %q, Next says %d %q %v", tail, kind, p.Series(), err)
		}
		if math.Float64bits(p.Value()) != value || gotHas != hasTS || hasTS && gotTS != ts || p.pos != used {
			t.Fatalf("Take(%q) = %x @%d,%v, Next = %x @%d,%v", tail, value, ts, hasTS, math.Float64bits(p.Value()), gotTS, gotHas)
		}
	})
}

// FuzzDecimal: the fast path of numbers is strconv's answer to the last bit.
func FuzzDecimal(f *testing.F) {
	for _, s := range []string{"0.0034567890123456789", "1.7432342e+09", "123456789012345678901234567890", "0.00000000000000000000012345678901234567890", "1e-320", "0", "1", "-1", "0.1", "1e22", "1e23", "123456789012345678", "9007199254740993", "1.7014302e+09", "5e-324", "0e9999", "00001", "-0", "4.35", "8.41e21"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, n := decimal([]byte(s + "\n"))
		if n == 0 {
			return
		}
		want, err := strconv.ParseFloat(s[:n], 64)
		if err != nil || math.Float64bits(got) != math.Float64bits(want) {
			t.Fatalf("decimal(%q) = %v, strconv has %v, %v", s, got, want, err)
		}
	})
}

type chunkReader struct {
	b []byte
	n int
}

func (r *chunkReader) Read(p []byte) (int, error) {
	if len(r.b) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), r.n)], r.b)
	r.b = r.b[n:]
	return n, nil
}
