package scrape

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A lifetime is a context for everybody: those of package context made of it, too.
func TestLifetime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		late := &TimeoutError{time.Second}
		for _, c := range []struct {
			end  func(*lifetime)
			want error
			is   error
		}{
			{func(*lifetime) { time.Sleep(time.Second) }, late, context.DeadlineExceeded},
			{func(l *lifetime) { l.end(errRemoved) }, errRemoved, context.Canceled},
		} {
			l := newLifetime(time.Now().Add(time.Second), late)
			child, cancel := context.WithCancel(l)
			defer cancel()
			var called []string
			kept := l.AfterFunc(func() { called = append(called, "kept") })
			taken := l.AfterFunc(func() { called = append(called, "taken") })
			if !taken() || taken() {
				t.Error("stop = false or twice true, want true once")
			}
			if l.Err() != nil || child.Err() != nil {
				t.Errorf("Err() before the end = %v and %v, want nil", l.Err(), child.Err())
			}
			c.end(l)
			synctest.Wait()
			<-l.Done()
			<-child.Done()
			if !errors.Is(l.Err(), c.want) || !errors.Is(l.Err(), c.is) || !errors.Is(context.Cause(child), c.want) {
				t.Errorf("Err() = %v, and a child's cause is %v, want %v", l.Err(), context.Cause(child), c.want)
			}
			if len(called) != 1 || called[0] != "kept" || kept() {
				t.Errorf("%v were called, want those which were not taken back", called)
			}
			l.end(errStopping)
			if !errors.Is(l.Err(), c.want) {
				t.Errorf("Err() after a second end = %v, want the first cause", l.Err())
			}
			// Package context holds a lock which the function takes.
			var mu sync.Mutex
			mu.Lock()
			l.AfterFunc(func() {
				mu.Lock()
				defer mu.Unlock()
				called = append(called, "at once")
			})
			mu.Unlock()
			synctest.Wait()
			if len(called) != 2 {
				t.Error("AfterFunc after the end did not call")
			}
		}
	})
}
