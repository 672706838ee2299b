package scrape

import (
	"fmt"

	"scraper/config"
	"scraper/relabel"
)

// LimitError says that a body went beyond a limit of its job or of the agent, or a job beyond one of its own.
type LimitError struct {
	What  string // the setting
	Limit int64
	Got   int64 // how much there was, as far as it was counted
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("%s exceeded: %d, the limit is %d", e.What, e.Got, e.Limit)
}

// labelLimits are a job's limits of a series' labels; 0 is none.
type labelLimits struct {
	count int
	name  int // bytes
	value int // bytes
}

func labelLimitsOf(c *config.Job) labelLimits {
	return labelLimits{count: c.LabelLimit, name: c.LabelNameLimit, value: c.LabelValueLimit}
}

// sameChecks reports whether two jobs refuse the same series, so that those which are known need not be checked again.
func sameChecks(a, b *config.Job) bool {
	return labelLimitsOf(a) == labelLimitsOf(b) && a.Formats.LegacyNames == b.Formats.LegacyNames
}

// check returns what is wrong with the labels of a series, nil if nothing is.
func (l *labelLimits) check(ls []relabel.Label) error {
	if l.count > 0 && len(ls) > l.count {
		return &LimitError{What: "label_limit", Limit: int64(l.count), Got: int64(len(ls))}
	}
	if l.name == 0 && l.value == 0 {
		return nil
	}
	for _, x := range ls {
		var e *LimitError
		switch {
		case l.name > 0 && len(x.Name) > l.name:
			e = &LimitError{What: "label_name_length_limit", Limit: int64(l.name), Got: int64(len(x.Name))}
		case l.value > 0 && len(x.Value) > l.value:
			e = &LimitError{What: "label_value_length_limit", Limit: int64(l.value), Got: int64(len(x.Value))}
		default:
			continue
		}
		return fmt.Errorf("label %s=%q: %w", cut(x.Name, 50), cut(x.Value, 50), e)
	}
	return nil
}

// limitTargets refuses all targets of a job which has more than target_limit allows, since nobody knows which of them were
// meant. The caller holds Manager.mu.
func (j *job) limitTargets() {
	var err error
	if n := j.state.cfg.TargetLimit; n > 0 && len(j.targets) > n {
		err = &LimitError{What: "target_limit", Limit: int64(n), Got: int64(len(j.targets))}
	}
	for _, t := range j.targets {
		t.refused = err
	}
}
