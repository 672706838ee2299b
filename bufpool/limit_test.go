package bufpool_test

import (
	"testing"

	"scraper/bufpool/bufpooltest"
)

// TestIdleLimitFollows pins that a smaller bound on what lies idle holds at once, and a larger one from then on.
func TestIdleLimitFollows(t *testing.T) {
	p := bufpooltest.New(t)
	f := func(when string, wantIdle, wantMax int64) {
		t.Helper()
		release(p, getN(p, 10, 64<<10)...)
		if s := p.Stats(); s.Total.IdleBytes != wantIdle || s.MaxIdleBytes != wantMax {
			t.Errorf("%s: %d bytes idle of %d at most, want %d of %d", when, s.Total.IdleBytes, s.MaxIdleBytes, wantIdle, wantMax)
		}
	}
	f("at first", 640<<10, 8<<20)
	p.SetMaxIdleBytes(128 << 10)
	if got := p.Stats().Total.IdleBytes; got > 128<<10 {
		t.Errorf("%d bytes idle after the bound fell to 128 KiB", got)
	}
	f("with less", 128<<10, 128<<10)
	p.SetMaxIdleBytes(256 << 10)
	f("with more", 256<<10, 256<<10)
	p.SetMaxIdleBytes(-1)
	f("with nothing", 0, 0)
	p.SetMaxIdleBytes(0)
	f("with the default", 640<<10, 8<<20)
}
