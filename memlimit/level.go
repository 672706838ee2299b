package memlimit

import "time"

// Level says how short memory is.
type Level uint8

// The levels, and from which part of the limit on they hold. Without a budget it is always Normal.
const (
	// Normal asks for nothing.
	Normal Level = iota
	// Elevated, from 60 %: owners give back what they can do without.
	Elevated
	// High, from 75 %: nothing new is taken in.
	High
	// Critical, from 90 %: work is skipped.
	Critical
)

// String returns the level's name, as in logs and metrics.
func (l Level) String() string { return [...]string{"normal", "elevated", "high", "critical"}[l] }

const (
	// margin is how far below a level's threshold the fill must be before the level falls: what one scrape of a large
	// target moves in a small container.
	margin = 0.05
	// calm is for how long. Owners which were asked to release need a moment, and whoever was held back must not all come
	// back between two collections.
	calm = 10 * time.Second
)

// from is the part of the limit from which on a level holds.
func (l Level) from() float64 { return [...]float64{0, 0.60, 0.75, 0.90}[l] }

// levelOf is the level without hysteresis.
func levelOf(fill float64) Level {
	for l := Critical; l > Normal; l-- {
		if fill >= l.from() {
			return l
		}
	}
	return Normal
}

// ladder is the level with hysteresis: it rises at once, as far as needed, and falls step by step, each after having been
// calm.
type ladder struct {
	level Level
	since time.Time // from when on a lower level would do; zero if it would not
}

// step takes how full the limit is now, and whether the collector is at work all the time, which counts for one level more.
func (l *ladder) step(now time.Time, fill float64, collecting bool) Level {
	of := func(fill float64) Level {
		level := levelOf(fill)
		if collecting {
			level = min(level+1, Critical)
		}
		return level
	}
	switch {
	case of(fill) >= l.level:
		l.level, l.since = of(fill), time.Time{}
	case of(fill+margin) >= l.level:
		l.since = time.Time{}
	case l.since.IsZero():
		l.since = now
	case now.Sub(l.since) >= calm:
		l.level--
		l.since = now
	}
	return l.level
}
