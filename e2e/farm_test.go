package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"scraper/receiver"
)

// farm serves targets over TCP on loopback, and remembers what it served. Each target is a path, and may be asked for at
// each of the farm's addresses.
type farm struct {
	addresses []string
	srv       *http.Server
	serving   sync.WaitGroup
	stopped   context.Context // done when the farm closes, and with it what is held
	stop      context.CancelFunc
	open      atomic.Int64 // connections which are open

	mu      sync.Mutex
	targets map[string]*target
}

// target is one target of a farm.
type target struct {
	name   string
	answer answer

	mu     sync.Mutex
	begun  int
	ended  int
	served []serving // in the order in which they ended
}

// answer answers the n-th request of a target, counted from 1.
type answer func(n int, w http.ResponseWriter, r *http.Request)

// serving is one request which was answered whole, as far as the farm can tell.
type serving struct {
	n      int
	begun  time.Time
	ended  time.Time
	remote string // the client's address, which tells connections apart
}

// startFarm starts a farm with the given number of addresses. It ends with the test.
func startFarm(t testing.TB, addresses int) *farm {
	t.Helper()
	f := &farm{targets: make(map[string]*target)}
	f.stopped, f.stop = context.WithCancel(context.Background())
	f.srv = &http.Server{Handler: f, ReadHeaderTimeout: patience, ConnState: func(_ net.Conn, now http.ConnState) {
		switch now {
		case http.StateNew:
			f.open.Add(1)
		case http.StateClosed, http.StateHijacked:
			f.open.Add(-1)
		}
	}}
	for range addresses {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		f.addresses = append(f.addresses, l.Addr().String())
		f.serving.Go(func() { _ = f.srv.Serve(l) }) // until it is closed
	}
	t.Cleanup(func() {
		f.stop()
		_ = f.srv.Close()
		f.serving.Wait()
	})
	return f
}

// add adds a target, and returns it.
func (f *farm) add(name string, a answer) *target {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := &target{name: name, answer: a}
	f.targets["/"+name] = t
	return t
}

// ServeHTTP answers one scrape.
func (f *farm) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	t := f.targets[r.URL.Path]
	f.mu.Unlock()
	if t == nil {
		http.NotFound(w, r)
		return
	}
	t.mu.Lock()
	t.begun++
	n := t.begun
	t.mu.Unlock()
	defer func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.ended++
	}()
	s := serving{n: n, begun: time.Now(), remote: r.RemoteAddr}
	t.answer(n, w, r)
	if err := http.NewResponseController(w).Flush(); err != nil {
		return
	}
	s.ended = time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.served = append(t.served, s)
}

// wait waits until the client goes away, or the farm closes.
func (f *farm) wait(r *http.Request) {
	select {
	case <-r.Context().Done():
	case <-f.stopped.Done():
	}
}

// count is the number of requests which were answered.
func (t *target) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.served)
}

// idle says that what was begun is over.
func (t *target) idle() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.begun == t.ended
}

// servings returns what was served so far.
func (t *target) servings() []serving {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.served)
}

// connections are the connections which the target was asked over.
func (t *target) connections() []string {
	var all []string
	for _, s := range t.servings() {
		if !slices.Contains(all, s.remote) {
			all = append(all, s.remote)
		}
	}
	return all
}

// write answers with a body of the text format.
func write(w http.ResponseWriter, body []byte) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // the client may have gone
}

// counting answers with a number of series whose value is that of the request. So a receiver's series tell which
// requests arrived there: all of them, if the values are 1, 2, 3 and so on.
func counting(series int) answer {
	return func(n int, w http.ResponseWriter, _ *http.Request) {
		var b bytes.Buffer
		b.WriteString("# HELP served_total Requests answered, this one included.\n# TYPE served_total counter\n")
		value := strconv.Itoa(n)
		for i := range series {
			b.WriteString(`served_total{series="`)
			b.WriteString(strconv.Itoa(i))
			b.WriteString(`",path="/some/path/of/a/handler",code="200"} `)
			b.WriteString(value)
			b.WriteByte('\n')
		}
		write(w, b.Bytes())
	}
}

// job is a scrape job for some of a farm's targets. Each has its name as instance.
func (f *farm) job(name, settings string, targets ...*target) string {
	text := fmt.Sprintf("- job_name: %s\n%s  static_configs:\n", name, settings)
	for i, t := range targets {
		text += fmt.Sprintf("  - {targets: [%q], labels: {__metrics_path__: /%s, instance: %s}}\n", f.addresses[i%len(f.addresses)], t.name, t.name)
	}
	if len(targets) == 0 {
		text += "  - {targets: []}\n"
	}
	return text
}

// groups are the targets as file_sd reads them.
func (f *farm) groups(targets ...*target) string {
	text := "[]\n"
	for i, t := range targets {
		if i == 0 {
			text = ""
		}
		text += fmt.Sprintf("- {targets: [%q], labels: {__metrics_path__: /%s, instance: %s}}\n", f.addresses[i%len(f.addresses)], t.name, t.name)
	}
	return text
}

// sink is a receiver which runs until the test ends.
type sink struct {
	*receiver.Receiver
	url string
}

func startSink(t testing.TB, o receiver.Options) *sink {
	o.Zstd, o.Version2 = true, true
	t.Helper()
	r, err := receiver.New(o)
	if err != nil {
		t.Fatal(err)
	}
	s := &sink{Receiver: r}
	addr, stop := s.listen(t, "127.0.0.1:0")
	t.Cleanup(stop)
	s.url = "http://" + addr + receiver.WritePath
	return s
}

// listen serves the receiver at an address until stop is called.
func (s *sink) listen(t testing.TB, addr string) (actual string, stop func()) {
	t.Helper()
	srv, err := s.Listen(addr)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := srv.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	return srv.Addr(), func() {
		cancel()
		running.Wait()
	}
}

// wait waits until cond holds, which is asked after each request that the receiver takes.
func (s *sink) wait(t testing.TB, what string, atMost time.Duration, cond func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), atMost)
	defer cancel()
	if err := s.Wait(ctx, cond); err != nil {
		t.Fatalf("waited %v for %s; the receiver has %+v", atMost, what, s.Totals())
	}
}

// freeze makes a running agent scrape no more without ending anything: all intervals become a year. It returns when all that
// was begun is answered.
func freeze(t testing.TB, a *agent, conf string, targets ...*target) {
	t.Helper()
	text, err := os.ReadFile(conf)
	if err != nil {
		t.Fatal(err)
	}
	frozen := regexp.MustCompile(`scrape_interval: \w+`).ReplaceAllString(string(text), "scrape_interval: 1y")
	if frozen == string(text) {
		t.Fatalf("the configuration has no interval to change: %s", text)
	}
	writeFile(t, conf, frozen)
	a.mustReload(t)
	time.Sleep(200 * time.Millisecond) // a request which was begun just before may not have come yet
	waitFor(t, "what was begun to be answered", func() bool {
		return !slices.ContainsFunc(targets, func(t *target) bool { return !t.idle() })
	})
}

// failedScrapes is how many scrapes of the targets failed, by what arrived.
func failedScrapes(s *sink, targets ...*target) (failed int) {
	for _, x := range targets {
		for _, up := range s.Series(map[string]string{"__name__": "up", "instance": x.name}) {
			for _, v := range up.Samples {
				if v.Value != 1 && !v.IsStale() {
					failed++
				}
			}
		}
	}
	return failed
}

// wantUp wants that no scrape of the targets failed.
func wantUp(t testing.TB, s *sink, targets ...*target) {
	t.Helper()
	if failed := failedScrapes(s, targets...); failed > 0 {
		tooSlow(t, "%d scrapes failed, though all were answered", failed)
	}
}
