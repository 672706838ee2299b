// Package proc reads what the kernel knows of a process: CPU, memory, and the memory control group it runs in.
//
// It is Linux only, as the benchmark is. All functions may be called from any goroutine.
package proc

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of times in /proc: USER_HZ, which is 100 on every architecture that Go runs on.
const tick = 10 * time.Millisecond

// CPU returns the CPU time which the process and its ended threads have used, user and system.
func CPU(pid int) (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("read CPU time: %w", err)
	}
	return parseStat(stat)
}

// parseStat adds fields 14 and 15. The second one, the program's name, may hold blanks and parentheses.
func parseStat(stat []byte) (time.Duration, error) {
	end := bytes.LastIndexByte(stat, ')')
	fields := strings.Fields(string(stat[end+1:]))
	if end < 0 || len(fields) < 13 {
		return 0, fmt.Errorf("read CPU time: unexpected %.100q", stat)
	}
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * tick, errors.Join(err1, err2)
}

// Memory is what a process has in memory, in bytes.
type Memory struct {
	Anon int64 // RssAnon
	RSS  int64 // VmRSS
}

// ReadMemory returns the process's memory.
func ReadMemory(pid int) (Memory, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return Memory{}, fmt.Errorf("read memory: %w", err)
	}
	return parseStatus(string(status))
}

func parseStatus(status string) (m Memory, err error) {
	for line := range strings.Lines(status) {
		var to *int64
		key, rest, _ := strings.Cut(line, ":")
		switch key {
		case "RssAnon":
			to = &m.Anon
		case "VmRSS":
			to = &m.RSS
		default:
			continue
		}
		if *to, err = strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64); err != nil {
			return m, fmt.Errorf("read memory: %w", err)
		}
		*to <<= 10
	}
	if m.RSS == 0 {
		return m, errors.New("read memory: the process has none; it has ended")
	}
	return m, nil
}

// Busy returns the CPU time which all processes of the machine have used, so that what others did meanwhile can be told.
func Busy() (time.Duration, error) {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, fmt.Errorf("read the machine's CPU time: %w", err)
	}
	line, _, _ := strings.Cut(string(stat), "\n")
	var sum time.Duration
	for i, f := range strings.Fields(line)[1:] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read the machine's CPU time: %w", err)
		}
		if i != 3 && i != 4 && i < 8 { // idle, iowait; guests are in user time already
			sum += time.Duration(n) * tick
		}
	}
	return sum, nil
}

// Machine describes the machine in a line.
func Machine() string {
	model := "unknown CPU"
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(info)) {
			if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")               // a description may be incomplete
	version, _, _ := strings.Cut(strings.TrimSpace(string(kernel)), "-") // without the distribution's part
	var total int64
	if info, err := os.ReadFile("/proc/meminfo"); err == nil {
		_, _ = fmt.Sscanf(string(info), "MemTotal: %d kB", &total)
	}
	return fmt.Sprintf("%d × %s, %.0f GiB, Linux %s", runtime.NumCPU(), model, float64(total)/(1<<20), version)
}

// LoadAverage is the machine's, of the last minute.
func LoadAverage() string {
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "?"
	}
	one, _, _ := strings.Cut(string(load), " ")
	return one
}
