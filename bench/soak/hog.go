package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// hogFlag makes this program take memory until it is killed.
const hogFlag = "-take-memory-until-killed"

// hogIfAsked takes memory, a MiB at a time, if that is what this process was started for.
func hogIfAsked(args []string) {
	if len(args) < 2 || args[1] != hogFlag {
		return
	}
	const step = 1 << 20
	for {
		b, err := syscall.Mmap(-1, 0, step, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
		if err != nil {
			fmt.Fprintln(os.Stderr, "soak:", err)
			os.Exit(1)
		}
		for i := 0; i < step; i += 4096 {
			b[i] = 1
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// killForMemory has the kernel kill the agent because its group's memory is used up, which somebody else does who joins
// it; where there is no group, it kills the agent itself. It returns how.
func (r *rig) killForMemory(ctx context.Context) (how string, err error) {
	if r.group == nil {
		r.process.Kill()
		return "SIGKILL", nil
	}
	before, err := r.group.Killed()
	if err != nil {
		return "", err
	}
	// The kernel shall prefer the agent, whoever has more.
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", r.process.PID()), []byte("1000"), 0o644); err != nil {
		return "", fmt.Errorf("make the agent the first to be killed: %w", err)
	}
	command := r.t.launcher.Command(r.group.Dir(), r.t.launcher.Path, hogFlag)
	hog := exec.CommandContext(ctx, command[0], command[1:]...)
	hog.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := hog.Start(); err != nil {
		return "", fmt.Errorf("start who takes memory: %w", err)
	}
	select {
	case <-r.process.Done():
	case <-time.After(20 * time.Second):
		err = fmt.Errorf("the kernel has not killed the agent within 20 s")
	case <-ctx.Done():
		err = ctx.Err()
	}
	_ = hog.Process.Kill() // it may have been killed, too
	_ = hog.Wait()
	if err != nil {
		return "", err
	}
	after, err := r.group.Killed()
	if err == nil && after <= before {
		err = fmt.Errorf("the agent ended (%s), and not because the kernel killed it: %s", r.process.Ended(), r.process.Log())
	}
	return "the kernel, for memory", err
}
