package batch

import (
	"math"
	"os"
	"strings"
	"testing"

	"scraper/bufpool/bufpooltest"
	"scraper/labelset"
)

// TestSpooledEqualsPlain pins that rows come back the same, in order, from memory and from the file.
func TestSpooledEqualsPlain(t *testing.T) {
	dir := t.TempDir()
	spool := NewSpool(dir, 0)
	t.Cleanup(func() {
		if err := spool.Close(); err != nil {
			t.Error(err)
		}
	})
	pool := bufpooltest.New(t)
	b := NewSpooled(pool, spool)
	for round, rows := range []int{50_000, 3, 20_000, 100_000} {
		b.TimestampMillis = int64(round)
		for i := range rows {
			if i%5 == 0 {
				b.AppendTimed(labelset.ID(i), float64(i)/3, int64(i)+1e12)
			} else {
				b.Append(labelset.ID(i), float64(i)/3)
			}
		}
		if err := b.Err(); err != nil {
			t.Fatal(err)
		}
		if spooled := b.file != nil; spooled != (rows > 15_000) {
			t.Errorf("%d rows: spooled = %v", rows, spooled)
		}
		if got := b.Bytes(); got > 3*chunkBytes {
			t.Errorf("%d rows take %d bytes of memory", rows, got)
		}
		for range 2 { // rows can be read more than once
			i := 0
			c := b.Cursor()
			for ; c.Next(); i++ {
				wantTime := int64(round)
				if i%5 == 0 {
					wantTime = int64(i) + 1e12
				}
				if c.Set != labelset.ID(i) || c.Value != float64(i)/3 || c.TimestampMillis != wantTime {
					t.Fatalf("row %d is %d %v @%d", i, c.Set, c.Value, c.TimestampMillis)
				}
			}
			if c.Err() != nil || i != rows || b.Len() != rows {
				t.Fatalf("%d of %d rows, error %v", i, rows, c.Err())
			}
		}
		b.Reset()
		if names, err := os.ReadDir(dir); err != nil || len(names) != 0 {
			t.Errorf("the spool's directory holds %v, error %v, want nothing that has a name", names, err)
		}
	}
}

// TestSpoolWithoutDisk pins that a batch which cannot be kept says so, and that the next one can be used.
func TestSpoolWithoutDisk(t *testing.T) {
	file := t.TempDir() + "/file"
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	spool := NewSpool(file, 0) // a file is not a directory
	b := NewSpooled(bufpooltest.New(t), spool)
	for i := range 100_000 {
		b.Append(labelset.ID(i), math.Pi)
	}
	if err := b.Err(); err == nil || !strings.Contains(err.Error(), "-promscrape.maxBatchMemory") {
		t.Errorf("Err() = %v, want one which names the setting", err)
	}
	b.Reset()
	b.Append(1, 1)
	if b.Err() != nil || b.Len() != 1 {
		t.Errorf("after Reset: %v, error %v", b, b.Err())
	}
	b.Reset()
}

// TestCursorSaysWhatItCouldNotRead pins that a file which lost its end is noticed.
func TestCursorSaysWhatItCouldNotRead(t *testing.T) {
	spool := NewSpool(t.TempDir(), 0)
	b := NewSpooled(bufpooltest.New(t), spool)
	for i := range 50_000 {
		b.Append(labelset.ID(i), 1)
	}
	if err := b.file.f.Truncate(chunkBytes); err != nil {
		t.Fatal(err)
	}
	c := b.Cursor()
	n := 0
	for c.Next() {
		n++
	}
	if c.Err() == nil || n >= 50_000 || c.Next() {
		t.Errorf("%d rows of a file that was cut, error %v", n, c.Err())
	}
	b.Reset()
	if err := spool.Close(); err != nil {
		t.Error(err)
	}
}
