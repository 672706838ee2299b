package scrape

import (
	"iter"

	"scraper/snapshots"
)

// holdersOfJobs names the scrapes which run, by the state of the job under which they began: a target which does not answer
// holds it until its timeout, however often the job was replaced meanwhile.
func (m *Manager) holdersOfJobs() iter.Seq2[*jobState, func() snapshots.Holder] {
	var turns []*turn
	m.mu.Lock()
	for _, j := range m.jobs {
		for _, t := range j.targets {
			if t.turn != nil {
				turns = append(turns, t.turn)
			}
		}
	}
	m.mu.Unlock()
	return func(yield func(*jobState, func() snapshots.Holder) bool) {
		for _, tn := range turns {
			if !yield(tn.st, func() snapshots.Holder {
				return snapshots.Holder{Name: "scrape of " + shownURL(tn.t.spec.url), Since: tn.due}
			}) {
				return
			}
		}
	}
}
