package bufpooltest

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"scraper/bufpool"
)

// recorder is a testing.TB which keeps cleanups and failures for itself.
type recorder struct {
	testing.TB
	cleanups []func()
	errors   []string
}

func (r *recorder) Helper()          {}
func (r *recorder) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Error(args ...any) {
	for _, a := range args {
		r.errors = append(r.errors, a.(string))
	}
}

func (r *recorder) end() string {
	for _, f := range r.cleanups {
		f()
	}
	return strings.Join(r.errors, "\n")
}

func TestNew(t *testing.T) {
	f := func(name string, use func(*bufpool.Pool), want ...string) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			r := &recorder{TB: t}
			use(New(r))
			got := r.end()
			if len(want) == 0 && got != "" {
				t.Errorf("%s: the test failed with %q, want success", name, got)
			}
			for _, w := range want {
				if !strings.Contains(got, w) {
					t.Errorf("%s: the test failed with %q, want %q in it", name, got, w)
				}
			}
		})
	}
	f("no use", func(*bufpool.Pool) {})
	f("get and release", func(p *bufpool.Pool) { p.Get(10).Release() })
	f("late release by another goroutine", func(p *bufpool.Pool) {
		b := p.Get(10)
		go func() {
			time.Sleep(time.Second)
			b.Release()
		}()
	})
	want := []string{"1 of 2 buffers (1024 bytes) were not released"}
	if bufpool.Checked {
		want = append(want, "got by:", "bufpooltest_test.go")
	} else {
		want = append(want, "-tags bufcheck")
	}
	f("forgotten", func(p *bufpool.Pool) {
		p.Get(10).Release()
		p.Get(1000)
	}, want...)
}
