package demo

import "math"

// What moves is made of sines and of hashes, since both can be computed for any moment without a memory of those
// before. Times are in seconds since the shop's start.

// hash mixes the seed with names and numbers into 64 bits which look random (FNV-1a, then the finalizer of splitmix64).
func hash(seed uint64, name string, n int64) uint64 {
	h := uint64(14695981039346656037) ^ seed
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 1099511628211
	}
	h ^= uint64(n) * 0x9e3779b97f4a7c15
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}

// unit maps a hash to [0, 1).
func unit(h uint64) float64 { return float64(h>>11) / (1 << 53) }

// spread is a constant of its own for each name, between lo and hi.
func (s shop) spread(name string, lo, hi float64) float64 {
	return lo + (hi-lo)*unit(hash(s.seed, name, 0))
}

// The shop's load is 1 on average, and has two waves: the day's, and a shorter one which differs by name. Their
// amplitudes sum up to less than 1, so the load is always above 0, and its integral always rises.
const (
	dayAmplitude   = 0.55
	shortAmplitude = 0.3
)

// load is how busy a part of the shop is at the moment, 1 on average, always above 0.
func (s shop) load(name string) float64 {
	short, phase := s.wave(name)
	return 1 - dayAmplitude*math.Cos(2*math.Pi*s.t/day.Seconds()) + shortAmplitude*math.Sin(2*math.Pi*s.t/short+phase)
}

// work is the integral of load from the start to the moment t: what a counter of rate 1 would have counted.
func (s shop) work(name string, t float64) float64 {
	short, phase := s.wave(name)
	d := day.Seconds()
	return t - dayAmplitude*d/(2*math.Pi)*math.Sin(2*math.Pi*t/d) +
		shortAmplitude*short/(2*math.Pi)*(math.Cos(phase)-math.Cos(2*math.Pi*t/short+phase))
}

// wave is the period in seconds and the phase of a name's short wave.
func (s shop) wave(name string) (period, phase float64) {
	return s.spread(name+"/period", 17, 43), s.spread(name+"/phase", 0, 2*math.Pi)
}

// count is a counter of whole things with an average rate per second.
func (s shop) count(name string, rate float64) float64 { return math.Floor(rate * s.work(name, s.t)) }

// noise wanders between -1 and 1: from one random value to the next every period seconds.
func (s shop) noise(name string, period float64) float64 {
	step, part := math.Modf(s.t / period)
	from := unit(hash(s.seed, name, int64(step)))
	to := unit(hash(s.seed, name, int64(step)+1))
	part *= part * (3 - 2*part)
	return 2*(from+(to-from)*part) - 1
}

// round keeps the given number of decimals, so that values look as if measured.
func round(v float64, decimals int) float64 {
	p := math.Pow10(decimals)
	return math.Round(v*p) / p
}
