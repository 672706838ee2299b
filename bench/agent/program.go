package agent

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"

	"scraper/bench/proc"
)

// joinFlag makes a program that calls BecomeIfAsked join a control group and become another program.
const joinFlag = "-join-group-and-exec"

// Command is the command line of a program which starts in the control group in groupDir.
func (l Launcher) Command(groupDir string, program ...string) []string {
	return slices.Concat([]string{l.Path, joinFlag, groupDir, "--"}, program)
}

// BecomeIfAsked makes this process another program, in a control group, if its arguments, os.Args, are those which a
// Launcher gives it. A program which is a Launcher's calls it first.
func BecomeIfAsked(args []string) {
	if len(args) < 5 || args[1] != joinFlag {
		return
	}
	err := proc.Join(args[2])
	if err == nil {
		err = syscall.Exec(args[4], args[4:], os.Environ())
	}
	fmt.Fprintln(os.Stderr, "bench:", err)
	os.Exit(127)
}

// ReadProgram reads the agent's program, so that its pages are charged to this process' control group: else they would be
// charged to the first agent's which meets them, and not to the next one's.
func (a *Agent) ReadProgram() error {
	f, err := os.Open(a.Path)
	if err != nil {
		return fmt.Errorf("read the agent's program: %w", err)
	}
	defer f.Close()
	if _, err := io.Copy(io.Discard, f); err != nil {
		return fmt.Errorf("read the agent's program: %w", err)
	}
	return nil
}

// FreeAddress is a loopback address which nobody listens on now.
func FreeAddress(ctx context.Context) (string, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// Build compiles a program of this tree, unless that has happened. The agent belongs to another module than the
// benchmark, so it is built where that one is.
func Build(ctx context.Context, module, pkg, out string) (string, error) {
	if _, err := os.Stat(out); err == nil {
		return out, nil
	}
	dir, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		return "", fmt.Errorf("find the module %s, from which %s is built (a path to the agent avoids that): %w", module, pkg, err)
	}
	root := strings.TrimSpace(string(dir))
	version := "unknown"
	if tag, err := exec.CommandContext(ctx, "git", "-C", root, "describe", "--tags", "--always", "--dirty").Output(); err == nil {
		version = strings.TrimSpace(string(tag))
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w -X main.version="+version, "-o", out, pkg)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", pkg, err, text)
	}
	return out, nil
}
