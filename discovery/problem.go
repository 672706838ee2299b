package discovery

import "slices"

// problem is what is wrong with a file or directory: a label value, and a state whose changes are logged.
type problem string

const (
	problemMissing    problem = "missing"    // a file which is named without a * does not exist
	problemUnreadable problem = "unreadable" // permissions, I/O errors, dangling links, not a regular file
	problemInvalid    problem = "invalid"    // does not parse
	problemDirectory  problem = "directory"  // its directory is gone or unreadable
)

var problems = []problem{problemMissing, problemUnreadable, problemInvalid, problemDirectory}

// state is a problem as it was logged last.
type state struct {
	problem problem
	sum     uint64 // of the content: another broken content is news
}

// reportLocked notes what is wrong with a file or pattern, and logs it if that is news. Sum identifies the content.
func (p *fileProvider) reportLocked(key string, what problem, sum uint64, err error) {
	if what != problemMissing {
		p.metrics.fileErrors.Inc()
	}
	is := state{what, sum}
	if p.states[key] == is {
		return
	}
	p.forgetLocked(key)
	p.states[key] = is
	p.metrics.problems.WithLabelValues(string(what)).Inc()
	if what == problemMissing {
		p.logger.Warn("target file does not exist", "file", key)
		return
	}
	p.logger.Warn("target files are unusable; their last good targets are kept", "file", key, "problem", string(what), "err", err)
}

// clearLocked notes that a file or pattern has none of these problems, and logs it if that is news.
func (p *fileProvider) clearLocked(key string, which ...problem) {
	was := p.states[key].problem
	if slices.Contains(which, was) {
		p.forgetLocked(key)
		p.logger.Info("target files are usable again", "file", key, "was", string(was))
	}
}

// forgetLocked forgets the problem of a file or pattern, if it has one.
func (p *fileProvider) forgetLocked(key string) {
	if was, ok := p.states[key]; ok {
		delete(p.states, key)
		p.metrics.problems.WithLabelValues(string(was.problem)).Dec()
	}
}
