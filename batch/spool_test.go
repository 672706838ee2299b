package batch

import (
	"log/slog"
	"os"
	"runtime"
	"strings"
	"testing"

	"scraper/bufpool/bufpooltest"
	"scraper/labelset"
)

// TestSpooledEqualsPlain pins that rows come back the same, in order, from memory and from the file.
func TestSpooledEqualsPlain(t *testing.T) {
	dir := t.TempDir()
	spool := NewSpool(SpoolOptions{Dir: dir})
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

// wantRows reads a batch of Append(i, i).
func wantRows(t *testing.T, b *Batch, want int) {
	t.Helper()
	n := 0
	c := b.Cursor()
	for ; c.Next(); n++ {
		if c.Set != labelset.ID(n) || c.Value != float64(n) {
			t.Fatalf("row %d is %d %v", n, c.Set, c.Value)
		}
	}
	if b.Err() != nil || c.Err() != nil || n != want || b.Len() != want {
		t.Errorf("%d rows, Len() = %d, errors %v and %v, want %d rows", n, b.Len(), b.Err(), c.Err(), want)
	}
}

func appendRows(b *Batch, from, to int) {
	for i := from; i < to; i++ {
		b.Append(labelset.ID(i), float64(i))
	}
}

// TestSpoolWithoutDisk: what cannot be written stays in memory, which is told of once, and goes to the file once that is
// possible.
func TestSpoolWithoutDisk(t *testing.T) {
	file := t.TempDir() + "/file"
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	spool := NewSpool(SpoolOptions{Dir: file, Logger: slog.New(slog.NewTextHandler(&log, nil))}) // a file is not a directory
	b := NewSpooled(bufpooltest.New(t), spool)
	const rows = 300_000
	appendRows(b, 0, rows)
	wantRows(t, b, rows)
	if got := b.Bytes(); got < rows*plainRowBytes || b.MostBytes() != got {
		t.Errorf("Bytes() = %d, MostBytes() = %d, want all %d", got, b.MostBytes(), rows*plainRowBytes)
	}
	if got := spool.MemoryOf(1 << 30); got != 1<<30 {
		t.Errorf("MemoryOf(1 GiB) = %d without a disk", got)
	}
	failures := spool.Stats().Failures
	if failures == 0 || failures > 10 {
		t.Errorf("it was tried %d times to write a file, want a few", failures)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	appendRows(b, rows, 2*rows)
	wantRows(t, b, 2*rows)
	if got := b.Bytes(); got > 3*chunkBytes || b.MostBytes() < rows*plainRowBytes {
		t.Errorf("Bytes() = %d, MostBytes() = %d once there is a disk", got, b.MostBytes())
	}
	if got := spool.MemoryOf(1 << 30); got != 2*chunkBytes {
		t.Errorf("MemoryOf(1 GiB) = %d with a disk", got)
	}
	if n := strings.Count(log.String(), "\n"); n != 2 || !strings.Contains(log.String(), "level=WARN") || !strings.Contains(log.String(), "level=INFO") {
		t.Errorf("log:\n%swant a warning, and that it is over", log.String())
	}
	b.Reset()
	if got := spool.Stats(); got.Bytes != 0 || got.Failures != failures || b.MostBytes() != 0 {
		t.Errorf("after Reset: %+v, MostBytes() = %d", got, b.MostBytes())
	}
	if err := spool.Close(); err != nil {
		t.Error(err)
	}
}

// TestSpoolIsBounded: all files together hold no more than they may, one of them leaves half of it to others, and a batch is
// whole all the same.
func TestSpoolIsBounded(t *testing.T) {
	const most = 1 << 20
	spool := NewSpool(SpoolOptions{Dir: t.TempDir(), MaxBytes: most})
	pool := bufpooltest.New(t)
	const rows = 200_000 // 2.4 MB each
	var all []*Batch
	before := int64(0)
	for i := range 4 {
		b := NewSpooled(pool, spool)
		all = append(all, b)
		appendRows(b, 0, rows)
		got := spool.Stats()
		if share := got.Bytes - before; share == 0 && i < 3 || share > (most-before)/2 || got.Bytes > most || got.Failures == 0 {
			t.Errorf("file %d took %d bytes beside %d, of %d, with %d failures", i, share, before, most, got.Failures)
		}
		before = got.Bytes
	}
	for _, b := range all {
		wantRows(t, b, rows)
		b.Reset()
	}
	f, err := spool.Take()
	if err != nil {
		t.Fatal(err)
	}
	if n, err := f.Append(make([]byte, most/2)); n != most/2 || err != nil {
		t.Errorf("Append(%d bytes) = %d, %v, want room again", most/2, n, err)
	}
	if n, err := f.Append(make([]byte, 1)); n != 0 || err == nil || !strings.Contains(err.Error(), "-promscrape.maxBatchDisk") {
		t.Errorf("Append beyond the limit = %d, %v, want an error which names the setting", n, err)
	}
	spool.Return(f)
	if got := spool.Stats().Bytes; got != 0 {
		t.Errorf("the files hold %d bytes after Return", got)
	}
	if err := spool.Close(); err != nil {
		t.Error(err)
	}
}

// TestDiskFull: what a full disk took of a batch, and what it did not take, come back in order.
func TestDiskFull(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("there is no /dev/full but in Linux")
	}
	spool := NewSpool(SpoolOptions{Dir: t.TempDir()})
	pool := bufpooltest.New(t)
	b := NewSpooled(pool, spool)
	appendRows(b, 0, 50_000)
	good := b.file.f.f
	full, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	b.file.f.f = full
	appendRows(b, 50_000, 150_000)
	failures, bytes := spool.Stats().Failures, spool.Stats().Bytes
	if failures == 0 {
		t.Error("the disk was not full")
	}
	b.file.f.f = good
	appendRows(b, 150_000, 400_000)
	wantRows(t, b, 400_000)
	if got := spool.Stats(); got.Failures != failures || got.Bytes <= bytes {
		t.Errorf("%+v once there was room again, after %d failures at %d bytes", got, failures, bytes)
	}
	b.Reset()
	if err := full.Close(); err != nil {
		t.Error(err)
	}
	if err := spool.Close(); err != nil {
		t.Error(err)
	}
}

// TestCursorSaysWhatItCouldNotRead pins that a file which lost its end is noticed.
func TestCursorSaysWhatItCouldNotRead(t *testing.T) {
	spool := NewSpool(SpoolOptions{Dir: t.TempDir()})
	b := NewSpooled(bufpooltest.New(t), spool)
	for i := range 50_000 {
		b.Append(labelset.ID(i), 1)
	}
	if err := b.file.f.f.Truncate(chunkBytes); err != nil {
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
