package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"scraper/config"
	"scraper/demo"
	"scraper/receiver"
	"scraper/relabel"
	"scraper/remotewrite"
	"scraper/web"
)

// The demo's receiver keeps the last minutes of a few hundred series; these bounds are far away from that.
const (
	demoRetention  = 5 * time.Minute
	demoMaxSeries  = 5000
	demoMaxSamples = 128
)

// demoSide is what stands on both sides of the agent in the demo: an exporter and a receiver, both on loopback.
type demoSide struct {
	exporter net.Listener
	server   *http.Server
	receiver *receiver.Receiver
	sink     *receiver.Server
}

func newDemoSide(ctx context.Context) (*demoSide, error) {
	rec, err := receiver.New(receiver.Options{Version2: true, Retention: demoRetention, MaxSeries: demoMaxSeries, MaxSamplesPerSeries: demoMaxSamples})
	if err != nil {
		return nil, err
	}
	sink, err := rec.Listen("127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		_ = sink.Close()
		return nil, err
	}
	return &demoSide{
		exporter: l,
		server:   &http.Server{Handler: demo.New(demo.Options{Start: time.Now()}), ReadHeaderTimeout: 10 * time.Second},
		receiver: rec,
		sink:     sink,
	}, nil
}

// run serves both until ctx is done.
func (d *demoSide) run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = d.server.Close() })
	defer stop()
	done := make(chan error, 1)
	go func() { done <- d.sink.Run(ctx) }()
	if err := d.server.Serve(d.exporter); err != nil && ctx.Err() == nil {
		return fmt.Errorf("serve the demo exporter: %w", err)
	}
	return <-done
}

// destination is the demo's receiver as the agent sees it.
func (d *demoSide) destination() remotewrite.Destination {
	return remotewrite.Destination{Name: "demo-receiver", URL: d.sink.WriteURL()}
}

// load makes the configuration: the exporter and the agent itself are the targets.
func (d *demoSide) load(s *Settings) func() (*config.Config, error) {
	return func() (*config.Config, error) {
		text := demo.Config(d.exporter.Addr().String(), localAddr(s))
		return config.Parse([]byte(text), config.Options{Dialect: s.Dialect, Name: "demo"})
	}
}

// localAddr is the agent's first listen address as this host reaches it.
func localAddr(s *Settings) string {
	if len(s.Listen) == 0 {
		return "127.0.0.1:8429"
	}
	host, port, err := net.SplitHostPort(s.Listen[0].Addr)
	if err != nil {
		return s.Listen[0].Addr
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

// latest are the newest values as they arrived at the receiver.
func (d *demoSide) latest(limit int, filter string) []web.LatestValue {
	var values []web.LatestValue
	for _, v := range d.receiver.Latest(limit, filter) {
		w := web.LatestValue{Value: v.Value, At: time.UnixMilli(v.TimestampMillis), Stale: v.Stale}
		for _, l := range v.Labels {
			w.Labels = append(w.Labels, relabel.Label{Name: l.Name, Value: l.Value})
		}
		values = append(values, w)
	}
	return values
}

// welcome says where to look.
func (d *demoSide) welcome(w io.Writer, s *Settings) {
	fmt.Fprintf(w, `Scraper's demo runs: an exporter, the agent, and a receiver, all in this process.

  http://%s/          the targets, and the newest values as they arrived at the receiver
  http://%s/metrics   the agent's own metrics
  http://%s/metrics  the exporter
  http://%s/api/v1/series  what the receiver holds

Stop it with Ctrl-C.
`, shownAddr(s), shownAddr(s), d.exporter.Addr(), d.sink.Addr())
}

// shownAddr is the agent's address as a person would type it.
func shownAddr(s *Settings) string {
	host, port, err := net.SplitHostPort(localAddr(s))
	if err == nil && host == "127.0.0.1" {
		return "localhost:" + port
	}
	return localAddr(s)
}
