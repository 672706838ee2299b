package scrape

import (
	"cmp"
	"slices"
)

// first keeps the first n of all that it is given, in the order of compare. Where n is small beside how many there are, nearly
// all cost one comparison: whoever asks for the largest ten of ten thousand targets holds a lock for less than a sort would.
type first[T any] struct {
	n       int
	compare func(a, b T) int
	all     []T // sorted
}

func (f *first[T]) add(x T) {
	if len(f.all) >= f.n {
		if f.n == 0 || f.compare(x, f.all[f.n-1]) >= 0 {
			return
		}
		f.all = f.all[:f.n-1]
	}
	i, _ := slices.BinarySearchFunc(f.all, x, f.compare)
	f.all = slices.Insert(f.all, i, x)
}

// LargestTargets returns the state of the n targets which take most memory, the largest first: with their tables, their
// labels in the dictionary, and the samples of their last scrapes. Unlike Snapshot it does not tell how they were discovered,
// and takes next to nothing for each target.
func (m *Manager) LargestTargets(n int) []TargetStatus {
	type sized struct {
		t     *target
		bytes int64
	}
	top := first[sized]{n: n, compare: func(a, b sized) int {
		return cmp.Or(cmp.Compare(b.bytes, a.bytes), cmp.Compare(a.t.id, b.t.id))
	}}
	for _, t := range m.allTargets() {
		t.mu.Lock()
		bytes := t.result.memory + t.result.labelBytes + t.result.batchBytes
		t.mu.Unlock()
		top.add(sized{t, bytes})
	}
	all := make([]TargetStatus, 0, len(top.all))
	for _, x := range top.all {
		var st TargetStatus
		x.t.describe(&st)
		m.mu.Lock()
		st.Job = x.t.state.cfg.Name
		m.mu.Unlock()
		all = append(all, st)
	}
	return all
}

// allTargets are the targets as they are now.
func (m *Manager) allTargets() []*target {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, j := range m.jobs {
		n += len(j.targets)
	}
	all := make([]*target, 0, n)
	for _, j := range m.jobs {
		for _, t := range j.targets {
			all = append(all, t)
		}
	}
	return all
}
