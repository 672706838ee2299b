package streamparse

import (
	"bytes"
	"encoding/binary"
	"math"
	"strconv"
)

// normalNaN is the one NaN that a text can mean: no target can write a staleness marker by itself.
const normalNaN = 0x7ff8000000000001

// Decimals of at most maxMantissaDigits digits fit an uint64. Those up to exactMantissa are floats without rounding, as
// are the powers of ten up to 22, so that one multiplication or division of the two rounds once, to nearest: what strconv
// would return. For others see scale.
const (
	maxMantissaDigits = 19
	exactMantissa     = 1 << 53
	exactPower        = 22
)

// secondsBelow is the timestamp below which vmagent takes it for seconds.
const secondsBelow = 1 << 31

// pow10 are the powers of ten which a float64 holds exactly.
var pow10 = [exactPower + 1]float64{
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
}

// tail parses what follows a series: a blank, a value, at most a timestamp, a newline. It returns the length of that, and
// 0 for anything else, or when b ends before the newline. It takes nothing that tailSlow would not take.
func (p *Parser) tail(b []byte) int {
	if len(b) < 3 || b[0] != ' ' && b[0] != '\t' {
		return 0
	}
	v, i := decimal(b[1:])
	i++
	if i == 1 { // not a plain decimal
		start := skipBlanks(b, 1)
		end := start
		for end < len(b) && b[end] > ' ' && b[end] != '{' {
			end++
		}
		var ok bool
		if v, ok = parseValue(b[start:end]); !ok {
			return 0
		}
		i = end
	}
	if i >= len(b) {
		return 0
	}
	if b[i] == '\n' {
		p.value, p.hasTS = v, false
		return i + 1
	}
	if i = skipBlanks(b, i); i >= len(b) {
		return 0
	}
	hasTS := false
	var ts int64
	if isDigit(b[i]) {
		start := i
		for i < len(b) && isDigit(b[i]) {
			ts = ts*10 + int64(b[i]-'0')
			i++
		}
		if i-start > 18 {
			return 0
		}
		if p.lenient && ts < secondsBelow {
			ts *= 1000
		}
		hasTS = true
		i = skipBlanks(b, i)
	}
	if p.lenient && i < len(b) && b[i] == '\r' {
		i++
	}
	if i >= len(b) || b[i] != '\n' {
		return 0
	}
	p.value, p.ts, p.hasTS = v, ts, hasTS
	return i + 1
}

// decimal parses the decimal number at the start of b, and returns how many bytes it takes. 0 means that it is not a
// number that can be converted exactly here, or that something other than a blank or a newline follows it.
func decimal(b []byte) (float64, int) {
	i := 0
	neg := false
	if len(b) > 0 && b[0] == '-' {
		neg = true
		i = 1
	}
	var mantissa uint64
	first := i
	for i < len(b) && isDigit(b[i]) {
		mantissa = mantissa*10 + uint64(b[i]-'0')
		i++
	}
	digits := i - first
	exp := 0
	if i < len(b) && b[i] == '.' {
		i++
		start := i
		for i+8 <= len(b) {
			eight, ok := eightDigits(b[i:])
			if !ok {
				break
			}
			mantissa = mantissa*1e8 + eight
			i += 8
		}
		for i < len(b) && isDigit(b[i]) {
			mantissa = mantissa*10 + uint64(b[i]-'0')
			i++
		}
		exp = start - i
		digits -= exp
	}
	if digits == 0 || i == len(b) {
		return 0, 0
	}
	truncated := false
	if digits > maxMantissaDigits && digits-leadingZeros(b[first:i]) > maxMantissaDigits {
		var dropped int
		mantissa, dropped, truncated = longMantissa(b[first:i])
		exp += dropped
	}
	if b[i]|0x20 == 'e' {
		i++
		expNeg := false
		if i < len(b) && (b[i] == '-' || b[i] == '+') {
			expNeg = b[i] == '-'
			i++
		}
		start := i
		e := 0
		for i < len(b) && isDigit(b[i]) && i-start < 4 {
			e = e*10 + int(b[i]-'0')
			i++
		}
		if i == start || i == len(b) {
			return 0, 0
		}
		if expNeg {
			e = -e
		}
		exp += e
	}
	if c := b[i]; c != '\n' && c != ' ' && c != '\t' {
		return 0, 0
	}
	f := float64(mantissa)
	switch {
	case mantissa >= exactMantissa || truncated:
		ok := false
		if f, ok = scale(mantissa, exp); !ok {
			return 0, 0
		}
		if truncated { // it lies between the two
			if g, ok := scale(mantissa+1, exp); !ok || f != g {
				return 0, 0
			}
		}
	case exp == 0 || mantissa == 0:
	case exp > 0 && exp <= exactPower:
		f *= pow10[exp]
	case exp < 0 && exp >= -exactPower:
		f /= pow10[-exp]
	default:
		ok := false
		if f, ok = scale(mantissa, exp); !ok {
			return 0, 0
		}
	}
	if neg {
		f = -f
	}
	return f, i
}

// eightDigits returns the number which the first eight bytes of b are the digits of; ok is false if one is no digit.
func eightDigits(b []byte) (n uint64, ok bool) {
	x := binary.LittleEndian.Uint64(b)
	if x&0xf0f0f0f0f0f0f0f0 != 0x3030303030303030 || (x+0x0606060606060606)&0xf0f0f0f0f0f0f0f0 != 0x3030303030303030 {
		return 0, false
	}
	x &= 0x0f0f0f0f0f0f0f0f
	x = x*10 + x>>8                                         // pairs, in every second byte
	x = x&0x00ff00ff00ff00ff*100 + x>>16&0x00ff00ff00ff00ff // fours, in every fourth
	return x&0xffff*10000 + x>>32&0xffff, true
}

// leadingZeros is the number of digits of b before the first one which is not zero; b holds digits and at most one point.
func leadingZeros(b []byte) int {
	n := 0
	for _, c := range b {
		if c == '0' {
			n++
		} else if c != '.' {
			break
		}
	}
	return n
}

// longMantissa returns the first significant digits of b, as many as fit, which holds digits and at most one point; how many
// it left out, and whether one of those is not zero.
func longMantissa(b []byte) (mantissa uint64, dropped int, truncated bool) {
	n := 0
	for _, c := range b {
		switch {
		case c == '.' || c == '0' && n == 0:
		case n < maxMantissaDigits:
			mantissa = mantissa*10 + uint64(c-'0')
			n++
		default:
			dropped++
			truncated = truncated || c != '0'
		}
	}
	return mantissa, dropped, truncated
}

// parseValue parses a whole token as a value: what strconv.ParseFloat takes, but neither hexadecimal nor underscores, and
// nothing which overflows.
func parseValue(tok []byte) (float64, bool) {
	switch string(tok) { // what Go's client prints
	case "NaN":
		return math.Float64frombits(normalNaN), true
	case "+Inf":
		return math.Inf(1), true
	}
	if bytes.ContainsAny(tok, "pP_") {
		return 0, false
	}
	f, err := strconv.ParseFloat(string(tok), 64)
	if err != nil {
		return 0, false
	}
	if f != f {
		f = math.Float64frombits(normalNaN)
	}
	return f, true
}
