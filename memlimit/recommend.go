package memlimit

// LeastRecommended is what an agent is well with that has next to nothing to do.
const LeastRecommended = 32 << 20

// recommendStep is what recommendations are rounded up to, so that they do not change with each scrape.
const recommendStep = 8 << 20

// recommend is the smallest budget in which a use of so many bytes is Normal, in whole steps.
func recommend(used int64) int64 {
	limit := int64(float64(used)/Elevated.from()) + 1
	budget := int64(LeastRecommended)
	for budget-Reserve(budget) < limit {
		// The reserve grows more slowly than the budget, so that this takes a few rounds.
		budget += max(recommendStep, (limit-(budget-Reserve(budget)))/recommendStep*recommendStep)
	}
	return budget
}
