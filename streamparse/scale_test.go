package streamparse

import (
	"math"
	"math/big"
	"math/rand/v2"
	"strconv"
	"testing"
)

// TestScales computes the table of powers of ten.
func TestScales(t *testing.T) {
	for e := minScale; e <= maxScale; e++ {
		power := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(e, -e))), nil)
		if e < 0 {
			power.Quo(new(big.Int).Lsh(big.NewInt(1), 1024), power)
		} else {
			power.Lsh(power, 1024)
		}
		power.Rsh(power, uint(power.BitLen()-128))
		hi := new(big.Int).Rsh(power, 64).Uint64()
		lo := power.And(power, new(big.Int).SetUint64(math.MaxUint64)).Uint64()
		if got := scales[e-minScale]; got.hi != hi || got.lo != lo {
			t.Errorf("scales of 1e%d = %#x, %#x, want %#x, %#x", e, got.hi, got.lo, hi, lo)
		}
	}
}

// agrees reports how decimal and strconv understand s, and whether decimal decided.
func agrees(t *testing.T, s string) bool {
	t.Helper()
	got, n := decimal([]byte(s + "\n"))
	if n == 0 {
		return false
	}
	want, err := strconv.ParseFloat(s, 64)
	if err != nil || n != len(s) || math.Float64bits(got) != math.Float64bits(want) {
		t.Errorf("decimal(%q) = %x of %d bytes, strconv has %x, %v", s, got, n, want, err)
	}
	return true
}

// TestDecimalOfFloats pins that floats in every form in which exporters print them come back bit by bit, and that those
// of a magnitude that metrics have need no strconv.
func TestDecimalOfFloats(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	decided, all := 0, 0
	for range 10_000 {
		f := math.Float64frombits(rng.Uint64())
		if f != f || math.IsInf(f, 0) {
			continue
		}
		for _, form := range []byte{'g', 'e'} {
			agrees(t, strconv.FormatFloat(f, form, -1, 64))
			agrees(t, strconv.FormatFloat(f, form, 17, 64))
		}
		f = math.Ldexp(rng.Float64(), rng.IntN(120)-60)
		for _, form := range []byte{'g', 'e', 'f'} {
			for _, digits := range []int{-1, 16, 17, 20} {
				ok := agrees(t, strconv.FormatFloat(f, form, digits, 64))
				if digits == 20 {
					continue // nobody prints them
				}
				all++
				if ok {
					decided++
				}
			}
		}
	}
	if decided < all*99/100 {
		t.Errorf("decimal decided %d of %d, want nearly all", decided, all)
	}
}

// TestDecimalHalfWay pins rounding where it is hardest: at and beside the middle between two floats, and with digits
// beyond those that fit.
func TestDecimalHalfWay(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 5_000 {
		f := math.Ldexp(1+rng.Float64(), rng.IntN(140)-70)
		g := math.Nextafter(f, math.Inf(1))
		middle := new(big.Float).SetPrec(2000).Add(big.NewFloat(f), big.NewFloat(g))
		middle.Quo(middle, big.NewFloat(2))
		exact := middle.Text('f', 200)
		agrees(t, exact)
		agrees(t, exact+"1")
		for _, digits := range []int{17, 18, 19, 20, 21, 30} {
			agrees(t, middle.Text('e', digits))
			agrees(t, middle.Text('f', digits))
		}
	}
	for _, s := range []string{
		"9007199254740993", "9007199254740992.5", "9007199254740993.00000000000000000000", "9007199254740993.00000000000000000001",
		"9223372036854775807", "18446744073709551615", "18446744073709551616", "99999999999999999999", "00000000000000000000000001",
		"0.00000000000000000000000000000000000001", "0.00000000000000000000", "-0.000000000000000000000", "1e64", "1e65", "1e-64", "1e-65",
		"5e-324", "2.4703282292062327e-324", "1.7976931348623157e308", "12345678.12345678", "0.12345678", "0.1234567a", "0.12345678e-3",
	} {
		agrees(t, s)
	}
}
