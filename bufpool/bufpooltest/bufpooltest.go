// Package bufpooltest gives tests a buffer pool which notices what they forget.
//
// It is for tests alone. A pool belongs to one test and may be used by all goroutines of it. Builds with -race or
// -tags bufcheck say who got a forgotten buffer, and find late writers; others only say that one is missing.
package bufpooltest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"scraper/bufpool"
)

// patience is how long buffers may stay out after the test: net/http, for one, closes request bodies in a goroutine of
// its own, after the call has returned.
const patience = 2 * time.Second

// New returns a pool with the default options, whose cleanup fails the test when a buffer was not released, or was
// written to after its release. Call it before what uses the pool is started, so that its cleanup runs last.
func New(t testing.TB) *bufpool.Pool {
	t.Helper()
	return NewWith(t, bufpool.Options{})
}

// NewWith is New with options.
func NewWith(t testing.TB, opts bufpool.Options) *bufpool.Pool {
	t.Helper()
	p, err := bufpool.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		t.Helper()
		if msg := verdict(p, patience); msg != "" {
			t.Error(msg)
		}
	})
	return p
}

// verdict says what is wrong with p at the end of a test, or nothing.
func verdict(p *bufpool.Pool, patience time.Duration) (msg string) {
	deadline := time.Now().Add(patience)
	for p.Stats().Total.InUse != 0 && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	var out strings.Builder
	if s := p.Stats().Total; s.InUse != 0 {
		fmt.Fprintf(&out, "bufpool: %d of %d buffers (%d bytes) were not released\n", s.InUse, s.Gets, s.InUseBytes)
		if !bufpool.Checked {
			fmt.Fprintf(&out, "run the test with -tags bufcheck or -race to see who got them\n")
		}
		for i, h := range p.Holders() {
			if i == 10 {
				fmt.Fprintf(&out, "…\n")
				break
			}
			fmt.Fprintf(&out, "got by:\n%s\n", h)
		}
	}
	defer func() {
		if r := recover(); r != nil {
			fmt.Fprintln(&out, r)
		}
		msg = out.String()
	}()
	p.Shrink() // empties the quarantine of a checked build, and panics when a buffer was changed there
	return ""
}
