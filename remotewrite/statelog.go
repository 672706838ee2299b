package remotewrite

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	// logEvery is how often a state which lasts is told again.
	logEvery = 5 * time.Minute
	// logGap is the least time between two changes of state which are told.
	logGap = 30 * time.Second
)

// stateLog tells a log about changes of state, and about a state that lasts now and then, with what happened meanwhile.
// Of a state which comes and goes all the time only some changes are told.
type stateLog struct {
	log *slog.Logger

	mu        sync.Mutex
	since     time.Time // of the first failure; zero when all is well
	told      bool      // that it fails
	lastTold  time.Time
	failures  int // since the first one
	untold    int // events since the last line
	untoldSum int // of what they count
}

// failed notes a failure. Attrs are added to the line, if there is one.
func (s *stateLog) failed(msg string, attrs ...slog.Attr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if s.since.IsZero() {
		s.since, s.failures = now, 0
	}
	s.failures++
	gap := logGap
	if s.told {
		gap = logEvery
	}
	if !s.lastTold.IsZero() && now.Sub(s.lastTold) < gap {
		return
	}
	s.lastTold, s.told = now, true
	if s.failures > 1 {
		attrs = append(attrs, slog.Int("failures", s.failures), slog.Duration("for", now.Sub(s.since).Round(time.Second)))
	}
	s.log.LogAttrs(context.Background(), slog.LevelWarn, msg, attrs...) //nolint:sloglint // callers pass constants
}

// recovered notes that all is well.
func (s *stateLog) recovered(msg string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.since.IsZero() {
		return
	}
	if s.told {
		s.log.LogAttrs(context.Background(), slog.LevelInfo, msg, //nolint:sloglint // callers pass constants
			slog.Int("failures", s.failures), slog.Duration("after", time.Since(s.since).Round(time.Millisecond)))
	}
	s.since, s.told = time.Time{}, false
}

// event notes something that concerns n samples and which has no end.
func (s *stateLog) event(msg string, n int, attrs ...slog.Attr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.untold++
	s.untoldSum += n
	if !s.lastTold.IsZero() && now.Sub(s.lastTold) < logEvery {
		return
	}
	attrs = append(attrs, slog.Int("samples", s.untoldSum), slog.Int("times", s.untold))
	s.lastTold, s.untold, s.untoldSum = now, 0, 0
	s.log.LogAttrs(context.Background(), slog.LevelWarn, msg, attrs...) //nolint:sloglint // callers pass constants
}
