package main

import (
	"context"
	"fmt"
	"sort"
	"strings"
	"time"

	"scraper/bench/agent"
)

// sizes are the limits which the search tries, in MiB.
func sizes() []int64 {
	return []int64{32, 40, 48, 56, 64, 72, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 640, 768, 896, 1024, 1280, 1536, 2048}
}

// smallest searches the smallest limit in which the agent and its peers deliver 99.9 % of 200 targets of 5,000 series each
// every 10 s, whose labels differ per target, and leave out nothing.
func smallest(ctx context.Context, t *trial) error {
	for _, a := range append([]*agent.Agent{t.agent}, t.peers...) {
		var err error
		reason, all := "", sizes()
		i := sort.Search(len(all), func(i int) bool {
			if err != nil || ctx.Err() != nil {
				return true
			}
			var ok bool
			var why string
			if ok, why, err = t.takes(ctx, a, all[i]); why != "" {
				reason = fmt.Sprintf("; with %d, %s", all[i], why)
			}
			return ok || err != nil
		})
		switch {
		case err != nil:
			return fmt.Errorf("%s: %w", a.Name, err)
		case ctx.Err() != nil:
			return ctx.Err()
		case i == len(all):
			t.figure("%s %s: 200 × 5,000 needs more than %d MiB%s", a.Name, a.Version, all[i-1], reason)
		default:
			t.figure("%s %s: 200 × 5,000 needs a limit of %d MiB%s", a.Name, a.Version, all[i], reason)
		}
	}
	return nil
}

// takes reports whether an agent takes the load in so many MiB: it lives, scrapes each target each time, sheds nothing, and
// delivers.
func (t *trial) takes(ctx context.Context, a *agent.Agent, size int64) (ok bool, why string, err error) {
	const n, interval = 200, 10 * time.Second
	r, err := t.rig(ctx, rigOptions{agent: a, limit: size << 20, perSeries: true, maxSeries: 1 << 21})
	if err != nil {
		return false, "", err
	}
	defer r.close()
	targets, err := r.add(ctx, n, interval, plain(0, bigSeries))
	if err != nil {
		return false, "", err
	}
	r.config.Jobs = append(r.config.Jobs, job("big", interval, targets))
	if err := r.start(); err != nil {
		return false, "", err
	}
	begun := time.Now()
	for time.Since(begun) < 4*interval {
		if err := r.wait(ctx, time.Second); err != nil {
			kills, _ := r.group.Killed() // how it died is a remark
			return false, fmt.Sprintf("it died after %.0f s (%s, %d kills for memory, %.0f MiB resident)", time.Since(begun).Seconds(),
				r.process.Ended(), kills, mib(r.peak(begun))), ctx.Err()
		}
		if a == t.agent {
			m, err := r.metrics()
			if err != nil {
				continue // it may be about to die
			}
			if said, sum := m.shed(); sum > 0 {
				return false, strings.Join(said, ", "), nil
			}
		}
	}
	r.farm.Hold()
	_, served := r.farm.Served()
	if served < 3*n*bigSeries {
		return false, fmt.Sprintf("only %d samples were scraped", served), nil
	}
	// What was served and not yet sent may take its time.
	var missing int64
	err = r.until(ctx, "delivery", 45*time.Second, func() bool {
		missing = r.missing("big", targets).Missing
		return float64(missing) <= float64(served)/1000
	})
	if err != nil {
		return false, fmt.Sprintf("%d of %d samples are missing", missing, served), ctx.Err()
	}
	return true, "", nil
}
