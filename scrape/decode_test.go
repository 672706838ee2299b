package scrape

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// Idle decoders are kept for the next bodies, counted, and let go of once nobody needs them.
func TestDecodersGiveMemoryBack(t *testing.T) {
	ds := newDecoders(2)
	text := strings.Repeat("m 1\n", 100)
	read := func(n int, body []byte, open func(io.Reader) (*decoder, error)) {
		t.Helper()
		var all []*decoder
		for range n {
			d, err := open(bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, d)
		}
		for _, d := range all {
			if got, err := io.ReadAll(d); string(got) != text || err != nil {
				t.Errorf("ReadAll = %d bytes, %v, want %d", len(got), err, len(text))
			}
			ds.put(d)
		}
	}
	read(3, gzipped(text), ds.gzipped)
	if got := ds.bytes(); got != 2*gzipBytes {
		t.Errorf("bytes() after three bodies at once = %d, want those of two decoders", got)
	}
	read(3, zstandard(text), ds.zstandard)
	if n := len(ds.zstd); n != 2 {
		t.Errorf("%d zstd decoders are idle, want 2", n)
	}
	if freed := ds.trim(); freed != 0 || len(ds.gzip) != 2 {
		t.Errorf("trim() = %d, want 0: all of them were in use since the last one", freed)
	}
	read(1, gzipped(text), ds.gzipped)
	if freed := ds.trim(); freed < gzipBytes+2*zstdBytes || len(ds.gzip) != 1 || len(ds.zstd) != 0 {
		t.Errorf("trim() = %d with %d and %d left, want what was idle gone", freed, len(ds.gzip), len(ds.zstd))
	}
	if freed := ds.shrink(); freed != gzipBytes || ds.bytes() != 0 {
		t.Errorf("shrink() = %d, and then bytes() = %d, want %d and 0", freed, ds.bytes(), gzipBytes)
	}
}

// A decoder which has had a large window is not kept.
func TestLargeWindowsAreNotKept(t *testing.T) {
	ds := newDecoders(2)
	text := strings.Repeat("# a comment\n", 1<<18)
	d, err := ds.zstandard(bytes.NewReader(zstandard(text, zstd.WithWindowSize(2<<20))))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, d); err != nil {
		t.Error(err)
	}
	if got := ds.bytes(); got < 2<<20 {
		t.Errorf("bytes() = %d, want the window in it", got)
	}
	ds.put(d)
	if got := ds.bytes(); got != 0 {
		t.Errorf("bytes() = %d, want 0", got)
	}
}
