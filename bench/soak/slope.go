package main

import (
	"slices"
	"time"
)

// slopeStep is of how long the least is taken: a garbage collector's saw has teeth, and what leaks lifts its foot.
const slopeStep = 30 * time.Second

// slope is how fast resident memory grew since some time, in MiB per ten minutes: the median of the slopes between all
// pairs of its least values, which a single step does not move.
func (r *rig) slope(since time.Time) float64 {
	var least []float64
	for at := since; time.Since(at) >= slopeStep; at = at.Add(slopeStep) {
		low, _ := r.samples.Least(at, at.Add(slopeStep))
		least = append(least, mib(low))
	}
	return median(slopes(least)) * float64(10*time.Minute) / float64(slopeStep)
}

// slopes are those between all pairs of points, per step.
func slopes(ys []float64) (all []float64) {
	for i := range ys {
		for j := i + 1; j < len(ys); j++ {
			all = append(all, (ys[j]-ys[i])/float64(j-i))
		}
	}
	return all
}

func median(all []float64) float64 {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[len(all)/2]
}
