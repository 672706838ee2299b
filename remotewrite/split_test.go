package remotewrite

import (
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"scraper/bufpool/bufpooltest"
	"scraper/labelcompress"
	"scraper/receiver"
)

// picky takes no request that holds a series which it does not like. It keeps the others' samples, in order of arrival.
type picky struct {
	mu       sync.Mutex
	dislike  func(samples []wireSample) (status int, words string) // 0: it likes them
	samples  []wireSample
	requests int
	header   http.Header // of refusals
}

func (p *picky) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	samples, err := decodeRequest(readAll(r))
	if err != nil {
		panic(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests++
	if status, words := p.dislike(samples); status != 0 {
		for k := range p.header {
			w.Header().Set(k, p.header.Get(k))
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, words)
		return
	}
	p.samples = append(p.samples, samples...)
	w.WriteHeader(204)
}

// kept is what it says that it has stored of a request which it refused.
func (p *picky) kept() int {
	n, _ := strconv.Atoi(p.header.Get("X-Prometheus-Remote-Write-Samples-Written"))
	return n
}

func label(s wireSample, name string) string {
	for _, l := range s.labels {
		if l.Name == name {
			return l.Value
		}
	}
	return ""
}

// bad dislikes series by their label i.
func bad(status int, words string, which ...string) func([]wireSample) (int, string) {
	return func(samples []wireSample) (int, string) {
		for _, s := range samples {
			if i := label(s, "i"); slices.Contains(which, i) {
				return status, strings.ReplaceAll(words, "%s", i)
			}
		}
		return 0, ""
	}
}

// TestSplit refuses blocks of 1,000 series because of some of them.
func TestSplit(t *testing.T) {
	type result struct {
		refused, requests int
		series            string // of the newest refusal
		together          int    // series of it
	}
	many := func(n int) (is []string) {
		for i := range n {
			is = append(is, fmt.Sprint(i*997%1000))
		}
		return is
	}
	all := func(status int) func([]wireSample) (int, string) {
		return func([]wireSample) (int, string) { return status, "never" }
	}
	f := func(name string, dest Destination, p *picky, want result) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dest.URL = "http://a.example/"
				r := newRig(t, nil, dest)
				r.serve("a.example:80", p)
				r.run()
				r.commit(t, r.Writer, 0, 1000, 1000)
				time.Sleep(10 * second)
				b := r.balanced()
				if b.Refused+b.Dropped.Conflict != uint64(want.refused) || b.Acknowledged != uint64(1000-want.refused) || len(p.samples)+p.kept() != 1000-want.refused || b.Pending != 0 {
					t.Errorf("books %+v, %d samples arrived, want %d refused", b, len(p.samples), want.refused)
				}
				if p.requests != want.requests {
					t.Errorf("%d requests, want %d", p.requests, want.requests)
				}
				st := r.Status()[0]
				if want.refused == 0 {
					if len(st.Refusals) != 0 {
						t.Errorf("refusals %+v, want none", st.Refusals)
					}
					return
				}
				last := st.Refusals[0]
				if want.series != "" && last.Series != want.series || want.together > 0 && last.SeriesCount != want.together || last.Status < 400 || last.Answer == "" {
					t.Errorf("the last refusal is %+v, want of %d series, %s", last, want.together, want.series)
				}
				sum := 0
				for _, x := range st.Refusals {
					sum += x.Samples
				}
				if sum != want.refused && len(st.Refusals) < maxRefusals {
					t.Errorf("refusals of %d samples, want %d", sum, want.refused)
				}
				if log := r.logs.String(); !strings.Contains(log, "receiver refused samples") || !strings.Contains(log, "send: answer ") {
					t.Errorf("the log does not say it:\n%s", log)
				}
			})
		})
	}
	f("one", Destination{}, &picky{dislike: bad(400, "no %s", "700")}, result{1, 15, `m{i="700", slot="0"}`, 1})
	f("one, with 422", Destination{}, &picky{dislike: bad(422, "no", "0")}, result{1, 19, `m{i="0", slot="0"}`, 1})
	f("the last one", Destination{}, &picky{dislike: bad(400, "no", "999")}, result{1, 12, `m{i="999", slot="0"}`, 1})
	f("three side by side", Destination{}, &picky{dislike: bad(400, "no", "1", "2", "3")}, result{3, 24, `m{i="1", slot="0"}`, 1})
	f("one in each half, and words which differ", Destination{}, &picky{dislike: bad(400, "no %s", "1", "900")}, result{3, 31, "", 0})
	f("one in each half, alike", Destination{}, &picky{dislike: bad(400, "no", "1", "900")}, result{1000, 3, `m{i="500", slot="0"}`, 500})
	f("many", Destination{}, &picky{dislike: bad(400, "no %s", many(200)...)}, result{687, 32, "", 0})
	f("everything", Destination{}, &picky{dislike: all(400)}, result{1000, 3, `m{i="500", slot="0"}`, 500})
	f("everything is too large", Destination{}, &picky{dislike: all(413)}, result{1000, 15, "", 125})
	f("too large", Destination{}, &picky{dislike: func(s []wireSample) (int, string) {
		if len(s) > 200 {
			return 413, "too large"
		}
		return 0, ""
	}}, result{0, 15, "", 0})
	f("to be dropped", Destination{OnRefused: DropRefused}, &picky{dislike: bad(400, "no", "5")}, result{1000, 1, `m{i="0", slot="0"}`, 1000})
	f("conflict", Destination{}, &picky{dislike: bad(409, "has another", "5")}, result{1000, 1, `m{i="0", slot="0"}`, 1000})
	f("the rest is stored", Destination{}, &picky{
		dislike: bad(400, "partly", "5"), header: http.Header{"X-Prometheus-Remote-Write-Samples-Written": {"990"}},
	}, result{10, 1, `m{i="0", slot="0"}`, 1000})
	f("nothing is stored", Destination{}, &picky{
		dislike: bad(400, "partly", "5"), header: http.Header{"X-Prometheus-Remote-Write-Samples-Written": {"0"}},
	}, result{1, 19, `m{i="5", slot="0"}`, 1})
}

// TestRefusalsAreRemembered refuses a series with each scrape, and others now and then: all of them are there, once.
func TestRefusalsAreRemembered(t *testing.T) {
	d := &destination{}
	for i := range 100 {
		d.rememberLocked(Refusal{Series: "always", Status: 400, SeriesCount: 1, Samples: 1, Answer: fmt.Sprint(i)})
		if i%2 == 0 {
			d.rememberLocked(Refusal{Series: fmt.Sprint("m", i%50), Status: 400, SeriesCount: 1, Samples: 1})
		}
	}
	all := d.refusalsLocked()
	if len(all) != maxRefusals || all[0].Series != "always" || all[0].Samples != 100 || all[0].Answer != "99" || all[1].Series != "m48" {
		t.Errorf("refusals %+v, want the newest first, each once", all)
	}
}

// TestSplitKeepsOrder has series with several samples in one block, of which some are refused, and a receiver which is away
// in between.
func TestSplitKeepsOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int64
		dislike := bad(400, "no %s", "3", "17")
		p := &picky{}
		p.dislike = func(s []wireSample) (int, string) {
			if n.Add(1)%5 == 2 {
				return 503, "not now"
			}
			return dislike(s)
		}
		r := newRig(t, onDisk(t.TempDir()), Destination{URL: "http://a.example/", MaxRowsPerBlock: 400})
		r.serve("a.example:80", p)
		r.run()
		var total uint64
		for round := range 50 {
			for slot := range uint64(2) {
				for k := range 5 {
					r.commit(t, r.Writer, slot, 20, int64(round*10+k+1)*1000)
					total += 20
				}
			}
			time.Sleep(second)
		}
		time.Sleep(time.Hour)
		b := r.balanced()
		if b.Refused == 0 || b.Acknowledged+b.Refused != total || uint64(len(p.samples)) != b.Acknowledged || b.Pending != 0 {
			t.Errorf("books %+v of %d samples; %d arrived", b, total, len(p.samples))
		}
		if b.Refused > total*4/20 {
			t.Errorf("%d of %d samples were refused, want little more than those of two series in twenty", b.Refused, total)
		}
		newest := make(map[string]int64)
		for _, s := range p.samples {
			key := fmt.Sprint(s.labels)
			if s.ts <= newest[key] {
				t.Errorf("%v came after %d", s, newest[key])
			}
			newest[key] = s.ts
		}
	})
}

// TestSplitIsRepeatedAfterStop stops while a block is being halved: what was not delivered is on disk, whole.
func TestSplitIsRepeatedAfterStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		var n atomic.Int64
		dislike := bad(400, "no %s", "7")
		p := &picky{}
		p.dislike = func(s []wireSample) (int, string) {
			if k := n.Add(1); k > 2 && k < 20 {
				return 503, "not now"
			}
			return dislike(s)
		}
		r := newRig(t, func(o *Options) { o.QueueDir = dir }, Destination{URL: "http://a.example/"})
		stopServer := r.serve("a.example:80", p)
		r.run()
		r.commit(t, r.Writer, 0, 100, 1000)
		time.Sleep(3 * second)
		r.stop()
		stopServer()
		if b := r.balanced(); b.Pending != 100 {
			t.Errorf("books %+v, want all pending", b)
		}
		n.Store(100)
		r = newRig(t, func(o *Options) { o.QueueDir = dir }, Destination{URL: "http://a.example/"})
		r.serve("a.example:80", p)
		r.run()
		time.Sleep(time.Minute)
		if b := r.balanced(); b.Recovered != 100 || b.Refused != 1 || b.Acknowledged != 99 {
			t.Errorf("books %+v, want 99 acknowledged, and one refused", b)
		}
		arrived := make(map[string]bool)
		for _, s := range p.samples {
			arrived[label(s, "i")] = true
		}
		if len(arrived) != 99 {
			t.Errorf("%d series arrived, want 99", len(arrived))
		}
	})
}

// TestSplitIsCountedAtTheEnd stops while a block is being halved which is in memory alone: what arrived is not counted as lost.
func TestSplitIsCountedAtTheEnd(t *testing.T) {
	for _, remove := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var n atomic.Int64
			p := &picky{}
			p.dislike = func([]wireSample) (int, string) {
				switch n.Add(1) {
				case 1:
					return 400, "no"
				case 2:
					return 0, ""
				}
				return 503, "not now"
			}
			r := newRig(t, nil, Destination{URL: "http://a.example/"})
			r.serve("a.example:80", p)
			r.run()
			r.commit(t, r.Writer, 0, 10, 1000)
			time.Sleep(5 * second)
			if remove {
				if err := r.Apply(nil); err != nil {
					t.Fatal(err)
				}
				time.Sleep(3 * second)
				if b := r.balanced(); b.Pending != 10 {
					t.Errorf("books %+v while there is time", b)
				}
				time.Sleep(time.Minute)
				return
			}
			r.stop()
			if b := r.balanced(); b.Acknowledged != 5 || b.Dropped.Shutdown != 5 || b.Pending != 0 {
				t.Errorf("books %+v, want five acknowledged and five dropped", b)
			}
		})
	}
}

// TestSplitExpires has a block which becomes too old while it is being halved.
func TestSplitExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int64
		p := &picky{}
		p.dislike = func([]wireSample) (int, string) {
			switch n.Add(1) {
			case 1:
				return 400, "no"
			case 2:
				return 0, ""
			}
			return 503, "not now"
		}
		r := newRig(t, nil, Destination{URL: "http://a.example/", MaxBlockAge: time.Minute})
		r.serve("a.example:80", p)
		r.run()
		r.commit(t, r.Writer, 0, 10, 1000)
		time.Sleep(5 * time.Minute)
		if b := r.balanced(); b.Acknowledged != 5 || b.Expired != 5 || b.Pending != 0 {
			t.Errorf("books %+v, want five acknowledged and five expired", b)
		}
	})
}

// TestOnAuthError drops what is answered by 401, 403 and 404, if it is asked for.
func TestOnAuthError(t *testing.T) {
	for _, code := range []int{401, 403, 404} {
		synctest.Test(t, func(t *testing.T) {
			s := &script{steps: []http.HandlerFunc{status(code), status(204)}}
			r := newRig(t, nil, Destination{URL: "http://a.example/", OnAuthError: DropOnAuthError})
			r.serve("a.example:80", s)
			r.run()
			r.commit(t, r.Writer, 0, 10, 1000)
			time.Sleep(time.Minute)
			if b := r.balanced(); b.Refused != 10 || s.requests() != 1 {
				t.Errorf("books after %d: %+v, %d requests, want ten samples refused by one", code, b, s.requests())
			}
		})
	}
}

// TestEveryStatus gives each answer from 300 to 599 once, with redirects which lead nowhere.
func TestEveryStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var next atomic.Int64
		next.Store(300)
		rc := newReceiver(t, receiver.Options{Intercept: func(w http.ResponseWriter, _ *http.Request) bool {
			code := next.Add(1) - 1
			if code > 599 {
				return false
			}
			w.WriteHeader(int(code))
			return true
		}})
		r := newRig(t, onDisk(t.TempDir()), Destination{URL: destA, MinSenders: 1, MaxSenders: 1, RetryMax: 2 * second})
		r.serve("a.example:80", rc)
		r.run()
		total := uint64(0)
		for ts := int64(1000); next.Load() <= 599; ts += 1000 {
			r.commit(t, r.Writer, 0, 10, ts)
			total += 10
			time.Sleep(10 * second)
		}
		time.Sleep(time.Minute)
		// All but what met 409 and 415 arrives. The block that they meet may be halved, since it has met 400.
		b := r.balanced()
		lost := b.Dropped.Conflict + b.Dropped.Unsupported + b.Refused
		if b.Dropped.Conflict == 0 || b.Dropped.Unsupported == 0 || lost > 20 || b.Acknowledged != total-lost || rc.Totals().Samples != total-lost {
			t.Errorf("books %+v of %d samples, and %d arrived", b, total, rc.Totals().Samples)
		}
		if err := rc.Verify().Err(); err != nil {
			t.Error(err)
		}
	})
}

// TestReadRequest reads what is no request.
func TestReadRequest(t *testing.T) {
	f := func(raw string) {
		t.Helper()
		var seen []string
		err := eachField([]byte(raw), func(num, from, body, to int) error {
			if from >= body || body > to || to > len(raw) {
				t.Errorf("field %d of %q is %d, %d, %d", num, raw, from, body, to)
			}
			seen = append(seen, fmt.Sprint(num))
			return nil
		})
		if err == nil {
			t.Errorf("eachField(%q) = fields %v, want an error", raw, seen)
		}
	}
	for _, raw := range []string{"\x0a", "\x0a\x05abc", "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "\x09abc", "\x08", "\x0b", "\x00\x00", "\x0d123", "\xff"} {
		f(raw)
	}
	if got := (&request{}).messageText([]byte("\x0a\x0a\x0a\x01a\x12\x05x\"y\xffz")); got != `{a="x\"y\xffz"}` {
		t.Errorf("messageText = %s", got)
	}
	long := strings.Repeat("x", 3000)
	var series []byte
	for _, l := range [][2]string{{"__name__", "m"}, {"a", long}} {
		series = labelcompress.AppendLabel(series, l[0], l[1])
	}
	msg := append(binary.AppendUvarint([]byte{tagSeries}, uint64(len(series))), series...)
	_ = eachField(msg, func(_, _, body, to int) error {
		if got := (&request{}).messageText(msg[body:to]); len(got) > maxSeriesText+4 || !strings.HasPrefix(got, `m{a="xxx`) {
			t.Errorf("a long series is shown as %q", got)
		}
		return nil
	})
}

// FuzzReadRequest reads any bytes as a request, and cuts it in two: what is one is all there afterwards.
func FuzzReadRequest(f *testing.F) {
	f.Add([]byte("\x0a\x14\x0a\x06\x0a\x01a\x12\x01x\x0a\x06\x0a\x01b\x12\x01y\x12\x02\x10\x05\x0a\x0c\x0a\x06\x0a\x01a\x12\x01x\x12\x02\x10\x06"))
	f.Add([]byte("\x22\x00\x22\x01a\x2a\x06\x0a\x02\x00\x01\x12\x00"))
	f.Add([]byte("\x0a\x05abc"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		pool := bufpooltest.New(t)
		buf := pool.Get(len(raw))
		buf.B = append(buf.B[:0], raw...)
		r := &request{raw: buf}
		defer r.close()
		if err := r.index(0); err != nil && len(r.msgs) == 0 {
			return
		}
		sum, half := 0, r.series/2
		for _, m := range r.msgs {
			sum += m.rows
			if m.from > m.body || m.body > m.to || m.to > len(raw) || m.series >= r.series {
				t.Fatalf("message %+v of %d bytes, %d series", m, len(raw), r.series)
			}
		}
		if got := r.rows(0, half) + r.rows(half, r.series); got != sum {
			t.Errorf("halves have %d samples, want %d", got, sum)
		}
		for i := range r.series {
			if text := r.seriesText(i); len(text) > maxSeriesText+4 {
				t.Errorf("a series is shown in %d bytes", len(text))
			}
		}
	})
}
