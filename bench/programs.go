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
				path, err = agent.Build(ctx, "scraper", "./cmd/scraper", filepath.Join(tmp, "scraper"))
			}
		case kind == agent.FloorDiscard || kind == agent.FloorPush:
			path, err = agent.Build(ctx, "scraper/bench", "./floor", filepath.Join(tmp, "floor"))
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
		if two := a.WithVersion2(); two != nil {
			agents = append(agents, two)
		}
	}
	return agents, nil
}
