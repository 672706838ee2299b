package remotewrite

import (
	"bytes"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"scraper/batch"
	"scraper/bufpool/bufpooltest"
	"scraper/labelcompress"
)

// TestRecodeKeepsMetadata writes blocks with metadata in each protocol, and then in another, which makes no difference.
func TestRecodeKeepsMetadata(t *testing.T) {
	pool := bufpooltest.New(t)
	var account atomic.Int64
	b := newBuilder(pool, &account)
	b.open(nil)
	label := func(name, value string) uint32 { return b.addLabel(labelcompress.AppendLabel(nil, name, value)) }
	job := []uint32(nil)
	sample := func(name string) {
		labels := []uint32{label("__name__", name)}
		if job == nil {
			job = []uint32{label("job", "j")}
		}
		b.appendNumbered(append(labels, job...), &row{value: 1.5, tsMillis: 1760000000000})
	}
	sample("before_all")
	family := func(typ uint8, name, help, unit string, series ...string) {
		b.beginFamily(batch.Metadata{Type: typ, Family: []byte(name), Help: []byte(help), Unit: []byte(unit)}, true, 1<<20)
		for _, s := range series {
			sample(name + s)
		}
	}
	family(3, "latency", "How long it takes.", "seconds", "_bucket", "_sum", "_count")
	family(5, "size", "How large it is.", "", "", "_sum", "_count")
	family(1, "requests_total", "How many came.", "", "")
	family(2, "sum", "", "", "")
	b.endFamily()
	sample("after_all")
	c := newCodec(pool, 0)
	raw := func(blk *block) []byte {
		buf, err := c.unpack(blk)
		if err != nil {
			t.Fatal(err)
		}
		defer buf.Release()
		return bytes.Clone(buf.B)
	}
	for from := Protocol1; from < protocols; from++ {
		for to := Protocol1; to < protocols; to++ {
			blk, want := c.encode(&b, from, 0, time.Time{}), c.encode(&b, to, 0, time.Time{})
			got, err := c.recode(blk, to)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(raw(got), raw(want)) {
				t.Errorf("from %v to %v: %q, want %q", from, to, raw(got), raw(want))
			}
			for _, x := range []*block{blk, want, got} {
				x.release()
			}
		}
	}
	b.discard()
}

// TestMissedExemplars compares what receivers say with what was sent.
func TestMissedExemplars(t *testing.T) {
	f := func(header string, p Protocol, sent, want int) {
		t.Helper()
		h := http.Header{}
		if header != "" {
			h.Set("X-Prometheus-Remote-Write-Exemplars-Written", header)
		}
		if got := missedExemplars(h, &block{protocol: p, exemplars: sent}); got != want {
			t.Errorf("missedExemplars(%q of %d, %v) = %d, want %d", header, sent, p, got, want)
		}
	}
	f("3", Protocol2, 5, 2)
	f("5", Protocol2, 5, 0)
	f("7", Protocol2, 5, 0)
	f("0", Protocol2, -1, 0) // nobody knows
	f("", Protocol2, 5, 0)
	f("-1", Protocol2, 5, 0)
	f("many", Protocol2, 5, 0)
	f("3", Protocol1, 5, 0)
}
