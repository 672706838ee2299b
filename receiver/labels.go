package receiver

import (
	"encoding/binary"
	"iter"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// NameLabel is the label which holds a metric's name.
const NameLabel = "__name__"

// staleBits is the bit pattern of a staleness marker.
const staleBits uint64 = 0x7ff0000000000002

// Label is a name and a value.
type Label struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// HashLabels returns the hash by which PerSeries counts the series with these labels. It is the same in every
// process. Labels may be in any order; those without a value do not count.
func HashLabels(labels []Label) uint64 {
	sorted := slices.Clone(labels)
	slices.SortStableFunc(sorted, func(a, b Label) int { return strings.Compare(a.Name, b.Name) })
	var key []byte
	for _, l := range sorted {
		if l.Value != "" {
			key = appendPair(key, l.Name, l.Value)
		}
	}
	return xxhash.Sum64(key)
}

// Checksum returns what a sample adds to Totals.Checksum.
func Checksum(labels []Label, s Sample) uint64 {
	return sampleChecksum(HashLabels(labels), s.TimestampMillis, s.bits())
}

func sampleChecksum(labelsHash uint64, tsMillis int64, valueBits uint64) uint64 {
	return scramble(scramble(labelsHash^uint64(tsMillis)) ^ valueBits)
}

// scramble maps x to an unrelated number, one to one (the finalizer of splitmix64): without it, sums of checksums
// would cancel out when two samples swap their values.
func scramble(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// A key is a label set in one piece: per label, sorted by name, the length of the name, the name, the length of the
// value, the value. Lengths are varints. Two label sets are equal exactly if their keys are.

func appendPair[T string | []byte](key []byte, name, value T) []byte {
	key = binary.AppendUvarint(key, uint64(len(name)))
	key = append(key, name...)
	key = binary.AppendUvarint(key, uint64(len(value)))
	return append(key, value...)
}

// pairs yields the names and values of a key: views of it.
func pairs(key string) iter.Seq2[string, string] {
	return func(yield func(name, value string) bool) {
		for len(key) > 0 {
			var name, value string
			name, key = cutString(key)
			value, key = cutString(key)
			if !yield(name, value) {
				return
			}
		}
	}
}

// cutString returns the string at the beginning of a key, and the key after it.
func cutString(key string) (s, rest string) {
	var n, i int
	for shift := 0; ; shift += 7 {
		c := key[i]
		i++
		n |= int(c&0x7f) << shift
		if c < 0x80 {
			return key[i : i+n], key[i+n:]
		}
	}
}

func labelsOf(key string) []Label {
	var n int
	for range pairs(key) {
		n++
	}
	labels := make([]Label, 0, n)
	for name, value := range pairs(key) {
		labels = append(labels, Label{name, value})
	}
	return labels
}

// matches reports whether the key's labels have all of the wanted values; an empty one wants the label absent.
func matches(key string, want map[string]string) bool {
	found := 0
	for name, value := range pairs(key) {
		if v, ok := want[name]; ok {
			if v != value {
				return false
			}
			found++
		}
	}
	for _, v := range want {
		if v == "" {
			found++
		}
	}
	return found == len(want)
}

// textOf renders labels as the text format does: name{label="value",…}.
func textOf(labels []Label) string {
	var b strings.Builder
	for _, l := range labels {
		if l.Name == NameLabel {
			b.WriteString(l.Value)
		}
	}
	open := false
	for _, l := range labels {
		if l.Name == NameLabel {
			continue
		}
		if open {
			b.WriteByte(',')
		} else {
			b.WriteByte('{')
			open = true
		}
		b.WriteString(l.Name)
		b.WriteString(`="`)
		for i := range len(l.Value) {
			switch c := l.Value[i]; c {
			case '\\', '"':
				b.WriteByte('\\')
				b.WriteByte(c)
			case '\n':
				b.WriteString(`\n`)
			default:
				b.WriteByte(c)
			}
		}
		b.WriteByte('"')
	}
	if open {
		b.WriteByte('}')
	}
	return b.String()
}
