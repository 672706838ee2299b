package conformance

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"

	"scraper/streamparse"
)

var openMetrics = streamparse.Body{Format: streamparse.FormatOpenMetrics}

func theirOpenMetrics(body []byte) textparse.Parser {
	return textparse.NewOpenMetricsParser(bytes.Clone(body), labels.NewSymbolTable())
}

// omCases are bodies that parsers for OpenMetrics have been found to disagree about; accepted says what the format's
// reference implementation, Prometheus, makes of them, each with "# EOF" behind it unless whole is set.
var omCases = []struct {
	body     string
	accepted bool
	whole    bool
}{
	{"", true, false},
	{"", false, true},
	{"metric 1\n", false, true},
	{"# EOF", true, true},
	{"a 1\n# EOF", true, true},
	{"# EOF\n\n", false, true},
	{"# EOF\na 1", false, true},
	{"# EOFa 1", false, true},
	{"# EOF ", false, true},
	{"# EO", false, true},
	{"#", false, true},
	{"a 1", false, true},
	{"a 1\n\n", false, false},
	{"\na 1\n", false, false},
	{" a 1\n", false, false},
	{"0a 1\n", false, false},
	{"a 1\n", true, false},
	{"a\t1\n", false, false},
	{"a  1\n", false, false},
	{"a 1 \n", false, false},
	{"a 1  2\n", false, false},
	{"a 1 2 \n", false, false},
	{"a 1 1 1\n", false, false},
	{"a 1 2 #\n", false, false},
	{"a 1 #\n", false, false},
	{"a 1 # \n", false, false},
	{"a 1 NaN\n", false, false},
	{"a 1 -Inf\n", false, false},
	{"a 1 Inf\n", false, false},
	{"a 1 +Inf\n", false, false},
	{"a 1 123.123\n", true, false},
	{"a 1 1520879607.789\n", true, false},
	{"a 1 -1520879607.789\n", true, false},
	{"a 1 1.5e9\n", true, false},
	{"a 1 0.0001\n", true, false},
	{"a 1 1e30\n", true, false},
	{"a 1 0x1p3\n", false, false},
	{"a 1_2\n", false, false},
	{"a 0x1p-3\n", false, false},
	{"a true\n", false, false},
	{"a nan\na NaN\na -inf\n", true, false},
	{"a{b=\"c\"d=\"e\"} 1\n", false, false},
	{"a{b=\"c\",d=\"e\",} 1\n", true, false},
	{"a{b=\"c\",,d=\"e\"} 1\n", false, false},
	{"a{,b=\"c\"} 1\n", false, false},
	{"a{,} 1\n", false, false},
	{"a{} 1\n", true, false},
	{"a{b=\"c\"}1\n", false, false},
	{"a {b=\"c\"} 1\n", false, false},
	{"a{ b=\"c\"} 1\n", false, false},
	{"a{b =\"c\"} 1\n", false, false},
	{"a{b= \"c\"} 1\n", false, false},
	{"a{b=\"c\" } 1\n", false, false},
	{"a{b='c'} 1\n", false, false},
	{"a{b=\"c\nd\"} 1\n", false, false},
	{"a{b=\"c\\\nd\"} 1\n", false, false},
	{"a{b=\"c\\n\\\\\\\"\\x\"} 1\n", true, false},
	{"a{\xff=\"foo\"} 1\n", false, false},
	{"a{b=\"\xff\"} 1\n", false, false},
	{"a{b:c=\"d\"} 1\n", false, false},
	{"empty_label_name{=\"\"} 0\n", false, false},
	{"{A}0\n", false, false},
	{"{A} 0\n", false, false},
	{"{a=\"ok\"} 1\n", false, false},
	{"{} 1\n", false, false},
	{"{\"a\"} 1\n", true, false},
	{"{\"a\",} 1\n", true, false},
	{"{\"a\",\"b\"} 1\n", false, false},
	{"a{\"b\"} 1\n", false, false},
	{"{\"a\nb\",\"c\nd\"=\"e\"} 1\n", true, false},
	{"{q=\"0.9\",\"http.status\",a=\"b\"} 1\n", true, false},
	{"{\"Heizoel 10€ \\\"x\\\" {char\\nchoices}\",\"strange\\n'q' \\\"name\\\"\"=\"6\"} 10.0\n", true, false},
	{"{\"\"} 1\n", true, false},
	{"a{\"\"=\"1\"} 1\n", true, false},
	{"a{le=\"}\"} 1 # {x=\"}\"} 2\n", true, false},
	{"# HELP m\n", false, false},
	{"# HELP m \n", true, false},
	{"# HELP m  two blanks\n", true, false},
	{"# HELP m a\\nb\\\\c\\\"d\\x\n", true, false},
	{"# HELP m \xff\n", false, false},
	{"#  HELP m x\n", false, false},
	{"#\tTYPE c counter\n", false, false},
	{"# TYPE  c counter\n", false, false},
	{"# TYPE c  counter\n", false, false},
	{"# TYPE c counter \n", false, false},
	{"# TYPE c\n", false, false},
	{"# TYPE #\n", false, false},
	{"# HELP #\n", false, false},
	{"# TYPE u untyped\n", false, false},
	{"# TYPE u unknown\n# TYPE c counter\n# TYPE g gauge\n# TYPE h histogram\n# TYPE gh gaugehistogram\n# TYPE s summary\n# TYPE i info\n# TYPE st stateset\n", true, false},
	{"# TYPE \"a b\" counter\n{\"a b_total\"} 1\n", true, false},
	{"# UNIT m_suffix suffix\n", true, false},
	{"# UNIT metric suffix\n", false, false},
	{"# UNIT metricsuffix suffix\n", false, false},
	{"# UNIT m suffix\n", false, false},
	{"# UNIT _suffix suffix\n", true, false},
	{"# UNIT nounit \n", true, false},
	{"# UNIT nounit\n", false, false},
	{"# UNIT \"a b_s\" s\n", true, false},
	{"# a comment\n", false, false},
	{"#HELP a b\n", false, false},
	{"a 1 # {aa=bb}\n", false, false},
	{"a 1 # {aa=\"bb\"}\n", false, false},
	{"a 1 # {aa=\"bb\"} \n", false, false},
	{"a 1 # {bb} 1\n", false, false},
	{"a 1 # {\"bb\"} 1\n", false, false},
	{"a 1 # {aa=\"bb\",,cc=\"dd\"} 1\n", false, false},
	{"a 1 # {aa=\"bb\",cc=\"dd\",} 1\n", true, false},
	{"a 1 # {aa=\"bb\"} true\n", false, false},
	{"a 1 # {aa=\"bb\"} 1_2\n", false, false},
	{"a 1 # {aa=\"bb\"} 0x1p-3\n", false, false},
	{"a 1 # {aa=\"bb\"} 1 NaN\n", false, false},
	{"a 1 # {aa=\"bb\"} 1 -Inf\n", false, false},
	{"a 1 # {aa=\"bb\"} 1 2 \n", false, false},
	{"a 1 # {aa=\"bb\"} 1 2 3\n", false, false},
	{"a 1 # {aa=\"bb\"} 1 # {aa=\"bb\"} 1\n", false, false},
	{"a 1 #{aa=\"bb\"} 1\n", false, false},
	{"a 1# {aa=\"bb\"} 1\n", false, false},
	{"a 1 # {aa=\"b\nb\"} 1\n", false, false},
	{"a 1 # {\"a\na\"=\"bb\"} 1\n", false, false},
	{"a 1 # {\"a.a\"=\"b\\\"b\"} 1\n", true, false},
	{"a 1 # {\"\"=\"b\"} 1\n", true, false},
	{"a 1 # {} 1\n", true, false},
	{"a 1 # {a=\"b\"} nan\n", true, false},
	{"a 1 5 # {a=\"b\"} 0.67 1520879607.789\na 2\na{b=\"c\"} 3 # {a=\"z\",a=\"y\"} 1\n", true, false},
	{"# TYPE h histogram\nh_bucket{le=\"1\"} 1 # {id=\"x\"} 0.5\nh_bucket{le=\"+Inf\"} 2\nh_count 2 # {id=\"y\"} 1\nh_sum 3 # {} 1\nh_created 5\n", true, false},
	{"# TYPE s summary\ns{quantile=\"1\"} 1\ns{quantile=\"0.5\"} nan\n", true, false},
	{"# TYPE gh gaugehistogram\ngh_bucket{le=\"1\"} 1\n", true, false},
	{"# TYPE i info\ni_info{a=\"b\"} 1\n# TYPE st stateset\nst{st=\"a\"} 1\nst{st=\"b\"} 0\n", true, false},
	{"a 1\r\n", false, false},
	{"a{b=\"c\r\"} 1\n", true, false},
	{"a{b=\"\x00c\"} 1\n", true, false},
	{"# HELP a b\x00c\n", true, false},
	{"{\"a\x00b\"} 1\n", false, false},
	{"a{\"b\x00\"=\"c\"} 1\n", false, false},
	{"# HELP \"a\x00\" x\n", false, false},
	{"a 1 # {b=\"\x00\"} 1\n", false, false},
	{"a 1 # {\"b\x00\"=\"c\"} 1\n", false, false},
	{"a 1\x00\n", false, false},
}

func omBody(i int) []byte {
	if omCases[i].whole {
		return []byte(omCases[i].body)
	}
	return []byte(omCases[i].body + "# EOF\n")
}

func TestOpenMetricsEdgeCases(t *testing.T) {
	rng := rand.New(rand.NewPCG(21, 22))
	for i, tt := range omCases {
		body := omBody(i)
		if _, err := theirEvents(theirOpenMetrics(body), false); (err == nil) != tt.accepted {
			t.Errorf("the oracle says %v of %q, want accepted = %v", err, body, tt.accepted)
		}
		checkEvents(t, "edge case", openMetrics, body, theirOpenMetrics(body), rng)
	}
}

func TestOpenMetricsBodies(t *testing.T) {
	rng := rand.New(rand.NewPCG(23, 24))
	for _, dir := range []string{"testdata", corpusDir} {
		files, err := filepath.Glob(filepath.Join(dir, "*.om.txt"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			body, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			if len(body) > 0 && !bytes.HasSuffix(bytes.TrimSpace(body), []byte("# EOF")) {
				body = append(body, "# EOF\n"...)
			}
			if all, err := theirEvents(theirOpenMetrics(body), false); err != nil || len(all) == 0 {
				t.Errorf("%s: the oracle has %d events, %v, want some and no error", f, len(all), err)
			}
			checkEvents(t, f, openMetrics, body, theirOpenMetrics(body), rng)
		}
	}
}

// Bodies in which a few bytes are wrong.
func TestOpenMetricsDamaged(t *testing.T) {
	rng := rand.New(rand.NewPCG(25, 26))
	n := 1000
	if testing.Short() {
		n = 300
	}
	for range n {
		var body []byte
		for range 1 + rng.IntN(3) {
			if tt := omCases[rng.IntN(len(omCases))]; !tt.whole && (tt.accepted || rng.IntN(10) == 0) {
				body = append(body, tt.body...)
			}
		}
		body = damage(append(body, "# EOF\n"...), rng)
		checkAnyOpenMetrics(t, "damaged", body, rng)
		if t.Failed() {
			return
		}
	}
}

// checkAnyOpenMetrics leaves bodies with NUL out: the oracle's lexer skips it here, and stops there.
func checkAnyOpenMetrics(t *testing.T, name string, body []byte, rng *rand.Rand) {
	t.Helper()
	if bytes.IndexByte(body, 0) < 0 {
		checkEvents(t, name, openMetrics, body, theirOpenMetrics(body), rng)
	}
}

func FuzzOpenMetrics(f *testing.F) {
	for i := range omCases {
		f.Add(omBody(i), uint64(0))
	}
	f.Fuzz(func(t *testing.T, body []byte, seed uint64) {
		if len(body) > 2000 {
			return
		}
		checkAnyOpenMetrics(t, "fuzz", body, rand.New(rand.NewPCG(seed, 0)))
	})
}
