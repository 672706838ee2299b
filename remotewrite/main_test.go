package remotewrite

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/klauspost/compress/snappy"

	"scraper/batch"
	"scraper/bufpool"
	"scraper/bufpool/bufpooltest"
	"scraper/internal/leaktest"
	"scraper/internal/memnet"
	"scraper/labelcompress"
	"scraper/labelset"
	"scraper/receiver"
	"scraper/relabel"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// target makes batches as a scrape target does.
type target struct {
	dict  *labelcompress.Dict
	store *labelset.Store
	pool  *bufpool.Pool
	sets  map[string]labelset.ID
}

func newTarget(t testing.TB, pool *bufpool.Pool) *target {
	dict := labelcompress.New(labelcompress.Options{})
	tg := &target{dict: dict, store: labelset.New(dict, nil), pool: pool, sets: make(map[string]labelset.ID)}
	t.Cleanup(func() {
		tg.store.Close()
		if n := dict.Stats().Misuses; n != 0 {
			t.Errorf("the dictionary was misused %d times", n)
		}
	})
	return tg
}

// set returns the label set of name, value pairs, which must be sorted by name.
func (tg *target) set(t testing.TB, pairs ...string) labelset.ID {
	t.Helper()
	key := strings.Join(pairs, "\xff")
	if id, ok := tg.sets[key]; ok {
		return id
	}
	var refs []labelcompress.Ref
	for i := 0; i < len(pairs); i += 2 {
		r, err := tg.dict.InternString(pairs[i], pairs[i+1])
		if err != nil {
			t.Fatal(err)
		}
		refs = append(refs, r)
	}
	id, err := tg.store.Add(refs)
	if err != nil {
		t.Fatal(err)
	}
	tg.sets[key] = id
	return id
}

// batch returns a batch of series numbered from 0 to n-1 with the given timestamp.
func (tg *target) batch(t testing.TB, slot uint64, n int, tsMillis int64) *batch.Batch {
	t.Helper()
	b := tg.empty(slot, tsMillis)
	for i := range n {
		b.Append(tg.set(t, "__name__", "m", "i", fmt.Sprint(i), "slot", fmt.Sprint(slot)), float64(tsMillis)+float64(i))
	}
	return b
}

func (tg *target) empty(slot uint64, tsMillis int64) *batch.Batch {
	b := batch.New(tg.pool)
	b.Slot, b.TimestampMillis, b.Sets = slot, tsMillis, tg.store
	return b
}

// commit commits a batch of n series and gives it back.
func (tg *target) commit(t testing.TB, w *Writer, slot uint64, n int, tsMillis int64) batch.Dropped {
	t.Helper()
	b := tg.batch(t, slot, n, tsMillis)
	defer b.Reset()
	return w.Commit(b)
}

// wireSample is one sample as it was received: what the oracle makes of a request.
type wireSample struct {
	labels []relabel.Label
	bits   uint64
	ts     int64
}

func (s wireSample) String() string {
	return fmt.Sprintf("%v %x @%d", s.labels, s.bits, s.ts)
}

// decodeRequest is a slow, obvious reader of remote write 1, which accepts nothing that is not meant to be there.
func decodeRequest(body []byte) (samples []wireSample, err error) {
	raw, err := snappy.DecodeStrict(nil, body)
	if err != nil {
		return nil, err
	}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("decode: %v", r)
		}
	}()
	fields(raw, func(num int, msg []byte, _ uint64) {
		if num != 1 {
			panic(fmt.Sprintf("request has field %d", num))
		}
		var s wireSample
		seen := 0
		fields(msg, func(num int, msg []byte, _ uint64) {
			switch num {
			case 1:
				var l relabel.Label
				fields(msg, func(num int, text []byte, _ uint64) {
					switch num {
					case 1:
						l.Name = string(text)
					case 2:
						l.Value = string(text)
					default:
						panic("label has another field")
					}
				})
				s.labels = append(s.labels, l)
			case 2:
				seen++
				fields(msg, func(num int, _ []byte, v uint64) {
					switch num {
					case 1:
						s.bits = v
					case 2:
						s.ts = int64(v)
					default:
						panic("sample has another field")
					}
				})
			default:
				panic("series has another field")
			}
		})
		if seen != 1 {
			panic(fmt.Sprintf("series has %d samples", seen))
		}
		samples = append(samples, s)
	})
	return samples, nil
}

func fields(b []byte, f func(num int, msg []byte, v uint64)) {
	for len(b) > 0 {
		tag, n := binary.Uvarint(b)
		if n <= 0 {
			panic("bad tag")
		}
		b = b[n:]
		switch tag & 7 {
		case 0:
			v, n := binary.Uvarint(b)
			if n <= 0 {
				panic("bad varint")
			}
			f(int(tag>>3), nil, v)
			b = b[n:]
		case 1:
			f(int(tag>>3), nil, binary.LittleEndian.Uint64(b))
			b = b[8:]
		case 2:
			l, n := binary.Uvarint(b)
			if n <= 0 {
				panic("bad length")
			}
			b = b[n:]
			f(int(tag>>3), b[:l], 0)
			b = b[l:]
		default:
			panic("bad wire type")
		}
	}
}

// blockBytes returns a block's payload in one piece.
func blockBytes(b *block) []byte {
	var out []byte
	for seg, off := 0, 0; ; {
		var view []byte
		view, seg, off = b.part(seg, off)
		if len(view) == 0 {
			return out
		}
		out = append(out, view...)
		off += len(view)
	}
}

// rig is a Writer over a network in memory, with receivers. Use it in a synctest bubble.
type rig struct {
	*Writer
	*target
	t    *testing.T
	net  memnet.Network
	logs *logBuffer
	stop func()
	done chan struct{}
}

// newRig returns a Writer, which sends remote write 1.0; change, if not nil, may alter its options.
func newRig(t *testing.T, change func(*Options), dests ...Destination) *rig {
	t.Helper()
	pool := bufpooltest.New(t)
	r := &rig{target: newTarget(t, pool), t: t, logs: new(logBuffer), done: make(chan struct{})}
	o := Options{Protocol: Protocol1, Destinations: dests, Pool: pool, Logger: slog.New(slog.NewTextHandler(r.logs, nil)), DialContext: r.net.DialContext}
	if change != nil {
		change(&o)
	}
	w, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	r.Writer = w
	return r
}

// run starts Run.
func (r *rig) run() {
	ctx, cancel := context.WithCancel(context.Background())
	var once sync.Once
	r.stop = func() {
		once.Do(func() {
			cancel()
			<-r.done
			r.balanced()
			if s := r.Stats(); s != (Stats{}) {
				r.t.Errorf("Stats() after Run = %+v, want nothing", s)
			}
		})
	}
	go func() {
		defer close(r.done)
		if err := r.Run(ctx); err != nil {
			r.t.Errorf("Run() = %v", err)
		}
	}()
	synctest.Wait()
	r.t.Cleanup(r.stop)
}

// balanced checks the books, and returns those of the first destination.
func (r *rig) balanced() Books {
	r.t.Helper()
	all := r.Books()
	for _, b := range all {
		if n := b.Unbalanced(); n != 0 {
			r.t.Errorf("books are unbalanced by %d: %v", n, b)
		}
	}
	if len(all) == 0 {
		return Books{}
	}
	return all[0].Books
}

// serve serves a handler at addr.
func (r *rig) serve(addr string, h http.Handler) (closeServer func()) {
	r.t.Helper()
	l, err := r.net.Listen(addr)
	if err != nil {
		r.t.Fatal(err)
	}
	return serve(r.t, l, h)
}

func serve(t *testing.T, l net.Listener, h http.Handler) func() {
	var handlers sync.WaitGroup
	counted := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handlers.Add(1)
		defer handlers.Done()
		h.ServeHTTP(w, r)
	})
	s := &http.Server{Handler: counted, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l)
	}()
	stop := sync.OnceFunc(func() {
		_ = s.Close()
		<-done
		handlers.Wait()
	})
	t.Cleanup(stop)
	return stop
}

func newReceiver(t testing.TB, o receiver.Options) *receiver.Receiver {
	t.Helper()
	rc, err := receiver.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return rc
}

// logBuffer collects log lines.
type logBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// count is the number of lines with this message.
func (l *logBuffer) count(msg string) int { return strings.Count(l.String(), `msg="`+msg) }

// script answers one request after the other, and keeps answering as the last one says.
type script struct {
	mu      sync.Mutex
	steps   []http.HandlerFunc
	times   []time.Time
	bodies  [][]byte
	headers []http.Header
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body := readAll(r)
	s.mu.Lock()
	n := len(s.times)
	s.times = append(s.times, time.Now())
	s.bodies = append(s.bodies, body)
	s.headers = append(s.headers, r.Header.Clone())
	step := s.steps[min(n, len(s.steps)-1)]
	s.mu.Unlock()
	step(w, r)
}

// gaps are the times between requests.
func (s *script) gaps() (gaps []time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := 1; i < len(s.times); i++ {
		gaps = append(gaps, s.times[i].Sub(s.times[i-1]))
	}
	return gaps
}

func (s *script) requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.times)
}

func readAll(r *http.Request) []byte {
	var out []byte
	buf := make([]byte, 4096)
	for {
		n, err := r.Body.Read(buf)
		out = append(out, buf[:n]...)
		if err != nil {
			return out
		}
	}
}

func status(code int, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
	}
}

func sorted(samples []wireSample) []string {
	var s []string
	for _, x := range samples {
		s = append(s, x.String())
	}
	slices.Sort(s)
	return s
}

func bitsOf(v float64) uint64 { return math.Float64bits(v) }
