package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"scraper/bench/farm"
	"scraper/bench/proc"
)

// The targets which must not suffer: small ones among large ones.
const (
	smallTargets = 20
	smallSeries  = 100
	bigSeries    = 5000
)

// limit runs the agent in memory control groups, where the load grows until it is three times what fits, or is there at
// once. The kernel is the witness that it was not killed.
func limit(ctx context.Context, t *trial) error {
	if t.shapes != "" {
		return t.tryAll(ctx)
	}
	for _, size := range pick(t.form, []int64{32}, []int64{48, 64, 96, 128}, []int64{48, 64, 96, 128}) {
		if err := t.outgrow(ctx, size); err != nil {
			return fmt.Errorf("%d MiB: %w", size, err)
		}
	}
	if t.form == short {
		return nil
	}
	if err := t.atOnce(ctx); err != nil {
		return fmt.Errorf("200 large targets in 64 MiB: %w", err)
	}
	return t.tryAll(ctx)
}

// limited makes an agent in a group of so many MiB, 0: without a group, with small targets and a job for large ones.
func (t *trial) limited(ctx context.Context, size int64, interval time.Duration) (*rig, []*farm.Target, error) {
	r, err := t.rig(ctx, rigOptions{limit: size << 20, perSeries: true, maxSeries: 1 << 24})
	if err != nil {
		return nil, nil, err
	}
	often := pick(t.form, 2*interval, interval, interval) // in the short form, large ones come in a hurry
	small, err := r.add(ctx, smallTargets, often, plain(1_000_000, smallSeries))
	if err != nil {
		r.close()
		return nil, nil, err
	}
	big := job("big", interval, nil)
	big.Watched = true
	r.config.Jobs = append(r.config.Jobs, job("small", often, small), big)
	return r, small, nil
}

// large adds targets to the job for large ones.
func (r *rig) large(ctx context.Context, n int, interval time.Duration) error {
	big := &r.config.Jobs[1]
	targets, err := r.add(ctx, n, interval, plain(len(big.Groups), bigSeries))
	if err != nil {
		return err
	}
	big.Groups = append(big.Groups, job("big", interval, targets).Groups...)
	return r.config.WriteTargets(*big)
}

// asked reports whether each of the last n targets was asked for its samples.
func (r *rig) asked(n int) bool {
	all := r.farm.Targets()
	return !slices.ContainsFunc(all[len(all)-n:], func(t *farm.Target) bool { return len(t.Arrivals(time.Time{}, time.Now())) == 0 })
}

// shed are the counters of what did not happen for want of memory, those which are not 0.
func (m metrics) shed() (said []string, sum float64) {
	for series, v := range m {
		for _, name := range []string{"scraper_scrape_memory_", "scraper_scrape_samples_inline_total"} {
			if strings.HasPrefix(series, name) && strings.Contains(series, "_total") && v > 0 {
				said = append(said, fmt.Sprintf("%s %.0f", strings.TrimPrefix(series, "scraper_scrape_"), v))
				sum += v
			}
		}
	}
	slices.Sort(said)
	return said, sum
}

// wantAlive wants the kernel not to have killed anybody.
func (t *trial) wantAlive(r *rig, when string) {
	kills, err := r.group.Killed()
	t.want(err == nil && kills == 0, "%s: killed for memory %d times (%v)", when, kills, err)
}

// outgrow lets the load grow until it is three times what fits.
func (t *trial) outgrow(ctx context.Context, size int64) error {
	interval := pick(t.form, 2*time.Second, 10*time.Second, 10*time.Second)
	r, small, err := t.limited(ctx, size, interval)
	if err != nil {
		return err
	}
	defer r.close()
	if err := r.start(); err != nil {
		return err
	}
	name := fmt.Sprintf("%d MiB", size)
	if err := r.scraped(ctx, small, pick(t.form, 1, 2, 2), time.Minute); err != nil {
		return err
	}
	begun := time.Now()
	step := int(size) / pick(t.form, 1, 1, 4)
	fits := 0
	most := int(size) * 40 // that would be 8 times what a series may cost
	for n := 0; fits == 0 || n < 3*fits; n += step {
		if n > most {
			return fmt.Errorf("everything fits, even %d series", n*bigSeries)
		}
		if err := r.large(ctx, step, interval); err != nil {
			return err
		}
		// Before it is known what fits, all are asked before there are more of them.
		begun := time.Now()
		for {
			if err := r.wait(ctx, interval/2); err != nil {
				t.wantAlive(r, fmt.Sprintf("%s, %d series", name, (n+step)*bigSeries))
				return err
			}
			m, err := r.metrics()
			if _, sum := m.shed(); err == nil && sum > 0 && fits == 0 {
				fits = n + step
			}
			if fits > 0 || r.asked(step) || time.Since(begun) > 4*interval {
				break
			}
		}
	}
	if err := r.wait(ctx, pick(t.form, 2*interval, 2*interval, 60*interval)); err != nil {
		t.wantAlive(r, name+", three times what fits")
		return err
	}
	return t.judgeShort(ctx, r, small, name, begun, interval, fits)
}

// judgeShort judges an agent which has had too much for a while.
func (t *trial) judgeShort(ctx context.Context, r *rig, small []*farm.Target, name string, begun time.Time, interval time.Duration, fits int) error {
	m, err := r.metrics()
	if err != nil {
		return err
	}
	said, sum := m.shed()
	_, anon, _, set := r.samples.Between(begun, time.Now())
	t.figure("%s: %d series fit, %d large targets in the end; at most %.1f MiB resident, working set %.1f; %s", name, fits*bigSeries,
		len(r.config.Jobs[1].Groups), mib(anon), mib(set), strings.Join(said, ", "))
	t.want(sum > 0, "%s: nothing is counted as shed", name)
	t.onTime(name+": small targets", small, begun, small[0].Period)
	r.addsUp()
	t.wantAlive(r, name)
	if err := r.end(ctx); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	got := r.missing("small", small)
	lost := int64(0)
	if t.form == short { // where the machine does much else, a scrape times out
		lost = int64(got.Series)
	}
	t.want(got.Missing <= lost && got.Doubles == 0, "%s: of the small targets' samples %d are missing, %d came twice", name, got.Missing, got.Doubles)
	t.wantAlive(r, name+", at the end")
	return nil
}

// atOnce starts the agent with 200 large targets in 64 MiB, and without a limit, and compares the CPU time.
func (t *trial) atOnce(ctx context.Context) error {
	const n, interval = 200, 10 * time.Second
	length := pick(t.form, interval, 4*interval, 30*interval)
	used := func(size int64) (time.Duration, error) {
		r, small, err := t.limited(ctx, size, interval)
		if err != nil {
			return 0, err
		}
		defer r.close()
		if err := r.large(ctx, n, interval); err != nil {
			return 0, err
		}
		if err := r.config.Write(r.agent.Kind); err != nil {
			return 0, err
		}
		begun := time.Now()
		if err := r.start(); err != nil {
			return 0, err
		}
		if err := r.wait(ctx, length); err != nil {
			return 0, err
		}
		cpu, err := proc.CPU(r.process.PID())
		if err != nil || size == 0 {
			return cpu, err
		}
		m, err := r.metrics()
		if err != nil {
			return 0, err
		}
		said, _ := m.shed()
		_, anon, _, set := r.samples.Between(begun, time.Now())
		t.figure("200 × 5,000 at once in %d MiB: at most %.1f MiB resident, working set %.1f; %d samples arrived; %s", size, mib(anon), mib(set),
			r.sink.Counts().Samples, strings.Join(said, ", "))
		t.onTime("200 × 5,000 at once: small targets", small, begun.Add(interval), interval)
		t.wantAlive(r, "200 × 5,000 at once")
		r.addsUp()
		return cpu, r.end(ctx)
	}
	free, err := used(0)
	if err != nil {
		return err
	}
	bound, err := used(64)
	if err != nil {
		return err
	}
	t.figure("CPU: %.1f s in 64 MiB, %.1f s without a limit", bound.Seconds(), free.Seconds())
	t.wantAtMost("CPU in 64 MiB", bound.Seconds(), 2*free.Seconds(), "s")
	return nil
}
