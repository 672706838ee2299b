package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/snappy"
)

// learnt is what a target's text was like: the series in order, and their labels as remote write has them.
type learnt struct {
	series []known
	keys   []byte         // what stands before the values, one after the other
	labels []byte         // the encoded labels, one after the other
	next   int            // the series which is expected next
	index  map[string]int // of all series by key; nil until one came out of order
}

type known struct{ key, keyEnd, labels, labelsEnd uint32 }

// lines appends each sample of the text to b, and returns the batch to go on with.
func (l *learnt) lines(text []byte, t *target, out *pusher, b *batch, tsMillis int64) *batch {
	for len(text) > 0 {
		var line []byte
		if line, text, _ = bytes.Cut(text, []byte("\n")); len(line) == 0 || line[0] == '#' {
			continue
		}
		k := l.find(line, t)
		value := line[k.keyEnd-k.key:]
		ts := tsMillis
		if v, stamp, ok := bytes.Cut(value, []byte(" ")); ok {
			value = v
			if n, err := strconv.ParseInt(string(stamp), 10, 64); err == nil {
				ts = n
			}
		}
		v, err := strconv.ParseFloat(string(value), 64)
		if err != nil {
			continue
		}
		b.add(l.labels[k.labels:k.labelsEnd], v, ts)
		if b.samples == samplesPerBatch {
			out.done(b)
			b = out.batch()
		}
	}
	return b
}

// find returns the line's series: most often the one which is expected.
func (l *learnt) find(line []byte, t *target) known {
	if l.next < len(l.series) {
		k := l.series[l.next]
		if bytes.HasPrefix(line, l.keys[k.key:k.keyEnd]) {
			l.next++
			return k
		}
	}
	end := bytes.IndexByte(line, '}') + 1
	if end == 0 {
		end = bytes.IndexByte(line, ' ')
	}
	if l.index == nil && l.next < len(l.series) {
		l.index = make(map[string]int, len(l.series))
		for i, k := range l.series {
			l.index[string(l.keys[k.key:k.keyEnd])] = i
		}
	}
	if i, ok := l.index[string(line[:end+1])]; ok {
		l.next = i + 1
		return l.series[i]
	}
	l.learn(line, end, t)
	last := len(l.series) - 1
	if l.index != nil {
		l.index[string(line[:end+1])] = last
	} else {
		l.next = last + 1
	}
	return l.series[last]
}

// learn adds a series that was not seen yet, and which is line[:end].
func (l *learnt) learn(line []byte, end int, t *target) {
	k := known{key: uint32(len(l.keys)), labels: uint32(len(l.labels))}
	name, rest, _ := strings.Cut(string(line[:end]), "{")
	pairs := [][2]string{{"__name__", name}, {"job", t.job}, {"instance", t.addr}}
	for label, value := range t.labels {
		if !strings.HasPrefix(label, "__") {
			pairs = append(pairs, [2]string{label, value})
		}
	}
	for rest = strings.TrimSuffix(rest, "}"); rest != ""; {
		label, after, _ := strings.Cut(rest, `="`)
		value, next, ok := strings.Cut(after, `"`)
		if !ok {
			break
		}
		if !slices.ContainsFunc(pairs, func(p [2]string) bool { return p[0] == label }) && value != "" {
			pairs = append(pairs, [2]string{label, value})
		}
		rest = strings.TrimPrefix(next, ",")
	}
	slices.SortFunc(pairs, func(a, b [2]string) int { return strings.Compare(a[0], b[0]) })
	for _, p := range pairs {
		size := 2 + uvarintLen(len(p[0])) + len(p[0]) + uvarintLen(len(p[1])) + len(p[1])
		l.labels = binary.AppendUvarint(append(l.labels, 1<<3|2), uint64(size))
		l.labels = binary.AppendUvarint(append(l.labels, 1<<3|2), uint64(len(p[0])))
		l.labels = append(l.labels, p[0]...)
		l.labels = binary.AppendUvarint(append(l.labels, 2<<3|2), uint64(len(p[1])))
		l.labels = append(l.labels, p[1]...)
	}
	l.keys = append(l.keys, line[:end+1]...) // with the blank
	k.keyEnd, k.labelsEnd = uint32(len(l.keys)), uint32(len(l.labels))
	l.series = append(l.series, k)
}

func uvarintLen(n int) int {
	size := 1
	for ; n >= 0x80; n >>= 7 {
		size++
	}
	return size
}

const samplesPerBatch = 10_000

// batch is a request in the making.
type batch struct {
	msg     []byte
	samples int
}

func (b *batch) add(labels []byte, v float64, tsMillis int64) {
	sample := 1 + 8 + 1 + varintLen(uint64(tsMillis))
	msg := binary.AppendUvarint(append(b.msg, 1<<3|2), uint64(len(labels)+2+sample))
	msg = append(msg, labels...)
	msg = append(msg, 2<<3|2, byte(sample), 1<<3|1)
	msg = binary.LittleEndian.AppendUint64(msg, math.Float64bits(v))
	b.msg = binary.AppendUvarint(append(msg, 2<<3), uint64(tsMillis))
	b.samples++
}

func varintLen(n uint64) int {
	size := 1
	for ; n >= 0x80; n >>= 7 {
		size++
	}
	return size
}

// pusher sends batches, each of one or several scrapes, once a second or when they are full.
type pusher struct {
	url, token string
	client     *http.Client

	mu   sync.Mutex
	open []*batch // not full, nobody writes to them
	full chan *batch
	free chan *batch
}

func newPusher(url, token string) *pusher {
	return &pusher{url: url, token: token, full: make(chan *batch, 4), free: make(chan *batch, 4),
		client: &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
			// The benchmark's own endpoint on this machine.
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		}}}
}

// batch returns one to append to.
func (p *pusher) batch() *batch {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.open); n > 0 {
		b := p.open[n-1]
		p.open = p.open[:n-1]
		return b
	}
	select {
	case b := <-p.free:
		return b
	default:
		return &batch{}
	}
}

// done takes a batch back.
func (p *pusher) done(b *batch) {
	if b.samples >= samplesPerBatch {
		p.full <- b
		return
	}
	p.mu.Lock()
	p.open = append(p.open, b)
	p.mu.Unlock()
}

// run sends.
func (p *pusher) run() {
	var zipped []byte
	send := func(b *batch) {
		if b.samples > 0 {
			zipped = snappy.Encode(zipped[:cap(zipped)], b.msg)
			if err := p.post(zipped); err != nil {
				fmt.Fprintln(os.Stderr, "floor:", err)
			}
		}
		b.msg, b.samples = b.msg[:0], 0
		select {
		case p.free <- b:
		default:
		}
	}
	for tick := time.Tick(time.Second); ; {
		select {
		case b := <-p.full:
			send(b)
		case <-tick:
			p.mu.Lock()
			open := p.open
			p.open = nil
			p.mu.Unlock()
			for _, b := range open {
				send(b)
			}
		}
	}
}

func (p *pusher) post(block []byte) error {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, p.url, bytes.NewReader(block))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	req.Header.Set("Content-Encoding", "snappy")
	req.Header.Set("X-Prometheus-Remote-Write-Version", "0.1.0")
	if p.token != "" {
		req.Header.Set("Authorization", "Bearer "+p.token)
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("push: status %d", resp.StatusCode)
	}
	return nil
}
