// Command floor is the least that a scrape agent can be, to say how near the limit the measured ones are: it fetches its
// targets on time over kept connections, and throws the text away (-mode=discard), or copies each sample's labels and value
// into a remote-write request and pushes it (-mode=push).
//
// It is not an agent: it knows no relabeling, staleness, queue, retry, format but the benchmark's own, or failure. Labels
// are learnt once and never forgotten.
//
// One goroutine fetches per scrape which is due, none waits while a connection is idle. Read main.go, then fetch.go for
// the transport, and push.go for what is done with a text.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// config is what floor understands of a scrape configuration in JSON.
type config struct {
	Jobs []struct {
		Name     string `json:"job_name"`
		Interval string `json:"scrape_interval"`
		Path     string `json:"metrics_path"`
		Scheme   string `json:"scheme"`
		Auth     struct {
			Credentials string `json:"credentials"`
		} `json:"authorization"`
		Static []group `json:"static_configs"`
		Files  []struct {
			Files []string `json:"files"`
		} `json:"file_sd_configs"`
	} `json:"scrape_configs"`
	Remote []struct {
		Auth struct {
			Credentials string `json:"credentials"`
		} `json:"authorization"`
	} `json:"remote_write"`
}

type group struct {
	Targets []string          `json:"targets"`
	Labels  map[string]string `json:"labels"`
}

func main() {
	mode := flag.String("mode", "push", "discard: only fetch; push: copy and push")
	file := flag.String("config", "", "scrape configuration, in JSON")
	url := flag.String("url", "", "where to push to")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, *mode, *file, *url); err != nil {
		fmt.Fprintln(os.Stderr, "floor:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, mode, file, url string) error {
	targets, token, err := load(file)
	if err != nil {
		return err
	}
	var out *pusher
	if mode == "push" {
		out = newPusher(url, token)
		go out.run() // until the process ends, as all that follows: there is nothing to be saved
	}
	schedule(ctx, targets, func(t *target) {
		if err := t.scrape(out); err != nil && ctx.Err() == nil {
			fmt.Fprintln(os.Stderr, "floor:", err)
		}
	})
	return nil
}

// load reads the configuration; the token is that of the write endpoint.
func load(file string) (targets []*target, token string, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, "", err
	}
	var c config
	if err := json.Unmarshal(text, &c); err != nil {
		return nil, "", fmt.Errorf("%s: %w", file, err)
	}
	if len(c.Remote) > 0 {
		token = c.Remote[0].Auth.Credentials
	}
	for _, j := range c.Jobs {
		interval, err := time.ParseDuration(j.Interval)
		if err != nil {
			return nil, "", fmt.Errorf("%s: %w", file, err)
		}
		groups := j.Static
		for _, f := range j.Files {
			for _, name := range f.Files {
				var more []group
				text, err := os.ReadFile(name)
				if err != nil {
					return nil, "", err
				}
				if err := json.Unmarshal(text, &more); err != nil {
					return nil, "", fmt.Errorf("%s: %w", name, err)
				}
				groups = append(groups, more...)
			}
		}
		for _, g := range groups {
			for _, addr := range g.Targets {
				path := j.Path
				if path == "" {
					path = "/metrics"
				}
				targets = append(targets, newTarget(j.Name, addr, path, j.Scheme == "https", j.Auth.Credentials, interval, g.Labels))
			}
		}
	}
	return targets, token, nil
}

// schedule calls scrape for each target when it is due, until ctx ends. The targets are spread over their interval.
func schedule(ctx context.Context, targets []*target, scrape func(*target)) {
	if len(targets) == 0 {
		<-ctx.Done()
		return
	}
	start := time.Now()
	var due dueHeap
	for i, t := range targets {
		due.push(t, start.Add(t.interval*time.Duration(i)/time.Duration(len(targets))))
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		t, at := due.pop()
		timer.Reset(time.Until(at))
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		go scrape(t)
		due.push(t, at.Add(t.interval))
	}
}
