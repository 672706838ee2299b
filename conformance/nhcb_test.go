package conformance

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/prometheus/prometheus/util/convertnhcb"

	"scraper/streamparse"
)

func TestClassicBuckets(t *testing.T) {
	rng := rand.New(rand.NewPCG(61, 62))
	var ours streamparse.ClassicBuckets
	var h streamparse.Histogram
	good, bad := 0, 0
	for range 20_000 {
		ours.Reset()
		theirs := convertnhcb.NewTempHistogram()
		isFloat := rng.IntN(3) == 0
		count := 0.0
		type bucket struct{ bound, count float64 }
		var list []bucket
		for i := range rng.IntN(12) {
			if rng.IntN(3) == 0 {
				count += float64(rng.IntN(4))
				if isFloat {
					count += rng.Float64()
				}
			}
			list = append(list, bucket{float64(i) - 3, count})
		}
		switch rng.IntN(20) {
		case 0:
			list = append(list, bucket{math.NaN(), 1})
		case 1:
			list = append(list, bucket{2, float64(rng.IntN(5)) - 1})
		case 2:
			list = append(list, bucket{math.Inf(-1), 0})
		}
		if rng.IntN(2) == 0 {
			list = append(list, bucket{math.Inf(1), count})
		}
		if rng.IntN(4) == 0 {
			rng.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		}
		var wantErr error
		note := func(err error) {
			if wantErr == nil {
				wantErr = err
			}
		}
		for _, b := range list {
			ours.Bucket(b.bound, b.count)
			note(theirs.SetBucketCount(b.bound, b.count))
		}
		if rng.IntN(4) > 0 {
			v := count
			if rng.IntN(10) == 0 {
				v = float64(rng.IntN(20)) - 3
			}
			ours.Count(v)
			note(theirs.SetCount(v))
		}
		sum := number(rng)
		ours.Sum(sum)
		note(theirs.SetSum(sum))
		ih, fh, err := theirs.Convert()
		note(err)
		if err := ours.Convert(&h); (err != nil) != (wantErr != nil) {
			t.Fatalf("Convert of %v = %v, want %v", list, err, wantErr)
		}
		if wantErr != nil {
			bad++
			continue
		}
		good++
		if got, want := describeOurs(t, &h), describe(ih, fh); got != want {
			t.Fatalf("%v is\n%s, want\n%s", list, got, want)
		}
	}
	if good < 1000 || bad < 1000 {
		t.Errorf("%d good and %d bad histograms, want many of both", good, bad)
	}
}
