package relabel

// metricName is the label which holds a metric's name.
const metricName = "__name__"

// Most rules that people write for metrics drop or keep them by name alone, and a body's series come by name: hundreds of
// one metric follow each other. So these rules are run before the others, which makes no difference since they change
// nothing, and for each name once.

// verdict is what rules said of the last metric's name. It is forgotten with the set's scratch memory.
type verdict struct {
	rules *Rules
	name  []byte
	kept  bool
}

// split tells the rules which a metric's name decides alone from the others: those before any rule that might change it.
func (r *Rules) split() {
	changed := false
	for i := range r.rules {
		x := &r.rules[i]
		if !changed && x.readsNameAlone(&r.cfgs[i]) {
			r.byName = append(r.byName, x)
			continue
		}
		changed = changed || x.mayChangeName(&r.cfgs[i])
		r.others = append(r.others, x)
	}
}

// readsNameAlone reports whether a rule keeps or drops by nothing but the metric's name.
func (r *rule) readsNameAlone(c *Config) bool {
	if a := c.action(); a != actionKeep && a != actionDrop {
		return false
	}
	for _, s := range r.source {
		if s != metricName {
			return false
		}
	}
	return true
}

// mayChangeName reports whether a rule might change the metric's name. It may err on the side of yes.
func (r *rule) mayChangeName(c *Config) bool {
	switch c.action() {
	case actionKeep, actionDrop, actionKeepEqual, actionDropEqual:
		return false
	case actionLabelDrop:
		return r.pattern.match(subject{s: metricName})
	case actionLabelKeep:
		return !r.pattern.match(subject{s: metricName})
	case actionLabelMap:
		return !r.replacement.constant() || r.pattern.unanchored || r.replacement.lit == metricName
	}
	return !r.target.constant() || r.target.lit == metricName
}

// keepsName reports whether the rules that a metric's name decides alone keep the set.
func (r *Rules) keepsName(ls *Labels) bool {
	name := ls.Get(metricName)
	v := &ls.verdict
	if v.rules == r && string(v.name) == name {
		return v.kept
	}
	v.rules, v.kept = r, true
	v.name = append(v.name[:0], name...)
	for _, x := range r.byName {
		if !x.apply(ls) {
			v.kept = false
			if ls.refused.rule != nil {
				v.rules = nil // Err is to tell of the next set, too
			}
			break
		}
	}
	return v.kept
}
