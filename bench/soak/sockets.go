package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"scraper/bench/agent"
)

// sockets lets 200 targets answer 4 MB at the same moment, most of it comments, so that what lies in the kernel's buffers and
// in the agent's is what counts.
func sockets(ctx context.Context, t *trial) error {
	const n, limit, bodyBytes = 200, 64 << 20, 4 << 20
	rounds := pick(t.form, 1, 3, 60)
	interval := pick(t.form, 5*time.Second, 10*time.Second, 10*time.Second)
	r, err := t.rig(ctx, rigOptions{limit: limit})
	if err != nil {
		return err
	}
	defer r.close()
	var text bytes.Buffer
	for i := range 200 {
		fmt.Fprintf(&text, "# HELP shop_orders_%d_total %s\n# TYPE shop_orders_%d_total counter\nshop_orders_%d_total %d\n", i,
			strings.Repeat("orders ", bodyBytes/200/7), i, i, i)
	}
	answer := append(fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n", text.Len()), text.Bytes()...)
	together := newBarrier(n, 200*time.Millisecond) // the agent may let in a few at a time
	job := agent.Job{Name: "load", Interval: interval, HonorTimes: true}
	var answered [n]atomic.Int64
	for i := range n {
		s, err := startRaw(ctx, func(ctx context.Context, c net.Conn, _ []byte) bool {
			together.wait(ctx)
			if _, err := c.Write(answer); err != nil {
				return false
			}
			answered[i].Add(1)
			return true
		})
		if err != nil {
			return err
		}
		defer s.close()
		job.Groups = append(job.Groups, agent.Group{Targets: []string{s.address()}, Labels: map[string]string{"pod": fmt.Sprintf("orders-%d", i)}})
	}
	r.config.Jobs = append(r.config.Jobs, job)
	if err := r.start(); err != nil {
		return err
	}
	// A target's turn may be put off while others have theirs, but not for ever.
	err = r.until(ctx, "answers of all targets", time.Duration(rounds)*3*interval, func() bool {
		for i := range answered {
			if answered[i].Load() < int64(rounds) {
				return false
			}
		}
		return true
	})
	t.wantAlive(r, "64 MiB")
	_, anon, _, set := r.samples.Between(time.Time{}, time.Now())
	if r.process.Ended() != "" {
		return fmt.Errorf("at most %.1f MiB resident were seen, working set %.1f: %w", mib(anon), mib(set), err)
	}
	t.want(err == nil || t.form == short, "%v", err)
	m, err := r.metrics()
	if err != nil {
		return err
	}
	said, _ := m.shed()
	up := m[`scraper_scrape_scrapes_total{result="up"}`]
	t.figure("%.0f good scrapes, %.0f failed; at most %.1f MiB resident, working set %.1f, with the kernel's sockets %.1f of 64 MiB; at most %d answers began together; %s",
		up, m[`scraper_scrape_scrapes_total{result="down"}`], mib(anon), mib(set), mib(r.group.MostUsed()), together.most.Load(),
		strings.Join(said, ", "))
	// In the short form, on a machine which does much else, all may time out.
	t.want(up >= n*float64(rounds)/4 || t.form == short, "%.0f good scrapes, want more of %d", up, n*rounds)
	r.addsUp()
	return nil
}

// barrier lets those who wait go on together: when all are there, or some time after the first one came.
type barrier struct {
	n      int64
	atMost time.Duration
	most   atomic.Int64

	state chan *gathering // holds one
}

// gathering is those who wait at a barrier now.
type gathering struct {
	n    int64
	open chan struct{}
}

func newBarrier(n int64, atMost time.Duration) *barrier {
	b := &barrier{n: n, atMost: atMost, state: make(chan *gathering, 1)}
	b.state <- &gathering{open: make(chan struct{})}
	return b
}

func (b *barrier) wait(ctx context.Context) {
	g := <-b.state
	g.n++
	mine := g
	if g.n == 1 {
		time.AfterFunc(b.atMost, func() { b.release(mine) })
	}
	full := g.n == b.n
	b.state <- g
	if full {
		b.release(mine)
	}
	select {
	case <-mine.open:
	case <-ctx.Done():
	}
}

// release opens the barrier for a gathering, unless that has happened.
func (b *barrier) release(g *gathering) {
	now := <-b.state
	if now == g {
		b.most.Store(max(b.most.Load(), g.n))
		close(g.open)
		now = &gathering{open: make(chan struct{})}
	}
	b.state <- now
}
