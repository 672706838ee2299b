package discovery

import (
	"slices"
	"strconv"
	"strings"

	"scraper/config"
	"scraper/relabel"
)

const (
	addressLabel  = "__address__"
	filepathLabel = "__meta_filepath"
)

// staticGroups returns the groups of a static_configs section.
func staticGroups(list []*config.StaticGroup) []*Group {
	groups := make([]*Group, 0, len(list))
	for i, c := range list {
		groups = append(groups, newGroup("static/0/"+strconv.Itoa(i), c.Labels, c.Targets))
	}
	return groups
}

// fileGroups returns the groups of one target file. The file's name stands in a label of each, as Prometheus has it.
func fileGroups(path string, list []*config.StaticGroup) []*Group {
	groups := make([]*Group, 0, len(list))
	for i, c := range list {
		labels := slices.DeleteFunc(slices.Clone(c.Labels), func(l relabel.Label) bool { return l.Name == filepathLabel })
		labels = append(labels, relabel.Label{Name: filepathLabel, Value: path})
		slices.SortFunc(labels, func(a, b relabel.Label) int { return strings.Compare(a.Name, b.Name) })
		groups = append(groups, newGroup(path+":"+strconv.Itoa(i), labels, c.Targets))
	}
	return groups
}

func newGroup(source string, labels []relabel.Label, addresses []string) *Group {
	own := make([]relabel.Label, len(addresses)) // one array for all: targets come by the ten thousand
	targets := make([][]relabel.Label, len(addresses))
	for i, a := range addresses {
		own[i] = relabel.Label{Name: addressLabel, Value: a}
		targets[i] = own[i : i+1 : i+1]
	}
	return &Group{Source: source, Labels: labels, Targets: targets}
}

// reuseGroups returns groups, with those replaced that old holds alike, so that what did not change is the same pointer.
// It changes groups in place.
func reuseGroups(old, groups []*Group) []*Group {
	known := make(map[string]*Group, len(old))
	for _, g := range old {
		known[g.Source] = g
	}
	for i, g := range groups {
		if was := known[g.Source]; was != nil && equalGroups(was, g) {
			groups[i] = was
		}
	}
	return groups
}

func equalGroups(a, b *Group) bool {
	return a.Source == b.Source && slices.Equal(a.Labels, b.Labels) && slices.EqualFunc(a.Targets, b.Targets, slices.Equal)
}
