package scrape

import (
	"cmp"
	"slices"
)

// LargestTargets returns the state of the n targets which take most memory, the largest first: with their tables, their
// labels in the dictionary, and the samples of their last scrapes. Unlike Snapshot it does not tell how they were discovered,
// and takes next to nothing for each target.
func (m *Manager) LargestTargets(n int) []TargetStatus {
	type sized struct {
		t     *target
		job   string
		bytes int64
	}
	var all []sized
	m.mu.Lock()
	for _, j := range m.jobs {
		for _, t := range j.targets {
			all = append(all, sized{t: t, job: j.state.cfg.Name})
		}
	}
	m.mu.Unlock()
	for i := range all {
		x := &all[i]
		x.t.mu.Lock()
		x.bytes = x.t.result.memory + x.t.result.labelBytes + x.t.result.batchBytes
		x.t.mu.Unlock()
	}
	slices.SortFunc(all, func(a, b sized) int { return cmp.Or(cmp.Compare(b.bytes, a.bytes), cmp.Compare(a.t.id, b.t.id)) })
	top := make([]TargetStatus, 0, min(n, len(all)))
	for _, x := range all[:min(n, len(all))] {
		st := x.t.status()
		st.Job = x.job
		top = append(top, st)
	}
	return top
}
