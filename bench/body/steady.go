package body

import (
	"fmt"
	"strings"
)

// Plain describes a target of a load which is about numbers: so many series, each with a handful of labels.
type Plain struct {
	// Target is the target's number: one label of each series is made of it, so that no two targets share a series.
	Target int
	Series int
	// Wide makes lines of 200 bytes rather than 150, as of a large aggregate.
	Wide bool
	// Shuffle and ChurnEvery are those of Text.
	Shuffle    bool
	ChurnEvery int
}

// seriesPerFamily is about what a busy server's histograms and counters come to.
const seriesPerFamily = 40

// NewPlain returns the target's text. Half of its values move with each scrape.
func NewPlain(p Plain) *Text {
	size := 150
	if p.Wide {
		size = 220
	}
	w := newWriter(p.Series*size + 4096)
	pod := fmt.Sprintf("orders-%s-%s", hexID(uint64(p.Target)*3+1, 9), hexID(uint64(p.Target)*5+2, 5))
	codes := []string{"200", "201", "400", "404", "500"}
	methods := []string{"GET", "POST", "PUT", "DELETE"}
	var b strings.Builder
	for i := range p.Series {
		family := i / seriesPerFamily
		name := fmt.Sprintf("shop_%s_%d_events_total", nouns[family%len(nouns)], family)
		if i%seriesPerFamily == 0 {
			w.family(name, "counter", "Events of this kind which the service has seen since its start.")
		}
		n := i % seriesPerFamily
		b.Reset()
		fmt.Fprintf(&b, `%s{code="%s",`, name, codes[n%len(codes)])
		gen := -1
		if p.ChurnEvery > 0 {
			b.WriteString(`generation="100000`)
			gen = b.Len()
			b.WriteString(`",`)
		}
		fmt.Fprintf(&b, `handler="/api/v1/%s/%d",method="%s",`, nouns[n%len(nouns)], n, methods[n/len(codes)%len(methods)])
		if p.Wide {
			fmt.Fprintf(&b, `origin="ip-10-0-%d-%d.eu-central-1.compute.internal",partner="production",`, p.Target%250, n)
		}
		fmt.Fprintf(&b, `pod="%s"}`, pod)
		every := uint8(0)
		if i%2 == 0 {
			every = 1
		}
		seed := uint64(p.Target)<<32 | uint64(i)
		value := digits(seed, 2+int(mix(seed)%8))
		if i%5 == 0 {
			value = decimal(seed, 3, 4)
		}
		w.sampleWithGeneration(b.String(), gen, value, every, uint16(1+mix(seed)%97))
	}
	t := w.text()
	t.Shuffle, t.ChurnEvery = p.Shuffle, p.ChurnEvery
	return t
}

// nouns make names which differ as those of real programs do.
var nouns = []string{
	"request", "order", "payment", "basket", "session", "customer", "invoice", "shipment", "product", "catalog",
	"search", "login", "token", "cache", "queue", "worker", "connection", "message", "storage", "query",
	"transaction", "address", "voucher", "return", "review", "price", "stock", "supplier", "campaign", "mail",
}
