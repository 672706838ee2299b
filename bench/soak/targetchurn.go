package main

import (
	"context"
	"fmt"
	"time"

	"scraper/bench/agent"
	"scraper/bench/body"
	"scraper/bench/farm"
)

// targetChurn replaces a tenth of all targets after each interval, so that each lives for ten scrapes. A new one has an
// address which somebody else has left, and labels which nobody had.
func targetChurn(ctx context.Context, t *trial) error {
	active, interval := pick(t.form, 100, 1000, 1000), pick(t.form, time.Second, 2*time.Second, 2*time.Second)
	r, err := t.rig(ctx, rigOptions{})
	if err != nil {
		return err
	}
	defer r.close()
	all, err := r.add(ctx, 2*active, interval, func(i int) body.Source { return newChurning(i, 20, 1, nil) })
	if err != nil {
		return err
	}
	watched := agent.Job{Name: "load", Interval: interval, HonorTimes: true, Watched: true}
	life, first := 0, 0 // how many there were, and where those which are there begin among all
	write := func(lives []int) error {
		watched.Groups = watched.Groups[:0]
		for i := range active {
			at := (first + i) % len(all)
			watched.Groups = append(watched.Groups, agent.Group{Targets: []string{all[at].Address()},
				Labels: map[string]string{"node": fmt.Sprintf("node-%07d", lives[at]), "zone": "a"}})
		}
		return r.config.WriteTargets(watched)
	}
	lives := make([]int, len(all))
	for i := range active {
		life++
		lives[i] = life
	}
	r.config.Jobs = append(r.config.Jobs, watched)
	if err := r.start(); err != nil {
		return err
	}
	if err := write(lives); err != nil {
		return err
	}
	replace := func(context.Context) error {
		share := active / 10
		for i := range share {
			life++
			lives[(first+active+i)%len(all)] = life
		}
		first = (first + share) % len(all)
		return write(lives)
	}
	// At the end those which were there at the beginning are there again: a connection, labels and series for each.
	restore := func() error {
		first = 0
		for i := range active {
			lives[i] = i + 1
		}
		return write(lives)
	}
	var begin []*farm.Target
	begin = append(begin, all[:active]...)
	err = t.steady(ctx, r, begin, interval, func() {}, replace, restore)
	t.figure("%d targets came and went", life-active)
	return err
}
