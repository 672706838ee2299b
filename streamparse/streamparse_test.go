package streamparse

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"scraper/bufpool/bufpooltest"
)

// entry is what a test compares: everything that Next shows, copied.
type entry struct {
	kind   Kind
	text   string // series and its labels, or family and text
	value  string
	ts     int64
	hasTS  bool
	line   int
	series string
}

// parseAll reads a body to its end, by Next alone.
func parseAll(p *Parser, r io.Reader) ([]entry, error) {
	p.Reset(r)
	var got []entry
	for {
		kind, err := p.Next()
		if err != nil || kind == KindNone {
			return got, err
		}
		e := entry{kind: kind, line: p.Line()}
		switch kind {
		case KindSample:
			e.series = string(p.Series())
			for _, l := range p.AppendLabels(nil) {
				e.text += fmt.Sprintf("%s=%q ", l.Name, l.Value)
			}
			e.value = fmt.Sprint(p.Value())
			e.ts, e.hasTS = p.Timestamp()
		case KindType:
			e.text = fmt.Sprintf("TYPE %q %d", p.Family(), p.Type())
		case KindHelp:
			e.text = fmt.Sprintf("HELP %q %q", p.Family(), p.Help())
		}
		got = append(got, e)
	}
}

func newParser(t testing.TB, o Options) *Parser {
	o.Pool = bufpooltest.New(t)
	p := New(o)
	t.Cleanup(func() { p.Close() })
	return p
}

// TestAccepts pins what the format takes, and how it is understood.
func TestAccepts(t *testing.T) {
	p := newParser(t, Options{})
	f := func(body string, want ...string) {
		t.Helper()
		got, err := parseAll(p, strings.NewReader(body))
		if err != nil {
			t.Errorf("parse(%q): %v", body, err)
			return
		}
		var have []string
		for _, e := range got {
			switch {
			case e.kind == KindComment:
			case e.kind == KindSample && e.hasTS:
				have = append(have, fmt.Sprintf("%s%s @%d", e.text, e.value, e.ts))
			default:
				have = append(have, e.text+e.value)
			}
		}
		if strings.Join(have, "\n") != strings.Join(want, "\n") {
			t.Errorf("parse(%q) = %q, want %q", body, have, want)
		}
	}
	f("")
	f("\n\n  \n")
	f("a 1\n", `__name__="a" 1`)
	f("a 1", `__name__="a" 1`)
	f("  a 1  \n", `__name__="a" 1`)
	f("_a:b 1\n", `__name__="_a:b" 1`)
	f("a{} 1\n", `__name__="a" 1`)
	f(`go_gc{quantile="0.25",} 7.4e-06`, `__name__="go_gc" quantile="0.25" 7.4e-06`)
	f(`m { quantile = "1.0", a = "b" } 8e-05`, `__name__="m" quantile="1.0" a="b" 8e-05`)
	f(`m { quantile = "2.0" a = "b" } 1`, `__name__="m" quantile="2.0" a="b" 1`)
	f("some:aggregate:rate5m{a_b=\"c\"}\t1", `__name__="some:aggregate:rate5m" a_b="c" 1`)
	f("go_goroutines 33  \t123123", `__name__="go_goroutines" 33 @123123`)
	f("# \tTYPE x summary", `TYPE "x" 4`)
	f("# TYPE x\tgauge\n", `TYPE "x" 2`)
	f("# TYPE \"x y\" counter\n", `TYPE "x y" 1`)
	f("# HELP nohelp1\n# HELP nohelp2 \n", `HELP "nohelp1" ""`, `HELP "nohelp2" ""`)
	f("# HELP a text \\n with  escapes \n", `HELP "a" "text \\n with  escapes "`)
	f("# Hrandom comment\n#\n#HELP no\n# HELP\n# EOF\n#TYPE a b c\n# UNIT a b\n")
	f("# HELP metric foo\x00bar\nm{a=\"abc\x00\"} 1", "HELP \"metric\" \"foo\\x00bar\"", `__name__="m" a="abc\x00" 1`)
	f(`{"go.gc_duration_seconds",quantile="0"} 4e-05`, `__name__="go.gc_duration_seconds" quantile="0" 4e-05`)
	f(`{q="0.9","http.status",a="b"} 1`, `__name__="http.status" q="0.9" a="b" 1`)
	f(`{"Heizoel 10€ \"x\" {char\nchoices}","strange\n'q' \"name\""="6"} 10.0`, `__name__="Heizoel 10€ \"x\" {char\nchoices}" strange
'q' "name"="6" 10`)
	f(`m{l="\"bar\" \\ \n \x"} 1`, `__name__="m" l="\"bar\" \\ \n \\x" 1`)
	f("m{l=\"a\nb\"} 1\nn 2\n", `__name__="m" l="a\nb" 1`, `__name__="n" 2`)
	f("foo+1\nfoo.5\nm{a=\"b\"}1\n", `__name__="foo" 1`, `__name__="foo" 0.5`, `__name__="m" a="b" 1`)
	f("a .5\na 5.\na +Inf\na -inf\na Infinity\na nan\na 1e3\na -0\n", `__name__="a" 0.5`, `__name__="a" 5`,
		`__name__="a" +Inf`, `__name__="a" -Inf`, `__name__="a" +Inf`, `__name__="a" NaN`, `__name__="a" 1000`, `__name__="a" -0`)
	f("a 1e-400\n", `__name__="a" 0`)
}

// TestRefuses pins what makes a body bad, and that the error names the line.
func TestRefuses(t *testing.T) {
	p := newParser(t, Options{})
	f := func(body, reason string) {
		t.Helper()
		_, err := parseAll(p, strings.NewReader("ok 1\n"+body))
		var pe *ParseError
		if !errors.As(err, &pe) {
			t.Errorf("parse(%q): error %v, want a ParseError with %q", body, err, reason)
			return
		}
		if pe.Line != 2 || !strings.Contains(pe.Reason, reason) {
			t.Errorf("parse(%q): %v, want line 2 and %q", body, pe, reason)
		}
	}
	f("a\n", "expected a value")
	f("a", "expected a value")
	f("a{b='c'} 1", "quoted label value")
	f("a{\xff=\"foo\"} 1", "label name")
	f("a{b=\"\xff\"} 1", "UTF-8")
	f("# HELP a \xff\n", "UTF-8")
	f("a true\n", "invalid value")
	f("foo 1_2\n", "invalid value")
	f("foo 0x1p-3\n", "invalid value")
	f("foo 0x1P-3\n", "invalid value")
	f("foo 0x10\n", "invalid value")
	f("foo 1e400\n", "invalid value")
	f("foo 0 1_2\n", "end after the timestamp")
	f("foo 0 99999999999999999999\n", "invalid timestamp")
	f("foo 0 1 1\n", "end after the timestamp")
	f("foo 0 x\n", "expected a timestamp")
	f("foo 0 1.5\n", "end after the timestamp")
	f("foo 0 -5\n", "expected a timestamp")
	f("foo 1 # {a=\"b\"} 1\n", "expected a timestamp")
	f("foo 1\r\n", "invalid value")
	f("empty_label_name{=\"\"} 0\n", "label name")
	f("{A}0\n", "expected =")
	f("{A} 0\n", "expected =")
	f("{a=\"ok\"} 1\n", "metric name not set")
	f("{} 1\n", "metric name not set")
	f("{\"a\", \"b = \"c\"}\n", "expected =")
	f("foo{\"bar\"} 1\n", "already set")
	f("{\"a\",\"b\"} 1\n", "already set")
	f("{\"\"} 1\n", "empty name")
	f("# TYPE #\n", "metric name")
	f("# HELP #\n", "metric name")
	f("# TYPE m unknown\n", "metric type")
	f("# TYPE m counter \n", "metric type")
	f("# TYPE m  counter\n", "metric type")
	f("# TYPE m\n", "metric type")
	f("a{,b=\"c\"} 1\n", "label name")
	f("a{b=\"c\",,d=\"e\"} 1\n", "label name")
	f("a{b=\"c\"}{d=\"e\"} 1\n", "expected a value")
	f("a{b=\x00\"ssss\"} 1\n", "quoted label value")
	f("a{b\x00=\"x\"} 1\n", "expected =")
	f("a\x00{b=\"d\"} 1\n", "invalid value")
	f("a 0 1\x00\n", "end after the timestamp")
	f("\x00a 1\n", "metric name")
	f("1a 1\n", "metric name")
	f("a{b=\"c", "unexpected end")
	f("a{b=\"c\\\nd\"} 1\n", "backslash before a raw newline")
}

// TestErrorNamesLine pins that raw newlines in label values count as lines.
func TestErrorNamesLine(t *testing.T) {
	p := newParser(t, Options{})
	_, err := parseAll(p, strings.NewReader("# HELP a b\n\na{l=\"1\n2\n3\"} 1\nbad\n"))
	if err == nil || !strings.HasPrefix(err.Error(), "line 6: ") {
		t.Errorf("error %v, want one on line 6", err)
	}
}

// TestSkipBadLines pins vmagent's tolerance.
func TestSkipBadLines(t *testing.T) {
	p := newParser(t, Options{SkipBadLines: true})
	f := func(body string, bad int, want ...string) {
		t.Helper()
		got, err := parseAll(p, strings.NewReader(body))
		if err != nil {
			t.Errorf("parse(%q): %v", body, err)
		}
		var have []string
		for _, e := range got {
			if e.kind == KindSample {
				have = append(have, fmt.Sprintf("%s %s %d", e.series, e.value, e.ts))
			}
		}
		n, first := p.Bad()
		if n != bad || (first != nil) != (bad > 0) || strings.Join(have, ";") != strings.Join(want, ";") {
			t.Errorf("parse(%q) = %q with %d bad (%v), want %q with %d", body, have, n, first, want, bad)
		}
	}
	f("a 1\nb true\nc{x='y'} 1\nd 2", 2, "a 1 0", "d 2 0")
	f("a 1\r\n# TYPE a counter\r\n\r\nb 2 3000000000\r\nc 1", 0, "a 1 0", "b 2 3000000000", "c 1 0")
	f("a 1 # {id=\"x\"} 0.5\nb 2 1700000000 # {} 1\n", 0, "a 1 0", "b 2 1700000000000")
	f("a 1 1700000000.5\nb 1 1700000000500\nc 1 1e3\n", 0, "a 1 1700000000500", "b 1 1700000000500", "c 1 1000000")
	f("a{b=\"unterminated 1\nb 2\nc{x=\"y\"} 3\n", 1, "b 2 0", `c{x="y"} 3 0`)
	f("a{b=\"unterminated 1\nb 2\n", 1, "b 2 0")
	f("\x00\nb 2\n", 1, "b 2 0")
	f("a 1 -3000000000\n", 0, "a 1 -3000000000")
	f("bad", 1)
}

// TestEverySplit pins that the way in which a body arrives changes nothing.
func TestEverySplit(t *testing.T) {
	bodies := []string{
		"# HELP a b c\n# TYPE a counter\na{x=\"1\",y=\"two\\n\"} 1.5 1234\na{x=\"2\"} NaN\n\n# c\nb 2",
		"m{l=\"a\nb\\\"\"} 1\n{\"q n\",z=\"é\"} 2\n# HELP \"q\n n\" é\n",
		"a 1\nb{c='d'} 1\nz 3\n",
		"a 1\nb{c=\"d",
		"a 1\n\x00",
	}
	for _, skip := range []bool{false, true} {
		p := newParser(t, Options{SkipBadLines: skip})
		for _, body := range bodies {
			want, wantErr := parseAll(p, strings.NewReader(body))
			for i := 0; i <= len(body); i++ {
				r := io.MultiReader(strings.NewReader(body[:i]), strings.NewReader(body[i:]))
				got, err := parseAll(p, r)
				compare(t, fmt.Sprintf("%q cut at %d", body, i), got, err, want, wantErr)
			}
			got, err := parseAll(p, iotest.OneByteReader(strings.NewReader(body)))
			compare(t, fmt.Sprintf("%q byte by byte", body), got, err, want, wantErr)
		}
	}
}

func compare(t *testing.T, what string, got []entry, err error, want []entry, wantErr error) {
	t.Helper()
	if fmt.Sprint(err) != fmt.Sprint(wantErr) {
		t.Fatalf("%s: error %v, want %v", what, err, wantErr)
	}
	if len(got) != len(want) {
		t.Fatalf("%s: %d entries, want %d", what, len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("%s: entry %d is %+v, want %+v", what, i, got[i], want[i])
		}
	}
}

// TestLongLines pins that a line may be as long as the limit, and that only a line beyond it is refused.
func TestLongLines(t *testing.T) {
	p := newParser(t, Options{MaxLineBytes: 1 << 20})
	value := strings.Repeat("x", 900<<10)
	body := "before 1\nlong{l=\"" + value + "\"} 2\nafter 3\n"
	got, err := parseAll(p, strings.NewReader(body))
	if err != nil || len(got) != 3 || !strings.Contains(got[1].series, value) || got[2].value != "3" {
		t.Fatalf("a line of 900 KiB: %d entries, error %v", len(got), err)
	}
	_, err = parseAll(p, strings.NewReader("long{l=\""+strings.Repeat("x", 2<<20)+"\"} 2\n"))
	if !errors.Is(err, ErrLineTooLong) || !strings.Contains(err.Error(), "-promscrape.maxLineSize") {
		t.Fatalf("a line of 2 MiB: error %v, want ErrLineTooLong which names the flag", err)
	}
}

// TestLongComments pins that a comment takes no memory, however long it is.
func TestLongComments(t *testing.T) {
	p := newParser(t, Options{MaxLineBytes: 100 << 10})
	for _, kind := range []string{"# HELP a ", "# ", "#", "  # HELP a "} {
		body := "a 1\n" + kind + strings.Repeat("é", 1<<20) + "\nb 2\n"
		got, err := parseAll(p, strings.NewReader(body))
		if err != nil || len(got) != 2 || got[1].value != "2" || got[1].line != 3 {
			t.Errorf("%q and 2 MiB: %d entries, error %v", kind, len(got), err)
		}
		if len(p.w) > chunkBytes {
			t.Errorf("%q and 2 MiB: the window is %d bytes, want at most %d", kind, len(p.w), chunkBytes)
		}
	}
	_, err := parseAll(p, strings.NewReader("# HELP a "+strings.Repeat("é", 1<<20)+"\xff\n"))
	if err == nil || !strings.Contains(err.Error(), "UTF-8") {
		t.Errorf("bad UTF-8 behind 2 MiB of help: error %v", err)
	}
}

// TestLongCommentsInChunks pins that a comment about as long as what is kept gives the same however it arrives, and that a
// TYPE line is never taken for a comment.
func TestLongCommentsInChunks(t *testing.T) {
	p := newParser(t, Options{})
	for _, begin := range []string{"# HELP a ", "# ", "# TYPE a ", "# HELP \"a\" ", "# TYPE \"a\" gauge"} {
		for _, n := range []int{chunkBytes/2 - 1, chunkBytes / 2, chunkBytes/2 + 1, chunkBytes} {
			body := begin + strings.Repeat("x", n-len(begin)-1) + "\nb 2\n"
			want, wantErr := parseAll(p, strings.NewReader(body))
			for _, chunk := range []int{1000, chunkBytes/2 - 1, chunkBytes / 2, chunkBytes/2 + 1} {
				got, err := parseAll(p, &chunkReader{[]byte(body), chunk})
				compare(t, fmt.Sprintf("%q and more, %d bytes in chunks of %d", begin, n, chunk), got, err, want, wantErr)
			}
		}
	}
}

// TestReadError pins that a body which breaks off is an error, whatever was read before.
func TestReadError(t *testing.T) {
	p := newParser(t, Options{})
	_, err := parseAll(p, io.MultiReader(strings.NewReader("a 1\nb 2\n"), iotest.ErrReader(io.ErrUnexpectedEOF)))
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("error %v, want io.ErrUnexpectedEOF", err)
	}
}

// TestTake pins the conditions under which a known series is recognised.
func TestTake(t *testing.T) {
	p := newParser(t, Options{})
	f := func(series, line string, want bool) {
		t.Helper()
		p.Reset(strings.NewReader(line))
		b := p.Peek(len(series))
		got := string(b) == series && p.Take(len(series))
		if got != want {
			t.Errorf("Take of %q in %q = %v, want %v", series, line, got, want)
		}
	}
	f("m", "m 1\n", true)
	f("m", "m 1", true)
	f("m", "m\t 1 \n", true)
	f("m", "m 1 5\n", true)
	f("m", "m NaN\n", true)
	f("m", "m 1e400\n", false)
	f("m", "m {a=\"b\"} 1\n", false)
	f("m", "mm 1\n", false)
	f("m", "m1\n", false)
	f("m", "m\n1\n", false)
	f("m", "m 1 x\n", false)
	f("m", "m 1 # x\n", false)
	f("m", "m 1 -4\n", false) // Next takes it
	f(`m{a="b"}`, `m{a="b"}1`+"\n", false)
	f(`m{a="b"}`, `m{a="b"} 0.1`+"\n", true)
}

// TestGuess pins that a guess is the series of plain lines, and nothing where there is no line.
func TestGuess(t *testing.T) {
	p := newParser(t, Options{})
	f := func(line, want string) {
		t.Helper()
		p.Reset(strings.NewReader(line))
		p.Peek(1)
		if got := line[:p.Guess()]; got != want {
			t.Errorf("Guess of %q = %q, want %q", line, got, want)
		}
	}
	f("m 1\n", "m")
	f("m{a=\"b\"} 1 2\n", `m{a="b"}`)
	f("m{a=\"}\"} 1\nn{} 2\n", `m{a="}"}`)
	f("# m 1\n", "")
	f("\nm 1\n", "")
	f("", "")
}

// bodies returns real bodies, where there are any, and one made here.
func bodies(t testing.TB) map[string][]byte {
	m := map[string][]byte{"made": []byte(makeBody(500))}
	files, _ := filepath.Glob("../../shared/corpus/*.txt")
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil && !strings.Contains(f, ".om.") {
			m[filepath.Base(f)] = b
		}
	}
	return m
}

func makeBody(n int) string {
	var b strings.Builder
	for i := range n {
		if i%20 == 0 {
			fmt.Fprintf(&b, "# HELP fam_%d Some help.\n# TYPE fam_%d counter\n", i/20, i/20)
		}
		fmt.Fprintf(&b, "fam_%d{container=\"c%d\",id=\"/kubepods/burstable/pod%d\",image=\"registry/example:%d\"} %v", i/20, i%7, i, i%5, float64(i)*1.37)
		if i%3 == 0 {
			fmt.Fprintf(&b, " %d", 1700000000000+i)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// TestKnownEqualsFull pins that Peek and Take read what Next reads, on whole bodies and random chunks.
func TestKnownEqualsFull(t *testing.T) {
	for name, body := range bodies(t) {
		p := newParser(t, Options{})
		want, err := parseAll(p, bytes.NewReader(body))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var samples []entry
		for _, e := range want {
			if e.kind == KindSample {
				samples = append(samples, e)
			}
		}
		p.Reset(&randomReader{b: body, r: rand.New(rand.NewPCG(1, 2))})
		taken := 0
		for i := 0; i < len(samples); {
			s := samples[i]
			n := len(s.series)
			if string(p.Peek(n)) == s.series && p.Take(n) {
				taken++
			} else {
				kind, err := p.Next()
				if err != nil || kind == KindNone {
					t.Fatalf("%s: ended at sample %d: %v", name, i, err)
				}
				if kind != KindSample {
					continue
				}
				if string(p.Series()) != s.series {
					t.Fatalf("%s: sample %d is %q, want %q", name, i, p.Series(), s.series)
				}
			}
			ts, hasTS := p.Timestamp()
			if fmt.Sprint(p.Value()) != s.value || hasTS != s.hasTS || hasTS && ts != s.ts {
				t.Fatalf("%s: %s = %v @%v, want %v @%v", name, s.series, p.Value(), ts, s.value, s.ts)
			}
			i++
		}
		if taken < len(samples)*9/10 {
			t.Errorf("%s: Take recognised %d of %d samples", name, taken, len(samples))
		}
	}
}

// randomReader returns its bytes in pieces of random sizes.
type randomReader struct {
	b []byte
	r *rand.Rand
}

func (r *randomReader) Read(p []byte) (int, error) {
	if len(r.b) == 0 {
		return 0, io.EOF
	}
	n := min(len(r.b), len(p), 1+r.r.IntN(9000))
	copy(p, r.b[:n])
	r.b = r.b[n:]
	return n, nil
}
