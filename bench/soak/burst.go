package main

import (
	"context"
	"errors"
	"net"
	"time"

	"scraper/bench/agent"
	"scraper/bench/body"
	"scraper/bench/farm"
)

// burst lets each target's body grow tenfold for a while, and compares what stays with an agent which never saw that.
func burst(ctx context.Context, t *trial) error {
	s := tenfold(pick(t.form, 20, 100, 100), pick(t.form, 500, 5000, 5000))
	s.interval = pick(t.form, time.Second, 10*time.Second, 10*time.Second)
	s.before, s.during = pick(t.form, 4*time.Second, 30*time.Second, 30*time.Second), pick(t.form, 5*time.Second, 60*time.Second, 60*time.Second)
	return t.surge(ctx, s)
}

// tenfold is targets whose bodies have ten times as many series for a while.
func tenfold(n, series int) surge {
	return surge{name: "tenfold", load: func(ctx context.Context, r *rig, s *surging) ([]*farm.Target, error) {
		return r.grow(ctx, s, n, func(i int) body.Source {
			return s.source(plain(i, series)(0), func() body.Source { return plain(i, 10*series)(0) })
		})
	}}
}

// bursts are other loads which grow and fall.
func bursts(ctx context.Context, t *trial) error {
	for _, s := range surges(t.form) {
		if err := t.surge(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// surges are the loads of bursts.
func surges(f form) []surge {
	n, series := pick(f, 10, 20, 50), pick(f, 300, 5000, 5000)
	limited, often, gzipped, secure := tenfold(n, series), tenfold(n, series), tenfold(n, series), tenfold(n, series)
	limited.name, limited.options.args = "tenfold with a budget of 256 MiB", []string{"-memory.limit=256MiB"}
	often.name, often.options.env = "tenfold with GOGC=100", []string{"GOGC=100"}
	gzipped.name, gzipped.gzip = "tenfold, compressed", true
	secure.name, secure.tls = "tenfold, over TLS", true
	return []surge{
		comeAndGo(n, pick(f, 50, 400, 400), pick(f, 200, 2000, 2000)),
		replaced(n, series),
		longLabels(n, series),
		exemplars(n, series),
		histograms(n, pick(f, 30, 500, 500)),
		huge(n, series, pick(f, 5000, 500_000, 500_000)),
		outage(n, series, pick(f, 5*time.Second, 3*time.Minute, 10*time.Minute)),
		gzipped, secure, limited, often,
	}
}

// comeAndGo is targets beside which there are many others for a while.
func comeAndGo(n, more, series int) surge {
	watched := func(s *surging) agent.Job {
		return agent.Job{Name: "more", Interval: s.interval, HonorTimes: true, Watched: true, Groups: []agent.Group{}}
	}
	return surge{
		name: "more targets",
		load: func(ctx context.Context, r *rig, s *surging) ([]*farm.Target, error) {
			targets, err := r.grow(ctx, s, n, plain(0, series))
			r.config.Jobs = append(r.config.Jobs, watched(s))
			return targets, err
		},
		begin: func(ctx context.Context, r *rig, s *surging) error {
			others, err := r.add(ctx, more, s.interval, plain(n, series))
			j := job("more", s.interval, others)
			j.Watched = true
			return errors.Join(err, r.config.WriteTargets(j))
		},
		end: func(_ context.Context, r *rig, s *surging) error { return r.config.WriteTargets(watched(s)) },
	}
}

// replaced is targets all of whose series are other ones with each scrape, for a while.
func replaced(n, series int) surge {
	return surge{name: "all series new", load: func(ctx context.Context, r *rig, s *surging) ([]*farm.Target, error) {
		return r.grow(ctx, s, n, func(i int) body.Source {
			if !s.sees {
				return newChurning(i, series, 1, nil)
			}
			return newChurning(i, series, 1, &s.on)
		})
	}}
}

// longLabels is targets which have series with long labels of their own for a while.
func longLabels(n, series int) surge {
	return surge{name: "long labels", load: func(ctx context.Context, r *rig, s *surging) ([]*farm.Target, error) {
		return r.grow(ctx, s, n, func(i int) body.Source {
			return s.source(plain(i, series)(0), func() body.Source { return newLabelled(i, 2*series) })
		})
	}}
}

// huge is targets of which one has very many series for a while, and a tenth of a thousandth of them else.
func huge(n, series, most int) surge {
	return surge{name: "one huge target", load: func(ctx context.Context, r *rig, s *surging) ([]*farm.Target, error) {
		return r.grow(ctx, s, n, func(i int) body.Source {
			if i > 0 {
				return plain(i, series)(0)
			}
			return s.source(plain(i, most/1000)(0), func() body.Source { return plain(i, most)(0) })
		})
	}}
}

// outage is an endpoint which answers by errors for a while.
func outage(n, series int, length time.Duration) surge {
	return surge{
		name: "an endpoint which is away", during: length,
		load: func(ctx context.Context, r *rig, s *surging) ([]*farm.Target, error) {
			return r.grow(ctx, s, n, plain(0, series))
		},
		begin: func(_ context.Context, r *rig, _ *surging) error {
			r.sink.SetDown(true)
			return nil
		},
		end: func(_ context.Context, r *rig, _ *surging) error {
			r.sink.SetDown(false)
			return nil
		},
	}
}

// exemplars is targets in OpenMetrics which have ten times as many series, each with an exemplar, for a while.
func exemplars(n, series int) surge {
	return surge{
		name: "exemplars", open: true, sections: map[string]any{"global": map[string]any{"scrape_protocols": []string{"OpenMetricsText1.0.0"}}},
		options: rigOptions{args: []string{"-remoteWrite.protocol=1.0"}},
		load: func(ctx context.Context, r *rig, s *surging) ([]*farm.Target, error) {
			return r.grow(ctx, s, n, func(i int) body.Source {
				return s.source(newExemplary(i, series/2), func() body.Source { return newExemplary(i, 5*series) })
			})
		},
	}
}

// histograms is targets in protocol buffers which have ten times as many native histograms for a while.
func histograms(n, series int) surge {
	return surge{
		name: "native histograms", sections: map[string]any{"global": map[string]any{"scrape_native_histograms": true}},
		options: rigOptions{args: []string{"-remoteWrite.protocol=1.0"}},
		load: func(ctx context.Context, r *rig, s *surging) ([]*farm.Target, error) {
			j := agent.Job{Name: "histograms", Interval: s.interval, HonorTimes: true}
			for i := range n {
				answers := [2][]byte{protobufAnswer(i, series), protobufAnswer(i, 10*series)}
				x, err := startRaw(ctx, func(_ context.Context, c net.Conn, _ []byte) bool {
					answer := answers[0]
					if s.on.Load() {
						answer = answers[1]
					}
					_, err := c.Write(answer)
					return err == nil
				})
				if err != nil {
					return nil, err
				}
				s.raws = append(s.raws, x)
				j.Groups = append(j.Groups, agent.Group{Targets: []string{x.address()}})
			}
			r.config.Jobs = append(r.config.Jobs, j)
			return r.grow(ctx, s, 1, plain(0, 100))
		},
	}
}
