package scrape

import (
	"scraper/config"
)

// maxDroppedShown is how many dropped targets of a job are kept for the pages; all are counted.
const maxDroppedShown = 1000

// droppedTargets are the targets of a job which relabeling dropped, or which could not be made. Each sync makes others.
type droppedTargets struct {
	n     int             // all
	shown []droppedTarget // the first ones; immutable
}

// droppedTarget is what is kept of one of them. Its labels are made when somebody looks: every job of a cluster may see all
// its pods, and drop most of them.
type droppedTarget struct {
	origin origin
	reason string
}

// add counts a target, and keeps it if there are fewer than most.
func (d *droppedTargets) add(s *spec, reason string, most int) {
	d.n++
	if len(d.shown) < most {
		d.shown = append(d.shown, droppedTarget{s.origin, reason})
	}
}

// maxDropped is how many dropped targets of a job are shown.
func maxDropped(job *config.Job) int {
	if n := job.KeepDroppedTargets; n > 0 {
		return min(maxDroppedShown, n)
	}
	return maxDroppedShown
}

// status is what pages show of them. It borrows nothing of d but what is immutable.
func (d *droppedTargets) status(job *config.Job, dialect config.Dialect) DroppedTargets {
	shown := d.shown
	return DroppedTargets{Job: job.Name, Count: len(shown), Each: func(yield func(DroppedStatus) bool) {
		for _, t := range shown {
			if !yield(DroppedStatus{Discovered: t.origin.discovered(job, dialect), Reason: t.reason}) {
				return
			}
		}
	}}
}
