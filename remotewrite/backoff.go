package remotewrite

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// backoff is the time between attempts: it doubles from min to max.
type backoff struct {
	min, max time.Duration
	last     time.Duration // without jitter; 0 at first
}

// next returns how long to wait before the next attempt, from min to max. RetryAfter is what the receiver asked for, 0 if
// it did not ask. The jitter, up to a quarter, keeps agents which failed together from coming back together.
func (b *backoff) next(retryAfter time.Duration) time.Duration {
	b.last = min(max(2*b.last, b.min), b.max)
	if retryAfter > 0 { // not before, so the jitter only adds
		d := max(retryAfter, b.min)
		return min(d+jitter(d/10), b.max)
	}
	if d := b.last + jitter(b.last/4); d <= b.max {
		return d
	}
	return max(b.max-jitter(b.max/4), b.min)
}

func (b *backoff) reset() { b.last = 0 }

func jitter(upTo time.Duration) time.Duration {
	if upTo <= 0 {
		return 0
	}
	return rand.N(upTo)
}

// retryAfter is the answer's wish to be left alone, 0 if it has none or none that is understood.
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := strings.TrimSpace(h.Get("Retry-After"))
	if v == "" {
		return 0
	}
	if secs, err := strconv.ParseInt(v, 10, 64); err == nil {
		// A day is beyond every bound, and does not overflow.
		return time.Duration(min(max(secs, 0), 86400)) * time.Second
	}
	if t, err := http.ParseTime(v); err == nil {
		return max(0, t.Sub(now))
	}
	return 0
}
