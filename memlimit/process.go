package memlimit

import (
	"fmt"

	"github.com/prometheus/procfs"
)

// Resident returns the process' resident anonymous and file-backed memory in bytes, as /proc/self/status has it. It fails
// where there is no such file.
func Resident() (anon, file int64, err error) {
	self, err := procfs.Self()
	if err != nil {
		return 0, 0, fmt.Errorf("memlimit: %w", err)
	}
	status, err := self.NewStatus()
	if err != nil {
		return 0, 0, fmt.Errorf("memlimit: %w", err)
	}
	return int64(status.RssAnon), int64(status.RssFile), nil
}

func residentAnon() int64 {
	anon, _, _ := Resident()
	return anon
}
