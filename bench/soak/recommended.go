package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"
)

// recommendable is a load for which a limit is recommended.
type recommendable struct{ targets, series int }

func (l recommendable) String() string { return fmt.Sprintf("%d × %d", l.targets, l.series) }

// recommended runs loads without a limit, and again in a control group of the limit which the agent recommends for them: there
// the level must stay normal. The long form also looks for the smallest limits, to see how generous that is.
func recommended(ctx context.Context, t *trial) error {
	loads := []recommendable{{100, 1000}, {100, 5000}, {1, 200_000}}
	if t.form == short {
		loads = []recommendable{{20, 500}}
	}
	for _, l := range loads {
		free, err := t.levelIn(ctx, l, 0)
		if err != nil {
			return fmt.Errorf("%v: %w", l, err)
		}
		in, err := t.levelIn(ctx, l, free.recommended)
		if err != nil {
			return fmt.Errorf("%v in %d MiB: %w", l, free.recommended>>20, err)
		}
		t.figure("%v: %.1f MiB used, %.1f resident, recommended %d MiB; in that %.1f MiB used, %.1f resident, working set %.1f", l,
			mib(free.used), mib(free.anon), free.recommended>>20, mib(in.used), mib(in.anon), mib(in.set))
		t.want(in.alive && len(in.levels) == 0, "%v: in the recommended %d MiB the level was %s (alive: %v)", l, free.recommended>>20, strings.Join(in.levels, ", "), in.alive)
		if t.form != long {
			continue
		}
		if err := t.smallestLevels(ctx, l, free.recommended); err != nil {
			return err
		}
	}
	return nil
}

// smallestLevels tells how far below the recommended limit one can go.
func (t *trial) smallestLevels(ctx context.Context, l recommendable, from int64) error {
	const step = 8 << 20
	normal, whole, why, all := from, from, "", ""
	for size := from - step; size > step && whole == size+step; size -= step {
		in, err := t.levelIn(ctx, l, size)
		all += fmt.Sprintf("; in %d MiB %.1f used, %.1f resident, %s", size>>20, mib(in.used), mib(in.anon), cmp.Or(strings.Join(in.levels, ", "), "normal"))
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case !in.alive:
			why = "it died"
		case err != nil:
			why = err.Error()
		case len(in.short) > 0:
			why = strings.Join(in.short, ", ")
		default:
			whole = size
			if normal == size+step && len(in.levels) == 0 {
				normal = size
			}
		}
	}
	t.figure("%v: the level stays normal down to %d MiB, nothing is left out down to %d, but below: %s%s", l, normal>>20, whole>>20, why, all)
	return nil
}

// stay is what was seen of an agent under a load.
type stay struct {
	used, anon, set int64
	recommended     int64
	levels          []string // which were reached, but for normal
	short           []string // what was left out, counted
	alive           bool     // as long as it should
}

// levelIn runs an agent in a group of so many bytes, 0: without one, until its targets were scraped some times.
func (t *trial) levelIn(ctx context.Context, l recommendable, size int64) (s stay, err error) {
	interval, scrapes := pick(t.form, time.Second, 5*time.Second, 5*time.Second), pick(t.form, 4, 6, 6)
	r, err := t.rig(ctx, rigOptions{limit: size})
	if err != nil {
		return stay{alive: true}, err
	}
	defer r.close()
	targets, err := r.load(ctx, l.targets, l.series, interval)
	if err != nil {
		return stay{alive: true}, err
	}
	begun := time.Now()
	err = r.scraped(ctx, targets, scrapes, time.Duration(scrapes)*interval+40*time.Second)
	if err == nil {
		err = r.wait(ctx, 2*time.Second) // it looks at itself once a second
	}
	select {
	case <-r.process.Done():
		return s, err
	default:
		s.alive = true
	}
	if err != nil {
		return s, err
	}
	m, err := r.metrics()
	if err != nil {
		return s, err
	}
	page, err := r.page()
	if err != nil {
		return s, err
	}
	for _, level := range []string{"elevated", "high", "critical"} {
		if n := m[`scraper_memlimit_level_changes_total{level="`+level+`"}`]; n > 0 {
			s.levels = append(s.levels, level)
		}
	}
	s.short, _ = m.shed()
	s.used, s.recommended = page.Budget.MostUsedBytes, page.Budget.RecommendedBytes
	_, s.anon, _, s.set = r.samples.Between(begun, time.Now())
	return s, nil
}
