package bodytest

import (
	"bytes"
	"testing"
)

func TestInFormats(t *testing.T) {
	all, err := InFormats([]byte("# TYPE a_total counter\na_total{b=\"c\"} 1\n"))
	if err != nil || len(all) != 3 {
		t.Fatalf("InFormats = %d bodies, %v, want 3", len(all), err)
	}
	for i, want := range []string{"# TYPE a_total counter\na_total{b=\"c\"} 1\n", "# TYPE a counter\na_total{b=\"c\"} 1.0\n# EOF\n"} {
		if got := string(all[i].Bytes); got != want {
			t.Errorf("%s is %q, want %q", all[i].Name, got, want)
		}
	}
	if b := all[2].Bytes; !bytes.Contains(b, []byte("\n\x07a_total")) || len(b) != int(b[0])+1 {
		t.Errorf("protobuf is %q, want a family a behind its length", b)
	}
	if _, err := InFormats([]byte("a b\n")); err == nil {
		t.Error("InFormats took what is no body")
	}
}
