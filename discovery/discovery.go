package discovery

import "scraper/relabel"

// Group is a set of targets which were discovered together. It is immutable once published.
type Group struct {
	// Source names where the group comes from, unique within its job: "static/0/1", "file/0/…path…:2".
	Source string
	// Labels holds for every target of the group, where the target does not say otherwise. Sorted by name.
	Labels []relabel.Label
	// Targets are the targets' own labels (at least __address__), each sorted by name.
	Targets [][]relabel.Label
}
