package streamparse

import (
	"bytes"
	"hash/maphash"
	"testing"
	"testing/iotest"

	"scraper/streamparse/bodytest"
)

const hashedBody = `# TYPE plain counter
plain_total 1
plain_total{a="b"} 2
plain_total{a="bb",c="d"} 3 1700000000000
# TYPE gauge gauge
gauge{a="b"} 2
gauge{a="\"\\"} 3
# TYPE h histogram
h_bucket{a="b",le="1"} 2
h_bucket{a="b",le="2"} 3
h_bucket{a="b",le="+Inf"} 5
h_sum{a="b"} 7
h_count{a="b"} 5
h_bucket{a="c",le="1"} 2
h_bucket{a="c",le="+Inf"} 5
h_sum{a="c"} 7
h_count{a="c"} 5
# TYPE s summary
s{quantile="0.5"} 2
s{quantile="1"} 2
s_sum 7
s_count 5
# TYPE u untyped
u{a="b"} 1
`

// TestPeekHash pins that PeekHash finds each series by the hash that Hash gave for it, however the body arrives and whichever
// parser reads it; and that each has a hash of its own.
func TestPeekHash(t *testing.T) {
	formats, err := bodytest.InFormats([]byte(hashedBody))
	if err != nil {
		t.Fatal(err)
	}
	seed := maphash.MakeSeed()
	for _, f := range formats {
		format, _ := FormatOf(f.ContentType)
		p := newParser(t, Options{Seed: seed})
		p.ResetBody(bytes.NewReader(f.Bytes), Body{Format: format})
		type key struct {
			n      int
			hash   uint64
			series string
		}
		var keys []key
		met := map[uint64]string{}
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
			k := key{len(p.Series()), p.Hash(), string(p.Series())}
			if other, ok := met[k.hash]; ok {
				t.Errorf("%s: Hash of %q is that of %q", f.Name, k.series, other)
			}
			met[k.hash] = k.series
			keys = append(keys, k)
		}
		if len(keys) != 19 {
			t.Fatalf("%s has %d samples, want 19", f.Name, len(keys))
		}
		for _, way := range []string{"in a piece", "byte by byte", "guessed"} {
			q := newParser(t, Options{Seed: seed})
			q.ResetBody(bytes.NewReader(f.Bytes), Body{Format: format})
			if way == "byte by byte" {
				q.ResetBody(iotest.OneByteReader(bytes.NewReader(f.Bytes)), Body{Format: format})
			}
			for i := 0; i < len(keys); {
				k := keys[i]
				if n := q.Guess(); way == "guessed" && n != 0 && n != k.n {
					t.Fatalf("%s, %s: Guess before %q = %d, want %d", f.Name, way, k.series, n, k.n)
				}
				for _, n := range []int{k.n - 1, k.n + 1} {
					if hash, ok := q.PeekHash(n); ok && hash == k.hash {
						t.Errorf("%s, %s: PeekHash(%d) is the hash of %q, which has %d bytes", f.Name, way, n, k.series, k.n)
					}
				}
				hash, ok := q.PeekHash(k.n)
				if b := q.Peek(k.n); (b != nil) != ok {
					t.Fatalf("%s, %s: PeekHash says %v before %q, and Peek %q", f.Name, way, ok, k.series, b)
				}
				if ok && hash == k.hash && q.Take(k.n) {
					i++
					continue
				}
				if kind, err := q.Next(); err != nil || kind == KindNone || kind == KindSample {
					t.Fatalf("%s, %s: Next = %v, %v before %q, want metadata", f.Name, way, kind, err, k.series)
				}
			}
		}
	}
}
