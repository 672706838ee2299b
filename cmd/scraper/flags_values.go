package main

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// value is what a flag sets.
type value interface {
	// set takes a value as it is written. Values which are lists add to what they have.
	set(text string) error
	// text is the value as it could be written.
	text() string
}

type stringValue struct{ p *string }

func (v stringValue) set(text string) error { *v.p = text; return nil }
func (v stringValue) text() string          { return *v.p }

type boolValue struct{ p *bool }

func (v boolValue) set(text string) (err error) { *v.p, err = parseBool(text); return err }
func (v boolValue) text() string                { return strconv.FormatBool(*v.p) }

type intValue struct {
	p   *int
	min int
}

func (v intValue) set(text string) error {
	n, err := strconv.Atoi(text)
	if err != nil {
		return errors.New("want a whole number")
	}
	if n < v.min {
		return fmt.Errorf("want %d or more", v.min)
	}
	*v.p = n
	return nil
}

func (v intValue) text() string { return strconv.Itoa(*v.p) }

// sizeValue is a number of bytes.
type sizeValue struct {
	p   *int64
	min int64
}

func (v sizeValue) set(text string) error {
	n, err := parseSize(text)
	if err != nil {
		return err
	}
	if n < v.min {
		return fmt.Errorf("want %s or more", formatSize(v.min))
	}
	*v.p = n
	return nil
}

func (v sizeValue) text() string { return formatSize(*v.p) }

// optionalDuration is a duration; zero means none.
type optionalDuration struct{ p *time.Duration }

func (v optionalDuration) set(text string) error {
	d, err := parseDuration(text)
	if err == nil {
		*v.p = d
	}
	return err
}

func (v optionalDuration) text() string { return formatDuration(*v.p) }

// durationValue is a duration above zero.
type durationValue struct{ p *time.Duration }

func (v durationValue) set(text string) error {
	d, err := parseDuration(text)
	if err != nil {
		return err
	}
	if d <= 0 {
		return errors.New("want more than 0")
	}
	*v.p = d
	return nil
}

func (v durationValue) text() string { return formatDuration(*v.p) }

// enumValue is one of a few words, in any case. It is kept as it stands in the list.
type enumValue struct {
	words []string
	p     *string
	to    func(word string) // may be nil
}

func (v enumValue) set(text string) error {
	for _, w := range v.words {
		if strings.EqualFold(w, text) {
			*v.p = w
			if v.to != nil {
				v.to(w)
			}
			return nil
		}
	}
	return fmt.Errorf("want one of %s", strings.Join(v.words, ", "))
}

func (v enumValue) text() string { return *v.p }

// secretValue is a password or a key. A value that begins with file:// names the file which holds it.
type secretValue struct{ p *Secret }

func (v secretValue) set(text string) error {
	if strings.HasPrefix(text, "http://") || strings.HasPrefix(text, "https://") {
		return errors.New("secrets are not read from URLs; give a file as file:///path")
	}
	if path, ok := strings.CutPrefix(text, "file://"); ok {
		if path == "" {
			return errors.New("file:// names no file")
		}
		*v.p = Secret{path: path}
		return nil
	}
	*v.p = Secret{value: text}
	return nil
}

func (v secretValue) text() string { return v.p.String() }

// list is a value which may be given more than once, and whose items may be joined by commas.
type list struct {
	items []string
	check func(item string) error // nil: any text is good
}

func (l *list) set(text string) error {
	for _, item := range splitList(text) {
		if l.check != nil {
			if err := l.check(item); err != nil {
				return err
			}
		}
		l.items = append(l.items, item)
	}
	return nil
}

func (l *list) text() string {
	quoted := slices.Clone(l.items)
	for i, item := range quoted {
		if strings.ContainsAny(item, `,"'[{(`) {
			quoted[i] = strconv.Quote(item)
		}
	}
	return strings.Join(quoted, ",")
}

// at returns the item for the i-th URL or address: a single item is meant for all, and one that is missing is "".
func (l *list) at(i int) string {
	switch {
	case i < len(l.items):
		return l.items[i]
	case len(l.items) == 1:
		return l.items[0]
	default:
		return ""
	}
}

// boolAt is at for a list of booleans. Missing and empty items are false.
func (l *list) boolAt(i int) bool {
	b, err := parseBool(l.at(i))
	return err == nil && b
}

// durationAt is at for a list of durations. Missing and empty items are def.
func (l *list) durationAt(i int, def time.Duration) time.Duration {
	if d, err := parseDuration(l.at(i)); err == nil {
		return d
	}
	return def
}

// sizeAt is at for a list of sizes. Missing and empty items are 0.
func (l *list) sizeAt(i int) int64 {
	n, err := parseSize(l.at(i))
	if err != nil {
		return 0
	}
	return n
}

// countAt is at for a list of numbers. Missing and empty items are 0.
func (l *list) countAt(i int) int {
	n, err := strconv.Atoi(l.at(i))
	if err != nil {
		return 0
	}
	return n
}

// checkSize is for list.check, as those below.
func checkSize(item string) error {
	if item == "" {
		return nil
	}
	_, err := parseSize(item)
	return err
}

// checkBool and checkDuration are for list.check. An empty item stands for the default.
func checkBool(item string) error {
	if item == "" {
		return nil
	}
	_, err := parseBool(item)
	return err
}

func checkDuration(item string) error {
	if item == "" {
		return nil
	}
	var d time.Duration
	return durationValue{&d}.set(item)
}

// checkCount is for list.check: an item is a number of things.
func checkCount(item string) error {
	if item == "" {
		return nil
	}
	var n int
	return intValue{&n, 0}.set(item)
}

// checkWord is for list.check: an item is one of a few words, or empty.
func checkWord(words []string) func(string) error {
	return func(item string) error {
		if item == "" || slices.Contains(words, item) {
			return nil
		}
		return fmt.Errorf("want one of %s", strings.Join(words, ", "))
	}
}

// checkLabel is for list.check, too.
func checkLabel(item string) error {
	if name, _, ok := strings.Cut(item, "="); item != "" && (!ok || name == "") {
		return errors.New("want name=value")
	}
	return nil
}

// splitList splits a list at its commas. A comma within quotes, brackets, braces or parentheses does not count, and an
// item that is quoted as a whole loses its quotes. What is opened and not closed reaches to the end.
func splitList(text string) []string {
	if text == "" {
		return nil
	}
	var items []string
	start := 0
	for i := 0; i < len(text); {
		if text[i] == ',' {
			items = append(items, unquote(text[start:i]))
			i++
			start = i
			continue
		}
		i = skip(text, i)
	}
	return append(items, unquote(text[start:]))
}

// skip returns the index behind the character at i, or behind what it opens.
func skip(text string, i int) int {
	c := text[i]
	i++
	var closer byte
	switch c {
	case '"', '\'':
		for i < len(text) {
			switch text[i] {
			case '\\':
				i += 2
			case c:
				return i + 1
			default:
				i++
			}
		}
		return len(text)
	case '(':
		closer = ')'
	case '[':
		closer = ']'
	case '{':
		closer = '}'
	default:
		return i
	}
	for i < len(text) {
		if text[i] == closer {
			return i + 1
		}
		i = skip(text, i)
	}
	return len(text)
}

func unquote(item string) string {
	if len(item) < 2 || item[0] != item[len(item)-1] {
		return item
	}
	switch item[0] {
	case '"':
		if s, err := strconv.Unquote(item); err == nil && utf8.ValidString(item) { // else Unquote would change it
			return s
		}
	case '\'':
		return strings.NewReplacer(`\\`, `\`, `\'`, `'`).Replace(item[1 : len(item)-1])
	}
	return item
}

func parseBool(text string) (bool, error) {
	b, err := strconv.ParseBool(text)
	if err != nil {
		return false, errors.New("want true or false")
	}
	return b, nil
}

// sizeUnits are the suffixes of sizes, the longest first where one ends in another.
var sizeUnits = []struct {
	suffix string
	bytes  float64
}{
	{"kib", 1 << 10}, {"mib", 1 << 20}, {"gib", 1 << 30}, {"tib", 1 << 40},
	{"kb", 1e3}, {"mb", 1e6}, {"gb", 1e9}, {"tb", 1e12},
}

// parseSize parses a number of bytes: "1048576", "1MiB", "1.5GB". MB are 10⁶ bytes and MiB 2²⁰.
func parseSize(text string) (int64, error) {
	number, unit := strings.ToLower(text), 1.0
	for _, u := range sizeUnits {
		if n, ok := strings.CutSuffix(number, u.suffix); ok {
			number, unit = n, u.bytes
			break
		}
	}
	f, err := strconv.ParseFloat(number, 64)
	if err != nil || math.IsNaN(f) || f < 0 || f*unit >= math.MaxInt64 {
		return 0, errors.New("want a number of bytes, which may end in KB, MB, GB, TB, KiB, MiB, GiB or TiB")
	}
	return int64(f * unit), nil
}

// formatSize writes a size with the largest unit that has no fraction.
func formatSize(n int64) string {
	best, count := strconv.FormatInt(n, 10), n
	for i, unit := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if size := int64(1) << (10 * (i + 1)); n != 0 && n%size == 0 {
			best = strconv.FormatInt(n/size, 10) + unit
			count = n / size
		}
	}
	for i, unit := range []string{"KB", "MB", "GB", "TB"} {
		size := int64(math.Pow10(3 * (i + 1)))
		if n != 0 && n%size == 0 && n/size < count {
			best = strconv.FormatInt(n/size, 10) + unit
			count = n / size
		}
	}
	return best
}

type durationUnit struct {
	name string
	d    time.Duration
}

var durationUnits = []durationUnit{
	{"ns", time.Nanosecond}, {"us", time.Microsecond}, {"µs", time.Microsecond}, {"ms", time.Millisecond},
	{"s", time.Second}, {"m", time.Minute}, {"h", time.Hour},
	{"d", 24 * time.Hour}, {"w", 7 * 24 * time.Hour}, {"y", 365 * 24 * time.Hour},
}

// parseDuration parses a duration as either peer writes it: "1m", "1.5s", "1h30m", "1d". A plain number is seconds.
func parseDuration(text string) (time.Duration, error) {
	bad := errors.New("want a duration like 30s, 1.5s, 1m or 1h30m")
	if f, err := strconv.ParseFloat(text, 64); err == nil {
		return seconds(f, time.Second, bad)
	}
	var total time.Duration
	for rest := text; rest != "" || text == ""; {
		n := 0
		for n < len(rest) && (rest[n] >= '0' && rest[n] <= '9' || rest[n] == '.') {
			n++
		}
		f, err := strconv.ParseFloat(rest[:n], 64)
		if err != nil {
			return 0, bad
		}
		rest = rest[n:]
		n = 0
		for n < len(rest) && (rest[n] < '0' || rest[n] > '9') && rest[n] != '.' {
			n++
		}
		i := slices.IndexFunc(durationUnits, func(u durationUnit) bool { return u.name == rest[:n] })
		if i < 0 {
			return 0, bad
		}
		rest = rest[n:]
		d, err := seconds(f, durationUnits[i].d, bad)
		if err != nil || total > math.MaxInt64-d {
			return 0, bad
		}
		total += d
	}
	return total, nil
}

func seconds(f float64, unit time.Duration, bad error) (time.Duration, error) {
	f *= float64(unit)
	if math.IsNaN(f) || f < 0 || f >= math.MaxInt64 {
		return 0, bad
	}
	return time.Duration(math.Round(f)), nil
}

// formatDuration is Duration.String without the zeroes at its end: "1m" for "1m0s".
func formatDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
