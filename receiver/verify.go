package receiver

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// maxExamples bounds the series which a report names.
const maxExamples = 10

// Report says how far the sender kept to the rules of remote write. Refusals which Options.Intercept made up are not in it.
type Report struct {
	Series         int    // which are kept
	Samples        uint64 // which arrived
	OutOfOrder     uint64 // samples older than the newest of their series
	Duplicates     uint64 // samples with a timestamp which their series had, the same value or not
	Conflicts      uint64 // of these, those with another value
	UnsortedLabels uint64 // messages whose labels were not sorted
	EmptyValues    uint64 // labels without a value
	InvalidSeries  uint64 // messages whose labels were refused
	Refused        uint64 // requests which were refused
	NotKept        uint64 // samples which the report knows nothing about, because of the receiver's own limits
	// Examples describe some series with samples out of order or twice, sorted.
	Examples []string
}

// Verify sums up all violations since New or the last Reset. A sender which got no answer and sent once more is
// entitled to Duplicates without Conflicts.
func (r *Receiver) Verify() Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.totals
	rep := Report{
		Series: len(r.store.byKey), Samples: t.Samples,
		OutOfOrder: t.OutOfOrder, Duplicates: t.Duplicates, Conflicts: t.Conflicts,
		UnsortedLabels: t.UnsortedLabels, EmptyValues: t.EmptyValues, InvalidSeries: t.InvalidSeries,
		Refused: t.Refused, NotKept: t.NotKept,
	}
	for _, k := range r.store.byKey {
		if k.outOfOrder == 0 && k.duplicates == 0 {
			continue
		}
		rep.Examples = append(rep.Examples, fmt.Sprintf("%s: of %d samples %d out of order, %d twice, %d of them with another value",
			textOf(labelsOf(k.key)), k.received, k.outOfOrder, k.duplicates, k.conflicts))
		if len(rep.Examples) == maxExamples {
			break
		}
	}
	slices.Sort(rep.Examples)
	return rep
}

// Err returns all violations as one error, or nil if there are none.
func (rep Report) Err() error {
	var found []string
	for _, v := range []struct {
		n    uint64
		what string
	}{
		{rep.OutOfOrder, "samples out of order"},
		{rep.Duplicates, "samples twice"},
		{rep.Conflicts, "samples twice with different values"},
		{rep.UnsortedLabels, "series with unsorted labels"},
		{rep.EmptyValues, "labels with an empty value"},
		{rep.InvalidSeries, "series with invalid labels"},
		{rep.Refused, "requests refused"},
		{rep.NotKept, "samples not kept (raise MaxSeries or MaxLabelBytes)"},
	} {
		if v.n > 0 {
			found = append(found, fmt.Sprintf("%d %s", v.n, v.what))
		}
	}
	if len(found) == 0 {
		return nil
	}
	text := "receiver: " + strings.Join(found, ", ")
	if len(rep.Examples) > 0 {
		text += "\n\t" + strings.Join(rep.Examples, "\n\t")
	}
	return errors.New(text)
}
