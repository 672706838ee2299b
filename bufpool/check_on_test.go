//go:build race || bufcheck

package bufpool_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"scraper/bufpool"
	"scraper/bufpool/bufpooltest"
)

// wantPanic runs f and checks that it panics with all the given words.
func wantPanic(t *testing.T, f func(), words ...string) {
	t.Helper()
	defer func() {
		t.Helper()
		msg := fmt.Sprint(recover())
		for _, w := range words {
			if !strings.Contains(msg, w) {
				t.Errorf("panic %q, want one with %q", msg, w)
			}
		}
	}()
	f()
}

func TestGetIsPoisoned(t *testing.T) {
	p := bufpooltest.New(t)
	check := func(b *bufpool.Buf) {
		t.Helper()
		if all := b.B[len(b.B):cap(b.B)]; bytes.Count(all, []byte{0xA5}) != len(all) {
			t.Error("Get or Grow did not fill the buffer with 0xA5")
		}
	}
	b := p.Get(1000)
	check(b)
	b.B = append(b.B, "secret"...)
	b.Grow(5000)
	check(b)
	if string(b.B) != "secret" {
		t.Errorf("B = %q after Grow, want %q", b.B, "secret")
	}
	release(p, b)
	b = p.Get(5000)
	check(b)
	b.Release()
}

// TestLateWriter has to hide its writes from the race detector, which would find them first.
func TestLateWriter(t *testing.T) {
	for _, at := range []int{0, 1, 777, 1023} {
		p, err := bufpool.New(bufpool.Options{})
		if err != nil {
			t.Fatal(err)
		}
		b := p.Get(1024)
		mem := b.B[:1024]
		b.Release()
		p.WriteLate(mem, at)
		wantPanic(t, func() { p.Shrink() }, fmt.Sprintf("bufpool: byte %d of a buffer of 1024", at), "got by:", "first released by:", "check_on_test.go")
	}
}

// TestLateWriterIsFoundDuringUse needs no Shrink: the quarantine is first in, first out, and bounded.
func TestLateWriterIsFoundDuringUse(t *testing.T) {
	for _, c := range []struct{ bytes, bound int }{
		{512, 256},    // buffers
		{1 << 20, 16}, // 16 MiB
	} {
		p, err := bufpool.New(bufpool.Options{})
		if err != nil {
			t.Fatal(err)
		}
		b := p.Get(c.bytes)
		mem := b.B[:1]
		b.Release()
		p.WriteLate(mem, 0)
		for range c.bound - 1 {
			p.Get(c.bytes).Release()
		}
		wantPanic(t, func() { p.Get(c.bytes).Release() }, "bufpool: byte 0 of a buffer")
	}
}

func TestMemoryUnderTwoHandles(t *testing.T) {
	p, err := bufpool.New(bufpool.Options{})
	if err != nil {
		t.Fatal(err)
	}
	a, b := p.Get(512), p.Get(512)
	b.B = a.B
	a.Release()
	wantPanic(t, b.Release, "bufpool: Release of memory which another Buf released before", "check_on_test.go")
}

func TestLostFront(t *testing.T) {
	p, err := bufpool.New(bufpool.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b := p.Get(512)
	b.B = b.B[:100][10:]
	wantPanic(t, b.Release, "bufpool: Release of a buffer whose B lost its front", "check_on_test.go")
}

func TestHolders(t *testing.T) {
	p := bufpooltest.New(t)
	b := p.Get(1)
	if h := p.Holders(); len(h) != 1 || !strings.Contains(h[0], "TestHolders") {
		t.Errorf("Holders() = %q, want one stack with TestHolders", h)
	}
	b.Release()
	if h := p.Holders(); len(h) != 0 {
		t.Errorf("Holders() = %q after Release, want none", h)
	}
}
