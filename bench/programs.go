package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"scraper/bench/agent"
)

// findAgents finds, or builds, the programs to be measured, in the order of -agents, further peers, floors.
func findAgents(ctx context.Context, f flags, tmp string) ([]*agent.Agent, error) {
	paths := map[string]string{"vmagent": "vmagent", "prometheus": "prometheus"}
	names := strings.Split(f.agents, ",")
	for _, p := range f.peers {
		name, path, ok := strings.Cut(p, "=")
		if !ok {
			return nil, fmt.Errorf("-peer %q: want name=path", p)
		}
		if paths[name] = path; !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if f.floor {
		names = append(names, string(agent.FloorDiscard), string(agent.FloorPush))
	}
	var agents []*agent.Agent
	for _, name := range names {
		path, known := paths[name]
		kind, err := agent.KindOf(name)
		switch {
		case err != nil:
			return nil, err
		case kind == agent.Ours || kind == agent.OursPrometheus:
			if path = f.ours; path == "" {
				path, err = build(ctx, "scraper", "./cmd/scraper", filepath.Join(tmp, "scraper"))
			}
		case kind == agent.FloorDiscard || kind == agent.FloorPush:
			path, err = build(ctx, "scraper/bench", "./floor", filepath.Join(tmp, "floor"))
		case !known:
			err = fmt.Errorf("agent %q: say where it is with -peer %s=PATH", name, name)
		}
		if err != nil {
			return nil, err
		}
		a, err := agent.New(ctx, name, path)
		if errors.Is(err, exec.ErrNotFound) && known {
			fmt.Fprintf(os.Stderr, "bench: skipping %s: %v (make bench-peers installs Debian's)\n", name, err)
			continue
		}
		if err != nil {
			return nil, err
		}
		agents = append(agents, a)
	}
	return agents, nil
}

// build compiles a program of this tree, unless that has happened. The agent belongs to another module than the
// benchmark, so it is built where that one is.
func build(ctx context.Context, module, pkg, out string) (string, error) {
	if _, err := os.Stat(out); err == nil {
		return out, nil
	}
	dir, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		return "", fmt.Errorf("find the module %s, from which %s is built (-ours avoids that): %w", module, pkg, err)
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
