package memlimit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// CgroupLimits bound the memory of a control group, in bytes; 0 is none.
type CgroupLimits struct {
	// Max is where the kernel kills.
	Max int64
	// High, of version 2, is above what the kernel slows the processes down, so far that they hardly run.
	High int64
}

// least is the smaller of both.
func (l CgroupLimits) least() int64 {
	if l.High > 0 && (l.Max == 0 || l.High < l.Max) {
		return l.High
	}
	return l.Max
}

// Limits returns the smallest limits of the group and those which it is in, as they are now. It fails where they cannot be
// read, which does not mean that there are none.
func (c *Cgroup) Limits() (CgroupLimits, error) {
	var all CgroupLimits
	for i, l := range c.levels {
		own, err := l.limits(i == 0)
		if i > 0 && errors.Is(err, fs.ErrPermission) {
			continue
		}
		if err != nil {
			return CgroupLimits{}, err
		}
		all.Max = leastOf(all.Max, own.Max)
		all.High = leastOf(all.High, own.High)
	}
	return all, nil
}

// leastOf is the smaller of two limits, of which 0 is none.
func leastOf(a, b int64) int64 {
	if a == 0 || b > 0 && b < a {
		return b
	}
	return a
}

// limits returns the limits of one group: its own, and, of the innermost in version 1, what its files say of those which it
// is in, and which are perhaps not to be seen.
func (l level) limits(innermost bool) (own CgroupLimits, err error) {
	if l.v2 {
		if own.Max, err = l.bound("memory.max"); err == nil {
			own.High, err = l.bound("memory.high")
		}
		return own, err
	}
	if own.Max, err = l.bound("memory.limit_in_bytes"); err != nil || !innermost {
		return own, err
	}
	s, err := l.table("memory.stat")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return own, err
	}
	own.Max = leastOf(own.Max, bounded(s["hierarchical_memory_limit"]))
	return own, nil
}

// bound reads a limit. The outermost group has no such file, and no limit.
func (l level) bound(file string) (int64, error) {
	text, err := os.ReadFile(filepath.Join(l.dir, file))
	switch value := strings.TrimSpace(string(text)); {
	case errors.Is(err, fs.ErrNotExist):
		if _, err := os.Stat(l.dir); err != nil {
			return 0, fmt.Errorf("memlimit: %w", err)
		}
		return 0, nil
	case err != nil:
		return 0, fmt.Errorf("memlimit: %w", err)
	case value == "max":
		return 0, nil
	default:
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("memlimit: %s: %w", file, err)
		}
		return bounded(n), nil
	}
}

// bounded is a limit as version 1 has it, where none is the last page which can be counted: 0 for that.
func bounded(n int64) int64 {
	if n < 0 || n >= 1<<62 {
		return 0
	}
	return n
}
