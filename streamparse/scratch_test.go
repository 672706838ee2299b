package streamparse

import (
	"fmt"
	"strings"
	"testing"

	"scraper/bufpool"
)

// TestCloseTellsWhatItReleases: an ordinary body's scratch is kept, and what an unusual one took is told when it goes.
func TestCloseTellsWhatItReleases(t *testing.T) {
	pool, err := bufpool.New(bufpool.Options{})
	if err != nil {
		t.Fatal(err)
	}
	p := New(Options{Pool: pool, MaxLineBytes: 4 << 20})
	read := func(body string) int64 {
		p.Reset(strings.NewReader(body))
		for {
			switch kind, err := p.Next(); {
			case err != nil:
				t.Fatal(err)
			case kind == KindNone:
				return p.Close()
			}
			p.AppendLabels(nil)
		}
	}
	var many strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&many, "l%d=\"v\",", i)
	}
	long := `m{l="` + strings.Repeat(`\\`, 1<<20) + "\"} 1\n"
	for range 2 {
		if n := read("m{a=\"b\",c=\"\\\"\"} 1\n"); n != 0 {
			t.Errorf("after an ordinary body %d bytes are released, want none", n)
		}
		if n := read("m{" + many.String() + "} 1\n"); n < 5000*32 {
			t.Errorf("after 5,000 labels %d bytes are released, want those of the labels", n)
		}
		if n := read(long); n < 4<<20 {
			t.Errorf("after a label of 2 MiB with escapes %d bytes are released, want those of the window", n)
		}
	}
}
