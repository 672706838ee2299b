package scrape

import (
	"context"
	"slices"
	"sync"
	"time"
)

// lifetime is the context of one scrape: it ends when its time is over, or when the scrape is given up. It is a context
// of its own because those of package context, one for the deadline, one for the cause and one for each that waits for
// them, take a kilobyte together, and a thousand targets may be waited for at a time.
//
// Err returns the cause itself, which is context.DeadlineExceeded or context.Canceled in the eyes of errors.Is.
type lifetime struct {
	deadline time.Time // immutable

	mu    sync.Mutex
	timer *time.Timer
	err   error
	done  chan struct{} // nil until somebody asks for it
	hooks []*hook
}

type hook struct{ f func() }

// newLifetime returns a lifetime which expires at the deadline, with the cause late.
func newLifetime(deadline time.Time, late error) *lifetime {
	l := &lifetime{deadline: deadline}
	l.mu.Lock() // which an early end waits for
	defer l.mu.Unlock()
	l.timer = time.AfterFunc(time.Until(deadline), func() { l.end(late) })
	return l
}

// end ends the lifetime for the given cause, unless it has ended. What AfterFunc was given is called before it returns.
func (l *lifetime) end(cause error) {
	l.mu.Lock()
	l.timer.Stop()
	if l.err != nil {
		l.mu.Unlock()
		return
	}
	l.err = cause
	if l.done != nil {
		close(l.done)
	}
	hooks := l.hooks
	l.hooks = nil
	l.mu.Unlock()
	for _, h := range hooks {
		h.f()
	}
}

// Deadline implements context.Context.
func (l *lifetime) Deadline() (time.Time, bool) { return l.deadline, true }

// Done implements context.Context.
func (l *lifetime) Done() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.done == nil {
		l.done = make(chan struct{})
		if l.err != nil {
			close(l.done)
		}
	}
	return l.done
}

// Err implements context.Context.
func (l *lifetime) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Value implements context.Context.
func (l *lifetime) Value(any) any { return nil }

// AfterFunc has f called when the lifetime ends, by the goroutine that ends it; if it has ended, at once, by a goroutine of
// its own: package context, which knows the method, as our transport does, holds a lock meanwhile which f takes. The
// returned function takes f back, and reports whether it did.
func (l *lifetime) AfterFunc(f func()) (stop func() bool) {
	h := &hook{f}
	l.mu.Lock()
	ended := l.err != nil
	if !ended {
		l.hooks = append(l.hooks, h)
	}
	l.mu.Unlock()
	if ended {
		go f()
		return func() bool { return false }
	}
	return func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		i := slices.Index(l.hooks, h)
		if i >= 0 {
			l.hooks = slices.Delete(l.hooks, i, i+1)
		}
		return i >= 0
	}
}

// giveUp is why a scrape is ended which did nothing wrong. Nothing is sent then.
type giveUp string

func (e giveUp) Error() string { return string(e) }

// Is makes it a cancellation for those who know contexts only.
func (e giveUp) Is(target error) bool { return target == context.Canceled }
