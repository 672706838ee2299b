package receiver

import (
	"math"
	"slices"
	"strings"
	"time"
)

// store keeps series and their last samples. It is guarded by the Receiver's mutex. As a visitor it takes what a
// decoder finds; begin goes before each request.
type store struct {
	opts       Options
	byKey      map[string]*kept
	labelBytes int64 // of all keys
	nextSweep  time.Time

	// Of the current request:
	now     time.Time
	totals  *Totals
	current *kept // nil where the series is not kept
}

// kept is one series.
type kept struct {
	key     string
	samples []Sample // in the order of arrival
	newest  int64    // the highest timestamp so far, in milliseconds
	arrived time.Time

	received, outOfOrder, duplicates, conflicts uint64
}

func newStore(opts Options) store { return store{opts: opts, byKey: make(map[string]*kept)} }

func (st *store) begin(now time.Time, totals *Totals) {
	st.now, st.totals, st.current = now, totals, nil
	st.sweep(now)
}

func (st *store) series(key []byte, _ uint64) {
	if st.current = st.byKey[string(key)]; st.current != nil {
		return
	}
	if len(st.byKey) >= st.opts.MaxSeries || st.labelBytes+int64(len(key)) > st.opts.MaxLabelBytes {
		return
	}
	st.current = &kept{key: string(key), newest: math.MinInt64}
	st.byKey[st.current.key] = st.current
	st.labelBytes += int64(len(key))
}

func (st *store) sample(tsMillis int64, bits uint64) {
	k := st.current
	if k == nil {
		st.totals.NotKept++
		return
	}
	k.received++
	k.arrived = st.now
	s := Sample{tsMillis, math.Float64frombits(bits)}
	if len(k.samples) > 0 && tsMillis <= k.newest {
		same := func(o Sample) bool { return o.TimestampMillis == tsMillis }
		if i := slices.IndexFunc(k.samples, same); i >= 0 {
			k.duplicates++
			st.totals.Duplicates++
			if k.samples[i].bits() != bits {
				k.conflicts++
				st.totals.Conflicts++
			}
			return
		}
		k.outOfOrder++
		st.totals.OutOfOrder++
	}
	k.newest = max(k.newest, tsMillis)
	k.samples = append(k.samples, s)
	st.trim(k)
}

// trim drops the oldest samples of a series which is too long or too old. The array behind them is given back by
// the next append which needs a new one.
func (st *store) trim(k *kept) {
	drop := max(0, len(k.samples)-st.opts.MaxSamplesPerSeries)
	if r := st.opts.Retention.Milliseconds(); r > 0 {
		for drop < len(k.samples)-1 && k.newest-k.samples[drop].TimestampMillis > r {
			drop++
		}
	}
	k.samples = k.samples[drop:]
}

// sweep drops the series for which nothing arrived during the retention. It looks at all of them, so it does that
// eight times per retention at most.
func (st *store) sweep(now time.Time) {
	if st.opts.Retention == 0 || now.Before(st.nextSweep) {
		return
	}
	st.nextSweep = now.Add(st.opts.Retention / 8)
	for key, k := range st.byKey {
		if now.Sub(k.arrived) > st.opts.Retention {
			delete(st.byKey, key)
			st.labelBytes -= int64(len(key))
		}
	}
}

// Len is the number of series which are kept.
func (r *Receiver) Len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.store.sweep(time.Now())
	return len(r.store.byKey)
}

// Series returns the series whose labels have all the values of match (an empty value: the label is absent), sorted by
// name and labels. A nil match takes all. What it returns is a copy.
func (r *Receiver) Series(match map[string]string) []Series {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.store.sweep(time.Now())
	var found []Series
	for key, k := range r.store.byKey {
		if matches(key, match) {
			found = append(found, k.series())
		}
	}
	slices.SortFunc(found, func(a, b Series) int { return compareLabels(a.Labels, b.Labels) })
	return found
}

func (k *kept) series() Series {
	return Series{
		Labels:     labelsOf(k.key),
		Samples:    slices.Clone(k.samples),
		Arrived:    k.arrived,
		Received:   k.received,
		OutOfOrder: k.outOfOrder,
		Duplicates: k.duplicates,
		Conflicts:  k.conflicts,
	}
}

// compareLabels orders label sets by metric name, then label by label.
func compareLabels(a, b []Label) int {
	if c := strings.Compare(valueOf(a, NameLabel), valueOf(b, NameLabel)); c != 0 {
		return c
	}
	return slices.CompareFunc(a, b, func(a, b Label) int {
		if c := strings.Compare(a.Name, b.Name); c != 0 {
			return c
		}
		return strings.Compare(a.Value, b.Value)
	})
}
