package scrape

import (
	"bytes"
	"encoding/binary"
	"fmt"
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
	if freed := ds.trim(); freed < gzipBytes+2*zstdBytes(minZstdWindow) || len(ds.gzip) != 1 || len(ds.zstd) != 0 {
		t.Errorf("trim() = %d with %d and %d left, want what was idle gone", freed, len(ds.gzip), len(ds.zstd))
	}
	if freed := ds.shrink(); freed != gzipBytes || ds.bytes() != 0 {
		t.Errorf("shrink() = %d, and then bytes() = %d, want %d and 0", freed, ds.bytes(), gzipBytes)
	}
}

// zeros returns a zstd frame of n zero bytes, in a few bytes for each 128 KiB: of a single segment, so that its window is as
// large as its content, or with a window of which it tells.
func zeros(n int, windowLog byte) []byte {
	b := []byte{0x28, 0xb5, 0x2f, 0xfd}
	if windowLog > 0 {
		b = append(b, 0, (windowLog-10)<<3)
	} else {
		b = binary.LittleEndian.AppendUint32(append(b, 2<<6|1<<5), uint32(n))
	}
	for n > 0 {
		const runOf = 1 << 1
		size := min(n, zstdBlock)
		n -= size
		head := uint32(size<<3 | runOf)
		if n == 0 {
			head |= 1
		}
		b = append(b, byte(head), byte(head>>8), byte(head>>16), 0)
	}
	return b
}

// Whatever way a body takes to a large window, it is counted before the first byte is read, and is not kept.
func TestWindowsAreKnownBeforehand(t *testing.T) {
	skippable := []byte{0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 'a', 'b', 'c'}
	f := func(name string, body []byte, window int64, want string) {
		t.Helper()
		ds := newDecoders(2)
		d, err := ds.zstandard(bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if got := ds.bytes(); got != zstdBytes(window) {
			t.Errorf("%s: bytes() before the first Read = %d, want %d", name, got, zstdBytes(window))
		}
		_, err = io.Copy(io.Discard, d)
		if got := fmt.Sprint(err); !strings.Contains(got, want) {
			t.Errorf("%s: Copy = %s, want %s", name, got, want)
		}
		ds.put(d)
		if kept := len(ds.zstd) > 0; kept != (window <= keepWindow) {
			t.Errorf("%s: the decoder is kept: %t", name, kept)
		}
	}
	const good, over = "<nil>", "zstd: window size exceeded"
	f("small", zeros(1000, 0), minZstdWindow, good)
	f("of one MiB", zeros(1<<20, 20), 1<<20, good)
	f("a large segment", zeros(8<<20, 0), 8<<20, good)
	f("a large window", zeros(1000, 23), 8<<20, good)
	f("larger than any may be", zeros(1000, 24), 8<<20, over)
	f("a segment larger than any may be", zeros(8<<20+1, 0), 8<<20, over)
	f("behind what is skipped", append(skippable, zeros(8<<20, 0)...), 8<<20, good)
	f("in the second frame", append(zeros(1000, 0), zeros(1<<20, 0)...), minZstdWindow, over)
	f("in the second frame, as in the first", append(zeros(2<<20, 0), zeros(2<<20, 21)...), 2<<20, good)
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
